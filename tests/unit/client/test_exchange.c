/* SPDX-License-Identifier: Apache-2.0
 *
 * The exchange against made-up servers: what is sent for which call, what comes of which reply.
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
static const uint32_t slice0[] = {0}, slice1[] = {1}, slice2[] = {2}, slices02[] = {0, 2};

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

static void assert_payload(const struct rig_sent *sent, const float *floats, size_t n)
{
    assert_int_equal(sent->payload_bytes, n * sizeof *floats);
    assert_memory_equal(sent->payload, floats, n * sizeof *floats);
}

/* ---- What is sent ---------------------------------------------------------------------------- */

static void push__large_tensor__each_slice_goes_to_its_shard(void **state)
{
    struct rig *const rig = *state;
    const struct stepd_array array = push_of(0, big_grad);
    struct rig_operation *const operation = rig_start(rig, STEPD_OPERATION_PUSH, &array, 1, NULL);
    assert_int_equal(rig->sent_count, 2);
    const struct stepd_push_slices *const push = &rig->sent[1].message.body.push;
    assert_int_equal(rig->sent[1].message.kind, STEPD_MESSAGE_PUSH);
    assert_int_equal(rig->sent[0].shard, 1);
    assert_int_equal(rig->sent[1].shard, 2);
    assert_int_equal(push->slices.count, 1);
    assert_int_equal(push->slices.at[0], 1);
    assert_int_equal(push->incarnation, 9);
    assert_int_equal(push->clock, 1);
    assert_int_equal(push->examples, 1);
    assert_payload(&rig->sent[0], big_grad, 4);
    assert_payload(&rig->sent[1], big_grad + 4, 2);
    assert_false(operation->done);
}

static void push__all_tensors__slices_of_a_shard_share_a_message(void **state)
{
    struct rig *const rig = *state;
    const struct stepd_array arrays[] = {push_of(2, b_grad), push_of(0, big_grad),
                                         push_of(1, a_grad)};
    (void)rig_start(rig, STEPD_OPERATION_PUSH, arrays, 3, NULL);
    assert_int_equal(rig->sent_count, 2);
    const struct stepd_u32s slices = rig->sent[0].message.body.push.slices;
    assert_int_equal(slices.count, 2);
    assert_memory_equal(slices.at, slices02, sizeof slices02);
    assert_payload(&rig->sent[0], (const float[]){1, 2, 3, 4, 7, 8, 9}, 7);
}

static void push__no_examples__is_sent_without_payload(void **state)
{
    struct rig *const rig = *state;
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    options.examples = 0;
    const struct stepd_array array = push_of(0, NULL);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &array, 1, &options);
    assert_int_equal(rig->sent_count, 2);
    assert_int_equal(rig->sent[0].payload_bytes, 0);
    assert_int_equal(rig->sent[0].message.body.push.examples, 0);
}

static void push__f16__travels_narrowed(void **state)
{
    struct rig *const rig = *state;
    uint8_t wire[8];
    rig->exchange.push_dtype = STEPD_F16;
    const struct stepd_array array = push_of(0, big_grad);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &array, 1, NULL);
    stepd_dtype_narrow(STEPD_F16, 4, big_grad, wire);
    assert_int_equal(rig->sent[0].message.body.push.dtype, STEPD_F16);
    assert_int_equal(rig->sent[0].payload_bytes, sizeof wire);
    assert_memory_equal(rig->sent[0].payload, wire, sizeof wire);
}

/* Reply to the first pull of both shards: the slice of tensor 0 on shard 1, at a version. */
static void fetch(struct rig *rig, float *weights, uint64_t on_shard_1, uint64_t on_shard_2)
{
    const struct stepd_array array = {.tensor = 0, .grad = big_grad, .weights = weights};
    (void)rig_start(rig, STEPD_OPERATION_PULL, &array, 1, NULL);
    struct stepd_message result =
        rig_result(rig->sent[0].message.request_id, 1, slice0, STEPD_NONE, on_shard_1);
    rig_reply(rig, 1, &result, big_grad, 4 * sizeof(float));
    result = rig_result(rig->sent[1].message.request_id, 1, slice1, STEPD_NONE, on_shard_2);
    rig_reply(rig, 2, &result, big_grad, 2 * sizeof(float));
}

static void first_push__after_weights_of_two_versions__repeats_the_older_step(void **state)
{
    struct rig *const rig = *state;
    float weights[6];
    fetch(rig, weights, 6, 5);
    const struct stepd_array array = {.tensor = 0, .grad = big_grad, .weights = weights};
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &array, 1, NULL);
    for (size_t i = 2; i < 4; i++) {
        assert_int_equal(rig->sent[i].message.body.push.clock, 6);
        assert_int_equal(rig->sent[i].message.body.push.base_versions.at[0], 5);
    }
}

