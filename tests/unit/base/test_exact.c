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
            assert_true(ulps(exact_powi(betas[b], n), right) <= (double)n);
        }
    }
}

/* What a bias correction is made of. */
static void powi__one_minus_beta_to_the_n__is_within_its_bound(void **state)
{
    (void)state;
    static const double betas[] = {0.5, 0.9, 0.99, 0.999, 0.99999, 0.9999999};
    for (size_t b = 0; b < sizeof betas / sizeof betas[0]; b++) {
        for (uint64_t n = 1; n < UINT64_C(1) << 40; n += 1 + n / 7) {
            const long double right = 1.0L - powl((long double)betas[b], (long double)n);
            const long double off = (1.0L - (long double)exact_powi(betas[b], n)) - right;
            assert_true(fabsl(off) <= 0x1p-53L / (1.0L - (long double)betas[b]));
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

static void exp__any_argument__is_within_1_ulp(void **state)
{
    (void)state;
    uint64_t seed = 3;
    for (int i = 0; i < SAMPLES; i++) {
        const double small = uniform(&seed) * 2.0 - 1.0;
        assert_true(ulps(exact_exp(small), expl((long double)small)) < 1.0);
        const double any = uniform(&seed) * 1453.7 - 744.0;
        assert_true(ulps(exact_exp(any), expl((long double)any)) < 1.0);
    }
}

static void exp__edges__are_right(void **state)
{
    (void)state;
    assert_true(exact_exp(0.0) == 1.0 && exact_exp(-0.0) == 1.0);
    assert_true(exact_exp(DBL_TRUE_MIN) == 1.0 && exact_exp(-DBL_MIN) == 1.0);
    assert_true(exact_exp(0x1.62e42fefa39efp+9) > 0x1.fffffffffff00p+1023); /* 1024 ln 2 - */
    assert_true(exact_exp(709.79) == INFINITY && exact_exp(DBL_MAX) == INFINITY);
    assert_true(exact_exp(-745.13) == DBL_TRUE_MIN);
    assert_true(exact_exp(-745.14) == 0.0 && exact_exp(-DBL_MAX) == 0.0);
}

/* The results span the whole range, so |y ln x| goes up to 745. */
static void pow__any_arguments__are_within_1_ulp(void **state)
{
    (void)state;
    uint64_t seed = 4;
    for (int i = 0; i < SAMPLES; i++) {
        const double x = ldexp(1.0 + uniform(&seed), (int)(uniform(&seed) * 2097.0) - 1074);
        const double y = (uniform(&seed) * 1453.7 - 744.0) / log(x);
        assert_true(ulps(exact_pow(x, y), powl((long double)x, (long double)y)) < 1.0);
    }
}

/* A decay near 1 to a large power, and a step count to a small one: what schedules ask for. */
static void pow__decays_and_step_counts__are_within_1_ulp(void **state)
{
    (void)state;
    uint64_t seed = 5;
    for (int i = 0; i < SAMPLES; i++) {
        const double gamma = 1.0 - ldexp(uniform(&seed), -(int)(uniform(&seed) * 50.0));
        const double most = gamma < 1.0 ? fmin(-700.0 / log(gamma), 0x1p53) : 0x1p53;
        const double steps = floor(uniform(&seed) * most);
        if (gamma > 0.0)
            assert_true(
                ulps(exact_pow(gamma, steps), powl((long double)gamma, (long double)steps)) < 1.0);
        const double power = uniform(&seed) * 4.0 - 2.0;
        assert_true(ulps(exact_pow(steps + 1.0, power),
                         powl((long double)steps + 1.0L, (long double)power)) < 1.0);
    }
}

static void pow__exact_result__is_exact(void **state)
{
    (void)state;
    for (int n = -1074; n <= 1023; n++)
        assert_true(exact_pow(2.0, n) == ldexp(1.0, n));
    for (int k = 1; k <= 1000; k++) {
        assert_true(exact_pow(k, 1.0) == k);
        assert_true(exact_pow(k, 2.0) == (double)k * k);
        assert_true(exact_pow((double)k * k, 0.5) == k);
    }
}

static void pow__edges__are_right(void **state)
{
    (void)state;
    assert_true(exact_pow(0.0, 0.0) == 1.0 && exact_pow(DBL_MAX, 0.0) == 1.0);
    assert_true(exact_pow(0.0, DBL_TRUE_MIN) == 0.0 && exact_pow(0.0, 3.0) == 0.0);
    assert_true(exact_pow(0.0, -1.0) == INFINITY);
    assert_true(exact_pow(1.0, DBL_MAX) == 1.0 && exact_pow(1.0, -DBL_MAX) == 1.0);
    assert_true(exact_pow(0.5, DBL_MAX) == 0.0 && exact_pow(2.0, DBL_MAX) == INFINITY);
    assert_true(exact_pow(0.5, -DBL_MAX) == INFINITY && exact_pow(2.0, -DBL_MAX) == 0.0);
    assert_true(exact_pow(1.0 - DBL_EPSILON / 2, DBL_MAX) == 0.0);
    assert_true(exact_pow(DBL_MAX, DBL_TRUE_MIN) == 1.0);
    assert_true(exact_pow(DBL_MAX, 1.0) == DBL_MAX && exact_pow(DBL_MIN, 1.0) == DBL_MIN);
    assert_true(exact_pow(DBL_TRUE_MIN, 1.0) == DBL_TRUE_MIN);
    assert_true(exact_pow(DBL_TRUE_MIN, -0.5) == 0x1p537);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(powi__power_of_two__is_exact),
        cmocka_unit_test(powi__zero__is_one_only_to_the_power_zero),
        cmocka_unit_test(powi__largest_power__vanishes_or_stays_one),
        cmocka_unit_test(powi__beta__agrees_with_libm),
        cmocka_unit_test(powi__one_minus_beta_to_the_n__is_within_its_bound),
        cmocka_unit_test(cospi__multiples_of_a_half__are_exact),
        cmocka_unit_test(cospi__huge_argument__is_that_of_its_parity),
        cmocka_unit_test(cospi__any_argument__is_within_4_ulp),
        cmocka_unit_test(cospi__all_quadrants__mirror_the_first),
        cmocka_unit_test(log__normal_argument__is_within_2_ulp),
        cmocka_unit_test(log__ends_of_the_range__are_within_2_ulp),
        cmocka_unit_test(exp__any_argument__is_within_1_ulp),
        cmocka_unit_test(exp__edges__are_right),
        cmocka_unit_test(pow__any_arguments__are_within_1_ulp),
        cmocka_unit_test(pow__decays_and_step_counts__are_within_1_ulp),
        cmocka_unit_test(pow__exact_result__is_exact),
        cmocka_unit_test(pow__edges__are_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
