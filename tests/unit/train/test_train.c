/* SPDX-License-Identifier: Apache-2.0
 *
 * The training loop against a made-up home (fake_home.h), and against the daemon's own core.
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

#include "client/train/home.h"
#include "client/train/train.h"
#include "proto/error.h"
#include "tests/unit/train/fake_home.h"
#include "tests/unit/train/files.h"

static struct fake_home fake;
static struct train_options options;
static struct train_data data;
static struct train_result result;
static struct stepd_error error;

/* Trains at a home, which goes to train_run. */
static enum stepd_status run(struct home *home)
{
    const struct train_task task = {.options = &options, .data = &data, .home = home, .title = ""};
    const enum stepd_status status = train_run(&task, &result, &error);
    if (status == STEPD_OK)
        curve_close(&result.curve);
    return status;
}

/* A data set of 100 examples, and options for a small net on it. */
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
        .schedule = "cosine",
        .epochs = 60,
        .world = 1,
        .batch = {30, 30},
        .quiet = true,
    };
    return 0;
}

static int teardown(void **state)
{
    train_data_deinit(&data);
    return files_teardown(state);
}

static void train_run__learnable_data__is_learnt(void **state)
{
    (void)state;
    assert_int_equal(run(&fake.home), STEPD_OK);
    assert_int_equal(result.steps, 60 * 4);
    assert_int_equal(result.examples, 60 * 100);
    assert_int_equal(fake.examples_sum, 60 * 100);
    assert_true(result.tested);
    assert_true(result.test_accuracy > 0.99);
    assert_true(result.test_loss < 0.3);
    assert_true(fake.left);
}

static void train_run__cosine_without_t_max__spans_the_run(void **state)
{
    (void)state;
    assert_int_equal(run(&fake.home), STEPD_OK);
    assert_true(fake.t_max == 60 * 4);
}

static void train_run__end__is_reported_before_leaving(void **state)
{
    (void)state;
    options.steps = 10;
    assert_int_equal(run(&fake.home), STEPD_OK);
    assert_int_equal(fake.reported, 10);
}

static void train_run__job_that_is_defined__sends_no_groups_and_has_its_mode(void **state)
{
    (void)state;
    options.defined = true;
    options.steps = 10;
    fake.version = 1000;
    fake.mode = STEPD_ASYNC;
    fake.t_max = 1;
    assert_int_equal(run(&fake.home), STEPD_OK);
    assert_true(isnan(fake.t_max));
    assert_int_equal(result.steps, 10);
}

static void train_run__job_that_is_ahead__takes_what_is_left(void **state)
{
    (void)state;
    options.steps = 10;
    fake.version = 7;
    assert_int_equal(run(&fake.home), STEPD_OK);
    assert_int_equal(result.steps, 3);
    assert_int_equal(fake.version, 10);
}

static void train_run__job_that_is_done__succeeds_with_no_step(void **state)
{
    (void)state;
    options.steps = 10;
    fake.version = 12;
    assert_int_equal(run(&fake.home), STEPD_OK);
    assert_int_equal(result.steps, 0);
    assert_true(fake.left);
}

static void train_run__async__counts_its_own_steps(void **state)
{
    (void)state;
    options.mode = STEPD_ASYNC;
    options.steps = 10;
    fake.version = 1000;
    assert_int_equal(run(&fake.home), STEPD_OK);
    assert_int_equal(result.steps, 10);
}

static void train_run__rank_without_examples__takes_part_with_empty_steps(void **state)
{
    (void)state;
    options.world = 2;
    options.batch[1] = 0;
    options.steps = 5;
    fake.rank = 1;
    assert_int_equal(run(&fake.home), STEPD_OK);
    assert_int_equal(result.steps, 5);
    assert_int_equal(fake.examples_sum, 0);
    assert_int_equal(result.examples_all, 30 + 30 + 30 + 10 + 30);
    assert_false(result.tested);
    assert_true(isnan(result.train_loss));
}

static void train_run__rank_0__writes_the_files(void **state)
{
    char paths[3][FILES_PATH_BYTES];
    files_path(*state, "loss.csv", paths[0]);
    files_path(*state, "loss.svg", paths[1]);
    files_path(*state, "weights.safetensors", paths[2]);
    options.csv = paths[0];
    options.plot = paths[1];
    options.save_weights = paths[2];
    options.steps = 5;
    assert_int_equal(run(&fake.home), STEPD_OK);
    static const char *const contents[] = {"\n5,2,", "</svg>\n", NULL};
    for (size_t i = 0; i < 3; i++) {
        char *text;
        const size_t size = files_read(paths[i], &text);
        assert_true(size > 500 || i == 0);
        if (contents[i] != NULL)
            assert_non_null(strstr(text, contents[i]));
        free(text);
    }
}

