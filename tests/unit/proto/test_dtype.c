/* SPDX-License-Identifier: Apache-2.0
 *
 * Element types. The reference decodes a half by arithmetic in double, and rounds by looking for
 * the nearest of all values, so it shares nothing with the code that it checks.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/dtype.h"

#define PATTERNS 65536u

static const enum stepd_dtype halves[] = {STEPD_F16, STEPD_BF16};

static float widen_one(enum stepd_dtype dtype, uint16_t pattern)
{
    float element;
    uint8_t *wire = stepd_dtype_wire_start(dtype, 1, &element);
    wire[0] = (uint8_t)pattern;
    wire[1] = (uint8_t)(pattern >> 8);
    stepd_dtype_widen(dtype, 1, &element);
    return element;
}

static uint16_t narrow_one(enum stepd_dtype dtype, float value)
{
    uint8_t wire[2];
    stepd_dtype_narrow(dtype, 1, &value, wire);
    return (uint16_t)(wire[0] | wire[1] << 8);
}

/* The value of a pattern that is finite, by the formula of IEEE 754. */
static double reference_value(enum stepd_dtype dtype, uint16_t pattern)
{
    const int fraction_bits = dtype == STEPD_F16 ? 10 : 7;
    const int bias = dtype == STEPD_F16 ? 15 : 127;
    const int fraction = pattern & ((1 << fraction_bits) - 1);
    const int exponent = (pattern & 0x7FFF) >> fraction_bits;
    const double sign = (pattern & 0x8000) != 0 ? -1.0 : 1.0;
    if (exponent == 0)
        return sign * ldexp(fraction, 1 - bias - fraction_bits);
    return sign * ldexp(fraction + (1 << fraction_bits), exponent - bias - fraction_bits);
}

static uint16_t infinity_of(enum stepd_dtype dtype)
{
    return dtype == STEPD_F16 ? 0x7C00 : 0x7F80;
}

/* Nearest pattern to a positive finite value; ties go to the even one. By bisection. */
static uint16_t reference_nearest(enum stepd_dtype dtype, double value)
{
    uint16_t low = 0;
    uint16_t high = infinity_of(dtype);
    while (high - low > 1) {
        const uint16_t middle = (uint16_t)((low + high) / 2);
        if (reference_value(dtype, middle) <= value)
            low = middle;
        else
            high = middle;
    }
    /* The pattern of infinity has the value that would come next, which is what rounding wants. */
    const double below = value - reference_value(dtype, low);
    const double above = reference_value(dtype, high) - value;
    if (below == above)
        return low % 2 == 0 ? low : high;
    return below < above ? low : high;
}

static void widen__every_half__has_its_value(void **state)
{
    (void)state;
    for (size_t d = 0; d < 2; d++) {
        for (uint32_t pattern = 0; pattern < PATTERNS; pattern++) {
            const float value = widen_one(halves[d], (uint16_t)pattern);
            const uint16_t magnitude = pattern & 0x7FFF;
            assert_int_equal(signbit(value) != 0, pattern >> 15);
            if (magnitude > infinity_of(halves[d]))
                assert_true(isnan(value));
            else if (magnitude == infinity_of(halves[d]))
                assert_true(isinf(value));
            else
                assert_true((double)value == reference_value(halves[d], (uint16_t)pattern));
        }
    }
}

static void narrow__every_half_widened__comes_back_bit_for_bit(void **state)
{
    (void)state;
    for (size_t d = 0; d < 2; d++) {
        for (uint32_t pattern = 0; pattern < PATTERNS; pattern++)
            assert_int_equal(narrow_one(halves[d], widen_one(halves[d], (uint16_t)pattern)),
                             pattern);
    }
}

/* Around every midpoint of two neighbours, where rounding is decided. */
static void narrow__around_every_midpoint__rounds_to_nearest_even(void **state)
{
    (void)state;
    for (size_t d = 0; d < 2; d++) {
        for (uint16_t low = 0; low < infinity_of(halves[d]); low++) {
            const double above = reference_value(halves[d], (uint16_t)(low + 1));
            const float middle = (float)((reference_value(halves[d], low) + above) / 2);
            const float near[] = {nextafterf(middle, 0), middle, nextafterf(middle, INFINITY)};
            for (size_t i = 0; i < 3; i++) {
                if (!isfinite(near[i]))
                    continue;
                const uint16_t wanted = reference_nearest(halves[d], (double)near[i]);
                assert_int_equal(narrow_one(halves[d], near[i]), wanted);
                assert_int_equal(narrow_one(halves[d], -near[i]), wanted | 0x8000);
            }
        }
    }
}

