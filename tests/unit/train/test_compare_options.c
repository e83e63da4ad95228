/* SPDX-License-Identifier: Apache-2.0
 *
 * Which runs a command line asks for, and what they have in common.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "client/train/compare_options.h"

#define WORDS_MOST 40

static struct compare_options options; /* 200 KiB */
static struct stepd_error error;

/* Parses words up to a NULL, in an environment with one variable (NULL: none). */
static enum stepd_status parse(const char *const *words, const char *variable)
{
    static char text[WORDS_MOST][256];
    char *argv[WORDS_MOST + 1] = {NULL};
    char assignment[128];
    char *environment[2] = {NULL};
    int count = 0;
    argv[count++] = (char[]){"compare"};
    for (; words[count - 1] != NULL; count++) {
        assert_true(count < WORDS_MOST);
        (void)snprintf(text[count], sizeof text[count], "%s", words[count - 1]);
        argv[count] = text[count];
    }
    if (variable != NULL) {
        (void)snprintf(assignment, sizeof assignment, "%s", variable);
        environment[0] = assignment;
    }
    return compare_options_parse(count, argv, environment, &options, &error);
}

#define WORDS(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static void expect_run(size_t index, const char *expected)
{
    char text[RECIPE_TEXT_BYTES];
    assert_true(index < options.runs);
    recipe_format(&options.run[index].recipe, text, sizeof text);
    assert_string_equal(text, expected);
}

static void compare_options__nothing__compares_what_everybody_knows(void **state)
{
    static const char *const names[] = {"sgd",     "momentum", "nesterov", "adagrad",
                                        "rmsprop", "adam",     "adamw"};
    (void)state;
    assert_int_equal(parse((const char *const[]){NULL}, NULL), STEPD_OK);
    assert_int_equal(options.runs, 7);
    for (size_t i = 0; i < 7; i++) {
        assert_string_equal(options.run[i].recipe.optimizer, names[i]);
        assert_true(params_number(&options.run[i].recipe.hyper, "lr", 0) > 0);
        assert_int_equal(options.run[i].mode.mode, STEPD_SYNC);
    }
    assert_null(options.base.server);
    assert_string_equal(options.base.schedule, "constant");
    assert_string_equal(options.base.job, "compare");
    assert_string_equal(options.base.csv, "compare.csv");
    assert_string_equal(options.base.plot, "compare.svg");
    assert_int_equal(options.base.epochs, 1);
    assert_int_equal(options.base.world, 1);
    assert_int_equal(options.base.rank, 0);
    assert_int_equal(options.base.batch[0], 128);
}

static void compare_options__runs_and_names__come_in_their_order(void **state)
{
    (void)state;
    assert_int_equal(parse(WORDS("--run", "adam lr=0.001 betas=0.8,0.95", "--optimizers=sgd,lion",
                                 "--run=adam then sgd from=30 lr=0.1"),
                           NULL),
                     STEPD_OK);
    assert_int_equal(options.runs, 4);
    expect_run(0, "adam lr=0.001 betas=0.8,0.95");
    expect_run(1, "sgd");
    expect_run(2, "lion");
    expect_run(3, "adam then sgd from=30 lr=0.1");
}

static void
compare_options__shared_hyperparameters__are_every_runs_unless_it_has_its_own(void **state)
{
    (void)state;
    assert_int_equal(parse(WORDS("--optimizers", "sgd", "--run", "adam lr=0.5", "--lr", "0.1",
                                 "--weight-decay", "0.01"),
                           NULL),
                     STEPD_OK);
    expect_run(0, "sgd lr=0.1 weight_decay=0.01");
    expect_run(1, "adam lr=0.5 weight_decay=0.01");
}

static void compare_options__learning_rates__multiply_the_runs(void **state)
{
    (void)state;
    assert_int_equal(
        parse(WORDS("--lrs", "0.1,1e-3", "--optimizers", "sgd", "--run", "adam eps=0.5"), NULL),
        STEPD_OK);
    assert_int_equal(options.runs, 4);
    expect_run(0, "sgd lr=0.1");
    expect_run(1, "sgd lr=0.001");
    expect_run(2, "adam eps=0.5 lr=0.1");
    expect_run(3, "adam eps=0.5 lr=0.001");
}

static void expect_description(size_t index, const char *expected)
{
    char text[COMPARE_TEXT_BYTES];
    assert_true(index < options.runs);
    compare_options_describe(&options, index, text, sizeof text);
    assert_string_equal(text, expected);
}

