/* SPDX-License-Identifier: Apache-2.0
 *
 * Replies to bytes: the encoded head and, behind it, the pieces where they lie. Nothing of the
 * weights is copied. Where nothing is on its way, a reply is given to the socket at once, which
 * nearly always takes all of it: such a one leaves nothing behind but its references. What the
 * socket does not take is one uv_write; the uv_write_t, the head and the references stay until its
 * callback, even where all bytes have left: the peer may have them, and answer them, before libuv
 * has told us.
 *
 * Giving references back may make the handler reply, and a reply is made inside the handler. So
 * they are put aside (conn_loop.spent), and given back when nobody of the handler's is running: at
 * the end of a read, by conn_loop_settle(), or by the tick. Memory for that is reserved before a
 * byte is sent, and for one reply of any length from the start: a server without memory must still
 * be able to give back what it holds.
 *
 * Bounded: above queue_high_bytes of unsent replies the connection is not read from, so a peer
 * that asks and never listens fills its own socket, not our memory. What it had asked for before is
 * bounded by the handler, which is asked to send nothing long meanwhile (conn_takes). A peer must
 * take each reply within write_timeout_ms and the time that its bytes, and those that waited before
 * it, need at CONN_RATE_LEAST_BYTES_PER_S, or it is cut off by the tick (conn_write_stuck): one
 * that trickles, or takes of many replies one at a time, holds a version of the weights, and so a
 * round, no longer than one that takes nothing.
 *
 * A connection that gives way holds none at all: whoever needs the memory finds it by what is in
 * its list of replies, and cuts it.
 *
 * What goes wrong: a reply that cannot be encoded or given to libuv may not be answered by calling
 * the handler either. The connection, which has lost a reply, is doomed; the next tick closes it.
 * What is wrong with a socket libuv says in its callback.
 */
#include <assert.h>
#include <stdlib.h>

#include "server/net/conn_internal.h"

/* References that always find room: as many as one header can list slices. */
#define SPENT_ROOM_FIRST STEPD_HEADER_MAX_BYTES

/* A reply that is to be sent. */
struct reply {
    uint8_t *head; /* owned; malloc's */
    size_t head_bytes;
    const struct core_piece *piece; /* (pieces,), borrowed; a reference each */
    size_t pieces;
};

static size_t payload_of(const struct reply *reply)
{
    size_t bytes = 0;
    for (size_t i = 0; i < reply->pieces; i++)
        bytes += reply->piece[i].count;
    return bytes;
}

/* Records what cannot be sent at once: its head and references are the record's. NULL: no memory.
 */
static struct conn_write *write_create(struct conn *conn, const struct reply *reply)
{
    struct conn_write *const write = malloc(sizeof *write + reply->pieces * sizeof write->held[0]);
    if (write == NULL)
        return NULL;
    *write = (struct conn_write){
        .conn = conn,
        .since_ms = conn_now(conn),
        .bytes = reply->head_bytes + payload_of(reply),
        .head = reply->head,
        .head_bytes = reply->head_bytes,
        .pieces = reply->pieces,
    };
    write->ahead = conn_queue_bytes(conn) + write->bytes;
    write->request.data = write;
    for (size_t i = 0; i < reply->pieces; i++)
        write->held[i] = reply->piece[i];
    return write;
}

/* Gives the references back. Not from inside the handler. */
static void write_destroy(struct conn_loop *loop, struct conn_write *write)
{
    const uint64_t now_ms = uv_now(loop->uv);
    for (size_t i = 0; i < write->pieces; i++)
        loop->handler->release(loop->owner, write->held[i].weights, now_ms);
    free(write->head);
    free(write);
}

/* ---- References that are given back ---------------------------------------------------------- */

bool conn_write_init(struct conn_loop *loop)
{
    loop->spent = malloc(SPENT_ROOM_FIRST * sizeof loop->spent[0]);
    loop->spent_room = SPENT_ROOM_FIRST;
    return loop->spent != NULL;
}

/* Makes room for n more references. False without memory. */
static bool reserve_spent(struct conn_loop *loop, size_t n)
{
    if (n <= loop->spent_room - loop->spents)
        return true;
    const size_t room = loop->spents + n;
    struct weights **const grown = realloc(loop->spent, room * sizeof loop->spent[0]);
    if (grown == NULL)
        return false;
    loop->spent = grown;
    loop->spent_room = room;
    return true;
}

static void put_aside(struct conn_loop *loop, const struct reply *reply)
{
    if (!reserve_spent(loop, reply->pieces)) {
        log_event(loop->log, LOG_ERROR, "weights_leaked", "reason=out_of_memory pieces=%zu",
                  reply->pieces);
        return;
    }
    for (size_t i = 0; i < reply->pieces; i++)
        loop->spent[loop->spents++] = reply->piece[i].weights;
}

