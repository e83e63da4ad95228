/* SPDX-License-Identifier: Apache-2.0
 *
 * What a seed means: the job, and everything that a worker does by itself. A gradient is a pure
 * function of rank, clock, slice and the weights that were pulled, so that a push which is made
 * again is the same push.
 *
 * In some jobs it is known beforehand which pushes make which version: in sync jobs whose rounds
 * wait for all members, and in those of one worker. There a run with faults must end where one
 * without them does.
 */
#ifndef TESTS_SIM_PLAN_H
#define TESTS_SIM_PLAN_H

#include "server/model/job.h"
#include "tests/sim/course.h"
#include "tests/sim/definition.h"

enum {
    PLAN_WORKERS_MAX = 5,
    PLAN_SHARDS_MAX = 3,
    PLAN_STEPS_MAX = 10,
    PLAN_LEASE_MS = 1000,
    PLAN_FLOATS_MAX = DEFINITION_FLOATS_MAX, /* of a slice, and of a push of it */
};

struct plan {
    uint64_t seed;
    bool faults;
    uint64_t steps;                      /* of the worker that takes most: its pushes of a slice */
    uint64_t steps_of[PLAN_WORKERS_MAX]; /* by rank */
    bool exact;     /* each version is made of all workers' pushes of its clocks */
    bool same_bits; /* and always has the same weights */
    bool spoils;    /* now and then there is a NaN or an infinity in a push */
    bool losses;    /* every push has one; else some */
    bool steady;    /* losses and examples are the same in every round */
    bool calm;      /* loss scales too, and shards wait long enough for a daemon that comes back */
    enum stepd_dtype push_dtype;
    enum stepd_dtype pull_dtype;
    struct drawing drawing; /* owned; the definition lives in it */
    struct definition def;
    struct job *job;           /* owned; what the daemon makes of the definition */
    struct course *course;     /* borrowed */
    struct coverage *coverage; /* the course's */
};

/*
 * The plan of a seed, on `shards` shards (0: as many as the seed says), with or without faults.
 * Nothing else depends on the last two. How the run goes is noted in course, which is borrowed.
 * Caller frees with plan_deinit.
 */
void plan_init(struct plan *plan, uint64_t seed, uint32_t shards, bool faults,
               struct course *course);
void plan_deinit(struct plan *plan);

/* The same with workers that make no mistakes: nothing is not finite in what they push, and
 * examples, loss and loss scale of a worker are the same in every push, so that pushes of several
 * clocks can be made by one operation. */
void plan_calm(struct plan *plan);

/* A number that belongs to these three and the seed. */
uint64_t plan_hash(const struct plan *plan, uint64_t a, uint64_t b, uint64_t c);

/* Examples behind a worker's push; now and then none. */
uint64_t plan_examples(const struct plan *plan, uint32_t rank, uint64_t clock);

/* What a worker's push says of its loss, if anything; it may also where it has no examples. */
bool plan_loss(const struct plan *plan, uint32_t rank, uint64_t clock, double *ret_loss);

/* What a worker multiplies everything that it pushes by. */
double plan_loss_scale(const struct plan *plan, uint32_t rank, uint64_t clock);

/* Floats that a push brings for a slice. */
size_t plan_push_floats(const struct plan *plan, uint32_t slice);

/* A worker's push of a slice, from the weights that it holds, as the shard will see it: scaled,
 * narrowed to push_dtype and widened again. The gradient, and behind it what the group wants. */
void plan_push(const struct plan *plan, uint32_t rank, uint64_t clock, uint32_t slice,
               const float *weights, float *ret_floats);

/* Puts a NaN or an infinity into a push, if it is one of those that have one. */
void plan_spoil(const struct plan *plan, uint32_t rank, uint64_t clock, uint32_t slice,
                float *floats);

/* Is a push with a NaN refused, so that it counts when it is sent again without? */
bool plan_refuses_spoilt(const struct plan *plan);

/* Do the slice's first weights come from rank 0? And which. */
bool plan_is_assigned(const struct plan *plan, uint32_t slice);
void plan_values(const struct plan *plan, uint32_t slice, float *ret_values);

/* What is left of floats that travel in a dtype. */
void plan_round_trip(enum stepd_dtype dtype, size_t n, const float *floats, float *ret_floats);

/* May a push come too late for its round? */
bool plan_may_be_late(const struct plan *plan);

/* May the job end before its time, for a NaN? */
bool plan_may_halt(const struct plan *plan);

/* May a request wait for what never comes? That of a halted job does. And workers may wait for each
 * other in a ring, each for the next push to another slice, until one of them gives up: where late
 * pushes count in the next round, where a worker may be late for some of the slices that close
 * together, or where it takes over from one that was late for some. */
bool plan_may_wait_for_ever(const struct plan *plan);

/* The shards' longest deadline. Without faults nothing has to be asked twice: it is out of reach,
 * unless workers may wait for ever. */
uint32_t plan_wait_max_ms(const struct plan *plan);

/* Versions that are made of the pushes of all workers up to a clock, of an exact sync job: there
 * may be some for a step to come besides. */
uint64_t plan_version_after(const struct plan *plan, uint64_t clock);

/* The same where ranks have left after a clock of theirs, some before their last step: they may
 * have given up waiting. UINT64_MAX: one has not left. */
uint64_t plan_version_until(const struct plan *plan, const uint64_t *last_clock, uint64_t clock);

/* Versions of a slice after all steps of all workers, of an exact job. */
uint64_t plan_last_version(const struct plan *plan);

/* Prints what happens, if the run is traced. */
void plan_trace(const struct plan *plan, const char *fmt, ...) STEPD_PRINTF(2, 3);

/* Ends the test, with the reason, the event, and the command that leads there again. */
void plan_fail(const struct plan *plan, const char *fmt, ...) STEPD_PRINTF(2, 3);

#endif
