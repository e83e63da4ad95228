/* SPDX-License-Identifier: Apache-2.0
 *
 * What a round is made of, taken together by hand: each push with its loss scale taken off; their
 * mean over the examples, in rank order or as they arrived, which is held against the same in
 * double; the mean loss; and what is done to a gradient before its optimizer sees it.
 */
#ifndef TESTS_SIM_PUSHES_H
#define TESTS_SIM_PUSHES_H

#include "tests/sim/plan.h"
#include "tests/sim/reading.h"

enum { PUSH_PARTS_MAX = PLAN_WORKERS_MAX * PLAN_STEPS_MAX };

/* A push that counts in a round. */
struct push_part {
    uint32_t rank;
    uint64_t clock;
    uint64_t base_version; /* whose weights the gradient was computed at */
};

struct push_round {
    size_t parts;
    struct push_part part[PUSH_PARTS_MAX]; /* in the order of their arrival */
};

/* What each part of a round has pushed of one slice, in the same order. */
struct push_floats {
    float of_part[PUSH_PARTS_MAX][PLAN_FLOATS_MAX];
};

/* Examples behind a round. */
uint64_t pushes_examples(const struct plan *plan, const struct push_round *round);

/* What a part brings of a slice from these weights, its loss scale taken off. */
void pushes_one(const struct plan *plan, const struct push_part *part, uint32_t slice,
                const float *weights, float *ret_floats);

/* The mean over the examples. There are some. */
void pushes_mean(const struct plan *plan, const struct push_round *round, uint32_t slice,
                 const struct push_floats *pushed, float *ret_floats);

/* The mean of the losses that were told, over the examples behind them. NAN: none was. */
double pushes_loss(const struct plan *plan, const struct push_round *round);

/* How a gradient is treated, beside what its group says. */
struct push_treatment {
    const float *factor; /* by tensor: clipping by norms; NULL: 1 */
    const float *now;    /* the newest weights, and those that it was computed at, where its */
    const float *then;   /* delay is to be compensated; else NULL */
};

/* In place, n gradients and what stands behind them. */
void pushes_treat(const struct plan *plan, const struct reading *reading, uint32_t slice,
                  const struct push_treatment *treatment, float *floats);

#endif
