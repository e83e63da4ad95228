/* SPDX-License-Identifier: Apache-2.0
 *
 * Adam and AdamW: one slice, one update. Compiled once per instruction set (isa.h).
 *
 * The order of operations is that of torch.optim.Adam's single-tensor path, each operation rounded
 * to float by itself. Scalars, the bias corrections among them, are computed in double and rounded
 * to float once per call.
 *
 *     g <- g + weight_decay w                   adam, only where weight_decay is not 0
 *     w <- (1 - lr weight_decay) w              adamw, only where weight_decay is not 0
 *     m <- m + (1 - beta1) (g - m)              or g + ((1 - beta1) - 1) (g - m) where 1 - beta1
 *                                               is 1/2 or more: torch.lerp's two branches
 *     v <- beta2 v + ((1 - beta2) g) g
 *     d <- sqrt(v) / sqrt(1 - beta2^t) + eps    eps outside the root
 *     w <- w - ((lr / (1 - beta1^t)) m) / d
 */
#include "server/optim/isa.h"

#include <math.h>

#include "server/base/exact.h"

/* A step's scalars as floats. */
struct adam_scalars {
    float l2;     /* weight_decay where it is added to the gradient, else 0 */
    float shrink; /* what is left of a weight after decoupled decay, else 1 */
    float lerp;   /* 1 - beta1, or that minus 1 */
    bool lerp_from_g;
    float beta2;
    float one_minus_beta2;
    float root_correction; /* sqrt(1 - beta2^t) */
    float eps;
    float step_size; /* lr / (1 - beta1^t) */
};

static struct adam_scalars adam_scalars(const struct optim_step *step, bool decoupled)
{
    const struct optim_hyper *const hyper = step->hyper;
    const float one_minus_beta1 = (float)(1.0 - hyper->beta1);
    const bool lerp_from_g = one_minus_beta1 >= 0.5f;
    return (struct adam_scalars){
        .l2 = decoupled ? 0.0f : (float)hyper->weight_decay,
        .shrink = decoupled ? (float)(1.0 - step->lr * hyper->weight_decay) : 1.0f,
        .lerp = lerp_from_g ? one_minus_beta1 - 1.0f : one_minus_beta1,
        .lerp_from_g = lerp_from_g,
        .beta2 = (float)hyper->beta2,
        .one_minus_beta2 = (float)(1.0 - hyper->beta2),
        .root_correction = (float)sqrt(1.0 - exact_powi(hyper->beta2, step->t)),
        .eps = (float)hyper->eps,
        .step_size = (float)(step->lr / (1.0 - exact_powi(hyper->beta1, step->t))),
    };
}

static void adapt(const struct adam_scalars k, size_t n, float *restrict w, const float *restrict g,
                  float *restrict m, float *restrict v)
{
    for (size_t i = 0; i < n; i++) {
        const float gi = k.l2 != 0.0f ? g[i] + k.l2 * w[i] : g[i];
        m[i] = (k.lerp_from_g ? gi : m[i]) + k.lerp * (gi - m[i]);
        v[i] = k.beta2 * v[i] + (k.one_minus_beta2 * gi) * gi;
        const float d = sqrtf(v[i]) / k.root_correction + k.eps;
        w[i] = k.shrink * w[i] - (k.step_size * m[i]) / d;
    }
}

/* The linter takes the macro for the name. NOLINTBEGIN(readability-identifier-naming) */
void OPTIM_KERNEL(adam_step)(const struct optim_step *step, size_t n, float *w, const float *g,
                             float *const *slot)
{
    adapt(adam_scalars(step, false), n, w, g, slot[0], slot[1]);
}

void OPTIM_KERNEL(adamw_step)(const struct optim_step *step, size_t n, float *w, const float *g,
                              float *const *slot)
{
    adapt(adam_scalars(step, true), n, w, g, slot[0], slot[1]);
}

/* NOLINTEND(readability-identifier-naming) */
