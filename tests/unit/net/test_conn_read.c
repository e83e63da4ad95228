/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes to messages: frames cut anywhere, empty, many at once, large, unwanted, bad.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "rig.h"

enum { BUFFER_BYTES = RIG_PAYLOAD_BYTES + (1 << 20) };

static uint8_t buffer[BUFFER_BYTES];
static uint8_t pattern[RIG_PAYLOAD_BYTES];

static int set_up(void **state)
{
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)(i * 31 + i / 251);
    *state = rig_create();
    return 0;
}

static int tear_down(void **state)
{
    rig_destroy(*state);
    return 0;
}

/* Three frames: without, with, and again without a payload. */
static size_t three_frames(void)
{
    size_t n = rig_heartbeat(buffer, 0, 1);
    n = rig_push(buffer, n, 2, pattern, 8);
    return rig_heartbeat(buffer, n, 3);
}

static void check_three(const struct rig *rig)
{
    assert_int_equal(rig->messages, 3);
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(rig->request_id[i], i + 1);
    assert_int_equal(rig->kind[0], STEPD_MESSAGE_HEARTBEAT);
    assert_int_equal(rig->kind[1], STEPD_MESSAGE_PUSH);
    assert_int_equal(rig->payload_bytes[1], 8);
    assert_int_equal(rig->filled, 8);
    assert_memory_equal(rig->payload, pattern, 8);
    assert_int_equal(rig->closed, 0);
}

static void conn__frames_cut_at_every_byte__are_whole(void **state)
{
    (void)state;
    const size_t n = three_frames();
    for (size_t cut = 1; cut < n; cut++) {
        struct rig *const rig = rig_create();
        rig_open(rig, NULL, 0);
        rig_write(rig, buffer, cut);
        rig_write(rig, buffer + cut, n - cut);
        check_three(rig);
        rig_destroy(rig);
    }
}

static void conn__frames_byte_by_byte__are_whole(void **state)
{
    struct rig *const rig = *state;
    const size_t n = three_frames();
    rig_open(rig, NULL, 0);
    for (size_t i = 0; i < n; i++)
        rig_write(rig, buffer + i, 1);
    check_three(rig);
}

static void conn__bytes_read_at_the_door__come_first(void **state)
{
    (void)state;
    const size_t n = three_frames();
    for (size_t cut = 0; cut <= n; cut++) {
        struct rig *const rig = rig_create();
        rig_open(rig, buffer, cut);
        rig_write(rig, buffer + cut, n - cut);
        check_three(rig);
        rig_destroy(rig);
    }
}

static void conn__many_frames_in_one_read__are_all_heard(void **state)
{
    struct rig *const rig = *state;
    size_t n = 0;
    for (uint64_t i = 0; i < 1000; i++)
        n = rig_heartbeat(buffer, n, i);
    rig_open(rig, NULL, 0);
    rig_write(rig, buffer, n);
    assert_int_equal(rig->messages, 1000);
    assert_int_equal(rig->request_id[999], 999);
}

static void hold(struct rig *rig)
{
    conn_hold(rig->conn, true);
}

static void conn__held__hears_what_came_when_it_is_let_go(void **state)
{
    struct rig *const rig = *state;
    rig->on_message = hold;
    rig_open(rig, NULL, 0);
    rig_write(rig, buffer, three_frames());
    rig_write(rig, buffer, rig_heartbeat(buffer, 0, 4));
    assert_int_equal(rig->messages, 1);
    rig->on_message = NULL;
    conn_hold(rig->conn, false);
    rig_turn(rig);
    assert_int_equal(rig->messages, 1); /* not from inside the handler */
    conn_loop_go_on(&rig->loop);
    rig_turn(rig);
    assert_int_equal(rig->messages, 4);
    assert_memory_equal(rig->payload, pattern, 8);
}

static void conn__large_payload__arrives_whole(void **state)
{
    struct rig *const rig = *state;
    const size_t n = rig_heartbeat(buffer, rig_push(buffer, 0, 1, pattern, sizeof pattern), 2);
    rig_open(rig, NULL, 0);
    rig_write(rig, buffer, n);
    assert_int_equal(rig->messages, 2);
    assert_int_equal(rig->filled, sizeof pattern);
    assert_memory_equal(rig->payload, pattern, sizeof pattern);
}

static void conn__large_window__is_read_into_directly(void **state)
{
    struct rig *const rig = *state;
    const size_t n = rig_push(buffer, 0, 1, pattern, 1 << 20);
    const size_t head_bytes = n - (1 << 20);
    rig_open(rig, NULL, 0);
    rig_write(rig, buffer, head_bytes);
    assert_int_equal(rig->fills, 0);
    rig_write(rig, buffer + head_bytes, 100000);
    assert_int_equal(rig->filled, 100000);
    assert_int_equal(rig->fills, 1); /* the receive buffer, of 64 KiB, takes two */
    rig_write(rig, buffer + head_bytes + 100000, (1 << 20) - 100000);
    assert_memory_equal(rig->payload, pattern, 1 << 20);
}

