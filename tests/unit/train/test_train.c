/* SPDX-License-Identifier: Apache-2.0
 *
 * The training loop against a home that is made up here: plain gradient descent in memory, which
 * writes new weights as late as it may, checks that it is used as home.h says, and can be told to
 * be ahead, or to fail.
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

#include "client/train/home.h"
#include "client/train/train.h"
#include "proto/error.h"
#include "tests/unit/train/files.h"

#define TENSORS_MOST 8u
#define VALUES_MOST  256u

struct fake_home {
    struct home home; /* first */
    uint32_t rank;
    uint64_t version;      /* of all weights */
    uint64_t fail_at_step; /* UINT64_MAX: never */
    double t_max;          /* what the definition said; NAN: nothing */
    size_t tensors;
    size_t size[TENSORS_MOST];
    float weights[TENSORS_MOST][VALUES_MOST];
    const struct stepd_array *under_way[HOME_PARTS_MAX];
    uint64_t examples[HOME_PARTS_MAX];
    uint64_t steps_started;
    uint64_t examples_sum;
    enum stepd_mode mode;
    uint64_t reported; /* step */
    double loss;       /* of the newest step; NAN: none */
    bool looks_ahead;  /* the weights to test are all 0 */
    char views[64];    /* what was pulled: 't' raining, 'e' valuation */
    bool left;
    bool destroyed;
};

static struct fake_home *fake_of(struct home *home)
{
    return (struct fake_home *)home;
}

static uint32_t fake_rank(const struct home *home)
{
    return ((const struct fake_home *)home)->rank;
}

static enum stepd_status fake_define(struct home *home, const struct stepd_job_options *job,
                                     const struct stepd_tensor *tensors, size_t count,
                                     struct stepd_error *reterr)
{
    (void)reterr;
    struct fake_home *const fake = fake_of(home);
    fake->t_max = NAN;
    fake->left = false;
    fake->destroyed = false;
    fake->views[0] = '\0';
    if (job != NULL)
        assert_int_equal(job->groups_count, 1);
    for (size_t i = 0; job != NULL && i < job->groups[0].schedule_params_count; i++)
        if (strcmp(job->groups[0].schedule_params[i].name, "t_max") == 0)
            fake->t_max = job->groups[0].schedule_params[i].value;
    assert_true(count <= TENSORS_MOST);
    fake->tensors = count;
    for (size_t i = 0; i < count; i++) {
        fake->size[i] = 1;
        for (size_t d = 0; d < tensors[i].dims; d++)
            fake->size[i] *= tensors[i].shape[d];
        assert_true(fake->size[i] <= VALUES_MOST);
        for (size_t k = 0; k < fake->size[i]; k++) /* something in [a, b), different everywhere */
            fake->weights[i][k] = (float)(tensors[i].a + (tensors[i].b - tensors[i].a) *
                                                             (double)(k * 37 % 101) / 101.0);
    }
    return STEPD_OK;
}

static void give_weights(const struct fake_home *fake, const struct stepd_array *arrays,
                         size_t count)
{
    for (size_t i = 0; i < count; i++)
        memcpy(arrays[i].weights, fake->weights[arrays[i].tensor],
               fake->size[arrays[i].tensor] * sizeof(float));
}

static enum stepd_status fake_pull(struct home *home, enum stepd_view view,
                                   const struct stepd_array *arrays, size_t count,
                                   uint64_t *ret_version, struct stepd_error *reterr)
{
    (void)reterr;
    struct fake_home *const fake = fake_of(home);
    const size_t pulls = strlen(fake->views);
    assert_true(pulls + 1 < sizeof fake->views);
    fake->views[pulls] = view == STEPD_TRAINING ? 't' : 'e';
    fake->views[pulls + 1] = '\0';
    give_weights(fake, arrays, count);
    for (size_t i = 0; i < count && fake->looks_ahead && view == STEPD_EVALUATION; i++)
        memset(arrays[i].weights, 0, fake->size[arrays[i].tensor] * sizeof(float));
    *ret_version = fake->version;
    return STEPD_OK;
}

