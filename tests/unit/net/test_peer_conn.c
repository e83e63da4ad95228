/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections between daemons, of which the test holds the other end: letters in pieces, what is
 * none, an end in the midst, and a socket that takes no more.
 */
#include "server/net/peer_conn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "far_daemon.h"
#include "proto/error.h"
#include "rig.h"

enum {
    WRITE_TIMEOUT_MS = 30000,
    READ_TIMEOUT_MS = 20000,
    SILENT_MS = 10000,
    LEASE_MS = 60000,
    LETTER_MAX_BYTES = 1 << 17,
    BIG_BYTES = 16 << 20, /* more than what waits for a socket at once */
};

struct scene {
    uv_loop_t uv;
    struct peer_conns *conns; /* owned */
    struct peer_link *link;   /* owned */
    struct peer_conn *conn;   /* NULL: gone */
    struct far_daemon *far;   /* owned */
    enum stepd_status answer; /* to a letter */
    bool ends_inside;         /* a letter's taker ends the connection */
    size_t greeted;
    size_t letters;
    size_t bytes; /* of the last */
    uint8_t first;
    size_t progressed;
    size_t closed;
    size_t gone;
    struct stepd_error why;
};

static struct scene scene;

/* ---- The owner ------------------------------------------------------------------------------- */

static void on_opened(void *owner, struct peer_conn *conn)
{
    (void)owner;
    scene.conn = conn;
}

static enum stepd_status on_greeted(void *owner, struct peer_conn *conn,
                                    const struct stepd_message *message, uint64_t now_ms,
                                    struct stepd_error *reterr)
{
    static const uint8_t instance[PEER_INSTANCE_BYTES] = {1};
    (void)owner;
    scene.greeted++;
    if (message->kind != STEPD_MESSAGE_JOIN)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "no join");
    peer_link_begin(scene.link, instance, /* reign= */ 5, now_ms);
    peer_conn_carry(conn, scene.link);
    return STEPD_OK;
}

static enum stepd_status on_letter(void *owner, struct peer_conn *conn, const uint8_t *bytes,
                                   size_t n, uint64_t now_ms, struct stepd_error *reterr)
{
    (void)owner;
    (void)now_ms;
    scene.letters++;
    scene.bytes = n;
    scene.first = bytes[0];
    if (scene.ends_inside) {
        peer_conn_end(conn, NULL);
        scene.conn = NULL;
    }
    return scene.answer == STEPD_OK ? STEPD_OK : stepd_fail(reterr, scene.answer, "as told");
}

static void on_progressed(void *owner, struct peer_conn *conn)
{
    (void)owner;
    assert_ptr_equal(conn, scene.conn);
    scene.progressed++;
}

static void on_closed(void *owner, struct peer_conn *conn, const struct stepd_error *why)
{
    (void)owner;
    assert_ptr_equal(conn, scene.conn);
    scene.conn = NULL;
    scene.closed++;
    scene.why = *why;
}

static void on_gone(void *owner, bool known)
{
    (void)owner;
    (void)known;
    scene.gone++;
}

/* ---- The scene ------------------------------------------------------------------------------- */

static int set_up(void **state)
{
    const struct peer_link_options link = {
        .lease_ms = LEASE_MS,
        .ping_ms = 1000,
        .silent_ms = SILENT_MS,
        .kept_max_bytes = (size_t)1 << 30,
        .letter_max_bytes = LETTER_MAX_BYTES,
    };
    struct caller *caller = NULL;
    (void)state;
    scene = (struct scene){.answer = STEPD_OK};
    assert_int_equal(uv_loop_init(&scene.uv), 0);
    const struct peer_conns_options options = {
        .uv = &scene.uv,
        .frame_max_bytes = 1 << 20,
        .write_timeout_ms = WRITE_TIMEOUT_MS,
        .read_timeout_ms = READ_TIMEOUT_MS,
        .io = {.opened = on_opened,
               .greeted = on_greeted,
               .letter = on_letter,
               .progressed = on_progressed,
               .closed = on_closed,
               .gone = on_gone},
    };
    scene.conns = peer_conns_create(&options);
    scene.link = peer_link_create(&link);
    assert_non_null(scene.conns);
    assert_non_null(scene.link);
    scene.far = far_daemon_pair(&scene.uv, &caller);
    peer_conns_serve(scene.conns, caller);
    assert_non_null(scene.conn);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    peer_conns_cut(scene.conns);
    far_turn(&scene.uv);
    assert_int_equal(peer_conns_count(scene.conns), 0);
    assert_int_equal(scene.gone, 1);
    (void)far_daemon_destroy(scene.far);
    (void)peer_conns_destroy(scene.conns);
    (void)peer_link_destroy(scene.link);
    assert_int_equal(uv_loop_close(&scene.uv), 0);
    return 0;
}

