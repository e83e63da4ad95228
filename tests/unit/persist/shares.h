/* SPDX-License-Identifier: Apache-2.0
 *
 * A job with slices in which every float is another one, and the shares of two shards in it: what
 * there is to be written, and compared with what is read. Needs CMocka's includes before it.
 *
 *     shares_setup      the job and its slices
 *     ...               a test sets what it wants other in them
 *     shares_take       fills them, and takes their states: slices in turns for the two shards
 *     shares_teardown
 */
#ifndef TESTS_UNIT_PERSIST_SHARES_H
#define TESTS_UNIT_PERSIST_SHARES_H

#include <stdbool.h>

#include "server/model/block.h"
#include "server/persist/arrays.h"
#include "tests/unit/model/drafts.h"

#define SHARES 2u

/* Views that steps of a slice have made, beside those that it has at once. */
typedef bool shares_views[STEPD_VIEWS];

struct shares {
    struct job *job;
    struct slice *slice; /* owned */
    struct block *block; /* owned; of each slice */
    shares_views *made;  /* owned; of each slice */
    struct job_state *share[SHARES];
};

/* The tensors of every job here, in this order: "big" of 30x50 elements, which is cut into slices
 * of DRAFT_SLICE_ELEMENTS; "tiny" and "two" of 4 and 2x3, which are packed; and "scalar". */
#define SHARES_TENSORS 4u

void shares_setup(struct shares *shares, const struct stepd_define_job *def);
/* The same of other tensors. */
void shares_setup_tensors(struct shares *shares, const struct stepd_define_job *def,
                          const struct stepd_tensor_def *tensor, size_t tensors);
/* As shares_setup, of one group "g", and two workers. */
void shares_setup_group(struct shares *shares, const char *optimizer, const char *settings);
void shares_take(struct shares *shares);
void shares_teardown(struct shares *shares);

struct arrays *shares_map(const struct shares *shares);

/* The files of a map, head and all. The caller frees with free(). */
uint8_t *shares_write(const struct arrays *arrays, enum arrays_file file, size_t *ret_bytes);

/* A whole state of a job, with what a manifest says of the slices of `shares`, whose job has the
 * same layout, and no arrays yet. The caller gives it back with job_state_unref. */
struct job_state *shares_blank(const struct shares *shares);
/* The same of one slice. */
void shares_blank_slice(const struct slice_state *from, struct slice_state *slice);

/* Maps a state, and reads both files into it. */
void shares_read(struct job_state *state, const struct shares *shares);

/* A slice's state, from the share that has it. */
const struct slice_state *shares_slice(const struct shares *shares, size_t slice);

#endif
