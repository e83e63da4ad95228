/* SPDX-License-Identifier: Apache-2.0
 *
 * The row of NAdam: Adam whose step looks one gradient ahead, as Nesterov's momentum does, with a
 * momentum mu that grows from beta1 / 2 to beta1. prepare() keeps the product of all mu up to now;
 * nadam_kernel.c has the arithmetic. With the letters of Dozat 2016, algorithm 2,
 *
 *     mu_t   = beta1 (1 - 0.96^(t momentum_decay) / 2)
 *     w     <- w - lr ((1 - mu_t) / (1 - mu_1 ... mu_t) g + mu_t+1 / (1 - mu_1 ... mu_t+1) m) / d
 *
 * PyTorch keeps the product in a float32 tensor. So does this: a double would be nearer to the
 * paper, and the weights now and then one bit away from PyTorch's.
 */
#include <float.h>

#include "server/base/exact.h"
#include "server/optim/isa.h"
#include "server/optim/nadam.h"
#include "server/optim/rows.h"

/* The base of the growth of mu: Dozat's choice. */
#define MU_BASE 0.96

static const struct optim_hyper_spec nadam_hyper[] = {
    {HYPER(lr), .fallback = 2e-3, .most = HYPER_MOST},
    {HYPER(beta1), .fallback = 0.9, .most = 1.0, .most_open = true},
    {HYPER(beta2), .fallback = 0.999, .most = 1.0, .most_open = true},
    {HYPER(eps), .fallback = 1e-8, .least = FLT_MIN, .most = 1.0},
    {HYPER(weight_decay), .fallback = 0.0, .most = HYPER_MOST},
    {HYPER_WORD(decay, optim_decay_words, OPTIM_DECAY_L2, OPTIM_DECAY_LR)},
    {HYPER(momentum_decay), .fallback = 4e-3, .most = HYPER_MOST},
};

static double mu_at(const struct optim_hyper *hyper, double t)
{
    return hyper->beta1 * (1.0 - 0.5 * exact_pow(MU_BASE, t * hyper->momentum_decay));
}

static void nadam_prepare(const struct optim_step *step, double *scalar)
{
    const double mu = mu_at(step->hyper, (double)step->t);
    const double next = mu_at(step->hyper, (double)step->t + 1.0);
    const float before = step->t == 1 ? 1.0f : (float)scalar[NADAM_PRODUCT];
    const double product = (double)(before * (float)mu);
    scalar[NADAM_PRODUCT] = product;
    scalar[NADAM_OF_GRADIENT] = step->lr * (1.0 - mu) / (1.0 - product);
    scalar[NADAM_OF_AVERAGE] = step->lr * next / (1.0 - product * next);
}

const struct optimizer nadam_optimizer = {
    .name = "nadam",
    .source = "Dozat 2016, algorithm 2; torch.optim.NAdam",
    .scope = OPTIM_SCOPE_ELEMENT,
    .slot = {{.name = "exp_avg"}, {.name = "exp_avg_sq"}},
    .scalars = NADAM_SCALARS,
    .hypers = sizeof nadam_hyper / sizeof nadam_hyper[0],
    .hyper = nadam_hyper,
    .prepare = nadam_prepare,
    .step = OPTIM_EACH(nadam_step),
};
