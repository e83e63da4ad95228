/* SPDX-License-Identifier: Apache-2.0
 *
 * Links that are lost and made again under the exchange: what is held, and what is sent again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/client/resend_rig.h"

static const uint32_t slice0[] = {0}, slice1[] = {1};

/* ---- Held ------------------------------------------------------------------------------------ */

static void start__while_the_link_is_down__is_held(void **state)
{
    struct rig *const rig = *state;
    resend_down[1] = true;
    const struct rig_operation *const operation = resend_step_big(rig);
    assert_int_equal(rig->sent_count, 1);
    assert_int_equal(rig->sent[0].shard, 2);
    assert_false(operation->done);
    assert_true(stepd_pending_any(&rig->pending, 1));
    resend_come_back(rig, 1, 1000);
    assert_int_equal(rig->sent_count, 2);
    assert_int_equal(resend_newest(rig)->shard, 1);
    assert_memory_equal(resend_push_in(resend_newest(rig))->slices.at, slice0, sizeof slice0);
}

static void resume__of_one_shard__leaves_what_is_held_for_another(void **state)
{
    struct rig *const rig = *state;
    resend_down[1] = true;
    resend_down[2] = true;
    (void)resend_step_big(rig);
    resend_come_back(rig, 2, 1000);
    assert_int_equal(rig->sent_count, 1);
    assert_int_equal(resend_newest(rig)->shard, 2);
    stepd_pending_fail(&rig->pending, 2, &resend_lost);
    assert_true(stepd_pending_any(&rig->pending, 1));
}

static void start__twice_while_the_link_is_down__goes_out_in_order(void **state)
{
    struct rig *const rig = *state;
    const struct stepd_array packed[] = {resend_all[1], resend_all[2]};
    resend_down[1] = true;
    (void)rig_start(rig, STEPD_OPERATION_PUSH, packed, 2, NULL);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, packed, 2, NULL);
    assert_int_equal(rig->sent_count, 0);
    resend_come_back(rig, 1, 1000);
    assert_int_equal(rig->sent_count, 2);
    assert_int_equal(resend_push_in(&rig->sent[0])->clock, 1);
    assert_int_equal(resend_push_in(&rig->sent[1])->clock, 2);
}

static void lose__for_good__fails_what_is_held(void **state)
{
    struct rig *const rig = *state;
    resend_down[1] = true;
    const struct rig_operation *const operation = resend_step_big(rig);
    stepd_exchange_lose(&rig->exchange, 1, &resend_lost);
    stepd_exchange_lose(&rig->exchange, 2, &resend_lost);
    assert_true(operation->done);
    assert_int_equal(operation->operation.error.code, STEPD_UNAVAILABLE);
    resend_come_back(rig, 1, 1000);
    assert_int_equal(rig->sent_count, 1);
}

/* ---- Sent again ------------------------------------------------------------------------------ */

static void step__unanswered__is_sent_again_as_it_was(void **state)
{
    struct rig *const rig = *state;
    rig->exchange.slice[0].version = 41;
    (void)resend_step_big(rig);
    const struct rig_sent first = rig->sent[0];
    resend_lose(rig, 1);
    rig->exchange.slice[0].version = 77; /* somebody has pulled it meanwhile */
    resend_come_back(rig, 1, 1000);
    assert_int_equal(rig->sent_count, 3);
    const struct rig_sent *const again = resend_newest(rig);
    assert_int_equal(again->message.kind, STEPD_MESSAGE_STEP);
    assert_true(again->message.request_id != first.message.request_id);
    assert_int_equal(resend_push_in(again)->clock, 42);
    assert_int_equal(resend_push_in(again)->base_versions.at[0], 41);
    assert_int_equal(again->payload_bytes, first.payload_bytes);
    assert_memory_equal(again->payload, first.payload, first.payload_bytes);
}

static void push__of_16_bits__is_sent_again_to_the_bit(void **state)
{
    struct rig *const rig = *state;
    rig->exchange.push_dtype = STEPD_BF16;
    (void)resend_step_big(rig);
    resend_lose(rig, 1);
    resend_come_back(rig, 1, 1000);
    assert_int_equal(resend_push_in(resend_newest(rig))->dtype, STEPD_BF16);
    assert_int_equal(resend_newest(rig)->payload_bytes, 8);
    assert_memory_equal(resend_newest(rig)->payload, rig->sent[0].payload, 8);
}

