/* SPDX-License-Identifier: Apache-2.0
 *
 * The row of averaged SGD: a rate that falls with the number of updates, and beside the weights
 * their running mean, which is what the method answers with: `ax`. asgd_kernel.c has the
 * arithmetic. PyTorch leaves ax in its state; here the view `swa` hands it out, of a group whose
 * swa_start is t0 + 2 (the first update that both average over).
 *
 * The rate, eta, comes to a step late, as in PyTorch: the first update takes lr, update t takes
 * what lr and t - 1 of the update before gave. So eta is kept; mu, the mean's weight, follows from
 * t. Both are rounded to float, which is how PyTorch keeps them.
 */
#include "server/base/exact.h"
#include "server/optim/isa.h"
#include "server/optim/rows.h"

static const struct optim_hyper_spec asgd_hyper[] = {
    {HYPER(lr), .fallback = 1e-2, .most = HYPER_MOST},
    {HYPER(lambd), .fallback = 1e-4, .most = HYPER_MOST},
    {HYPER(alpha), .fallback = 0.75, .most = 10.0},
    {HYPER(t0), .fallback = 1e6, .most = 1e15},
    {HYPER(weight_decay), .fallback = 0.0, .most = HYPER_MOST},
};

static double rounded(double x)
{
    return (double)(float)x;
}

/*
 * scalar[0]: eta of this update; scalar[1]: eta of the next; scalar[2]: mu of this update.
 *
 *     eta <- lr / (1 + lambd lr t)^alpha
 *     mu  <- 1 / max(1, t - t0)
 */
static void prepare(const struct optim_step *step, double *scalar)
{
    const struct optim_hyper *const hyper = step->hyper;
    const double t = (double)step->t;
    const double averaged = t - 1.0 - hyper->t0; /* updates that were */
    scalar[0] = step->t == 1 ? rounded(step->lr) : scalar[1];
    scalar[1] = rounded(step->lr / exact_pow(1.0 + hyper->lambd * step->lr * t, hyper->alpha));
    scalar[2] = averaged > 1.0 ? rounded(1.0 / averaged) : 1.0;
}

const struct optimizer asgd_optimizer = {
    .name = "asgd",
    .source = "Polyak and Juditsky 1992; Xu 2011, equations 8 and 23; torch.optim.ASGD",
    .scope = OPTIM_SCOPE_ELEMENT,
    .slot = {{.name = "ax"}},
    .scalars = 3,
    .hypers = sizeof asgd_hyper / sizeof asgd_hyper[0],
    .hyper = asgd_hyper,
    .prepare = prepare,
    .step = OPTIM_EACH(asgd_step),
};
