/* SPDX-License-Identifier: Apache-2.0
 *
 * Replies to bytes. A reply is one uv_write of the encoded head and, behind it, the pieces where
 * they lie: nothing of the weights is copied. The uv_write_t, the head and the references stay
 * until the write's callback, even where all bytes left at once: the peer may have them, and answer
 * them, before libuv has told us.
 *
 * Bounded: above queue_high_bytes of unsent replies the connection is not read from, so a peer
 * that asks and never listens fills its own socket, not our memory. What it had asked for before is
 * bounded by the handler. A peer must take each reply within write_timeout_ms and the time that its
 * bytes need at RATE_LEAST_BYTES_PER_S, or it is cut off by the tick (conn_write_stuck): one that
 * trickles holds a version of the weights, and so a round, no longer than one that takes nothing.
 *
 * What goes wrong: a reply that cannot be encoded or given to libuv may not be answered by calling
 * the handler, which is what has called us. Its references are put aside (conn_loop.unsent), and
 * the connection, which has lost a reply, is doomed; the next tick releases the ones and closes the
 * other. Memory for the references is reserved from the start: a server without memory must still
 * be able to give back what it holds.
 */
#include <assert.h>
#include <stdlib.h>

#include "server/net/conn_internal.h"

/* References of failed replies that always find room: as many as one header can list slices. */
#define UNSENT_ROOM_FIRST STEPD_HEADER_MAX_BYTES

/* Bytes of a long reply that a peer must take in a second, 1 MiB, beyond write_timeout_ms. */
#define RATE_LEAST_BYTES_PER_S (UINT64_C(1) << 20)

/* Records a reply, its references included. NULL: no memory. */
static struct conn_write *write_create(struct conn *conn, const struct core_piece *piece,
                                       size_t pieces)
{
    struct conn_write *const write = malloc(sizeof *write + pieces * sizeof write->held[0]);
    if (write == NULL)
        return NULL;
    *write = (struct conn_write){.conn = conn, .pieces = pieces};
    write->request.data = write;
    for (size_t i = 0; i < pieces; i++)
        write->held[i] = piece[i].weights;
    return write;
}

/* Gives the references back. Not from inside the handler. */
static void write_destroy(struct conn_loop *loop, struct conn_write *write)
{
    const uint64_t now_ms = uv_now(loop->uv);
    for (size_t i = 0; i < write->pieces; i++)
        loop->handler->release(loop->owner, write->held[i], now_ms);
    free(write->head);
    free(write);
}

/* ---- Replies that failed --------------------------------------------------------------------- */

bool conn_write_init(struct conn_loop *loop)
{
    loop->unsent = malloc(UNSENT_ROOM_FIRST * sizeof loop->unsent[0]);
    loop->unsent_room = UNSENT_ROOM_FIRST;
    return loop->unsent != NULL;
}

/* Makes room for n more references. False without memory. */
static bool reserve_unsent(struct conn_loop *loop, size_t n)
{
    if (n <= loop->unsent_room - loop->unsents)
        return true;
    const size_t room = loop->unsents + n;
    struct weights **const grown = realloc(loop->unsent, room * sizeof loop->unsent[0]);
    if (grown == NULL)
        return false;
    loop->unsent = grown;
    loop->unsent_room = room;
    return true;
}

static void put_aside(struct conn_loop *loop, const struct core_piece *piece, size_t pieces)
{
    if (!reserve_unsent(loop, pieces)) {
        log_event(loop->log, LOG_ERROR, "weights_leaked", "reason=out_of_memory pieces=%zu",
                  pieces);
        return;
    }
    for (size_t i = 0; i < pieces; i++)
        loop->unsent[loop->unsents++] = piece[i].weights;
}

void conn_write_release_unsent(struct conn_loop *loop)
{
    /* A release may make the handler reply, and that may fail and put more aside. */
    while (loop->unsents > 0) {
        struct weights *const weights = loop->unsent[--loop->unsents];
        loop->handler->release(loop->owner, weights, uv_now(loop->uv));
    }
}

/* The connection has lost a reply: it will be closed when nobody of the handler's is running. */
static void lose(struct conn *conn, const struct core_piece *piece, size_t pieces, const char *why)
{
    put_aside(conn->loop, piece, pieces);
    if (conn->state == CONN_CLOSED)
        return;
    log_event(conn->loop->log, LOG_ERROR, "reply_lost", "peer=%s reason=%s", conn->peer, why);
    conn->doomed = true;
    conn_read_stop(conn);
}

/* ---- Sending --------------------------------------------------------------------------------- */

static void choke(struct conn *conn)
{
    if (uv_stream_get_write_queue_size(&conn->uv.stream) <= conn->loop->queue_high_bytes)
        return;
    conn->choked = true;
    if (conn->state == CONN_OPEN)
        conn_read_stop(conn);
}

