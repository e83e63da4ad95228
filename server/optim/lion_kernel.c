/* SPDX-License-Identifier: Apache-2.0
 *
 * Lion: one slice, one update. Compiled once per instruction set (isa.h).
 *
 * The order of operations is that of the authors' lion_pytorch.py, each operation rounded to float
 * by itself. Scalars are computed in double and rounded to float once per call.
 *
 *     w <- (1 - lr weight_decay) w
 *     c <- beta1 m + (1 - beta1) g
 *     w <- w - lr sign(c)
 *     m <- beta2 m + (1 - beta2) g
 */
#include "server/optim/isa.h"

/* A step's scalars as floats. */
struct lion_scalars {
    float lr;
    float shrink; /* what is left of a weight after its decay */
    float beta1;
    float one_minus_beta1;
    float beta2;
    float one_minus_beta2;
};

static struct lion_scalars lion_scalars(const struct optim_step *step)
{
    const struct optim_hyper *const hyper = step->hyper;
    return (struct lion_scalars){
        .lr = (float)step->lr,
        .shrink = (float)(1.0 - step->lr * hyper->weight_decay),
        .beta1 = (float)hyper->beta1,
        .one_minus_beta1 = (float)(1.0 - hyper->beta1),
        .beta2 = (float)hyper->beta2,
        .one_minus_beta2 = (float)(1.0 - hyper->beta2),
    };
}

static inline float sign(float x)
{
    return (float)((x > 0.0f) - (x < 0.0f));
}

static void walk(const struct lion_scalars k, size_t n, float *restrict w, const float *restrict g,
                 float *restrict m)
{
    for (size_t i = 0; i < n; i++) {
        const float c = k.beta1 * m[i] + k.one_minus_beta1 * g[i];
        w[i] = k.shrink * w[i] - k.lr * sign(c);
        m[i] = k.beta2 * m[i] + k.one_minus_beta2 * g[i];
    }
}

/* The linter takes the macro for the name. NOLINTBEGIN(readability-identifier-naming) */
void OPTIM_KERNEL(lion_step)(const struct optim_step *step, size_t n, float *w, const float *g,
                             float *const *slot)
{
    walk(lion_scalars(step), n, w, g, slot[0]);
}

/* NOLINTEND(readability-identifier-naming) */
