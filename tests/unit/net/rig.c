/* SPDX-License-Identifier: Apache-2.0
 *
 * The loop is turned without blocking, as often as a turn may still bring something: libuv defers
 * write and close callbacks by a turn each.
 */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/error.h"
#include "proto/frame.h"

#define TURNS 16

/* ---- The handler ----------------------------------------------------------------------------- */

static void *on_opened(void *owner, struct conn *conn, uint64_t now_ms)
{
    struct rig *const rig = owner;
    (void)now_ms;
    rig->conn = conn;
    return rig->refuse_open ? NULL : rig;
}

static enum stepd_status on_message(void *user, const struct stepd_message *message,
                                    uint64_t payload_bytes, uint64_t now_ms,
                                    struct stepd_error *reterr)
{
    struct rig *const rig = user;
    (void)now_ms;
    assert_true(rig->messages < RIG_MESSAGES);
    rig->request_id[rig->messages] = message->request_id;
    rig->kind[rig->messages] = message->kind;
    rig->payload_bytes[rig->messages] = payload_bytes;
    rig->messages++;
    rig->inside = true;
    if (rig->on_message != NULL)
        rig->on_message(rig);
    rig->inside = false;
    return rig->answer == STEPD_OK ? STEPD_OK : stepd_fail(reterr, rig->answer, "as told");
}

static uint8_t *on_window(void *user, size_t *ret_room)
{
    struct rig *const rig = user;
    *ret_room = rig->window_most;
    if (rig->unwanted)
        return NULL;
    assert_true(rig->filled < RIG_PAYLOAD_BYTES);
    if (*ret_room > RIG_PAYLOAD_BYTES - rig->filled)
        *ret_room = RIG_PAYLOAD_BYTES - rig->filled;
    return rig->payload + rig->filled;
}

static void on_filled(void *user, size_t n, uint64_t now_ms)
{
    struct rig *const rig = user;
    (void)now_ms;
    assert_true(n > 0 && n <= rig->window_most);
    rig->filled += n;
    rig->fills++;
}

static void on_closed(void *user, uint64_t now_ms)
{
    struct rig *const rig = user;
    (void)now_ms;
    assert_false(rig->inside);
    rig->closed++;
}

static void on_taken(void *user, uint64_t now_ms)
{
    struct rig *const rig = user;
    (void)now_ms;
    assert_false(rig->inside);
    assert_true(conn_takes(rig->conn));
    rig->taken++;
}

static void on_release(void *owner, struct weights *weights, uint64_t now_ms)
{
    struct rig *const rig = owner;
    (void)now_ms;
    assert_non_null(weights);
    assert_false(rig->inside);
    rig->released++;
}

static void on_known(void *owner)
{
    struct rig *const rig = owner;
    rig->known++;
}

static void on_gone(void *owner, bool known)
{
    struct rig *const rig = owner;
    rig->gone++;
    rig->known -= known;
}

static const struct conn_handler handler = {
    .opened = on_opened,
    .message = on_message,
    .window = on_window,
    .filled = on_filled,
    .closed = on_closed,
    .taken = on_taken,
    .release = on_release,
    .known = on_known,
    .gone = on_gone,
};

/* ---- The rig --------------------------------------------------------------------------------- */

struct rig *rig_create(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    struct rig *const rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    rig->peer = -1;
    rig->window_most = RIG_PAYLOAD_BYTES;
    assert_int_equal(uv_loop_init(&rig->uv), 0);
    const struct conn_loop_options options = {
        .uv = &rig->uv,
        .handler = &handler,
        .owner = rig,
        .frame_max_bytes = RIG_FRAME_MAX_BYTES,
        .write_timeout_ms = RIG_WRITE_TIMEOUT_MS,
        .read_timeout_ms = RIG_READ_TIMEOUT_MS,
        .idle_timeout_ms = RIG_IDLE_TIMEOUT_MS,
        .refusals_max_per_s = RIG_REFUSALS_MAX_PER_S,
        .limits = &rig->limits,
    };
    assert_int_equal(conn_loop_init(&rig->loop, &options), STEPD_OK);
    return rig;
}

static void open_caller(struct rig *rig, const uint8_t *bytes, size_t count, struct tls *tls)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    rig->peer = pair[1];
    assert_int_equal(fcntl(rig->peer, F_SETFL, O_NONBLOCK), 0);
    struct caller *const caller = caller_create(pair[0], false, "unix", bytes, count);
    assert_non_null(caller);
    caller->tls = tls;
    conn_open(&rig->loop, caller);
    rig_turn(rig);
}

void rig_open(struct rig *rig, const uint8_t *bytes, size_t count)
{
    open_caller(rig, bytes, count, /* tls= */ NULL);
}

void rig_open_tls(struct rig *rig, struct tls *tls)
{
    open_caller(rig, NULL, 0, tls);
}

