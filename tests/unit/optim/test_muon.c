/* SPDX-License-Identifier: Apache-2.0
 *
 * Muon against PyTorch. The vectors are the weights of torch.optim.Muon 2.13 in float32 after three
 * steps, from the starting values and gradients of start() and gradient(), which are exact. Where
 * both round to bfloat16 at the same places nearly all weights agree to float's last bits; a sum
 * in another order may bring a few over to the next bfloat16, so MOST of them must agree closely,
 * and all to a few bfloat16 ulps of the step. An iteration in float32 fails this, as does one that
 * rounds once more.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/error.h"
#include "server/optim/blas.h"
#include "tests/unit/optim/numbers.h"
#include "tests/unit/optim/whole.h"

#define LR     0.125
#define COARSE (LR * 0x1p-5) /* 8 ulps of a bfloat16 of 1, times the rate */
#define FINE   0x1p-22

static float start(uint64_t i)
{
    return ((float)(i * 7 % 11) - 5.0f) / 8.0f;
}

static float gradient(uint64_t i, uint64_t t)
{
    return ((float)((i * i * 5 + t * 3 + i) % 13) - 6.0f) / 16.0f;
}

struct matrix {
    struct whole whole;
    uint64_t dim[2];
};

static void matrix_init(struct matrix *matrix, uint64_t rows, uint64_t columns)
{
    *matrix = (struct matrix){.dim = {rows, columns}};
    whole_init(&matrix->whole, "muon", 1,
               &(struct optim_shape){.dims = 2, .dim = matrix->dim, .elements = rows * columns});
    for (size_t i = 0; i < matrix->whole.n; i++)
        matrix->whole.w[i] = start(i);
}

/* Fails unless all of the weights are near, and at least three quarters of them nearer. */
static void assert_mostly(const struct whole *whole, const float *expected)
{
    size_t fine = 0;
    for (size_t i = 0; i < whole->n; i++) {
        const double distance = fabs((double)whole->w[i] - (double)expected[i]);
        if (!(distance <= COARSE))
            fail_msg("element %zu: %.9g, torch %.9g", i, (double)whole->w[i], (double)expected[i]);
        fine += distance <= FINE;
    }
    if (4 * fine < 3 * whole->n)
        fail_msg("only %zu of %zu weights agree closely", fine, whole->n);
}

static void three_steps(struct matrix *matrix, const float *expected)
{
    struct whole *const whole = &matrix->whole;
    for (uint64_t t = 1; t <= 3; t++) {
        for (size_t i = 0; i < whole->n; i++)
            whole->g[i] = gradient(i, t);
        assert_true(whole_step(whole, LR));
    }
    assert_mostly(whole, expected);
    whole_deinit(whole);
}

static void muon__wide_matrix__is_torchs(void **state)
{
    (void)state;
    static const float expected[] = {
        -0x1.35a8b8p-1f, 0x1.0f5560p-3f,  -0x1.dcf380p-3f, 0x1.e36ba0p-2f,
        -0x1.ec8500p-5f, -0x1.a5f6c0p-2f, 0x1.d18c28p-2f,  0x1.c01040p-5f,
        -0x1.d566f0p-2f, 0x1.a7d980p-2f,  -0x1.4d09d8p-3f, -0x1.3d4384p-1f,
    };
    struct matrix matrix;
    matrix_init(&matrix, 3, 4);
    matrix.whole.hyper.weight_decay = 0.25;
    matrix.whole.hyper.momentum = 0.75;
    three_steps(&matrix, expected);
}

static void muon__tall_matrix__is_torchs(void **state)
{
    (void)state;
    static const float expected[] = {
        -0x1.1f1220p-1f, 0x1.8adbd4p-3f, -0x1.e9ceaep-3f, 0x1.1dc514p-1f,  0x1.1046bcp-4f,
        -0x1.601da6p-2f, 0x1.cafaacp-2f, -0x1.8646a4p-7f, -0x1.061e30p-1f, 0x1.92e414p-2f,
    };
    struct matrix matrix;
    matrix_init(&matrix, 5, 2);
    matrix.whole.hyper.weight_decay = 0.25;
    matrix.whole.hyper.momentum = 0.25;
    matrix.whole.hyper.nesterov = 0.0;
    matrix.whole.hyper.adjust_lr_fn = OPTIM_ADJUST_MATCH_RMS;
    three_steps(&matrix, expected);
}

