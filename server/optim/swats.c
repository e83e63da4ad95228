/* SPDX-License-Identifier: Apache-2.0
 *
 * SWATS: begins as Adam, and ends as SGD with momentum at a learning rate that it finds itself.
 * Keskar and Socher 2017, algorithm 1; p is Adam's step, k is t:
 *
 *     p <- -lr (sqrt(1 - beta2^k) / (1 - beta1^k)) m / (sqrt(v) + eps)         w <- w + p
 *     where p.g is not 0:
 *         gamma <- p.p / -(p.g)           the SGD learning rate whose step, seen along p, is p
 *         lambda <- beta2 lambda + (1 - beta2) gamma
 *         from k = 2 on, when |lambda / (1 - beta2^k) - gamma| < eps: from the next step on SGD at
 *         the rate Lambda = lambda / (1 - beta2^k), its buffer b at 0:
 *
 *     b <- beta1 b + g                                           w <- w - (1 - beta1) Lambda b
 *
 * Choices where the paper is silent or its followers differ:
 * - The decision is made for each tensor by itself, and kept in the row's scalars. The paper makes
 *   one for all weights; the common PyTorch port decides per tensor, but one flips its whole group.
 * - A rate that is not positive never ends Adam: SGD would climb. The port does the same; the paper
 *   does not exclude it.
 * - A schedule goes on after the change: Lambda stands for the learning rate of the step at which
 *   it was found, and is scaled by lr over that one. At a constant lr this is the paper.
 * - weight_decay, which the paper has not, is added to the gradient in both phases.
 *
 * Sums are those of norms.h, so all machines get the same bits. PyTorch has no SWATS. Whoever wants
 * the change at a step of their choice gives a group two phases instead.
 */
#include <float.h>
#include <math.h>

#include "server/base/exact.h"
#include "server/optim/norms.h"
#include "server/optim/rows.h"

enum { SWATS_EXP_AVG, SWATS_EXP_AVG_SQ, SWATS_MOMENTUM_BUFFER };

/* Scalars of a tensor. */
enum {
    SWATS_LAMBDA,    /* the paper's lambda, before its bias is corrected */
    SWATS_RATE,      /* its Lambda; 0 as long as Adam steps */
    SWATS_LR_BEFORE, /* the learning rate at which Lambda was found */
    SWATS_SCALARS
};

static const struct optim_hyper_spec swats_hyper[] = {
    {HYPER(lr), .fallback = 1e-3, .most = HYPER_MOST},
    {HYPER(beta1), .fallback = 0.9, .most = 1.0, .most_open = true},
    {HYPER(beta2), .fallback = 0.999, .most = 1.0, .most_open = true},
    {HYPER(eps), .fallback = 1e-9, .least = FLT_MIN, .most = 1.0},
    {HYPER(weight_decay), .fallback = 0.0, .most = HYPER_MOST},
};

static void sgd_phase(const struct optim_step *step, const struct optim_whole *whole)
{
    const struct optim_hyper *const hyper = step->hyper;
    const double since = step->lr / whole->scalar[SWATS_LR_BEFORE];
    const float rate = (float)((1.0 - hyper->beta1) * whole->scalar[SWATS_RATE] * since);
    const float beta1 = (float)hyper->beta1, decay = (float)hyper->weight_decay;
    float *restrict const w = whole->w;
    float *restrict const b = whole->slot[SWATS_MOMENTUM_BUFFER];
    const float *restrict const g = whole->g;
    for (size_t i = 0; i < whole->n; i++) {
        b[i] = beta1 * b[i] + (g[i] + decay * w[i]);
        w[i] -= rate * b[i];
    }
}

/* Adam's step; leaves it in p, and in q the gradient that it was made of. */
static void adam_phase(const struct optim_step *step, const struct optim_whole *whole,
                       float *restrict p, float *restrict q)
{
    const struct optim_hyper *const hyper = step->hyper;
    const float beta1 = (float)hyper->beta1, one_minus_beta1 = (float)(1.0 - hyper->beta1);
    const float beta2 = (float)hyper->beta2, one_minus_beta2 = (float)(1.0 - hyper->beta2);
    const float rate = (float)(step->lr * sqrt(1.0 - exact_powi(hyper->beta2, step->t)) /
                               (1.0 - exact_powi(hyper->beta1, step->t)));
    const float eps = (float)hyper->eps, decay = (float)hyper->weight_decay;
    const float *restrict const g = whole->g;
    float *restrict const w = whole->w;
    float *restrict const m = whole->slot[SWATS_EXP_AVG];
    float *restrict const v = whole->slot[SWATS_EXP_AVG_SQ];
    for (size_t i = 0; i < whole->n; i++) {
        q[i] = g[i] + decay * w[i];
        m[i] = beta1 * m[i] + one_minus_beta1 * q[i];
        v[i] = beta2 * v[i] + (one_minus_beta2 * q[i]) * q[i];
        p[i] = -(rate * m[i]) / (sqrtf(v[i]) + eps);
        w[i] += p[i];
    }
}

/* Does the step p for the gradient q end Adam? */
static void decide(const struct optim_step *step, const struct optim_whole *whole, const float *p,
                   const float *q)
{
    const double beta2 = step->hyper->beta2;
    const double slope = norms_dot(whole->n, p, q);
    if (!(fabs(slope) > 0.0))
        return;
    const double gamma = norms_sum_squares(whole->n, p) / -slope;
    const double lambda = beta2 * whole->scalar[SWATS_LAMBDA] + (1.0 - beta2) * gamma;
    const double corrected = lambda / (1.0 - exact_powi(beta2, step->t));
    whole->scalar[SWATS_LAMBDA] = lambda;
    if (step->t < 2 || !(corrected > 0.0) || !(fabs(corrected - gamma) < step->hyper->eps))
        return;
    whole->scalar[SWATS_RATE] = corrected;
    whole->scalar[SWATS_LR_BEFORE] = step->lr;
}

static bool swats_step(const struct optim_step *step, const struct optim_whole *whole)
{
    if (whole->scalar[SWATS_RATE] > 0.0) {
        sgd_phase(step, whole);
        return true;
    }
    float *const p = whole->scratch;
    float *const q = whole->scratch + whole->n;
    adam_phase(step, whole, p, q);
    decide(step, whole, p, q);
    return true;
}

static uint64_t swats_scratch(const struct optim_hyper *hyper, size_t tensors,
                              const struct optim_shape *shape)
{
    return 2 * optim_floats(hyper, tensors, shape);
}

const struct optimizer swats_optimizer = {
    .name = "swats",
    .source = "Keskar and Socher 2017, algorithm 1, decided tensor by tensor",
    .scope = OPTIM_SCOPE_TENSOR,
    .slot = {[SWATS_EXP_AVG] = {.name = "exp_avg"},
             [SWATS_EXP_AVG_SQ] = {.name = "exp_avg_sq"},
             [SWATS_MOMENTUM_BUFFER] = {.name = "momentum_buffer"}},
    .scalars = SWATS_SCALARS,
    .hypers = sizeof swats_hyper / sizeof swats_hyper[0],
    .hyper = swats_hyper,
    .whole = swats_step,
    .scratch = swats_scratch,
};
