/* SPDX-License-Identifier: Apache-2.0
 *
 * AdaDelta: one slice, one update. Compiled once per instruction set (isa.h).
 *
 * The order of operations is that of torch.optim.Adadelta's single-tensor path, each operation
 * rounded to float by itself. Scalars are computed in double and rounded to float once per call.
 *
 *     g <- g + weight_decay w                   only where weight_decay is not 0
 *     v <- rho v + ((1 - rho) g) g
 *     d <- (sqrt(a + eps) / sqrt(v + eps)) g
 *     a <- rho a + ((1 - rho) d) d
 *     w <- w - lr d
 */
#include <math.h>

#include "server/optim/isa.h"

/* A step's scalars as floats. */
struct adadelta_scalars {
    float lr;
    float rho;
    float one_minus_rho;
    float eps;
    float weight_decay;
    bool decays;
};

static struct adadelta_scalars adadelta_scalars(const struct optim_step *step)
{
    const struct optim_hyper *const hyper = step->hyper;
    return (struct adadelta_scalars){
        .lr = (float)step->lr,
        .rho = (float)hyper->rho,
        .one_minus_rho = (float)(1.0 - hyper->rho),
        .eps = (float)hyper->eps,
        .weight_decay = (float)hyper->weight_decay,
        .decays = hyper->weight_decay != 0.0,
    };
}

static void adapt(const struct adadelta_scalars k, size_t n, float *restrict w,
                  const float *restrict g, float *restrict v, float *restrict a)
{
    for (size_t i = 0; i < n; i++) {
        const float gi = k.decays ? g[i] + k.weight_decay * w[i] : g[i];
        v[i] = k.rho * v[i] + (k.one_minus_rho * gi) * gi;
        const float d = (sqrtf(a[i] + k.eps) / sqrtf(v[i] + k.eps)) * gi;
        a[i] = k.rho * a[i] + (k.one_minus_rho * d) * d;
        w[i] = w[i] - k.lr * d;
    }
}

/* The linter takes the macro for the name. NOLINTBEGIN(readability-identifier-naming) */
void OPTIM_KERNEL(adadelta_step)(const struct optim_step *step, size_t n, float *w, const float *g,
                                 float *const *slot)
{
    adapt(adadelta_scalars(step), n, w, g, slot[0], slot[1]);
}

/* NOLINTEND(readability-identifier-naming) */