void rig_destroy(struct rig *rig)
{
    rig_close_peer(rig);
    conn_loop_cut(&rig->loop);
    rig_turn(rig);
    conn_loop_deinit(&rig->loop);
    assert_int_equal(uv_loop_close(&rig->uv), 0);
    free(rig);
}

void rig_turn(struct rig *rig)
{
    for (int i = 0; i < TURNS; i++)
        (void)uv_run(&rig->uv, UV_RUN_NOWAIT);
}

void rig_write(struct rig *rig, const uint8_t *bytes, size_t n)
{
    while (n > 0) {
        const ssize_t written = write(rig->peer, bytes, n);
        if (written > 0) {
            bytes += written;
            n -= (size_t)written;
            continue;
        }
        assert_int_equal(errno, EAGAIN);
        const size_t filled = rig->filled;
        const size_t messages = rig->messages;
        rig_turn(rig);
        assert_true(rig->filled > filled || rig->messages > messages);
    }
    rig_turn(rig);
}

/* Reads what is there; 0 at the end, -1 if there is nothing yet. */
static ssize_t read_some(struct rig *rig, uint8_t *bytes, size_t size)
{
    rig_turn(rig);
    const ssize_t n = read(rig->peer, bytes, size);
    if (n < 0)
        assert_int_equal(errno, EAGAIN);
    return n;
}

size_t rig_read_to_end(struct rig *rig, uint8_t *bytes, size_t size)
{
    size_t at = 0;
    for (;;) {
        assert_true(at < size);
        const ssize_t n = read_some(rig, bytes + at, size - at);
        assert_true(n >= 0);
        if (n == 0)
            return at;
        at += (size_t)n;
    }
}

void rig_read(struct rig *rig, uint8_t *bytes, size_t n)
{
    for (size_t at = 0; at < n;) {
        const ssize_t some = read_some(rig, bytes + at, n - at);
        assert_true(some > 0);
        at += (size_t)some;
    }
}

void rig_close_peer(struct rig *rig)
{
    if (rig->peer >= 0)
        assert_int_equal(close(rig->peer), 0);
    rig->peer = -1;
    rig_turn(rig);
}

/* ---- Frames ---------------------------------------------------------------------------------- */

size_t rig_frame(uint8_t *bytes, size_t at, const struct stepd_message *message,
                 const uint8_t *payload, size_t payload_bytes)
{
    struct stepd_arena arena;
    struct stepd_error error;
    uint8_t *head;
    size_t head_bytes;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    assert_int_equal(
        stepd_message_encode(message, payload_bytes, &arena, &head, &head_bytes, &error), STEPD_OK);
    memcpy(bytes + at, head, head_bytes);
    if (payload_bytes > 0)
        memcpy(bytes + at + head_bytes, payload, payload_bytes);
    free(head);
    stepd_arena_deinit(&arena);
    return at + head_bytes + payload_bytes;
}

size_t rig_heartbeat(uint8_t *bytes, size_t at, uint64_t request_id)
{
    const struct stepd_message message = {
        .request_id = request_id,
        .kind = STEPD_MESSAGE_HEARTBEAT,
    };
    return rig_frame(bytes, at, &message, NULL, 0);
}

size_t rig_push(uint8_t *bytes, size_t at, uint64_t request_id, const uint8_t *payload,
                size_t payload_bytes)
{
    static const uint32_t slice[] = {0};
    static const uint64_t base_version[] = {0};
    const struct stepd_message message = {
        .request_id = request_id,
        .kind = STEPD_MESSAGE_PUSH,
        .body.push =
            {
                .incarnation = 1,
                .clock = 1,
                .slices = {.count = 1, .at = slice},
                .base_versions = {.count = 1, .at = base_version},
                .examples = 1,
            },
    };
    return rig_frame(bytes, at, &message, payload, payload_bytes);
}

void rig_decode_error(const uint8_t *bytes, size_t n, uint64_t *ret_request_id,
                      struct stepd_error *ret_error)
{
    struct stepd_frame_head head;
    struct stepd_arena arena;
    struct stepd_message message;
    assert_int_equal(stepd_frame_parse(bytes, n, STEPD_FRAME_MAX_BYTES, &head, NULL),
                     STEPD_FRAME_HEAD);
    assert_int_equal(head.payload_at + head.payload_bytes, n);
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    assert_int_equal(
        stepd_message_decode(bytes + head.header_at, head.header_bytes, &arena, &message, NULL),
        STEPD_OK);
    assert_int_equal(message.kind, STEPD_MESSAGE_ERROR);
    *ret_request_id = message.request_id;
    (void)stepd_fail(ret_error, message.body.error.code, "%s", message.body.error.text);
    stepd_arena_deinit(&arena);
}
