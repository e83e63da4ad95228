/* SPDX-License-Identifier: Apache-2.0
 *
 * The row of FTRL-proximal: AdaGrad's rates with an L1 that makes weights exactly 0. ftrl_kernel.c
 * has the arithmetic, which is the paper's algorithm 1 letter by letter: sign(z) l1, and l2 itself.
 *
 * Where references differ: Keras and TensorFlow have 2 l2 for l2 and an accumulator that begins at
 * 0.1, and no beta (a default of 0); MXNet has l1 0.01 by default; Monolith's kernel multiplies l1
 * by signbit(z), so that only negative z shrink. The paper has alpha for lr. Here l1 and l2 are 0
 * unless they are asked for, and lr and beta are those of MXNet and the paper.
 *
 * What to know, here as in every reference: weights are made anew from z and n in each update. So
 * their initial values are all but forgotten in the first one (an element without a gradient
 * becomes 0), and a schedule's rate scales the weights themselves, not steps: keep it constant.
 */
#include <math.h>

#include "proto/error.h"
#include "server/optim/isa.h"
#include "server/optim/rows.h"

static const struct optim_hyper_spec ftrl_hyper[] = {
    {HYPER(lr), .fallback = 0.1, .least_open = true, .most = HYPER_MOST},
    {HYPER(l1), .fallback = 0.0, .most = HYPER_MOST},
    {HYPER(l2), .fallback = 0.0, .most = HYPER_MOST},
    {HYPER(beta), .fallback = 1.0, .most = HYPER_MOST},
    {HYPER(initial_accumulator_value), .fallback = 0.0, .most = HYPER_MOST},
};

/* At a gradient whose square is lost, all that stands below a weight are these three. */
#define LEAST 1e-6

static enum stepd_status check(const struct optim_hyper *hyper, struct stepd_error *reterr)
{
    if (fmax(fmax(hyper->beta, hyper->l2), hyper->initial_accumulator_value) >= LEAST)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "one of beta, l2 and initial_accumulator_value of ftrl must be at least %g: "
                      "a tiny gradient would divide by 0",
                      LEAST);
}

const struct optimizer ftrl_optimizer = {
    .name = "ftrl",
    .source = "McMahan et al. 2013, algorithm 1",
    .scope = OPTIM_SCOPE_ELEMENT,
    .slot = {{.name = "z"}, {.name = "n"}},
    .hypers = sizeof ftrl_hyper / sizeof ftrl_hyper[0],
    .hyper = ftrl_hyper,
    .rules = "one of beta, l2 and initial_accumulator_value is at least 1e-6: a tiny gradient "
             "would divide by 0",
    .check = check,
    .step = OPTIM_EACH(ftrl_step),
};