static void step__counted_before__succeeds_as_a_duplicate_with_its_weights(void **state)
{
    static const float weights[] = {10, 20, 30, 40};
    struct rig *const rig = *state;
    const struct rig_operation *const operation = resend_step_big(rig);
    resend_answer(rig, &rig->sent[1], STEPD_APPLIED, 1, (const float[]){50, 60});
    resend_lose(rig, 1);
    resend_come_back(rig, 1, 1000);
    resend_answer(rig, resend_newest(rig), STEPD_DUPLICATE, 1, weights);
    assert_true(operation->done);
    assert_int_equal(operation->operation.error.code, STEPD_OK);
    assert_int_equal(operation->operation.counts.duplicate, 1);
    assert_int_equal(operation->operation.counts.applied, 1);
    assert_memory_equal(resend_big, ((const float[]){10, 20, 30, 40, 50, 60}), sizeof resend_big);
    assert_int_equal(rig->exchange.slice[0].version, 1);
}

static void push__answered_in_part__is_sent_again_for_the_rest(void **state)
{
    struct rig *const rig = *state;
    const struct rig_operation *const operation =
        rig_start(rig, STEPD_OPERATION_PUSH, resend_all, 3, NULL);
    assert_int_equal(resend_push_in(&rig->sent[0])->slices.count, 2);
    struct stepd_message some =
        rig_result(rig->sent[0].message.request_id, 1, slice0, STEPD_APPLIED, 1);
    some.body.result.last = false;
    rig_reply(rig, 1, &some, NULL, 0);
    resend_lose(rig, 1);
    resend_come_back(rig, 1, 1000);
    assert_int_equal(resend_push_in(resend_newest(rig))->slices.count, 1);
    assert_int_equal(resend_push_in(resend_newest(rig))->slices.at[0], 2);
    assert_memory_equal(resend_newest(rig)->payload, ((const float[]){7, 8, 9}), 12);
    resend_answer(rig, resend_newest(rig), STEPD_APPLIED, 1, NULL);
    resend_answer(rig, &rig->sent[1], STEPD_APPLIED, 1, NULL);
    assert_true(operation->done);
    assert_int_equal(operation->operation.counts.applied, 3);
}

static void pull__cut_in_the_middle_of_its_weights__asks_for_all_of_the_slice(void **state)
{
    static const float stale[] = {-1, -1, -1, -1}, weights[] = {10, 20, 30, 40};
    struct rig *const rig = *state;
    struct stepd_error error;
    uint8_t *bytes;
    const struct rig_operation *const operation =
        rig_start(rig, STEPD_OPERATION_PULL, resend_all, 1, NULL);
    const struct stepd_message reply =
        rig_result(rig->sent[0].message.request_id, 1, slice0, STEPD_NONE, 3);
    const size_t n = rig_encode(&reply, stale, sizeof stale, &bytes);
    assert_int_equal(rig_feed(rig, 1, bytes, n - 5, SIZE_MAX, &error), STEPD_OK);
    free(bytes);
    resend_lose(rig, 1);
    assert_false(operation->done);
    resend_come_back(rig, 1, 1000);
    resend_answer(rig, resend_newest(rig), STEPD_NONE, 4, weights);
    resend_answer(rig, &rig->sent[1], STEPD_NONE, 4, weights);
    assert_true(operation->done);
    assert_memory_equal(resend_big, weights, sizeof weights);
    assert_int_equal(operation->operation.counts.version_min, 4);
}

static void requests__sent_and_held__go_out_in_the_order_of_their_clocks(void **state)
{
    struct rig *const rig = *state;
    const struct stepd_array packed[] = {resend_all[1], resend_all[2]};
    for (int i = 0; i < 3; i++)
        (void)rig_start(rig, STEPD_OPERATION_PUSH, packed, 2, NULL);
    resend_lose(rig, 1);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, packed, 2, NULL);
    resend_come_back(rig, 1, 1000);
    assert_int_equal(rig->sent_count, 7);
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(resend_push_in(&rig->sent[3 + i])->clock, i + 1);
    resend_lose(rig, 1); /* and once more */
    resend_come_back(rig, 1, 1000);
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(resend_push_in(&rig->sent[7 + i])->clock, i + 1);
}

