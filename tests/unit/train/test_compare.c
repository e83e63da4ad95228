/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole comparisons in this process, on a data set of 100 examples, and what they leave behind:
 * the table, the JSON, the CSV file and the picture.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/train/compare.h"
#include "tests/unit/train/files.h"

static struct compare_options options; /* 200 KiB */
static char paths[2][FILES_PATH_BYTES];
static char *said; /* on stdout */
static struct stepd_error error;

static int setup(void **state)
{
    files_setup(state);
    files_write_dataset(*state, 100, 50);
    files_path(*state, "curves.csv", paths[0]);
    files_path(*state, "curves.svg", paths[1]);
    options = (struct compare_options){
        .base =
            {
                .job = "test",
                .model = "mlp:4-16-10",
                .data = *state,
                .schedule = "constant",
                .eval_view = STEPD_EVALUATION,
                .csv = paths[0],
                .plot = paths[1],
                .steps = 12,
                .seed = 1,
                .world = 1,
                .batch = {30},
                .local = true,
                .quiet = true,
            },
        .modes = 1,
    };
    return 0;
}

static int teardown(void **state)
{
    free(said);
    said = NULL;
    return files_teardown(state);
}

static void add_run(const char *text)
{
    struct train_recipe *const recipe = &options.run[options.runs++].recipe;
    assert_int_equal(recipe_read(text, recipe, &error), STEPD_OK);
}

/* One recipe in two modes. */
static void add_modes(const char *recipe, const char *first, const char *second)
{
    const char *const modes[] = {first, second};
    options.modes = 2;
    for (size_t i = 0; i < 2; i++) {
        add_run(recipe);
        assert_int_equal(train_mode_read(modes[i], strlen(modes[i]), &options.run[i].mode, &error),
                         STEPD_OK);
    }
}

static enum stepd_status compare(void)
{
    size_t size = 0;
    free(said);
    FILE *const out = open_memstream(&said, &size);
    assert_non_null(out);
    const enum stepd_status status = compare_run(&options, out, &error);
    assert_int_equal(fclose(out), 0);
    return status;
}

static size_t count_lines(const char *text, const char *begin)
{
    size_t count = 0;
    for (const char *at = text; at != NULL; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, begin, strlen(begin)) == 0)
            count++;
        if (*at == '\0')
            break;
    }
    return count;
}

/* Checks that `parts`, up to a NULL, stand in the text in this order. */
static void expect_order(const char *text, const char *const *parts)
{
    const char *at = text;
    for (size_t i = 0; parts[i] != NULL; i++) {
        const char *const found = strstr(at, parts[i]);
        if (found == NULL)
            fail_msg("'%s' is not where it should be in:\n%s", parts[i], text);
        at = found + strlen(parts[i]);
    }
}

/* ---- Comparisons ----------------------------------------------------------------------------- */

static void compare_run__several__end_in_a_table_of_them(void **state)
{
    (void)state;
    add_run("sgd lr=1e-9");
    add_run("adam lr=0.05 betas=0.8,0.95");
    assert_int_equal(compare(), STEPD_OK);
    assert_int_equal(count_lines(said, ""), 4); /* a head, two runs, and nothing behind them */
    expect_order(said, (const char *const[]){"optimizer", "hyperparameters", "train loss",
                                             "test accuracy", "seconds\n",
                                             "adam       lr=0.05 betas=0.8,0.95  ", "\n",
                                             "sgd        lr=1e-09 ", NULL});
}

static void compare_run__csv__has_a_line_for_each_step_of_each_run(void **state)
{
    char *text;
    (void)state;
    add_run("sgd lr=0.1");
    add_run("adam betas=0.8,0.95");
    assert_int_equal(compare(), STEPD_OK);
    (void)files_read(paths[0], &text);
    expect_order(text, (const char *const[]){
                           "run,optimizer,hyperparameters,mode,step,epoch,loss,smoothed\n",
                           "1,sgd,\"lr=0.1\",\"sync\",1,1,", "\n1,sgd,\"lr=0.1\",\"sync\",12,3,",
                           "\n2,adam,\"betas=0.8,0.95\",\"sync\",1,1,", NULL});
    assert_int_equal(count_lines(text, "1,sgd,"), 12);
    assert_int_equal(count_lines(text, "2,adam,"), 12);
    /* Both begin with the same weights and examples: with the same loss, which is its own mean. */
    double first[2][2];
    const char *at = strstr(text, "1,1,");
    assert_int_equal(sscanf(at, "1,1,%lf,%lf", &first[0][0], &first[0][1]), 2);
    at = strstr(text, "\n2,adam,\"betas=0.8,0.95\",\"sync\",1,1,");
    assert_int_equal(sscanf(strstr(at, "\",1,1,"), "\",1,1,%lf,%lf", &first[1][0], &first[1][1]),
                     2);
    assert_memory_equal(first[0], first[1], sizeof first[0]);
    assert_true(fabs(first[0][0] - first[0][1]) < 1e-5);
    double second[2];
    at = strstr(text, "2,1,");
    assert_int_equal(sscanf(at, "2,1,%lf,%lf", &second[0], &second[1]), 2);
    assert_true(fabs((0.95 * first[0][0] + second[0]) / 1.95 - second[1]) < 1e-5);
    free(text);
}

