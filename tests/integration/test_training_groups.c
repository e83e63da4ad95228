/* SPDX-License-Identifier: Apache-2.0
 *
 * What a definition says of groups, through libstepd, the wire and the daemon to the weights:
 * defaults, multipliers, dimensions, frozen tensors, phases, schedules made of others, words.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/integration/pair.h"

static const uint64_t two[] = {2};
static const uint64_t two_by_one[] = {2, 1};
static const struct stepd_param lr_1 = {.name = "lr", .value = 1};
static const struct stepd_param lr_quarter = {.name = "lr", .value = 0.25};

static void assert_weights(const struct pair *pair, const float *w)
{
    for (size_t i = 0; i < pair->elements; i++)
        assert_true(pair->worker[0].weights[i] == w[i]);
}

/* The lecture's: all layers learn at the base rate, and the classifier at another. */
static void defaults__with_a_multiplier__steps_by_both(void **state)
{
    struct pair *const pair = *state;
    static const struct stepd_param base[] = {{.name = "lr", .value = 0.5}};
    static const struct stepd_param slower[] = {{.name = "lr_mult", .value = 0.25}};
    static const struct stepd_param_group defaults = {
        .optimizer = "sgd", .params = base, .params_count = 1};
    static const struct stepd_param_group groups[] = {
        {.match = "classifier.*", .params = slower, .params_count = 1},
        {.match = "*"},
    };
    static const struct stepd_tensor tensors[] = {{.name = "base.weight"},
                                                  {.name = "classifier.weight"}};
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    job.workers = PAIR_WORKERS;
    job.groups = groups;
    job.groups_count = 2;
    job.defaults = &defaults;
    pair_define(pair, &job, tensors, 2);
    pair_round(pair);
    assert_weights(pair, (const float[]){-0.5F, -0.125F});
}

static void ndim__of_another_number__leaves_the_tensor_to_the_next_group(void **state)
{
    struct pair *const pair = *state;
    static const uint32_t vectors[] = {0, 1};
    static const struct stepd_param_group groups[] = {
        {.name = "vectors",
         .match = "*",
         .optimizer = "sgd",
         .params = &lr_1,
         .params_count = 1,
         .ndim = vectors,
         .ndim_count = 2},
        {.name = "others",
         .match = "*",
         .optimizer = "sgd",
         .params = &lr_quarter,
         .params_count = 1},
    };
    static const struct stepd_tensor tensors[] = {
        {.name = "weight", .shape = two_by_one, .dims = 2},
        {.name = "bias", .shape = two, .dims = 1},
        {.name = "scale"},
    };
    pair_define_groups(pair, groups, 2, tensors, 3);
    pair_round(pair);
    assert_weights(pair, (const float[]){-0.25F, -0.25F, -1, -1, -1});
}

/* Not even a NaN reaches it: its gradient is not looked at. */
static void frozen__tensor__stays_as_it_is(void **state)
{
    struct pair *const pair = *state;
    static const struct stepd_param_group groups[] = {
        {.match = "base.*", .frozen = true},
        {.match = "*", .optimizer = "sgd", .params = &lr_1, .params_count = 1},
    };
    static const struct stepd_tensor tensors[] = {
        {.name = "base.weight", .shape = two, .dims = 1, .a = 0.75},
        {.name = "head.weight"},
    };
    pair_define_groups(pair, groups, 2, tensors, 2);
    pair->worker[0].grad[1] = NAN;
    pair_round(pair);
    pair_round(pair);
    assert_weights(pair, (const float[]){0.75F, 0.75F, -2});
    assert_int_equal(pair->worker[0].counts.skipped, 1);
    assert_int_equal(pair->worker[0].counts.applied, 1);
}

static void phase__from_a_step_on__takes_over(void **state)
{
    struct pair *const pair = *state;
    static const struct stepd_param_phase phases[] = {
        {.from = 2, .optimizer = "sgd", .params = &lr_quarter, .params_count = 1}};
    const struct stepd_param_group group = {
        .match = "*",
        .optimizer = "momentum",
        .params = &lr_1,
        .params_count = 1,
        .phases = phases,
        .phases_count = 1,
    };
    pair_define_one(pair, &group);
    /* momentum 0.9: the buffer is 1, then 1.9 */
    pair_expect_rounds(pair, 4, (const float[]){-1, -1 - 1.9F, -2.9F - 0.25F, -3.15F - 0.25F});
}