/* A predecessor died when slice 2 had counted clock 6 and slice 0 had not. */
static void resumed_rank__with_a_slice_ahead__moves_on_past_its_duplicate(void **state)
{
    struct rig *const rig = *state;
    float big[6], a[2], b[1];
    const struct stepd_array arrays[] = {
        {.tensor = 0, .grad = big_grad, .weights = big},
        {.tensor = 1, .grad = a_grad, .weights = a},
        {.tensor = 2, .grad = b_grad, .weights = b},
    };
    rig->layout.mode = STEPD_ASYNC;
    stepd_exchange_resume(&rig->exchange, 1, 5);
    struct rig_operation *const operation = rig_start(rig, STEPD_OPERATION_STEP, arrays, 3, NULL);
    assert_int_equal(rig->sent[0].message.body.step.push.clock, 6);
    const uint64_t id = rig->sent[0].message.request_id;
    struct stepd_message result = rig_result(id, 1, slice0, STEPD_APPLIED, 20);
    result.body.result.last = false;
    rig_reply(rig, 1, &result, big_grad, 4 * sizeof(float));
    result = rig_result(id, 1, slice2, STEPD_DUPLICATE, 31);
    rig_reply(rig, 1, &result, big_grad, 3 * sizeof(float));
    result = rig_result(rig->sent[1].message.request_id, 1, slice1, STEPD_APPLIED, 4);
    rig_reply(rig, 2, &result, big_grad, 2 * sizeof(float));
    assert_int_equal(operation->operation.error.code, STEPD_OK);
    assert_int_equal(operation->operation.counts.duplicate, 1);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, arrays, 3, NULL);
    const struct stepd_push_slices *const push = &rig->sent[2].message.body.push;
    assert_int_equal(push->clock, 7);
    assert_memory_equal(push->slices.at, slices02, sizeof slices02);
    assert_memory_equal(push->base_versions.at, ((const uint64_t[]){20, 31}), 2 * sizeof(uint64_t));
}

static void base_versions__after_pulls_of_different_versions__are_listed(void **state)
{
    struct rig *const rig = *state;
    float weights[6];
    const struct stepd_array arrays[] = {
        {.tensor = 0, .grad = big_grad, .weights = weights},
        push_of(1, a_grad),
        push_of(2, b_grad),
    };
    rig->layout.mode = STEPD_ASYNC; /* where the clock says nothing of the version */
    (void)rig_start(rig, STEPD_OPERATION_PULL, arrays, 1, NULL);
    const struct stepd_message result =
        rig_result(rig->sent[0].message.request_id, 1, slice0, STEPD_NONE, 5);
    rig_reply(rig, 1, &result, big_grad, 4 * sizeof(float));
    (void)rig_start(rig, STEPD_OPERATION_PUSH, arrays, 3, NULL);
    const struct stepd_u64s base = rig->sent[2].message.body.push.base_versions;
    assert_int_equal(base.count, 2);
    assert_int_equal(base.at[0], 5);
    assert_int_equal(base.at[1], 0);
}

static void base_version__after_a_plain_push__is_that_of_the_weights_held(void **state)
{
    struct rig *const rig = *state;
    float weights[6];
    rig->layout.mode = STEPD_ASYNC;
    fetch(rig, weights, 5, 5);
    const struct stepd_array array = push_of(0, big_grad);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &array, 1, NULL);
    const struct stepd_message result =
        rig_result(rig->sent[2].message.request_id, 1, slice0, STEPD_APPLIED, 9);
    rig_reply(rig, 1, &result, NULL, 0);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &array, 1, NULL);
    assert_int_equal(rig->sent[4].message.body.push.base_versions.at[0], 5);
}

static void large_operation__above_the_target_size__takes_several_frames(void **state)
{
    struct rig *const rig = *state;
    const struct stepd_array arrays[] = {push_of(0, big_grad), push_of(1, a_grad),
                                         push_of(2, b_grad)};
    rig->exchange.frame_max_bytes = 128 + 15 * 2 + 4 * sizeof(float);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, arrays, 3, NULL);
    assert_int_equal(rig->sent_count, 3);
    assert_int_equal(rig->sent[0].message.body.push.slices.count, 1);
}

static void slice__larger_than_a_frame__fails_the_operation(void **state)
{
    struct rig *const rig = *state;
    const struct stepd_array array = push_of(0, big_grad);
    rig->exchange.frame_max_bytes = 10;
    struct rig_operation *const operation = rig_start(rig, STEPD_OPERATION_PUSH, &array, 1, NULL);
    assert_true(operation->done);
    assert_int_equal(operation->operation.error.code, STEPD_RESOURCE_EXHAUSTED);
    assert_int_equal(rig->exchange.clock, 0);
}

