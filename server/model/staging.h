/* SPDX-License-Identifier: Apache-2.0
 *
 * Staging: the buffers that the gradients of a job are received into on one shard. They do not
 * belong to slices. A push takes one when its slice's turn in the payload comes, and it is given
 * back when the push was dropped or its round has settled:
 *
 *     free --take--> receives --it counts--> counted --round settled, or retracted--> free
 *                        |----added to what its rank has already-------------------->|
 *                        `----refused, or its sender has died----------------------->'
 *
 * So a buffer is in exactly one place: on its stack, in slice_rank.staging, or in
 * contribution.grad. What is given back last is taken first: one worker's slices are all received
 * into the same buffer, which stays in the processor's cache, instead of each into cold memory of
 * its own.
 *
 * There are as many as all open rounds can hold at once, so taking one never fails: a buffer for
 * each slice and worker, two where several pushes make a step. Where gradients are added up as they
 * arrive, a buffer is held only while a slice comes in, and there are JOB_LANDINGS of them, as long
 * as the longest slice, however many the workers are. Then whoever receives over a time takes one
 * only where another is left (staging_has_spare): for those who need it for a moment, within one
 * call, there always is one.
 *
 * All memory is allocated and touched by staging_init. Belongs to one shard's thread.
 */
#ifndef MODEL_STAGING_H
#define MODEL_STAGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/model/block.h"
#include "server/model/job.h"

/* Buffers of one length. */
struct staging_stack {
    size_t floats;  /* of each, padded */
    size_t buffers; /* in all */
    size_t free;    /* on the stack */
    float **buffer; /* (buffers,); the first `free` of them are free */
};

struct staging {
    size_t stacks;
    struct staging_stack *stack; /* owned; by length */
    float **buffer;              /* owned; of all stacks */
    struct block memory;         /* owned; all buffers */
};

/* RESOURCE_EXHAUSTED: no memory. The caller frees with staging_deinit. */
enum stepd_status staging_init(struct staging *staging, const struct job *job,
                               uint32_t shard) STEPD_MUST_CHECK;

/* A zeroed or half-initialised one is fine. */
void staging_deinit(struct staging *staging);

/* The stack that a slice's pushes take from; NULL: it is frozen, and they bring nothing. */
struct staging_stack *staging_of(const struct staging *staging, const struct job *job,
                                 const struct slice_plan *slice);

/* Is there one besides the last? */
bool staging_has_spare(const struct staging_stack *stack);

/* A buffer that is on no other's mind; what it holds is anything. */
float *staging_take(struct staging_stack *stack);

/* NULL is fine. */
void staging_give(struct staging_stack *stack, float *buffer);

#endif