/* What is read with the head behind a large payload must be copied: it is little. */
static void conn__large_payload_behind_another__is_hardly_copied(void **state)
{
    enum { PAYLOAD = 1 << 20, HEAD_READ = 4096, RECEIVE = 65536 };

    struct rig *const rig = *state;
    const size_t n = rig_push(buffer, 0, 1, pattern, PAYLOAD);
    const size_t head_bytes = n - PAYLOAD;
    rig_open(rig, NULL, 0);
    rig_write(rig, buffer, head_bytes);
    rig_write(rig, buffer + head_bytes, PAYLOAD);
    rig_write(rig, buffer + n, rig_heartbeat(buffer, n, 2) - n);
    memset(rig->loop.receive, 0xEE, RECEIVE);
    rig_write(rig, buffer, n);
    assert_int_equal(rig->filled, 2 * PAYLOAD);
    assert_memory_equal(rig->payload + PAYLOAD, pattern, PAYLOAD);
    for (size_t i = HEAD_READ; i < RECEIVE; i++)
        assert_int_equal(rig->loop.receive[i], 0xEE);
}

static void conn__windows_of_every_small_size__arrive_whole(void **state)
{
    (void)state;
    for (size_t most = 1; most < 40; most++) {
        struct rig *const rig = rig_create();
        rig->window_most = most;
        rig_open(rig, NULL, 0);
        rig_write(rig, buffer, rig_heartbeat(buffer, rig_push(buffer, 0, 1, pattern, 100), 2));
        assert_int_equal(rig->messages, 2);
        assert_memory_equal(rig->payload, pattern, 100);
        rig_destroy(rig);
    }
}

static void conn__unwanted_payload__is_dropped_and_the_next_frame_heard(void **state)
{
    struct rig *const rig = *state;
    rig->unwanted = true;
    rig_open(rig, NULL, 0);
    rig_write(rig, buffer,
              rig_heartbeat(buffer, rig_push(buffer, 0, 1, pattern, sizeof pattern), 2));
    assert_int_equal(rig->messages, 2);
    assert_int_equal(rig->filled, sizeof pattern);
}

/* The peer gets one Error with request_id 0 and this code, and the end; the handler is told. */
static void check_refused(struct rig *rig, enum stepd_status code, const char *fragment)
{
    uint64_t request_id;
    struct stepd_error error;
    const size_t n = rig_read_to_end(rig, buffer, sizeof buffer);
    rig_decode_error(buffer, n, &request_id, &error);
    assert_int_equal(request_id, 0);
    assert_int_equal(error.code, code);
    assert_non_null(strstr(error.text, fragment));
    assert_int_equal(rig->closed, 1);
    assert_int_equal(rig->gone, 0);
    rig_close_peer(rig);
    assert_int_equal(rig->gone, 1);
}

static void conn__bad_frame__is_told_and_closed_though_more_follows(void **state)
{
    struct rig *const rig = *state;
    rig_open(rig, NULL, 0);
    const size_t n = rig_heartbeat(buffer, 0, 1);
    memset(buffer + n, 0xEE, 90000);
    rig_write(rig, buffer, n + 90000);
    assert_int_equal(rig->messages, 1);
    check_refused(rig, STEPD_INVALID_ARGUMENT, "bad frame");
}

static void conn__frame_over_the_cap__is_refused_by_its_length(void **state)
{
    struct rig *const rig = *state;
    static const uint8_t length[] = {0xFF, 0xFF, 0xFF, 0xFF, 0x07};
    rig_open(rig, NULL, 0);
    rig_write(rig, length, sizeof length);
    check_refused(rig, STEPD_RESOURCE_EXHAUSTED, "8388608");
}

static void conn__message_that_cannot_be_decoded__is_refused(void **state)
{
    struct rig *const rig = *state;
    static const uint8_t frame[] = {0x04, 0x0A, 0x02, 0x08, 0x01}; /* a request_id, no body */
    rig_open(rig, NULL, 0);
    rig_write(rig, frame, sizeof frame);
    check_refused(rig, STEPD_INVALID_ARGUMENT, "");
}

static void conn__handler_refuses__its_error_is_told(void **state)
{
    struct rig *const rig = *state;
    rig->answer = STEPD_PERMISSION_DENIED;
    rig_open(rig, NULL, 0);
    rig_write(rig, buffer, rig_heartbeat(buffer, rig_heartbeat(buffer, 0, 1), 2));
    assert_int_equal(rig->messages, 1);
    check_refused(rig, STEPD_PERMISSION_DENIED, "as told");
}

static void conn__no_memory_to_open__is_told(void **state)
{
    struct rig *const rig = *state;
    uint64_t request_id;
    struct stepd_error error;
    rig->refuse_open = true;
    rig_open(rig, NULL, 0);
    rig_decode_error(buffer, rig_read_to_end(rig, buffer, sizeof buffer), &request_id, &error);
    assert_int_equal(error.code, STEPD_RESOURCE_EXHAUSTED);
    assert_int_equal(rig->closed, 0);
}

