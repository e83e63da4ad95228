/* SPDX-License-Identifier: Apache-2.0
 *
 * Replies to bytes, and farewells: every piece is released once and never from inside the handler,
 * a peer that does not listen is not read from and then cut off, and what was replied before the
 * end arrives.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "rig.h"

enum {
    PIECE_BYTES = 1 << 20,
    REPLIES = 64,                  /* far more than CONN_QUEUE_HIGH_BYTES */
    REPLY_ROOM = PIECE_BYTES + 64, /* a reply and its head */
    LINGER_MS = 1000,
};

static uint8_t buffer[1 << 20];
static uint8_t piece_bytes[PIECE_BYTES];

/* References are told apart by nobody: the connection only carries them. */
static struct weights *const some_weights = (struct weights *)(void *)buffer;

static int set_up(void **state)
{
    for (size_t i = 0; i < sizeof piece_bytes; i++)
        piece_bytes[i] = (uint8_t)(i * 7 + i / 253);
    struct rig *const rig = rig_create();
    rig_open(rig, NULL, 0);
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    rig_destroy(*state);
    return 0;
}

static const struct stepd_message ack = {.request_id = 7, .kind = STEPD_MESSAGE_ACK};

/* Answers a message by one piece of a mebibyte. */
static void reply_large(struct rig *rig)
{
    const struct core_piece piece = {
        .weights = some_weights,
        .bytes = piece_bytes,
        .count = sizeof piece_bytes,
    };
    conn_reply(rig->conn, &ack, &piece, 1);
}

static void reply_small(struct rig *rig)
{
    conn_reply(rig->conn, &ack, NULL, 0);
}

static void reply_and_finish(struct rig *rig)
{
    reply_large(rig);
    conn_finish(rig->conn);
}

static void finish(struct rig *rig)
{
    conn_finish(rig->conn);
}

static void ask(struct rig *rig, size_t times)
{
    size_t n = 0;
    for (uint64_t i = 0; i < times; i++)
        n = rig_heartbeat(buffer, n, i);
    rig_write(rig, buffer, n);
}

static void conn__reply_without_payload__is_a_frame(void **state)
{
    struct rig *const rig = *state;
    rig->on_message = reply_small;
    ask(rig, 1);
    uint8_t expected[64];
    uint8_t got[64];
    const size_t n = rig_frame(expected, 0, &ack, NULL, 0);
    rig_read(rig, got, n);
    assert_memory_equal(got, expected, n);
}

static void conn__reply_with_pieces__is_head_and_pieces_in_order(void **state)
{
    struct rig *const rig = *state;
    const struct core_piece piece[] = {
        {.weights = some_weights, .bytes = piece_bytes, .count = 3},
        {.weights = some_weights, .bytes = piece_bytes + 100, .count = 1},
        {.weights = some_weights, .bytes = piece_bytes + 3, .count = 5000},
    };
    uint8_t payload[5004];
    uint8_t expected[5100];
    uint8_t got[5100];
    memcpy(payload, piece_bytes, 3);
    payload[3] = piece_bytes[100];
    memcpy(payload + 4, piece_bytes + 3, 5000);
    const size_t n = rig_frame(expected, 0, &ack, payload, sizeof payload);
    conn_reply(rig->conn, &ack, piece, 3);
    assert_int_equal(rig->released, 0); /* all bytes have left, but the handler may be running */
    conn_loop_settle(&rig->loop);
    assert_int_equal(rig->released, 3);
    rig_read(rig, got, n);
    assert_memory_equal(got, expected, n);
}

static void conn__peer_that_never_reads__is_not_read_from(void **state)
{
    struct rig *const rig = *state;
    rig->on_message = reply_large;
    ask(rig, REPLIES);
    const size_t most = CONN_QUEUE_HIGH_BYTES / PIECE_BYTES + 2;
    assert_true(rig->messages >= CONN_QUEUE_HIGH_BYTES / PIECE_BYTES);
    assert_true(rig->messages <= most);
    ask(rig, 4); /* more bytes change nothing */
    assert_true(rig->messages <= most);
}

static void conn__peer_reads_at_last__gets_everything_it_asked_for(void **state)
{
    struct rig *const rig = *state;
    static uint8_t got[REPLY_ROOM];
    static uint8_t expected[REPLY_ROOM];
    const size_t n = rig_frame(expected, 0, &ack, piece_bytes, sizeof piece_bytes);
    rig->on_message = reply_large;
    ask(rig, REPLIES);
    assert_true(rig->messages < REPLIES);
    for (size_t i = 0; i < REPLIES; i++) {
        rig_read(rig, got, n);
        assert_memory_equal(got, expected, n);
    }
    rig_turn(rig);
    assert_int_equal(rig->messages, REPLIES);
    assert_int_equal(rig->released, REPLIES);
}

