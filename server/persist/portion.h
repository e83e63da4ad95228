/* SPDX-License-Identifier: Apache-2.0
 *
 * A checkpoint of a job that several daemons hold: each of them writes a portion of it, two files
 * of the arrays of its own slices, and control's daemon the manifest, when all portions are on the
 * disk. Here stands what these daemons say to each other about that, as plain structs, and what
 * their files are called:
 *
 *     of one daemon        model.safetensors                   optimizer.safetensors
 *     of the second of 3   model-00002-of-00003.safetensors    optimizer-00002-of-00003.safetensors
 *
 *     portion_request      control, when the folder is made: write yours there
 *     portion_answer       the daemon, when its bytes are on the disk, or cannot be
 */
#ifndef PERSIST_PORTION_H
#define PERSIST_PORTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "server/persist/arrays.h"
#include "server/persist/manifest.h"

#define PORTION_FILE_BYTES   48u
#define PORTION_SHELF_BYTES  192u
#define PORTION_FOLDER_BYTES 64u

/* What packed checksums take at most: of some 2 million arrays. */
#define PORTION_SUMS_MAX_BYTES ((size_t)256 << 20)

struct portion_file_name {
    char text[PORTION_FILE_BYTES];
};

/* The name of a portion's file. index: 0 first, below portions. */
struct portion_file_name portion_file(enum arrays_file file, uint32_t index, uint32_t portions);

/* Reads a name as such. False: it is none. */
bool portion_file_parse(const char *name, enum arrays_file *ret_file, uint32_t *ret_index,
                        uint32_t *ret_portions);

/* How many portions a checkpoint has, by the files that its manifest lists: 1 to PORTIONS_MAX, both
 * files of each. INVALID_ARGUMENT: one is missing, or is of no portion; the text names it. */
enum stepd_status portion_count(const struct manifest_sums *sums, uint32_t *ret_portions,
                                struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Where a checkpoint is being written: names within the folder of all daemons (disk/shelf.h). They
 * come from a peer: disk/save.h checks them. */
struct portion_place {
    char shelf[PORTION_SHELF_BYTES];   /* "mnist" */
    char folder[PORTION_FOLDER_BYTES]; /* ".new-step-00001200~0123456789abcdef" */
};

struct portion_request {
    uint64_t number; /* to answer with */
    uint64_t step;
    uint32_t index; /* of the daemon's portion; 0 is control's own */
    uint32_t portions;
    struct portion_place place;
};

struct portion_answer {
    uint64_t number; /* of the request */
    uint32_t index;
    struct stepd_error error; /* code OK, or why it was not written; sums is NULL then */
    char *sums;               /* owned; packed by portion_pack_sums */
    size_t sums_bytes;
};

/* A zeroed one is fine. */
void portion_answer_deinit(struct portion_answer *answer);

/*
 * Checksums of files and arrays as text, as they stand in the manifest. *ret_text: caller frees
 * with free(). INVALID_ARGUMENT: a name stands twice. RESOURCE_EXHAUSTED: no memory, or more than
 * PORTION_SUMS_MAX_BYTES. Any thread.
 */
enum stepd_status portion_pack_sums(const struct manifest_sums *sums, char **ret_text,
                                    size_t *ret_bytes, struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Back. The text is a peer's: INVALID_ARGUMENT where it is none of the kind, or of other files than
 * those of this portion. RESOURCE_EXHAUSTED: as above. *ret_sums: caller frees with
 * manifest_sums_deinit. Any thread. */
enum stepd_status portion_unpack_sums(const char *text, size_t bytes, uint32_t index,
                                      uint32_t portions, struct manifest_sums *ret_sums,
                                      struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
