/* SPDX-License-Identifier: Apache-2.0
 *
 * Views of the weights over the wire: the point that gradients are computed at and the weights
 * themselves, averages, and who asks for what is not kept.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/integration/pair.h"

#define W(...)                                                                                     \
    (const float[])                                                                                \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

static const struct stepd_param lr_1 = {.name = "lr", .value = 1};

/* Algorithm 8.3 with epsilon 1/2 and alpha 1/2: theta + alpha v is ahead of theta. */
static void define_interim(struct pair *pair)
{
    static const struct stepd_param params[] = {
        {.name = "preset", .word = "lecture"},
        {.name = "lr", .value = 0.5},
        {.name = "momentum", .value = 0.5},
    };
    const struct stepd_param_group group = {
        .match = "*", .optimizer = "nesterov", .params = params, .params_count = 3};
    pair_define_one(pair, &group);
}

static void interim__steps_of_one_round__fetch_the_view_that_each_asks_for(void **state)
{
    struct pair *const pair = *state;
    define_interim(pair);
    pair->worker[1].options.view = STEPD_EVALUATION;
    pair_round(pair); /* v = -1/2 */
    assert_true(pair->worker[0].weights[0] == -0.75F);
    assert_true(pair->worker[1].weights[0] == -0.5F);
    pair_round(pair); /* v = -3/4 */
    assert_true(pair->worker[0].weights[0] == -1.625F);
    assert_true(pair->worker[1].weights[0] == -1.25F);
}

static void interim__pulls__hand_out_the_point_or_the_weights(void **state)
{
    struct pair *const pair = *state;
    define_interim(pair);
    pair_expect_view(pair, 0, STEPD_TRAINING, W(0));
    pair_round(pair);
    pair_expect_view(pair, 0, STEPD_TRAINING, W(-0.75F));
    pair_expect_view(pair, 0, STEPD_EVALUATION, W(-0.5F));
}

static void ema__view__follows_the_weights(void **state)
{
    struct pair *const pair = *state;
    static const struct stepd_param params[] = {{.name = "lr", .value = 1},
                                                {.name = "ema_decay", .value = 0.5}};
    const struct stepd_param_group group = {
        .match = "*", .optimizer = "sgd", .params = params, .params_count = 2};
    static const float averages[] = {-1, -1.5F, -2.25F};
    pair_define_one(pair, &group);
    pair_expect_view(pair, 0, STEPD_EMA, W(0));
    for (size_t i = 0; i < 3; i++) {
        pair_round(pair);
        pair_expect_view(pair, i % 2, STEPD_EMA, &averages[i]);
    }
    pair_expect_view(pair, 0, STEPD_TRAINING, W(-3));
}

/* Updates 2 and 4 are averaged. */
static void swa__view__is_the_mean_from_its_start_on(void **state)
{
    struct pair *const pair = *state;
    static const struct stepd_param params[] = {{.name = "lr", .value = 1},
                                                {.name = "swa_start", .value = 2},
                                                {.name = "swa_every", .value = 2}};
    const struct stepd_param_group group = {
        .match = "*", .optimizer = "sgd", .params = params, .params_count = 3};
    static const float means[] = {-1, -2, -2, -3};
    pair_define_one(pair, &group);
    for (size_t i = 0; i < 4; i++) {
        pair_round(pair);
        pair_expect_view(pair, 0, STEPD_SWA, &means[i]);
    }
}

static void view__in_16_bits_by_an_observer__is_the_average(void **state)
{
    struct pair *const pair = *state;
    static const struct stepd_param params[] = {{.name = "lr", .value = 1},
                                                {.name = "ema_decay", .value = 0.5}};
    const struct stepd_param_group group = {
        .match = "*", .optimizer = "sgd", .params = params, .params_count = 2};
    struct stepd_options options = STEPD_OPTIONS_INIT;
    struct stepd_step_options view = STEPD_STEP_OPTIONS_INIT;
    struct stepd_client *observer = NULL;
    float w = 0;
    const struct stepd_array array = {.tensor = 0, .weights = &w};
    char address[32];
    pair_define_one(pair, &group);
    pair_round(pair);
    pair_round(pair);
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)pair->daemon.port);
    options.address = address;
    options.job = "pair";
    options.observer = true;
    options.pull_dtype = STEPD_BF16;
    view.view = STEPD_EMA;
    view.min_version = 2;
    assert_int_equal(stepd_connect(&options, &observer, &pair->error), STEPD_OK);
    assert_int_equal(stepd_attach(observer, 0, &pair->error), STEPD_OK);
    assert_int_equal(stepd_pull(observer, &array, 1, &view, &pair->error), STEPD_OK);
    (void)stepd_close(observer);
    assert_true(w == -1.5F);
}

/* ---- Views that are not kept ----------------------------------------------------------------- */

static enum stepd_status pull(struct pair *pair, enum stepd_view view)
{
    struct pair_worker *const worker = &pair->worker[0];
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    options.view = view;
    return stepd_pull(worker->client, worker->arrays, 1, &options, &pair->error);
}

static void view__that_the_group_does_not_keep__is_refused_with_the_remedy(void **state)
{
    struct pair *const pair = *state;
    const struct stepd_param_group group = {
        .match = "*", .optimizer = "sgd", .params = &lr_1, .params_count = 1};
    pair_define_one(pair, &group);
    assert_int_equal(pull(pair, STEPD_EMA), STEPD_INVALID_ARGUMENT);
    pair_expect_text(pair, "tensor 'w': group '*' keeps no exponential moving average");
    pair_expect_text(pair, "set ema_decay in the group");
    assert_int_equal(pull(pair, STEPD_SWA), STEPD_INVALID_ARGUMENT);
    pair_expect_text(pair, "set swa_start in the group");
}

/* Nothing of a step that is refused counts, and the round closes when it is made again. */
static void step__with_a_view_that_is_not_kept__can_be_made_again(void **state)
{
    struct pair *const pair = *state;
    const struct stepd_param_group group = {
        .match = "*", .optimizer = "sgd", .params = &lr_1, .params_count = 1};
    pair_define_one(pair, &group);
    struct pair_worker *const worker = &pair->worker[0];
    worker->options.view = STEPD_EMA;
    assert_int_equal(stepd_step(worker->client, worker->arrays, 1, &worker->options, &pair->error),
                     STEPD_INVALID_ARGUMENT);
    worker->options.view = STEPD_TRAINING;
    pair_expect_rounds(pair, 1, W(-1));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pair_set_up, pair_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(interim__steps_of_one_round__fetch_the_view_that_each_asks_for),
        TEST(interim__pulls__hand_out_the_point_or_the_weights),
        TEST(ema__view__follows_the_weights),
        TEST(swa__view__is_the_mean_from_its_start_on),
        TEST(view__in_16_bits_by_an_observer__is_the_average),
        TEST(view__that_the_group_does_not_keep__is_refused_with_the_remedy),
        TEST(step__with_a_view_that_is_not_kept__can_be_made_again),
    };
    return cmocka_run_group_tests_name("training_views", tests, NULL, NULL);
}
