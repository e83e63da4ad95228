/* SPDX-License-Identifier: Apache-2.0
 *
 * A connection through TLS does what it does without: messages cut anywhere, payloads into the
 * handler's windows, replies whole, in order and released once, a reader that is held and a peer
 * that does not listen.
 */
#include <errno.h>
#include <openssl/err.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/frame.h"
#include "rig.h"
#include "tls_peer.h"

enum {
    PIECE_BYTES = 1 << 20,
    REPLIES = 40, /* more than CONN_QUEUE_HIGH_BYTES */
    PAYLOAD_BYTES = 3 << 20,
    ROOM = 4 << 20,
};

static uint8_t clear[ROOM];
static uint8_t encrypted[ROOM];
static uint8_t piece_bytes[PIECE_BYTES];
static struct weights *const some_weights = (struct weights *)(void *)piece_bytes;

struct scene {
    struct rig *rig;
    struct tls_peer *peer;
};

static int set_up(void **state)
{
    struct scene *const scene = calloc(1, sizeof *scene);
    for (size_t i = 0; i < sizeof piece_bytes; i++)
        piece_bytes[i] = (uint8_t)(i * 7 + i / 253);
    scene->peer = tls_peer_create();
    tls_peer_shake_hands(scene->peer, SIZE_MAX);
    scene->rig = rig_create();
    rig_open_tls(scene->rig, scene->peer->tls);
    scene->peer->tls = NULL;
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *const scene = *state;
    rig_destroy(scene->rig);
    tls_peer_destroy(scene->peer);
    free(scene);
    return 0;
}

static const struct stepd_message ack = {.request_id = 7, .kind = STEPD_MESSAGE_ACK};

static void reply_large(struct rig *rig)
{
    const struct core_piece piece = {
        .weights = some_weights, .bytes = piece_bytes, .count = sizeof piece_bytes};
    conn_reply(rig->conn, &ack, &piece, 1);
}

/* What has come to the peer, decrypted; 0: nothing. */
static size_t read_clear(const struct scene *scene, uint8_t *bytes, size_t room)
{
    rig_turn(scene->rig);
    const ssize_t n = read(scene->rig->peer, encrypted, 1 << 20);
    if (n < 0)
        assert_int_equal(errno, EAGAIN);
    return tls_peer_decrypt(scene->peer, encrypted, n > 0 ? (size_t)n : 0, bytes, room);
}

/* ---- Handshakes ------------------------------------------------------------------------------ */

static void handshake__cut_at_every_byte__ends(void **state)
{
    (void)state;
    struct tls_peer *const peer = tls_peer_create();
    tls_peer_shake_hands(peer, 1);
    assert_string_equal(SSL_get_version(peer->ssl), "TLSv1.3");
    assert_string_equal(tls_name(peer->tls), "");
    tls_peer_destroy(peer);
}

static void handshake__of_bytes_that_are_none__is_bad_and_says_why(void **state)
{
    (void)state;
    struct tls_peer *const peer = tls_peer_create();
    uint8_t byte = 0;
    size_t n = 0;
    assert_true(tls_feed(peer->tls, (const uint8_t *)"GET / HTTP/1.1\r\n\r\n", 18));
    assert_int_equal(tls_read(peer->tls, &byte, 1, &n), TLS_BAD);
    assert_string_equal(tls_why(peer->tls), "TLS: http request");
    assert_false(tls_is_up(peer->tls));
    tls_peer_destroy(peer);
}

/* ---- Reading --------------------------------------------------------------------------------- */

static void message__cut_at_every_byte__comes_once(void **state)
{
    struct scene *const scene = *state;
    uint8_t payload[300];
    memset(payload, 0x5A, sizeof payload);
    size_t n = rig_heartbeat(clear, 0, 1);
    n = rig_push(clear, n, 2, payload, sizeof payload);
    n = rig_heartbeat(clear, n, 3);
    const size_t bytes = tls_peer_encrypt(scene->peer, clear, n, encrypted, ROOM);
    for (size_t i = 0; i < bytes; i++) {
        assert_int_equal(write(scene->rig->peer, encrypted + i, 1), 1);
        rig_turn(scene->rig);
    }
    assert_int_equal(scene->rig->messages, 3);
    assert_int_equal(scene->rig->request_id[2], 3);
    assert_int_equal(scene->rig->filled, sizeof payload);
    assert_memory_equal(scene->rig->payload, payload, sizeof payload);
}

static void payload__of_many_records__goes_into_the_handler_s_window(void **state)
{
    struct scene *const scene = *state;
    uint8_t *const payload = malloc(PAYLOAD_BYTES);
    assert_non_null(payload);
    for (size_t i = 0; i < PAYLOAD_BYTES; i++)
        payload[i] = (uint8_t)(i * 13 + i / 65536);
    size_t n = rig_push(clear, 0, 1, payload, PAYLOAD_BYTES);
    n = rig_heartbeat(clear, n, 2);
    const size_t bytes = tls_peer_encrypt(scene->peer, clear, n, encrypted, ROOM);
    rig_write(scene->rig, encrypted, bytes);
    assert_int_equal(scene->rig->messages, 2);
    assert_int_equal(scene->rig->filled, PAYLOAD_BYTES);
    assert_memory_equal(scene->rig->payload, payload, PAYLOAD_BYTES);
    free(payload);
}

