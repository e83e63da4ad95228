/* SPDX-License-Identifier: Apache-2.0
 *
 * RMSProp, and RMSProp with Nesterov momentum: one slice, one update. Compiled once per instruction
 * set (isa.h). rmsprop.c says what the forms are.
 *
 * The order of operations is that of torch.optim.RMSprop's single-tensor path, each operation
 * rounded to float by itself. Scalars are computed in double and rounded to float once per call.
 *
 *     g  <- g + weight_decay w                 only where weight_decay is not 0
 *     r  <- alpha r + ((1 - alpha) g) g
 *     m  <- m + (1 - alpha) (g - m)            centered
 *     d  <- sqrt(r) + eps                      eps outside; r - m m for r where centered
 *     d  <- sqrt(r + eps)                      eps inside
 *     w  <- w - (lr g) / d                     without momentum
 *     b  <- momentum b + g / d ;  w <- w - lr b
 *
 * Centered, r, m and r - m m are computed in double, and each rounded once: where gradients hardly
 * change, the difference is what rounding left of it, and PyTorch's own float results differ in
 * most digits between processors with and without fused multiplication. It can also come out below
 * 0. PyTorch's weight is NaN then; here the difference is 0, which is where it was going.
 *
 * rmsprop_nesterov, algorithm 8.6, g being computed at w + momentum v (interim) or at w (classic):
 *
 *     r  <- rho r + ((1 - rho) g) g
 *     v  <- momentum v - (lr g) / sqrt(r + eps)
 *     w  <- w + v                                            interim
 *     w  <- w + momentum v - (lr g) / sqrt(r + eps)          classic
 */
#include <math.h>

#include "server/optim/isa.h"

/* A step's scalars as floats. */
struct rmsprop_scalars {
    float lr;
    float weight_decay;
    float decay; /* alpha or rho */
    float one_minus_decay;
    double alpha; /* for the centered form */
    double one_minus_alpha;
    float momentum;
    float eps;
    bool decays;
    bool inside; /* eps stands inside the root */
};

static struct rmsprop_scalars rmsprop_scalars(const struct optim_step *step, double decay)
{
    const struct optim_hyper *const hyper = step->hyper;
    return (struct rmsprop_scalars){
        .lr = (float)step->lr,
        .weight_decay = (float)hyper->weight_decay,
        .decay = (float)decay,
        .one_minus_decay = (float)(1.0 - decay),
        .alpha = hyper->alpha,
        .one_minus_alpha = 1.0 - hyper->alpha,
        .momentum = (float)hyper->momentum,
        .eps = (float)hyper->eps,
        .decays = hyper->weight_decay != 0.0,
        .inside = hyper->eps_mode == OPTIM_EPS_INSIDE,
    };
}

/* The next mean square from r and the gradient. */
static inline float mean_square(const struct rmsprop_scalars *k, float r, float g)
{
    return k->decay * r + (k->one_minus_decay * g) * g;
}

/* What a gradient is divided by: square is r, or centered the variance. */
static inline float root(const struct rmsprop_scalars *k, float square)
{
    return k->inside ? sqrtf(square + k->eps) : sqrtf(square) + k->eps;
}

/* The next r and m, and r - m m. */
static inline float variance(const struct rmsprop_scalars *k, float g, float *r, float *m)
{
    const double gradient = (double)g;
    const double square = k->alpha * (double)*r + k->one_minus_alpha * (gradient * gradient);
    const double mean = (double)*m + k->one_minus_alpha * (gradient - (double)*m);
    *r = (float)square;
    *m = (float)mean;
    const float difference = (float)(square - mean * mean);
    return difference < 0.0f ? 0.0f : difference;
}

static void adapt(const struct rmsprop_scalars k, size_t n, float *restrict w,
                  const float *restrict g, float *restrict r)
{
    for (size_t i = 0; i < n; i++) {
        const float gi = k.decays ? g[i] + k.weight_decay * w[i] : g[i];
        r[i] = mean_square(&k, r[i], gi);
        w[i] = w[i] - (k.lr * gi) / root(&k, r[i]);
    }
}

