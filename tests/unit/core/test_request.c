/* SPDX-License-Identifier: Apache-2.0
 *
 * What any request must be before it is one, and how it ends.
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

#include "tests/lib/shard.h"

enum { SLICES = 4, SLICE = 256 };

static const uint32_t slice_at[SHARD_SLICES] = {0, 1, 2, 3};
static const uint64_t version_0[SLICES] = {0};
static const float grad[SLICES * SLICE] = {1};

/* Four slices of a tensor on `shards` shards, of which this is the first. */
static void setup(struct shard *shard, uint32_t workers, uint32_t shards)
{
    const uint64_t shape[] = {SLICES, SLICE};
    const struct stepd_tensor_def tensor = shard_tensor("w", shape, 2, 0.0);
    const struct shard_job job = {.workers = workers,
                                  .lr = 1.0,
                                  .slice_elements = SLICE,
                                  .shards = shards,
                                  .tensors = 1,
                                  .tensor = &tensor};
    shard_setup(shard, &job);
    for (uint32_t rank = 0; rank < workers; rank++)
        shard_connect(shard, rank, rank);
}

static struct stepd_message push_message(size_t slices)
{
    return (struct stepd_message){
        .request_id = 7,
        .kind = STEPD_MESSAGE_PUSH,
        .body.push = {.incarnation = 1,
                      .clock = 1,
                      .slices = {.count = slices, .at = slice_at},
                      .base_versions = {.count = 1, .at = version_0},
                      .examples = 1},
    };
}

/* Sends a push of whole slices. */
static void send_push(struct shard *shard, size_t peer, const struct stepd_message *message)
{
    const size_t bytes = message->body.push.slices.count * SLICE * sizeof(float);
    assert_int_equal(shard_send(shard, peer, message, grad, bytes, bytes, NULL), STEPD_OK);
}

/* The newest reply refuses request 7 so, and the connection goes on. */
static void assert_refused(struct shard *shard, size_t peer, enum stepd_status code,
                           const char *text)
{
    const struct shard_reply *reply = shard_last(shard, peer);
    assert_int_equal(reply->request_id, 7);
    assert_int_equal(reply->kind, STEPD_MESSAGE_ERROR);
    assert_int_equal(reply->code, code);
    if (strstr(reply->text, text) == NULL)
        fail_msg("'%s' does not say '%s'", reply->text, text);
    shard_pull(shard, peer, 8, 0, 1);
    assert_int_equal(shard_last(shard, peer)->request_id, 8);
    assert_int_equal(shard_last(shard, peer)->version[0], 0);
}

/* ---- What is refused ------------------------------------------------------------------------- */

static void request__of_number_0__ends_the_connection(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, 1, 1);
    struct stepd_message message = push_message(1);
    message.request_id = 0;
    struct stepd_error error = {.code = STEPD_OK};
    const size_t replies = shard.peer[0].replies;
    assert_int_equal(shard_send(&shard, 0, &message, grad, 0, 0, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "push has request_id 0"));
    assert_int_equal(shard.peer[0].replies, replies);
    shard_teardown(&shard);
}

static void request__of_another_incarnation__is_rolled_back(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, 1, 1);
    struct stepd_message message = push_message(2);
    message.body.push.incarnation = 2;
    send_push(&shard, 0, &message);
    assert_refused(&shard, 0, STEPD_ROLLED_BACK, "is at incarnation 1, not 2");
    struct stepd_message pull = {
        .request_id = 7,
        .kind = STEPD_MESSAGE_PULL,
        .body.pull = {.incarnation = 0, .slices = {.count = 1, .at = slice_at}},
    };
    assert_int_equal(shard_send(&shard, 0, &pull, NULL, 0, 0, NULL), STEPD_OK);
    assert_refused(&shard, 0, STEPD_ROLLED_BACK, "is at incarnation 1, not 0");
    struct stepd_message assign = {
        .request_id = 7,
        .kind = STEPD_MESSAGE_ASSIGN,
        .body.assign = {.incarnation = 3, .slices = {.count = 1, .at = slice_at}},
    };
    assert_int_equal(shard_send(&shard, 0, &assign, grad, SLICE, SLICE, NULL), STEPD_OK);
    assert_refused(&shard, 0, STEPD_ROLLED_BACK, "is at incarnation 1, not 3");
    shard_teardown(&shard);
}