void conn_loop_settle(struct conn_loop *loop)
{
    /* A release may make the handler reply, and that puts more aside. */
    while (loop->spents > 0 || loop->written != NULL) {
        struct conn_write *const written = loop->written;
        if (written != NULL) {
            loop->written = written->next;
            write_destroy(loop, written);
            continue;
        }
        struct weights *const weights = loop->spent[--loop->spents];
        loop->handler->release(loop->owner, weights, uv_now(loop->uv));
    }
}

/* The connection has lost a reply: it will be closed when nobody of the handler's is running. */
static void lose(struct conn *conn, const struct reply *reply, const char *why)
{
    put_aside(conn->loop, reply);
    if (conn->state == CONN_CLOSED)
        return;
    log_event(conn->loop->log, LOG_ERROR, "reply_lost", "peer=%s reason=%s", conn->peer, why);
    conn->doomed = true;
    conn_read_stop(conn);
}

/* ---- Sending --------------------------------------------------------------------------------- */

size_t conn_queue_bytes(const struct conn *conn)
{
    return conn->tls == NULL ? uv_stream_get_write_queue_size(&conn->uv.stream)
                             : conn->unencrypted + conn->flight_bytes;
}

static void choke(struct conn *conn)
{
    if (conn_queue_bytes(conn) <= conn->loop->queue_high_bytes)
        return;
    if (!conn->choked)
        limit_refused(conn->loop->limits, LIMIT_UNSENT_BYTES);
    conn->choked = true;
    if (conn->state == CONN_OPEN)
        conn_read_stop(conn);
}

void conn_after_write(struct conn *conn)
{
    const size_t low = conn->loop->queue_high_bytes / 4;
    if (!conn->choked || conn_queue_bytes(conn) >= low)
        return;
    conn->choked = false;
    const struct conn_handler *const handler = conn->loop->handler;
    if (conn->user != NULL && handler->taken != NULL)
        handler->taken(conn->user, conn_now(conn)); /* who has waited comes before what comes now */
    conn_read_on(conn);
}

bool conn_takes(const struct conn *conn)
{
    return !conn->choked;
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
}

static void on_written(uv_write_t *request, int status)
{
    struct conn_write *const write = request->data;
    struct conn *const conn = write->conn;
    struct conn_loop *const loop = conn->loop;
    dequeue(write);
    write_destroy(loop, write);
    if (status == 0)
        conn_after_write(conn);
    else if (status != UV_ECANCELED)
        conn_drop(conn, uv_strerror(status));
    conn_loop_settle(loop);
}

/* Lists the buffers of a reply in the loop's scratch. False without memory. */
static bool list_bufs(struct conn_loop *loop, const struct reply *reply)
{
    if (loop->bufs < reply->pieces + 1) {
        uv_buf_t *const grown = realloc(loop->buf, (reply->pieces + 1) * sizeof *grown);
        if (grown == NULL)
            return false;
        loop->buf = grown;
        loop->bufs = reply->pieces + 1;
    }
    loop->buf[0] = (uv_buf_t){.base = (char *)reply->head, .len = reply->head_bytes};
    for (size_t i = 0; i < reply->pieces; i++) {
        /* libuv's buffers are not const; a write only reads them. */
        loop->buf[i + 1] = (uv_buf_t){.base = (char *)(uintptr_t)reply->piece[i].bytes,
                                      .len = reply->piece[i].count};
    }
    return true;
}

/* Gives libuv the rest of a reply of which so many bytes have left. False: it will not be sent. */
static bool send_later(struct conn *conn, const struct reply *reply, size_t sent)
{
    uv_buf_t *buf = conn->loop->buf;
    for (; sent >= buf->len; buf++)
        sent -= buf->len;
    *buf = (uv_buf_t){.base = buf->base + sent, .len = buf->len - sent};
    const size_t bufs = reply->pieces + 1 - (size_t)(buf - conn->loop->buf);
    struct conn_write *const write = write_create(conn, reply);
    if (write == NULL)
        return false;
    if (uv_write(&write->request, &conn->uv.stream, buf, (unsigned)bufs, on_written) != 0) {
        free(write);
        return false;
    }
    enqueue(write);
    choke(conn);
    return true;
}

/* Sends head and pieces. False: not all of it will be sent, and head and references are still the
 * caller's. */
static bool submit(struct conn *conn, const struct reply *reply)
{
    struct conn_loop *const loop = conn->loop;
    if (!list_bufs(loop, reply) || !reserve_spent(loop, reply->pieces))
        return false;
    /* Below 0 while others wait, and where something is wrong with the socket: that uv_write() will
     * find, too. */
    const int taken = uv_try_write(&conn->uv.stream, loop->buf, (unsigned)reply->pieces + 1);
    const size_t sent = taken > 0 ? (size_t)taken : 0;
    if (sent < reply->head_bytes + payload_of(reply))
        return send_later(conn, reply, sent);
    put_aside(loop, reply);
    free(reply->head);
    return true;
}