static void conn__replies_that_pile_up__are_taken_again_when_most_have_left(void **state)
{
    struct rig *const rig = *state;
    static uint8_t got[REPLY_ROOM];
    const size_t n = rig_frame(got, 0, &ack, piece_bytes, sizeof piece_bytes);
    rig->on_message = reply_large;
    ask(rig, 4);
    assert_true(conn_takes(rig->conn));
    ask(rig, CONN_QUEUE_HIGH_BYTES / PIECE_BYTES);
    assert_false(conn_takes(rig->conn));
    rig_read(rig, got, n);
    assert_int_equal(rig->taken, 0);
    for (size_t i = 1; i < rig->messages; i++)
        rig_read(rig, got, n);
    assert_int_equal(rig->taken, 1);
    assert_true(conn_takes(rig->conn));
}

/* ---- In the way ------------------------------------------------------------------------------ */

static void conn__that_gives_way__is_closed_when_it_is_cut_and_releases_all(void **state)
{
    struct rig *const rig = *state;
    rig->on_message = reply_large;
    ask(rig, 10);
    assert_int_equal(conn_loop_in_the_way(&rig->loop, some_weights), 0);
    conn_give_way(rig->conn);
    const size_t in_the_way = conn_loop_in_the_way(&rig->loop, some_weights);
    assert_int_equal(in_the_way, 10 - rig->released);
    assert_int_equal(conn_loop_cut_readers(&rig->loop, some_weights), 1);
    assert_int_equal(conn_loop_cut_readers(&rig->loop, some_weights), 0); /* it is cut already */
    assert_int_equal(rig->closed, 0); /* the handler may be running */
    conn_loop_go_on(&rig->loop);
    assert_int_equal(rig->closed, 1);
    rig_turn(rig);
    assert_int_equal(rig->gone, 1);
    assert_int_equal(rig->released, 10);
}

static void conn__with_other_weights_on_their_way__is_not_cut(void **state)
{
    struct rig *const rig = *state;
    rig->on_message = reply_large;
    ask(rig, 10);
    conn_give_way(rig->conn);
    const struct weights *const others = (const struct weights *)(const void *)piece_bytes;
    assert_int_equal(conn_loop_in_the_way(&rig->loop, others), 0);
    assert_int_equal(conn_loop_cut_readers(&rig->loop, others), 0);
    conn_loop_go_on(&rig->loop);
    assert_int_equal(rig->closed, 0);
}

static void conn__that_its_handler_has_forgotten__gives_way(void **state)
{
    struct rig *const rig = *state;
    rig->on_message = reply_large;
    ask(rig, 10);
    assert_int_equal(conn_loop_cut_readers(&rig->loop, some_weights), 0);
    conn_finish(rig->conn);
    assert_int_equal(conn_loop_cut_readers(&rig->loop, some_weights), 1);
    conn_loop_go_on(&rig->loop);
    rig_turn(rig);
    assert_int_equal(rig->gone, 1);
    assert_int_equal(rig->released, 10);
}

/* ---- Time ------------------------------------------------------------------------------------ */

/* What a peer may take for reply_large(): at least 1 MiB/s, beyond the timeout. */
enum { REPLY_TIMEOUT_MS = RIG_WRITE_TIMEOUT_MS + 1000 };

static void conn__replies_not_taken_in_time__cost_the_connection(void **state)
{
    struct rig *const rig = *state;
    const uint64_t now_ms = uv_now(&rig->uv);
    rig->on_message = reply_large;
    ask(rig, 4);
    conn_loop_tick(&rig->loop, now_ms);
    conn_loop_tick(&rig->loop, now_ms + REPLY_TIMEOUT_MS - 1000);
    rig_turn(rig);
    assert_int_equal(rig->closed, 0);
    conn_loop_tick(&rig->loop, now_ms + REPLY_TIMEOUT_MS + 100); /* turns move the time on */
    rig_turn(rig);
    assert_int_equal(rig->closed, 1);
    assert_int_equal(rig->gone, 1);
    assert_int_equal(rig->released, 4);
}

static void conn__reply_that_trickles__costs_the_connection(void **state)
{
    struct rig *const rig = *state;
    const uint64_t now_ms = uv_now(&rig->uv);
    rig->on_message = reply_large;
    ask(rig, 4);
    for (uint64_t passed_ms = 0; passed_ms < REPLY_TIMEOUT_MS; passed_ms += 1000) {
        conn_loop_tick(&rig->loop, now_ms + passed_ms);
        assert_int_equal(rig->closed, 0);
        rig_read(rig, buffer, 10000);
    }
    conn_loop_tick(&rig->loop, now_ms + REPLY_TIMEOUT_MS + 100); /* turns move the time on */
    rig_turn(rig);
    assert_int_equal(rig->closed, 1);
    assert_int_equal(rig->released, 4);
}

