/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes to messages. libuv asks where to put what it reads next, and there are two answers:
 *
 *   - in the middle of a large payload, straight into the handler's window, so that a gradient goes
 *     from the socket to its staging without a copy;
 *   - anywhere else into the loop's receive buffer, of which consume() then makes as many heads
 *     and pieces of payload as there are.
 *
 * consume() is one loop over the bytes at hand. It never waits for a callback of libuv's to go on
 * with bytes that are there already, so frames may be empty, many in one read, or cut anywhere. It
 * stops early when the connection has ended, too many replies pile up (conn.choked), or the handler
 * takes nothing now (conn.held); the receive buffer belongs to all connections of the loop, so the
 * rest is then stashed, and conn_read_on() looks at it when the connection is taken from again.
 *
 * A head that lies whole in the bytes is parsed where it lies; one that is cut is collected in
 * conn.head, which grows up to STEPD_FRAME_HEAD_MAX_BYTES and shrinks back when the head was long.
 *
 * Between frames a peer may be silent for long (conn_is_idle). In the middle of one it holds memory
 * that others could use, so it is given up (conn_read_stuck) when nothing comes for too long, or
 * too little.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/frame.h"
#include "proto/message.h"
#include "server/net/conn_internal.h"

/* A smaller window is filled through the receive buffer, which takes in what follows it too. */
#define DIRECT_LEAST_BYTES 16384u
/* Behind a payload that was read so comes the head of another such, as a rule: no more than this is
 * read with it, for what comes behind it would have to be copied. */
#define HEAD_READ_BYTES 4096u
/* A larger one in pieces: they stay in cache, and the other connections get their turn. */
#define DIRECT_MOST_BYTES (256u << 10)

#define LISTENED_MOST_MS (UINT64_C(10) * CONN_TICK_MS) /* between two ticks */

#define BYTES_ROOM_FIRST 512u
#define HEAD_KEPT_BYTES  4096u /* a longer collected head gives its memory back */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

bool conn_takes_input(const struct conn *conn)
{
    return conn->state == CONN_OPEN && !conn->choked && !conn->held && !conn->tiring &&
           !conn->doomed;
}

/* ---- Bytes of our own ------------------------------------------------------------------------ */

static bool bytes_append(struct conn_bytes *own, const uint8_t *bytes, size_t n)
{
    if (n > own->room - own->count) {
        size_t room = own->room > 0 ? own->room : BYTES_ROOM_FIRST;
        while (room < own->count + n)
            room *= 2;
        uint8_t *const grown = realloc(own->bytes, room);
        if (grown == NULL)
            return false;
        own->bytes = grown;
        own->room = room;
    }
    if (n > 0)
        memcpy(own->bytes + own->count, bytes, n);
    own->count += n;
    return true;
}

static void bytes_clear(struct conn_bytes *own, size_t kept)
{
    own->at = 0;
    own->count = 0;
    if (own->room <= kept)
        return;
    free(own->bytes);
    own->bytes = NULL;
    own->room = 0;
}

static void fail_without_memory(struct conn *conn)
{
    struct stepd_error error;
    (void)stepd_fail(&error, STEPD_RESOURCE_EXHAUSTED, "the server is out of memory");
    conn_fail(conn, &error);
}

/* ---- Frames ---------------------------------------------------------------------------------- */

/* Gives the handler the message of a whole head. */
static void on_head(struct conn *conn, const uint8_t *frame, const struct stepd_frame_head *head)
{
    struct conn_loop *const loop = conn->loop;
    struct stepd_message message;
    struct stepd_error error;
    enum stepd_status status = stepd_message_decode(frame + head->header_at, head->header_bytes,
                                                    &loop->decode, &message, &error);
    if (status == STEPD_OK) {
        conn->payload_left = head->payload_bytes;
        conn->part_bytes = head->payload_bytes;
        conn->frames++;
        status = loop->handler->message(conn->user, &message, head->payload_bytes, conn_now(conn),
                                        &error);
    }
    stepd_arena_reset(&loop->decode);
    if (status != STEPD_OK)
        conn_fail(conn, &error);
}