static void greet(void)
{
    static const uint8_t instance[STEPD_INSTANCE_BYTES] = {1};
    const struct stepd_message join = {
        .request_id = 1,
        .kind = STEPD_MESSAGE_JOIN,
        .body.join = {.protocol = 1,
                      .version = "1",
                      .place = 1,
                      .address = "a:1",
                      .shards = 1,
                      .instance = {.count = sizeof instance, .at = instance},
                      .expects = 1},
    };
    far_say(scene.far, &join, NULL, 0);
    assert_int_equal(scene.greeted, 1);
}

static void say(uint64_t sequence, bool more, const uint8_t *bytes, size_t n)
{
    far_say_piece(scene.far, (struct stepd_letter){.sequence = sequence, .more = more}, bytes, n);
}

static struct peer_bytes *make_letter(size_t n)
{
    struct peer_bytes *const letter = calloc(1, sizeof *letter);
    assert_non_null(letter);
    *letter = (struct peer_bytes){.refs = 1, .n = n, .at = calloc(1, n)};
    assert_non_null(letter->at);
    return letter;
}

static void tick(uint64_t after_ms)
{
    uv_update_time(&scene.uv);
    peer_conns_tick(scene.conns, uv_now(&scene.uv) + after_ms);
    far_turn(&scene.uv);
}

static const uint8_t piece[PEER_PIECE_MAX_BYTES] = {42};

/* ---- Letters --------------------------------------------------------------------------------- */

static void letter__of_one_piece__is_given_and_acknowledged(void **state)
{
    (void)state;
    greet();
    for (uint64_t sequence = 1; sequence <= 64; sequence++)
        say(sequence, false, piece, 3);
    assert_int_equal(scene.letters, 64);
    assert_int_equal(scene.bytes, 3);
    assert_int_equal(scene.first, 42);
    assert_true(far_expect(scene.far, STEPD_MESSAGE_LETTER)->body.letter.seen > 0);
}

static void letter__in_pieces__is_given_when_it_is_whole(void **state)
{
    (void)state;
    greet();
    say(1, true, piece, sizeof piece);
    say(2, true, piece, sizeof piece);
    assert_int_equal(scene.letters, 0);
    say(3, false, piece, 5);
    assert_int_equal(scene.letters, 1);
    assert_int_equal(scene.bytes, 2 * sizeof piece + 5);
}

static void letter__byte_by_byte__is_given_all_the_same(void **state)
{
    uint8_t bytes[512];
    (void)state;
    greet();
    const struct stepd_message message = {.kind = STEPD_MESSAGE_LETTER,
                                          .body.letter = {.sequence = 1}};
    const size_t n = rig_frame(bytes, 0, &message, piece, 100);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(scene.letters, 0);
        far_say_bytes(scene.far, bytes + i, 1);
    }
    assert_int_equal(scene.letters, 1);
    assert_int_equal(scene.bytes, 100);
}

static void letter__that_was_seen_before__is_dropped(void **state)
{
    (void)state;
    greet();
    say(1, false, piece, 3);
    say(1, false, piece, 3);
    assert_int_equal(scene.letters, 1);
    assert_non_null(scene.conn);
}

