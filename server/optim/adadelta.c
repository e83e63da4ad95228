/* SPDX-License-Identifier: Apache-2.0
 *
 * The row of AdaDelta: the step has the root mean square of past steps over that of past gradients
 * for its size, and so the weight's unit. adadelta_kernel.c has the arithmetic.
 *
 * eps stands inside both roots in the paper and everywhere; it is what the first step is made of.
 * The paper has no learning rate: PyTorch's 1 is that. (Keras has 1e-3, which is another method.)
 */
#include <float.h>

#include "server/optim/isa.h"
#include "server/optim/rows.h"

static const struct optim_hyper_spec adadelta_hyper[] = {
    {HYPER(lr), .fallback = 1.0, .most = HYPER_MOST},
    {HYPER(rho), .fallback = 0.9, .most = 1.0},
    {HYPER(eps), .fallback = 1e-6, .least = FLT_MIN, .most = 1.0},
    {HYPER(weight_decay), .fallback = 0.0, .most = HYPER_MOST},
};

const struct optimizer adadelta_optimizer = {
    .name = "adadelta",
    .source = "Zeiler 2012, algorithm 1; torch.optim.Adadelta",
    .scope = OPTIM_SCOPE_ELEMENT,
    .slot = {{.name = "square_avg"}, {.name = "acc_delta"}},
    .hypers = sizeof adadelta_hyper / sizeof adadelta_hyper[0],
    .hyper = adadelta_hyper,
    .step = OPTIM_EACH(adadelta_step),
};
