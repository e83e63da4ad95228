/* SPDX-License-Identifier: Apache-2.0
 *
 * A slice as its shard holds it: two buffers for versions of the weights, the optimizer's slots,
 * and for each rank a staging buffer, into which a gradient is received, and a record.
 *
 * A step writes version v+1 into the buffer of v itself when nobody else holds that, and into the
 * other buffer when that is free. When a reader still holds both, the step has to wait until one
 * is given back: never more than two versions are published at a time.
 *
 * All memory is allocated and touched by slice_init. Belongs to one shard's thread.
 */
#ifndef MODEL_SLICE_H
#define MODEL_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/model/job.h"
#include "server/model/record.h"
#include "server/model/weights.h"

struct slice_rank {
    float *staging; /* owned; plan->elements floats */
    struct record record;
};

struct slice {
    const struct job *job; /* borrowed: the shard holds a reference */
    uint32_t index;        /* in the job's layout */
    const struct slice_plan *plan;
    const struct group *group;

    uint64_t version; /* rounds (sync) or updates (async) that have closed */
    uint64_t t;       /* updates that were applied */
    bool valued;      /* the first weights are there */

    struct weights buffer[2];
    struct weights *current; /* one of them; the slice holds a reference */
    float *slot[OPTIMIZER_SLOTS_MAX];
    float *memory; /* owned: the two buffers' values, then the slots */

    size_t ranks;               /* the job's number of workers */
    struct slice_rank *by_rank; /* owned */
};

/*
 * Allocates, and computes the first weights. The slice stays without values (valued is false)
 * where a tensor in it has STEPD_INIT_VALUES. The slice must not move afterwards.
 * RESOURCE_EXHAUSTED: no memory. The caller frees with slice_deinit.
 */
enum stepd_status slice_init(struct slice *slice, const struct job *job,
                             uint32_t index) STEPD_MUST_CHECK;

/* A zeroed or half-initialised slice is fine. */
void slice_deinit(struct slice *slice);

/* Where version + 1 may be written (the current buffer itself, or the other one), or NULL while
 * readers hold both. */
struct weights *slice_next(struct slice *slice);

/* next, from slice_next, now holds version + 1. */
void slice_publish(struct slice *slice, struct weights *next);

/* version + 1 is the same weights: a round closed without an update. */
void slice_publish_same(struct slice *slice);

#endif