/* Takes n bytes, or as many as the head needs, and returns how many that were. */
static size_t take_head(struct conn *conn, const uint8_t *bytes, size_t n)
{
    const size_t had = conn->head.count;
    size_t taken = n;
    if (had > 0) {
        taken = least(n, STEPD_FRAME_HEAD_MAX_BYTES - had);
        if (!bytes_append(&conn->head, bytes, taken)) {
            fail_without_memory(conn);
            return n;
        }
    }
    const uint8_t *const frame = had > 0 ? conn->head.bytes : bytes;
    struct stepd_frame_head head;
    struct stepd_error error;
    switch (stepd_frame_parse(frame, had + taken, conn->loop->frame_max_bytes, &head, &error)) {
    case STEPD_FRAME_BAD:
        if (error.code == STEPD_RESOURCE_EXHAUSTED)
            limit_refused(conn->loop->limits, LIMIT_FRAME_BYTES);
        conn_fail(conn, &error);
        return n;
    case STEPD_FRAME_NEED_MORE:
        if (had == 0 && !bytes_append(&conn->head, bytes, taken))
            fail_without_memory(conn);
        return taken;
    case STEPD_FRAME_HEAD: break;
    }
    on_head(conn, frame, &head);
    bytes_clear(&conn->head, HEAD_KEPT_BYTES);
    return head.payload_at - had;
}

/* Brings bytes of the payload where they belong, and returns how many. */
static size_t take_payload(struct conn *conn, const uint8_t *bytes, size_t n)
{
    const struct conn_handler *const handler = conn->loop->handler;
    size_t room = 0;
    uint8_t *const window = handler->window(conn->user, &room);
    const size_t taken = least(least(n, room), conn->payload_left);
    assert(taken > 0);
    if (window != NULL)
        memcpy(window, bytes, taken);
    conn->was_direct = false;
    conn->payload_left -= taken;
    handler->filled(conn->user, taken, conn_now(conn));
    return taken;
}

/* Returns how many of the bytes were taken: all, unless the handler takes no more now. */
static size_t consume(struct conn *conn, const uint8_t *bytes, size_t n)
{
    size_t at = 0;
    while (at < n && conn_takes_input(conn)) {
        if (conn->payload_left > 0)
            at += take_payload(conn, bytes + at, n - at);
        else
            at += take_head(conn, bytes + at, n - at);
    }
    return at;
}

bool conn_stash(struct conn *conn, const uint8_t *bytes, size_t n)
{
    assert(conn->stash.count == 0);
    return bytes_append(&conn->stash, bytes, n);
}

static void look_at_stash(struct conn *conn)
{
    struct conn_bytes *const stash = &conn->stash;
    stash->at += consume(conn, stash->bytes + stash->at, stash->count - stash->at);
    if (stash->at == stash->count)
        bytes_clear(stash, 0);
}

/* ---- What libuv read ------------------------------------------------------------------------- */

uv_buf_t conn_place(struct conn *conn)
{
    const bool head_only = conn->was_direct && conn->payload_left == 0;
    conn->direct = NULL;
    if (conn_takes_input(conn) && conn->payload_left > 0) {
        size_t room = 0;
        uint8_t *const window = conn->loop->handler->window(conn->user, &room);
        room = least(least(room, conn->payload_left), DIRECT_MOST_BYTES);
        if (window != NULL && room >= DIRECT_LEAST_BYTES) {
            conn->direct = window;
            return uv_buf_init((char *)window, (unsigned)room);
        }
    }
    return uv_buf_init((char *)conn->loop->receive,
                       head_only ? HEAD_READ_BYTES : CONN_RECEIVE_BYTES);
}

