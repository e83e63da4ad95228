/* SPDX-License-Identifier: Apache-2.0
 *
 * manifest.json, the file of a checkpoint that says what the other two are of: all of a snapshot
 * but its float arrays. As text, which a person can read and which two daemons with the same
 * snapshot write the same, byte for byte. ARCHITECTURE.md ("Checkpoints on disk") has an example.
 *
 *     manifest_encode   a snapshot and the shares of its shards, and the checksums of what was
 *                       written beside it, to text
 *     manifest_parse    text to a snapshot and a state whose arrays are still to be read:
 *                       control_restore takes both when they are
 *
 * Parsing trusts nothing. A byte that is not as it was written is found by the checksum that the
 * text ends with; what somebody means by a text whose checksum is right is held to types, ranges,
 * names, and the definition of the job, which goes the way of one that a client sends. Whether the
 * slices can go on is not asked here but by control_restore and slice_restore. No file, no thread.
 *
 *     manifest.c           the text as a whole, its checksum, format and version
 *     manifest_text.c      the text as it grows
 *     manifest_json.c      numbers, words and bytes to JSON and back; keys that are missing or
 *                          strange
 *     manifest_job.c       the job's definition, its tensors; groups in manifest_group.c
 *     manifest_members.c   members and their sessions
 *     manifest_changed.c   what groups have become
 *     manifest_history.c   changes that were made and are to come
 *     manifest_slices.c    slices, those that say the same but once; a slice in manifest_slice.c
 *     manifest_recut.c     slices of another size
 *     manifest_sums.c      checksums of files and arrays
 */
#ifndef PERSIST_MANIFEST_H
#define PERSIST_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "server/control/snapshot.h"
#include "server/persist/checksum.h"

#define MANIFEST_FILE      "manifest.json"
#define MANIFEST_FORMAT    "stepd-checkpoint"
#define MANIFEST_VERSION   1u /* of a checkpoint that one daemon has written */
#define MANIFEST_PORTIONS  2u /* that several have: portion.h */
#define MANIFEST_MAX_BYTES ((size_t)1 << 30)

/* Records of a rank's pushes to a slice, over all slices and ranks, that are read: about 14 GiB. */
#define MANIFEST_RECORDS_MAX (UINT64_C(1) << 26)

/* Daemons that write one checkpoint at most. */
#define PORTIONS_MAX 64u

/* A file beside the manifest. */
struct manifest_file {
    char *name; /* "model.safetensors" */
    uint64_t bytes;
    char checksum[CHECKSUM_TEXT_BYTES]; /* of all its bytes */
};

/* An array in one of the files. */
struct manifest_array {
    char *name;                         /* "<file>/<array>": "optimizer.safetensors/fc1/exp_avg" */
    char checksum[CHECKSUM_TEXT_BYTES]; /* of its floats' bytes */
};

struct manifest_sums {
    size_t files;
    struct manifest_file *file; /* each name once */
    size_t arrays;
    struct manifest_array *array; /* each name once; in what is read, names rise (strcmp) */
};

/* A zeroed one is fine. */
void manifest_sums_deinit(struct manifest_sums *sums);

struct manifest_source {
    const char *stepd; /* the version of the daemon */
    const struct job_snapshot *snapshot;
    const struct job_state *const *share; /* of all shards, or a whole one */
    size_t shares;                        /* at least 1 */
    const struct manifest_sums *sums;
};

/*
 * Writes a manifest. All of source is borrowed until return. *ret_text, with a NUL behind its
 * *ret_length bytes: the caller frees with free(). INVALID_ARGUMENT: no share has taken a slice, or
 * two files or arrays have one name; the text names it. RESOURCE_EXHAUSTED: no memory, or more than
 * MANIFEST_MAX_BYTES. Any thread, while nobody writes the shares.
 */
enum stepd_status manifest_encode(const struct manifest_source *source, char **ret_text,
                                  size_t *ret_length, struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Which arrays of a slice stand in the files. Its slots are those with slot_floats above 0. */
struct manifest_slice {
    bool view[STEPD_VIEWS];
    bool backups; /* of each rank: rank_state.backup. It is of no meaning where backup_version is
                   * UINT64_MAX, since that rank has pulled nothing */
};

struct manifest {
    char *stepd;                  /* owned; the version of the daemon that has written it */
    struct job_snapshot snapshot; /* owned; without shares */
    struct job_state *state;      /* a reference; every slice is taken, and view, slot and backup
                                   * are NULL: to be set, in memory that each slice_state owns */
    struct manifest_slice *slice; /* owned; job->layout.slices of them */
    struct manifest_sums sums;    /* owned */
};

/*
 * Reads a manifest. text is borrowed until return. DATA_LOSS: it is cut, or a byte of it is other
 * than it was written. UNIMPLEMENTED: of a later version of the format. INVALID_ARGUMENT: it is no
 * manifest; the text names the key and what is wrong with it. RESOURCE_EXHAUSTED: no memory, or
 * above MANIFEST_MAX_BYTES or MANIFEST_RECORDS_MAX. *ret_manifest: the caller frees with
 * manifest_deinit. Any thread.
 */
enum stepd_status manifest_parse(const char *text, size_t length, struct manifest *ret_manifest,
                                 struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * Cuts the slices of one that was read, and whose arrays have not been, to another size; the files
 * beside it are read into these as into those. Where slices that would become one are at different
 * points, it cannot be: FAILED_PRECONDITION, and nothing has changed. INVALID_ARGUMENT: no such cut
 * can be made of the job. RESOURCE_EXHAUSTED: no memory. Any thread.
 */
enum stepd_status manifest_recut(struct manifest *manifest, uint32_t slice_elements,
                                 struct stepd_error *reterr) STEPD_MUST_CHECK;

/* A zeroed one is fine. */
void manifest_deinit(struct manifest *manifest);

/* The checksum of a file or of an array ("<file>/<array>") in what was read; NULL: it has none of
 * that name. Borrowed as long as the sums are. */
const struct manifest_file *manifest_sums_file(const struct manifest_sums *sums, const char *name);
const char *manifest_sums_array(const struct manifest_sums *sums, const char *name);

#endif
