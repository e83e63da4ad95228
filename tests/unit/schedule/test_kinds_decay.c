/* SPDX-License-Identifier: Apache-2.0
 *
 * Schedules that are a factor of the step, against their formulas in libm and at their edges. That
 * they are PyTorch's is tests/torch's matter; inverse_sqrt and noam are compared here alone.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/schedule/make.h"

static void constant__no_parameters__is_the_base_rate(void **state)
{
    (void)state;
    struct schedule schedule = make("constant");
    assert_true(schedule_lr(&schedule, 0.1, 0) == 0.1);
    assert_true(schedule_lr(&schedule, 0.1, UINT64_MAX) == 0.1);
    schedule_deinit(&schedule);
}

static void constant__factor__holds_until_total_iters(void **state)
{
    (void)state;
    struct schedule schedule = make("constant");
    give(&schedule, "factor", 0.25);
    assert_rates(&schedule, LIST_OF(1.0, 1.0)); /* total_iters is 0 */
    give(&schedule, "total_iters", 3.0);
    assert_rates(&schedule, LIST_OF(0.25, 0.25, 0.25, 1.0, 1.0));
    schedule_deinit(&schedule);
}

static void step__each_step__is_the_closed_form(void **state)
{
    (void)state;
    struct schedule schedule = make("step");
    give(&schedule, "step_size", 7.0);
    give(&schedule, "gamma", 0.3);
    for (uint64_t step = 0; step < 200; step++)
        assert_near(schedule_lr(&schedule, 0.4, step), 0.4 * pow(0.3, floor((double)step / 7.0)),
                    0.4);
    assert_true(schedule_lr(&schedule, 0.4, 6) == 0.4);
    assert_true(schedule_lr(&schedule, 0.4, 7) == 0.4 * 0.3);
    assert_true(schedule_lr(&schedule, 0.4, UINT64_MAX) == 0.0);
    schedule_deinit(&schedule);
}

static void multistep__repeated_milestone__counts_twice(void **state)
{
    (void)state;
    struct schedule schedule = make("multistep");
    give(&schedule, "gamma", 0.5);
    give_list(&schedule, "milestones", LIST_OF(2.0, 4.0, 4.0, 6.0));
    assert_rates(&schedule, LIST_OF(1.0, 1.0, 0.5, 0.5, 0.125, 0.125, 0.0625, 0.0625));
    assert_true(schedule_lr(&schedule, 1.0, UINT64_MAX) == 0.0625);
    schedule_deinit(&schedule);
}

static void multistep__falling_milestones__are_refused(void **state)
{
    (void)state;
    struct schedule schedule = make("multistep");
    refuse_check(&schedule, "schedule multistep needs its parameter 'milestones'");
    give_list(&schedule, "milestones", LIST_OF(30.0, 20.0));
    refuse_check(&schedule, "'milestones' of schedule multistep must rise, and 20 comes after 30");
    schedule_deinit(&schedule);
}

static void exponential__each_step__is_the_closed_form(void **state)
{
    (void)state;
    struct schedule schedule = make("exponential");
    give(&schedule, "gamma", 0.97);
    for (uint64_t step = 0; step < 2000; step++)
        assert_near(schedule_lr(&schedule, 0.3, step), 0.3 * pow(0.97, (double)step), 0.3);
    give(&schedule, "gamma", 0.0);
    assert_rates(&schedule, LIST_OF(1.0, 0.0, 0.0));
    schedule_deinit(&schedule);
}

/* A learning-rate range test climbs; what a step is told stays finite. */
static void exponential__growing__ends_at_its_bound(void **state)
{
    (void)state;
    struct schedule schedule = make("exponential");
    give(&schedule, "gamma", 2.0);
    assert_rates(&schedule, LIST_OF(1.0, 2.0, 4.0, 8.0));
    assert_true(schedule_lr(&schedule, 1.0, 100) == 1e9);
    assert_true(schedule_lr(&schedule, 1.0, UINT64_MAX) == 1e9);
    assert_true(schedule_lr(&schedule, 0.0, UINT64_MAX) == 0.0);
    schedule_deinit(&schedule);
}

