/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers for the tests of the kernels, the same in every run.
 */
#ifndef TESTS_OPTIM_NUMBERS_H
#define TESTS_OPTIM_NUMBERS_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* xorshift64* (Vigna 2016). *state must not be 0. */
static inline uint64_t numbers_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

/* Uniform in [-1, 1). */
static inline float numbers_uniform(uint64_t *state)
{
    return (float)((int64_t)(numbers_next(state) >> 40) - (INT64_C(1) << 23)) * 0x1p-23f;
}

/* Any finite float: all bits random, so denormals, zeros' neighbours and huge values come too. */
static inline float numbers_finite(uint64_t *state)
{
    for (;;) {
        const uint32_t bits = (uint32_t)(numbers_next(state) >> 32);
        if ((bits & 0x7f800000u) == 0x7f800000u)
            continue;
        float x;
        memcpy(&x, &bits, sizeof x);
        return x;
    }
}

/* Every fourth number is any finite one, the others are uniform. */
static inline void numbers_fill(uint64_t *state, size_t n, float *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = i % 4 == 0 ? numbers_finite(state) : numbers_uniform(state);
}

/* Puts what is special into every eleventh place: both zeros, both ends of the denormals, both
 * infinities, NaN, the largest. */
static inline void numbers_add_special(uint64_t *state, size_t n, float *x)
{
    static const float special[] = {0.0f,     -0.0f,     0x1p-149f, -0x1.fffffcp-127f,
                                    INFINITY, -INFINITY, NAN,       0x1.fffffep127f};
    for (size_t i = (size_t)(numbers_next(state) % 11); i < n; i += 11)
        x[i] = special[(numbers_next(state) >> 32) % (sizeof special / sizeof special[0])];
}

static inline uint32_t numbers_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* The same bits; every NaN is as good as any other, since IEEE 754 leaves their bits open. */
static inline bool numbers_same(float a, float b)
{
    return numbers_bits(a) == numbers_bits(b) || (isnan(a) && isnan(b));
}

#endif
