/* SPDX-License-Identifier: Apache-2.0
 *
 * Definitions for the tests of jobs and slices: one group of plain SGD that takes every tensor,
 * unless the test says otherwise.
 */
#ifndef TESTS_UNIT_MODEL_DRAFTS_H
#define TESTS_UNIT_MODEL_DRAFTS_H

#include "server/model/block.h"
#include "server/model/slice.h"

/* slice_elements of every definition here: tensors of at most SMALL elements are packed. */
enum { DRAFT_SLICE_ELEMENTS = 640, DRAFT_SMALL = DRAFT_SLICE_ELEMENTS / LAYOUT_PACK_DIVISOR };

/* A group of this optimizer for the tensors that match. */
struct stepd_group draft_group(const char *name, const char *match, const char *optimizer);

/* Sync, one worker, one group "all" of sgd. Static. */
struct stepd_define_job draft_definition(void);

/* The draft of a definition; it must be right. */
struct job_draft *draft_create(const struct stepd_define_job *def);

/* A tensor whose first weights are 0. `shape` is borrowed. */
struct stepd_tensor_def draft_tensor(const char *name, const uint64_t *shape, size_t dims);

/* Adds tensors from index `first` on. */
enum stepd_status draft_add(struct job_draft *draft, uint32_t first,
                            const struct stepd_tensor_def *tensor, size_t tensors,
                            struct stepd_error *reterr);

/* The same with the mark of the last page. */
enum stepd_status draft_add_last(struct job_draft *draft, uint32_t first,
                                 const struct stepd_tensor_def *tensor, size_t tensors,
                                 struct stepd_error *reterr);

/* The whole way: a job of these tensors, on one shard. The caller gives it back with job_unref. */
struct job *draft_job(const struct stepd_define_job *def, const struct stepd_tensor_def *tensor,
                      size_t tensors);

/* slice_init in a block for this slice alone, and the way back; of a slice that was not made, the
 * block is there all the same. */
enum stepd_status draft_slice_init(struct slice *slice, const struct job *job, uint32_t index,
                                   struct block *block);
void draft_slice_deinit(struct slice *slice, struct block *block);

#endif