static void train_run__plot__names_the_optimizer_unless_the_server_chose_it(void **state)
{
    char path[FILES_PATH_BYTES];
    files_path(*state, "loss.svg", path);
    options.plot = path;
    options.steps = 5;
    for (size_t i = 0; i < 2; i++) {
        char *text;
        options.defined = i == 1;
        fake.version = 0;
        assert_int_equal(run(&fake.home), STEPD_OK);
        (void)files_read(path, &text);
        assert_true((strstr(text, "sgd, 1 worker,") != NULL) == !options.defined);
        assert_true((strstr(text, "as the server's file says, 1 worker,") != NULL) ==
                    options.defined);
        free(text);
    }
}

static void train_run__lost_connection__says_what_was_being_done(void **state)
{
    (void)state;
    fake.fail_at_step = 3;
    assert_int_equal(run(&fake.home), STEPD_UNAVAILABLE);
    assert_string_equal(error.text, "push: the connection is lost");
    assert_true(fake.destroyed);
}

/* With all weights 0, every class is as likely as the others. */
static void
train_run__evaluation__is_of_the_weights_and_training_goes_on_ahead_of_them(void **state)
{
    (void)state;
    fake.looks_ahead = true;
    options.steps = 30;
    options.eval_every = 10;
    assert_int_equal(run(&fake.home), STEPD_OK);
    assert_string_equal(fake.views, "tetete");
    assert_true(fabs(result.test_loss - log(10)) < 1e-6);
    assert_true(result.train_loss < 2);
}

static void train_run__schedule_by_the_loss__gets_it(void **state)
{
    (void)state;
    struct home *home;
    options.schedule = "plateau";
    options.steps = 10;
    assert_int_equal(home_local_create(&home, &error), STEPD_OK);
    assert_int_equal(run(home), STEPD_OK);
    assert_int_equal(result.steps, 10);
}

static void train_run__loss_that_is_no_number__ends_the_training_there(void **state)
{
    (void)state;
    fake.scale = 1e38f;
    assert_int_equal(run(&fake.home), STEPD_OK);
    assert_int_equal(result.diverged_at, 2);
    assert_int_equal(result.steps, 1);
    assert_int_equal(fake.steps_started, 1); /* nothing of it is sent */
    assert_true(fake.left);
    assert_false(result.tested);
}

static void train_run__gradient_that_is_no_number__ends_the_training_there(void **state)
{
    (void)state;
    fake.refuse_at_step = 3;
    fake.overflow = true;
    assert_int_equal(run(&fake.home), STEPD_OK);
    assert_int_equal(result.diverged_at, 4);
    assert_true(fake.left);
    assert_false(result.tested);
}

static void train_run__gradient_that_is_refused_for_another_reason__is_a_failure(void **state)
{
    (void)state;
    fake.refuse_at_step = 3;
    assert_int_equal(run(&fake.home), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "step: refused");
    assert_false(fake.left);
}

static void train_run__last_step_that_blows_up__is_found_by_the_test(void **state)
{
    (void)state;
    fake.scale = 1e38f;
    options.steps = 1;
    assert_int_equal(run(&fake.home), STEPD_OK);
    assert_int_equal(result.diverged_at, 1);
}

static void train_run__diverged__keeps_the_curve_and_writes_no_weights(void **state)
{
    char paths[2][FILES_PATH_BYTES];
    char *text;
    files_path(*state, "loss.csv", paths[0]);
    files_path(*state, "weights.safetensors", paths[1]);
    fake.scale = 1e38f;
    options.csv = paths[0];
    options.save_weights = paths[1];
    assert_int_equal(run(&fake.home), STEPD_OK);
    (void)files_read(paths[0], &text);
    assert_non_null(strstr(text, "\n1,1,"));
    assert_null(strstr(text, "\n2,1,"));
    free(text);
    assert_int_not_equal(access(paths[1], F_OK), 0);
}

static void train_run__told_to_stop__leaves_before_the_next_step(void **state)
{
    (void)state;
    const atomic_bool stop = true;
    const struct train_task task = {
        .options = &options, .data = &data, .home = &fake.home, .stop = &stop, .title = ""};
    assert_int_equal(train_run(&task, &result, &error), STEPD_OK);
    curve_close(&result.curve);
    assert_int_equal(result.steps, 0);
    assert_true(fake.left);
}