static void compare_options__modes__multiply_the_runs(void **state)
{
    (void)state;
    assert_int_equal(parse(WORDS("--optimizers", "sgd,adam", "--modes",
                                 "sync backup=1,bounded staleness=8, async"),
                           NULL),
                     STEPD_OK);
    assert_int_equal(options.modes, 3);
    assert_int_equal(options.runs, 6);
    static const char *const expected[] = {
        "sgd, sync backup=1",  "sgd, bounded staleness=8",  "sgd, async",
        "adam, sync backup=1", "adam, bounded staleness=8", "adam, async"};
    for (size_t i = 0; i < 6; i++)
        expect_description(i, expected[i]);
}

static void compare_options__runs__are_described_by_what_differs(void **state)
{
    (void)state;
    assert_int_equal(parse(WORDS("--run", "adam lr=0.1", "--mode", "async"), NULL), STEPD_OK);
    expect_description(0, "adam lr=0.1");
    assert_int_equal(parse(WORDS("--run", "adam lr=0.1", "--modes", "sync,async"), NULL), STEPD_OK);
    expect_description(1, "async");
}

static void compare_options__one_mode__is_every_runs(void **state)
{
    (void)state;
    assert_int_equal(parse(WORDS("--mode", "bounded", "--job-param", "staleness=4"), NULL),
                     STEPD_OK);
    assert_int_equal(options.modes, 1);
    assert_int_equal(options.runs, 7);
    assert_int_equal(options.run[6].mode.mode, STEPD_BOUNDED);
    assert_true(params_number(&options.run[6].mode.settings, "staleness", 0) == 4);
}

static void
compare_options__settings_beside_the_mode__are_every_modes_unless_it_has_its_own(void **state)
{
    (void)state;
    assert_int_equal(parse(WORDS("--run=sgd", "--modes", "async,async staleness_max=3",
                                 "--job-param", "staleness_max=9"),
                           NULL),
                     STEPD_OK);
    expect_description(0, "async staleness_max=9");
    expect_description(1, "async staleness_max=3");
}

static void compare_options__shared_steps__need_one_mode_that_can(void **state)
{
    (void)state;
    assert_int_equal(parse(WORDS("--share", "--modes", "sync,async"), NULL), STEPD_OK);
    assert_true(options.base.share);
    assert_int_equal(parse(WORDS("--share", "--modes", "sync,sync backup=1"), NULL),
                     STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "--share is for the modes async and bounded"));
}

static void compare_options__flags_of_a_training__hold_for_every_run(void **state)
{
    (void)state;
    assert_int_equal(
        parse(WORDS("--model", "cnn", "--steps", "30", "--batch", "10", "--workers", "3",
                    "--schedule", "cosine", "--warmup", "2", "--seed", "5", "--csv", "a", "--plot",
                    "b", "--job", "c", "--log-scale", "--by-time", "--slow", "5"),
              NULL),
        STEPD_OK);
    assert_string_equal(options.base.model, "cnn");
    assert_int_equal(options.base.steps, 30);
    assert_int_equal(options.base.world, 3);
    assert_int_equal(options.base.batch[2], 10);
    assert_string_equal(options.base.schedule, "cosine");
    assert_int_equal(options.base.schedule_params.count, 1);
    assert_int_equal(options.base.seed, 5);
    assert_string_equal(options.base.csv, "a");
    assert_string_equal(options.base.plot, "b");
    assert_string_equal(options.base.job, "c");
    assert_true(options.log_scale);
    assert_true(options.by_time);
    assert_int_equal(options.base.slow[1], 1);
    assert_int_equal(options.base.slow[2], 5);
}

static void compare_options__address__comes_from_the_flag_or_the_environment(void **state)
{
    (void)state;
    assert_int_equal(parse((const char *const[]){NULL}, "STEPD_ADDRESS=there:1"), STEPD_OK);
    assert_string_equal(options.base.server, "there:1");
    assert_int_equal(parse(WORDS("--server", "here:2"), "STEPD_ADDRESS=there:1"), STEPD_OK);
    assert_string_equal(options.base.server, "here:2");
}

static void compare_options__launchers_environment__means_nothing_here(void **state)
{
    (void)state;
    assert_int_equal(parse((const char *const[]){NULL}, "STEPD_RANK=3"), STEPD_OK);
    assert_int_equal(options.base.rank, 0);
}