/* Each within its own time, and all of them together in four times that. */
static void conn__replies_taken_one_at_a_time__cost_the_connection(void **state)
{
    struct rig *const rig = *state;
    uint64_t now_ms = uv_now(&rig->uv);
    rig->on_message = reply_large;
    ask(rig, 4);
    for (int i = 0; i < 2; i++) {
        conn_loop_tick(&rig->loop, now_ms);
        assert_int_equal(rig->closed, 0);
        now_ms += REPLY_TIMEOUT_MS - 1000;
        rig_read(rig, buffer, PIECE_BYTES);
    }
    conn_loop_tick(&rig->loop, now_ms);
    rig_turn(rig);
    assert_int_equal(rig->closed, 1);
    assert_int_equal(rig->limits.refused[LIMIT_WRITE_TIME], 1);
}

static void conn__replies_taken_at_the_least_rate__keep_the_connection(void **state)
{
    struct rig *const rig = *state;
    uint64_t now_ms = uv_now(&rig->uv) + RIG_WRITE_TIMEOUT_MS;
    rig->on_message = reply_large;
    ask(rig, 8);
    for (int i = 0; i < 8; i++) {
        conn_loop_tick(&rig->loop, now_ms);
        assert_int_equal(rig->closed, 0);
        rig_read(rig, buffer, PIECE_BYTES);
        now_ms += 1000;
    }
}

static void conn__reply_before_the_first_tick__is_not_late(void **state)
{
    struct rig *const rig = *state;
    rig->on_message = reply_large;
    ask(rig, 4);
    conn_loop_tick(&rig->loop, uv_now(&rig->uv) + 100);
    rig_turn(rig);
    assert_int_equal(rig->closed, 0);
}

static void conn__silent_peer_without_replies__keeps_the_connection(void **state)
{
    struct rig *const rig = *state;
    const uint64_t now_ms = uv_now(&rig->uv);
    conn_loop_tick(&rig->loop, now_ms);
    conn_loop_tick(&rig->loop, now_ms + 10 * (uint64_t)RIG_WRITE_TIMEOUT_MS);
    rig_turn(rig);
    assert_int_equal(rig->closed, 0);
}

static void
conn__handler_finishes_inside_a_message__reply_arrives_and_no_more_is_heard(void **state)
{
    struct rig *const rig = *state;
    static uint8_t got[2 * REPLY_ROOM];
    rig->on_message = reply_and_finish;
    ask(rig, 3);
    const size_t n = rig_read_to_end(rig, got, sizeof got);
    assert_true(n > PIECE_BYTES);
    assert_memory_equal(got + n - PIECE_BYTES, piece_bytes, PIECE_BYTES);
    assert_int_equal(rig->messages, 1);
    assert_int_equal(rig->closed, 0); /* it had forgotten the connection itself */
    assert_int_equal(rig->released, 1);
    rig_close_peer(rig);
    assert_int_equal(rig->gone, 1);
}

static void conn__handler_finishes_with_a_payload_to_come__drops_it(void **state)
{
    struct rig *const rig = *state;
    rig->on_message = finish;
    rig_write(rig, buffer, rig_push(buffer, 0, 1, piece_bytes, 1000));
    assert_int_equal(rig->filled, 0);
    assert_int_equal(rig_read_to_end(rig, buffer, sizeof buffer), 0);
}

static void conn__peer_closes_with_replies_queued__every_piece_is_released(void **state)
{
    struct rig *const rig = *state;
    rig->on_message = reply_large;
    ask(rig, 10);
    rig_close_peer(rig);
    assert_int_equal(rig->closed, 1);
    assert_int_equal(rig->gone, 1);
    assert_int_equal(rig->released, 10);
}

static void conn__peer_sends_its_end__gets_what_it_asked_for(void **state)
{
    struct rig *const rig = *state;
    static uint8_t got[5 * REPLY_ROOM];
    rig->on_message = reply_large;
    ask(rig, 4);
    assert_int_equal(shutdown(rig->peer, SHUT_WR), 0);
    const size_t n = rig_read_to_end(rig, got, sizeof got);
    assert_true(n > 4 * PIECE_BYTES);
    rig_turn(rig);
    assert_int_equal(rig->closed, 1);
    assert_int_equal(rig->gone, 1);
}

