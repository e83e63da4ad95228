/* SPDX-License-Identifier: Apache-2.0
 *
 * NAdam: one slice, one update. Compiled once per instruction set (isa.h).
 *
 * The order of operations is that of torch.optim.NAdam's single-tensor path, each operation rounded
 * to float by itself. Scalars are computed in double and rounded to float once per call. Decay, m
 * and v as in moments.h; nadam.c has the rates a and b of gradient and average; then
 *
 *     d <- sqrt(v / (1 - beta2^t)) + eps
 *     w <- (w - (a g) / d) - (b m) / d
 */
#include <math.h>

#include "server/base/exact.h"
#include "server/optim/isa.h"
#include "server/optim/moments.h"
#include "server/optim/nadam.h"

/* A call's scalars. */
struct nadam_scalars {
    struct moments moments;
    float correction; /* 1 - beta2^t */
    float eps;
    float of_gradient;
    float of_average;
};

static struct nadam_scalars nadam_scalars(const struct optim_step *step)
{
    const struct optim_hyper *const hyper = step->hyper;
    return (struct nadam_scalars){
        .moments = moments_of(step),
        .correction = (float)(1.0 - exact_powi(hyper->beta2, step->t)),
        .eps = (float)hyper->eps,
        .of_gradient = (float)step->scalar[NADAM_OF_GRADIENT],
        .of_average = (float)step->scalar[NADAM_OF_AVERAGE],
    };
}

static void adapt(const struct nadam_scalars k, size_t n, float *restrict w,
                  const float *restrict g, float *restrict m, float *restrict v)
{
    for (size_t i = 0; i < n; i++) {
        const float gi = moments_gradient(k.moments, g[i], w[i]);
        m[i] = moments_first(k.moments, gi, m[i]);
        v[i] = moments_second(k.moments, gi, v[i]);
        const float d = sqrtf(v[i] / k.correction) + k.eps;
        const float half = k.moments.shrink * w[i] - (k.of_gradient * gi) / d;
        w[i] = half - (k.of_average * m[i]) / d;
    }
}

/* The linter takes the macro for the name. NOLINTBEGIN(readability-identifier-naming) */
void OPTIM_KERNEL(nadam_step)(const struct optim_step *step, size_t n, float *w, const float *g,
                              float *const *slot)
{
    adapt(nadam_scalars(step), n, w, g, slot[0], slot[1]);
}

/* NOLINTEND(readability-identifier-naming) */