/* Heads of two records, of which the second comes in one read with the end of the first: neither
 * is read over the other. */
static void records__cut_near_the_end_of_one__come_whole(void **state)
{
    struct scene *const scene = *state;

    enum { MESSAGES = 100 };
    struct stepd_message hello = {.kind = STEPD_MESSAGE_HELLO, .body.hello.worker = ""};
    char name[STEPD_NAME_MAX_BYTES + 1] = "";
    size_t n = 0;
    size_t first = 0;
    memset(name, 'w', sizeof name - 1);
    hello.body.hello.worker = name;
    hello.body.hello.job = "";
    for (uint64_t id = 1; id <= MESSAGES; id++) {
        hello.request_id = id;
        n = rig_frame(clear, n, &hello, NULL, 0);
        if (id == MESSAGES / 2)
            first = n;
    }
    size_t bytes = tls_peer_encrypt(scene->peer, clear, first, encrypted, ROOM);
    const size_t cut = bytes - 50;
    bytes +=
        tls_peer_encrypt(scene->peer, clear + first, n - first, encrypted + bytes, ROOM - bytes);
    rig_write(scene->rig, encrypted, cut);
    assert_int_equal(scene->rig->messages, 0);
    rig_write(scene->rig, encrypted + cut, bytes - cut);
    assert_int_equal(scene->rig->messages, MESSAGES);
    assert_int_equal(scene->rig->closed, 0);
}

static void hold(struct rig *rig)
{
    conn_hold(rig->conn, true);
}

static void connection__that_is_held__takes_no_more_than_one_read(void **state)
{
    struct scene *const scene = *state;
    struct rig *const rig = scene->rig;
    size_t bytes = 0;
    for (uint64_t id = 1; id <= 100; id++) { /* a record each */
        const size_t n = rig_heartbeat(clear, 0, id);
        bytes += tls_peer_encrypt(scene->peer, clear, n, encrypted + bytes, ROOM - bytes);
    }
    rig->on_message = hold;
    assert_int_equal(write(rig->peer, encrypted, bytes), bytes);
    rig_turn(rig);
    assert_int_equal(rig->messages, 1);
    /* What follows lies in the socket. */
    while (write(rig->peer, encrypted, bytes) > 0)
        rig_turn(rig);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(rig->messages, 1);
    rig->on_message = NULL;
    conn_hold(rig->conn, false);
    conn_loop_go_on(&rig->loop);
    assert_int_equal(rig->messages, 100);
}