static void conn__peer_gone_within_a_frame__is_forgotten(void **state)
{
    (void)state;
    const size_t n = rig_push(buffer, 0, 1, pattern, 50);
    for (size_t cut = 0; cut <= n; cut++) {
        struct rig *const rig = rig_create();
        rig_open(rig, NULL, 0);
        rig_write(rig, buffer, cut);
        rig_close_peer(rig);
        assert_int_equal(rig->closed, 1);
        assert_int_equal(rig->gone, 1);
        rig_destroy(rig);
    }
}

/* The frame's rest does not come in time: the peer is told, and the connection closed. */
static void check_given_up(struct rig *rig)
{
    const uint64_t now_ms = uv_now(&rig->uv);
    uint64_t request_id = 1;
    struct stepd_error error;
    conn_loop_tick(&rig->loop, now_ms);
    conn_loop_tick(&rig->loop, now_ms + RIG_READ_TIMEOUT_MS / 2);
    assert_int_equal(rig->closed, 0);
    conn_loop_tick(&rig->loop, now_ms + RIG_READ_TIMEOUT_MS);
    assert_int_equal(rig->closed, 1);
    rig_decode_error(buffer, rig_read_to_end(rig, buffer, sizeof buffer), &request_id, &error);
    assert_int_equal(request_id, 0);
    assert_int_equal(error.code, STEPD_DEADLINE_EXCEEDED);
    assert_non_null(strstr(error.text, "the rest of a frame did not come for 20000 ms"));
    assert_int_equal(rig->limits.refused[LIMIT_READ_TIME], 1);
}

static void conn__head_half_sent__is_given_up_after_a_while(void **state)
{
    struct rig *const rig = *state;
    rig_open(rig, NULL, 0);
    rig_write(rig, buffer, rig_heartbeat(buffer, 0, 1) - 1);
    check_given_up(rig);
}

static void conn__payload_half_sent__is_given_up_after_a_while(void **state)
{
    struct rig *const rig = *state;
    rig_open(rig, NULL, 0);
    rig_write(rig, buffer, rig_push(buffer, 0, 1, pattern, 100000) - 1);
    check_given_up(rig);
}

static void conn__frame_half_read_at_the_door__is_given_up_after_a_while(void **state)
{
    struct rig *const rig = *state;
    rig_open(rig, buffer, rig_push(buffer, 0, 1, pattern, 8) - 1);
    check_given_up(rig);
}

static void conn__frame_that_comes_slowly__is_waited_for(void **state)
{
    struct rig *const rig = *state;
    rig_open(rig, NULL, 0);
    uint64_t now_ms = uv_now(&rig->uv);
    const size_t n = rig_push(buffer, 0, 1, pattern, 8);
    for (size_t i = 0; i < n; i++) {
        rig_write(rig, buffer + i, 1);
        conn_loop_tick(&rig->loop, now_ms);
        now_ms += RIG_READ_TIMEOUT_MS / n;
    }
    assert_int_equal(rig->filled, 8);
    assert_int_equal(rig->closed, 0);
}

static void conn__silence_between_frames__is_waited_for(void **state)
{
    struct rig *const rig = *state;
    rig_open(rig, NULL, 0);
    rig_write(rig, buffer, rig_push(buffer, 0, 1, pattern, 8));
    const uint64_t now_ms = uv_now(&rig->uv);
    conn_loop_tick(&rig->loop, now_ms);
    conn_loop_tick(&rig->loop, now_ms + 10 * (uint64_t)RIG_READ_TIMEOUT_MS);
    assert_int_equal(rig->closed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conn__frames_cut_at_every_byte__are_whole),
        cmocka_unit_test_setup_teardown(conn__frames_byte_by_byte__are_whole, set_up, tear_down),
        cmocka_unit_test(conn__bytes_read_at_the_door__come_first),
        cmocka_unit_test_setup_teardown(conn__many_frames_in_one_read__are_all_heard, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(conn__held__hears_what_came_when_it_is_let_go, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(conn__large_payload__arrives_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(conn__large_window__is_read_into_directly, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(conn__large_payload_behind_another__is_hardly_copied,
                                        set_up, tear_down),
        cmocka_unit_test(conn__windows_of_every_small_size__arrive_whole),
        cmocka_unit_test_setup_teardown(conn__unwanted_payload__is_dropped_and_the_next_frame_heard,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(conn__bad_frame__is_told_and_closed_though_more_follows,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(conn__frame_over_the_cap__is_refused_by_its_length, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(conn__message_that_cannot_be_decoded__is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(conn__handler_refuses__its_error_is_told, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(conn__no_memory_to_open__is_told, set_up, tear_down),
        cmocka_unit_test(conn__peer_gone_within_a_frame__is_forgotten),
        cmocka_unit_test_setup_teardown(conn__head_half_sent__is_given_up_after_a_while, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(conn__payload_half_sent__is_given_up_after_a_while, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            conn__frame_half_read_at_the_door__is_given_up_after_a_while, set_up, tear_down),
        cmocka_unit_test_setup_teardown(conn__frame_that_comes_slowly__is_waited_for, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(conn__silence_between_frames__is_waited_for, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests_name("conn_read", tests, NULL, NULL);
}