static void request__of_another_shards_slice__is_refused_and_names_the_owner(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, 1, 2);
    struct stepd_message message = push_message(2); /* slice 1 is the other shard's */
    send_push(&shard, 0, &message);
    assert_refused(&shard, 0, STEPD_INVALID_ARGUMENT,
                   "slice 1 belongs to shard 2, and this is shard 1");
    shard_teardown(&shard);
}

static void push__of_base_versions_of_another_number__is_refused(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, 1, 1);
    struct stepd_message message = push_message(3);
    message.body.push.base_versions.count = 2;
    send_push(&shard, 0, &message);
    assert_refused(&shard, 0, STEPD_INVALID_ARGUMENT, "base_versions has 2 numbers for 3 slices");
    shard_teardown(&shard);
}

static void push__of_clock_0__is_refused(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, 1, 1);
    struct stepd_message message = push_message(1);
    message.body.push.clock = 0;
    send_push(&shard, 0, &message);
    assert_refused(&shard, 0, STEPD_INVALID_ARGUMENT, "a worker's first push has 1");
    shard_teardown(&shard);
}

static void push__before_the_one_before_it_is_answered__is_refused(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, 2, 1);
    struct stepd_message message = push_message(1);
    message.request_id = 6;
    send_push(&shard, 0, &message);
    message.request_id = 7;
    message.body.push.clock = 2;
    send_push(&shard, 0, &message);
    assert_refused(&shard, 0, STEPD_FAILED_PRECONDITION, "clock 2 came before clock 1");
    shard_teardown(&shard);
}

static void push__with_one_wrong_slice__counts_none_of_them(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, 1, 1);
    struct stepd_message message = push_message(SLICES);
    const uint64_t versions[SLICES] = {0, 0, 0, 1};
    message.body.push.base_versions = (struct stepd_u64s){.count = SLICES, .at = versions};
    send_push(&shard, 0, &message);
    assert_refused(&shard, 0, STEPD_INVALID_ARGUMENT, "w[768:1024]: base version 1 does not exist");
    shard_query(&shard);
    assert_int_equal(shard.answer_max, 0);
    shard_teardown(&shard);
}

static void push__with_nan_in_one_slice__counts_the_others(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, 1, 1);
    float bad[SLICES * SLICE] = {1};
    bad[SLICE + 5] = INFINITY;
    const struct stepd_message message = push_message(SLICES);
    assert_int_equal(shard_send(&shard, 0, &message, bad, sizeof bad, sizeof bad, NULL), STEPD_OK);
    assert_int_equal(shard_last(&shard, 0)->code, STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(shard_last(&shard, 0)->text, "element 261;"));
    send_push(&shard, 0, &message); /* repaired, with the same clock */
    const struct shard_peer *peer = &shard.peer[0];

    enum stepd_outcome outcome[SLICES] = {STEPD_NONE};

    for (size_t r = 0; r < peer->replies; r++) {
        for (size_t i = 0; i < peer->reply[r].slices; i++)
            outcome[peer->reply[r].slice[i]] = peer->reply[r].outcome[i];
    }

    const enum stepd_outcome expected[SLICES] = {STEPD_DUPLICATE, STEPD_APPLIED, STEPD_DUPLICATE,
                                                 STEPD_DUPLICATE};

    assert_memory_equal(outcome, expected, sizeof expected);
    shard_query(&shard);
    assert_int_equal(shard.answer_min, 1);
    assert_int_equal(shard.answer_max, 1);
    shard_teardown(&shard);
}

/* ---- How they end ---------------------------------------------------------------------------- */

static void requests__of_a_connection_that_closes__are_forgotten(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, 2, 1);
    for (uint64_t id = 10; id < 20; id++)
        shard_pull(&shard, 0, id, 1, SLICES);
    shard_query(&shard);
    assert_int_equal(shard.answer_parked, 10);
    const size_t replies = shard.peer[0].replies;
    shard_close(&shard, 0);
    shard_query(&shard);
    assert_int_equal(shard.answer_parked, 0);
    shard.now_ms += 20000;
    core_on_tick(shard.core, shard.now_ms);
    assert_int_equal(shard.peer[0].replies, replies);
    shard_teardown(&shard);
}

