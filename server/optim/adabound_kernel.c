/* SPDX-License-Identifier: Apache-2.0
 *
 * AdaBound and AMSBound: one slice, one update. Compiled once per instruction set (isa.h).
 *
 * The order of operations is that of the authors' package (Luo et al. 2019), each operation rounded
 * to float by itself. Scalars are computed in double and rounded to float once per call.
 *
 *     g <- g + weight_decay w                          only where weight_decay is not 0
 *     m <- beta1 m + (1 - beta1) g
 *     v <- beta2 v + ((1 - beta2) g) g
 *     x <- v, or for AMSBound the largest v up to now
 *     r <- (lr sqrt(1 - beta2^t) / (1 - beta1^t)) / (sqrt(x) + eps)
 *     r <- clip(r, a (1 - 1 / (gamma t + 1)), a (1 + 1 / (gamma t)))
 *     w <- w - r m
 *
 * a is final_lr times the schedule's multiplier, lr of this step / lr before the schedule. Where
 * lr before the schedule is 0 no multiplier can be told; a is 0 then, and nothing moves.
 */
#include <math.h>

#include "server/base/exact.h"
#include "server/optim/isa.h"
#include "server/optim/moments.h"

/* A call's scalars. */
struct adabound_scalars {
    size_t n; /* elements */
    struct moments moments;
    float beta1;
    float one_minus_beta1;
    float eps;
    float step_size;
    float lower;
    float upper;
};

static struct adabound_scalars adabound_scalars(const struct optim_step *step, size_t n)
{
    const struct optim_hyper *const hyper = step->hyper;
    const double c1 = 1.0 - exact_powi(hyper->beta1, step->t);
    const double c2 = 1.0 - exact_powi(hyper->beta2, step->t);
    const double last = hyper->lr == 0.0 ? 0.0 : hyper->final_lr * step->lr / hyper->lr;
    const double progress = hyper->gamma * (double)step->t;
    return (struct adabound_scalars){
        .n = n,
        .moments = moments_of(step),
        .beta1 = (float)hyper->beta1,
        .one_minus_beta1 = (float)(1.0 - hyper->beta1),
        .eps = (float)hyper->eps,
        .step_size = (float)(step->lr * sqrt(c2) / c1),
        .lower = (float)(last * (1.0 - 1.0 / (progress + 1.0))),
        .upper = (float)(last * (1.0 + 1.0 / progress)),
    };
}

/* The next w; x: v, or its maximum. */
static inline float bounded(const struct adabound_scalars k, float w, float m, float x)
{
    const float rate = k.step_size / (sqrtf(x) + k.eps);
    const float raised = rate < k.lower ? k.lower : rate;
    return w - (raised > k.upper ? k.upper : raised) * m;
}

static void adabound(const struct adabound_scalars k, float *restrict w, const float *restrict g,
                     float *restrict m, float *restrict v)
{
    for (size_t i = 0; i < k.n; i++) {
        const float gi = moments_gradient(k.moments, g[i], w[i]);
        m[i] = k.beta1 * m[i] + k.one_minus_beta1 * gi;
        v[i] = moments_second(k.moments, gi, v[i]);
        w[i] = bounded(k, w[i], m[i], v[i]);
    }
}

static void amsbound(const struct adabound_scalars k, float *restrict w, const float *restrict g,
                     float *restrict m, float *restrict v, float *restrict most)
{
    for (size_t i = 0; i < k.n; i++) {
        const float gi = moments_gradient(k.moments, g[i], w[i]);
        m[i] = k.beta1 * m[i] + k.one_minus_beta1 * gi;
        v[i] = moments_second(k.moments, gi, v[i]);
        most[i] = moments_larger(most[i], v[i]);
        w[i] = bounded(k, w[i], m[i], most[i]);
    }
}

/* The linter takes the macro for the name. NOLINTBEGIN(readability-identifier-naming) */
void OPTIM_KERNEL(adabound_step)(const struct optim_step *step, size_t n, float *w, const float *g,
                                 float *const *slot)
{
    const struct adabound_scalars k = adabound_scalars(step, n);
    if (step->hyper->amsgrad != 0.0)
        amsbound(k, w, g, slot[0], slot[1], slot[2]);
    else
        adabound(k, w, g, slot[0], slot[1]);
}

/* NOLINTEND(readability-identifier-naming) */
