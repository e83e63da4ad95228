/* SPDX-License-Identifier: Apache-2.0
 *
 * Stochastic gradient descent, with heavy-ball momentum, with Nesterov's: one slice, one update.
 * Compiled once per instruction set (isa.h). sgd.c says what the forms are.
 *
 * The order of operations is that of torch.optim.SGD's single-tensor path, each operation rounded
 * to float by itself. Scalars are computed in double and rounded to float once per call.
 *
 *     g  <- g + weight_decay w               only where weight_decay is not 0
 *     w  <- w - lr g                         sgd
 *
 *     b  <- g                                torch: in the first update, dampening aside
 *     b  <- momentum b + (1 - dampening) g   later
 *     w  <- w - lr b                         momentum
 *     w  <- w - lr (g + momentum b)          nesterov
 *
 *     v  <- momentum v - lr g                classic, and interim (dampened as above)
 *     w  <- w + v                            momentum (8.2), nesterov interim (8.3)
 *     w  <- w + momentum v - lr g            nesterov classic
 *
 * Of the objective with weight decay, too, the gradient is wanted at the interim point: interim
 * adds weight_decay (w + momentum v). So the forms stay the same in real numbers.
 */
#include "server/optim/isa.h"

/* A step's scalars as floats. */
struct sgd_scalars {
    float lr;
    float weight_decay;
    float momentum;
    float undamped; /* 1 - dampening */
    bool decays;
    bool fresh; /* the buffer takes the gradient as it is */
};

static struct sgd_scalars sgd_scalars(const struct optim_step *step)
{
    const struct optim_hyper *const hyper = step->hyper;
    return (struct sgd_scalars){
        .lr = (float)step->lr,
        .weight_decay = (float)hyper->weight_decay,
        .momentum = (float)hyper->momentum,
        .undamped = (float)(1.0 - hyper->dampening),
        .decays = hyper->weight_decay != 0.0,
        /* Without momentum PyTorch keeps no buffer: dampening has nothing to damp. */
        .fresh = step->t == 1 || hyper->momentum == 0.0,
    };
}

static void descend(const struct sgd_scalars k, size_t n, float *restrict w,
                    const float *restrict g)
{
    for (size_t i = 0; i < n; i++) {
        const float gi = k.decays ? g[i] + k.weight_decay * w[i] : g[i];
        w[i] = w[i] - k.lr * gi;
    }
}

static void roll(const struct sgd_scalars k, size_t n, float *restrict w, const float *restrict g,
                 float *restrict b)
{
    for (size_t i = 0; i < n; i++) {
        const float gi = k.decays ? g[i] + k.weight_decay * w[i] : g[i];
        b[i] = k.fresh ? gi : k.momentum * b[i] + k.undamped * gi;
        w[i] = w[i] - k.lr * b[i];
    }
}

static void roll_classic(const struct sgd_scalars k, size_t n, float *restrict w,
                         const float *restrict g, float *restrict v)
{
    for (size_t i = 0; i < n; i++) {
        const float gi = k.decays ? g[i] + k.weight_decay * w[i] : g[i];
        v[i] = k.fresh ? -(k.lr * gi) : k.momentum * v[i] - k.lr * (k.undamped * gi);
        w[i] = w[i] + v[i];
    }
}

static void look_ahead(const struct sgd_scalars k, size_t n, float *restrict w,
                       const float *restrict g, float *restrict b)
{
    for (size_t i = 0; i < n; i++) {
        const float gi = k.decays ? g[i] + k.weight_decay * w[i] : g[i];
        b[i] = k.fresh ? gi : k.momentum * b[i] + k.undamped * gi;
        w[i] = w[i] - k.lr * (gi + k.momentum * b[i]);
    }
}

/* Keras: the weights stand at the interim point. */
static void look_ahead_classic(const struct sgd_scalars k, size_t n, float *restrict w,
                               const float *restrict g, float *restrict v)
{
    for (size_t i = 0; i < n; i++) {
        const float gi = k.decays ? g[i] + k.weight_decay * w[i] : g[i];
        v[i] = k.momentum * v[i] - k.lr * gi;
        w[i] = (w[i] + k.momentum * v[i]) - k.lr * gi;
    }
}

/* Algorithm 8.3: g was computed at w + momentum v. */
static void follow_interim(const struct sgd_scalars k, size_t n, float *restrict w,
                           const float *restrict g, float *restrict v)
{
    for (size_t i = 0; i < n; i++) {
        const float interim = w[i] + k.momentum * v[i];
        const float gi = k.decays ? g[i] + k.weight_decay * interim : g[i];
        v[i] = k.momentum * v[i] - k.lr * gi;
        w[i] = w[i] + v[i];
    }
}

static void interim_point(float momentum, size_t n, const float *restrict w,
                          const float *restrict v, float *restrict view)
{
    for (size_t i = 0; i < n; i++)
        view[i] = w[i] + momentum * v[i];
}

/* The linter takes the macro for the name. NOLINTBEGIN(readability-identifier-naming) */
void OPTIM_KERNEL(sgd_step)(const struct optim_step *step, size_t n, float *w, const float *g,
                            float *const *slot)
{
    (void)slot;
    descend(sgd_scalars(step), n, w, g);
}

void OPTIM_KERNEL(momentum_step)(const struct optim_step *step, size_t n, float *w, const float *g,
                                 float *const *slot)
{
    if (step->hyper->form == OPTIM_FORM_TORCH)
        roll(sgd_scalars(step), n, w, g, slot[0]);
    else
        roll_classic(sgd_scalars(step), n, w, g, slot[0]);
}

void OPTIM_KERNEL(nesterov_step)(const struct optim_step *step, size_t n, float *w, const float *g,
                                 float *const *slot)
{
    if (step->hyper->form == OPTIM_FORM_TORCH)
        look_ahead(sgd_scalars(step), n, w, g, slot[0]);
    else if (step->hyper->form == OPTIM_FORM_CLASSIC)
        look_ahead_classic(sgd_scalars(step), n, w, g, slot[0]);
    else
        follow_interim(sgd_scalars(step), n, w, g, slot[0]);
}

void OPTIM_KERNEL(nesterov_lookahead)(const struct optim_step *step, size_t n, const float *w,
                                      float *const *slot, float *view)
{
    interim_point((float)step->hyper->momentum, n, w, slot[0], view);
}

/* NOLINTEND(readability-identifier-naming) */