static void push__whose_payload_stops_coming__ends_with_its_deadline(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, 1, 1);
    struct stepd_message message = push_message(2);
    message.body.push.deadline_ms = 100;
    const size_t bytes = 2 * SLICE * sizeof(float);
    assert_int_equal(shard_send(&shard, 0, &message, grad, bytes - 1, bytes, NULL), STEPD_OK);
    shard.now_ms += 100;
    core_on_tick(shard.core, shard.now_ms);
    assert_int_equal(shard_last(&shard, 0)->code, STEPD_DEADLINE_EXCEEDED);
    assert_non_null(strstr(shard_last(&shard, 0)->text, "payload"));
    size_t room = 0;
    assert_null(core_window(shard.peer[0].conn, &room)); /* the rest is dropped */
    assert_int_equal(room, 1);
    core_filled(shard.peer[0].conn, 1, shard.now_ms);
    shard_pull(&shard, 0, 99, 0, 1); /* and the connection goes on */
    assert_int_equal(shard_last(&shard, 0)->values, SLICE);
    assert_int_equal(shard_last(&shard, 0)->version[0], 1); /* the slice that was whole counts */
    shard_teardown(&shard);
}

/* Where the first slice of a push is received, and then the second. */
static void receive_two(struct shard *shard, const uint8_t *ret_window[2])
{
    const struct stepd_message message = push_message(2);
    const size_t bytes = SLICE * sizeof(float);
    assert_int_equal(shard_send(shard, 0, &message, grad, 0, 2 * bytes, NULL), STEPD_OK);
    for (size_t i = 0; i < 2; i++) {
        size_t room = 0;
        uint8_t *const window = core_window(shard->peer[0].conn, &room);
        assert_int_equal(room, bytes);
        memcpy(window, grad, bytes);
        core_filled(shard->peer[0].conn, bytes, shard->now_ms);
        ret_window[i] = window;
    }
}

static void push__whose_rounds_close_at_once__comes_in_through_one_buffer(void **state)
{
    (void)state;
    struct shard shard;
    const uint8_t *window[2];
    setup(&shard, 1, 1);
    receive_two(&shard, window);
    assert_ptr_equal(window[0], window[1]);
    shard_teardown(&shard);
}

static void push__whose_rounds_stay_open__keeps_what_came_in(void **state)
{
    (void)state;
    struct shard shard;
    const uint8_t *window[2];
    setup(&shard, 2, 1);
    receive_two(&shard, window);
    assert_ptr_not_equal(window[0], window[1]);
    shard_teardown(&shard);
}

static void requests__more_than_a_connection_may_have__are_refused(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, 1, 1);
    const size_t replies = shard.peer[0].replies;
    for (uint64_t i = 0; i < 16384; i++)
        shard_pull(&shard, 0, 100 + i, 1, 1);
    assert_int_equal(shard.peer[0].replies, replies); /* all of them wait */
    shard_pull(&shard, 0, 99, 0, 1);
    assert_int_equal(shard_last(&shard, 0)->code, STEPD_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(shard_last(&shard, 0)->text, "16384 requests"));
    shard_teardown(&shard);
}

static void requests__that_are_answered__make_room_for_others(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, 1, 1);
    for (uint64_t clock = 1; clock <= (1u << 18) / SLICES + 1; clock++) {
        const struct shard_push push = {
            .id = 7, .clock = clock, .base_version = clock - 1, .slices = SLICES};
        shard_push(&shard, 0, &push);
        assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_SKIPPED);
        free(shard.peer[0].reply[--shard.peer[0].replies].value);
    }
    shard_teardown(&shard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request__of_number_0__ends_the_connection),
        cmocka_unit_test(request__of_another_incarnation__is_rolled_back),
        cmocka_unit_test(request__of_another_shards_slice__is_refused_and_names_the_owner),
        cmocka_unit_test(push__of_base_versions_of_another_number__is_refused),
        cmocka_unit_test(push__of_clock_0__is_refused),
        cmocka_unit_test(push__before_the_one_before_it_is_answered__is_refused),
        cmocka_unit_test(push__with_one_wrong_slice__counts_none_of_them),
        cmocka_unit_test(push__with_nan_in_one_slice__counts_the_others),
        cmocka_unit_test(requests__of_a_connection_that_closes__are_forgotten),
        cmocka_unit_test(push__whose_payload_stops_coming__ends_with_its_deadline),
        cmocka_unit_test(push__whose_rounds_close_at_once__comes_in_through_one_buffer),
        cmocka_unit_test(push__whose_rounds_stay_open__keeps_what_came_in),
        cmocka_unit_test(requests__more_than_a_connection_may_have__are_refused),
        cmocka_unit_test(requests__that_are_answered__make_room_for_others),
    };
    return cmocka_run_group_tests_name("core/request", tests, NULL, NULL);
}