static void train_run__curve__is_handed_out(void **state)
{
    (void)state;
    const struct train_task task = {
        .options = &options, .data = &data, .home = &fake.home, .title = ""};
    options.steps = 7;
    assert_int_equal(train_run(&task, &result, &error), STEPD_OK);
    assert_int_equal(result.curve.count, 7);
    assert_int_equal(result.curve.points[6].step, 7);
    assert_true(result.curve.points[6].loss == fake.loss);
    curve_close(&result.curve);
}

static void train_run__rank_beyond_the_world__is_refused(void **state)
{
    (void)state;
    fake.rank = 1;
    assert_int_equal(run(&fake.home), STEPD_FAILED_PRECONDITION);
    assert_string_equal(error.text, "the server gave rank 1, but --world is 1");
}

/* The daemon's own core, as --local has it: AdamW at its defaults. */
static void train_run__home_in_this_process__learns(void **state)
{
    (void)state;
    struct home *home;
    options.recipe = (struct train_recipe){
        .optimizer = "adamw", .hyper = {.count = 1, .param = {{.name = "lr", .value = 0.01}}}};
    assert_int_equal(home_local_create(&home, &error), STEPD_OK);
    assert_int_equal(run(home), STEPD_OK);
    assert_int_equal(result.steps, 60 * 4);
    assert_true(result.test_accuracy > 0.99);
}

static void home_local__each_step__raises_the_version(void **state)
{
    (void)state;
    const struct stepd_param_group group = {.match = "*", .optimizer = "sgd"};
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    job.groups = &group;
    job.groups_count = 1;
    const uint64_t shape[] = {3};
    const struct stepd_tensor tensor = {.name = "w", .shape = shape, .dims = 1};
    const float grad[3] = {1, 2, 3};
    float weights[3];
    const struct stepd_array array = {.grad = grad, .weights = weights};
    struct home *home;
    assert_int_equal(home_local_create(&home, &error), STEPD_OK);
    assert_int_equal(home_define(home, &job, &tensor, 1, &error), STEPD_OK);
    uint64_t version = UINT64_MAX;
    assert_int_equal(home_pull(home, STEPD_TRAINING, &array, 1, &version, &error), STEPD_OK);
    assert_int_equal(version, 0);
    for (uint64_t step = 1; step <= 3; step++) {
        const struct home_step taken = {.examples = 10};
        assert_int_equal(home_step_start(home, 0, &array, 1, &taken, &error), STEPD_OK);
        assert_int_equal(home_step_wait(home, 0, &version, &error), STEPD_OK);
        assert_int_equal(version, step);
        assert_true(weights[0] < 0 && weights[2] < weights[0]);
    }
    home_destroy(home);
}

/* In Nesterov's interim form gradients are taken ahead of the weights, at w + mu v. */
static void home_local__optimizer_that_looks_ahead__gives_each_view_its_weights(void **state)
{
    (void)state;
    const struct stepd_param params[] = {{.name = "lr", .value = 0.5},
                                         {.name = "momentum", .value = 0.5},
                                         {.name = "form", .word = "interim"}};
    const struct stepd_param_group group = {
        .match = "*", .optimizer = "nesterov", .params = params, .params_count = 3};
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    job.groups = &group;
    job.groups_count = 1;
    const struct stepd_tensor tensor = {.name = "w"};
    const float grad = 1;
    float weight = 0;
    const struct stepd_array array = {.grad = &grad, .weights = &weight};
    const struct home_step step = {.examples = 1, .has_loss = true, .loss = 2};
    uint64_t version = 0;
    struct home *home;
    assert_int_equal(home_local_create(&home, &error), STEPD_OK);
    assert_int_equal(home_define(home, &job, &tensor, 1, &error), STEPD_OK);
    assert_int_equal(home_step_start(home, 0, &array, 1, &step, &error), STEPD_OK);
    assert_int_equal(home_step_wait(home, 0, &version, &error), STEPD_OK);
    assert_true(weight == -0.75f); /* v = -0.5 */
    assert_int_equal(home_pull(home, STEPD_EVALUATION, &array, 1, &version, &error), STEPD_OK);
    assert_true(weight == -0.5f);
    assert_int_equal(home_pull(home, STEPD_TRAINING, &array, 1, &version, &error), STEPD_OK);
    assert_true(weight == -0.75f);
    home_destroy(home);
}

