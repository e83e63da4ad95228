/* SPDX-License-Identifier: Apache-2.0
 *
 * FTRL-proximal: one slice, one update. Compiled once per instruction set (isa.h).
 *
 *     sigma <- (sqrt(n + g g) - sqrt(n)) / lr
 *     z     <- z + g - sigma w
 *     n     <- n + g g
 *     w     <- 0                                                      where |z| <= l1
 *     w     <- (sign(z) l1 - z) / ((beta + sqrt(n)) / lr + l2)        elsewhere
 *
 * The slot holds n without initial_accumulator_value, which is added where n is read. The
 * difference of the roots looks inexact, and is not: two floats this near subtract without
 * rounding, and what the roots were rounded by cancels from step to step in z.
 */
#include <math.h>

#include "server/optim/isa.h"

/* Below this rate 1 / lr leaves float's range; such a step (a warm-up's first) is left out. */
#define RATE_LEAST 1e-30

/* A step's scalars as floats. */
struct ftrl_scalars {
    float lr;
    float l1;
    float l2;
    float beta;
    float first; /* initial_accumulator_value */
};

static struct ftrl_scalars ftrl_scalars(const struct optim_step *step)
{
    const struct optim_hyper *const hyper = step->hyper;
    return (struct ftrl_scalars){
        .lr = (float)step->lr,
        .l1 = (float)hyper->l1,
        .l2 = (float)hyper->l2,
        .beta = (float)hyper->beta,
        .first = (float)hyper->initial_accumulator_value,
    };
}

static void shrink(const struct ftrl_scalars k, size_t count, float *restrict w,
                   const float *restrict g, float *restrict z, float *restrict n)
{
    for (size_t i = 0; i < count; i++) {
        const float root_before = sqrtf(k.first + n[i]);
        n[i] = n[i] + g[i] * g[i];
        const float root = sqrtf(k.first + n[i]);
        const float sigma = (root - root_before) / k.lr;
        z[i] = (z[i] + g[i]) - sigma * w[i];
        const float bounded = z[i] < -k.l1 ? -k.l1 : z[i] > k.l1 ? k.l1 : z[i];
        w[i] = (bounded - z[i]) / ((k.beta + root) / k.lr + k.l2);
    }
}

/* The linter takes the macro for the name. NOLINTBEGIN(readability-identifier-naming) */
void OPTIM_KERNEL(ftrl_step)(const struct optim_step *step, size_t n, float *w, const float *g,
                             float *const *slot)
{
    if (step->lr >= RATE_LEAST)
        shrink(ftrl_scalars(step), n, w, g, slot[0], slot[1]);
}

/* NOLINTEND(readability-identifier-naming) */
