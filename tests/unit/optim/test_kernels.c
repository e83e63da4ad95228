/* SPDX-License-Identifier: Apache-2.0
 *
 * The choice of an instruction set, and the kernels of the rounds in every instruction set that
 * this machine has. Each is held to the expression of its contract, computed here without vectors,
 * at every length, aligned or not, with NaN, infinities and denormals among the numbers.
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

/* ---- Element by element ---------------------------------------------------------------------- */

/* What a kernel must make of an element that held `before`, beside one of the other array. */
typedef float expected_fn(float before, float other, double k);
/* The kernel itself, on n elements from an element on. */
typedef void apply_fn(const struct reduce_kernels *kernels, size_t n, double k, float *sum,
                      const float *g);

/* One call, from element `start` on; elements before and behind stay as they are. */
static void check_call(struct arrays *arrays, size_t start, size_t n, expected_fn *expected,
                       double k)
{
    for (size_t i = 0; i < N_MOST; i++) {
        const float before = arrays->before[i];
        const bool inside = i >= start && i < start + n;
        const float want = inside ? expected(before, arrays->g[i], k) : before;
        if (!numbers_same(arrays->sum[i], want))
            fail_msg("k %g, start %zu, length %zu, element %zu: %a of %a and %a instead of %a", k,
                     start, n, i, (double)arrays->sum[i], (double)before, (double)arrays->g[i],
                     (double)want);
    }
}

/* Holds a kernel to its contract at every length, for every k, in every instruction set. */
static void check(struct arrays *arrays, apply_fn *apply, expected_fn *expected, const double *k,
                  size_t ks)
{
    for (unsigned int isa = 0; isa < OPTIM_ISA_COUNT; isa++) {
        for (size_t c = 0; c < 2 * ks * LENGTHS && kernels_available((enum optim_isa)isa); c++) {
            const size_t start = c % 2, n = lengths[c / 2 / ks] - (c / 2 / ks > 0 ? start : 0);
            const double with = k[c / 2 % ks];
            fill(arrays, c + 1);
            uint64_t seed = c + 1;
            numbers_add_special(&seed, N_MOST, arrays->g);
            numbers_add_special(&seed, N_MOST, arrays->before);
            memcpy(arrays->sum, arrays->before, sizeof arrays->sum);
            apply(kernels_reduce((enum optim_isa)isa), n, with, arrays->sum + start,
                  arrays->g + start);
            check_call(arrays, start, n, expected, with);
        }
    }
}

static const double weights[] = {0.0, 1.0 / 3.0, 1.0, 1e-30};

#define WEIGHTS (sizeof weights / sizeof weights[0])

static void apply_scale(const struct reduce_kernels *kernels, size_t n, double k, float *sum,
                        const float *g)
{
    kernels->scale(n, (float)k, g, sum);
}

static float expected_product(float before, float other, double k)
{
    (void)before;
    return (float)k * other;
}

static void scale__any_weight__is_the_product(void **state)
{
    check(*state, apply_scale, expected_product, weights, WEIGHTS);
}

static void apply_add(const struct reduce_kernels *kernels, size_t n, double k, float *sum,
                      const float *g)
{
    kernels->add(n, (float)k, g, sum);
}

static float expected_sum(float before, float other, double k)
{
    const volatile float product = (float)k * other;
    return before + product;
}

static void add__any_weight__rounds_the_product_first(void **state)
{
    check(*state, apply_add, expected_sum, weights, WEIGHTS);
}

/* ---- Treatment of gradients, averages of weights --------------------------------------------- */

static void apply_unscale(const struct reduce_kernels *kernels, size_t n, double k, float *sum,
                          const float *g)
{
    (void)g;
    kernels->unscale(n, k, sum);
}

static float expected_quotient(float before, float other, double k)
{
    (void)other;
    const volatile float quotient = before / (float)k;
    return quotient;
}

static void unscale__any_scale__is_the_quotient(void **state)
{
    static const double scales[] = {1.0, 65536.0, 0.5, 0x1p100, 1000.0, 3.0, 0.1, 0x1p-140};
    check(*state, apply_unscale, expected_quotient, scales, sizeof scales / sizeof scales[0]);
}

static void apply_negate(const struct reduce_kernels *kernels, size_t n, double k, float *sum,
                         const float *g)
{
    (void)k;
    (void)g;
    kernels->negate(n, sum);
}

static float expected_negative(float before, float other, double k)
{
    (void)other;
    (void)k;
    return -before;
}

static void negate__any_value__turns_the_sign(void **state)
{
    static const double none = 0.0;
    check(*state, apply_negate, expected_negative, &none, 1);
}

static void apply_clip(const struct reduce_kernels *kernels, size_t n, double k, float *sum,
                       const float *g)
{
    (void)g;
    kernels->clip(n, (float)k, sum);
}

static float expected_clipped(float before, float other, double k)
{
    (void)other;
    /* Not fminf, which would make a number of NaN. */
    const float most = (float)k;
    return before > most ? most : before < -most ? -most : before;
}

static void clip__any_value__is_within(void **state)
{
    static const double most[] = {0.5, 1e-20, 1e30};
    check(*state, apply_clip, expected_clipped, most, sizeof most / sizeof most[0]);
}

static void apply_ema(const struct reduce_kernels *kernels, size_t n, double k, float *sum,
                      const float *g)
{
    kernels->ema(n, k, g, sum);
}

static float expected_ema(float before, float other, double k)
{
    const float take = (float)(1.0 - k);
    const volatile float change = other - before;
    const volatile float from_mean = take * change;
    const volatile float from_weights = (1.0F - take) * change;
    return take < 0.5F ? before + from_mean : other - from_weights;
}

static void ema__any_decay__goes_from_the_nearer_end(void **state)
{
    static const double decays[] = {0.999, 0.5, 0.25, 0.9999999};
    check(*state, apply_ema, expected_ema, decays, sizeof decays / sizeof decays[0]);
}

static void apply_swa(const struct reduce_kernels *kernels, size_t n, double k, float *sum,
                      const float *g)
{
    kernels->swa(n, (uint64_t)k, g, sum);
}

static float expected_swa(float before, float other, double k)
{
    const volatile float part = (other - before) / (float)(k + 1.0);
    return before + part;
}

static void swa__any_count__goes_a_part_of_the_way(void **state)
{
    static const double counts[] = {1, 2, 6, 1e6};
    check(*state, apply_swa, expected_swa, counts, sizeof counts / sizeof counts[0]);
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
        cmocka_unit_test(unscale__any_scale__is_the_quotient),
        cmocka_unit_test(negate__any_value__turns_the_sign),
        cmocka_unit_test(clip__any_value__is_within),
        cmocka_unit_test(ema__any_decay__goes_from_the_nearer_end),
        cmocka_unit_test(swa__any_count__goes_a_part_of_the_way),
    };
    return cmocka_run_group_tests(tests, create_arrays, NULL);
}
