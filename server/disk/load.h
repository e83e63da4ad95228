/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading a checkpoint, and believing nothing of it: the manifest is held to its own checksum, the
 * files to their lengths and checksums, the arrays to theirs and to what the manifest says there
 * must be.
 */
#ifndef DISK_LOAD_H
#define DISK_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "server/base/log.h"
#include "server/persist/manifest.h"

/* The manifest as it stands in the folder of a checkpoint, borrowed; nothing of it is checked, and
 * no NUL ends it. *ret_text: the caller frees with free(). Errors as load_checkpoint. */
enum stepd_status load_manifest_text(int folder, char **ret_text, size_t *ret_length,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

/* What a checkpoint says of itself: its manifest alone. folder is that of the checkpoint, borrowed;
 * errors as load_checkpoint. */
enum stepd_status load_manifest(int folder, struct manifest *ret_manifest,
                                struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * Reads the checkpoint in a folder, borrowed: manifest->snapshot and manifest->state go to
 * control_restore. bytes_max bounds what the arrays may take. NOT_FOUND: a file is missing.
 * DATA_LOSS: bytes are not those that were written. INVALID_ARGUMENT: the files do not fit each
 * other or make no job. UNAVAILABLE: the disk refuses. RESOURCE_EXHAUSTED: no memory, or more than
 * bytes_max. The text names the file and, where it can, the array. *ret_manifest: the caller frees
 * with manifest_deinit.
 */
enum stepd_status load_checkpoint(int folder, uint64_t bytes_max, struct manifest *ret_manifest,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

/* How large the slices of jobs that are loaded are to be. */
struct load_cut {
    /* Elements of the largest one; 0: as it was saved. NULL: all are. */
    uint32_t (*slice_elements)(void *owner, const char *job);
    void *owner;
    const struct log *log; /* may be NULL */
};

/* The same with slices of another size, where all that would become one are at one point; else with
 * the saved ones. The log says which. cut is borrowed until return; NULL: the saved ones. */
enum stepd_status load_checkpoint_cut(int folder, uint64_t bytes_max, const struct load_cut *cut,
                                      struct manifest *ret_manifest,
                                      struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The slices whose floats are wanted: those of some of the shards that the job will have. */
struct load_wanted {
    const struct job *job; /* laid out as it will be, of the cut that is asked for; NULL: the
                            * checkpoint's own, laid out over so many: */
    uint32_t shards;
    uint32_t first; /* of those that are wanted; 0 first */
    uint32_t count;
    bool alone; /* what the other slices say is not kept either: they are not taken then */
};

/*
 * The same with the floats of some slices only: in the state of the others all is said, and no
 * array is there. bytes_max bounds what is wanted. An array of a file that has anything of these is
 * read whole and held to its checksum; others are not looked at. FAILED_PRECONDITION: wanted->job
 * is cut otherwise. wanted NULL: all.
 */
enum stepd_status load_checkpoint_of(int folder, uint64_t bytes_max, const struct load_cut *cut,
                                     const struct load_wanted *wanted,
                                     struct manifest *ret_manifest,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Are the files of arrays there, as long as the manifest says? What is in them is not read. folder
 * is borrowed; errors as load_checkpoint. */
enum stepd_status load_check_files(int folder, const struct manifest *manifest,
                                   struct stepd_error *reterr) STEPD_MUST_CHECK;

/* What a checkpoint takes, and since when. */
struct load_extent {
    uint64_t bytes;  /* of all its files */
    uint64_t age_ms; /* since its manifest, which is the last of them, was written */
};

/* Of one in a folder, borrowed, whose manifest has been read. */
struct load_extent load_extent_of(int folder, const struct manifest *manifest);

#endif