static void compare_run__picture__has_a_line_for_each_run(void **state)
{
    char *text;
    (void)state;
    add_run("sgd lr=1e-9");
    add_run("adam lr=0.05");
    assert_int_equal(compare(), STEPD_OK);
    (void)files_read(paths[1], &text);
    expect_order(text, (const char *const[]){"mlp:4-16-10 by optimizer", "<polyline class=\"s1\"",
                                             "<polyline class=\"s0\"", ">adam lr=0.05<",
                                             ">sgd lr=1e-09<", NULL});
    free(text);
}

static void compare_run__several_modes__are_columns_and_a_picture_of_them(void **state)
{
    char *text;
    (void)state;
    add_modes("adam lr=0.05", "sync", "bounded staleness=4");
    options.by_time = true;
    assert_int_equal(compare(), STEPD_OK);
    expect_order(said,
                 (const char *const[]){"optimizer  hyperparameters  mode ", "seconds    gain\n",
                                       "adam       lr=0.05          ", NULL});
    assert_non_null(strstr(said, "  sync                 "));
    assert_non_null(strstr(said, "  bounded staleness=4  "));
    (void)files_read(paths[0], &text);
    assert_int_equal(count_lines(text, "1,adam,\"lr=0.05\",\"sync\","), 12);
    assert_int_equal(count_lines(text, "2,adam,\"lr=0.05\",\"bounded staleness=4\","), 12);
    free(text);
    (void)files_read(paths[1], &text);
    expect_order(text, (const char *const[]){"mlp:4-16-10 by mode", ">seconds<", NULL});
    assert_non_null(strstr(text, ">bounded staleness=4<"));
    free(text);
}

static void compare_run__mode_that_cannot_be__is_named_before_any_training(void **state)
{
    (void)state;
    add_modes("sgd", "sync", "async staleness=4");
    assert_int_equal(compare(), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "run 2 (async staleness=4): define: "));
    assert_int_not_equal(access(paths[0], F_OK), 0);
}

/* In a mode without shared steps the flag would end the comparison. */
static void compare_run__shared_steps__are_those_of_the_modes_that_can(void **state)
{
    (void)state;
    add_modes("sgd", "sync", "async");
    options.base.share = true;
    options.base.json = true;
    assert_int_equal(compare(), STEPD_OK);
    expect_order(said,
                 (const char *const[]){"\"worker_steps\": [12]", "\"worker_steps\": [12]", NULL});
}

static void compare_run__run_that_diverges__is_marked_and_the_others_go_on(void **state)
{
    char *text;
    (void)state;
    add_run("sgd lr=1e9");
    add_run("adam lr=0.05");
    assert_int_equal(compare(), STEPD_OK);
    expect_order(said, (const char *const[]){"\nadam ", "\nsgd ", "  diverged at step ", NULL});
    (void)files_read(paths[1], &text);
    expect_order(text, (const char *const[]){"class=\"mark s1\"", ">diverged<", NULL});
    free(text);
    (void)files_read(paths[0], &text);
    assert_true(count_lines(text, "1,sgd,") < 12);
    assert_int_equal(count_lines(text, "2,adam,"), 12);
    free(text);
}

