/* SPDX-License-Identifier: Apache-2.0
 *
 * LAMB: Adam whose step is made, tensor by tensor, as long as the weights are. You et al. 2020,
 * algorithm 2, with phi(x) = x:
 *
 *     m <- beta1 m + (1 - beta1) g
 *     v <- beta2 v + (1 - beta2) g^2
 *     u <- (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay w
 *     w <- w - lr (|w| / |u|) u                             the ratio 1 where |w| or |u| is 0
 *
 * The paper leaves a norm of 0 open; MXNet and optax take a ratio of 1 there, as we do. MXNet can
 * also clamp |w| between bounds, which is not offered. PyTorch has no LAMB. The norms are summed
 * as norms.h says, so all machines get the same bits.
 */
#include <float.h>
#include <math.h>

#include "server/base/exact.h"
#include "server/optim/norms.h"
#include "server/optim/rows.h"

enum { LAMB_EXP_AVG, LAMB_EXP_AVG_SQ };

static const struct optim_hyper_spec lamb_hyper[] = {
    {HYPER(lr), .fallback = 1e-3, .most = HYPER_MOST},
    {HYPER(beta1), .fallback = 0.9, .most = 1.0, .most_open = true},
    {HYPER(beta2), .fallback = 0.999, .most = 1.0, .most_open = true},
    {HYPER(eps), .fallback = 1e-6, .least = FLT_MIN, .most = 1.0},
    {HYPER(weight_decay), .fallback = 0.0, .most = HYPER_MOST},
};

/* Moves the moments and leaves the direction u. */
static void direction(const struct optim_step *step, const struct optim_whole *whole,
                      float *restrict u)
{
    const struct optim_hyper *const hyper = step->hyper;
    const float beta1 = (float)hyper->beta1, one_minus_beta1 = (float)(1.0 - hyper->beta1);
    const float beta2 = (float)hyper->beta2, one_minus_beta2 = (float)(1.0 - hyper->beta2);
    const float correction1 = (float)(1.0 - exact_powi(hyper->beta1, step->t));
    const float root_correction2 = (float)sqrt(1.0 - exact_powi(hyper->beta2, step->t));
    const float eps = (float)hyper->eps, decay = (float)hyper->weight_decay;
    const float *restrict const w = whole->w;
    const float *restrict const g = whole->g;
    float *restrict const m = whole->slot[LAMB_EXP_AVG];
    float *restrict const v = whole->slot[LAMB_EXP_AVG_SQ];
    for (size_t i = 0; i < whole->n; i++) {
        m[i] = beta1 * m[i] + one_minus_beta1 * g[i];
        v[i] = beta2 * v[i] + (one_minus_beta2 * g[i]) * g[i];
        u[i] = (m[i] / correction1) / (sqrtf(v[i]) / root_correction2 + eps) + decay * w[i];
    }
}

static bool lamb_step(const struct optim_step *step, const struct optim_whole *whole)
{
    float *restrict const w = whole->w;
    float *restrict const u = whole->scratch;
    direction(step, whole, u);
    const double w_length = norms_length(whole->n, w);
    const double u_length = norms_length(whole->n, u);
    const double ratio = w_length > 0.0 && u_length > 0.0 ? w_length / u_length : 1.0;
    const float rate = (float)(step->lr * ratio);
    for (size_t i = 0; i < whole->n; i++)
        w[i] -= rate * u[i];
    return true;
}

const struct optimizer lamb_optimizer = {
    .name = "lamb",
    .source = "You et al. 2020, algorithm 2",
    .scope = OPTIM_SCOPE_TENSOR,
    .slot = {[LAMB_EXP_AVG] = {.name = "exp_avg"}, [LAMB_EXP_AVG_SQ] = {.name = "exp_avg_sq"}},
    .hypers = sizeof lamb_hyper / sizeof lamb_hyper[0],
    .hyper = lamb_hyper,
    .whole = lamb_step,
    .scratch = optim_floats,
};
