/* SPDX-License-Identifier: Apache-2.0
 *
 * Stochastic gradient descent, with heavy-ball momentum, with Nesterov's: one slice, one update.
 * Compiled once per instruction set (isa.h).
 *
 * The order of operations is that of torch.optim.SGD's single-tensor path, each operation rounded
 * to float by itself. Scalars are computed in double and rounded to float once per call.
 *
 *     g  <- g + weight_decay w               only where weight_decay is not 0
 *     b  <- g                                in the first update, dampening aside
 *     b  <- momentum b + (1 - dampening) g   later
 *     w  <- w - lr g                         sgd
 *     w  <- w - lr b                         momentum
 *     w  <- w - lr (g + momentum b)          nesterov
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

static void look_ahead(const struct sgd_scalars k, size_t n, float *restrict w,
                       const float *restrict g, float *restrict b)
{
    for (size_t i = 0; i < n; i++) {
        const float gi = k.decays ? g[i] + k.weight_decay * w[i] : g[i];
        b[i] = k.fresh ? gi : k.momentum * b[i] + k.undamped * gi;
        w[i] = w[i] - k.lr * (gi + k.momentum * b[i]);
    }
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
    roll(sgd_scalars(step), n, w, g, slot[0]);
}

void OPTIM_KERNEL(nesterov_step)(const struct optim_step *step, size_t n, float *w, const float *g,
                                 float *const *slot)
{
    look_ahead(sgd_scalars(step), n, w, g, slot[0]);
}

/* NOLINTEND(readability-identifier-naming) */