static void letter__its_taker_ends_the_connection__touches_nothing_more(void **state)
{
    (void)state;
    greet();
    scene.ends_inside = true;
    say(1, false, piece, 3);
    assert_int_equal(scene.letters, 1);
    assert_int_equal(scene.closed, 0);
    assert_int_equal(peer_link_state(scene.link), PEER_LINK_DOWN);
    far_expect_end(scene.far);
}

/* ---- What is no letter ----------------------------------------------------------------------- */

static void assert_broken(enum stepd_status code, const char *words)
{
    assert_int_equal(scene.closed, 1);
    assert_int_equal(peer_link_state(scene.link), PEER_LINK_LOST);
    far_expect_refusal(scene.far, code, words);
}

static void letter__before_a_join__is_refused(void **state)
{
    (void)state;
    say(1, false, piece, 3);
    assert_int_equal(scene.closed, 1);
    far_expect_refusal(scene.far, STEPD_FAILED_PRECONDITION, "before this daemon has joined");
}

static void letter__of_a_piece_too_large__is_refused_before_it_is_read(void **state)
{
    static const uint8_t large[PEER_PIECE_MAX_BYTES + 1];
    (void)state;
    greet();
    say(1, false, large, sizeof large);
    assert_int_equal(scene.closed, 1);
    assert_int_equal(scene.letters, 0);
    far_expect_refusal(scene.far, STEPD_INVALID_ARGUMENT, "a letter's piece of");
}

static void letter__of_too_many_pieces__breaks_the_link(void **state)
{
    (void)state;
    greet();
    for (uint64_t sequence = 1; scene.closed == 0; sequence++) {
        assert_true((sequence - 1) * sizeof piece <= LETTER_MAX_BYTES);
        say(sequence, true, piece, sizeof piece);
    }
    assert_broken(STEPD_INVALID_ARGUMENT, "a letter of more than 131072 bytes");
}

static void letter__with_a_gap__breaks_the_link(void **state)
{
    (void)state;
    greet();
    say(2, false, piece, 3);
    assert_broken(STEPD_INVALID_ARGUMENT, "piece 2 came where 1 was expected");
}

static void letter__that_its_taker_refuses__breaks_the_link(void **state)
{
    (void)state;
    greet();
    scene.answer = STEPD_INVALID_ARGUMENT;
    say(1, false, piece, 3);
    assert_string_equal(scene.why.text, "as told");
    assert_broken(STEPD_INVALID_ARGUMENT, "as told");
}

static void greeting__with_a_payload__is_refused(void **state)
{
    (void)state;
    far_say(scene.far, &(struct stepd_message){.kind = STEPD_MESSAGE_HEARTBEAT}, piece, 3);
    assert_int_equal(scene.greeted, 0);
    far_expect_refusal(scene.far, STEPD_INVALID_ARGUMENT, "with a payload");
}

/* ---- Ends ------------------------------------------------------------------------------------ */

static void end__in_the_midst_of_a_piece__is_told_and_the_link_outlives_it(void **state)
{
    uint8_t bytes[512];
    (void)state;
    greet();
    const struct stepd_message message = {.kind = STEPD_MESSAGE_LETTER,
                                          .body.letter = {.sequence = 1}};
    const size_t n = rig_frame(bytes, 0, &message, piece, 100);
    far_say_bytes(scene.far, bytes, n - 1);
    assert_int_equal(shutdown(scene.far->fd, SHUT_WR), 0);
    far_turn(&scene.uv);
    assert_int_equal(scene.closed, 1);
    assert_int_equal(scene.letters, 0);
    assert_string_equal(scene.why.text, "the connection has broken");
    assert_int_equal(peer_link_state(scene.link), PEER_LINK_DOWN);
    assert_int_equal(peer_link_expects(scene.link), 1);
}

/* A connection may be silent as long as it likes: what is too long its link knows. */
static void silence__between_frames__ends_nothing(void **state)
{
    (void)state;
    greet();
    tick(10 * READ_TIMEOUT_MS);
    tick(10 * READ_TIMEOUT_MS);
    assert_int_equal(scene.closed, 0);
    assert_non_null(scene.conn);
}

