/* SPDX-License-Identifier: Apache-2.0
 *
 * What a seed means: the job, and everything that a worker does by itself. A gradient is a pure
 * function of rank, clock, slice and the weights that were pulled, so that a push which is made
 * again is the same push, and a run with faults must end where one without them does.
 *
 * In async jobs the order of updates is open. There all weights and gradients are small whole
 * numbers, the same all over a slice: the sum is exact in any order, and a pull that mixes versions
 * shows.
 */
#ifndef TESTS_SIM_PLAN_H
#define TESTS_SIM_PLAN_H

#include "server/model/job.h"

enum { PLAN_TENSORS_MAX = 6, PLAN_SLICE_ELEMENTS = 256, PLAN_WORKERS_MAX = 5, PLAN_SHARDS_MAX = 3 };

struct plan {
    uint64_t seed;
    bool faults;
    uint64_t steps; /* of each worker */
    enum stepd_dtype push_dtype;
    enum stepd_dtype pull_dtype;
    struct job *job; /* owned */
};

/*
 * The plan of a seed, on `shards` shards (0: as many as the seed says), with or without faults.
 * Nothing else depends on the last two. Caller frees with plan_deinit.
 */
struct plan plan_init(uint64_t seed, uint32_t shards, bool faults);
void plan_deinit(struct plan *plan);

/* A number that belongs to these three and the seed. */
uint64_t plan_hash(const struct plan *plan, uint64_t a, uint64_t b, uint64_t c);

/* Examples behind a worker's push; now and then none. */
uint64_t plan_examples(const struct plan *plan, uint32_t rank, uint64_t clock);

/* A worker's gradient of a slice, from the weights that it holds, as the shard will see it:
 * narrowed to push_dtype and widened again. */
void plan_grad(const struct plan *plan, uint32_t rank, uint64_t clock, uint32_t slice,
               const float *weights, float *ret_grad);

/* Do the slice's first weights come from rank 0? And which. */
bool plan_is_assigned(const struct plan *plan, uint32_t slice);
void plan_values(const struct plan *plan, uint32_t slice, float *ret_values);

/* What is left of floats that travel in a dtype. */
void plan_round_trip(enum stepd_dtype dtype, size_t n, const float *floats, float *ret_floats);

/* The shards' longest deadline. Without faults nothing has to be asked twice: it is out of reach.
 */
uint32_t plan_wait_max_ms(const struct plan *plan);

/* Versions of a slice after all steps of all workers. */
uint64_t plan_last_version(const struct plan *plan);

/* Ends the test, with the seed and the reason. */
void plan_fail(const struct plan *plan, const char *fmt, ...) STEPD_PRINTF(2, 3);

#endif
