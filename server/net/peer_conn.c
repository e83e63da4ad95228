/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes and sockets are conn.c's business. What is read of a Letter's payload is collected here, a
 * piece of a few KiB at a time, and given to the link; what the link has to say is handed to the
 * socket while less than QUEUE_BYTES wait there, and again when a part of that has left. Pieces are
 * sent from where the letter lies.
 *
 * conn.c knows pieces of replies as weights, whose references come back when they have left. Here
 * these references are those of letters: nobody looks into them on the way.
 */
#include "server/net/peer_conn.h"

#include <stdlib.h>

#include "proto/error.h"

#define QUEUE_BYTES      ((size_t)4 << 20)
#define QUEUE_HIGH_BYTES ((size_t)64 << 20) /* never reached: reading goes on whatever waits */

struct peer_conn {
    struct peer_conns *all;
    struct peer_conn *prev;
    struct peer_conn *next;
    struct conn *conn;        /* borrowed */
    struct peer_link *link;   /* borrowed; NULL: it carries none yet */
    struct stepd_letter head; /* of the Letter whose payload is read */
    size_t wanted;
    size_t got;
    bool inside; /* the owner is being called */
    bool ended;  /* meanwhile: to be freed when it returns */
    uint8_t payload[PEER_PIECE_MAX_BYTES];
};

struct peer_conns {
    struct peer_conns_options options;
    struct conn_loop loop;
    struct peer_conn *first;
};

/* ---- Life ------------------------------------------------------------------------------------ */

static void forget(struct peer_conn *conn)
{
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        conn->all->first = conn->next;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    if (conn->inside) {
        conn->ended = true;
        return;
    }
    free(conn);
}

static uint64_t now_of(const struct peer_conn *conn)
{
    return uv_now(conn->all->options.uv);
}

static void put_down(struct peer_conn *conn)
{
    if (conn->link != NULL)
        peer_link_down(conn->link, now_of(conn));
    conn->link = NULL;
}

void peer_conn_end(struct peer_conn *conn, const struct stepd_error *why)
{
    if (conn->ended)
        return;
    put_down(conn);
    if (why != NULL) {
        const struct stepd_message message = {
            .kind = STEPD_MESSAGE_ERROR,
            .body.error = {.code = why->code, .text = why->text},
        };
        conn_reply(conn->conn, &message, NULL, 0);
    }
    conn_finish(conn->conn);
    forget(conn);
}

static void *on_opened(void *owner, struct conn *conn, uint64_t now_ms)
{
    struct peer_conns *const all = owner;
    struct peer_conn *const made = malloc(sizeof *made);
    (void)now_ms;
    if (made == NULL)
        return NULL;
    made->all = all;
    made->prev = NULL;
    made->next = all->first;
    made->conn = conn;
    made->link = NULL;
    made->wanted = 0;
    made->got = 0;
    made->inside = false;
    made->ended = false;
    if (all->first != NULL)
        all->first->prev = made;
    all->first = made;
    all->options.io.opened(all->options.io.owner, made);
    return made;
}

static void on_closed(void *user, uint64_t now_ms)
{
    struct peer_conn *const conn = user;
    const struct peer_conns_io *const io = &conn->all->options.io;
    struct stepd_error why;
    (void)now_ms;
    const char *const cause = conn_why(conn->conn);
    (void)stepd_fail(&why, STEPD_UNAVAILABLE, "the connection has broken%s%s",
                     cause == NULL ? "" : ": ", cause == NULL ? "" : cause);
    put_down(conn);
    io->closed(io->owner, conn, &why);
    forget(conn);
}

/* ---- Writing --------------------------------------------------------------------------------- */

void peer_conn_say(struct peer_conn *conn, const struct stepd_message *message)
{
    conn_reply(conn->conn, message, NULL, 0);
}

