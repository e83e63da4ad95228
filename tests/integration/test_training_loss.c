/* SPDX-License-Identifier: Apache-2.0
 *
 * What a push carries beside the gradient, and what comes of it: the loss, which a schedule acts
 * on, the factor that gradient and Hessian were multiplied by, and the Hessian, with which Newton's
 * method solves a linear regression in one step.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/integration/pair.h"

/* ---- Losses ---------------------------------------------------------------------------------- */

/* The learning rate is 1, and halves when the loss of a round is no better than the best. */
static void define_plateau(struct pair *pair)
{
    static const struct stepd_param lr = {.name = "lr", .value = 1};
    static const struct stepd_param plateau[] = {
        {.name = "factor", .value = 0.5},
        {.name = "patience", .value = 0},
        {.name = "threshold", .value = 0},
        {.name = "mode", .word = "min"},
    };
    const struct stepd_param_group group = {
        .match = "*",
        .optimizer = "sgd",
        .params = &lr,
        .params_count = 1,
        .schedule = "plateau",
        .schedule_params = plateau,
        .schedule_params_count = 4,
    };
    pair_define_one(pair, &group);
    pair->worker[0].options.examples = 1;
    pair->worker[1].options.examples = 3;
    pair->worker[0].options.has_loss = true;
    pair->worker[1].options.has_loss = true;
}

static void set_losses(struct pair *pair, double first, double second)
{
    pair->worker[0].options.loss = first;
    pair->worker[1].options.loss = second;
}

/* The mean is over examples: by it round 2 is better than round 1, and by no other measure. */
static void plateau__mean_loss_that_gets_worse__halves_the_next_step(void **state)
{
    struct pair *const pair = *state;
    define_plateau(pair);
    set_losses(pair, 1, 3); /* 2.5 */
    pair_expect_rounds(pair, 1, (const float[]){-1});
    set_losses(pair, 9, 0.2); /* 2.4 */
    pair_expect_rounds(pair, 1, (const float[]){-2});
    set_losses(pair, 0, 4); /* 3 */
    pair_expect_rounds(pair, 1, (const float[]){-3});
    set_losses(pair, 0, 0);
    pair_expect_rounds(pair, 2, (const float[]){-3.5F, -4});
}

/* A worker that has nothing to say needs no loss, and one that it sends does not count. */
static void plateau__loss_of_an_empty_push__does_not_count(void **state)
{
    struct pair *const pair = *state;
    define_plateau(pair);
    set_losses(pair, 2, 2);
    pair_expect_rounds(pair, 1, (const float[]){-1});
    set_losses(pair, 100, 1);
    pair->worker[0].options.examples = 0;
    pair_expect_rounds(pair, 1, (const float[]){-2});
    pair->worker[0].options.has_loss = false;
    set_losses(pair, 0, 0.5);
    pair_expect_rounds(pair, 1, (const float[]){-3});
}

static void plateau__push_without_a_loss__is_refused_and_can_be_made_again(void **state)
{
    struct pair *const pair = *state;
    define_plateau(pair);
    struct pair_worker *const worker = &pair->worker[1];
    worker->options.has_loss = false;
    assert_int_equal(stepd_step(worker->client, worker->arrays, 1, &worker->options, &pair->error),
                     STEPD_INVALID_ARGUMENT);
    pair_expect_text(pair, "group '*' takes its step by the loss (plateau)");
    worker->options.has_loss = true;
    pair_expect_rounds(pair, 1, (const float[]){-1});
}

/* ---- Loss scale ------------------------------------------------------------------------------ */

static void define_sgd(struct pair *pair)
{
    static const struct stepd_param lr = {.name = "lr", .value = 0.5};
    const struct stepd_param_group group = {
        .match = "*", .optimizer = "sgd", .params = &lr, .params_count = 1};
    pair_define_one(pair, &group);
}

/* Each worker has a factor of its own. */
static void loss_scale__of_each_worker__is_taken_out_again(void **state)
{
    struct pair *const pair = *state;
    define_sgd(pair);
    pair->worker[0].grad[0] = 3 * 65536;
    pair->worker[0].options.loss_scale = 65536;
    pair->worker[1].grad[0] = 0.25F;
    pair->worker[1].options.loss_scale = 0.25;
    pair_expect_rounds(pair, 1, (const float[]){-1}); /* the mean of 3 and 1, times 1/2 */
}

/* The division comes before the look for infinities. */
static void loss_scale__that_makes_an_infinity__is_refused_and_can_be_made_again(void **state)
{
    struct pair *const pair = *state;
    define_sgd(pair);
    struct pair_worker *const worker = &pair->worker[0];
    worker->grad[0] = 0x1p100F;
    worker->options.loss_scale = 0x1p-100;
    assert_int_equal(stepd_step(worker->client, worker->arrays, 1, &worker->options, &pair->error),
                     STEPD_INVALID_ARGUMENT);
    pair_expect_text(pair, "the gradient of tensor 'w' from rank 0");
    worker->grad[0] = 1;
    worker->options.loss_scale = 1;
    pair_expect_rounds(pair, 1, (const float[]){-0.5F});
}

/* ---- Hessians -------------------------------------------------------------------------------- */

enum { FEATURES = 2, WEIGHTS = FEATURES + 1, EXAMPLES = 8 };

