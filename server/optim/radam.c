/* SPDX-License-Identifier: Apache-2.0
 *
 * The row of RAdam: Adam that takes plain steps of momentum while too few gradients were seen for v
 * to mean anything, and rectifies its adaptive rate by v's variance later. radam_kernel.c has the
 * arithmetic, and PyTorch's place of eps: beside the uncorrected root.
 */
#include <float.h>

#include "server/optim/isa.h"
#include "server/optim/rows.h"

static const struct optim_hyper_spec radam_hyper[] = {
    {HYPER(lr), .fallback = 1e-3, .most = HYPER_MOST},
    {HYPER(beta1), .fallback = 0.9, .most = 1.0, .most_open = true},
    {HYPER(beta2), .fallback = 0.999, .most = 1.0, .most_open = true},
    {HYPER(eps), .fallback = 1e-8, .least = FLT_MIN, .most = 1.0},
    {HYPER(weight_decay), .fallback = 0.0, .most = HYPER_MOST},
    {HYPER_WORD(decay, optim_decay_words, OPTIM_DECAY_L2, OPTIM_DECAY_LR)},
};

const struct optimizer radam_optimizer = {
    .name = "radam",
    .source = "Liu et al. 2020, algorithm 2; torch.optim.RAdam",
    .scope = OPTIM_SCOPE_ELEMENT,
    .slot = {{.name = "exp_avg"}, {.name = "exp_avg_sq"}},
    .hypers = sizeof radam_hyper / sizeof radam_hyper[0],
    .hyper = radam_hyper,
    .step = OPTIM_EACH(radam_step),
};
