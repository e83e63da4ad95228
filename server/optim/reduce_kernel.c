/* SPDX-License-Identifier: Apache-2.0
 *
 * What a round does to gradients before any optimizer sees them: from the wire's type into floats,
 * a loss scale taken off, the check that they are finite, the weighted sum, member by member in
 * rank order, the sign turned, values clipped; and what it does to weights after any: the averages
 * of views. Compiled once per instruction set (isa.h). A product is rounded before it is added, so
 * a sum depends on its order and nothing else.
 */
#include "server/optim/isa.h"

#include <string.h>

#include "proto/dtype_loops.h"

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

/* ---- The wire -------------------------------------------------------------------------------- */

static void widen(enum stepd_dtype dtype, size_t n, const uint8_t *wire, float *g)
{
    stepd_widen_loop(dtype, n, wire, g);
}

static void narrow(enum stepd_dtype dtype, size_t n, const float *w, uint8_t *wire)
{
    stepd_narrow_loop(dtype, n, w, wire);
}

/* ---- Treatment ------------------------------------------------------------------------------- */

/* Is x a power of two whose reciprocal is a normal float? Then its reciprocal is exact. */
static bool is_exact_scale(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint64_t mantissa = bits & ((UINT64_C(1) << 52) - 1);
    return mantissa == 0 && x >= 0x1p-126 && x <= 0x1p126;
}

static void unscale(size_t n, double scale, float *g)
{
    if (scale == 1.0)
        return;
    if (is_exact_scale(scale)) {
        const float factor = (float)(1.0 / scale);
        for (size_t i = 0; i < n; i++)
            g[i] = g[i] * factor;
        return;
    }
    const float divisor = (float)scale;
    for (size_t i = 0; i < n; i++)
        g[i] = g[i] / divisor;
}

static void multiply(size_t n, float factor, float *g)
{
    for (size_t i = 0; i < n; i++)
        g[i] = factor * g[i];
}

static void negate(size_t n, float *g)
{
    for (size_t i = 0; i < n; i++)
        g[i] = -g[i];
}

static void clip(size_t n, float most, float *g)
{
    for (size_t i = 0; i < n; i++) {
        const float above = g[i] > most ? most : g[i];
        g[i] = above < -most ? -most : above;
    }
}

static void compensate(size_t n, double lambda, const float *restrict now,
                       const float *restrict then, float *restrict g)
{
    const float l = (float)lambda;
    for (size_t i = 0; i < n; i++)
        g[i] = g[i] + l * g[i] * g[i] * (now[i] - then[i]);
}

/* ---- Averages of the weights ----------------------------------------------------------------- */

/* torch.lerp: from the nearer end. As decay mean + (1 - decay) w it would not come to rest where w
 * does: rounded to float the two shares may add up to 1 + 2^-25, and the mean of a w that stands
 * still would end 2^-25 / (1 - decay) of it away. */
static void ema(size_t n, double decay, const float *restrict w, float *restrict mean)
{
    const float take = (float)(1.0 - decay);
    if (take < 0.5f) {
        for (size_t i = 0; i < n; i++)
            mean[i] = mean[i] + take * (w[i] - mean[i]);
        return;
    }
    const float keep = 1.0f - take;
    for (size_t i = 0; i < n; i++)
        mean[i] = w[i] - (w[i] - mean[i]) * keep;
}

static void swa(size_t n, uint64_t count, const float *restrict w, float *restrict mean)
{
    const float models = (float)((double)count + 1.0);
    for (size_t i = 0; i < n; i++)
        mean[i] = mean[i] + (w[i] - mean[i]) / models;
}

/* The linter takes the macro for the name. NOLINTBEGIN(readability-identifier-naming) */
const struct reduce_kernels OPTIM_KERNEL(reduce_kernels) = {
    .scale = scale,
    .add = add,
    .first_nonfinite = first_nonfinite,
    .widen = widen,
    .narrow = narrow,
    .unscale = unscale,
    .multiply = multiply,
    .negate = negate,
    .clip = clip,
    .compensate = compensate,
    .ema = ema,
    .swa = swa,
};
/* NOLINTEND(readability-identifier-naming) */
