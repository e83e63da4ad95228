/* SPDX-License-Identifier: Apache-2.0
 *
 * What travels of a step and when: layer by layer, or all at once; and where a worker's time goes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/train/home.h"
#include "client/train/train.h"
#include "tests/unit/train/fake_home.h"
#include "tests/unit/train/files.h"

static struct fake_home fake;
static struct train_options options;
static struct train_data data;
static struct train_result result;
static struct stepd_error error;

static enum stepd_status run(struct home *home)
{
    const struct train_task task = {.options = &options, .data = &data, .home = home, .title = ""};
    const enum stepd_status status = train_run(&task, &result, &error);
    if (status == STEPD_OK)
        curve_close(&result.curve);
    return status;
}

/* A data set of 100 examples, and options for a net of three layers on it. */
static int setup(void **state)
{
    files_setup(state);
    files_write_dataset(*state, 100, 50);
    fake_home_init(&fake);
    assert_int_equal(train_data_load(*state, /* with_test= */ true, &data, &error), STEPD_OK);
    options = (struct train_options){
        .job = "test",
        .model = "mlp:4-16-8-10",
        .recipe = {.optimizer = "sgd"},
        .eval_view = STEPD_EVALUATION,
        .schedule = "constant",
        .steps = 10,
        .world = 1,
        .batch = {30},
        .quiet = true,
    };
    return 0;
}

static int teardown(void **state)
{
    train_data_deinit(&data);
    return files_teardown(state);
}

/* Layer by layer as the rule, and else all at once; what is learnt is the same. */
static void train_run__without_overlap__sends_a_step_as_a_whole(void **state)
{
    (void)state;
    assert_int_equal(run(&fake.home), STEPD_OK);
    const struct train_result with = result;
    assert_int_equal(fake.parts_started, 10 * 3);
    fake_home_init(&fake);
    options.no_overlap = true;
    assert_int_equal(run(&fake.home), STEPD_OK);
    assert_int_equal(fake.parts_started, 10);
    assert_int_equal(result.steps, 10);
    assert_true(result.train_loss == with.train_loss && result.test_loss == with.test_loss);
}

/* As the server packs them. */
static void train_run__weights_that_share_a_slice__leave_together(void **state)
{
    (void)state;
    assert_int_equal(run(&fake.home), STEPD_OK);
    const struct train_result with = result;
    fake_home_init(&fake);
    fake.packs = true;
    assert_int_equal(run(&fake.home), STEPD_OK);
    assert_int_equal(fake.parts_started, 10);
    assert_true(result.train_loss == with.train_loss && result.test_loss == with.test_loss);
}

static void train_run__without_overlap__has_the_same_bits_in_this_process(void **state)
{
    (void)state;
    struct train_result with[2];
    for (size_t i = 0; i < 2; i++) {
        struct home *home;
        options.no_overlap = i == 1;
        options.eval_every = 3;
        assert_int_equal(home_local_create(&home, &error), STEPD_OK);
        assert_int_equal(run(home), STEPD_OK);
        with[i] = result;
    }
    assert_true(with[0].train_loss == with[1].train_loss);
    assert_true(with[0].test_loss == with[1].test_loss);
}

static void train_run__time__is_computing_and_waiting_but_for_the_rest(void **state)
{
    (void)state;
    assert_int_equal(run(&fake.home), STEPD_OK);
    assert_true(result.computing > 0 && result.waiting > 0);
    assert_true(result.computing + result.waiting <= result.seconds);
    assert_true(result.computing_cpu > 0 && result.computing_cpu <= result.cpu + 0.001);
}

/* What has left when the worker fails is given up with the home, which outlives it. */
static void train_run__failure_in_the_middle_of_a_step__ends_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        fake_home_init(&fake);
        options.no_overlap = i == 1;
        fake.fail_at_step = 3;
        assert_int_equal(run(&fake.home), STEPD_UNAVAILABLE);
        assert_string_equal(error.text, "push: the connection is lost");
        assert_int_equal(fake.parts_started, i == 1 ? 3 : 3 * 3 + 2);
        assert_true(fake.destroyed);
    }
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(train_run__without_overlap__sends_a_step_as_a_whole),
        IN_FOLDER(train_run__weights_that_share_a_slice__leave_together),
        IN_FOLDER(train_run__without_overlap__has_the_same_bits_in_this_process),
        IN_FOLDER(train_run__time__is_computing_and_waiting_but_for_the_rest),
        IN_FOLDER(train_run__failure_in_the_middle_of_a_step__ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