/* All parts of a step say the same of it, and a loss wherever there are examples. */
static void note_loss(struct fake_home *fake, size_t part, const struct home_step *step)
{
    assert_true(step->has_loss == (step->examples > 0));
    if (part + 1 == fake->tensors / 2)
        fake->loss = step->has_loss ? step->loss : (double)NAN;
    else if (step->has_loss)
        assert_true(step->loss == fake->loss);
}

static enum stepd_status fake_step_start(struct home *home, size_t part,
                                         const struct stepd_array *arrays, size_t count,
                                         const struct home_step *step, struct stepd_error *reterr)
{
    struct fake_home *const fake = fake_of(home);
    assert_int_equal(count, 2);
    assert_null(fake->under_way[part]);
    if (part == 0 && fake->steps_started == fake->fail_at_step) /* the others are on their way */
        return stepd_fail(reterr, STEPD_UNAVAILABLE, "the connection is lost");
    fake->under_way[part] = arrays;
    fake->examples[part] = step->examples;
    note_loss(fake, part, step);
    if (part == 0) {
        fake->steps_started++;
        fake->examples_sum += step->examples;
    }
    return STEPD_OK;
}

/* Reads the gradients now: who wrote over them after the start is found out by not learning. */
static enum stepd_status fake_step_wait(struct home *home, size_t part, uint64_t *ret_version,
                                        struct stepd_error *reterr)
{
    (void)reterr;
    struct fake_home *const fake = fake_of(home);
    const struct stepd_array *const arrays = fake->under_way[part];
    assert_non_null(arrays);
    fake->under_way[part] = NULL;
    for (size_t i = 0; i < 2 && fake->examples[part] > 0; i++)
        for (size_t k = 0; k < fake->size[arrays[i].tensor]; k++)
            fake->weights[arrays[i].tensor][k] -= 0.5f * arrays[i].grad[k];
    give_weights(fake, arrays, 2);
    if (part == 0)
        fake->version++;
    *ret_version = fake->version;
    return STEPD_OK;
}

static enum stepd_mode fake_mode(const struct home *home)
{
    return ((const struct fake_home *)home)->mode;
}

static enum stepd_status fake_report(struct home *home, uint64_t step, double loss,
                                     uint64_t examples, struct stepd_error *reterr)
{
    (void)examples;
    (void)reterr;
    assert_true(loss == fake_of(home)->loss);
    assert_false(fake_of(home)->left);
    fake_of(home)->reported = step;
    return STEPD_OK;
}

static enum stepd_status fake_leave(struct home *home, struct stepd_error *reterr)
{
    (void)reterr;
    for (size_t part = 0; part < HOME_PARTS_MAX; part++)
        assert_null(fake_of(home)->under_way[part]);
    fake_of(home)->left = true;
    return STEPD_OK;
}

/* Whoever still waits for weights gets them now. */
static struct home *fake_destroy(struct home *home)
{
    struct fake_home *const fake = fake_of(home);
    for (size_t part = 0; part < HOME_PARTS_MAX; part++)
        if (fake->under_way[part] != NULL)
            give_weights(fake, fake->under_way[part], 2);
    fake->destroyed = true;
    return NULL;
}

static const struct home_kind fake_kind = {
    .rank = fake_rank,
    .mode = fake_mode,
    .define = fake_define,
    .pull = fake_pull,
    .step_start = fake_step_start,
    .step_wait = fake_step_wait,
    .report = fake_report,
    .leave = fake_leave,
    .destroy = fake_destroy,
};

static struct fake_home fake;
static struct train_options options;
static struct train_result result;
static struct stepd_error error;

