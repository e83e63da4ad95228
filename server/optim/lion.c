/* SPDX-License-Identifier: Apache-2.0
 *
 * The row of Lion: the sign of a mean of gradients, with decoupled weight decay. lion_kernel.c has
 * the arithmetic. Defaults are those of the authors' code (google/automl, lion_pytorch.py), whose
 * weight decay is 0; optax has 1e-3. Decay is multiplied by lr everywhere.
 */
#include "server/optim/isa.h"
#include "server/optim/rows.h"

static const struct optim_hyper_spec lion_hyper[] = {
    {HYPER(lr), .fallback = 1e-4, .most = HYPER_MOST},
    {HYPER(beta1), .fallback = 0.9, .most = 1.0, .most_open = true},
    {HYPER(beta2), .fallback = 0.99, .most = 1.0, .most_open = true},
    {HYPER(weight_decay), .fallback = 0.0, .most = HYPER_MOST},
};

const struct optimizer lion_optimizer = {
    .name = "lion",
    .source = "Chen et al. 2023, algorithm 2",
    .scope = OPTIM_SCOPE_ELEMENT,
    .slot = {{.name = "exp_avg"}},
    .hypers = sizeof lion_hyper / sizeof lion_hyper[0],
    .hyper = lion_hyper,
    .step = OPTIM_EACH(lion_step),
};
