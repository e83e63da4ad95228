/* SPDX-License-Identifier: Apache-2.0
 *
 * The loops are written as one would into one's own training program, with restrict pointers, and
 * compiled with -O3 -march=native and with contraction to FMA, which kernels do without
 * (STEPD_BENCH_NATIVE=OFF leaves -march=native out, for a binary that is to run elsewhere). Each
 * computes what its optimizer does with its defaults, to rounding.
 */
#include "tests/bench/plain_kernel.h"

#include <math.h>
#include <string.h>

static void descend(size_t n, float lr, float *restrict w, const float *restrict g)
{
    for (size_t i = 0; i < n; i++)
        w[i] -= lr * g[i];
}

static void roll(size_t n, float lr, float momentum, float *restrict w, const float *restrict g,
                 float *restrict b)
{
    for (size_t i = 0; i < n; i++) {
        b[i] = momentum * b[i] + g[i];
        w[i] -= lr * b[i];
    }
}

/* Scalars of an update of Adam. */
struct adam {
    size_t n;
    float beta1;
    float beta2;
    float root; /* sqrt(1 - beta2^t) */
    float eps;
    float size;  /* lr / (1 - beta1^t) */
    float decay; /* AdamW's: 1 - lr weight_decay */
};

static void adapt(const struct adam k, float *restrict w, const float *restrict g,
                  float *restrict m, float *restrict v)
{
    for (size_t i = 0; i < k.n; i++) {
        m[i] = k.beta1 * m[i] + (1.0f - k.beta1) * g[i];
        v[i] = k.beta2 * v[i] + (1.0f - k.beta2) * g[i] * g[i];
        w[i] = k.decay * w[i] - k.size * m[i] / (sqrtf(v[i]) / k.root + k.eps);
    }
}

static void sgd(const struct optim_step *step, size_t n, float *w, const float *g,
                float *const *slot)
{
    (void)slot;
    descend(n, (float)step->lr, w, g);
}

static void momentum(const struct optim_step *step, size_t n, float *w, const float *g,
                     float *const *slot)
{
    roll(n, (float)step->lr, (float)step->hyper->momentum, w, g, slot[0]);
}

static void adam(const struct optim_step *step, size_t n, float *w, const float *g,
                 float *const *slot)
{
    const struct optim_hyper *const hyper = step->hyper;
    const double t = (double)step->t;
    adapt(
        (struct adam){
            .n = n,
            .beta1 = (float)hyper->beta1,
            .beta2 = (float)hyper->beta2,
            .root = (float)sqrt(1.0 - pow(hyper->beta2, t)),
            .eps = (float)hyper->eps,
            .size = (float)(step->lr / (1.0 - pow(hyper->beta1, t))),
            .decay = (float)(1.0 - step->lr * hyper->weight_decay),
        },
        w, g, slot[0], slot[1]);
}

optim_step_fn *plain_kernel(const char *optimizer)
{
    static const struct {
        const char *optimizer;
        optim_step_fn *step;
    } loops[] = {{"sgd", sgd}, {"momentum", momentum}, {"adam", adam}, {"adamw", adam}};

    for (size_t i = 0; i < sizeof loops / sizeof loops[0]; i++)
        if (strcmp(loops[i].optimizer, optimizer) == 0)
            return loops[i].step;
    return NULL;
}
