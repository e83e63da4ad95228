/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows of Adam, which adds weight decay to the gradient (L2), and of AdamW, which shrinks the
 * weights beside the adaptive step by lr * weight_decay. AdamW's paper leaves out that lr: its
 * weight decay is lr times PyTorch's, which is the one here. adam_kernel.c has the arithmetic.
 *
 * eps has PyTorch's place, outside the root of the corrected v. It must be a normal float above 0:
 * with 0, an element whose gradient has always been 0 would be 0/0, and its weight NaN.
 */
#include "server/optim/isa.h"
#include "server/optim/rows.h"

#include <float.h>

static const struct optim_hyper_spec adam_hyper[] = {
    {HYPER(lr), .fallback = 1e-3, .most = HYPER_MOST},
    {HYPER(beta1), .fallback = 0.9, .most = 1.0, .most_open = true},
    {HYPER(beta2), .fallback = 0.999, .most = 1.0, .most_open = true},
    {HYPER(eps), .fallback = 1e-8, .least = FLT_MIN, .most = 1.0},
    {HYPER(weight_decay), .fallback = 0.0, .most = HYPER_MOST},
};

static const struct optim_hyper_spec adamw_hyper[] = {
    {HYPER(lr), .fallback = 1e-3, .most = HYPER_MOST},
    {HYPER(beta1), .fallback = 0.9, .most = 1.0, .most_open = true},
    {HYPER(beta2), .fallback = 0.999, .most = 1.0, .most_open = true},
    {HYPER(eps), .fallback = 1e-8, .least = FLT_MIN, .most = 1.0},
    {HYPER(weight_decay), .fallback = 1e-2, .most = HYPER_MOST},
};

const struct optimizer adam_optimizer = {
    .name = "adam",
    .source = "Kingma and Ba 2015, algorithm 1; torch.optim.Adam",
    .scope = OPTIM_SCOPE_ELEMENT,
    .slot = {{.name = "exp_avg"}, {.name = "exp_avg_sq"}},
    .hypers = sizeof adam_hyper / sizeof adam_hyper[0],
    .hyper = adam_hyper,
    .step = OPTIM_EACH(adam_step),
};

const struct optimizer adamw_optimizer = {
    .name = "adamw",
    .source = "Loshchilov and Hutter 2019, algorithm 2, decay times lr; torch.optim.AdamW",
    .scope = OPTIM_SCOPE_ELEMENT,
    .slot = {{.name = "exp_avg"}, {.name = "exp_avg_sq"}},
    .hypers = sizeof adamw_hyper / sizeof adamw_hyper[0],
    .hyper = adamw_hyper,
    .step = OPTIM_EACH(adamw_step),
};
