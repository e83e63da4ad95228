/* SPDX-License-Identifier: Apache-2.0
 *
 * What the memory costs, without an optimizer: a loop with its streams (weights, gradient and slots
 * read; weights and slots written) and one addition for each that is written. Compiled as the
 * kernels are, once per instruction set (server/optim/isa.h). Each number of slots has a loop of
 * its own, as kernels have, whose arrays are restrict parameters.
 */
#include "tests/bench/bare_kernel.h"

#include <assert.h>

static void one_written(size_t n, const float *restrict g, float *restrict w)
{
    for (size_t i = 0; i < n; i++)
        w[i] = w[i] + g[i];
}

static void two_written(size_t n, const float *restrict g, float *restrict w, float *restrict a)
{
    for (size_t i = 0; i < n; i++) {
        w[i] = w[i] + g[i];
        a[i] = a[i] + g[i];
    }
}

static void three_written(size_t n, const float *restrict g, float *restrict w, float *restrict a,
                          float *restrict b)
{
    for (size_t i = 0; i < n; i++) {
        w[i] = w[i] + g[i];
        a[i] = a[i] + g[i];
        b[i] = b[i] + g[i];
    }
}

static void four_written(size_t n, const float *restrict g, float *restrict w, float *restrict a,
                         float *restrict b, float *restrict c)
{
    for (size_t i = 0; i < n; i++) {
        w[i] = w[i] + g[i];
        a[i] = a[i] + g[i];
        b[i] = b[i] + g[i];
        c[i] = c[i] + g[i];
    }
}

void OPTIM_KERNEL(bare_streams)(const struct optim_step *step, size_t n, float *restrict w,
                                const float *restrict g, float *const *slot)
{
    float *used[OPTIMIZER_SLOTS_MAX];
    size_t slots = 0;
    (void)step;
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++)
        if (slot[k] != NULL)
            used[slots++] = slot[k];
    assert(slots <= BARE_SLOTS_MAX);
    if (slots == 0)
        one_written(n, g, w);
    else if (slots == 1)
        two_written(n, g, w, used[0]);
    else if (slots == 2)
        three_written(n, g, w, used[0], used[1]);
    else
        four_written(n, g, w, used[0], used[1], used[2]);
}
