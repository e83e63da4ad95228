/* SPDX-License-Identifier: Apache-2.0
 *
 * Changes of a running job, and steps of several pushes, through libstepd, the wire and the daemon
 * to the weights.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/integration/pair.h"

static const struct stepd_param lr_1 = {.name = "lr", .value = 1};
static const struct stepd_param lr_quarter = {.name = "lr", .value = 0.25};

static void define(struct pair *pair)
{
    static const struct stepd_param_group group = {
        .match = "*", .optimizer = "sgd", .params = &lr_1, .params_count = 1};
    pair_define_one(pair, &group);
}

static struct stepd_change_options change_of(const struct stepd_param *param)
{
    struct stepd_change_options options = STEPD_CHANGE_OPTIONS_INIT;
    options.group.params = param;
    options.group.params_count = 1;
    return options;
}

static void change__of_the_rate__is_in_the_steps_from_its_version_on(void **state)
{
    struct pair *const pair = *state;
    const struct stepd_change_options options = change_of(&lr_quarter);
    struct stepd_change_result result;
    define(pair);
    pair_expect_rounds(pair, 1, (const float[]){-1});
    assert_int_equal(stepd_change(pair->worker[0].client, &options, &result, &pair->error),
                     STEPD_OK);
    assert_int_equal(result.number, 1);
    assert_int_equal(result.groups, 1);
    assert_int_equal(result.version, 2);
    pair_expect_rounds(pair, 3, (const float[]){-2, -2.25F, -2.5F});
}

static void change__at_a_version__is_made_there(void **state)
{
    struct pair *const pair = *state;
    struct stepd_change_options options = change_of(&lr_quarter);
    struct stepd_change_result result;
    define(pair);
    options.at = 3;
    assert_int_equal(stepd_change(pair->worker[1].client, &options, &result, &pair->error),
                     STEPD_OK);
    assert_int_equal(result.version, 3);
    pair_expect_rounds(pair, 4, (const float[]){-1, -2, -3, -3.25F});
}

static void change__that_is_only_tried__changes_nothing(void **state)
{
    struct pair *const pair = *state;
    struct stepd_change_options options = change_of(&lr_quarter);
    struct stepd_change_result result;
    define(pair);
    options.dry_run = true;
    assert_int_equal(stepd_change(pair->worker[0].client, &options, &result, &pair->error),
                     STEPD_OK);
    assert_int_equal(result.groups, 1);
    pair_expect_rounds(pair, 4, (const float[]){-1, -2, -3, -4});
}

static void change__of_nothing_new__has_no_number(void **state)
{
    struct pair *const pair = *state;
    const struct stepd_change_options options = change_of(&lr_1);
    struct stepd_change_result result = {.number = 9};
    define(pair);
    assert_int_equal(stepd_change(pair->worker[0].client, &options, &result, &pair->error),
                     STEPD_OK);
    assert_int_equal(result.number, 0);
    assert_int_equal(result.groups, 0);
}

static void change__that_cannot_be__says_why(void **state)
{
    struct pair *const pair = *state;
    struct stepd_change_options options = change_of(&lr_quarter);
    define(pair);
    options.group.optimizer = "adam";
    assert_int_equal(stepd_change(pair->worker[0].client, &options, NULL, &pair->error),
                     STEPD_INVALID_ARGUMENT);
    pair_expect_text(pair, "define it as one of the group's phases");
}

static void accumulate__of_two_pushes__steps_with_the_second(void **state)
{
    struct pair *const pair = *state;
    static const struct stepd_param_group group = {
        .match = "*", .optimizer = "sgd", .params = &lr_1, .params_count = 1};
    static const struct stepd_tensor tensor = {.name = "w"};
    static const struct stepd_param accumulate = {.name = "accumulate", .value = 2};
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    job.workers = PAIR_WORKERS;
    job.groups = &group;
    job.groups_count = 1;
    job.params = &accumulate;
    job.params_count = 1;
    pair_define(pair, &job, &tensor, 1);
    pair_round(pair);
    assert_int_equal(pair->worker[0].counts.accumulated, 1);
    assert_int_equal(pair->worker[0].counts.version_max, 0);
    assert_true(pair->worker[0].weights[0] == 0.0F);
    pair->worker[0].grad[0] = 3;
    pair_round(pair);
    assert_int_equal(pair->worker[0].counts.applied, 1);
    assert_int_equal(pair->worker[0].counts.version_max, 1);
    assert_true(pair->worker[1].weights[0] == -1.5F);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pair_set_up, pair_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(change__of_the_rate__is_in_the_steps_from_its_version_on),
        TEST(change__at_a_version__is_made_there),
        TEST(change__that_is_only_tried__changes_nothing),
        TEST(change__of_nothing_new__has_no_number),
        TEST(change__that_cannot_be__says_why),
        TEST(accumulate__of_two_pushes__steps_with_the_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