/* A data set of 100 examples, and options for a small net on it. */
static int setup(void **state)
{
    files_setup(state);
    files_write_dataset(*state, 100, 50);
    fake = (struct fake_home){.home.kind = &fake_kind, .fail_at_step = UINT64_MAX};
    options = (struct train_options){
        .job = "test",
        .model = "mlp:4-16-10",
        .data = *state,
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

static void train_run__learnable_data__is_learnt(void **state)
{
    (void)state;
    assert_int_equal(train_run(&options, &fake.home, &result, &error), STEPD_OK);
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
    assert_int_equal(train_run(&options, &fake.home, &result, &error), STEPD_OK);
    assert_true(fake.t_max == 60 * 4);
}

static void train_run__end__is_reported_before_leaving(void **state)
{
    (void)state;
    options.steps = 10;
    assert_int_equal(train_run(&options, &fake.home, &result, &error), STEPD_OK);
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
    assert_int_equal(train_run(&options, &fake.home, &result, &error), STEPD_OK);
    assert_true(isnan(fake.t_max));
    assert_int_equal(result.steps, 10);
}

static void train_run__job_that_is_ahead__takes_what_is_left(void **state)
{
    (void)state;
    options.steps = 10;
    fake.version = 7;
    assert_int_equal(train_run(&options, &fake.home, &result, &error), STEPD_OK);
    assert_int_equal(result.steps, 3);
    assert_int_equal(fake.version, 10);
}

static void train_run__job_that_is_done__succeeds_with_no_step(void **state)
{
    (void)state;
    options.steps = 10;
    fake.version = 12;
    assert_int_equal(train_run(&options, &fake.home, &result, &error), STEPD_OK);
    assert_int_equal(result.steps, 0);
    assert_true(fake.left);
}

static void train_run__async__counts_its_own_steps(void **state)
{
    (void)state;
    options.mode = STEPD_ASYNC;
    options.steps = 10;
    fake.version = 1000;
    assert_int_equal(train_run(&options, &fake.home, &result, &error), STEPD_OK);
    assert_int_equal(result.steps, 10);
}

static void train_run__rank_without_examples__takes_part_with_empty_steps(void **state)
{
    (void)state;
    options.world = 2;
    options.batch[1] = 0;
    options.steps = 5;
    fake.rank = 1;
    assert_int_equal(train_run(&options, &fake.home, &result, &error), STEPD_OK);
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
    assert_int_equal(train_run(&options, &fake.home, &result, &error), STEPD_OK);
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
        assert_int_equal(train_run(&options, &fake.home, &result, &error), STEPD_OK);
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
    assert_int_equal(train_run(&options, &fake.home, &result, &error), STEPD_UNAVAILABLE);
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
    assert_int_equal(train_run(&options, &fake.home, &result, &error), STEPD_OK);
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
    assert_int_equal(train_run(&options, home, &result, &error), STEPD_OK);
    assert_int_equal(result.steps, 10);
}

static void train_run__rank_beyond_the_world__is_refused(void **state)
{
    (void)state;
    fake.rank = 1;
    assert_int_equal(train_run(&options, &fake.home, &result, &error), STEPD_FAILED_PRECONDITION);
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
    assert_int_equal(train_run(&options, home, &result, &error), STEPD_OK);
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
    assert_int_equal(train_run(&options, home, &result, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "keeps no exponential moving average"));
    assert_non_null(strstr(error.text, "ema_decay"));
    fake.views[0] = '\0';
    assert_int_equal(train_run(&options, &fake.home, &result, &error), STEPD_OK);
    assert_string_equal(fake.views, "ete"); /* asked for at once */
}

static void train_run__mean_of_the_weights__is_what_is_tested(void **state)
{
    (void)state;
    struct home *home;
    struct train_result plain;
    assert_int_equal(home_local_create(&home, &error), STEPD_OK);
    assert_int_equal(train_run(&options, home, &plain, &error), STEPD_OK);
    options.eval_view = STEPD_EMA;
    assert_int_equal(params_set("ema_decay", 0.999, &options.recipe.hyper, &error), STEPD_OK);
    assert_int_equal(home_local_create(&home, &error), STEPD_OK);
    assert_int_equal(train_run(&options, home, &result, &error), STEPD_OK);
    assert_true(result.train_loss == plain.train_loss);
    assert_true(result.test_loss > plain.test_loss); /* it lags behind */
}

static void train_run__optimizer_that_is_unknown__says_so_at_the_definition(void **state)
{
    (void)state;
    struct home *home;
    options.recipe = (struct train_recipe){.optimizer = "adamx"};
    assert_int_equal(home_local_create(&home, &error), STEPD_OK);
    assert_int_not_equal(train_run(&options, home, &result, &error), STEPD_OK);
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
        assert_int_equal(train_run(&options, &fake.home, &result, &error), STEPD_OK);
        assert_true(result.test_accuracy > 0.45);
    }
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, files_teardown)

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