static void silence__in_the_midst_of_a_frame__ends_the_connection(void **state)
{
    uint8_t bytes[512];
    (void)state;
    greet();
    const struct stepd_message message = {.kind = STEPD_MESSAGE_LETTER,
                                          .body.letter = {.sequence = 1}};
    const size_t n = rig_frame(bytes, 0, &message, piece, 100);
    far_say_bytes(scene.far, bytes, n - 1);
    tick(0);
    tick(READ_TIMEOUT_MS + 1000);
    assert_int_equal(scene.closed, 1);
    far_expect_refusal(scene.far, STEPD_DEADLINE_EXCEEDED, "the rest of a frame did not come");
}

/* ---- A socket that takes no more ------------------------------------------------------------- */

static void back_pressure__nobody_reads__holds_what_waits_to_a_few_mib(void **state)
{
    (void)state;
    greet();
    assert_int_equal(peer_link_post(scene.link, make_letter(BIG_BYTES), NULL), STEPD_OK);
    peer_conn_pump(scene.conn);
    far_turn(&scene.uv);
    struct peer_frame next;
    assert_true(peer_link_next(scene.link, uv_now(&scene.uv), &next)); /* the rest waits there */
    assert_true(next.head.sequence * PEER_PIECE_MAX_BYTES < BIG_BYTES / 2);
    (void)peer_bytes_unref(next.letter);
}

static void back_pressure__somebody_reads_again__all_arrives_in_order(void **state)
{
    size_t bytes = 0;
    uint64_t sequence = 0;
    (void)state;
    greet();
    assert_int_equal(peer_link_post(scene.link, make_letter(BIG_BYTES), NULL), STEPD_OK);
    peer_conn_pump(scene.conn);
    while (bytes < BIG_BYTES) {
        const struct stepd_letter letter = far_expect(scene.far, STEPD_MESSAGE_LETTER)->body.letter;
        assert_int_equal(letter.sequence, ++sequence);
        bytes += scene.far->payload_bytes;
        assert_int_equal(letter.more, bytes < BIG_BYTES);
    }
    assert_int_equal(bytes, BIG_BYTES);
    far_say_piece(scene.far, (struct stepd_letter){.seen = sequence}, NULL, 0);
    assert_int_equal(scene.progressed, 1);
    assert_int_equal(peer_link_kept(scene.link), 0);
}

static void back_pressure__nobody_ever_reads__ends_the_connection_and_keeps_the_letter(void **state)
{
    (void)state;
    greet();
    assert_int_equal(peer_link_post(scene.link, make_letter(BIG_BYTES), NULL), STEPD_OK);
    peer_conn_pump(scene.conn);
    tick(0);
    tick(WRITE_TIMEOUT_MS + 60000);
    assert_int_equal(scene.closed, 1);
    assert_int_equal(peer_link_state(scene.link), PEER_LINK_DOWN);
    assert_true(peer_link_kept(scene.link) >= BIG_BYTES);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(letter__of_one_piece__is_given_and_acknowledged),
        TEST(letter__in_pieces__is_given_when_it_is_whole),
        TEST(letter__byte_by_byte__is_given_all_the_same),
        TEST(letter__that_was_seen_before__is_dropped),
        TEST(letter__its_taker_ends_the_connection__touches_nothing_more),
        TEST(letter__before_a_join__is_refused),
        TEST(letter__of_a_piece_too_large__is_refused_before_it_is_read),
        TEST(letter__of_too_many_pieces__breaks_the_link),
        TEST(letter__with_a_gap__breaks_the_link),
        TEST(letter__that_its_taker_refuses__breaks_the_link),
        TEST(greeting__with_a_payload__is_refused),
        TEST(end__in_the_midst_of_a_piece__is_told_and_the_link_outlives_it),
        TEST(silence__between_frames__ends_nothing),
        TEST(silence__in_the_midst_of_a_frame__ends_the_connection),
        TEST(back_pressure__nobody_reads__holds_what_waits_to_a_few_mib),
        TEST(back_pressure__somebody_reads_again__all_arrives_in_order),
        TEST(back_pressure__nobody_ever_reads__ends_the_connection_and_keeps_the_letter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
