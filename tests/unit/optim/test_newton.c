/* SPDX-License-Identifier: Apache-2.0
 *
 * Newton's method: at the bottom of a bowl in one step, as Deep Learning's algorithm 8.8 says, and
 * what becomes of a Hessian that is no bowl's.
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

/* A group of two tensors with n elements in all, or of one with 1. */
struct group {
    struct whole whole;
    uint64_t dim[2];
};

static void group_init(struct group *group, uint64_t n)
{
    *group = (struct group){.dim = {1, n - 1}};
    const struct optim_shape shape[2] = {{.dims = 1, .dim = &group->dim[0], .elements = 1},
                                         {.dims = 1, .dim = &group->dim[1], .elements = n - 1}};
    whole_init(&group->whole, "newton", n == 1 ? 1 : 2, shape);
}

/* Sets a Hessian of two elements. */
static void set_hessian(struct group *group, float h00, float h01, float h10, float h11)
{
    const float h[4] = {h00, h01, h10, h11};
    memcpy(group->whole.extra, h, sizeof h);
}

/* H = B B' / n + I / 10 for a random B, and g = H (w - bottom). */
static void make_bowl(struct group *group, double *bottom)
{
    const size_t n = group->whole.n;
    uint64_t seed = 31;
    float *const b = whole_floats(n * n);
    for (size_t i = 0; i < n * n; i++)
        b[i] = numbers_uniform(&seed);
    for (size_t i = 0; i < n; i++) {
        bottom[i] = (double)numbers_uniform(&seed);
        group->whole.w[i] = numbers_uniform(&seed);
    }
    for (size_t i = 0; i < n; i++) {
        double g = 0.0;
        for (size_t j = 0; j < n; j++) {
            double h = i == j ? 0.1 : 0.0;
            for (size_t k = 0; k < n; k++)
                h += (double)b[i * n + k] * (double)b[j * n + k] / (double)n;
            group->whole.extra[i * n + j] = (float)h;
            g += (double)(float)h * ((double)group->whole.w[j] - bottom[j]);
        }
        group->whole.g[i] = (float)g;
    }
    free(b);
}

static void newton__bowl__is_at_the_bottom_after_one_step(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1, 2, 7, 100};
    for (size_t k = 0; k < 4; k++) {
        struct group group;
        double bottom[100];
        group_init(&group, sizes[k]);
        make_bowl(&group, bottom);
        assert_true(whole_step(&group.whole, group.whole.hyper.lr));
        whole_assert_near(&group.whole, bottom, 200.0);
        whole_deinit(&group.whole);
    }
}

static void newton__rate_of_a_half__goes_half_the_way(void **state)
{
    (void)state;
    struct group group;
    group_init(&group, 2);
    set_hessian(&group, 4.0f, 0.0f, 0.0f, 2.0f);
    group.whole.g[0] = 8.0f;
    group.whole.g[1] = -2.0f;
    assert_true(whole_step(&group.whole, 0.5));
    whole_assert_near(&group.whole, (const double[]){-1.0, 0.5}, 1.0);
    whole_deinit(&group.whole);
}

static void newton__damping__is_added_to_the_diagonal(void **state)
{
    (void)state;
    struct group group;
    group_init(&group, 2);
    set_hessian(&group, 3.0f, 1.0f, 1.0f, 3.0f);
    group.whole.hyper.damping = 1.0;
    group.whole.g[0] = 15.0f; /* (4 1; 1 4)^-1 (15 0)' = (4 -1)' */
    assert_true(whole_step(&group.whole, 1.0));
    whole_assert_near(&group.whole, (const double[]){-4.0, 1.0}, 1.0);
    whole_deinit(&group.whole);
}