/* y = 2 x0 - x1 + 1/2, without noise; the last input is the constant 1. */
static const double inputs[EXAMPLES][WEIGHTS] = {
    {1, 0, 1}, {0, 1, 1}, {2, 1, 1}, {-1, 3, 1}, {0.5, -2, 1}, {4, 4, 1}, {-3, 1, 1}, {1, -1, 1},
};
static const float solution[WEIGHTS] = {2, -1, 0.5F};

static double output(const double *x)
{
    double y = 0;
    for (size_t i = 0; i < WEIGHTS; i++)
        y += (double)solution[i] * x[i];
    return y;
}

/* Gradient and Hessian of the mean of (x.w - y)^2 / 2 over a worker's examples, times its scale. */
static void differentiate(struct pair_worker *worker, size_t first, size_t count, float *hessian)
{
    const double scale = worker->options.loss_scale;
    double g[WEIGHTS] = {0};
    double h[WEIGHTS * WEIGHTS] = {0};
    for (size_t k = first; k < first + count; k++) {
        double off = -output(inputs[k]);
        for (size_t i = 0; i < WEIGHTS; i++)
            off += (double)worker->weights[i] * inputs[k][i];
        for (size_t i = 0; i < WEIGHTS; i++) {
            g[i] += off * inputs[k][i] / (double)count;
            for (size_t j = 0; j < WEIGHTS; j++)
                h[i * WEIGHTS + j] += inputs[k][i] * inputs[k][j] / (double)count;
        }
    }
    for (size_t i = 0; i < WEIGHTS; i++)
        worker->grad[i] = (float)(g[i] * scale);
    for (size_t i = 0; i < WEIGHTS * WEIGHTS; i++)
        hessian[i] = (float)(h[i] * scale);
    worker->options.examples = count;
}

/* Two tensors of one group, so that the Hessian goes over both. */
static void define_newton(struct pair *pair)
{
    static const uint64_t shape[] = {FEATURES};
    static const struct stepd_tensor tensors[] = {
        {.name = "weight", .shape = shape, .dims = 1, .a = 7}, {.name = "bias", .a = -3}};
    static const struct stepd_param_group group = {
        .name = "line", .match = "*", .optimizer = "newton"};
    pair_define_groups(pair, &group, 1, tensors, 2);
}

static float hessians[PAIR_WORKERS][WEIGHTS * WEIGHTS];
static const struct stepd_hessian of_line[PAIR_WORKERS] = {
    {.tensor = 0, .values = hessians[0]},
    {.tensor = 0, .values = hessians[1]},
};

/* Of 5 and 3 examples, the second worker's scaled. */
static void bring_hessians(struct pair *pair)
{
    for (size_t i = 0; i < PAIR_WORKERS; i++) {
        pair->worker[i].options.loss_scale = i == 0 ? 1 : 1024;
        pair->worker[i].options.hessians = &of_line[i];
        pair->worker[i].options.hessians_count = 1;
    }
    differentiate(&pair->worker[0], 0, 5, hessians[0]);
    differentiate(&pair->worker[1], 5, 3, hessians[1]);
}

static void newton__linear_regression__is_solved_in_one_step(void **state)
{
    struct pair *const pair = *state;
    define_newton(pair);
    bring_hessians(pair);
    pair_round(pair);
    for (size_t i = 0; i < WEIGHTS; i++)
        assert_true(fabsf(pair->worker[i % PAIR_WORKERS].weights[i] - solution[i]) < 1e-5F);
}

static void newton__hessian_with_a_nan__is_refused_by_row_and_column(void **state)
{
    struct pair *const pair = *state;
    define_newton(pair);
    bring_hessians(pair);
    struct pair_worker *const worker = &pair->worker[1];
    hessians[1][1 * WEIGHTS + 2] = NAN;
    assert_int_equal(stepd_step(worker->client, worker->arrays, 2, &worker->options, &pair->error),
                     STEPD_INVALID_ARGUMENT);
    pair_expect_text(pair, "the Hessian of group 'line' from rank 1");
    pair_expect_text(pair, "row 1, column 2");
}

static void newton__without_a_hessian__is_refused_at_once(void **state)
{
    struct pair *const pair = *state;
    struct stepd_op *op = NULL;
    define_newton(pair);
    const struct pair_worker *const worker = &pair->worker[0];
    assert_int_equal(
        stepd_step_start(worker->client, worker->arrays, 2, &worker->options, &op, &pair->error),
        STEPD_INVALID_ARGUMENT);
    pair_expect_text(pair, "tensor 'weight': its group's optimizer needs a Hessian");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pair_set_up, pair_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(plateau__mean_loss_that_gets_worse__halves_the_next_step),
        TEST(plateau__loss_of_an_empty_push__does_not_count),
        TEST(plateau__push_without_a_loss__is_refused_and_can_be_made_again),
        TEST(loss_scale__of_each_worker__is_taken_out_again),
        TEST(loss_scale__that_makes_an_infinity__is_refused_and_can_be_made_again),
        TEST(newton__linear_regression__is_solved_in_one_step),
        TEST(newton__hessian_with_a_nan__is_refused_by_row_and_column),
        TEST(newton__without_a_hessian__is_refused_at_once),
    };
    return cmocka_run_group_tests_name("training_loss", tests, NULL, NULL);
}
