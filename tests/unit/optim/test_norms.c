/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums over tensors: right to the last bits of double, and always in the order that norms.h states.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/optim/norms.h"
#include "tests/unit/optim/numbers.h"

#define N 10001

static const size_t lengths[] = {0, 1, 15, 16, 17, 4095, 4096, 4097, 8192, N};

#define LENGTHS (sizeof lengths / sizeof lengths[0])

/* The order as norms.h states it, one element after another. */
static double in_stated_order(size_t n, const float *x, const float *y)
{
    double sum = 0.0;
    for (size_t start = 0; start < n; start += NORMS_BLOCK) {
        double lane[NORMS_LANES] = {0.0};
        for (size_t i = 0; i < NORMS_BLOCK && start + i < n; i++)
            lane[i % NORMS_LANES] += (double)x[start + i] * (double)y[start + i];
        double eight[8], four[4], two[2];
        for (size_t i = 0; i < 8; i++)
            eight[i] = lane[i] + lane[i + 8];
        for (size_t i = 0; i < 4; i++)
            four[i] = eight[i] + eight[i + 4];
        for (size_t i = 0; i < 2; i++)
            two[i] = four[i] + four[i + 2];
        sum += two[0] + two[1];
    }
    return sum;
}

static void norms_dot__any_length__adds_in_the_stated_order(void **state)
{
    (void)state;
    static float x[N], y[N];
    uint64_t seed = 5;
    for (size_t i = 0; i < N; i++) {
        x[i] = numbers_uniform(&seed);
        y[i] = numbers_uniform(&seed);
    }
    for (size_t l = 0; l < LENGTHS; l++) {
        const double expected = in_stated_order(lengths[l], x, y);
        const double got = norms_dot(lengths[l], x, y);
        assert_memory_equal(&got, &expected, sizeof got);
    }
}

static void norms_dot__whole_numbers__is_exact(void **state)
{
    (void)state;
    static float x[N], y[N];
    double expected = 0.0;
    for (size_t i = 0; i < N; i++) {
        x[i] = (float)(i % 1000) - 499.0f;
        y[i] = (float)(i % 77);
        expected += ((double)(i % 1000) - 499.0) * (double)(i % 77);
    }
    assert_true(norms_dot(N, x, y) == expected);
}

static void norms_sum_squares__of_the_extremes__neither_overflows_nor_vanishes(void **state)
{
    (void)state;
    const float huge[3] = {0x1p127f, -0x1p127f, 0x1p127f};
    assert_true(norms_sum_squares(3, huge) == 3.0 * 0x1p254);
    const float tiny[2] = {0x1p-149f, -0x1p-149f};
    assert_true(norms_sum_squares(2, tiny) == 2.0 * 0x1p-298);
}

static void norms_length__three_and_four__is_five(void **state)
{
    (void)state;
    const float x[2] = {3.0f, -4.0f};
    assert_true(norms_length(2, x) == 5.0);
    assert_true(norms_length(0, x) == 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_dot__any_length__adds_in_the_stated_order),
        cmocka_unit_test(norms_dot__whole_numbers__is_exact),
        cmocka_unit_test(norms_sum_squares__of_the_extremes__neither_overflows_nor_vanishes),
        cmocka_unit_test(norms_length__three_and_four__is_five),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