/* Encodes the head of a reply with these pieces. */
static enum stepd_status encode(struct conn *conn, const struct stepd_message *message,
                                struct reply *reply, struct stepd_error *reterr)
{
    struct stepd_arena *const arena = &conn->loop->encode;
    const enum stepd_status status = stepd_message_encode(message, payload_of(reply), arena,
                                                          &reply->head, &reply->head_bytes, reterr);
    stepd_arena_reset(arena);
    return status;
}

/* Sends the head of a reply, and the memory that goes with it. False: likewise. */
static bool submit_loan(struct conn *conn, const struct reply *reply)
{
    if (!conn_send_loan(conn, reply->head, reply->head_bytes))
        return false;
    free(reply->head);
    return true;
}

/* The same through TLS: it waits in the list, however much the socket takes at once. */
static bool submit_tls(struct conn *conn, const struct reply *reply)
{
    struct conn_write *const write = write_create(conn, reply);
    if (write == NULL)
        return false;
    enqueue(write);
    conn->unencrypted += write->bytes;
    conn_tls_flush(conn);
    choke(conn);
    return true;
}

/* Sends a reply in the way of its connection. */
static bool submit_any(struct conn *conn, const struct reply *reply)
{
    if (conn->tls != NULL)
        return submit_tls(conn, reply);
    return conn_has_loan_to_send(conn) && reply->pieces == 0 ? submit_loan(conn, reply)
                                                             : submit(conn, reply);
}

/* Who is refused again and again is not listened to until the next tick: each refusal costs the
 * loop what all its connections live from. */
static void note_refusal(struct conn *conn)
{
    const uint32_t most = conn->loop->refusals_max;
    if (most == 0 || ++conn->refusals < most || conn->tiring)
        return;
    limit_refused(conn->loop->limits, LIMIT_REFUSALS);
    conn->tiring = true;
    if (conn->state == CONN_OPEN)
        conn_read_stop(conn);
}

/* Looks at what a reply says of its peer. */
static void note_reply(struct conn *conn, enum stepd_message_kind kind)
{
    const struct conn_handler *const handler = conn->loop->handler;
    if (kind == STEPD_MESSAGE_ERROR)
        note_refusal(conn);
    const bool lets_in = kind == STEPD_MESSAGE_WELCOME || kind == STEPD_MESSAGE_JOINED;
    if (!lets_in || conn->known)
        return;
    conn->known = true;
    if (handler->known != NULL)
        handler->known(conn->loop->owner);
}

void conn_reply(struct conn *conn, const struct stepd_message *message,
                const struct core_piece *piece, size_t pieces)
{
    struct stepd_error error;
    struct reply reply = {.piece = piece, .pieces = pieces};
    note_reply(conn, message->kind);
    if (conn->state == CONN_CLOSED || encode(conn, message, &reply, &error) != STEPD_OK) {
        lose(conn, &reply, conn->state == CONN_CLOSED ? "it is closed" : error.text);
        return;
    }
    if (submit_any(conn, &reply))
        return;
    lose(conn, &reply, "it could not be written");
    free(reply.head);
}

/* ---- A peer that does not listen ------------------------------------------------------------- */

bool conn_write_stuck(const struct conn *conn, uint64_t now_ms)
{
    const struct conn_write *const oldest = conn->oldest;
    if (oldest == NULL)
        return false;
    const uint64_t allowed_ms =
        conn->loop->write_timeout_ms + oldest->ahead * 1000 / CONN_RATE_LEAST_BYTES_PER_S;
    return now_ms >= oldest->since_ms && now_ms - oldest->since_ms >= allowed_ms;
}

void conn_give_way(struct conn *conn)
{
    conn->gives_way = true;
}

static bool gives_way(const struct conn *conn)
{
    return conn->gives_way || conn->user == NULL;
}

/* References to these weights that are on their way. */
static size_t count_held(const struct conn *conn, const struct weights *weights)
{
    size_t held = 0;
    for (const struct conn_write *write = conn->oldest; write != NULL; write = write->next) {
        for (size_t i = 0; i < write->pieces; i++)
            held += write->held[i].weights == weights;
    }
    return held;
}

size_t conn_loop_in_the_way(const struct conn_loop *loop, const struct weights *weights)
{
    size_t held = 0;
    for (const struct conn *conn = loop->first; conn != NULL; conn = conn->next) {
        if (gives_way(conn))
            held += count_held(conn, weights);
    }
    return held;
}

size_t conn_loop_cut_readers(struct conn_loop *loop, const struct weights *weights)
{
    size_t cut = 0;
    for (struct conn *conn = loop->first; conn != NULL; conn = conn->next) {
        if (conn->state == CONN_CLOSED || conn->cut || !gives_way(conn) ||
            count_held(conn, weights) == 0)
            continue;
        conn->cut = true;
        cut++;
    }
    loop->cuts |= cut > 0;
    return cut;
}