static void conn__drain__flushes_and_waits_for_the_peer(void **state)
{
    struct rig *const rig = *state;
    static uint8_t got[5 * REPLY_ROOM];
    rig->on_message = reply_large;
    ask(rig, 4);
    conn_loop_drain(&rig->loop);
    assert_int_equal(rig->closed, 1);
    assert_true(rig_read_to_end(rig, got, sizeof got) > 4 * PIECE_BYTES);
    assert_int_equal(rig->gone, 0);
    rig_close_peer(rig);
    assert_int_equal(rig->gone, 1);
}

static void conn__drained_peer_that_stays__is_closed_after_a_while(void **state)
{
    struct rig *const rig = *state;
    conn_loop_drain(&rig->loop);
    rig_turn(rig);
    const uint64_t now_ms = uv_now(&rig->uv);
    conn_loop_tick(&rig->loop, now_ms);
    rig_turn(rig);
    assert_int_equal(rig->gone, 0);
    conn_loop_tick(&rig->loop, now_ms + LINGER_MS);
    rig_turn(rig);
    assert_int_equal(rig->gone, 1);
}

static void conn__cut__releases_what_was_queued(void **state)
{
    struct rig *const rig = *state;
    rig->on_message = reply_large;
    ask(rig, 10);
    conn_loop_cut(&rig->loop);
    rig_turn(rig);
    assert_int_equal(rig->closed, 1);
    assert_int_equal(rig->gone, 1);
    assert_int_equal(rig->released, 10);
}

/* Replies with a list that no header can hold. */
static void reply_too_long(struct rig *rig)
{
    enum { COUNT = 40000 };

    uint32_t *const slice = calloc(COUNT, sizeof *slice);
    uint64_t *const version = calloc(COUNT, sizeof *version);
    assert_non_null(slice);
    assert_non_null(version);
    const struct stepd_message message = {
        .kind = STEPD_MESSAGE_RESULT,
        .body.result =
            {
                .slices = {.count = COUNT, .at = slice},
                .outcomes = {.count = COUNT, .at = slice},
                .versions = {.count = COUNT, .at = version},
            },
    };
    const struct core_piece piece = {
        .weights = some_weights,
        .bytes = piece_bytes,
        .count = 10,
    };
    conn_reply(rig->conn, &message, &piece, 1);
    free(slice);
    free(version);
}

static void conn__reply_that_cannot_be_encoded__is_closed_by_the_tick(void **state)
{
    struct rig *const rig = *state;
    rig->on_message = reply_too_long;
    ask(rig, 2);
    assert_int_equal(rig->messages, 1); /* a reply is lost: nothing more is heard */
    assert_int_equal(rig->closed, 0);
    assert_int_equal(rig->released, 1);
    conn_loop_tick(&rig->loop, uv_now(&rig->uv));
    rig_turn(rig);
    assert_int_equal(rig->released, 1);
    assert_int_equal(rig->closed, 1);
    assert_int_equal(rig->gone, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(conn__reply_without_payload__is_a_frame),
        TEST(conn__reply_with_pieces__is_head_and_pieces_in_order),
        TEST(conn__peer_that_never_reads__is_not_read_from),
        TEST(conn__peer_reads_at_last__gets_everything_it_asked_for),
        TEST(conn__replies_that_pile_up__are_taken_again_when_most_have_left),
        TEST(conn__that_gives_way__is_closed_when_it_is_cut_and_releases_all),
        TEST(conn__with_other_weights_on_their_way__is_not_cut),
        TEST(conn__that_its_handler_has_forgotten__gives_way),
        TEST(conn__replies_not_taken_in_time__cost_the_connection),
        TEST(conn__reply_that_trickles__costs_the_connection),
        TEST(conn__replies_taken_one_at_a_time__cost_the_connection),
        TEST(conn__replies_taken_at_the_least_rate__keep_the_connection),
        TEST(conn__reply_before_the_first_tick__is_not_late),
        TEST(conn__silent_peer_without_replies__keeps_the_connection),
        TEST(conn__handler_finishes_inside_a_message__reply_arrives_and_no_more_is_heard),
        TEST(conn__handler_finishes_with_a_payload_to_come__drops_it),
        TEST(conn__peer_closes_with_replies_queued__every_piece_is_released),
        TEST(conn__peer_sends_its_end__gets_what_it_asked_for),
        TEST(conn__drain__flushes_and_waits_for_the_peer),
        TEST(conn__drained_peer_that_stays__is_closed_after_a_while),
        TEST(conn__cut__releases_what_was_queued),
        TEST(conn__reply_that_cannot_be_encoded__is_closed_by_the_tick),
    };
    return cmocka_run_group_tests_name("conn_write", tests, NULL, NULL);
}
