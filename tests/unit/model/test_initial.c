/* SPDX-License-Identifier: Apache-2.0
 *
 * First weights: a function of seed, tensor and element alone, with the distribution that was asked
 * for.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/model/initial.h"

enum { N = 1000, MANY = 100000 };

static const struct stepd_init uniform = {
    .kind = STEPD_INIT_UNIFORM, .a = -2.0, .b = 3.0, .seed = 42};
static const struct stepd_init normal = {.kind = STEPD_INIT_NORMAL, .a = 1.0, .b = 0.5, .seed = 42};

static float many[MANY];

static void initial_values__in_pieces__are_those_of_the_whole(void **state)
{
    (void)state;
    const struct stepd_init *const inits[] = {&uniform, &normal};
    for (size_t k = 0; k < 2; k++) {
        float whole[N];
        float pieces[N];
        initial_values(inits[k], 3, 17, N, whole);
        for (size_t at = 0, n = 1; at < N; at += n, n = n % 7 + 1) {
            n = N - at < n ? N - at : n;
            initial_values(inits[k], 3, 17 + at, n, pieces + at);
        }
        assert_memory_equal(whole, pieces, sizeof whole);
    }
}

static size_t count_equal(const struct stepd_init *a, uint32_t tensor_a, const struct stepd_init *b,
                          uint32_t tensor_b)
{
    float of_a[N];
    float of_b[N];
    initial_values(a, tensor_a, 0, N, of_a);
    initial_values(b, tensor_b, 0, N, of_b);
    size_t equal = 0;
    for (size_t i = 0; i < N; i++)
        equal += of_a[i] == of_b[i];
    return equal;
}

static void initial_values__of_another_seed__are_others(void **state)
{
    (void)state;
    struct stepd_init other = uniform;
    assert_int_equal(count_equal(&uniform, 0, &other, 0), N);
    for (uint64_t seed = 0; seed < 20; seed++) {
        other.seed = 43 + seed;
        assert_in_range(count_equal(&uniform, 0, &other, 0), 0, 1);
    }
}

static void initial_values__of_another_tensor__are_others(void **state)
{
    (void)state;
    for (uint32_t tensor = 1; tensor < 20; tensor++)
        assert_in_range(count_equal(&uniform, 0, &uniform, tensor), 0, 1);
}

static void initial_values__when_uniform__stay_in_their_range_and_fill_it(void **state)
{
    (void)state;
    initial_values(&uniform, 0, 0, MANY, many);
    double sum = 0;
    float least = many[0];
    float most = many[0];
    for (size_t i = 0; i < MANY; i++) {
        sum += many[i];
        least = many[i] < least ? many[i] : least;
        most = many[i] > most ? many[i] : most;
    }
    assert_true(least >= -2.0F && least < -1.99F);
    assert_true(most < 3.0F && most > 2.99F);
    assert_true(fabs(sum / MANY - 0.5) < 0.02); /* 4 standard errors */
}

static void initial_values__when_normal__have_their_mean_and_deviation(void **state)
{
    (void)state;
    initial_values(&normal, 0, 0, MANY, many);
    double sum = 0;
    double squares = 0;
    for (size_t i = 0; i < MANY; i++) {
        assert_true(isfinite(many[i]));
        sum += many[i];
        squares += ((double)many[i] - 1.0) * ((double)many[i] - 1.0);
    }
    assert_true(fabs(sum / MANY - 1.0) < 0.0064);           /* 4 standard errors */
    assert_true(fabs(sqrt(squares / MANY) - 0.5) < 0.0045); /* likewise */
}

static void initial_values__when_normal__have_the_tails_of_it(void **state)
{
    (void)state;
    initial_values(&normal, 0, 0, MANY, many);
    size_t beyond = 0; /* two deviations: 4.55 % */
    for (size_t i = 0; i < MANY; i++)
        beyond += fabs((double)many[i] - 1.0) > 1.0;
    assert_in_range(beyond, 4290, 4810);
}

static void initial_values__when_constant_or_assigned__are_the_constant_or_zero(void **state)
{
    (void)state;
    const struct stepd_init constant = {.kind = STEPD_INIT_CONSTANT, .a = 0.25};
    const struct stepd_init assigned = {.kind = STEPD_INIT_VALUES, .a = 9};
    float values[2] = {7, 7};
    initial_values(&constant, 0, 5, 2, values);
    assert_true(values[0] == 0.25F && values[1] == 0.25F);
    initial_values(&assigned, 0, 5, 2, values);
    assert_true(values[0] == 0.0F && values[1] == 0.0F);
}

/* Beside the machine that made these numbers: they must not change, on any machine. */
static void initial_values__of_a_given_seed__are_these_bits(void **state)
{
    (void)state;
    float values[4];
    initial_values(&uniform, 1, 0, 4, values);
    const float of_uniform[4] = {-0x1.0ac44ep-4F, 0x1.4da49ep+1F, -0x1.959c7p+0F, 0x1.0477ccp+0F};
    assert_memory_equal(values, of_uniform, sizeof values);
    initial_values(&normal, 1, 0, 4, values);
    const float of_normal[4] = {0x1.6f7796p+0F, 0x1.ab1d9cp-1F, 0x1.4075b6p+0F, 0x1.da017ap-1F};
    assert_memory_equal(values, of_normal, sizeof values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(initial_values__in_pieces__are_those_of_the_whole),
        cmocka_unit_test(initial_values__of_another_seed__are_others),
        cmocka_unit_test(initial_values__of_another_tensor__are_others),
        cmocka_unit_test(initial_values__when_uniform__stay_in_their_range_and_fill_it),
        cmocka_unit_test(initial_values__when_normal__have_their_mean_and_deviation),
        cmocka_unit_test(initial_values__when_normal__have_the_tails_of_it),
        cmocka_unit_test(initial_values__when_constant_or_assigned__are_the_constant_or_zero),
        cmocka_unit_test(initial_values__of_a_given_seed__are_these_bits),
    };
    return cmocka_run_group_tests_name("model/initial", tests, NULL, NULL);
}
