/* SPDX-License-Identifier: Apache-2.0
 *
 * Parameters by name, as peers and files may get them wrong: a refusal says what is known or in
 * range, and changes nothing.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/schedule/make.h"

static void refuse(struct schedule *schedule, const char *name, size_t values, const double *value,
                   const char *text)
{
    struct stepd_error error = {.code = STEPD_OK};
    struct schedule before;
    assert_int_equal(schedule_copy(schedule, &before), STEPD_OK);
    assert_int_equal(schedule_set(schedule, name, values, value, &error), STEPD_INVALID_ARGUMENT);
    assert_int_equal(error.code, STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, text);
    assert_int_equal(schedule_same(schedule, &before, NULL), STEPD_OK);
    schedule_deinit(&before);
}

static void refuse_word(struct schedule *schedule, const char *name, const char *word,
                        const char *text)
{
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(schedule_set_word(schedule, name, word, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, text);
}

static void set__unknown_parameter__names_the_nearest(void **state)
{
    (void)state;
    struct schedule schedule = make("cosine");
    refuse(&schedule, "tmax", 1, LIST_OF(10.0),
           "schedule cosine has no parameter 'tmax': did you mean 't_max'?");
    refuse(&schedule, "gamma", 1, LIST_OF(0.1),
           "schedule cosine has no parameter 'gamma': known are t_max, eta_min, periodic, warmup, "
           "warmup_factor");
    schedule_deinit(&schedule);
}

static void set__upper_case__is_lower_case(void **state)
{
    (void)state;
    struct schedule schedule = make("cosine");
    give(&schedule, "T_max", 10.0);
    assert_int_equal(schedule_check(&schedule, NULL), STEPD_OK);
    schedule_deinit(&schedule);
}

static void set__out_of_range__states_the_range(void **state)
{
    (void)state;
    struct schedule schedule = make("step");
    refuse(&schedule, "gamma", 1, LIST_OF(10.5),
           "parameter 'gamma' of schedule step must be a number in [0, 10], and 10.5 is not");
    refuse(&schedule, "gamma", 1, LIST_OF(-0.5),
           "parameter 'gamma' of schedule step must be a number in [0, 10], and -0.5 is not");
    refuse(&schedule, "step_size", 1, LIST_OF(2.5),
           "parameter 'step_size' of schedule step must be a whole number in [1, 9.0072e+15], and "
           "2.5 is not");
    schedule_deinit(&schedule);
}

static void set__wrong_count__is_stated(void **state)
{
    (void)state;
    struct schedule step = make("step");
    refuse(&step, "gamma", 2, LIST_OF(0.1, 0.2),
           "parameter 'gamma' of schedule step takes one number, not 2");
    refuse(&step, "gamma", 0, NULL, "parameter 'gamma' of schedule step takes one number, not 0");
    schedule_deinit(&step);
    struct schedule multistep = make("multistep");
    static const double many[SCHEDULE_LIST_MAX + 1];
    refuse(&multistep, "milestones", 0, NULL,
           "parameter 'milestones' of schedule multistep takes 1 to 256 numbers, not 0");
    refuse(&multistep, "milestones", SCHEDULE_LIST_MAX + 1, many,
           "parameter 'milestones' of schedule multistep takes 1 to 256 numbers, not 257");
    assert_int_equal(schedule_set(&multistep, "milestones", SCHEDULE_LIST_MAX, many, NULL),
                     STEPD_OK);
    schedule_deinit(&multistep);
}

static void set__list__checks_each_number(void **state)
{
    (void)state;
    struct schedule schedule = make("multistep");
    give_list(&schedule, "milestones", LIST_OF(1.0, 2.0));
    refuse(&schedule, "milestones", 3, LIST_OF(3.0, 4.5, 5.0),
           "parameter 'milestones' of schedule multistep must be a whole number in [0, "
           "9.0072e+15], and 4.5 is not");
    schedule_deinit(&schedule);
}

static void set__not_a_number__is_refused_everywhere(void **state)
{
    (void)state;
    static const double wrong[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < schedule_kind_count(); i++) {
        const struct schedule_kind *const kind = schedule_kind_at(i);
        struct schedule schedule = make(kind->name);
        for (size_t p = 0; p < kind->params; p++) {
            for (size_t k = 0; k < sizeof wrong / sizeof wrong[0]; k++)
                assert_int_equal(schedule_set(&schedule, kind->param[p].name, 1, &wrong[k], NULL),
                                 STEPD_INVALID_ARGUMENT);
        }
        schedule_deinit(&schedule);
    }
}

static void set__ends_of_each_range__are_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < schedule_kind_count(); i++) {
        const struct schedule_kind *const kind = schedule_kind_at(i);
        struct schedule schedule = make(kind->name);
        for (size_t p = 0; p < kind->params; p++) {
            const struct schedule_param_spec *const spec = &kind->param[p];
            if (spec->type == SCHEDULE_WORD) {
                give_word(&schedule, spec->name, spec->word[(size_t)spec->least]);
                give_word(&schedule, spec->name, spec->word[(size_t)spec->most]);
                continue;
            }
            give(&schedule, spec->name, spec->least);
            give(&schedule, spec->name, spec->most);
        }
        schedule_deinit(&schedule);
    }
}

static void set__number_for_a_word__names_the_words(void **state)
{
    (void)state;
    struct schedule schedule = make("cyclic");
    refuse(&schedule, "mode", 1, LIST_OF(1.0),
           "parameter 'mode' of schedule cyclic must be one of triangular, triangular2, "
           "exp_range, and a number is not");
    schedule_deinit(&schedule);
}

static void set_word__unknown_word__names_the_words(void **state)
{
    (void)state;
    struct schedule schedule = make("plateau");
    refuse_word(&schedule, "mode", "maximum",
                "parameter 'mode' of schedule plateau must be one of min, max, and 'maximum' is "
                "not");
    refuse_word(&schedule, "mod", "max",
                "schedule plateau has no parameter 'mod': did you mean 'mode'?");
    schedule_deinit(&schedule);
}

static void set_word__number_wanted__is_refused(void **state)
{
    (void)state;
    struct schedule schedule = make("one_cycle");
    refuse_word(&schedule, "max_lr", "high",
                "parameter 'max_lr' of schedule one_cycle takes numbers, and 'high' is none");
    refuse_word(&schedule, "three_phase", "yes",
                "parameter 'three_phase' of schedule one_cycle must be true or false, and 'yes' is "
                "not");
    schedule_deinit(&schedule);
}

static void check__missing_parameter__is_named(void **state)
{
    (void)state;
    struct schedule schedule = make("step");
    refuse_check(&schedule, "schedule step needs its parameter 'step_size'");
    give(&schedule, "step_size", 30.0);
    assert_int_equal(schedule_check(&schedule, NULL), STEPD_OK);
    schedule_deinit(&schedule);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set__unknown_parameter__names_the_nearest),
        cmocka_unit_test(set__upper_case__is_lower_case),
        cmocka_unit_test(set__out_of_range__states_the_range),
        cmocka_unit_test(set__wrong_count__is_stated),
        cmocka_unit_test(set__list__checks_each_number),
        cmocka_unit_test(set__not_a_number__is_refused_everywhere),
        cmocka_unit_test(set__ends_of_each_range__are_taken),
        cmocka_unit_test(set__number_for_a_word__names_the_words),
        cmocka_unit_test(set_word__unknown_word__names_the_words),
        cmocka_unit_test(set_word__number_wanted__is_refused),
        cmocka_unit_test(check__missing_parameter__is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
