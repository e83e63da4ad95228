/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows of AdaBound and AMSBound: Adam whose rate for each element is clipped between two
 * bounds, which close in on final_lr as steps go by. It begins as Adam and ends as SGD with
 * momentum. The form is that of the authors' package: eps beside the uncorrected v, the bias
 * corrections in the rate, weight decay added to the gradient. adabound_kernel.c has the
 * arithmetic.
 *
 * A schedule moves the bounds as well: they stand for final_lr lr / (lr before the schedule).
 * AMSBound is AdaBound with AMSGrad's maximum of v (`amsgrad`; the package's argument is called
 * amsbound).
 */
#include <float.h>

#include "proto/error.h"
#include "server/optim/isa.h"
#include "server/optim/rows.h"

/* The upper bound begins at final_lr (1 + 1/gamma), which must be a float. */
#define GAMMA_LEAST 1e-9

static const struct optim_hyper_spec adabound_hyper[] = {
    {HYPER(lr), .fallback = 1e-3, .most = HYPER_MOST},
    {HYPER(beta1), .fallback = 0.9, .most = 1.0, .most_open = true},
    {HYPER(beta2), .fallback = 0.999, .most = 1.0, .most_open = true},
    {HYPER(eps), .fallback = 1e-8, .least = FLT_MIN, .most = 1.0},
    {HYPER(weight_decay), .fallback = 0.0, .most = HYPER_MOST},
    {HYPER(final_lr), .fallback = 0.1, .most = HYPER_MOST},
    {HYPER(gamma), .fallback = 1e-3, .least = GAMMA_LEAST, .most = 1.0, .most_open = true},
    {HYPER_BOOL(amsgrad, 0.0)},
};

static const struct optim_hyper_spec amsbound_hyper[] = {
    {HYPER(lr), .fallback = 1e-3, .most = HYPER_MOST},
    {HYPER(beta1), .fallback = 0.9, .most = 1.0, .most_open = true},
    {HYPER(beta2), .fallback = 0.999, .most = 1.0, .most_open = true},
    {HYPER(eps), .fallback = 1e-8, .least = FLT_MIN, .most = 1.0},
    {HYPER(weight_decay), .fallback = 0.0, .most = HYPER_MOST},
    {HYPER(final_lr), .fallback = 0.1, .most = HYPER_MOST},
    {HYPER(gamma), .fallback = 1e-3, .least = GAMMA_LEAST, .most = 1.0, .most_open = true},
    {HYPER_BOOL(amsgrad, 1.0)},
};

static bool keeps_maximum(const struct optim_hyper *hyper)
{
    return hyper->amsgrad != 0.0;
}

static enum stepd_status amsbound_check(const struct optim_hyper *hyper, struct stepd_error *reterr)
{
    if (hyper->amsgrad == 0.0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "amsbound without amsgrad is adabound: use that");
    return STEPD_OK;
}

const struct optimizer adabound_optimizer = {
    .name = "adabound",
    .source = "Luo, Xiong, Liu and Sun 2019, algorithm 2; the authors' package adabound",
    .scope = OPTIM_SCOPE_ELEMENT,
    .slot = {{.name = "exp_avg"},
             {.name = "exp_avg_sq"},
             {.name = "max_exp_avg_sq", .used = keeps_maximum}},
    .hypers = sizeof adabound_hyper / sizeof adabound_hyper[0],
    .hyper = adabound_hyper,
    .step = OPTIM_EACH(adabound_step),
};

const struct optimizer amsbound_optimizer = {
    .name = "amsbound",
    .source = "Luo, Xiong, Liu and Sun 2019, algorithm 3; the authors' package adabound",
    .scope = OPTIM_SCOPE_ELEMENT,
    .slot = {{.name = "exp_avg"},
             {.name = "exp_avg_sq"},
             {.name = "max_exp_avg_sq", .used = keeps_maximum}},
    .hypers = sizeof amsbound_hyper / sizeof amsbound_hyper[0],
    .hyper = amsbound_hyper,
    .rules = "amsgrad stays true: without it this is adabound",
    .check = amsbound_check,
    .step = OPTIM_EACH(adabound_step),
};
