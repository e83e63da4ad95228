/* SPDX-License-Identifier: Apache-2.0
 *
 * The exchange against made-up servers: the clocks of a worker's pushes, and where those of a rank
 * that was here before go on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/dtype.h"
#include "tests/unit/client/rig.h"

static const float big_grad[] = {1, 2, 3, 4, 5, 6};
static const float a_grad[] = {7, 8};
static const float b_grad[] = {9};
static const uint32_t slice0[] = {0}, slice1[] = {1};

static int setup(void **state)
{
    static struct rig rig;
    rig_setup(&rig);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    rig_teardown(*state);
    return 0;
}

static struct stepd_array push_of(size_t tensor, const float *grad)
{
    return (struct stepd_array){.tensor = tensor, .grad = grad};
}

static void clocks__of_a_slice__rise_by_one_with_each_push(void **state)
{
    struct rig *const rig = *state;
    const struct stepd_array array = push_of(0, big_grad);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &array, 1, NULL);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &array, 1, NULL);
    assert_int_equal(rig->sent_count, 4);
    assert_int_equal(rig->sent[0].message.body.push.clock, 1);
    assert_int_equal(rig->sent[2].message.body.push.clock, 2);
    assert_int_equal(rig->exchange.clock, 2);
}

static void clocks__resumed_rank__go_on_where_the_server_is(void **state)
{
    struct rig *const rig = *state;
    const struct stepd_array array = push_of(0, big_grad);
    rig->layout.mode = STEPD_ASYNC;
    stepd_exchange_resume(&rig->exchange, 1, 41);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &array, 1, NULL);
    assert_int_equal(rig->sent[0].message.body.push.clock, 42);
    assert_int_equal(rig->sent[1].message.body.push.clock, 1);
    assert_int_equal(rig->exchange.clock, 42);
}

static void clocks__that_shards_have_counted_differently__go_on_from_the_least(void **state)
{
    struct rig *const rig = *state;
    float weights[6];
    const struct stepd_array array = {.tensor = 0, .weights = weights};
    rig->layout.mode = STEPD_ASYNC;
    stepd_exchange_resume(&rig->exchange, 1, 41);
    stepd_exchange_resume(&rig->exchange, 2, 40);
    const struct rig_operation *const operation =
        rig_start(rig, STEPD_OPERATION_PULL, &array, 1, NULL);
    struct stepd_message result =
        rig_result(rig->sent[0].message.request_id, 1, slice0, STEPD_NONE, 90);
    rig_reply(rig, 1, &result, big_grad, 4 * sizeof(float));
    result = rig_result(rig->sent[1].message.request_id, 1, slice1, STEPD_NONE, 80);
    rig_reply(rig, 2, &result, big_grad, 2 * sizeof(float));
    assert_true(operation->done);
    assert_int_equal(operation->operation.counts.clock, 40);
    const struct stepd_array push = push_of(0, big_grad);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &push, 1, NULL);
    assert_int_equal(rig->sent[2].message.body.push.clock, 41); /* shard 1 knows this one */
    assert_int_equal(rig->sent[3].message.body.push.clock, 41);
}

static void clocks__resumed_rank_in_sync__follow_the_version_of_the_weights(void **state)
{
    struct rig *const rig = *state;
    float weights[6];
    const struct stepd_array array = {.tensor = 0, .grad = big_grad, .weights = weights};
    stepd_exchange_resume(&rig->exchange, 1, 6); /* of a step that came in part */
    (void)rig_start(rig, STEPD_OPERATION_PULL, &array, 1, NULL);
    const struct stepd_message result =
        rig_result(rig->sent[0].message.request_id, 1, slice0, STEPD_NONE, 5);
    rig_reply(rig, 1, &result, big_grad, 4 * sizeof(float));
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &array, 1, NULL);
    assert_int_equal(rig->sent[2].message.body.push.clock, 6);
    assert_int_equal(rig->sent[2].message.body.push.base_versions.at[0], 5);
    assert_int_equal(rig->exchange.clock, 6);
}

static void clocks__slices_with_different_ones__go_in_separate_messages(void **state)
{
    struct rig *const rig = *state;
    const struct stepd_array arrays[] = {push_of(0, big_grad), push_of(1, a_grad),
                                         push_of(2, b_grad)};
    (void)rig_start(rig, STEPD_OPERATION_PUSH, arrays, 1, NULL);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, arrays, 3, NULL);
    assert_int_equal(rig->sent_count, 5);
    assert_int_equal(rig->sent[2].message.body.push.clock, 2);
    assert_int_equal(rig->sent[2].message.body.push.slices.count, 1);
    assert_int_equal(rig->sent[3].message.body.push.clock, 1);
    assert_int_equal(rig->sent[3].message.body.push.slices.at[0], 2);
}

static void clocks__of_a_push_that_failed__are_used_again(void **state)
{
    struct rig *const rig = *state;
    const struct stepd_array array = push_of(0, big_grad);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &array, 1, NULL);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &array, 1, NULL);
    for (size_t i = 0; i < 4; i++) {
        const struct stepd_message error = {
            .request_id = rig->sent[i].message.request_id,
            .kind = STEPD_MESSAGE_ERROR,
            .body.error = {.code = STEPD_INVALID_ARGUMENT, .text = "NaN"},
        };
        rig_reply(rig, rig->sent[i].shard, &error, NULL, 0);
    }
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &array, 1, NULL);
    assert_int_equal(rig->sent[4].message.body.push.clock, 1);
    assert_int_equal(rig->sent[5].message.body.push.clock, 1);
    assert_int_equal(rig->exchange.clock, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(clocks__of_a_slice__rise_by_one_with_each_push),
        TEST(clocks__resumed_rank__go_on_where_the_server_is),
        TEST(clocks__that_shards_have_counted_differently__go_on_from_the_least),
        TEST(clocks__resumed_rank_in_sync__follow_the_version_of_the_weights),
        TEST(clocks__slices_with_different_ones__go_in_separate_messages),
        TEST(clocks__of_a_push_that_failed__are_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
