/* SPDX-License-Identifier: Apache-2.0
 *
 * What the memory costs, without an optimizer: a loop with AdamW's streams (weights, gradient and
 * two slots read; weights and slots written) and one addition for each. Compiled as the kernels
 * are, once per instruction set (server/optim/isa.h).
 */
#include "tests/bench/bare_kernel.h"

void OPTIM_KERNEL(bare_streams)(const struct optim_step *step, size_t n, float *restrict w,
                                const float *restrict g, float *const *slot)
{
    (void)step;
    float *restrict const m = slot[0];
    float *restrict const v = slot[1];
    for (size_t i = 0; i < n; i++) {
        w[i] = w[i] + g[i];
        m[i] = m[i] + g[i];
        v[i] = v[i] + g[i];
    }
}
