/* SPDX-License-Identifier: Apache-2.0
 *
 * LARS: momentum whose learning rate is scaled, tensor by tensor, by how long the weights are
 * beside their gradient. You, Gitman and Ginsburg 2017, algorithm 1, eta being trust_coefficient:
 *
 *     lambda <- eta |w| / (|g| + weight_decay |w| + eps)    1 where |w| or |g| is 0
 *     v <- momentum v + lr lambda (g + weight_decay w)
 *     w <- w - v
 *
 * The learning rate is inside the buffer, as printed. The paper has no eps and leaves a norm of 0
 * open; both are MXNet's here. optax divides by |g + weight_decay w| instead of the sum of norms.
 * MXNet and many recipes leave biases and normalization alone: put them in a group with momentum.
 * PyTorch has no LARS. The norms are summed as norms.h says, so all machines get the same bits.
 */
#include "server/optim/norms.h"
#include "server/optim/rows.h"

static const struct optim_hyper_spec lars_hyper[] = {
    {HYPER(lr), .fallback = 0.1, .most = HYPER_MOST},
    {HYPER(momentum), .fallback = 0.9, .most = 1.0, .most_open = true},
    {HYPER(weight_decay), .fallback = 0.0, .most = HYPER_MOST},
    {HYPER(trust_coefficient), .fallback = 1e-3, .least_open = true, .most = HYPER_MOST},
    {HYPER(eps), .fallback = 1e-8, .most = 1.0},
};

static double trust_ratio(const struct optim_hyper *hyper, const struct optim_whole *whole)
{
    const double w = norms_length(whole->n, whole->w);
    const double g = norms_length(whole->n, whole->g);
    if (!(w > 0.0 && g > 0.0))
        return 1.0;
    return hyper->trust_coefficient * w / (g + hyper->weight_decay * w + hyper->eps);
}

static void descend(const struct optim_hyper *hyper, float rate, const struct optim_whole *whole)
{
    const float momentum = (float)hyper->momentum;
    const float decay = (float)hyper->weight_decay;
    float *restrict const w = whole->w;
    float *restrict const v = whole->slot[0];
    const float *restrict const g = whole->g;
    for (size_t i = 0; i < whole->n; i++) {
        v[i] = momentum * v[i] + rate * (g[i] + decay * w[i]);
        w[i] -= v[i];
    }
}

static bool lars_step(const struct optim_step *step, const struct optim_whole *whole)
{
    descend(step->hyper, (float)(step->lr * trust_ratio(step->hyper, whole)), whole);
    return true;
}

const struct optimizer lars_optimizer = {
    .name = "lars",
    .source = "You, Gitman and Ginsburg 2017, algorithm 1; eps as in MXNet's LARS",
    .scope = OPTIM_SCOPE_TENSOR,
    .slot = {{.name = "momentum_buffer"}},
    .hypers = sizeof lars_hyper / sizeof lars_hyper[0],
    .hyper = lars_hyper,
    .whole = lars_step,
};