static void muon__other_polynomial__is_torchs(void **state)
{
    (void)state;
    static const float expected[] = {
        -0x1.2f1178p-1f, 0x1.3a78a0p-3f,  -0x1.e32c00p-3f, 0x1.119170p-1f,
        0x1.d5d000p-9f,  -0x1.6f3920p-2f, 0x1.d8f8f8p-2f,  -0x1.21b000p-8f,
        -0x1.14d3dep-1f, 0x1.bbb420p-2f,  -0x1.ab2606p-3f, -0x1.3355f0p-1f,
    };
    struct matrix matrix;
    matrix_init(&matrix, 3, 4);
    struct optim_hyper *const hyper = &matrix.whole.hyper;
    hyper->weight_decay = 0.25;
    hyper->momentum = 0.5;
    hyper->ns_steps = 2.0;
    hyper->eps = 1.0;
    assert_int_equal(optimizer_hyper_set_list(matrix.whole.optimizer, "ns_coefficients", 3,
                                              (const double[]){2.0, -1.5, 0.5}, hyper, NULL),
                     STEPD_OK);
    three_steps(&matrix, expected);
}

/* One step from weights of 0 on a random gradient, turned or not. */
static void step_once(struct matrix *matrix, bool turned)
{
    struct whole *const whole = &matrix->whole;
    uint64_t seed = 9;
    const size_t rows = (size_t)matrix->dim[turned], columns = (size_t)matrix->dim[!turned];
    whole->hyper.adjust_lr_fn = OPTIM_ADJUST_MATCH_RMS;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++)
            whole->g[turned ? j * rows + i : i * columns + j] = numbers_uniform(&seed);
    for (size_t i = 0; i < whole->n; i++)
        whole->w[i] = 0.0f;
    assert_true(whole_step(whole, 1.0));
}

static void muon__transposed_gradient__makes_the_transposed_step(void **state)
{
    (void)state;
    struct matrix a, b;
    matrix_init(&a, 6, 9);
    matrix_init(&b, 9, 6);
    step_once(&a, false);
    step_once(&b, true);
    float turned[54];
    for (size_t i = 0; i < 6; i++)
        for (size_t j = 0; j < 9; j++)
            turned[j * 6 + i] = a.whole.w[i * 9 + j];
    assert_mostly(&b.whole, turned);
    whole_deinit(&a.whole);
    whole_deinit(&b.whole);
}

/* All singular values of the step come near 1, so the sum of their squares is near the rank. */
static void muon__random_gradient__makes_a_step_near_an_orthogonal_one(void **state)
{
    (void)state;
    struct matrix matrix;
    matrix_init(&matrix, 20, 50);
    step_once(&matrix, false);
    double squares = 0.0, along = 0.0;
    for (size_t i = 0; i < matrix.whole.n; i++) {
        const double x = -(double)matrix.whole.w[i] / (0.2 * sqrt(50.0));
        squares += x * x;
        along += x * (double)matrix.whole.g[i];
    }
    assert_true(squares > 0.6 * 20.0 && squares < 1.4 * 20.0);
    assert_true(along > 0.0);
    whole_deinit(&matrix.whole);
}

static void muon__single_element__moves_by_about_the_rate(void **state)
{
    (void)state;
    struct matrix matrix;
    matrix_init(&matrix, 1, 1);
    matrix.whole.w[0] = 0.0f;
    matrix.whole.g[0] = 1e-3f;
    assert_true(whole_step(&matrix.whole, LR));
    assert_true(matrix.whole.w[0] < -0.6f * (float)LR && matrix.whole.w[0] > -1.3f * (float)LR);
    whole_deinit(&matrix.whole);
}

static void muon__gradient_of_zero__only_decays(void **state)
{
    (void)state;
    struct matrix matrix;
    matrix_init(&matrix, 2, 3);
    matrix.whole.hyper.weight_decay = 0.5;
    double expected[6];
    for (size_t i = 0; i < 6; i++)
        expected[i] = (double)start(i) * (1.0 - 0.5 * LR);
    assert_true(whole_step(&matrix.whole, LR));
    whole_assert_near(&matrix.whole, expected, 0.5);
    whole_deinit(&matrix.whole);
}

/* A step without momentum and iteration: the gradient over its norm, in bfloat16. */
static void step_plain(struct matrix *matrix, const float *g)
{
    struct whole *const whole = &matrix->whole;
    whole->hyper.momentum = 0.0;
    whole->hyper.ns_steps = 0.0;
    whole->hyper.weight_decay = 0.0;
    for (size_t i = 0; i < whole->n; i++) {
        whole->w[i] = 0.0f;
        whole->g[i] = g[i];
    }
    assert_true(whole_step(whole, LR));
}

