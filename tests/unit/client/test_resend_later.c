/* SPDX-License-Identifier: Apache-2.0
 *
 * Links that are lost under the exchange and come back too late, or to a job that went back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/client/resend_rig.h"

static const struct stepd_error back = {.code = STEPD_ROLLED_BACK, .text = "the job went back"};

/* ---- Time ------------------------------------------------------------------------------------ */

static void held__until_its_deadline__expires_and_gives_its_clock_back(void **state)
{
    struct rig *const rig = *state;
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    const struct stepd_array packed[] = {resend_all[1], resend_all[2]};
    options.deadline_ms = 500;
    resend_down[1] = true;
    const struct rig_operation *const operation =
        rig_start(rig, STEPD_OPERATION_PUSH, packed, 2, &options);
    assert_null(stepd_pending_expired(&rig->pending, 1499));
    struct stepd_request *const request = stepd_pending_expired(&rig->pending, 1500);
    assert_non_null(request);
    stepd_pending_end(&rig->pending, request, &resend_lost);
    assert_true(operation->done);
    assert_int_equal(rig->pending.count, 0);
    assert_null(stepd_pending_expired(&rig->pending, 1500));
    resend_down[1] = false;
    (void)rig_start(rig, STEPD_OPERATION_PUSH, packed, 2, NULL);
    assert_int_equal(resend_push_in(resend_newest(rig))->clock, 1);
}

/* A step of which shard 1 has counted its part, and shard 2 has not. */
static void step_by_half(struct rig *rig)
{
    const struct rig_operation *const step = resend_step_big(rig);
    const float weights[] = {1, 1, 1, 1};
    const size_t first = rig->sent_count - 2;
    const struct stepd_message late = {
        .request_id = rig->sent[first + 1].message.request_id,
        .kind = STEPD_MESSAGE_ERROR,
        .body.error = {.code = STEPD_DEADLINE_EXCEEDED, .text = "waiting for rank 3"},
    };
    assert_int_equal(rig->sent[first].shard, 1);
    resend_answer(rig, &rig->sent[first], STEPD_APPLIED, 1, weights);
    rig_reply(rig, 2, &late, NULL, 0);
    assert_int_equal(step->operation.error.code, STEPD_DEADLINE_EXCEEDED);
}

static void step__of_which_a_part_has_counted__is_made_again_with_its_clock(void **state)
{
    struct rig *const rig = *state;
    step_by_half(rig);
    (void)resend_step_big(rig);
    assert_int_equal(resend_push_in(&rig->sent[2])->clock, 1);
    assert_int_equal(resend_push_in(&rig->sent[3])->clock, 1);
}

static void step__of_which_a_part_has_counted__keeps_its_clock_over_a_pull(void **state)
{
    struct rig *const rig = *state;
    const float weights[] = {1, 1, 1, 1};
    step_by_half(rig);
    (void)rig_start(rig, STEPD_OPERATION_PULL, resend_all, 1, NULL);
    resend_answer(rig, &rig->sent[2], STEPD_NONE, 1, weights);
    resend_answer(rig, &rig->sent[3], STEPD_NONE, 0, weights);
    (void)resend_step_big(rig);
    assert_int_equal(resend_push_in(&rig->sent[4])->clock, 1);
    assert_int_equal(resend_push_in(&rig->sent[5])->clock, 1);
}

static void step__that_was_made_again__is_followed_by_the_next(void **state)
{
    struct rig *const rig = *state;
    const float weights[] = {1, 1, 1, 1};
    step_by_half(rig);
    (void)resend_step_big(rig);
    resend_answer(rig, &rig->sent[2], STEPD_DUPLICATE, 1, weights);
    resend_answer(rig, &rig->sent[3], STEPD_APPLIED, 1, weights);
    (void)resend_step_big(rig);
    assert_int_equal(resend_push_in(&rig->sent[4])->clock, 2);
    assert_int_equal(resend_push_in(&rig->sent[5])->clock, 2);
}

/* As an async worker may that does not wait for its answers. */
static void step__that_is_made_again__is_followed_at_once_by_the_next(void **state)
{
    struct rig *const rig = *state;
    rig->layout.mode = STEPD_ASYNC;
    step_by_half(rig);
    (void)resend_step_big(rig);
    (void)resend_step_big(rig);
    assert_int_equal(resend_push_in(&rig->sent[2])->clock, 1);
    assert_int_equal(resend_push_in(&rig->sent[4])->clock, 2);
    assert_int_equal(resend_push_in(&rig->sent[5])->clock, 2);
}

