/* SPDX-License-Identifier: Apache-2.0
 *
 * Schedules as they are written on a command line, and what is no schedule.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/ctl/schedule_text.h"
#include "tests/unit/ctl/making.h"

/* The learning rates of the first steps from 1, up to the first NaN. */
static void assert_rates(const char *text, const double *right)
{
    struct schedule schedule = {.kind = NULL};
    assert_int_equal(schedule_text_read(text, &schedule, NULL), STEPD_OK);
    assert_int_equal(schedule_check(&schedule, NULL), STEPD_OK);
    for (size_t i = 0; !isnan(right[i]); i++)
        assert_true(schedule_lr(&schedule, 1.0, i) == right[i]);
    schedule_deinit(&schedule);
}

#define RATES(...) ((const double[]){__VA_ARGS__, NAN})

static void assert_refused(const char *text, enum stepd_status code, const char *says)
{
    struct schedule schedule = {.kind = NULL};
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(schedule_text_read(text, &schedule, &error), code);
    assert_int_equal(error.code, code);
    making_assert_holds(error.text, says);
    assert_null(schedule.kind); /* untouched */
}

static void read__kind_alone__has_its_defaults(void **state)
{
    (void)state;
    assert_rates("constant", RATES(1, 1));
}

static void read__parameters__are_set(void **state)
{
    (void)state;
    assert_rates("step:step_size=2,gamma=0.5", RATES(1, 1, 0.5, 0.5, 0.25));
}

static void read__list__goes_on_up_to_the_next_parameter(void **state)
{
    (void)state;
    assert_rates("multistep:milestones=1,3,gamma=0.5", RATES(1, 0.5, 0.5, 0.25));
    assert_rates("multistep:gamma=0.5,milestones=1,2", RATES(1, 0.5, 0.25));
}

static void read__words__are_set(void **state)
{
    (void)state;
    assert_rates("lambda:steps=0,2,factors=1,0,interpolate=hold", RATES(1, 1, 0));
    assert_rates("lambda:interpolate=hold,steps=0,2,factors=1,0", RATES(1, 1, 0));
    assert_rates("cosine:t_max=1,periodic=true", RATES(1, 0, 1));
}

static void read__case_of_pytorch__is_taken(void **state)
{
    (void)state;
    assert_rates("cosine:T_max=1", RATES(1, 0));
}

static void read__unknown_kind__names_the_nearest(void **state)
{
    (void)state;
    assert_refused("cosin:t_max=1", STEPD_NOT_FOUND, "did you mean 'cosine'?");
}

static void read__unknown_parameter__names_the_nearest(void **state)
{
    (void)state;
    assert_refused("cosine:t_mx=1", STEPD_INVALID_ARGUMENT, "did you mean 't_max'?");
    assert_refused("step:stepsize=1,gamma=0.5", STEPD_INVALID_ARGUMENT,
                   "did you mean 'step_size'?");
}

static void read__what_is_no_parameter__says_how_it_is_written(void **state)
{
    (void)state;
    assert_refused("cosine:10", STEPD_INVALID_ARGUMENT, "'10' is no parameter");
    assert_refused("cosine:", STEPD_INVALID_ARGUMENT, "'' is no parameter");
}

static void read__parameter_twice__is_refused(void **state)
{
    (void)state;
    assert_refused("cosine:t_max=5,t_max=7", STEPD_INVALID_ARGUMENT,
                   "'t_max' is set twice; keep one");
    assert_refused("step:step_size=5,gamma=0.5,Step_Size=7", STEPD_INVALID_ARGUMENT,
                   "'Step_Size' is set twice; keep one");
}

static void read__word_in_a_list__is_refused(void **state)
{
    (void)state;
    assert_refused("multistep:milestones=1,x", STEPD_INVALID_ARGUMENT,
                   "'x' of 'milestones' is no number");
    assert_refused("multistep:milestones=x,1", STEPD_INVALID_ARGUMENT,
                   "'x' of 'milestones' is no number");
}

static void read__value_that_is_missing__is_refused(void **state)
{
    (void)state;
    assert_refused("cosine:t_max=", STEPD_INVALID_ARGUMENT, "takes numbers, and '' is none");
}

static void read__list_too_long__is_refused(void **state)
{
    char text[2 * SCHEDULE_LIST_MAX + 64] = "multistep:milestones=1";
    (void)state;
    for (size_t i = 0; i < SCHEDULE_LIST_MAX; i++)
        memcpy(text + strlen(text), ",1", sizeof ",1");
    assert_refused(text, STEPD_INVALID_ARGUMENT, "'milestones' has more than 256 numbers");
}

static void set__over_an_earlier_value__counts(void **state)
{
    (void)state;
    struct schedule schedule = {.kind = NULL};
    assert_int_equal(schedule_text_read("step:step_size=1,gamma=0.5", &schedule, NULL), STEPD_OK);
    assert_int_equal(schedule_text_set("gamma=0.25", &schedule, NULL), STEPD_OK);
    assert_true(schedule_lr(&schedule, 1.0, 1) == 0.25);
    schedule_deinit(&schedule);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read__kind_alone__has_its_defaults),
        cmocka_unit_test(read__parameters__are_set),
        cmocka_unit_test(read__list__goes_on_up_to_the_next_parameter),
        cmocka_unit_test(read__words__are_set),
        cmocka_unit_test(read__case_of_pytorch__is_taken),
        cmocka_unit_test(read__unknown_kind__names_the_nearest),
        cmocka_unit_test(read__unknown_parameter__names_the_nearest),
        cmocka_unit_test(read__what_is_no_parameter__says_how_it_is_written),
        cmocka_unit_test(read__parameter_twice__is_refused),
        cmocka_unit_test(read__word_in_a_list__is_refused),
        cmocka_unit_test(read__value_that_is_missing__is_refused),
        cmocka_unit_test(read__list_too_long__is_refused),
        cmocka_unit_test(set__over_an_earlier_value__counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
