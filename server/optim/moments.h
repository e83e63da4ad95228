/* SPDX-License-Identifier: Apache-2.0
 *
 * What the kernels of Adam's family share: weight decay, and the running averages of the gradient
 * (m) and of its square (v), one element at a time. In the order and the rounding of PyTorch's
 * single-tensor paths; scalars are computed in double and rounded to float once per call.
 *
 *     g <- g + weight_decay w              l2, only where weight_decay is not 0
 *     w <- (1 - lr weight_decay) w         decoupled_lr
 *     w <- (1 - eta weight_decay) w        decoupled_schedule
 *     m <- m + (1 - beta1) (g - m)         or g + ((1 - beta1) - 1) (g - m) where 1 - beta1 is 1/2
 *                                          or more: torch.lerp's two branches
 *     v <- beta2 v + ((1 - beta2) g) g
 *     v <- v + (1 - beta2) (g g - v)       where eps is `hat`, as torch.optim.SparseAdam and
 *                                          TensorFlow's Adam have it
 *
 * eta is the schedule's multiplier: lr of this step / lr before the schedule (Loshchilov and Hutter
 * 2019, algorithm 2, line 12). Where lr before the schedule is 0 no multiplier can be told, and
 * nothing decays: a learning rate of 0 leaves weights where they are, here as everywhere.
 */
#ifndef OPTIM_MOMENTS_H
#define OPTIM_MOMENTS_H

#include "server/optim/optimizer.h"

/* A step's scalars as floats. */
struct moments {
    float l2;     /* weight_decay where it is added to the gradient, else 0 */
    float shrink; /* what is left of a weight after decoupled decay, else 1 */
    float lerp;   /* 1 - beta1, or that minus 1 */
    bool lerp_from_g;
    float beta2;
    float one_minus_beta2;
};

/* What decoupled decay takes off a weight, relative to it. */
static inline double moments_decay(const struct optim_step *step)
{
    const struct optim_hyper *const hyper = step->hyper;
    switch ((enum optim_decay)hyper->decay) {
    case OPTIM_DECAY_LR: return step->lr * hyper->weight_decay;
    case OPTIM_DECAY_SCHEDULE:
        return hyper->lr == 0.0 ? 0.0 : step->lr / hyper->lr * hyper->weight_decay;
    case OPTIM_DECAY_L2: break;
    }
    return 0.0;
}

static inline struct moments moments_of(const struct optim_step *step)
{
    const struct optim_hyper *const hyper = step->hyper;
    const float one_minus_beta1 = (float)(1.0 - hyper->beta1);
    const bool lerp_from_g = one_minus_beta1 >= 0.5f;
    const bool l2 = (enum optim_decay)hyper->decay == OPTIM_DECAY_L2;
    return (struct moments){
        .l2 = l2 ? (float)hyper->weight_decay : 0.0f,
        .shrink = (float)(1.0 - moments_decay(step)),
        .lerp = lerp_from_g ? one_minus_beta1 - 1.0f : one_minus_beta1,
        .lerp_from_g = lerp_from_g,
        .beta2 = (float)hyper->beta2,
        .one_minus_beta2 = (float)(1.0 - hyper->beta2),
    };
}

/* The gradient that the averages take. */
static inline float moments_gradient(const struct moments k, float g, float w)
{
    return k.l2 != 0.0f ? g + k.l2 * w : g;
}

/* The next m. */
static inline float moments_first(const struct moments k, float g, float m)
{
    return (k.lerp_from_g ? g : m) + k.lerp * (g - m);
}

/* The next v. */
static inline float moments_second(const struct moments k, float g, float v)
{
    return k.beta2 * v + (k.one_minus_beta2 * g) * g;
}

/* The next v where eps is `hat`: the same number in another order, which does not lose a part of v
 * in each step because beta2 and 1 - beta2, rounded, do not add up to 1. */
static inline float moments_second_moved(const struct moments k, float g, float v)
{
    return v + k.one_minus_beta2 * (g * g - v);
}

/* The larger one; NaN where b is. What gcc makes one instruction of, unlike fmaxf. */
static inline float moments_larger(float a, float b)
{
    return a > b ? a : b;
}

#endif