void conn_received(struct conn *conn, const uint8_t *bytes, size_t n)
{
    if (conn->state != CONN_OPEN)
        return; /* a farewell: nobody listens any more */
    if (bytes == conn->direct) {
        conn->was_direct = true;
        conn->payload_left -= n;
        conn->loop->handler->filled(conn->user, n, conn_now(conn));
        return;
    }
    const size_t taken = consume(conn, bytes, n);
    if (conn->state == CONN_OPEN && !conn_stash(conn, bytes + taken, n - taken))
        fail_without_memory(conn);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct conn *const conn = handle->data;
    *buf = conn->tls == NULL ? conn_place(conn)
                             : uv_buf_init((char *)conn->loop->encrypted, CONN_RECEIVE_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
    struct conn *const conn = stream->data;
    struct conn_loop *const loop = conn->loop;
    conn->reads += nread > 0;
    loop->reads += nread > 0;
    if (nread > 0 && conn->tls == NULL)
        conn_received(conn, (const uint8_t *)buf->base, (size_t)nread);
    else if (nread > 0)
        conn_tls_received(conn, (const uint8_t *)buf->base, (size_t)nread);
    else if (nread == UV_EOF)
        conn_on_end(conn);
    else if (nread < 0)
        conn_drop(conn, uv_strerror((int)nread));
    conn_loop_settle(loop);
}

void conn_read_on(struct conn *conn)
{
    if (conn->state == CONN_OPEN)
        look_at_stash(conn);
    if (conn->state == CONN_OPEN && conn->tls != NULL)
        conn_tls_read_on(conn);
    const bool wanted =
        conn->state == CONN_OPEN ? conn_takes_input(conn) : conn->state != CONN_CLOSED;
    if (!wanted || conn->ended || conn->reading)
        return;
    const int failure = uv_read_start(&conn->uv.stream, on_alloc, on_read);
    if (failure == 0)
        conn->reading = true;
    else
        conn_drop(conn, uv_strerror(failure));
}

void conn_read_stop(struct conn *conn)
{
    (void)uv_read_stop(&conn->uv.stream);
    conn->reading = false;
}

void conn_hold(struct conn *conn, bool hold)
{
    conn->held = hold;
    if (hold && conn->state == CONN_OPEN)
        conn_read_stop(conn);
    conn->loop->freed |= !hold;
}

/* Whoever gave way goes. */
static void close_cut(struct conn_loop *loop)
{
    loop->cuts = false;
    for (struct conn *conn = loop->first; conn != NULL; conn = conn->next) {
        if (conn->cut)
            conn_drop(conn, "steps need the memory of old versions that it has not taken");
    }
}

void conn_loop_go_on(struct conn_loop *loop)
{
    while (loop->cuts || loop->freed) {
        if (loop->cuts)
            close_cut(loop);
        loop->freed = false;
        for (struct conn *conn = loop->first; conn != NULL; conn = conn->next)
            conn_read_on(conn);
        conn_loop_settle(loop);
    }
}

/* Adds up for how long the head or the payload that is missing something has been read: a peer that
 * sends a byte now and then holds memory as one does that sends none. */
static bool takes_too_long(struct conn *conn, uint64_t now_ms)
{
    const bool payload = conn->payload_left > 0;
    const uint64_t part = 2 * conn->frames + payload + 1;
    const uint64_t bytes = payload ? conn->part_bytes : STEPD_HEADER_MAX_BYTES;
    const uint64_t passed_ms = now_ms - conn->part_seen_ms;
    if (part != conn->part_seen)
        conn->part_ms = 0;
    else /* a loop that was busy has not listened */
        conn->part_ms += passed_ms < LISTENED_MOST_MS ? passed_ms : LISTENED_MOST_MS;
    conn->part_seen = part;
    conn->part_seen_ms = now_ms;
    return conn->part_ms >=
           conn->loop->read_timeout_ms + bytes * 1000 / CONN_RATE_LEAST_BYTES_PER_S;
}

bool conn_read_stuck(struct conn *conn, uint64_t now_ms)
{
    const bool missing = conn->payload_left > 0 || conn->head.count > 0;
    if (!missing || !conn->reading || conn->state != CONN_OPEN) {
        conn->reads_seen = conn->reads;
        conn->reads_seen_ms = now_ms;
        conn->part_seen_ms = now_ms;
        if (!missing)
            conn->part_seen = 0; /* no part has this number */
        return false;
    }
    if (takes_too_long(conn, now_ms))
        return true;
    if (conn->reads != conn->reads_seen) {
        conn->reads_seen = conn->reads;
        conn->reads_seen_ms = now_ms;
        return false;
    }
    return now_ms - conn->reads_seen_ms >= conn->loop->read_timeout_ms;
}

bool conn_is_idle(struct conn *conn, uint64_t now_ms)
{
    const uint32_t most = conn->loop->idle_timeout_ms;
    const bool silent =
        conn->state == CONN_OPEN && conn->reads == conn->heard && conn->oldest == NULL;
    if (!silent || !conn->reading) {
        conn->heard = conn->reads;
        conn->heard_ms = now_ms;
        return false;
    }
    return most > 0 && now_ms - conn->heard_ms >= most;
}
