/* SPDX-License-Identifier: Apache-2.0
 *
 * Parameters of the command line, and the runs of a comparison that are made of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/train/compare_options.h"

static struct stepd_error error;

static void assert_refused(const char *pair, const char *text)
{
    struct stepd_arguments params = {.count = 0};
    assert_int_equal(stepd_arguments_set_pair(&params, pair, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, text);
    assert_int_equal(params.count, 0);
}

static void params_set__wrong__says_what_was_expected(void **state)
{
    (void)state;
    assert_refused("lr", "'lr': expected NAME=VALUE");
    assert_refused("=1", "a parameter's name has 1 to 31 characters");
    assert_refused("lr=", "lr: '': expected a number, numbers with ',' between them, or a word");
    assert_refused("lr=Fast", "lr: 'Fast': expected a number, numbers with ',' between them, or a "
                              "word");
    assert_refused("lr=1x", "lr: '1x': expected numbers");
    assert_refused("lr=1,", "lr: '1,': expected numbers");
    assert_refused("lr=1e999", "lr: '1e999': expected numbers");
    assert_refused("l=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17",
                   "l: '1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17': more than 16 numbers");
}

static void stepd_arguments_describe__each_kind__is_what_libstepd_wants(void **state)
{
    (void)state;
    struct stepd_arguments params = {.count = 0};
    struct stepd_param described[STEPD_ARGUMENTS_MAX];
    assert_int_equal(stepd_arguments_set_pair(&params, "lr=-1e-3", &error), STEPD_OK);
    assert_int_equal(stepd_arguments_set_pair(&params, "betas=0.5,0.75", &error), STEPD_OK);
    assert_int_equal(stepd_arguments_set_pair(&params, "form=interim", &error), STEPD_OK);
    assert_int_equal(stepd_arguments_set_pair(&params, "lr=.5", &error), STEPD_OK);
    assert_int_equal(stepd_arguments_describe(&params, described), 3);
    assert_string_equal(described[0].name, "lr");
    assert_true(described[0].value == 0.5 && described[0].list == NULL);
    assert_true(described[1].count == 2 && described[1].list[1] == 0.75);
    assert_string_equal(described[2].word, "interim");
}

/* ---- Comparisons ----------------------------------------------------------------------------- */

static struct compare_options options;

static enum stepd_status parse(const char *const *words)
{
    static char *const environment[] = {NULL};
    static char text[16][128];
    char *argv[17] = {NULL};
    int argc = 0;
    for (; words[argc] != NULL; argc++) {
        (void)snprintf(text[argc], sizeof text[argc], "%s", words[argc]);
        argv[argc] = text[argc];
    }
    error = (struct stepd_error){.code = STEPD_OK};
    return compare_options_parse(argc, argv, environment, &options, &error);
}

#define PARSE(...) parse((const char *const[]){"compare", __VA_ARGS__, NULL})

static void compare_options__of_runs__lay_their_parameters_over_the_flags(void **state)
{
    (void)state;
    static struct train_options train;
    assert_int_equal(PARSE("--lr", "0.5", "--run", "sgd", "--steps=7",
                           "--run=adam  lr=0.001 eps_mode=inside", "--job", "j"),
                     STEPD_OK);
    assert_int_equal(options.runs, 2);
    assert_int_equal(options.train.steps, 7);
    assert_int_equal(compare_options_of_run(&options, 0, &train, &error), STEPD_OK);
    assert_string_equal(train.optimizer, "sgd");
    assert_true(stepd_arguments_number(&train.hyper, "lr", 0) == 0.5);
    assert_int_equal(compare_options_of_run(&options, 1, &train, &error), STEPD_OK);
    assert_string_equal(train.optimizer, "adam");
    assert_true(stepd_arguments_number(&train.hyper, "lr", 0) == 0.001);
    assert_string_equal(train.hyper.argument[1].word, "inside");
}

static void compare_options__of_rates__make_a_run_of_each(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--lrs", "0.1,1e-2", "--optimizer", "momentum"), STEPD_OK);
    assert_int_equal(options.runs, 2);
    assert_string_equal(options.run[1].label, "momentum lr=1e-2");
    assert_string_equal(options.run[1].optimizer, "momentum");
    assert_true(stepd_arguments_number(&options.run[1].hyper, "lr", 0) == 0.01);
}

static void compare_options__wrong__are_refused(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--json"), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "nothing to compare"));
    assert_int_equal(PARSE("--run", "lr=1"), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "expected an optimizer's name"));
    assert_int_equal(PARSE("--run"), STEPD_INVALID_ARGUMENT);
    assert_int_equal(PARSE("--run", "sgd lr=x!"), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "--run 'sgd lr=x!': lr: "));
    assert_int_equal(PARSE("--lrs", "1,,2"), STEPD_INVALID_ARGUMENT);
    assert_int_equal(PARSE("--lrs", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17"),
                     STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "more than 16 runs"));
    assert_int_equal(PARSE("--run", "sgd", "--world", "2"), STEPD_INVALID_ARGUMENT);
    assert_int_equal(PARSE("--run", "sgd", "--save-weights", "x"), STEPD_INVALID_ARGUMENT);
    assert_int_equal(PARSE("--run", "sgd", "--rnu", "x"), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "unknown flag '--rnu'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(params_set__wrong__says_what_was_expected),
        cmocka_unit_test(stepd_arguments_describe__each_kind__is_what_libstepd_wants),
        cmocka_unit_test(compare_options__of_runs__lay_their_parameters_over_the_flags),
        cmocka_unit_test(compare_options__of_rates__make_a_run_of_each),
        cmocka_unit_test(compare_options__wrong__are_refused),
    };
    return cmocka_run_group_tests_name("train/params", tests, NULL, NULL);
}