/* ---- Replies --------------------------------------------------------------------------------- */

static void reply__in_several_frames__operation_is_done_with_the_last_slice(void **state)
{
    struct rig *const rig = *state;
    float big[6], a[2], b[1];
    const struct stepd_array arrays[] = {
        {.tensor = 0, .grad = big_grad, .weights = big},
        {.tensor = 1, .grad = a_grad, .weights = a},
        {.tensor = 2, .grad = b_grad, .weights = b},
    };
    struct rig_operation *const operation = rig_start(rig, STEPD_OPERATION_STEP, arrays, 3, NULL);
    const uint64_t to_1 = rig->sent[0].message.request_id;
    const uint64_t to_2 = rig->sent[1].message.request_id;
    struct stepd_message result = rig_result(to_1, 1, slice2, STEPD_SKIPPED, 2);
    result.body.result.last = false;
    rig_reply(rig, 1, &result, (const float[]){17, 18, 19}, 3 * sizeof(float));
    result = rig_result(to_2, 1, slice1, STEPD_APPLIED, 4);
    rig_reply(rig, 2, &result, (const float[]){15, 16}, 2 * sizeof(float));
    assert_false(operation->done);
    result = rig_result(to_1, 1, slice0, STEPD_STALE, 3);
    rig_reply(rig, 1, &result, (const float[]){11, 12, 13, 14}, 4 * sizeof(float));
    assert_true(operation->done);
    assert_memory_equal(big, ((const float[]){11, 12, 13, 14, 15, 16}), sizeof big);
    assert_true(a[0] == 17 && a[1] == 18 && b[0] == 19);
    const struct stepd_outcome_counts *const counts = &operation->operation.counts;
    assert_int_equal(counts->slices, 3);
    assert_true(counts->applied == 1 && counts->skipped == 1 && counts->dropped == 1);
    assert_true(counts->version_min == 2 && counts->version_max == 4);
}

static void reply__bf16__is_widened_in_place(void **state)
{
    struct rig *const rig = *state;
    float big[6] = {0};
    uint8_t wire[8];
    const struct stepd_array array = {.tensor = 0, .weights = big};
    rig->exchange.pull_dtype = STEPD_BF16;
    (void)rig_start(rig, STEPD_OPERATION_PULL, &array, 1, NULL);
    assert_int_equal(rig->sent[0].message.body.pull.dtype, STEPD_BF16);
    stepd_dtype_narrow(STEPD_BF16, 4, big_grad, wire);
    struct stepd_message result =
        rig_result(rig->sent[0].message.request_id, 1, slice0, STEPD_NONE, 1);
    result.body.result.dtype = STEPD_BF16;
    rig_reply(rig, 1, &result, wire, sizeof wire);
    assert_memory_equal(big, big_grad, 4 * sizeof(float));
}

static void reply__before_the_request_has_left__operation_waits_for_its_bytes(void **state)
{
    struct rig *const rig = *state;
    const struct stepd_array arrays[] = {push_of(1, a_grad), push_of(2, b_grad)};
    rig->hold = true;
    struct rig_operation *const operation = rig_start(rig, STEPD_OPERATION_PUSH, arrays, 2, NULL);
    const struct stepd_message result =
        rig_result(rig->sent[0].message.request_id, 1, slice2, STEPD_APPLIED, 1);
    rig_reply(rig, 1, &result, NULL, 0);
    assert_false(operation->done);
    rig_write(rig, 0);
    assert_true(operation->done);
    assert_int_equal(operation->operation.error.code, STEPD_OK);
}

static void reply__after_the_last_one__is_dropped(void **state)
{
    struct rig *const rig = *state;
    const struct stepd_array array = push_of(0, big_grad);
    rig->hold = true;
    struct rig_operation *const operation = rig_start(rig, STEPD_OPERATION_PUSH, &array, 1, NULL);
    const struct stepd_message result =
        rig_result(rig->sent[0].message.request_id, 1, slice0, STEPD_APPLIED, 1);
    rig_reply(rig, 1, &result, NULL, 0);
    rig_reply(rig, 1, &result, NULL, 0);
    rig_write(rig, 0);
    assert_int_equal(operation->operation.counts.applied, 1);
}

