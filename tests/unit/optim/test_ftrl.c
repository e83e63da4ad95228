/* SPDX-License-Identifier: Apache-2.0
 *
 * FTRL-proximal against McMahan et al. 2013, algorithm 1.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/optim/kernels.h"
#include "tests/unit/optim/paper.h"

/* e->a is z, e->b is n. */
static void ftrl(const struct optim_step *step, double g, struct paper_element *e)
{
    const struct optim_hyper *const h = step->hyper;
    if (step->t == 1)
        e->b = h->initial_accumulator_value;
    const double sigma = (sqrt(e->b + g * g) - sqrt(e->b)) / step->lr;
    e->a += g - sigma * e->w;
    e->b += g * g;
    const double sign = e->a > 0.0 ? 1.0 : -1.0;
    e->w = fabs(e->a) <= h->l1
               ? 0.0
               : -(e->a - sign * h->l1) / ((h->beta + sqrt(e->b)) / step->lr + h->l2);
}

static void ftrl__defaults__follow_the_paper(void **state)
{
    (void)state;
    const struct optim_hyper hyper = paper_hyper("ftrl", "torch");
    paper_follow("ftrl", &hyper, ftrl);
}

static void ftrl__l1_and_l2__follow_the_paper(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("ftrl", "torch");
    hyper.l1 = 0.5;
    hyper.l2 = 0.2;
    hyper.beta = 0.0;
    hyper.initial_accumulator_value = 0.1;
    paper_follow("ftrl", &hyper, ftrl);
}

/* One update of one weight. */
static float updated(const struct optim_hyper *hyper, double lr, float w, float g)
{
    const struct optimizer *optimizer = NULL;
    assert_int_equal(optimizer_find("ftrl", &optimizer, NULL), STEPD_OK);
    float z = 0.0f, n = 0.0f;
    const struct optim_step step = {.hyper = hyper, .lr = lr, .t = 1};
    optimizer->step[kernels_choose()](&step, 1, &w, &g, (float *[]){&z, &n});
    return w;
}

/* Both signs: Monolith's kernel leaves l1 out for one of them. */
static void ftrl__gradients_within_l1__leave_weights_of_zero(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("ftrl", "torch");
    hyper.l1 = 0.5;
    assert_true(updated(&hyper, 0.1, 0.0f, 0.5f) == 0.0f);
    assert_true(updated(&hyper, 0.1, 0.0f, -0.5f) == 0.0f);
    assert_true(updated(&hyper, 0.1, 0.0f, 0.75f) < 0.0f);
    assert_true(updated(&hyper, 0.1, 0.0f, -0.75f) > 0.0f);
}

static void ftrl__rate_of_zero__leaves_the_step_out(void **state)
{
    (void)state;
    const struct optim_hyper hyper = paper_hyper("ftrl", "torch");
    assert_true(updated(&hyper, 0.0, 0.25f, 1.0f) == 0.25f);
}

static void ftrl__smallest_that_may_be__is_finite(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("ftrl", "torch");
    hyper.beta = 1e-6;
    assert_true(isfinite(updated(&hyper, 1e9, 0.0f, 1e-30f)));
    hyper.beta = 0.0;
    hyper.initial_accumulator_value = 1e-6;
    assert_true(isfinite(updated(&hyper, 1e-30, 0.0f, 1e-30f)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ftrl__defaults__follow_the_paper),
        cmocka_unit_test(ftrl__l1_and_l2__follow_the_paper),
        cmocka_unit_test(ftrl__gradients_within_l1__leave_weights_of_zero),
        cmocka_unit_test(ftrl__rate_of_zero__leaves_the_step_out),
        cmocka_unit_test(ftrl__smallest_that_may_be__is_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
