/* SPDX-License-Identifier: Apache-2.0
 *
 * The row of Adamax: Adam with a decaying maximum of |g| where Adam has the root of a mean square.
 * adamax_kernel.c has the arithmetic, and PyTorch's place of eps: added to |g|, so that the maximum
 * is never 0.
 */
#include <float.h>

#include "server/optim/isa.h"
#include "server/optim/rows.h"

static const struct optim_hyper_spec adamax_hyper[] = {
    {HYPER(lr), .fallback = 2e-3, .most = HYPER_MOST},
    {HYPER(beta1), .fallback = 0.9, .most = 1.0, .most_open = true},
    {HYPER(beta2), .fallback = 0.999, .most = 1.0, .most_open = true},
    {HYPER(eps), .fallback = 1e-8, .least = FLT_MIN, .most = 1.0},
    {HYPER(weight_decay), .fallback = 0.0, .most = HYPER_MOST},
};

const struct optimizer adamax_optimizer = {
    .name = "adamax",
    .source = "Kingma and Ba 2015, algorithm 2; torch.optim.Adamax",
    .scope = OPTIM_SCOPE_ELEMENT,
    .slot = {{.name = "exp_avg"}, {.name = "exp_inf"}},
    .hypers = sizeof adamax_hyper / sizeof adamax_hyper[0],
    .hyper = adamax_hyper,
    .step = OPTIM_EACH(adamax_step),
};