static void after_write(struct conn *conn)
{
    const size_t low = conn->loop->queue_high_bytes / 4;
    if (!conn->choked || uv_stream_get_write_queue_size(&conn->uv.stream) >= low)
        return;
    conn->choked = false;
    conn_read_on(conn);
}

/* Appends to the replies that are on their way. */
static void enqueue(struct conn_write *write)
{
    struct conn *const conn = write->conn;
    if (conn->oldest == NULL)
        conn->oldest = write;
    else
        conn->newest->next = write;
    conn->newest = write;
}

/* libuv finishes writes in the order in which it was given them. */
static void dequeue(struct conn_write *write)
{
    struct conn *const conn = write->conn;
    assert(conn->oldest == write);
    conn->oldest = write->next;
    conn->writes_done++;
}

static void on_written(uv_write_t *request, int status)
{
    struct conn_write *const write = request->data;
    struct conn *const conn = write->conn;
    dequeue(write);
    write_destroy(conn->loop, write);
    if (status == 0)
        after_write(conn);
    else if (status != UV_ECANCELED)
        conn_drop(conn, uv_strerror(status));
}

/* Makes room for the buffers of one write, which libuv copies. False without memory. */
static bool reserve_bufs(struct conn_loop *loop, size_t bufs)
{
    if (bufs <= loop->bufs)
        return true;
    uv_buf_t *const grown = realloc(loop->buf, bufs * sizeof *grown);
    if (grown == NULL)
        return false;
    loop->buf = grown;
    loop->bufs = bufs;
    return true;
}

/* Hands head and pieces to libuv. False: nothing of it will be sent. */
static bool submit(struct conn_write *write, size_t head_bytes, const struct core_piece *piece)
{
    struct conn *const conn = write->conn;
    struct conn_loop *const loop = conn->loop;
    if (!reserve_bufs(loop, write->pieces + 1))
        return false;
    write->bytes = head_bytes;
    loop->buf[0] = uv_buf_init((char *)write->head, (unsigned)head_bytes);
    for (size_t i = 0; i < write->pieces; i++) {
        /* libuv's buffers are not const; a write only reads them. */
        loop->buf[i + 1] =
            (uv_buf_t){.base = (char *)(uintptr_t)piece[i].bytes, .len = piece[i].count};
        write->bytes += piece[i].count;
    }
    if (uv_write(&write->request, &conn->uv.stream, loop->buf, (unsigned)write->pieces + 1,
                 on_written) != 0)
        return false;
    enqueue(write);
    choke(conn);
    return true;
}

/* Encodes the head of a reply with this payload. */
static enum stepd_status encode(struct conn_write *write, const struct stepd_message *message,
                                const struct core_piece *piece, size_t *ret_head_bytes,
                                struct stepd_error *reterr)
{
    struct stepd_arena *const arena = &write->conn->loop->encode;
    size_t payload_bytes = 0;
    for (size_t i = 0; i < write->pieces; i++)
        payload_bytes += piece[i].count;
    const enum stepd_status status =
        stepd_message_encode(message, payload_bytes, arena, &write->head, ret_head_bytes, reterr);
    stepd_arena_reset(arena);
    return status;
}

void conn_reply(struct conn *conn, const struct stepd_message *message,
                const struct core_piece *piece, size_t pieces)
{
    struct stepd_error error = {.text = "it could not be written"};
    struct conn_write *const write = write_create(conn, piece, pieces);
    if (write == NULL) {
        lose(conn, piece, pieces, "out of memory");
        return;
    }
    size_t head_bytes = 0;
    const bool encoded = conn->state != CONN_CLOSED &&
                         encode(write, message, piece, &head_bytes, &error) == STEPD_OK;
    if (encoded && conn_has_loan_to_send(conn) && pieces == 0) {
        if (conn_send_loan(conn, write->head, head_bytes)) {
            write_destroy(conn->loop, write);
            return;
        }
    } else if (encoded && submit(write, head_bytes, piece)) {
        return;
    }
    lose(conn, piece, pieces, error.text);
    free(write->head);
    free(write);
}

/* ---- A peer that does not listen ------------------------------------------------------------- */

bool conn_write_stuck(struct conn *conn, uint64_t now_ms)
{
    const struct conn_write *const oldest = conn->oldest;
    if (oldest == NULL || conn->writes_done != conn->writes_seen) {
        conn->writes_seen = conn->writes_done;
        conn->writes_seen_ms = now_ms;
        return false;
    }
    const uint64_t allowed_ms =
        conn->loop->write_timeout_ms + oldest->bytes * 1000 / RATE_LEAST_BYTES_PER_S;
    return now_ms - conn->writes_seen_ms >= allowed_ms;
}
