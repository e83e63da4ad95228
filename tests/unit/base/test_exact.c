/* SPDX-License-Identifier: Apache-2.0
 *
 * The exact functions against libm in long double, whose 64-bit mantissa makes it a reference for
 * fractions of a double's ulp, and against values that are known exactly.
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/base/exact.h"

#define SAMPLES 200000

/* xorshift64* (Vigna 2016): the same numbers in every run. In [0, 1). */
static double uniform(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (double)((*state * UINT64_C(2685821657736338717)) >> 11) * 0x1p-53;
}

/* The error of got in units of the last place of the value that is right. */
static double ulps(double got, long double right)
{
    const double nearest = (double)right;
    const double ulp = nextafter(fabs(nearest), INFINITY) - fabs(nearest);
    return (double)(fabsl((long double)got - right) / (long double)ulp);
}

static void powi__power_of_two__is_exact(void **state)
{
    (void)state;
    for (uint64_t n = 0; n <= 1000; n++) {
        assert_true(exact_powi(2.0, n) == ldexp(1.0, (int)n));
        assert_true(exact_powi(-0.5, n) == ldexp(n % 2 == 0 ? 1.0 : -1.0, -(int)n));
    }
}

static void powi__zero__is_one_only_to_the_power_zero(void **state)
{
    (void)state;
    assert_true(exact_powi(0.0, 0) == 1.0);
    assert_true(exact_powi(0.0, 1) == 0.0);
    assert_true(exact_powi(0.0, UINT64_MAX) == 0.0);
}

static void powi__largest_power__vanishes_or_stays_one(void **state)
{
    (void)state;
    assert_true(exact_powi(0.999999, UINT64_MAX) == 0.0);
    assert_true(exact_powi(1.0, UINT64_MAX) == 1.0);
}

/* Each squaring doubles the relative error so far: about n roundings of half an ulp in the end. */
static void powi__beta__agrees_with_libm(void **state)
{
    (void)state;
    static const double betas[] = {0.5, 0.9, 0.95, 0.99, 0.999, 0.9999};
    for (size_t b = 0; b < sizeof betas / sizeof betas[0]; b++) {
        for (uint64_t n = 1; n <= 5000; n++) {
            const long double right = powl((long double)betas[b], (long double)n);
            if (right < DBL_MIN)
                break;
            assert_true(ulps(exact_powi(betas[b], n), right) <= 1.0 + (double)n);
        }
    }
}

static void cospi__multiples_of_a_half__are_exact(void **state)
{
    (void)state;
    static const double cosine[] = {1.0, 0.0, -1.0, 0.0};
    for (int k = 0; k <= 100000; k++) {
        assert_true(exact_cospi(0.5 * k) == cosine[k % 4]);
        assert_true(exact_cospi(-0.5 * k) == cosine[k % 4]);
        assert_false(signbit(exact_cospi(0.5 * k)) && k % 2 == 1);
    }
}

static void cospi__huge_argument__is_that_of_its_parity(void **state)
{
    (void)state;
    assert_true(exact_cospi(9007199254740991.0) == -1.0); /* 2^53 - 1, odd */
    assert_true(exact_cospi(9007199254740992.0) == 1.0);
    assert_true(exact_cospi(-DBL_MAX) == 1.0);
    assert_true(exact_cospi(4503599627370495.5) == 0.0); /* 2^52 - 1/2 */
}

/* Near the zeros the argument is reduced before pi comes in, so the error stays relative there. */
static void cospi__any_argument__is_within_4_ulp(void **state)
{
    (void)state;
    const long double pi = 3.14159265358979323846264338327950288L;
    uint64_t seed = 1;
    for (int i = 0; i < SAMPLES; i++) {
        const double x = uniform(&seed) * 0.5;
        assert_true(ulps(exact_cospi(x), x < 0.25 ? cosl(pi * (long double)x)
                                                  : sinl(pi * (0.5L - (long double)x))) < 4.0);
    }
}

static void cospi__all_quadrants__mirror_the_first(void **state)
{
    (void)state;
    for (int k = 0; k <= 1 << 16; k++) {
        const double x = 0.5 * k / (1 << 16);
        const double first = exact_cospi(x);
        assert_true(exact_cospi(-x) == first);
        assert_true(exact_cospi(1.0 - x) == -first);
        assert_true(exact_cospi(1.0 + x) == -first);
        assert_true(exact_cospi(2.0 - x) == first);
        assert_true(exact_cospi(1000.0 + x) == first);
    }
}

static void log__normal_argument__is_within_2_ulp(void **state)
{
    (void)state;
    uint64_t seed = 2;
    for (int i = 0; i < SAMPLES; i++) {
        const int exponent = (int)(uniform(&seed) * 2000.0) - 1000;
        const double x = ldexp(1.0 + uniform(&seed), exponent);
        assert_true(ulps(exact_log(x), logl((long double)x)) < 2.0);
        const double near_one = 0.5 + uniform(&seed);
        assert_true(ulps(exact_log(near_one), logl((long double)near_one)) < 2.0);
    }
}

static void log__ends_of_the_range__are_within_2_ulp(void **state)
{
    (void)state;
    static const double ends[] = {DBL_MIN,
                                  DBL_MAX,
                                  0.5,
                                  2.0,
                                  0x1.6a09e667f3bccp+0,
                                  0x1.6a09e667f3bcdp+0,
                                  0x1.6a09e667f3bcep+0};
    assert_true(exact_log(1.0) == 0.0);
    assert_true(ulps(exact_log(1.0 + DBL_EPSILON), logl(1.0L + DBL_EPSILON)) < 2.0);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        assert_true(ulps(exact_log(ends[i]), logl((long double)ends[i])) < 2.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(powi__power_of_two__is_exact),
        cmocka_unit_test(powi__zero__is_one_only_to_the_power_zero),
        cmocka_unit_test(powi__largest_power__vanishes_or_stays_one),
        cmocka_unit_test(powi__beta__agrees_with_libm),
        cmocka_unit_test(cospi__multiples_of_a_half__are_exact),
        cmocka_unit_test(cospi__huge_argument__is_that_of_its_parity),
        cmocka_unit_test(cospi__any_argument__is_within_4_ulp),
        cmocka_unit_test(cospi__all_quadrants__mirror_the_first),
        cmocka_unit_test(log__normal_argument__is_within_2_ulp),
        cmocka_unit_test(log__ends_of_the_range__are_within_2_ulp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
