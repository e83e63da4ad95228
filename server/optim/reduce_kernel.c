/* SPDX-License-Identifier: Apache-2.0
 *
 * What a round does to gradients before any optimizer sees them: the weighted sum, member by
 * member in rank order, and the check that they are finite. Compiled once per instruction set
 * (isa.h). A product is rounded before it is added, so a sum depends on its order and nothing else.
 */
#include "server/optim/isa.h"

#include <string.h>

/* Elements checked without a branch between: small enough to stay in the nearest cache. */
#define FINITE_BLOCK 1024u

/* IEEE 754: all bits of the exponent are set in NaN and infinity, and in nothing else. */
#define EXPONENT_MASK 0x7f800000u

static void scale(size_t n, float weight, const float *restrict g, float *restrict sum)
{
    if (weight == 1.0f) {
        if (n > 0)
            memcpy(sum, g, n * sizeof *sum);
        return;
    }
    for (size_t i = 0; i < n; i++)
        sum[i] = weight * g[i];
}

static void add(size_t n, float weight, const float *restrict g, float *restrict sum)
{
    if (weight == 1.0f) {
        for (size_t i = 0; i < n; i++)
            sum[i] = sum[i] + g[i];
        return;
    }
    for (size_t i = 0; i < n; i++)
        sum[i] = sum[i] + weight * g[i];
}

/* 1 where x is NaN or infinite, else 0. Looks at the bits, so no compiler flag can fold it away. */
static uint32_t nonfinite(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (bits & EXPONENT_MASK) == EXPONENT_MASK;
}

static bool any_nonfinite(size_t n, const float *g)
{
    uint32_t any = 0;
    for (size_t i = 0; i < n; i++)
        any |= nonfinite(g[i]);
    return any != 0;
}

static size_t first_nonfinite(size_t n, const float *g)
{
    size_t start = 0;
    while (start < n) {
        const size_t block = n - start < FINITE_BLOCK ? n - start : FINITE_BLOCK;
        if (any_nonfinite(block, g + start))
            break;
        start += block;
    }
    while (start < n && !nonfinite(g[start]))
        start++;
    return start;
}

/* The linter takes the macro for the name. NOLINTBEGIN(readability-identifier-naming) */
const struct reduce_kernels OPTIM_KERNEL(reduce_kernels) = {
    .scale = scale,
    .add = add,
    .first_nonfinite = first_nonfinite,
};
/* NOLINTEND(readability-identifier-naming) */