static void newton__lopsided_hessian__counts_by_its_symmetric_part(void **state)
{
    (void)state;
    struct group group;
    group_init(&group, 2);
    set_hessian(&group, 4.0f, 0.0f, 2.0f, 4.0f);
    group.whole.g[0] = 15.0f;
    assert_true(whole_step(&group.whole, 1.0));
    whole_assert_near(&group.whole, (const double[]){-4.0, 1.0}, 1.0);
    whole_deinit(&group.whole);
}

/* diag(2, -1): 0.1 and 1 are too little; with 10 the step is g / (12, 9). */
static void newton__indefinite_hessian__damps_tenfold_until_it_is_a_bowls(void **state)
{
    (void)state;
    struct group group;
    group_init(&group, 2);
    set_hessian(&group, 2.0f, 0.0f, 0.0f, -1.0f);
    group.whole.hyper.damping = 0.1;
    group.whole.g[0] = 12.0f;
    group.whole.g[1] = 9.0f;
    assert_true(whole_step(&group.whole, 1.0));
    whole_assert_near(&group.whole, (const double[]){-1.0, -1.0}, 1.0);
    whole_deinit(&group.whole);
}

static void newton__downward_hessian_without_damping__still_goes_downhill(void **state)
{
    (void)state;
    static const float scales[] = {1e-30f, 1.0f, 1e30f};
    for (size_t k = 0; k < 3; k++) {
        struct group group;
        group_init(&group, NEWTON_ELEMENTS_MAX / 8);
        const size_t n = group.whole.n;
        /* The worst of its size: its least eigenvalue is -n times the largest entry. */
        for (size_t i = 0; i < n * n; i++)
            group.whole.extra[i] = -scales[k];
        for (size_t i = 0; i < n; i++)
            group.whole.g[i] = scales[k];
        assert_true(whole_step(&group.whole, 1.0));
        for (size_t i = 0; i < n; i++)
            assert_true(group.whole.w[i] < 0.0f);
        whole_deinit(&group.whole);
    }
}

/* Two inputs that are the same: what matters is the sum of their weights. */
static void newton__twin_inputs__shares_the_step(void **state)
{
    (void)state;
    struct group group;
    group_init(&group, 2);
    set_hessian(&group, 1.1f, 1.1f, 1.1f, 1.1f);
    group.whole.g[0] = group.whole.g[1] = 2.2f;
    assert_true(whole_step(&group.whole, 1.0));
    whole_assert_near(&group.whole, (const double[]){-1.0, -1.0}, 16.0);
    whole_deinit(&group.whole);
}

/* Floats make 1/3 a little more than that, so Cholesky finds a pivot of 1e-8 where there is none.
 */
static void newton__pivot_of_rounding_errors__is_damped(void **state)
{
    (void)state;
    struct group group;
    group_init(&group, 2);
    set_hessian(&group, 3.0f, 1.0f, 1.0f, 1.0f / 3.0f);
    group.whole.g[0] = 3.0f;
    group.whole.g[1] = 1.01f;
    assert_true(whole_step(&group.whole, 1.0));
    assert_true(fabsf(group.whole.w[1]) < 1e5f); /* and not 1e6 */
    whole_deinit(&group.whole);
}

/* diag(5, 5) + 3 is 8, and a last pivot of 4 float epsilons beside that counts as 0. */
static void newton__small_pivot__is_seen_beside_the_damped_diagonal(void **state)
{
    (void)state;
    struct group group;
    group_init(&group, 2);
    set_hessian(&group, 5.0f, -8.0f, -8.0f + 0x1p-21f, 5.0f);
    group.whole.hyper.damping = 3.0;
    group.whole.g[0] = group.whole.g[1] = 27.0f; /* (35 -8; -8 35) (1 1)' */
    assert_true(whole_step(&group.whole, 1.0));
    whole_assert_near(&group.whole, (const double[]){-1.0, -1.0}, 4.0);
    whole_deinit(&group.whole);
}

