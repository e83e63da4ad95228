/* SPDX-License-Identifier: Apache-2.0
 *
 * What a connection may cost: frames that trickle, silence, requests that are refused again and
 * again; and who is a stranger.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "rig.h"

enum { BUFFER_BYTES = 200000, PAYLOAD_BYTES = 100000 };

static uint8_t buffer[BUFFER_BYTES];
static const uint8_t pattern[PAYLOAD_BYTES];

static int set_up(void **state)
{
    *state = rig_create();
    return 0;
}

static int tear_down(void **state)
{
    rig_destroy(*state);
    return 0;
}

/* A byte of the payload now and then, and never nothing for read_timeout_ms. */
static void conn__payload_that_trickles__is_given_up(void **state)
{
    struct rig *const rig = *state;
    rig_open(rig, NULL, 0);
    const size_t n = rig_push(buffer, 0, 1, pattern, PAYLOAD_BYTES);
    const uint64_t begin_ms = uv_now(&rig->uv);
    uint64_t now_ms = begin_ms;
    size_t sent = n - PAYLOAD_BYTES;
    rig_write(rig, buffer, sent);
    for (; rig->closed == 0 && sent < n; now_ms += 900) {
        rig_write(rig, buffer + sent++, 1);
        conn_loop_tick(&rig->loop, now_ms);
    }
    assert_in_range(now_ms - begin_ms, RIG_READ_TIMEOUT_MS, RIG_READ_TIMEOUT_MS + 3000);
    assert_int_equal(rig->limits.refused[LIMIT_READ_TIME], 1);
}

/* The loop was busy elsewhere: what has come meanwhile has not been looked for. */
static void conn__payload_in_a_loop_that_was_busy__is_waited_for(void **state)
{
    struct rig *const rig = *state;
    rig_open(rig, NULL, 0);
    const size_t n = rig_push(buffer, 0, 1, pattern, PAYLOAD_BYTES);
    const uint64_t now_ms = uv_now(&rig->uv);
    rig_write(rig, buffer, n - 2);
    conn_loop_tick(&rig->loop, now_ms);
    rig_write(rig, buffer + n - 2, 1);
    conn_loop_tick(&rig->loop, now_ms + 10 * (uint64_t)RIG_READ_TIMEOUT_MS);
    assert_int_equal(rig->closed, 0);
}

static void conn__silent_for_too_long__is_told_and_closed(void **state)
{
    struct rig *const rig = *state;
    const uint64_t now_ms = uv_now(&rig->uv); /* as the connection has it: turns move it on */
    rig_open(rig, NULL, 0);
    conn_loop_tick(&rig->loop, now_ms + RIG_IDLE_TIMEOUT_MS - 1);
    rig_write(rig, buffer, rig_heartbeat(buffer, 0, 1));
    conn_loop_tick(&rig->loop, now_ms + RIG_IDLE_TIMEOUT_MS);
    conn_loop_tick(&rig->loop, now_ms + 2 * (uint64_t)RIG_IDLE_TIMEOUT_MS - 1);
    assert_int_equal(rig->closed, 0);
    conn_loop_tick(&rig->loop, now_ms + 2 * (uint64_t)RIG_IDLE_TIMEOUT_MS);
    uint64_t request_id = 1;
    struct stepd_error error;
    const size_t n = rig_read_to_end(rig, buffer, sizeof buffer);
    rig_decode_error(buffer, n, &request_id, &error);
    assert_int_equal(error.code, STEPD_DEADLINE_EXCEEDED);
    assert_non_null(strstr(error.text, "idle_timeout_ms"));
    assert_int_equal(rig->closed, 1);
    assert_int_equal(rig->limits.refused[LIMIT_IDLE_TIME], 1);
}

static void reply_error(struct rig *rig)
{
    const struct stepd_message message = {
        .request_id = rig->messages,
        .kind = STEPD_MESSAGE_ERROR,
        .body.error = {.code = STEPD_NOT_FOUND, .text = "no"},
    };
    conn_reply(rig->conn, &message, NULL, 0);
}

static void conn__refused_again_and_again__is_heard_so_often_a_tick(void **state)
{
    struct rig *const rig = *state;

    enum { REQUESTS = 12, A_TICK = RIG_REFUSALS_MAX_PER_S / 10 };

    size_t n = 0;
    for (uint64_t id = 1; id <= REQUESTS; id++)
        n = rig_heartbeat(buffer, n, id);
    rig->on_message = reply_error;
    rig_open(rig, NULL, 0);
    rig_write(rig, buffer, n);
    assert_int_equal(rig->messages, A_TICK);
    conn_loop_tick(&rig->loop, uv_now(&rig->uv));
    assert_int_equal(rig->messages, 2 * A_TICK);
    conn_loop_tick(&rig->loop, uv_now(&rig->uv));
    assert_int_equal(rig->messages, REQUESTS);
    assert_int_equal(rig->limits.refused[LIMIT_REFUSALS], 2);
    assert_int_equal(rig->closed, 0);
}

static void reply_welcome(struct rig *rig)
{
    const struct stepd_message message = {.kind = STEPD_MESSAGE_WELCOME};
    conn_reply(rig->conn, &message, NULL, 0);
}

static void conn__welcomed__is_known_once(void **state)
{
    struct rig *const rig = *state;
    rig->on_message = reply_welcome;
    rig_open(rig, NULL, 0);
    assert_int_equal(rig->known, 0);
    rig_write(rig, buffer, rig_heartbeat(buffer, rig_heartbeat(buffer, 0, 1), 2));
    assert_int_equal(rig->known, 1);
    rig_close_peer(rig);
    assert_int_equal(rig->gone, 1);
    assert_int_equal(rig->known, 0);
}

static void loop__strangers_who_linger__are_dropped_and_nobody_else(void **state)
{
    struct rig *const rig = *state;
    rig_open(rig, NULL, 0);
    assert_false(conn_loop_drop_stranger(&rig->loop));
    rig_write(rig, buffer, rig_heartbeat(buffer, 0, 1) - 1);
    assert_false(conn_loop_drop_stranger(&rig->loop));
    memset(buffer, 0xEE, 8);
    rig_write(rig, buffer, 8);
    assert_int_equal(rig->gone, 0);
    assert_true(conn_loop_drop_stranger(&rig->loop));
    rig_turn(rig);
    assert_int_equal(rig->gone, 1);
    assert_false(conn_loop_drop_stranger(&rig->loop));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(conn__payload_that_trickles__is_given_up),
        TEST(conn__payload_in_a_loop_that_was_busy__is_waited_for),
        TEST(conn__silent_for_too_long__is_told_and_closed),
        TEST(conn__refused_again_and_again__is_heard_so_often_a_tick),
        TEST(conn__welcomed__is_known_once),
        TEST(loop__strangers_who_linger__are_dropped_and_nobody_else),
    };
    return cmocka_run_group_tests_name("conn_limits", tests, NULL, NULL);
}
