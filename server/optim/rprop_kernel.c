/* SPDX-License-Identifier: Apache-2.0
 *
 * Rprop: one slice, one update. Compiled once per instruction set (isa.h).
 *
 * The order of operations is that of torch.optim.Rprop's single-tensor path. The product of two
 * gradients is rounded to float before its sign is taken: where it underflows, the signs count as
 * neither equal nor different, as in PyTorch. There are three loops, because compilers make vectors
 * of each of them and not of all in one; they go over the slice block by block, so that only the
 * first of them waits for memory.
 *
 *     s <- lr                           before the first update
 *     s <- clamp(s etaplus)             where g prev > 0
 *     s <- clamp(s etaminus), g <- 0    where g prev < 0
 *     s <- clamp(s)                     where g prev = 0
 *     w <- w - sign(g) s
 *     prev <- g
 */
#include "server/optim/isa.h"

#define BLOCK 1024u /* elements; four arrays of them fit the nearest cache */

/* A step's scalars as floats. */
struct rprop_scalars {
    float lr;
    float etaminus;
    float etaplus;
    float step_min;
    float step_max;
    bool fresh;
};

static struct rprop_scalars rprop_scalars(const struct optim_step *step)
{
    const struct optim_hyper *const hyper = step->hyper;
    return (struct rprop_scalars){
        .lr = (float)step->lr,
        .etaminus = (float)hyper->etaminus,
        .etaplus = (float)hyper->etaplus,
        .step_min = (float)hyper->step_min,
        .step_max = (float)hyper->step_max,
        .fresh = step->t == 1,
    };
}

static inline float sign(float x)
{
    return (float)((x > 0.0f) - (x < 0.0f));
}

static inline float clamp(const struct rprop_scalars *k, float s)
{
    const float raised = s < k->step_min ? k->step_min : s;
    return raised > k->step_max ? k->step_max : raised;
}

static void resize(const struct rprop_scalars k, size_t n, const float *restrict g,
                   const float *restrict prev, float *restrict s)
{
    for (size_t i = 0; i < n; i++) {
        const float product = g[i] * prev[i];
        const float grown = product > 0.0f ? k.etaplus : 1.0f;
        const float factor = product < 0.0f ? k.etaminus : grown;
        s[i] = clamp(&k, (k.fresh ? k.lr : s[i]) * factor);
    }
}

/* What is left of the gradient, in prev. */
static void forget_turned(size_t n, const float *restrict g, float *restrict prev)
{
    for (size_t i = 0; i < n; i++) {
        const float product = g[i] * prev[i];
        prev[i] = product < 0.0f ? 0.0f : g[i];
    }
}

static void walk(size_t n, float *restrict w, const float *restrict g, const float *restrict s)
{
    for (size_t i = 0; i < n; i++)
        w[i] = w[i] - sign(g[i]) * s[i];
}

/* The linter takes the macro for the name. NOLINTBEGIN(readability-identifier-naming) */
void OPTIM_KERNEL(rprop_step)(const struct optim_step *step, size_t n, float *w, const float *g,
                              float *const *slot)
{
    const struct rprop_scalars k = rprop_scalars(step);
    for (size_t start = 0; start < n; start += BLOCK) {
        const size_t some = n - start < BLOCK ? n - start : BLOCK;
        float *const prev = slot[0] + start;
        float *const s = slot[1] + start;
        resize(k, some, g + start, prev, s);
        forget_turned(some, g + start, prev);
        walk(some, w + start, prev, s);
    }
}

/* NOLINTEND(readability-identifier-naming) */