static void linear__each_step__is_on_the_line(void **state)
{
    (void)state;
    struct schedule schedule = make("linear");
    give(&schedule, "start_factor", 0.25);
    give(&schedule, "total_iters", 4.0);
    assert_rates(&schedule, LIST_OF(0.25, 0.4375, 0.625, 0.8125, 1.0, 1.0));
    give(&schedule, "start_factor", 0.0);
    give(&schedule, "end_factor", 0.5);
    assert_rates(&schedule, LIST_OF(0.0, 0.125, 0.25, 0.375, 0.5, 0.5));
    schedule_deinit(&schedule);
}

static void linear__defaults__are_those_of_torch(void **state)
{
    (void)state;
    struct schedule schedule = make("linear");
    const double third = 1.0 / 3;
    for (uint64_t step = 0; step < 8; step++)
        assert_near(schedule_lr(&schedule, 1.0, step),
                    third + (1.0 - third) * fmin((double)step, 5.0) / 5.0, 1.0);
    schedule_deinit(&schedule);
}

static void polynomial__each_step__is_the_closed_form(void **state)
{
    (void)state;
    struct schedule schedule = make("polynomial");
    give(&schedule, "total_iters", 4.0);
    give(&schedule, "power", 2.0);
    assert_rates(&schedule, LIST_OF(1.0, 0.5625, 0.25, 0.0625, 0.0, 0.0));
    give(&schedule, "total_iters", 100.0);
    give(&schedule, "power", 0.9);
    for (uint64_t step = 0; step < 150; step++)
        assert_near(schedule_lr(&schedule, 0.2, step),
                    0.2 * pow(1.0 - fmin((double)step, 100.0) / 100.0, 0.9), 0.2);
    give(&schedule, "power", 0.0);
    assert_true(schedule_lr(&schedule, 0.2, 100) == 0.2); /* 0^0 */
    schedule_deinit(&schedule);
}

/* Kingma and Ba: lr / sqrt(t), t from 1. */
static void inverse_sqrt__default__is_one_over_the_root(void **state)
{
    (void)state;
    struct schedule schedule = make("inverse_sqrt");
    for (uint64_t step = 0; step < 1000; step++)
        assert_near(schedule_lr(&schedule, 0.5, step), 0.5 / sqrt((double)step + 1.0), 0.5);
    schedule_deinit(&schedule);
}

/* fairseq: lr climbs for w steps, then is lr sqrt(w) / sqrt(t), t from the very first step. */
static void inverse_sqrt__after_warmup__is_that_of_fairseq(void **state)
{
    (void)state;
    struct schedule schedule = make("inverse_sqrt");
    give(&schedule, "timescale", 40.0);
    give(&schedule, "warmup", 40.0);
    for (uint64_t t = 40; t < 1000; t++)
        assert_near(schedule_lr(&schedule, 0.5, t), 0.5 * sqrt(40.0) / sqrt((double)t), 0.5);
    schedule_deinit(&schedule);
}

static void noam__each_step__is_equation_3(void **state)
{
    (void)state;
    struct schedule schedule = make("noam");
    give(&schedule, "d_model", 512.0);
    give(&schedule, "warmup_steps", 100.0);
    for (uint64_t step = 0; step < 1000; step++) {
        const double t = (double)step + 1.0;
        assert_near(schedule_lr(&schedule, 2.0, step),
                    2.0 * pow(512.0, -0.5) * fmin(pow(t, -0.5), t * pow(100.0, -1.5)), 2.0);
    }
    schedule_deinit(&schedule);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constant__no_parameters__is_the_base_rate),
        cmocka_unit_test(constant__factor__holds_until_total_iters),
        cmocka_unit_test(step__each_step__is_the_closed_form),
        cmocka_unit_test(multistep__repeated_milestone__counts_twice),
        cmocka_unit_test(multistep__falling_milestones__are_refused),
        cmocka_unit_test(exponential__each_step__is_the_closed_form),
        cmocka_unit_test(exponential__growing__ends_at_its_bound),
        cmocka_unit_test(linear__each_step__is_on_the_line),
        cmocka_unit_test(linear__defaults__are_those_of_torch),
        cmocka_unit_test(polynomial__each_step__is_the_closed_form),
        cmocka_unit_test(inverse_sqrt__default__is_one_over_the_root),
        cmocka_unit_test(inverse_sqrt__after_warmup__is_that_of_fairseq),
        cmocka_unit_test(noam__each_step__is_equation_3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