void peer_conn_pump(struct peer_conn *conn)
{
    struct peer_frame frame;
    while (conn->link != NULL && conn_queue_bytes(conn->conn) < QUEUE_BYTES &&
           peer_link_next(conn->link, now_of(conn), &frame)) {
        const struct stepd_message message = {
            .kind = STEPD_MESSAGE_LETTER,
            .body.letter = frame.head,
        };
        const struct core_piece piece = {
            .weights = (struct weights *)(void *)frame.letter,
            .bytes = frame.at,
            .count = frame.n,
        };
        conn_reply(conn->conn, &message, &piece, frame.letter == NULL ? 0 : 1);
    }
}

/* A piece has left, or never will: there may be room for more. */
static void on_release(void *owner, struct weights *weights, uint64_t now_ms)
{
    const struct peer_conns *const all = owner;
    (void)now_ms;
    (void)peer_bytes_unref((struct peer_bytes *)(void *)weights);
    for (struct peer_conn *conn = all->first; conn != NULL; conn = conn->next)
        peer_conn_pump(conn);
}

void peer_conn_carry(struct peer_conn *conn, struct peer_link *link)
{
    conn->link = link;
    peer_conn_pump(conn);
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* Gives the link what has come, and the owner the letter that it has ended. */
static enum stepd_status receive(struct peer_conn *conn, uint64_t now_ms,
                                 struct stepd_error *reterr)
{
    const struct peer_conns_io *const io = &conn->all->options.io;
    const size_t kept = peer_link_kept(conn->link);
    struct peer_received received = {.n = 0};
    const struct peer_opaque payload = {.n = conn->got, .at = conn->payload};
    enum stepd_status status =
        peer_link_receive(conn->link, &conn->head, &payload, now_ms, &received, reterr);
    conn->wanted = 0;
    conn->got = 0;
    if (status == STEPD_OK && received.n > 0)
        status = io->letter(io->owner, conn, received.at, received.n, now_ms, reterr);
    (void)peer_bytes_unref(received.letter);
    if (status != STEPD_OK && conn->link != NULL)
        peer_link_break(conn->link);
    if (status == STEPD_OK && !conn->ended && peer_link_kept(conn->link) != kept)
        io->progressed(io->owner, conn);
    if (status == STEPD_OK && !conn->ended)
        peer_conn_pump(conn);
    return status;
}

static enum stepd_status begin_letter(struct peer_conn *conn, const struct stepd_letter *letter,
                                      uint64_t payload_bytes, uint64_t now_ms,
                                      struct stepd_error *reterr)
{
    const struct peer_conns_io *const io = &conn->all->options.io;
    if (conn->link == NULL && letter->sequence == 0 && payload_bytes == 0 && io->waits != NULL) {
        io->waits(io->owner, conn);
        return STEPD_OK;
    }
    if (conn->link == NULL)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "a letter came before this daemon has joined");
    if (payload_bytes > sizeof conn->payload)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "a letter's piece of %llu bytes; at most %zu can be",
                          (unsigned long long)payload_bytes, sizeof conn->payload);
    conn->head = *letter;
    conn->wanted = (size_t)payload_bytes;
    conn->got = 0;
    peer_link_heard(conn->link, now_ms);
    return payload_bytes == 0 ? receive(conn, now_ms, reterr) : STEPD_OK;
}

/* The owner has been called, and may have ended the connection. */
static bool leave(struct peer_conn *conn)
{
    conn->inside = false;
    if (!conn->ended)
        return true;
    free(conn);
    return false;
}

static enum stepd_status on_message(void *user, const struct stepd_message *message,
                                    uint64_t payload_bytes, uint64_t now_ms,
                                    struct stepd_error *reterr)
{
    struct peer_conn *const conn = user;
    const struct peer_conns_io *const io = &conn->all->options.io;
    enum stepd_status status = STEPD_OK;
    conn->inside = true;
    if (message->kind == STEPD_MESSAGE_LETTER)
        status = begin_letter(conn, &message->body.letter, payload_bytes, now_ms, reterr);
    else if (payload_bytes > 0)
        status = stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s with a payload",
                            stepd_message_name(message->kind));
    else
        status = io->greeted(io->owner, conn, message, now_ms, reterr);
    return leave(conn) ? status : STEPD_OK; /* who has ended it has said why */
}