static void compare_options__mistake__is_refused_and_named(void **state)
{
    static const struct {
        const char *words[3];
        const char *says;
    } cases[] = {
        {{"--run", "adam lr"}, "--run 'adam lr': 'lr': expected NAME=VALUE"},
        {{"--run="}, "--run '': expected an optimizer"},
        {{"--optimizers=adam,"}, "--optimizers 'adam,': expected names with ','"},
        {{"--optimizers=a=b"}, "--optimizers: 'a=b' is not the name"},
        {{"--lrs=0.1"}, "--lrs: of what?"},
        {{"--lrs=0.1,", "--run=adam"}, "--lrs '0.1,': expected numbers"},
        {{"--lrs=0.1,fast", "--run=adam"}, "--lrs '0.1,fast': expected numbers"},
        {{"--lrs=0.1", "--run=adam lr=1"}, "but that of 'adam' is set too"},
        {{"--workers=0"}, "--workers '0': expected a number of workers from 1 to 64"},
        {{"--workers=65"}, "--workers '65'"},
        {{"--workers=2", "--local"}, "--local is for one worker, not 2"},
        {{"--workers=2", "--batch=1,2,3"}, "--batch has 3 sizes for 2 workers"},
        {{"--rank=0"}, "unknown flag '--rank'"},
        {{"--optimizer=adam"}, "unknown flag '--optimizer'"},
        {{"--phase=sgd from=3"}, "unknown flag '--phase'"},
        {{"--defined"}, "unknown flag '--defined'"},
        {{"--save-weights=x"}, "unknown flag '--save-weights'"},
        {{"--optimizers=a,a,a,a,a,a,a", "--lrs=1,2,3,4,5"}, "more than 32 runs"},
        {{"--modes=sync,async,sync,async,sync", "--optimizers=a,a,a,a,a,a,a"}, "more than 32 runs"},
        {{"--modes="}, "--modes ''"},
        {{"--modes=sync,"}, "--modes: '' is not a mode"},
        {{"--modes=sync,maybe"}, "--modes: 'maybe' is not a mode"},
        {{"--modes=sync late"}, "--modes: 'late': expected NAME=VALUE"},
        {{"--modes=sync,async", "--mode=sync"}, "--mode and --modes both say the mode"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (parse(cases[i].words, NULL) != STEPD_INVALID_ARGUMENT)
            fail_msg("%s is taken", cases[i].words[0]);
        if (strstr(error.text, cases[i].says) == NULL)
            fail_msg("%s says: %s", cases[i].words[0], error.text);
    }
}

static void compare_options__more_modes_than_there_is_room_for_runs__are_refused(void **state)
{
    char modes[8 + 6 * (COMPARE_RUNS_MAX + 1)] = "--modes=async";
    (void)state;
    for (size_t i = 1; i < COMPARE_RUNS_MAX; i++)
        (void)snprintf(modes + strlen(modes), 7, ",async");
    assert_int_equal(parse(WORDS("--run=sgd", modes), NULL), STEPD_OK);
    assert_int_equal(options.runs, COMPARE_RUNS_MAX);
    (void)snprintf(modes + strlen(modes), 7, ",async");
    assert_int_equal(parse(WORDS("--run=sgd", modes), NULL), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "--modes: more than 32 runs"));
}

static void compare_options__more_runs_than_there_is_room_for__are_refused(void **state)
{
    const char *words[WORDS_MOST] = {NULL};
    (void)state;
    for (size_t i = 0; i < COMPARE_RUNS_MAX; i++)
        words[i] = "--run=sgd";
    assert_int_equal(parse(words, NULL), STEPD_OK);
    assert_int_equal(options.runs, COMPARE_RUNS_MAX);
    words[COMPARE_RUNS_MAX] = "--run=sgd";
    assert_int_equal(parse(words, NULL), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "--run: more than 32 runs"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compare_options__nothing__compares_what_everybody_knows),
        cmocka_unit_test(compare_options__runs_and_names__come_in_their_order),
        cmocka_unit_test(
            compare_options__shared_hyperparameters__are_every_runs_unless_it_has_its_own),
        cmocka_unit_test(compare_options__learning_rates__multiply_the_runs),
        cmocka_unit_test(compare_options__modes__multiply_the_runs),
        cmocka_unit_test(compare_options__runs__are_described_by_what_differs),
        cmocka_unit_test(compare_options__one_mode__is_every_runs),
        cmocka_unit_test(
            compare_options__settings_beside_the_mode__are_every_modes_unless_it_has_its_own),
        cmocka_unit_test(compare_options__shared_steps__need_one_mode_that_can),
        cmocka_unit_test(compare_options__more_modes_than_there_is_room_for_runs__are_refused),
        cmocka_unit_test(compare_options__flags_of_a_training__hold_for_every_run),
        cmocka_unit_test(compare_options__address__comes_from_the_flag_or_the_environment),
        cmocka_unit_test(compare_options__launchers_environment__means_nothing_here),
        cmocka_unit_test(compare_options__mistake__is_refused_and_named),
        cmocka_unit_test(compare_options__more_runs_than_there_is_room_for__are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
