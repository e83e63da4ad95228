/* SPDX-License-Identifier: Apache-2.0
 *
 * Adam, AdamW and AMSGrad: one slice, one update. Compiled once per instruction set (isa.h).
 *
 * The order of operations is that of torch.optim.Adam's single-tensor path, each operation rounded
 * to float by itself. Scalars, the bias corrections among them, are computed in double and rounded
 * to float once per call. Decay, m and v as in moments.h; then
 *
 *     c1 = 1 - beta1^t, c2 = 1 - beta2^t     both 1 without bias correction
 *     x <- v                                 or, for AMSGrad, the largest v up to now (raw), the
 *                                            largest v / c2 (corrected; then c2 is 1 from here on)
 *     d <- sqrt(x) / sqrt(c2) + eps          eps outside the root
 *     d <- sqrt(x / c2 + eps)                eps inside
 *     w <- w - ((lr / c1) m) / d
 *
 * The third place of eps, `hat`, is the first with c2 moved into the step's size:
 *
 *     w <- w - ((lr sqrt(c2) / c1) m) / (sqrt(x) + eps)
 *
 * with v as torch.optim.SparseAdam has it, to which it belongs.
 *
 * Each form has a loop of its own, chosen once per call: a loop that asked would be slower. So
 * would one whose arrays are no restrict parameters.
 */
#include "server/optim/isa.h"

#include <math.h>

#include "server/base/exact.h"
#include "server/optim/moments.h"

/* A call's scalars. */
struct adam_scalars {
    size_t n; /* elements */
    struct moments moments;
    float before_max;      /* what v is divided by before AMSGrad's maximum */
    float correction;      /* c2, of the square */
    float root_correction; /* sqrt(c2), of the root */
    float eps;
    float step_size;
};

static struct adam_scalars adam_scalars(const struct optim_step *step, size_t n)
{
    const struct optim_hyper *const hyper = step->hyper;
    const bool corrects = hyper->bias_correction != 0.0;
    const double c1 = corrects ? 1.0 - exact_powi(hyper->beta1, step->t) : 1.0;
    const double c2 = corrects ? 1.0 - exact_powi(hyper->beta2, step->t) : 1.0;
    const bool hat = (enum optim_eps_mode)hyper->eps_mode == OPTIM_EPS_HAT;
    const bool early =
        hyper->amsgrad != 0.0 && (enum optim_max)hyper->amsgrad_max == OPTIM_MAX_CORRECTED;
    const double late = early ? 1.0 : c2; /* what is left of c2 for the root */
    return (struct adam_scalars){
        .n = n,
        .moments = moments_of(step),
        .before_max = early ? (float)c2 : 1.0f,
        .correction = (float)late,
        .root_correction = (float)sqrt(late),
        .eps = (float)hyper->eps,
        .step_size = (float)(hat ? step->lr * sqrt(c2) / c1 : step->lr / c1),
    };
}

static inline float eps_outside(const struct adam_scalars k, float x)
{
    return sqrtf(x) / k.root_correction + k.eps;
}

static inline float eps_inside(const struct adam_scalars k, float x)
{
    return sqrtf(x / k.correction + k.eps);
}

static inline float moved(const struct adam_scalars k, float w, float m, float d)
{
    return k.moments.shrink * w - (k.step_size * m) / d;
}

static void adapt(const struct adam_scalars k, float *restrict w, const float *restrict g,
                  float *restrict m, float *restrict v)
{
    for (size_t i = 0; i < k.n; i++) {
        const float gi = moments_gradient(k.moments, g[i], w[i]);
        m[i] = moments_first(k.moments, gi, m[i]);
        v[i] = moments_second(k.moments, gi, v[i]);
        w[i] = moved(k, w[i], m[i], eps_outside(k, v[i]));
    }
}