static void held__of_two_operations__expires_with_the_first(void **state)
{
    struct rig *const rig = *state;
    struct stepd_step_options soon = STEPD_STEP_OPTIONS_INIT;
    struct stepd_step_options late = STEPD_STEP_OPTIONS_INIT;
    soon.deadline_ms = 500;
    late.deadline_ms = 9000;
    resend_down[1] = true;
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &resend_all[1], 1, &soon);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &resend_all[2], 1, &late);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &resend_all[1], 1, &late);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &resend_all[2], 1, &soon);
    for (int i = 0; i < 2; i++) {
        struct stepd_request *const request = stepd_pending_expired(&rig->pending, 1500);
        assert_non_null(request);
        stepd_pending_end(&rig->pending, request, &resend_lost);
    }
}

static void resend__of_what_was_held_from_the_beginning__states_what_is_left(void **state)
{
    struct rig *const rig = *state;
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    const struct stepd_array packed[] = {resend_all[1], resend_all[2]};
    options.deadline_ms = 5000;
    resend_down[1] = true;
    (void)rig_start(rig, STEPD_OPERATION_PUSH, packed, 2, &options);
    resend_come_back(rig, 1, 1000 + 1000);
    assert_int_equal(resend_push_in(resend_newest(rig))->deadline_ms, 4000);
}

static void held__without_a_deadline__has_the_servers_longest(void **state)
{
    struct rig *const rig = *state;
    rig->exchange.wait_max_ms = 7000;
    resend_down[1] = true;
    (void)resend_step_big(rig);
    assert_null(stepd_pending_expired(&rig->pending, 7999));
    assert_non_null(stepd_pending_expired(&rig->pending, 8000));
}

static void resend__after_some_time__states_what_is_left_of_it(void **state)
{
    struct rig *const rig = *state;
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    options.deadline_ms = 5000;
    (void)rig_start(rig, STEPD_OPERATION_STEP, resend_all, 1, &options);
    assert_int_equal(resend_push_in(&rig->sent[0])->deadline_ms, 5000);
    resend_lose(rig, 1);
    resend_come_back(rig, 1, 1000 + 3000);
    assert_int_equal(resend_push_in(resend_newest(rig))->deadline_ms, 2000);
    resend_lose(rig, 1);
    resend_come_back(rig, 1, 1000 + 9000);
    assert_int_equal(resend_push_in(resend_newest(rig))->deadline_ms, 1);
}

static void sent__and_not_answered_at_its_deadline__is_overdue(void **state)
{
    struct rig *const rig = *state;
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    options.deadline_ms = 5000;
    (void)rig_start(rig, STEPD_OPERATION_STEP, resend_all, 1, &options);
    assert_null(stepd_pending_overdue(&rig->pending, 5999));
    const struct stepd_request *const request = stepd_pending_overdue(&rig->pending, 6000);
    assert_non_null(request);
    resend_answer(rig, &rig->sent[0], STEPD_APPLIED, 1, (const float[]){0, 0, 0, 0});
    resend_answer(rig, &rig->sent[1], STEPD_APPLIED, 1, (const float[]){0, 0});
    assert_null(stepd_pending_overdue(&rig->pending, 6000));
    assert_int_equal(rig->pending.count, 0);
}

/* ---- Rolled back ----------------------------------------------------------------------------- */

static void pull_all(struct rig *rig, uint64_t version)
{
    static const float zeros[8];
    const size_t first = rig->sent_count;
    (void)rig_start(rig, STEPD_OPERATION_PULL, resend_all, 3, NULL);
    for (size_t i = first; i < rig->sent_count; i++)
        resend_answer(rig, &rig->sent[i], STEPD_NONE, version, zeros);
}

static void roll_back__fails_what_is_sent_held_and_gathering(void **state)
{
    struct rig *const rig = *state;
    const struct rig_operation *const sent = resend_step_big(rig);
    const struct rig_operation *const gathers =
        rig_start(rig, STEPD_OPERATION_PUSH, &resend_all[1], 1, NULL);
    resend_lose(rig, 2);
    stepd_exchange_roll_back(&rig->exchange, &back);
    assert_int_equal(sent->operation.error.code, STEPD_ROLLED_BACK);
    assert_int_equal(gathers->operation.error.code, STEPD_ROLLED_BACK);
    assert_true(sent->done && gathers->done);
    assert_int_equal(rig->exchange.gathering, 0);
    assert_int_equal(rig->exchange.clock, 0); /* what a Leave would say */
}