static void train_run__view_that_nobody_keeps__is_refused_before_the_first_step(void **state)
{
    (void)state;
    struct home *home;
    options.eval_view = STEPD_EMA;
    assert_int_equal(home_local_create(&home, &error), STEPD_OK);
    assert_int_equal(run(home), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "keeps no exponential moving average"));
    assert_non_null(strstr(error.text, "ema_decay"));
    fake.views[0] = '\0';
    assert_int_equal(run(&fake.home), STEPD_OK);
    assert_string_equal(fake.views, "ete"); /* asked for at once */
}

static void train_run__mean_of_the_weights__is_what_is_tested(void **state)
{
    (void)state;
    struct home *home;
    assert_int_equal(home_local_create(&home, &error), STEPD_OK);
    assert_int_equal(run(home), STEPD_OK);
    const struct train_result plain = result;
    options.eval_view = STEPD_EMA;
    assert_int_equal(params_set("ema_decay", 0.999, &options.recipe.hyper, &error), STEPD_OK);
    assert_int_equal(home_local_create(&home, &error), STEPD_OK);
    assert_int_equal(run(home), STEPD_OK);
    assert_true(result.train_loss == plain.train_loss);
    assert_true(result.test_loss > plain.test_loss); /* it lags behind */
}

static void train_run__optimizer_that_is_unknown__says_so_at_the_definition(void **state)
{
    (void)state;
    struct home *home;
    options.recipe = (struct train_recipe){.optimizer = "adamx"};
    assert_int_equal(home_local_create(&home, &error), STEPD_OK);
    assert_int_not_equal(run(home), STEPD_OK);
    assert_non_null(strstr(error.text, "define: "));
    assert_non_null(strstr(error.text, "adamx"));
}

static void train_run__linear_and_softmax__learn_as_well(void **state)
{
    (void)state;
    static const char *const models[] = {"linear", "softmax"};
    for (size_t i = 0; i < 2; i++) {
        options.model = models[i];
        fake.version = 0;
        assert_int_equal(run(&fake.home), STEPD_OK);
        assert_true(result.test_accuracy > 0.45);
    }
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(train_run__learnable_data__is_learnt),
        IN_FOLDER(train_run__cosine_without_t_max__spans_the_run),
        IN_FOLDER(train_run__end__is_reported_before_leaving),
        IN_FOLDER(train_run__job_that_is_defined__sends_no_groups_and_has_its_mode),
        IN_FOLDER(train_run__job_that_is_ahead__takes_what_is_left),
        IN_FOLDER(train_run__job_that_is_done__succeeds_with_no_step),
        IN_FOLDER(train_run__async__counts_its_own_steps),
        IN_FOLDER(train_run__rank_without_examples__takes_part_with_empty_steps),
        IN_FOLDER(train_run__rank_0__writes_the_files),
        IN_FOLDER(train_run__plot__names_the_optimizer_unless_the_server_chose_it),
        IN_FOLDER(train_run__lost_connection__says_what_was_being_done),
        IN_FOLDER(train_run__evaluation__is_of_the_weights_and_training_goes_on_ahead_of_them),
        IN_FOLDER(train_run__schedule_by_the_loss__gets_it),
        IN_FOLDER(train_run__loss_that_is_no_number__ends_the_training_there),
        IN_FOLDER(train_run__gradient_that_is_no_number__ends_the_training_there),
        IN_FOLDER(train_run__gradient_that_is_refused_for_another_reason__is_a_failure),
        IN_FOLDER(train_run__last_step_that_blows_up__is_found_by_the_test),
        IN_FOLDER(train_run__diverged__keeps_the_curve_and_writes_no_weights),
        IN_FOLDER(train_run__told_to_stop__leaves_before_the_next_step),
        IN_FOLDER(train_run__curve__is_handed_out),
        IN_FOLDER(train_run__rank_beyond_the_world__is_refused),
        IN_FOLDER(train_run__home_in_this_process__learns),
        cmocka_unit_test(home_local__each_step__raises_the_version),
        cmocka_unit_test(home_local__optimizer_that_looks_ahead__gives_each_view_its_weights),
        IN_FOLDER(train_run__view_that_nobody_keeps__is_refused_before_the_first_step),
        IN_FOLDER(train_run__mean_of_the_weights__is_what_is_tested),
        IN_FOLDER(train_run__optimizer_that_is_unknown__says_so_at_the_definition),
        IN_FOLDER(train_run__linear_and_softmax__learn_as_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