static void adapt_inside(const struct adam_scalars k, float *restrict w, const float *restrict g,
                         float *restrict m, float *restrict v)
{
    for (size_t i = 0; i < k.n; i++) {
        const float gi = moments_gradient(k.moments, g[i], w[i]);
        m[i] = moments_first(k.moments, gi, m[i]);
        v[i] = moments_second(k.moments, gi, v[i]);
        w[i] = moved(k, w[i], m[i], eps_inside(k, v[i]));
    }
}

static void adapt_hat(const struct adam_scalars k, float *restrict w, const float *restrict g,
                      float *restrict m, float *restrict v)
{
    for (size_t i = 0; i < k.n; i++) {
        const float gi = moments_gradient(k.moments, g[i], w[i]);
        m[i] = moments_first(k.moments, gi, m[i]);
        v[i] = moments_second_moved(k.moments, gi, v[i]);
        w[i] = moved(k, w[i], m[i], sqrtf(v[i]) + k.eps);
    }
}

static void adapt_most(const struct adam_scalars k, float *restrict w, const float *restrict g,
                       float *restrict m, float *restrict v, float *restrict most)
{
    for (size_t i = 0; i < k.n; i++) {
        const float gi = moments_gradient(k.moments, g[i], w[i]);
        m[i] = moments_first(k.moments, gi, m[i]);
        v[i] = moments_second(k.moments, gi, v[i]);
        most[i] = moments_larger(most[i], v[i] / k.before_max);
        w[i] = moved(k, w[i], m[i], eps_outside(k, most[i]));
    }
}

static void adapt_most_inside(const struct adam_scalars k, float *restrict w,
                              const float *restrict g, float *restrict m, float *restrict v,
                              float *restrict most)
{
    for (size_t i = 0; i < k.n; i++) {
        const float gi = moments_gradient(k.moments, g[i], w[i]);
        m[i] = moments_first(k.moments, gi, m[i]);
        v[i] = moments_second(k.moments, gi, v[i]);
        most[i] = moments_larger(most[i], v[i] / k.before_max);
        w[i] = moved(k, w[i], m[i], eps_inside(k, most[i]));
    }
}

static void adapt_most_hat(const struct adam_scalars k, float *restrict w, const float *restrict g,
                           float *restrict m, float *restrict v, float *restrict most)
{
    for (size_t i = 0; i < k.n; i++) {
        const float gi = moments_gradient(k.moments, g[i], w[i]);
        m[i] = moments_first(k.moments, gi, m[i]);
        v[i] = moments_second_moved(k.moments, gi, v[i]);
        most[i] = moments_larger(most[i], v[i]);
        w[i] = moved(k, w[i], m[i], sqrtf(most[i]) + k.eps);
    }
}

/* The linter takes the macro for the name. NOLINTBEGIN(readability-identifier-naming) */
void OPTIM_KERNEL(adam_step)(const struct optim_step *step, size_t n, float *w, const float *g,
                             float *const *slot)
{
    const struct adam_scalars k = adam_scalars(step, n);
    const enum optim_eps_mode eps_mode = (enum optim_eps_mode)step->hyper->eps_mode;
    const bool amsgrad = step->hyper->amsgrad != 0.0;
    if (amsgrad && eps_mode == OPTIM_EPS_INSIDE)
        adapt_most_inside(k, w, g, slot[0], slot[1], slot[2]);
    else if (amsgrad && eps_mode == OPTIM_EPS_HAT)
        adapt_most_hat(k, w, g, slot[0], slot[1], slot[2]);
    else if (amsgrad)
        adapt_most(k, w, g, slot[0], slot[1], slot[2]);
    else if (eps_mode == OPTIM_EPS_INSIDE)
        adapt_inside(k, w, g, slot[0], slot[1]);
    else if (eps_mode == OPTIM_EPS_HAT)
        adapt_hat(k, w, g, slot[0], slot[1]);
    else
        adapt(k, w, g, slot[0], slot[1]);
}

/* NOLINTEND(readability-identifier-naming) */