static void schedule__sequential__begins_each_part_anew(void **state)
{
    struct pair *const pair = *state;
    static const struct stepd_param half = {.name = "gamma", .value = 0.5};
    static const struct stepd_param quarter = {.name = "gamma", .value = 0.25};
    static const struct stepd_param milestones = {.name = "milestones", .value = 2};
    static const struct stepd_schedule_item items[] = {
        {.kind = "exponential", .params = &half, .params_count = 1},
        {.kind = "exponential", .params = &quarter, .params_count = 1},
    };
    const struct stepd_param_group group = {
        .match = "*",
        .optimizer = "sgd",
        .params = &lr_1,
        .params_count = 1,
        .schedule = "sequential",
        .schedule_params = &milestones,
        .schedule_params_count = 1,
        .schedule_items = items,
        .schedule_items_count = 2,
    };
    pair_define_one(pair, &group);
    pair_expect_rounds(pair, 4, (const float[]){-1, -1.5F, -2.5F, -2.75F});
}

/* With eps 1 the first step of adam is lr / sqrt(1 + 1), and lr / (sqrt(1) + 1) by default. */
static void word__eps_mode_inside__moves_eps_into_the_root(void **state)
{
    struct pair *const pair = *state;
    static const struct stepd_param inside[] = {
        {.name = "lr", .value = 1},
        {.name = "eps", .value = 1},
        {.name = "eps_mode", .word = "inside"},
    };
    static const struct stepd_param_group groups[] = {
        {.match = "in", .optimizer = "adam", .params = inside, .params_count = 3},
        {.match = "out", .optimizer = "adam", .params = inside, .params_count = 2},
    };
    static const struct stepd_tensor tensors[] = {{.name = "in"}, {.name = "out"}};
    pair_define_groups(pair, groups, 2, tensors, 2);
    pair_round(pair);
    assert_true(fabsf(pair->worker[0].weights[0] + sqrtf(0.5F)) < 1e-6F);
    assert_true(fabsf(pair->worker[0].weights[1] + 0.5F) < 1e-6F);
}

/* ---- Mistakes -------------------------------------------------------------------------------- */

static enum stepd_status define_with(struct pair *pair, const struct stepd_param *param)
{
    const struct stepd_tensor tensor = {.name = "w"};
    const struct stepd_param_group group = {
        .match = "*", .optimizer = "adam", .params = param, .params_count = 1};
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    job.workers = PAIR_WORKERS;
    job.groups = &group;
    job.groups_count = 1;
    return stepd_define(pair->worker[0].client, &job, &tensor, 1, &pair->error);
}

static void word__that_nobody_knows__is_refused_with_the_known_ones(void **state)
{
    struct pair *const pair = *state;
    const struct stepd_param wrong = {.name = "eps_mode", .word = "insied"};
    assert_int_equal(define_with(pair, &wrong), STEPD_INVALID_ARGUMENT);
    pair_expect_text(pair, "eps_mode");
    pair_expect_text(pair, "inside");
}

/* What breaks a rule of the protocol is refused before it is sent. */
static void define__after_a_mistake__goes_on_over_the_same_connection(void **state)
{
    struct pair *const pair = *state;
    const struct stepd_param nan = {.name = "lr", .value = NAN};
    const struct stepd_param word = {.name = "lr", .word = "fast"};
    assert_int_equal(define_with(pair, &nan), STEPD_INVALID_ARGUMENT);
    assert_int_equal(define_with(pair, &word), STEPD_INVALID_ARGUMENT);
    assert_int_equal(define_with(pair, &lr_1), STEPD_OK);
}

static void define__by_the_second_worker_with_another_phase__names_it(void **state)
{
    struct pair *const pair = *state;
    const struct stepd_tensor tensor = {.name = "w"};
    struct stepd_param_phase phase = {.from = 5, .optimizer = "sgd"};
    const struct stepd_param_group group = {
        .match = "*", .optimizer = "adam", .phases = &phase, .phases_count = 1};
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    job.workers = PAIR_WORKERS;
    job.groups = &group;
    job.groups_count = 1;
    assert_int_equal(stepd_define(pair->worker[0].client, &job, &tensor, 1, &pair->error),
                     STEPD_OK);
    phase.from = 6;
    assert_int_equal(stepd_define(pair->worker[1].client, &job, &tensor, 1, &pair->error),
                     STEPD_INVALID_ARGUMENT);
    pair_expect_text(pair, "phase 1: from is defined as 5, not 6");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pair_set_up, pair_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(defaults__with_a_multiplier__steps_by_both),
        TEST(ndim__of_another_number__leaves_the_tensor_to_the_next_group),
        TEST(frozen__tensor__stays_as_it_is),
        TEST(phase__from_a_step_on__takes_over),
        TEST(schedule__sequential__begins_each_part_anew),
        TEST(word__eps_mode_inside__moves_eps_into_the_root),
        TEST(word__that_nobody_knows__is_refused_with_the_known_ones),
        TEST(define__after_a_mistake__goes_on_over_the_same_connection),
        TEST(define__by_the_second_worker_with_another_phase__names_it),
    };
    return cmocka_run_group_tests_name("training_groups", tests, NULL, NULL);
}