static void peer__that_changes_its_keys__is_answered_and_goes_on(void **state)
{
    struct scene *const scene = *state;
    assert_int_equal(SSL_key_update(scene->peer->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    const size_t n = rig_heartbeat(clear, 0, 1);
    const size_t bytes = tls_peer_encrypt(scene->peer, clear, n, encrypted, ROOM);
    rig_write(scene->rig, encrypted, bytes);
    assert_int_equal(scene->rig->messages, 1);
    conn_reply(scene->rig->conn, &ack, NULL, 0);
    assert_true(read_clear(scene, clear, ROOM) > 0);
}

static void record__that_was_forged__ends_the_connection(void **state)
{
    struct scene *const scene = *state;
    const size_t n = rig_heartbeat(clear, 0, 1);
    const size_t bytes = tls_peer_encrypt(scene->peer, clear, n, encrypted, ROOM);
    encrypted[bytes - 1] ^= 1;
    rig_write(scene->rig, encrypted, bytes);
    assert_int_equal(scene->rig->messages, 0);
    assert_int_equal(scene->rig->closed, 1);
    assert_int_equal(scene->rig->gone, 1);
}

/* What TLS itself has to say behind a read goes out, though nothing is replied. */
static void peer__that_forges_a_record__is_told_by_an_alert(void **state)
{
    struct scene *const scene = *state;
    const size_t n = rig_heartbeat(clear, 0, 1);
    const size_t bytes = tls_peer_encrypt(scene->peer, clear, n, encrypted, ROOM);
    encrypted[bytes - 1] ^= 1;
    rig_write(scene->rig, encrypted, bytes);
    const ssize_t said = read(scene->rig->peer, encrypted, ROOM);
    assert_true(said > 0);
    assert_int_equal(BIO_write(scene->peer->in, encrypted, (int)said), said);
    assert_true(SSL_read(scene->peer->ssl, clear, ROOM) <= 0);
    assert_int_equal(ERR_GET_REASON(ERR_get_error()), SSL_R_SSLV3_ALERT_BAD_RECORD_MAC);
    assert_int_equal(read(scene->rig->peer, encrypted, ROOM), 0);
}

static void peer__that_says_goodbye__ends_the_connection(void **state)
{
    struct scene *const scene = *state;
    (void)SSL_shutdown(scene->peer->ssl);
    const size_t bytes = tls_peer_encrypt(scene->peer, NULL, 0, encrypted, ROOM);
    rig_write(scene->rig, encrypted, bytes);
    assert_int_equal(scene->rig->closed, 1);
    assert_int_equal(scene->rig->gone, 1);
}

/* ---- Writing --------------------------------------------------------------------------------- */

static void replies__of_many_chunks__come_whole_and_are_released_once(void **state)
{
    struct scene *const scene = *state;
    struct rig *const rig = scene->rig;
    rig->on_message = reply_large;
    size_t n = 0;
    for (uint64_t id = 1; id <= REPLIES; id++)
        n = rig_heartbeat(clear, n, id);
    const size_t bytes = tls_peer_encrypt(scene->peer, clear, n, encrypted, ROOM);
    assert_int_equal(write(rig->peer, encrypted, bytes), bytes);
    rig_turn(rig);
    assert_true(rig->messages < REPLIES); /* no more is read than can be answered */
    assert_int_equal(rig->released, 0);
    size_t at = 0;
    for (size_t reply = 0; reply < REPLIES; reply++) {
        struct stepd_frame_head head = {.payload_at = 0};
        while (at == 0 ||
               stepd_frame_parse(clear, at, STEPD_FRAME_MAX_BYTES, &head, NULL) !=
                   STEPD_FRAME_HEAD ||
               at < head.payload_at + head.payload_bytes)
            at += read_clear(scene, clear + at, ROOM - at);
        assert_int_equal(head.payload_bytes, PIECE_BYTES);
        assert_memory_equal(clear + head.payload_at, piece_bytes, PIECE_BYTES);
        const size_t used = (size_t)(head.payload_at + head.payload_bytes);
        memmove(clear, clear + used, at - used);
        at -= used;
    }
    rig_turn(rig);
    assert_int_equal(at, 0);
    assert_int_equal(rig->messages, REPLIES);
    assert_int_equal(rig->released, REPLIES);
}

static void peer__that_does_not_listen__is_cut_off(void **state)
{
    struct scene *const scene = *state;
    struct rig *const rig = scene->rig;
    for (size_t i = 0; i < 3; i++)
        reply_large(rig);
    rig_turn(rig);
    conn_loop_tick(&rig->loop, uv_now(&rig->uv));
    const uint64_t allowed_ms = RIG_WRITE_TIMEOUT_MS + 1001; /* and a second for the mebibyte */
    conn_loop_tick(&rig->loop, uv_now(&rig->uv) + RIG_WRITE_TIMEOUT_MS);
    rig_turn(rig);
    assert_int_equal(rig->closed, 0);
    conn_loop_tick(&rig->loop, uv_now(&rig->uv) + allowed_ms);
    rig_turn(rig);
    assert_int_equal(rig->closed, 1);
    assert_int_equal(rig->gone, 1);
    assert_int_equal(rig->released, 3);
}

static void peer__in_the_way_of_a_step__is_cut_and_releases_all(void **state)
{
    struct scene *const scene = *state;
    struct rig *const rig = scene->rig;
    for (size_t i = 0; i < 3; i++)
        reply_large(rig);
    rig_turn(rig);
    conn_give_way(rig->conn);
    assert_int_equal(conn_loop_in_the_way(&rig->loop, some_weights), 3);
    assert_int_equal(conn_loop_cut_readers(&rig->loop, some_weights), 1);
    conn_loop_go_on(&rig->loop);
    rig_turn(rig);
    assert_int_equal(rig->gone, 1);
    assert_int_equal(rig->released, 3);
}

static void farewell__comes_behind_all_that_was_replied(void **state)
{
    struct scene *const scene = *state;
    struct rig *const rig = scene->rig;
    for (size_t i = 0; i < 3; i++)
        reply_large(rig);
    conn_finish(rig->conn);
    size_t all = 0;
    while (SSL_get_shutdown(scene->peer->ssl) == 0)
        all += read_clear(scene, clear, ROOM);
    assert_true(all > (size_t)3 * PIECE_BYTES);
    rig_turn(rig);
    assert_int_equal(rig->released, 3);
    assert_int_equal(read(rig->peer, encrypted, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        cmocka_unit_test(handshake__cut_at_every_byte__ends),
        cmocka_unit_test(handshake__of_bytes_that_are_none__is_bad_and_says_why),
        TEST(message__cut_at_every_byte__comes_once),
        TEST(payload__of_many_records__goes_into_the_handler_s_window),
        TEST(records__cut_near_the_end_of_one__come_whole),
        TEST(connection__that_is_held__takes_no_more_than_one_read),
        TEST(peer__that_changes_its_keys__is_answered_and_goes_on),
        TEST(record__that_was_forged__ends_the_connection),
        TEST(peer__that_forges_a_record__is_told_by_an_alert),
        TEST(peer__that_says_goodbye__ends_the_connection),
        TEST(replies__of_many_chunks__come_whole_and_are_released_once),
        TEST(peer__that_does_not_listen__is_cut_off),
        TEST(peer__in_the_way_of_a_step__is_cut_and_releases_all),
        TEST(farewell__comes_behind_all_that_was_replied),
    };
    return cmocka_run_group_tests_name("net_conn_tls", tests, NULL, NULL);
}
