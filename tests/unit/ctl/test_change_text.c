/* SPDX-License-Identifier: Apache-2.0
 *
 * What is to change, as it is written on a command line, and what is not of that form.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/ctl/change_text.h"

static struct stepd_arena arena;
static struct change_params params;
static struct stepd_error error;

static int setup(void **state)
{
    (void)state;
    stepd_arena_init(&arena, 1u << 20);
    params = (struct change_params){.count = 0};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    stepd_arena_deinit(&arena);
    return 0;
}

static void params__of_numbers_words_and_lists__are_told_apart(void **state)
{
    (void)state;
    assert_int_equal(
        change_text_params("lr=0.5,betas=0.25,0.75,eps_mode=inside", &arena, &params, &error),
        STEPD_OK);
    assert_int_equal(change_text_params("momentum=1e-1", &arena, &params, &error), STEPD_OK);
    assert_int_equal(params.count, 4);
    assert_string_equal(params.param[0].name, "lr");
    assert_int_equal(params.param[0].count, 1);
    assert_null(params.param[0].list); /* one number is no list */
    assert_true(params.param[0].value == 0.5);
    assert_int_equal(params.param[1].count, 2);
    assert_true(params.param[1].list[1] == 0.75);
    assert_string_equal(params.param[2].word, "inside");
    assert_true(params.param[3].value == 0.1);
}

static void params__that_are_none__say_what_was_expected(void **state)
{
    (void)state;

    static const struct {
        const char *text;
        const char *says;
    } rows[] = {
        {"lr", "'lr': expected NAME=VALUE"},
        {"=1", "'=1': expected NAME=VALUE"},
        {"0.5,lr=1", "'0.5': expected NAME=VALUE"},
        {"lr=", "'' of lr: expected a number, a word, or numbers with ',' between them"},
        {"lr=1,x", "'x' of lr: expected a number, a word, or numbers with ',' between them"},
        {"lr=inf", "'inf' of lr: not a finite number"},
        {"betas=0.9,-NaN", "'-NaN' of betas: not a finite number"},
        {"lr=0x10", "'0x10' of lr: expected a number, a word, or numbers with ',' between them"},
        {"lr=1e999", "'1e999' of lr: expected a number, a word, or numbers with ',' between them"},
        {"m=a,1", "'1' of m: expected a number, a word, or numbers with ',' between them"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(change_text_params(rows[i].text, &arena, &params, &error),
                         STEPD_INVALID_ARGUMENT);
        assert_string_equal(error.text, rows[i].says);
    }
}

static void params__too_many__are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < CHANGE_PARAMS_MAX; i++)
        assert_int_equal(change_text_params("a=1", &arena, &params, &error), STEPD_OK);
    assert_int_equal(change_text_params("a=1", &arena, &params, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "more than 64 settings");
}

static void schedule__with_parameters__has_them(void **state)
{
    (void)state;
    struct stepd_schedule_item schedule;
    assert_int_equal(
        change_text_schedule("multistep:milestones=10,20,gamma=0.5", &arena, &schedule, &error),
        STEPD_OK);
    assert_string_equal(schedule.kind, "multistep");
    assert_int_equal(schedule.params_count, 2);
    assert_int_equal(schedule.params[0].count, 2);
    assert_int_equal(change_text_schedule("constant", &arena, &schedule, &error), STEPD_OK);
    assert_string_equal(schedule.kind, "constant");
    assert_int_equal(schedule.params_count, 0);
}

static void phase__from_a_step__has_its_optimizer_and_settings(void **state)
{
    (void)state;
    struct stepd_param_phase phase;
    assert_int_equal(change_text_phase("5000:sgd:lr=0.5", &arena, &phase, &error), STEPD_OK);
    assert_int_equal(phase.from, 5000);
    assert_string_equal(phase.optimizer, "sgd");
    assert_int_equal(phase.params_count, 1);
    assert_int_equal(change_text_phase("sgd", &arena, &phase, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "'sgd': expected FROM:OPTIMIZER[:NAME=VALUE,...]");
    assert_int_equal(change_text_phase("0:sgd", &arena, &phase, &error), STEPD_INVALID_ARGUMENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(params__of_numbers_words_and_lists__are_told_apart),
        TEST(params__that_are_none__say_what_was_expected),
        TEST(params__too_many__are_refused),
        TEST(schedule__with_parameters__has_them),
        TEST(phase__from_a_step__has_its_optimizer_and_settings),
    };
    return cmocka_run_group_tests_name("ctl_change_text", tests, NULL, NULL);
}
