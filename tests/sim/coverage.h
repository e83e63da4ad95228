/* SPDX-License-Identifier: Apache-2.0
 *
 * What the runs have led through, counted where it happens: a simulation that has never drawn an
 * optimizer, or never kept a view long enough to differ from the weights, says nothing of them.
 */
#ifndef TESTS_SIM_COVERAGE_H
#define TESTS_SIM_COVERAGE_H

#include <stdbool.h>
#include <stdint.h>

#include <stepd/types.h>

#include "server/optim/optimizer.h"
#include "server/schedule/schedule.h"

/* X(NAME, what is counted) */
#define COVERAGE_MAP(X)                                                                            \
    X(PHASE, "phases begun")                                                                       \
    X(PHASE_SCOPE, "phases begun in another scope")                                                \
    X(PHASE_AHEAD, "points to look ahead to given up for a phase")                                 \
    X(FROZEN, "frozen slices")                                                                     \
    X(NDIM, "tensors passed over for their dimensions")                                            \
    X(DEFAULT_OPTIMIZER, "phases with the default's optimizer")                                    \
    X(DEFAULT_HYPER, "hyperparameters from the defaults")                                          \
    X(DEFAULT_SCHEDULE, "schedules from the defaults")                                             \
    X(LR_MULT, "learning rates multiplied")                                                        \
    X(LECTURE, "presets of the lecture")                                                           \
    X(LOSS_SCALE, "pushes with a loss scale")                                                      \
    X(MAXIMIZE, "gradients turned")                                                                \
    X(CLIP, "values clipped")                                                                      \
    X(LOSS, "mean losses of several workers")                                                      \
    X(LOSS_OF_SOME, "losses of some workers only")                                                 \
    X(LOSS_OF_NONE, "losses of no examples, to be left out")                                       \
    X(PLATEAU_DROP, "drops of plateau")                                                            \
    X(CYCLED_MOMENTUM, "updates with a cycled momentum")                                           \
    X(CYCLED_BETA1, "updates with a cycled beta1")                                                 \
    X(SEARCH, "updates of a line search")                                                          \
    X(SKIPPED, "rounds without examples")                                                          \
    X(DECLINED, "updates that an optimizer declined")                                              \
    X(SERIAL, "updates of one push alone")                                                         \
    X(HESSIAN, "Hessians used")                                                                    \
    X(SWA_LATER, "views of a running mean that begin later")                                       \
    X(STALE_APPLIED, "updates of stale gradients")                                                 \
    X(SLOWED, "updates slowed down for their staleness")                                           \
    X(COMPENSATED, "delays compensated")                                                           \
    X(STALE_REFUSED, "pushes refused as too stale")                                                \
    X(LATE_DROPPED, "late pushes dropped")                                                         \
    X(LATE_APPLIED, "late pushes that counted in a later round")                                   \
    X(CLOSED_WITHOUT, "rounds closed without a member")                                            \
    X(CLOSED_BY_EXAMPLES, "rounds closed by examples")                                             \
    X(ACCUMULATED, "pushes that count towards a step to come")                                     \
    X(GATHERED, "rounds of several pushes of a worker")                                            \
    X(TURNED, "rounds of several turns of pushes")                                                 \
    X(ARRIVAL, "rounds summed as they arrived, of several")                                        \
    X(HELD, "connections held until there was a buffer for a slice")                               \
    X(HELD_BACK, "pulls held back for a slow worker")                                              \
    X(GAVE_UP, "workers that gave up waiting for each other")                                      \
    X(DEAF, "readers cut off that took nothing")                                                   \
    X(CHOKED, "connections whose replies piled up")                                                \
    X(CUT, "readers cut off for the memory of old versions")                                       \
    X(OBSERVED, "slices that observers got")                                                       \
    X(JUMP, "jumps of the clock")                                                                  \
    X(CRASH, "workers that died")                                                                  \
    X(RANK_TAKEN, "ranks whose lease had not run out")                                             \
    X(REPLACED, "workers replaced")                                                                \
    X(UNEVEN, "workers that left before others")                                                   \
    X(GATED, "versions of all slices together")                                                    \
    X(CLIPPED, "gradients clipped by norms")                                                       \
    X(SKIPPED_BY_ALL, "steps skipped for a NaN")                                                   \
    X(HALTED, "workers whose job was halted")                                                      \
    X(NONFINITE, "pushes refused for a NaN")

#define X(NAME, what) COVERAGE_##NAME,

enum coverage_thing { COVERAGE_MAP(X) COVERAGE_THINGS };

#undef X

enum { COVERAGE_OPTIMIZERS = 64, COVERAGE_HYPERS = 32, COVERAGE_KINDS = 32 };

struct coverage {
    uint64_t thing[COVERAGE_THINGS];
    uint64_t updates[COVERAGE_OPTIMIZERS];              /* by row of the table */
    uint64_t set[COVERAGE_OPTIMIZERS][COVERAGE_HYPERS]; /* phases that set it, by row and spec */
    uint64_t rates[COVERAGE_KINDS];                     /* updates, by row of the schedules */
    uint64_t part_rates[COVERAGE_KINDS];                /* the same as a part of another */
    uint64_t pulls[STEPD_VIEWS];                        /* slices */
    uint64_t apart[STEPD_VIEWS];                        /* of these, not the weights */
    uint64_t floats;                                    /* pulled of known versions */
    uint64_t nonfinite;                                 /* of these, NaN or infinite */
};

void coverage_count(struct coverage *coverage, enum coverage_thing thing, uint64_t times);

/* An update was made with a learning rate of this schedule. */
void coverage_update(struct coverage *coverage, const struct optimizer *optimizer,
                     const struct schedule *schedule);

/* A phase sets a hyperparameter: number `spec` of the row's. */
void coverage_set(struct coverage *coverage, const struct optimizer *optimizer, size_t spec);

/* Prints all counts. */
void coverage_print(const struct coverage *coverage);

/* Fails the test, with their names, if there is anything that was never counted. */
void coverage_check(const struct coverage *coverage);

#endif