static void compare_run__run_that_cannot_be__is_named_before_any_training(void **state)
{
    static const struct {
        const char *run;
        const char *says;
    } cases[] = {
        {"adamx", "run 2 (adamx): define: group 'all': unknown optimizer 'adamx'"},
        {"adam lr=-1", "run 2 (adam lr=-1): define: group 'all': hyperparameter 'lr' of adam"},
        {"adam rho=1", "adam has no hyperparameter 'rho'"},
        {"adam eps_mode=inzide", "did you mean 'inside'?"},
        {"adam then adamx from=3", "unknown optimizer 'adamx'"},
        {"newton", "run 2 (newton): define: optimizer 'newton' needs second derivatives"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        options.runs = 0;
        memset(options.run, 0, sizeof options.run);
        add_run("sgd");
        add_run(cases[i].run);
        assert_int_equal(compare(), STEPD_INVALID_ARGUMENT);
        if (strstr(error.text, cases[i].says) == NULL)
            fail_msg("'%s' says: %s", cases[i].run, error.text);
        assert_int_not_equal(access(paths[0], F_OK), 0);
    }
}

static void compare_run__schedule_or_view_that_cannot_be__is_found_as_well(void **state)
{
    (void)state;
    add_run("sgd");
    options.base.schedule = "kosine";
    assert_int_equal(compare(), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "'kosine'"));
    options.base.schedule = "constant";
    options.base.eval_view = STEPD_SWA;
    assert_int_equal(compare(), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "keeps no running mean"));
    assert_int_not_equal(access(paths[0], F_OK), 0);
}

static void compare_run__job_of_several_workers__is_rehearsed_as_such(void **state)
{
    (void)state;
    add_run("sgd");
    options.base.world = 4;
    assert_int_equal(params_set("backup", 4, &options.run[0].mode.settings, &error), STEPD_OK);
    assert_int_equal(compare(), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "backup is 4, and the job has 4 workers"));
}

static void compare_run__file_that_cannot_be__is_an_error_before_any_training(void **state)
{
    (void)state;
    add_run("sgd");
    for (size_t i = 0; i < 2; i++) {
        options.base.csv = i == 0 ? "/nonexistent/x" : paths[0];
        options.base.plot = i == 1 ? "/nonexistent/x" : paths[1];
        assert_int_equal(compare(), STEPD_FAILED_PRECONDITION);
        assert_string_equal(error.text, "cannot write /nonexistent/x: No such file or directory");
    }
    char *text;
    (void)files_read(paths[0], &text);
    assert_int_equal(count_lines(text, "1,sgd"), 0);
    free(text);
}

static void compare_run__data_that_are_not_there__are_an_error(void **state)
{
    (void)state;
    add_run("sgd");
    options.base.data = "/nonexistent";
    assert_int_equal(compare(), STEPD_NOT_FOUND);
    assert_non_null(strstr(error.text, "data: /nonexistent"));
}

static void compare_run__json__is_one_line_with_null_for_what_was_not_measured(void **state)
{
    (void)state;
    options.base.json = true;
    add_run("sgd lr=1e9");
    add_run("adam lr=0.05");
    assert_int_equal(compare(), STEPD_OK);
    expect_order(said,
                 (const char *const[]){
                     "{\"model\": \"mlp:4-16-10\", \"workers\": 1, \"runs\": [",
                     "{\"run\": 2, \"optimizer\": \"adam\", \"hyperparameters\": "
                     "\"lr=0.05\", \"mode\": \"sync\", \"steps\": 12, \"worker_steps\": [12], "
                     "\"diverged_at\": null, \"train_loss\": ",
                     "}, {\"run\": 1, ", "\"diverged_at\": ", "\"test_loss\": null, ",
                     "\"test_accuracy\": null, ", "}]}\n", NULL});
    assert_int_equal(count_lines(said, ""), 2);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(compare_run__several__end_in_a_table_of_them),
        IN_FOLDER(compare_run__csv__has_a_line_for_each_step_of_each_run),
        IN_FOLDER(compare_run__picture__has_a_line_for_each_run),
        IN_FOLDER(compare_run__several_modes__are_columns_and_a_picture_of_them),
        IN_FOLDER(compare_run__mode_that_cannot_be__is_named_before_any_training),
        IN_FOLDER(compare_run__shared_steps__are_those_of_the_modes_that_can),
        IN_FOLDER(compare_run__run_that_diverges__is_marked_and_the_others_go_on),
        IN_FOLDER(compare_run__run_that_cannot_be__is_named_before_any_training),
        IN_FOLDER(compare_run__schedule_or_view_that_cannot_be__is_found_as_well),
        IN_FOLDER(compare_run__job_of_several_workers__is_rehearsed_as_such),
        IN_FOLDER(compare_run__file_that_cannot_be__is_an_error_before_any_training),
        IN_FOLDER(compare_run__data_that_are_not_there__are_an_error),
        IN_FOLDER(compare_run__json__is_one_line_with_null_for_what_was_not_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
