/* SPDX-License-Identifier: Apache-2.0
 *
 * RAdam: one slice, one update. Compiled once per instruction set (isa.h).
 *
 * The order of operations is that of torch.optim.RAdam's single-tensor path, each operation rounded
 * to float by itself; 1/d is rounded before it is multiplied. Scalars are computed in double and
 * rounded to float once per call. Decay, m and v as in moments.h; then, with the letters of Liu et
 * al. 2020, algorithm 2,
 *
 *     c1 = 1 - beta1^t, c2 = 1 - beta2^t
 *     rho_inf = 2 / (1 - beta2) - 1
 *     rho     = rho_inf - 2 t beta2^t / c2
 *     r       = sqrt((rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho))
 *
 *     w <- w - ((lr (m / c1)) (sqrt(c2) (1 / (sqrt(v) + eps)))) r      where rho > 5
 *     w <- w - lr (m / c1)                                             where not
 *
 * The paper says rho > 4. 5 is what its authors' code and PyTorch take, to be on the safe side: rho
 * is an approximation.
 */
#include <math.h>

#include "server/base/exact.h"
#include "server/optim/isa.h"
#include "server/optim/moments.h"

/* A call's scalars. */
struct radam_scalars {
    size_t n; /* elements */
    struct moments moments;
    float correction; /* c1 */
    float lr;
    float root_correction; /* sqrt(c2) */
    float eps;
    float rectification; /* r; 0: v is not to be trusted yet */
};

/* r, or 0 where it has no meaning. */
static double rectification(double beta2, uint64_t t)
{
    const double power = exact_powi(beta2, t);
    const double longest = 2.0 / (1.0 - beta2) - 1.0;
    const double rho = longest - 2.0 * (double)t * power / (1.0 - power);
    if (!(rho > 5.0))
        return 0.0;
    return sqrt((rho - 4.0) * (rho - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * rho));
}

static struct radam_scalars radam_scalars(const struct optim_step *step, size_t n)
{
    const struct optim_hyper *const hyper = step->hyper;
    return (struct radam_scalars){
        .n = n,
        .moments = moments_of(step),
        .correction = (float)(1.0 - exact_powi(hyper->beta1, step->t)),
        .lr = (float)step->lr,
        .root_correction = (float)sqrt(1.0 - exact_powi(hyper->beta2, step->t)),
        .eps = (float)hyper->eps,
        .rectification = (float)rectification(hyper->beta2, step->t),
    };
}

static void adapt(const struct radam_scalars k, float *restrict w, const float *restrict g,
                  float *restrict m, float *restrict v)
{
    for (size_t i = 0; i < k.n; i++) {
        const float gi = moments_gradient(k.moments, g[i], w[i]);
        m[i] = moments_first(k.moments, gi, m[i]);
        v[i] = moments_second(k.moments, gi, v[i]);
        const float rate = k.root_correction * (1.0f / (sqrtf(v[i]) + k.eps));
        const float change = (m[i] / k.correction * k.lr) * rate * k.rectification;
        w[i] = k.moments.shrink * w[i] - change;
    }
}

static void roll(const struct radam_scalars k, float *restrict w, const float *restrict g,
                 float *restrict m, float *restrict v)
{
    for (size_t i = 0; i < k.n; i++) {
        const float gi = moments_gradient(k.moments, g[i], w[i]);
        m[i] = moments_first(k.moments, gi, m[i]);
        v[i] = moments_second(k.moments, gi, v[i]);
        w[i] = k.moments.shrink * w[i] - m[i] / k.correction * k.lr;
    }
}

/* The linter takes the macro for the name. NOLINTBEGIN(readability-identifier-naming) */
void OPTIM_KERNEL(radam_step)(const struct optim_step *step, size_t n, float *w, const float *g,
                              float *const *slot)
{
    const struct radam_scalars k = radam_scalars(step, n);
    if (k.rectification != 0.0f)
        adapt(k, w, g, slot[0], slot[1]);
    else
        roll(k, w, g, slot[0], slot[1]);
}

/* NOLINTEND(readability-identifier-naming) */