static void roll_back__until_the_weights_are_pulled__refuses_pushes(void **state)
{
    struct rig *const rig = *state;
    pull_all(rig, 5);
    stepd_exchange_roll_back(&rig->exchange, &back);
    const size_t sent = rig->sent_count;
    const struct rig_operation *const operation = resend_step_big(rig);
    assert_int_equal(operation->operation.error.code, STEPD_ROLLED_BACK);
    assert_non_null(strstr(operation->operation.error.text, "'big'"));
    assert_int_equal(rig->sent_count, sent);
    rig->exchange.incarnation = 10;
    pull_all(rig, 2);
    assert_int_equal(resend_newest(rig)->message.body.pull.incarnation, 10);
    (void)resend_step_big(rig);
    assert_int_equal(resend_push_in(resend_newest(rig))->incarnation, 10);
    assert_int_equal(resend_push_in(resend_newest(rig))->base_versions.at[0], 2);
    assert_int_equal(resend_push_in(resend_newest(rig))->clock, 3);
}

static void roll_back__slices_at_different_versions__begins_at_the_oldest(void **state)
{
    struct rig *const rig = *state;
    static const float zeros[8];
    pull_all(rig, 5);
    (void)resend_step_big(rig); /* a first push, before */
    stepd_exchange_roll_back(&rig->exchange, &back);
    (void)resend_step_big(rig); /* refused: it must not count as the first */
    const size_t first = rig->sent_count;
    (void)rig_start(rig, STEPD_OPERATION_PULL, resend_all, 1, NULL);
    resend_answer(rig, &rig->sent[first], STEPD_NONE, 3, zeros);
    resend_answer(rig, &rig->sent[first + 1], STEPD_NONE, 2, zeros);
    (void)resend_step_big(rig);
    assert_int_equal(resend_push_in(resend_newest(rig))->clock, 3);
    assert_int_equal(resend_push_in(resend_newest(rig) - 1)->clock, 3);
}

static void reply__rolled_back__is_told_once_for_each_request(void **state)
{
    struct rig *const rig = *state;
    const struct rig_operation *const operation = resend_step_big(rig);
    const struct stepd_message reply = {
        .request_id = rig->sent[0].message.request_id,
        .kind = STEPD_MESSAGE_ERROR,
        .body.error = {.code = STEPD_ROLLED_BACK, .text = "incarnation 10"},
    };
    rig_reply(rig, 1, &reply, NULL, 0);
    assert_int_equal(resend_told_back, 1);
    stepd_exchange_roll_back(&rig->exchange, &back);
    assert_int_equal(resend_told_back, 1);
    assert_true(operation->done);
    assert_int_equal(operation->operation.error.code, STEPD_ROLLED_BACK);
}

static void start__checked_against_another_layout__is_rolled_back(void **state)
{
    struct rig *const rig = *state;
    static const struct stepd_layout_table other;
    rig->exchange.layout = &other;
    const struct rig_operation *const operation =
        rig_start(rig, STEPD_OPERATION_PULL, resend_all, 1, NULL);
    rig->exchange.layout = &rig->layout;
    assert_true(operation->done);
    assert_int_equal(operation->operation.error.code, STEPD_ROLLED_BACK);
    assert_int_equal(rig->sent_count, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, resend_setup, resend_teardown)
    const struct CMUnitTest tests[] = {
        TEST(held__until_its_deadline__expires_and_gives_its_clock_back),
        TEST(step__of_which_a_part_has_counted__is_made_again_with_its_clock),
        TEST(step__of_which_a_part_has_counted__keeps_its_clock_over_a_pull),
        TEST(step__that_was_made_again__is_followed_by_the_next),
        TEST(step__that_is_made_again__is_followed_at_once_by_the_next),
        TEST(held__of_two_operations__expires_with_the_first),
        TEST(resend__of_what_was_held_from_the_beginning__states_what_is_left),
        TEST(held__without_a_deadline__has_the_servers_longest),
        TEST(resend__after_some_time__states_what_is_left_of_it),
        TEST(sent__and_not_answered_at_its_deadline__is_overdue),
        TEST(roll_back__fails_what_is_sent_held_and_gathering),
        TEST(roll_back__until_the_weights_are_pulled__refuses_pushes),
        TEST(roll_back__slices_at_different_versions__begins_at_the_oldest),
        TEST(reply__rolled_back__is_told_once_for_each_request),
        TEST(start__checked_against_another_layout__is_rolled_back),
    };
    return cmocka_run_group_tests_name("client_resend_later", tests, NULL, NULL);
}
