/* SPDX-License-Identifier: Apache-2.0
 *
 * Adamax: one slice, one update. Compiled once per instruction set (isa.h).
 *
 * The order of operations is that of torch.optim.Adamax's single-tensor path, each operation
 * rounded to float by itself. Scalars are computed in double and rounded to float once per call.
 * Decay (l2) and m as in moments.h; then
 *
 *     u <- max(beta2 u, |g| + eps)
 *     w <- w - ((lr / (1 - beta1^t)) m) / u
 */
#include <math.h>

#include "server/base/exact.h"
#include "server/optim/isa.h"
#include "server/optim/moments.h"

/* A call's scalars. */
struct adamax_scalars {
    struct moments moments;
    float eps;
    float step_size; /* lr / (1 - beta1^t) */
};

static struct adamax_scalars adamax_scalars(const struct optim_step *step)
{
    const struct optim_hyper *const hyper = step->hyper;
    return (struct adamax_scalars){
        .moments = moments_of(step),
        .eps = (float)hyper->eps,
        .step_size = (float)(step->lr / (1.0 - exact_powi(hyper->beta1, step->t))),
    };
}

static void adapt(const struct adamax_scalars k, size_t n, float *restrict w,
                  const float *restrict g, float *restrict m, float *restrict u)
{
    for (size_t i = 0; i < n; i++) {
        const float gi = moments_gradient(k.moments, g[i], w[i]);
        m[i] = moments_first(k.moments, gi, m[i]);
        u[i] = moments_larger(k.moments.beta2 * u[i], fabsf(gi) + k.eps);
        w[i] = w[i] - (k.step_size * m[i]) / u[i];
    }
}

/* The linter takes the macro for the name. NOLINTBEGIN(readability-identifier-naming) */
void OPTIM_KERNEL(adamax_step)(const struct optim_step *step, size_t n, float *w, const float *g,
                               float *const *slot)
{
    adapt(adamax_scalars(step), n, w, g, slot[0], slot[1]);
}

/* NOLINTEND(readability-identifier-naming) */
