/* SPDX-License-Identifier: Apache-2.0
 *
 * An optimizer at work on one slice, during one phase: its state, in arrays of their own that are
 * just as long as they must be, and its updates.
 */
#ifndef TESTS_SIM_STEPPER_H
#define TESTS_SIM_STEPPER_H

#include "tests/sim/plan.h"
#include "tests/sim/reading.h"

/* What the optimizer sees as one: the slice, or a tensor of it. */
struct stepper_whole {
    size_t n;
    size_t tensors;
    struct optim_shape shape[DEFINITION_TENSORS_MAX];
    float *slot[OPTIMIZER_SLOTS_MAX]; /* owned */
    double scalar[OPTIMIZER_SCALARS_MAX];
};

struct stepper {
    const struct optimizer *optimizer;
    size_t wholes;
    struct stepper_whole whole[DEFINITION_TENSORS_MAX];
};

/* What an update is made of: n gradients and what the group wants behind them. */
struct stepper_gradient {
    const float *g;
    const float *extra; /* NULL: none */
    double loss;        /* NAN: not known */
};

/* Begins with nothing. Caller frees with stepper_end. */
void stepper_begin(struct stepper *stepper, const struct plan *plan, uint32_t slice,
                   const struct reading_phase *phase);
void stepper_end(struct stepper *stepper);

/* One update of the slice's weights in place. False: the optimizer declined. */
bool stepper_update(struct stepper *stepper, const struct optim_step *terms,
                    const struct stepper_gradient *gradient, float *w);

/* Where the next gradient is to be computed, of an optimizer that looks ahead. */
void stepper_look_ahead(const struct stepper *stepper, const struct optim_step *terms,
                        const float *w, float *ret_ahead);

#endif