static uint8_t *on_window(void *user, size_t *ret_room)
{
    struct peer_conn *const conn = user;
    *ret_room = conn->wanted - conn->got;
    return conn->payload + conn->got;
}

static void on_filled(void *user, size_t n, uint64_t now_ms)
{
    struct peer_conn *const conn = user;
    const struct peer_conns_io *const io = &conn->all->options.io;
    struct stepd_error error;
    conn->got += n;
    peer_link_heard(conn->link, now_ms);
    if (conn->got < conn->wanted)
        return;
    conn->inside = true;
    const enum stepd_status status = receive(conn, now_ms, &error);
    if (!leave(conn) || status == STEPD_OK)
        return;
    io->closed(io->owner, conn, &error);
    peer_conn_end(conn, &error);
}

static void on_known(void *owner)
{
    const struct peer_conns *const all = owner;
    if (all->options.io.known != NULL)
        all->options.io.known(all->options.io.owner);
}

static void on_gone(void *owner, bool known)
{
    const struct peer_conns *const all = owner;
    all->options.io.gone(all->options.io.owner, known);
}

static const struct conn_handler handler = {
    .opened = on_opened,
    .message = on_message,
    .window = on_window,
    .filled = on_filled,
    .closed = on_closed,
    .release = on_release,
    .known = on_known,
    .gone = on_gone,
};

/* ---- All ------------------------------------------------------------------------------------- */

struct peer_conns *peer_conns_create(const struct peer_conns_options *options)
{
    struct peer_conns *const all = calloc(1, sizeof *all);
    if (all == NULL)
        return NULL;
    all->options = *options;
    const struct conn_loop_options loop = {
        .uv = options->uv,
        .log = options->log,
        .handler = &handler,
        .owner = all,
        .frame_max_bytes = options->frame_max_bytes,
        .queue_high_bytes = QUEUE_HIGH_BYTES,
        .write_timeout_ms = options->write_timeout_ms,
        .read_timeout_ms = options->read_timeout_ms,
    };
    if (conn_loop_init(&all->loop, &loop) == STEPD_OK)
        return all;
    free(all);
    return NULL;
}

struct peer_conns *peer_conns_destroy(struct peer_conns *conns)
{
    if (conns == NULL)
        return NULL;
    conn_loop_deinit(&conns->loop);
    free(conns);
    return NULL;
}

void peer_conns_serve(struct peer_conns *conns, struct caller *caller)
{
    conn_open(&conns->loop, caller);
    conn_loop_settle(&conns->loop);
}

size_t peer_conns_count(const struct peer_conns *conns)
{
    return conns->loop.count;
}

void peer_conns_tick(struct peer_conns *conns, uint64_t now_ms)
{
    conn_loop_tick(&conns->loop, now_ms);
    for (struct peer_conn *conn = conns->first; conn != NULL; conn = conn->next)
        peer_conn_pump(conn);
    conn_loop_settle(&conns->loop);
}

void peer_conns_cut(struct peer_conns *conns)
{
    struct peer_conn *next = NULL;
    for (struct peer_conn *conn = conns->first; conn != NULL; conn = next) {
        next = conn->next;
        peer_conn_end(conn, NULL);
    }
    conn_loop_cut(&conns->loop);
}

const char *peer_conn_address(const struct peer_conn *conn)
{
    return conn_peer(conn->conn);
}

const char *peer_conn_certificate(const struct peer_conn *conn)
{
    return conn_certificate(conn->conn);
}

bool peer_conn_holds_for(const struct peer_conn *conn, const char *host)
{
    return conn_holds_for(conn->conn, host);
}