static void narrow__random_floats__round_to_nearest_even(void **state)
{
    (void)state;
    uint64_t seed = 0x9E3779B97F4A7C15u;
    for (size_t i = 0; i < 200000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const uint32_t bits = (uint32_t)(seed >> 33);
        float value;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value))
            continue;
        for (size_t d = 0; d < 2; d++)
            assert_int_equal(narrow_one(halves[d], value),
                             reference_nearest(halves[d], (double)value));
    }
}

static void narrow__beyond_the_range__is_infinite(void **state)
{
    (void)state;
    assert_int_equal(narrow_one(STEPD_F16, 65519.996F), 0x7BFF);
    assert_int_equal(narrow_one(STEPD_F16, 65520.0F), 0x7C00);
    assert_int_equal(narrow_one(STEPD_F16, -1e30F), 0xFC00);
    assert_int_equal(narrow_one(STEPD_BF16, 3.4028235e38F), 0x7F80);
    assert_int_equal(narrow_one(STEPD_BF16, -INFINITY), 0xFF80);
}

static void narrow__every_nan__stays_one(void **state)
{
    (void)state;
    for (uint32_t fraction = 1; fraction < 1u << 23; fraction += 127) {
        const uint32_t bits = 0x7F800000u | fraction;
        float value;
        memcpy(&value, &bits, sizeof value);
        for (size_t d = 0; d < 2; d++)
            assert_true((narrow_one(halves[d], value) & 0x7FFF) > infinity_of(halves[d]));
    }
}

/* In the buffer of the result, for lengths around the size of a block. */
static void widen__in_place__overtakes_nothing(void **state)
{
    (void)state;
    for (size_t n = 0; n < 1100; n += n < 10 ? 1 : 13) {
        for (size_t d = 0; d < 2; d++) {
            float *elements = malloc((n + 1) * sizeof *elements);
            uint8_t *wire = stepd_dtype_wire_start(halves[d], n, elements);
            for (size_t i = 0; i < n; i++) {
                wire[2 * i] = (uint8_t)i;
                wire[2 * i + 1] = (uint8_t)(i >> 8);
            }
            stepd_dtype_widen(halves[d], n, elements);
            for (size_t i = 0; i < n; i++)
                assert_true((double)elements[i] == reference_value(halves[d], (uint16_t)i));
            free(elements);
        }
    }
}

static void f32__to_the_wire_and_back__is_little_endian(void **state)
{
    (void)state;
    static const uint8_t wire[] = {0x00, 0x00, 0x80, 0x3F, 0x00, 0x00, 0x20, 0xC1};
    float elements[2];
    assert_ptr_equal(stepd_dtype_wire_start(STEPD_F32, 2, elements), elements);
    memcpy(elements, wire, sizeof wire);
    stepd_dtype_widen(STEPD_F32, 2, elements);
    assert_true(elements[0] == 1.0F && elements[1] == -10.0F);
    uint8_t back[1 + sizeof wire];
    stepd_dtype_narrow(STEPD_F32, 2, elements, back + 1); /* any alignment */
    assert_memory_equal(back + 1, wire, sizeof wire);
}

static void dtype__its_numbers__have_names_and_sizes(void **state)
{
    (void)state;
    assert_true(stepd_dtype_known(STEPD_F32) && stepd_dtype_known(STEPD_BF16));
    assert_false(stepd_dtype_known(3));
    assert_false(stepd_dtype_known(UINT32_MAX));
    assert_string_equal(stepd_dtype_name(STEPD_F32), "f32");
    assert_string_equal(stepd_dtype_name(STEPD_F16), "f16");
    assert_string_equal(stepd_dtype_name(STEPD_BF16), "bf16");
    assert_int_equal(stepd_dtype_bytes(STEPD_F32), 4);
    assert_int_equal(stepd_dtype_bytes(STEPD_F16), 2);
    assert_int_equal(stepd_dtype_bytes(STEPD_BF16), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(widen__every_half__has_its_value),
        cmocka_unit_test(narrow__every_half_widened__comes_back_bit_for_bit),
        cmocka_unit_test(narrow__around_every_midpoint__rounds_to_nearest_even),
        cmocka_unit_test(narrow__random_floats__round_to_nearest_even),
        cmocka_unit_test(narrow__beyond_the_range__is_infinite),
        cmocka_unit_test(narrow__every_nan__stays_one),
        cmocka_unit_test(widen__in_place__overtakes_nothing),
        cmocka_unit_test(f32__to_the_wire_and_back__is_little_endian),
        cmocka_unit_test(dtype__its_numbers__have_names_and_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
