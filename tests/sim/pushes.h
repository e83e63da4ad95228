/* SPDX-License-Identifier: Apache-2.0
 *
 * What all workers push with one clock, taken together by hand: the mean gradient, with the loss
 * scales taken off, in rank order; the mean loss; and what the group does to a gradient before its
 * optimizer sees it.
 */
#ifndef TESTS_SIM_PUSHES_H
#define TESTS_SIM_PUSHES_H

#include "tests/sim/plan.h"
#include "tests/sim/reading.h"

/* Examples behind all pushes of a clock. */
uint64_t pushes_examples(const struct plan *plan, uint64_t clock);

/* What a rank pushes of a slice from these weights, its loss scale taken off. */
void pushes_one(const struct plan *plan, uint32_t rank, uint64_t clock, uint32_t slice,
                const float *weights, float *ret_floats);

/* The mean over the examples of all workers, which hold these weights. There are examples. */
void pushes_mean(const struct plan *plan, uint64_t clock, uint32_t slice, const float *weights,
                 float *ret_floats);

/* The mean of the losses that were told, over the examples behind them. NAN: none was. */
double pushes_loss(const struct plan *plan, uint64_t clock);

/* Climbs instead, clips: in place, n gradients and what stands behind them. */
void pushes_treat(const struct plan *plan, const struct reading *reading, uint32_t slice,
                  float *floats);

#endif