static void adapt_centered(const struct rmsprop_scalars k, size_t n, float *restrict w,
                           const float *restrict g, float *const *slot)
{
    float *restrict const r = slot[0];
    float *restrict const m = slot[1];
    for (size_t i = 0; i < n; i++) {
        const float gi = k.decays ? g[i] + k.weight_decay * w[i] : g[i];
        w[i] = w[i] - (k.lr * gi) / root(&k, variance(&k, gi, &r[i], &m[i]));
    }
}

static void roll(const struct rmsprop_scalars k, size_t n, float *restrict w,
                 const float *restrict g, float *const *slot)
{
    float *restrict const r = slot[0];
    float *restrict const b = slot[2];
    for (size_t i = 0; i < n; i++) {
        const float gi = k.decays ? g[i] + k.weight_decay * w[i] : g[i];
        r[i] = mean_square(&k, r[i], gi);
        b[i] = k.momentum * b[i] + gi / root(&k, r[i]);
        w[i] = w[i] - k.lr * b[i];
    }
}

static void roll_centered(const struct rmsprop_scalars k, size_t n, float *restrict w,
                          const float *restrict g, float *const *slot)
{
    float *restrict const r = slot[0];
    float *restrict const m = slot[1];
    float *restrict const b = slot[2];
    for (size_t i = 0; i < n; i++) {
        const float gi = k.decays ? g[i] + k.weight_decay * w[i] : g[i];
        b[i] = k.momentum * b[i] + gi / root(&k, variance(&k, gi, &r[i], &m[i]));
        w[i] = w[i] - k.lr * b[i];
    }
}

/* Of the objective with weight decay, too, the gradient is wanted at the interim point. */
static void follow_interim(const struct rmsprop_scalars k, size_t n, float *restrict w,
                           const float *restrict g, float *const *slot)
{
    float *restrict const v = slot[0];
    float *restrict const r = slot[1];
    for (size_t i = 0; i < n; i++) {
        const float interim = w[i] + k.momentum * v[i];
        const float gi = k.decays ? g[i] + k.weight_decay * interim : g[i];
        r[i] = mean_square(&k, r[i], gi);
        v[i] = k.momentum * v[i] - (k.lr * gi) / sqrtf(r[i] + k.eps);
        w[i] = w[i] + v[i];
    }
}

static void look_ahead_classic(const struct rmsprop_scalars k, size_t n, float *restrict w,
                               const float *restrict g, float *const *slot)
{
    float *restrict const v = slot[0];
    float *restrict const r = slot[1];
    for (size_t i = 0; i < n; i++) {
        const float gi = k.decays ? g[i] + k.weight_decay * w[i] : g[i];
        r[i] = mean_square(&k, r[i], gi);
        const float change = (k.lr * gi) / sqrtf(r[i] + k.eps);
        v[i] = k.momentum * v[i] - change;
        w[i] = (w[i] + k.momentum * v[i]) - change;
    }
}

/* The linter takes the macro for the name. NOLINTBEGIN(readability-identifier-naming) */
void OPTIM_KERNEL(rmsprop_step)(const struct optim_step *step, size_t n, float *w, const float *g,
                                float *const *slot)
{
    const struct rmsprop_scalars k = rmsprop_scalars(step, step->hyper->alpha);
    const bool centered = slot[1] != NULL;
    const bool rolls = slot[2] != NULL && step->hyper->momentum > 0.0;
    if (rolls && centered)
        roll_centered(k, n, w, g, slot);
    else if (rolls)
        roll(k, n, w, g, slot);
    else if (centered)
        adapt_centered(k, n, w, g, slot);
    else
        adapt(k, n, w, g, slot[0]);
}

void OPTIM_KERNEL(rmsprop_nesterov_step)(const struct optim_step *step, size_t n, float *w,
                                         const float *g, float *const *slot)
{
    const struct rmsprop_scalars k = rmsprop_scalars(step, step->hyper->rho);
    if (step->hyper->form == OPTIM_FORM_CLASSIC)
        look_ahead_classic(k, n, w, g, slot);
    else
        follow_interim(k, n, w, g, slot);
}

/* NOLINTEND(readability-identifier-naming) */