/* Damping begins at the largest entry's float epsilon, and 10^7 times that is enough. */
static void newton__largest_entry_off_the_diagonal__is_where_damping_begins(void **state)
{
    (void)state;
    struct group group;
    group_init(&group, 2);
    set_hessian(&group, 0.0f, 5.0f, 5.0f, 0.0f);
    group.whole.g[0] = 5.0f * 0x1p-23f * 1e7f;
    group.whole.g[1] = 5.0f;
    assert_true(whole_step(&group.whole, 1.0));
    whole_assert_near(&group.whole, (const double[]){-1.0, 0.0}, 8.0);
    whole_deinit(&group.whole);
}

static void newton_scratch__any_group__holds_the_equations_in_doubles(void **state)
{
    (void)state;
    struct group group;
    group_init(&group, 7);
    assert_int_equal(group.whole.optimizer->scratch(&group.whole.hyper, 2, group.whole.shape),
                     2 * (7 * 7 + 7));
    whole_deinit(&group.whole);
}

/* A long and narrow valley is no reason to damp. */
static void newton__very_different_curvatures__are_left_as_they_are(void **state)
{
    (void)state;
    struct group group;
    group_init(&group, 2);
    set_hessian(&group, 1e20f, 0.0f, 0.0f, 1e-20f);
    group.whole.g[0] = 1e20f;
    group.whole.g[1] = 1e-20f;
    assert_true(whole_step(&group.whole, 1.0));
    whole_assert_near(&group.whole, (const double[]){-1.0, -1.0}, 1.0);
    whole_deinit(&group.whole);
}

static void newton__hessian_of_zeros__makes_no_update(void **state)
{
    (void)state;
    struct group group;
    group_init(&group, 2);
    group.whole.w[0] = 1.0f;
    group.whole.g[0] = 1.0f;
    assert_false(whole_step(&group.whole, 1.0));
    whole_assert_near(&group.whole, (const double[]){1.0, 0.0}, 0.0);
    whole_deinit(&group.whole);
}

static void newton_check_shape__too_many_elements__are_refused(void **state)
{
    (void)state;
    const struct optimizer *newton = NULL;
    assert_int_equal(optimizer_find("newton", &newton, NULL), STEPD_OK);
    const uint64_t dim = NEWTON_ELEMENTS_MAX;
    const struct optim_shape shape[2] = {{.dims = 1, .dim = &dim, .elements = dim},
                                         {.elements = 1}};
    assert_int_equal(newton->check_shape(NULL, 1, shape, NULL), STEPD_OK);
    struct stepd_error error;
    assert_int_equal(newton->check_shape(NULL, 2, shape, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "at most 1024 elements"));
    assert_non_null(strstr(error.text, "1025"));
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
        cmocka_unit_test(newton__bowl__is_at_the_bottom_after_one_step),
        cmocka_unit_test(newton__rate_of_a_half__goes_half_the_way),
        cmocka_unit_test(newton__damping__is_added_to_the_diagonal),
        cmocka_unit_test(newton__lopsided_hessian__counts_by_its_symmetric_part),
        cmocka_unit_test(newton__indefinite_hessian__damps_tenfold_until_it_is_a_bowls),
        cmocka_unit_test(newton__downward_hessian_without_damping__still_goes_downhill),
        cmocka_unit_test(newton__twin_inputs__shares_the_step),
        cmocka_unit_test(newton__pivot_of_rounding_errors__is_damped),
        cmocka_unit_test(newton__small_pivot__is_seen_beside_the_damped_diagonal),
        cmocka_unit_test(newton__largest_entry_off_the_diagonal__is_where_damping_begins),
        cmocka_unit_test(newton_scratch__any_group__holds_the_equations_in_doubles),
        cmocka_unit_test(newton__very_different_curvatures__are_left_as_they_are),
        cmocka_unit_test(newton__hessian_of_zeros__makes_no_update),
        cmocka_unit_test(newton_check_shape__too_many_elements__are_refused),
    };
    return cmocka_run_group_tests(tests, use_one_thread, NULL);
}
