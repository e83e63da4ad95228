/* SPDX-License-Identifier: Apache-2.0
 *
 * The row of AdaGrad: each element's rate is divided by the root of the sum of its squared
 * gradients. adagrad_kernel.c has the arithmetic.
 *
 * All references but one add eps outside the root, as here: PyTorch 1e-10, the book 1e-7, MXNet
 * 1e-6. optax puts 1e-7 inside, beside a first accumulator value of 0.1. eps must be a normal float
 * above 0: an element whose gradient has always been 0 would be 0/0.
 */
#include <float.h>

#include "server/optim/isa.h"
#include "server/optim/rows.h"

static const struct optim_hyper_spec adagrad_hyper[] = {
    {HYPER(lr), .fallback = 1e-2, .most = HYPER_MOST},
    {HYPER(lr_decay), .fallback = 0.0, .most = HYPER_MOST},
    {HYPER(weight_decay), .fallback = 0.0, .most = HYPER_MOST},
    {HYPER(initial_accumulator_value), .fallback = 0.0, .most = HYPER_MOST},
    {HYPER(eps), .fallback = 1e-10, .least = FLT_MIN, .most = 1.0},
};

const struct optimizer adagrad_optimizer = {
    .name = "adagrad",
    .source = "Duchi et al. 2011, section 1.3, the diagonal form; Deep Learning, algorithm 8.4; "
              "torch.optim.Adagrad",
    .scope = OPTIM_SCOPE_ELEMENT,
    .slot = {{.name = "sum"}},
    .hypers = sizeof adagrad_hyper / sizeof adagrad_hyper[0],
    .hyper = adagrad_hyper,
    .lecture = {{"eps", 1e-7}},
    .step = OPTIM_EACH(adagrad_step),
};