static void suspend__of_one_shard__leaves_the_other_alone(void **state)
{
    struct rig *const rig = *state;
    (void)resend_step_big(rig);
    resend_lose(rig, 2);
    assert_int_equal(rig->pending.count, 1);
    resend_come_back(rig, 1, 1000);
    assert_int_equal(rig->sent_count, 2);
    resend_come_back(rig, 2, 1000);
    assert_int_equal(rig->sent_count, 3);
    assert_memory_equal(resend_push_in(resend_newest(rig))->slices.at, slice1, sizeof slice1);
}

/* The bytes that have not left will not leave, and the answer is here. */
static void suspend__answered_before_its_bytes_have_left__is_over(void **state)
{
    struct rig *const rig = *state;
    const struct stepd_array packed[] = {resend_all[1], resend_all[2]};
    rig->hold = true;
    const struct rig_operation *const operation =
        rig_start(rig, STEPD_OPERATION_PUSH, packed, 2, NULL);
    resend_answer(rig, &rig->sent[0], STEPD_APPLIED, 1, NULL);
    assert_false(operation->done);
    resend_lose(rig, 1);
    assert_true(operation->done);
    assert_false(stepd_pending_any(&rig->pending, 1));
    assert_int_equal(operation->operation.counts.applied, 1);
    resend_come_back(rig, 1, 1000);
    assert_int_equal(rig->sent_count, 1);
}

static void suspend__all_answered_but_the_replys_end__is_over(void **state)
{
    struct rig *const rig = *state;
    rig->hold = true;
    const struct rig_operation *const operation =
        rig_start(rig, STEPD_OPERATION_PUSH, &resend_all[0], 1, NULL);
    struct stepd_message open_end =
        rig_result(rig->sent[0].message.request_id, 1, slice0, STEPD_APPLIED, 1);
    open_end.body.result.last = false;
    rig_reply(rig, 1, &open_end, NULL, 0);
    resend_answer(rig, &rig->sent[1], STEPD_APPLIED, 1, NULL);
    rig_write(rig, 1);
    assert_false(operation->done);
    resend_lose(rig, 1);
    assert_true(operation->done);
    resend_come_back(rig, 1, 1000);
    assert_int_equal(rig->sent_count, 2);
    assert_false(stepd_pending_any(&rig->pending, 1));
}

/* A request that knows nothing of being sent again. */
static const struct stepd_error *ended_with;

static void note_end(struct stepd_request *request, const struct stepd_error *error)
{
    (void)request;
    ended_with = error;
}

static void suspend__of_a_request_that_is_not_to_be_repeated__ends_it(void **state)
{
    struct rig *const rig = *state;
    static const struct stepd_request_kind kind = {.on_end = note_end};
    struct stepd_request request = {.kind = &kind};
    ended_with = NULL;
    stepd_pending_add(&rig->pending, 1, &request);
    stepd_pending_suspend(&rig->pending, 1, &resend_lost);
    assert_non_null(ended_with);
    assert_false(stepd_pending_any(&rig->pending, 1));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, resend_setup, resend_teardown)
    const struct CMUnitTest tests[] = {
        TEST(start__while_the_link_is_down__is_held),
        TEST(resume__of_one_shard__leaves_what_is_held_for_another),
        TEST(start__twice_while_the_link_is_down__goes_out_in_order),
        TEST(lose__for_good__fails_what_is_held),
        TEST(step__unanswered__is_sent_again_as_it_was),
        TEST(push__of_16_bits__is_sent_again_to_the_bit),
        TEST(step__counted_before__succeeds_as_a_duplicate_with_its_weights),
        TEST(push__answered_in_part__is_sent_again_for_the_rest),
        TEST(pull__cut_in_the_middle_of_its_weights__asks_for_all_of_the_slice),
        TEST(requests__sent_and_held__go_out_in_the_order_of_their_clocks),
        TEST(suspend__of_one_shard__leaves_the_other_alone),
        TEST(suspend__answered_before_its_bytes_have_left__is_over),
        TEST(suspend__all_answered_but_the_replys_end__is_over),
        TEST(suspend__of_a_request_that_is_not_to_be_repeated__ends_it),
    };
    return cmocka_run_group_tests_name("client_resend", tests, NULL, NULL);
}