/* Beside the other element the norm is 2 to bfloat16. */
static void muon__gradient_between_two_bfloat16__goes_to_the_even_one(void **state)
{
    (void)state;
    static const float between[] = {1.0f + 0x1p-8f, 1.0f + 0x3p-8f};
    static const float even[] = {1.0f, 1.0f + 0x1p-6f};
    static const float other[] = {1.734375f, 1.7265625f};
    for (size_t k = 0; k < 2; k++) {
        struct matrix matrix;
        matrix_init(&matrix, 1, 2);
        step_plain(&matrix, (const float[]){between[k], other[k]});
        assert_true(matrix.whole.w[0] == -(float)LR * even[k] / 2.0f);
        whole_deinit(&matrix.whole);
    }
}

static void muon__tall_matrix__has_the_root_of_its_ratio_for_a_factor(void **state)
{
    (void)state;
    for (size_t turned = 0; turned < 2; turned++) {
        struct matrix matrix;
        matrix_init(&matrix, turned ? 1 : 4, turned ? 4 : 1);
        step_plain(&matrix, (const float[]){1.0f, 1.0f, 1.0f, 1.0f}); /* 1/2 each */
        assert_true(matrix.whole.w[3] == -(float)LR * (turned ? 0.5f : 1.0f));
        whole_deinit(&matrix.whole);
    }
}

static void muon_scratch__either_way__is_two_matrices_and_two_squares(void **state)
{
    (void)state;
    for (size_t turned = 0; turned < 2; turned++) {
        struct matrix matrix;
        matrix_init(&matrix, turned ? 3 : 5, turned ? 5 : 3);
        assert_int_equal(
            matrix.whole.optimizer->scratch(&matrix.whole.hyper, 1, matrix.whole.shape),
            2 * 15 + 2 * 9);
        whole_deinit(&matrix.whole);
    }
}

static void muon_check_shape__no_matrix__is_refused_with_a_remedy(void **state)
{
    (void)state;
    const struct optimizer *muon = NULL;
    assert_int_equal(optimizer_find("muon", &muon, NULL), STEPD_OK);
    const uint64_t dim[4] = {8, 3, 3, 3};
    for (size_t dims = 0; dims <= 4; dims++) {
        const struct optim_shape shape = {.dims = dims, .dim = dim, .elements = 8};
        struct stepd_error error = {.text = ""};
        const enum stepd_status status = muon->check_shape(NULL, 1, &shape, &error);
        assert_int_equal(status, dims == 2 ? STEPD_OK : STEPD_INVALID_ARGUMENT);
        assert_true((strstr(error.text, "put it in another group") != NULL) == (dims != 2));
        assert_true((strstr(error.text, "has 1 dimension:") != NULL) == (dims == 1));
    }
}

static void muon_check_shape__sides_beyond_blas__are_refused(void **state)
{
    (void)state;
    const struct optimizer *muon = NULL;
    assert_int_equal(optimizer_find("muon", &muon, NULL), STEPD_OK);
    for (size_t side = 0; side < 2; side++) {
        uint64_t dim[2] = {1, 1};
        dim[side] = UINT64_C(1) << 31;
        const struct optim_shape shape = {.dims = 2, .dim = dim, .elements = dim[side]};
        struct stepd_error error = {.text = ""};
        assert_int_equal(muon->check_shape(NULL, 1, &shape, &error), STEPD_INVALID_ARGUMENT);
        assert_non_null(strstr(error.text, "2147483647"));
    }
}

static int use_one_thread(void **state)
{
    (void)state;
    blas_use_one_thread();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(muon__wide_matrix__is_torchs),
        cmocka_unit_test(muon__tall_matrix__is_torchs),
        cmocka_unit_test(muon__other_polynomial__is_torchs),
        cmocka_unit_test(muon__transposed_gradient__makes_the_transposed_step),
        cmocka_unit_test(muon__random_gradient__makes_a_step_near_an_orthogonal_one),
        cmocka_unit_test(muon__single_element__moves_by_about_the_rate),
        cmocka_unit_test(muon__gradient_of_zero__only_decays),
        cmocka_unit_test(muon__gradient_between_two_bfloat16__goes_to_the_even_one),
        cmocka_unit_test(muon__tall_matrix__has_the_root_of_its_ratio_for_a_factor),
        cmocka_unit_test(muon_scratch__either_way__is_two_matrices_and_two_squares),
        cmocka_unit_test(muon_check_shape__no_matrix__is_refused_with_a_remedy),
        cmocka_unit_test(muon_check_shape__sides_beyond_blas__are_refused),
    };
    return cmocka_run_group_tests(tests, use_one_thread, NULL);
}