static void error__of_the_request__fails_the_operation_with_its_text(void **state)
{
    struct rig *const rig = *state;
    const struct stepd_array arrays[] = {push_of(1, a_grad), push_of(2, b_grad)};
    struct rig_operation *const operation = rig_start(rig, STEPD_OPERATION_PUSH, arrays, 2, NULL);
    const struct stepd_message error = {
        .request_id = rig->sent[0].message.request_id,
        .kind = STEPD_MESSAGE_ERROR,
        .body.error = {.code = STEPD_DEADLINE_EXCEEDED, .text = "waiting for rank 3"},
    };
    rig_reply(rig, 1, &error, NULL, 0);
    assert_true(operation->done);
    assert_int_equal(operation->operation.error.code, STEPD_DEADLINE_EXCEEDED);
    assert_string_equal(operation->operation.error.text, "waiting for rank 3");
}

static void send__port_fails__operation_fails_at_once(void **state)
{
    struct rig *const rig = *state;
    const struct stepd_array array = push_of(0, big_grad);
    rig->fault = STEPD_UNAVAILABLE;
    struct rig_operation *const operation = rig_start(rig, STEPD_OPERATION_PUSH, &array, 1, NULL);
    assert_true(operation->done);
    assert_int_equal(operation->operation.error.code, STEPD_UNAVAILABLE);
}

/* Feeds a result that breaks the protocol; the connection must end. */
static void assert_breach(struct rig *rig, const struct stepd_message *result, size_t payload)
{
    static const uint8_t zeros[64];
    struct stepd_error error;
    uint8_t *bytes;
    const size_t n = rig_encode(result, zeros, payload, &bytes);
    assert_int_equal(rig_feed(rig, 1, bytes, n, SIZE_MAX, &error), STEPD_INTERNAL);
    free(bytes);
}

static struct stepd_message pull_big(struct rig *rig, float *weights)
{
    const struct stepd_array array = {.tensor = 0, .weights = weights};
    (void)rig_start(rig, STEPD_OPERATION_PULL, &array, 1, NULL);
    return rig_result(rig->sent[0].message.request_id, 1, slice0, STEPD_NONE, 1);
}

static void reply__slice_not_asked_for__is_a_breach(void **state)
{
    float weights[6];
    struct stepd_message result = pull_big(*state, weights);
    result.body.result.slices.at = slice2;
    assert_breach(*state, &result, 3 * sizeof(float));
}

static void reply__slice_twice__is_a_breach(void **state)
{
    float weights[6];
    const uint32_t twice[] = {0, 0};
    struct stepd_message result = pull_big(*state, weights);
    result = rig_result(result.request_id, 2, twice, STEPD_NONE, 1);
    assert_breach(*state, &result, 8 * sizeof(float));
}

static void reply__payload_of_another_length__is_a_breach(void **state)
{
    float weights[6];
    const struct stepd_message result = pull_big(*state, weights);
    assert_breach(*state, &result, 3 * sizeof(float));
}

static void reply__ended_without_a_slice__fails_the_operation(void **state)
{
    struct rig *const rig = *state;
    float weights[6];
    struct stepd_message result = pull_big(rig, weights);
    result.body.result.slices.count = 0;
    result.body.result.outcomes.count = 0;
    result.body.result.versions.count = 0;
    rig_reply(rig, 1, &result, NULL, 0);
    const struct stepd_message rest =
        rig_result(rig->sent[1].message.request_id, 1, slice1, STEPD_NONE, 1);
    rig_reply(rig, 2, &rest, big_grad, 2 * sizeof(float));
    assert_true(rig->operation[0].done);
    assert_int_equal(rig->operation[0].operation.error.code, STEPD_INTERNAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(push__large_tensor__each_slice_goes_to_its_shard),
        TEST(push__all_tensors__slices_of_a_shard_share_a_message),
        TEST(push__no_examples__is_sent_without_payload),
        TEST(push__f16__travels_narrowed),
        TEST(first_push__after_weights_of_two_versions__repeats_the_older_step),
        TEST(resumed_rank__with_a_slice_ahead__moves_on_past_its_duplicate),
        TEST(base_versions__after_pulls_of_different_versions__are_listed),
        TEST(base_version__after_a_plain_push__is_that_of_the_weights_held),
        TEST(large_operation__above_the_target_size__takes_several_frames),
        TEST(slice__larger_than_a_frame__fails_the_operation),
        TEST(reply__in_several_frames__operation_is_done_with_the_last_slice),
        TEST(reply__bf16__is_widened_in_place),
        TEST(reply__before_the_request_has_left__operation_waits_for_its_bytes),
        TEST(reply__after_the_last_one__is_dropped),
        TEST(error__of_the_request__fails_the_operation_with_its_text),
        TEST(send__port_fails__operation_fails_at_once),
        TEST(reply__slice_not_asked_for__is_a_breach),
        TEST(reply__slice_twice__is_a_breach),
        TEST(reply__payload_of_another_length__is_a_breach),
        TEST(reply__ended_without_a_slice__fails_the_operation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
