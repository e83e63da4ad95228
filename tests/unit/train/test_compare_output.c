/* SPDX-License-Identifier: Apache-2.0
 *
 * What a comparison writes of runs that are over: their order, their gain, the table and the JSON.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/train/compare_output.h"

static struct compare_options options; /* large, both */
static struct comparison comparison;
static struct stepd_error error;
static char *written;

/* Two recipes, each in two modes; the second recipe has diverged in the first of them. */
static int setup(void **state)
{
    static const struct train_result results[] = {
        {.test_accuracy = 0.75, .seconds = 12, .test_loss = 0.5, .train_loss = 0.5},
        {.test_accuracy = 0.5, .seconds = 4, .test_loss = 1, .train_loss = 1},
        {.diverged_at = 7, .seconds = 1},
        {.test_accuracy = 0.25, .seconds = 8, .test_loss = 2, .train_loss = 2},
    };
    (void)state;
    options = (struct compare_options){.base = {.model = "linear", .world = 2}, .modes = 2};
    comparison = (struct comparison){.options = &options, .count = 4};
    for (size_t i = 0; i < 4; i++) {
        struct compare_job *const job = &options.run[options.runs++];
        assert_int_equal(recipe_read(i < 2 ? "sgd lr=1" : "adam", &job->recipe, &error), STEPD_OK);
        assert_int_equal(
            train_mode_read(i % 2 == 0 ? "sync" : "async", i % 2 == 0 ? 4 : 5, &job->mode, &error),
            STEPD_OK);
        comparison.entry[i] =
            (struct compare_entry){.job = job, .result = results[i], .steps = {10 * i, 3}};
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(written);
    written = NULL;
    return 0;
}

static void write_with(void (*print)(FILE *, const struct comparison *))
{
    size_t size = 0;
    FILE *const out = open_memstream(&written, &size);
    assert_non_null(out);
    print(out, &comparison);
    assert_int_equal(fclose(out), 0);
}

static void compare_gain__of_a_run__is_over_the_first_mode_of_its_recipe(void **state)
{
    (void)state;
    assert_true(compare_gain(&comparison, 0) == 1);
    assert_true(compare_gain(&comparison, 1) == 3);
}

static void compare_gain__where_one_has_diverged__is_no_number(void **state)
{
    (void)state;
    assert_true(isnan(compare_gain(&comparison, 2)));
    assert_true(isnan(compare_gain(&comparison, 3)));
}

static void compare_print_table__of_modes__has_a_gain_where_there_is_one(void **state)
{
    (void)state;
    write_with(compare_print_table);
    assert_string_equal(
        written,
        "optimizer  hyperparameters  mode   train loss  test loss  test accuracy  seconds    gain\n"
        "sgd        lr=1             sync       0.5000     0.5000         0.7500     12.0    1.00\n"
        "sgd        lr=1             async      1.0000     1.0000         0.5000      4.0    3.00\n"
        "adam                        async      2.0000     2.0000         0.2500      8.0       -\n"
        "adam                        sync   diverged at step 7\n");
}

static void compare_print_table__of_one_mode__does_without_it(void **state)
{
    (void)state;
    options.modes = 1;
    comparison.count = 1;
    write_with(compare_print_table);
    assert_string_equal(
        written, "optimizer  hyperparameters  train loss  test loss  test accuracy  seconds\n"
                 "sgd        lr=1                 0.5000     0.5000         0.7500     12.0\n");
}

static void compare_print_json__of_modes__has_gain_and_the_steps_of_each_worker(void **state)
{
    (void)state;
    write_with(compare_print_json);
    assert_non_null(
        strstr(written, "\"mode\": \"async\", \"steps\": 0, \"worker_steps\": [10, 3], "));
    assert_non_null(strstr(written, "\"seconds\": 4, \"gain\": 3}"));
    assert_non_null(strstr(written, "\"seconds\": 8, \"gain\": null}"));
}

static void compare_print_json__of_one_mode__has_no_gain(void **state)
{
    (void)state;
    options.modes = 1;
    write_with(compare_print_json);
    assert_null(strstr(written, "gain"));
    assert_non_null(strstr(written, "\"mode\": \"async\""));
}

/* ---- Order ----------------------------------------------------------------------------------- */

static void compare_rank__any__puts_the_best_first_and_the_diverged_last(void **state)
{
    size_t order[COMPARE_RUNS_MAX];
    static const struct train_result results[] = {
        {.diverged_at = 3, .test_accuracy = 1},
        {.test_accuracy = 0.5, .test_loss = 2},
        {.test_accuracy = 0.9, .test_loss = 3},
        {.test_accuracy = 0.5, .test_loss = 1},
        {.diverged_at = 4},
        {.test_accuracy = 0.5, .test_loss = 2},
    };
    static const size_t expected[] = {2, 3, 1, 5, 0, 4};
    (void)state;
    comparison.count = 6;
    for (size_t i = 0; i < 6; i++)
        comparison.entry[i].result = results[i];
    compare_rank(&comparison, order);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(order[i], expected[i]);
}

static void compare_csv_append__full_disk__is_an_error(void **state)
{
    FILE *const full = fopen("/dev/full", "w");
    (void)state;
    assert_non_null(full);
    assert_int_equal(compare_csv_begin(full, "/dev/full", &error), STEPD_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "cannot write /dev/full"));
    (void)fclose(full);
}

#define WITH_RUNS(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RUNS(compare_gain__of_a_run__is_over_the_first_mode_of_its_recipe),
        WITH_RUNS(compare_gain__where_one_has_diverged__is_no_number),
        WITH_RUNS(compare_print_table__of_modes__has_a_gain_where_there_is_one),
        WITH_RUNS(compare_print_table__of_one_mode__does_without_it),
        WITH_RUNS(compare_print_json__of_modes__has_gain_and_the_steps_of_each_worker),
        WITH_RUNS(compare_print_json__of_one_mode__has_no_gain),
        WITH_RUNS(compare_rank__any__puts_the_best_first_and_the_diverged_last),
        WITH_RUNS(compare_csv_append__full_disk__is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
