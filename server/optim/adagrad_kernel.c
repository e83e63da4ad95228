/* SPDX-License-Identifier: Apache-2.0
 *
 * AdaGrad: one slice, one update. Compiled once per instruction set (isa.h).
 *
 * The order of operations is that of torch.optim.Adagrad's single-tensor path, each operation
 * rounded to float by itself. Scalars are computed in double and rounded to float once per call.
 *
 *     g <- g + weight_decay w               only where weight_decay is not 0
 *     r <- r + g g                          r is initial_accumulator_value before the first update
 *     w <- w - (rate g) / (sqrt(r) + eps)   rate = lr / (1 + (t - 1) lr_decay)
 */
#include <math.h>

#include "server/optim/isa.h"

/* A step's scalars as floats. */
struct adagrad_scalars {
    float rate;
    float weight_decay;
    float eps;
    float first; /* value of the sum before the first update */
    bool decays;
    bool fresh;
};

static struct adagrad_scalars adagrad_scalars(const struct optim_step *step)
{
    const struct optim_hyper *const hyper = step->hyper;
    return (struct adagrad_scalars){
        .rate = (float)(step->lr / (1.0 + (double)(step->t - 1) * hyper->lr_decay)),
        .weight_decay = (float)hyper->weight_decay,
        .eps = (float)hyper->eps,
        .first = (float)hyper->initial_accumulator_value,
        .decays = hyper->weight_decay != 0.0,
        .fresh = step->t == 1,
    };
}

static void adapt(const struct adagrad_scalars k, size_t n, float *restrict w,
                  const float *restrict g, float *restrict r)
{
    for (size_t i = 0; i < n; i++) {
        const float gi = k.decays ? g[i] + k.weight_decay * w[i] : g[i];
        r[i] = (k.fresh ? k.first : r[i]) + gi * gi;
        w[i] = w[i] - (k.rate * gi) / (sqrtf(r[i]) + k.eps);
    }
}

/* The linter takes the macro for the name. NOLINTBEGIN(readability-identifier-naming) */
void OPTIM_KERNEL(adagrad_step)(const struct optim_step *step, size_t n, float *w, const float *g,
                                float *const *slot)
{
    adapt(adagrad_scalars(step), n, w, g, slot[0]);
}

/* NOLINTEND(readability-identifier-naming) */
