/* SPDX-License-Identifier: Apache-2.0
 *
 * The training loop of workers that are not equally fast: one that is slowed, and those that share
 * a job's steps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/train/train.h"
#include "tests/unit/train/fake_home.h"
#include "tests/unit/train/files.h"

static struct fake_home fake;
static struct train_options options;
static struct train_data data;
static struct train_result result;
static struct stepd_error error;
static double seconds; /* of the made-up clock, which moves on whenever somebody looks at it */
static size_t sleeps;

static double made_up_now(void)
{
    return seconds += 1;
}

static void made_up_sleep(double duration)
{
    seconds += duration;
    sleeps++;
}

static const struct pace_clock made_up = {
    .now = made_up_now, .busy = made_up_now, .sleep = made_up_sleep};

/* A data set of 100 examples, and one of four workers that share 40 steps; in an epoch each has 25
 * of the examples. */
static int setup(void **state)
{
    files_setup(state);
    files_write_dataset(*state, 100, 50);
    fake_home_init(&fake);
    assert_int_equal(train_data_load(*state, /* with_test= */ true, &data, &error), STEPD_OK);
    options = (struct train_options){
        .job = "test",
        .model = "mlp:4-16-10",
        .recipe = {.optimizer = "sgd"},
        .eval_view = STEPD_EVALUATION,
        .schedule = "constant",
        .mode = STEPD_ASYNC,
        .share = true,
        .steps = 10,
        .world = 4,
        .batch = {30, 30, 30, 30},
        .quiet = true,
    };
    return 0;
}

static int teardown(void **state)
{
    train_data_deinit(&data);
    return files_teardown(state);
}

/* Trains as one rank, by the made-up clock. */
static enum stepd_status run(uint32_t rank)
{
    const struct train_task task = {
        .options = &options, .data = &data, .home = &fake.home, .clock = &made_up, .title = ""};
    sleeps = 0;
    fake.rank = rank;
    const enum stepd_status status = train_run(&task, &result, &error);
    if (status == STEPD_OK)
        curve_close(&result.curve);
    return status;
}

static void train_run__shared_steps__go_to_whoever_is_fast(void **state)
{
    (void)state;
    assert_int_equal(run(0), STEPD_OK);
    assert_int_equal(result.steps, 40);
    assert_int_equal(fake.version, 40);
}

static void train_run__shared_steps_that_others_take__are_not_taken_again(void **state)
{
    (void)state;
    fake.others = 9;
    assert_int_equal(run(0), STEPD_OK);
    assert_int_equal(result.steps, 4);
    assert_true(fake.left);
}

static void train_run__shared_steps__count_the_examples_of_all(void **state)
{
    (void)state;
    fake.others = 3;
    assert_int_equal(run(0), STEPD_OK);
    assert_int_equal(result.steps, 10);
    assert_int_equal(result.examples, 10 * 25);
    assert_int_equal(result.examples_all, (1 + 9 * 4) * 25); /* when the last one was sent */
}

static void train_run__shared_steps_of_a_job_that_has_them_all__are_none(void **state)
{
    (void)state;
    fake.version = 40;
    assert_int_equal(run(0), STEPD_OK);
    assert_int_equal(result.steps, 0);
    assert_true(fake.left);
}

static void train_run__shared_steps__are_evaluated_as_long_as_they_go_on(void **state)
{
    (void)state;
    options.eval_every = 15; /* more than the worker's own 10 */
    assert_int_equal(run(0), STEPD_OK);
    assert_string_equal(fake.views, "tetete");
}

static void train_run__shared_steps_where_the_servers_file_says_sync__are_refused(void **state)
{
    (void)state;
    options.defined = true;
    fake.mode = STEPD_SYNC;
    assert_int_equal(run(0), STEPD_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "--share is for the modes async and bounded"));
    assert_int_equal(fake.steps_started, 0);
}

static void train_run__slow_rank__sleeps_after_each_pass_of_each_layer(void **state)
{
    (void)state;
    options.share = false;
    options.slow[3] = 5;
    assert_int_equal(run(0), STEPD_OK);
    assert_int_equal(sleeps, 0);
    assert_int_equal(run(3), STEPD_OK);
    assert_int_equal(sleeps, 10 * 2 * 3);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(train_run__shared_steps__go_to_whoever_is_fast),
        IN_FOLDER(train_run__shared_steps_that_others_take__are_not_taken_again),
        IN_FOLDER(train_run__shared_steps__count_the_examples_of_all),
        IN_FOLDER(train_run__shared_steps_of_a_job_that_has_them_all__are_none),
        IN_FOLDER(train_run__shared_steps__are_evaluated_as_long_as_they_go_on),
        IN_FOLDER(train_run__shared_steps_where_the_servers_file_says_sync__are_refused),
        IN_FOLDER(train_run__slow_rank__sleeps_after_each_pass_of_each_layer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
