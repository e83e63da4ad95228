/* SPDX-License-Identifier: Apache-2.0
 *
 * The choice of an instruction set, and the kernels of the rounds in every instruction set that
 * this machine has. Each is held to the expression of its contract, computed here without vectors.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/optim/kernels.h"
#include "tests/unit/optim/numbers.h"

#define N_MOST 5000

static const size_t lengths[] = {0, 1, 7, 1023, 1024, 1025, 4096, N_MOST};

#define LENGTHS (sizeof lengths / sizeof lengths[0])

/* Arrays that the tests share; the compiler must not know what is in them. */
struct arrays {
    float sum[N_MOST];
    float before[N_MOST];
    float g[N_MOST]; /* the last, so that a sanitizer sees a look behind its end */
};

static void fill(struct arrays *arrays, uint64_t seed)
{
    numbers_fill(&seed, N_MOST, arrays->g);
    numbers_fill(&seed, N_MOST, arrays->before);
    memcpy(arrays->sum, arrays->before, sizeof arrays->sum);
}

static void choose__this_machine__is_available(void **state)
{
    (void)state;
    assert_true(kernels_available(OPTIM_ISA_base));
    assert_true(kernels_available(kernels_choose()));
    for (unsigned int isa = kernels_choose() + 1; isa < OPTIM_ISA_COUNT; isa++)
        assert_false(kernels_available((enum optim_isa)isa));
    assert_false(kernels_available(OPTIM_ISA_COUNT));
}

static void find_isa__each_name__is_found_or_not_runnable(void **state)
{
    (void)state;
    for (unsigned int i = 0; i < OPTIM_ISA_COUNT; i++) {
        enum optim_isa isa = OPTIM_ISA_COUNT;
        struct stepd_error error;
        const enum stepd_status status =
            kernels_find_isa(kernels_isa_name((enum optim_isa)i), &isa, &error);
        if (kernels_available((enum optim_isa)i)) {
            assert_int_equal(status, STEPD_OK);
            assert_int_equal(isa, i);
        } else {
            assert_int_equal(status, STEPD_FAILED_PRECONDITION);
            assert_int_equal(isa, OPTIM_ISA_COUNT);
            assert_non_null(strstr(error.text, kernels_isa_name((enum optim_isa)i)));
        }
    }
}

static void find_isa__unknown_name__lists_the_known(void **state)
{
    (void)state;
    enum optim_isa isa = OPTIM_ISA_COUNT;
    struct stepd_error error;
    assert_int_equal(kernels_find_isa("sparc", &isa, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "unknown instruction set 'sparc': known are base, v3, v4");
    assert_int_equal(isa, OPTIM_ISA_COUNT);
}

static void scale__any_weight__is_the_product(void **state)
{
    struct arrays *const arrays = *state;
    static const float weights[] = {0.0f, 1.0f / 3.0f, 1.0f, 1e-30f};
    for (unsigned int isa = 0; isa < OPTIM_ISA_COUNT; isa++) {
        for (size_t k = 0; k < 4 * LENGTHS && kernels_available((enum optim_isa)isa); k++) {
            const size_t n = lengths[k / 4];
            const float weight = weights[k % 4];
            fill(arrays, k + 1);
            kernels_reduce((enum optim_isa)isa)->scale(n, weight, arrays->g, arrays->sum);
            for (size_t i = 0; i < N_MOST; i++)
                assert_true(numbers_same(arrays->sum[i],
                                         i < n ? weight * arrays->g[i] : arrays->before[i]));
        }
    }
}

static void add__any_weight__rounds_the_product_first(void **state)
{
    struct arrays *const arrays = *state;
    static const float weights[] = {0.0f, 1.0f / 3.0f, 1.0f, 1e-30f};
    for (unsigned int isa = 0; isa < OPTIM_ISA_COUNT; isa++) {
        for (size_t k = 0; k < 4 * LENGTHS && kernels_available((enum optim_isa)isa); k++) {
            const size_t n = lengths[k / 4];
            const float weight = weights[k % 4];
            fill(arrays, k + 1);
            kernels_reduce((enum optim_isa)isa)->add(n, weight, arrays->g, arrays->sum);
            for (size_t i = 0; i < N_MOST; i++) {
                const volatile float product = weight * arrays->g[i];
                const float sum = arrays->before[i] + (i < n ? product : 0.0f);
                assert_true(i >= n ? arrays->sum[i] == arrays->before[i]
                                   : numbers_same(arrays->sum[i], sum));
            }
        }
    }
}

static void first_nonfinite__finite__is_n(void **state)
{
    struct arrays *const arrays = *state;
    for (unsigned int isa = 0; isa < OPTIM_ISA_COUNT; isa++) {
        for (size_t k = 0; k < LENGTHS && kernels_available((enum optim_isa)isa); k++) {
            fill(arrays, k + 1);
            /* What lies behind the end must not be looked at. */
            if (lengths[k] < N_MOST)
                arrays->g[lengths[k]] = NAN;
            assert_int_equal(
                kernels_reduce((enum optim_isa)isa)->first_nonfinite(lengths[k], arrays->g),
                lengths[k]);
        }
    }
}

static void first_nonfinite__each_position__is_found(void **state)
{
    struct arrays *const arrays = *state;
    static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    for (unsigned int isa = 0; isa < OPTIM_ISA_COUNT; isa++) {
        fill(arrays, isa + 1);
        arrays->g[N_MOST - 1] = INFINITY; /* a later one must not be reported */
        for (size_t at = 0; at < N_MOST && kernels_available((enum optim_isa)isa); at++) {
            const float finite = arrays->g[at];
            arrays->g[at] = bad[at % 4];
            assert_int_equal(
                kernels_reduce((enum optim_isa)isa)->first_nonfinite(N_MOST, arrays->g), at);
            arrays->g[at] = finite;
        }
    }
}

static int create_arrays(void **state)
{
    static struct arrays arrays;
    *state = &arrays;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(choose__this_machine__is_available),
        cmocka_unit_test(find_isa__each_name__is_found_or_not_runnable),
        cmocka_unit_test(find_isa__unknown_name__lists_the_known),
        cmocka_unit_test(scale__any_weight__is_the_product),
        cmocka_unit_test(add__any_weight__rounds_the_product_first),
        cmocka_unit_test(first_nonfinite__finite__is_n),
        cmocka_unit_test(first_nonfinite__each_position__is_found),
    };
    return cmocka_run_group_tests(tests, create_arrays, NULL);
}
