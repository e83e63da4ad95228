/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of a connection: opening, farewell, closing. conn_internal.h draws the states.
 *
 * A farewell starts in one of four ways: the handler hangs up, a frame is bad, the peer has sent
 * its end, or the daemon drains. In the last three the handler is told (closed) before anything
 * else; from then on `user` is NULL and nothing of the handler's but release() is called.
 *
 * conn_reply() and conn_finish() are called from inside the handler and must not call it back. So
 * they never end in conn_drop() with a user: a reply that fails only dooms the connection, and the
 * next tick closes it.
 */
#include "server/net/conn.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/error.h"
#include "server/net/conn_internal.h"

#define LINGER_MS 1000u /* for the peer to read the end and close */

#define BIT(state) (1u << (state))

static const unsigned successors[] = {
    [CONN_OPEN] = BIT(CONN_FLUSHING) | BIT(CONN_CLOSED),
    [CONN_FLUSHING] = BIT(CONN_LINGERING) | BIT(CONN_CLOSED),
    [CONN_LINGERING] = BIT(CONN_CLOSED),
    [CONN_CLOSED] = 0,
};

static void move(struct conn *conn, enum conn_state next)
{
    const bool allowed = (successors[conn->state] & BIT(next)) != 0;
    assert(allowed);
    (void)allowed;
    conn->state = next;
}

/* ---- Closing --------------------------------------------------------------------------------- */

/* Tells the handler, if it knows the connection, that it is gone. */
static void forget(struct conn *conn)
{
    void *const user = conn->user;
    if (user == NULL)
        return;
    conn->user = NULL;
    conn->loop->handler->closed(user, conn_now(conn));
    conn->loan = conn_loan_destroy(conn->loan);
}

static void conn_free(struct conn *conn)
{
    struct conn_loop *const loop = conn->loop;
    const bool known = conn->known;
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        loop->first = conn->next;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    loop->count--;
    free(conn->head.bytes);
    free(conn->stash.bytes);
    (void)conn_loan_destroy(conn->loan);
    conn_tls_deinit(conn);
    conn_loop_settle(loop);
    free(conn);
    loop->handler->gone(loop->owner, known);
}

static void on_close(uv_handle_t *handle)
{
    conn_free(handle->data);
}

void conn_drop(struct conn *conn, const char *why)
{
    struct conn_loop *const loop = conn->loop;
    if (conn->state == CONN_CLOSED)
        return;
    if (conn->known || why == NULL || log_limit_allows(&loop->closed, conn_now(conn)))
        log_event(loop->log, why == NULL ? LOG_DEBUG : LOG_INFO, "connection_closed",
                  "peer=%s reason=%s", conn->peer, why == NULL ? "done" : why);
    move(conn, CONN_CLOSED);
    conn->why = why;
    forget(conn);
    conn->why = NULL;
    uv_close(&conn->uv.handle, on_close);
}

/* The end has been sent: now the peer is to see it, and close. */
static void linger(struct conn *conn)
{
    if (conn->state != CONN_FLUSHING)
        return;
    move(conn, CONN_LINGERING);
    conn->linger_until_ms = conn_now(conn) + LINGER_MS;
    if (conn->ended)
        conn_drop(conn, NULL);
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
    struct conn *const conn = request->data;
    if (status == 0)
        linger(conn);
    else if (status != UV_ECANCELED)
        conn_drop(conn, uv_strerror(status));
}

void conn_shut(struct conn *conn)
{
    conn->shutdown.data = conn;
    const int failure = uv_shutdown(&conn->shutdown, &conn->uv.stream, on_shutdown);
    if (failure != 0)
        conn_drop(conn, uv_strerror(failure));
}

static void say_goodbye(struct conn *conn)
{
    move(conn, CONN_FLUSHING);
    forget(conn);
    if (conn->tls == NULL)
        conn_shut(conn);
    else
        conn_tls_end(conn);
    if (conn->state == CONN_FLUSHING)
        conn_read_on(conn);
}

void conn_finish(struct conn *conn)
{
    if (conn->state != CONN_OPEN)
        return;
    conn->user = NULL;
    conn->loan = conn_loan_destroy(conn->loan); /* a peer that lingers is to cost no memory */
    say_goodbye(conn);
}

static void say_why(struct conn *conn, const struct stepd_error *error)
{
    const struct stepd_message message = {
        .kind = STEPD_MESSAGE_ERROR,
        .body.error = {.code = error->code, .text = error->text},
    };
    conn_reply(conn, &message, NULL, 0);
    say_goodbye(conn);
}

void conn_fail(struct conn *conn, const struct stepd_error *error)
{
    if (conn->state != CONN_OPEN)
        return;
    if (log_limit_allows(&conn->loop->refused, conn_now(conn)))
        log_event(conn->loop->log, LOG_WARN, "connection_refused", "peer=%s code=%s text=%s",
                  conn->peer, stepd_status_name(error->code), error->text);
    say_why(conn, error);
}

void conn_on_end(struct conn *conn)
{
    conn->ended = true;
    conn_read_stop(conn);
    if (conn->state == CONN_LINGERING)
        conn_drop(conn, NULL);
    if (conn->state != CONN_OPEN)
        return;
    if (conn->payload_left > 0 || conn->head.count > 0)
        log_event(conn->loop->log, LOG_INFO, "frame_cut", "peer=%s", conn->peer);
    say_goodbye(conn);
}

/* ---- Opening --------------------------------------------------------------------------------- */

/* Gives the caller's socket to libuv. */
static int open_stream(struct conn *conn, struct caller *caller)
{
    uv_loop_t *const uv = conn->loop->uv;
    int failure =
        caller->tcp ? uv_tcp_init(uv, &conn->uv.tcp) : uv_pipe_init(uv, &conn->uv.pipe, 0);
    assert(failure == 0); /* neither does anything that can fail */
    conn->uv.handle.data = conn;
    failure = caller->tcp ? uv_tcp_open(&conn->uv.tcp, caller->fd)
                          : uv_pipe_open(&conn->uv.pipe, caller->fd);
    if (failure == 0)
        caller->fd = -1;
    return failure;
}

/* Makes a connection of a caller, which the handler does not know yet. NULL: gone. */
static struct conn *adopt(struct conn_loop *loop, struct caller *caller)
{
    struct conn *const conn = malloc(sizeof *conn);
    if (conn == NULL) {
        log_event(loop->log, LOG_ERROR, "out_of_memory", "peer=%s", caller->peer);
        loop->handler->gone(loop->owner, /* known= */ false);
        return NULL;
    }
    const uint64_t now_ms = uv_now(loop->uv);
    *conn = (struct conn){
        .loop = loop,
        .next = loop->first,
        .state = CONN_OPEN,
        .reads_seen_ms = now_ms,
        .part_seen_ms = now_ms,
        .heard_ms = now_ms,
    };
    (void)snprintf(conn->peer, sizeof conn->peer, "%s", caller->peer);
    conn->tls = caller->tls;
    caller->tls = NULL;
    if (loop->first != NULL)
        loop->first->prev = conn;
    loop->first = conn;
    loop->count++;
    const int failure = open_stream(conn, caller);
    if (failure != 0)
        conn_drop(conn, uv_strerror(failure));
    return conn->state == CONN_OPEN ? conn : NULL;
}

/* Introduces the connection to the handler, with what was read of it at the door. */
static void introduce(struct conn *conn, const struct caller *caller)
{
    const struct conn_handler *const handler = conn->loop->handler;
    conn->user = handler->opened(conn->loop->owner, conn, conn_now(conn));
    if (conn->user == NULL || !conn_stash(conn, caller->bytes, caller->count)) {
        struct stepd_error error;
        (void)stepd_fail(&error, STEPD_RESOURCE_EXHAUSTED, "the server is out of memory");
        conn_fail(conn, &error);
        return;
    }
    log_event(conn->loop->log, LOG_DEBUG, "connection_opened", "peer=%s", conn->peer);
    conn_read_on(conn);
}

void conn_open(struct conn_loop *loop, struct caller *caller)
{
    struct conn *const conn = adopt(loop, caller);
    if (conn != NULL)
        introduce(conn, caller);
    caller_destroy(caller);
}

void conn_refuse(struct conn_loop *loop, struct caller *caller, const struct stepd_error *error)
{
    struct conn *const conn = adopt(loop, caller);
    if (conn != NULL)
        conn_fail(conn, error);
    caller_destroy(caller);
}

/* ---- All of a loop --------------------------------------------------------------------------- */

/* At least one, where there is a limit at all. */
static uint32_t in_a_tick(uint32_t per_s)
{
    const uint32_t ticks_per_s = 1000 / CONN_TICK_MS;
    return per_s / ticks_per_s + (per_s % ticks_per_s != 0);
}

enum stepd_status conn_loop_init(struct conn_loop *loop, const struct conn_loop_options *options)
{
    *loop = (struct conn_loop){
        .uv = options->uv,
        .log = options->log,
        .handler = options->handler,
        .owner = options->owner,
        .frame_max_bytes = options->frame_max_bytes,
        .queue_high_bytes =
            options->queue_high_bytes > 0 ? options->queue_high_bytes : CONN_QUEUE_HIGH_BYTES,
        .write_timeout_ms = options->write_timeout_ms,
        .read_timeout_ms = options->read_timeout_ms,
        .idle_timeout_ms = options->idle_timeout_ms,
        .refusals_max = in_a_tick(options->refusals_max_per_s),
        .limits = options->limits,
        .closed = {.event = "connection_closed"},
        .refused = {.event = "connection_refused"},
        .receive = malloc(CONN_RECEIVE_BYTES),
        .encrypted = malloc(CONN_RECEIVE_BYTES),
    };
    stepd_arena_init(&loop->decode, STEPD_ARENA_MESSAGE_MAX_BYTES);
    stepd_arena_init(&loop->encode, STEPD_ARENA_MESSAGE_MAX_BYTES);
    if (loop->receive != NULL && loop->encrypted != NULL && conn_write_init(loop))
        return STEPD_OK;
    conn_loop_deinit(loop);
    return STEPD_RESOURCE_EXHAUSTED;
}

void conn_loop_deinit(struct conn_loop *loop)
{
    assert(loop->first == NULL);
    conn_loop_settle(loop);
    stepd_arena_deinit(&loop->decode);
    stepd_arena_deinit(&loop->encode);
    free(loop->receive);
    free(loop->encrypted);
    free(loop->buf);
    free(loop->spent);
    *loop = (struct conn_loop){.first = NULL};
}

/* The peer has left off in the middle of a frame. */
static void fail_cut_frame(struct conn *conn)
{
    struct stepd_error error;
    limit_refused(conn->loop->limits, LIMIT_READ_TIME);
    (void)stepd_fail(&error, STEPD_DEADLINE_EXCEEDED,
                     "the rest of a frame did not come for %u ms, or took longer than that and a "
                     "second for each MiB; the server's read_timeout_ms says how long it waits",
                     (unsigned)conn->loop->read_timeout_ms);
    conn_fail(conn, &error);
}

static void fail_idle(struct conn *conn)
{
    struct stepd_error error;
    limit_refused(conn->loop->limits, LIMIT_IDLE_TIME);
    (void)stepd_fail(&error, STEPD_DEADLINE_EXCEEDED,
                     "nothing was heard on this connection for %u ms; connect again, or raise the "
                     "server's idle_timeout_ms",
                     (unsigned)conn->loop->idle_timeout_ms);
    conn_fail(conn, &error);
}

static void drop_stuck(struct conn *conn)
{
    limit_refused(conn->loop->limits, LIMIT_WRITE_TIME);
    conn_drop(conn, "it does not take its replies");
}

/* Listens again to who was refused too often. */
static void rest(struct conn *conn)
{
    conn->refusals = 0;
    if (!conn->tiring)
        return;
    conn->tiring = false;
    conn_read_on(conn);
}

static void tick(struct conn *conn, uint64_t now_ms)
{
    rest(conn);
    if (conn->state == CONN_CLOSED)
        return;
    if (conn->doomed)
        conn_drop(conn, "a reply could not be sent");
    else if (conn_write_stuck(conn, now_ms))
        drop_stuck(conn);
    else if (conn_read_stuck(conn, now_ms))
        fail_cut_frame(conn);
    else if (conn_is_idle(conn, now_ms))
        fail_idle(conn);
    else if (conn->state == CONN_LINGERING && now_ms >= conn->linger_until_ms)
        conn_drop(conn, NULL);
}

void conn_loop_tick(struct conn_loop *loop, uint64_t now_ms)
{
    for (struct conn *conn = loop->first; conn != NULL; conn = conn->next) {
        if (conn->state != CONN_CLOSED)
            tick(conn, now_ms);
    }
    log_limit_tick(&loop->closed, loop->log, now_ms);
    log_limit_tick(&loop->refused, loop->log, now_ms);
    conn_loop_settle(loop);
}

void conn_loop_end(struct conn_loop *loop, const struct stepd_error *why)
{
    for (struct conn *conn = loop->first; conn != NULL; conn = conn->next) {
        if (conn->state == CONN_OPEN)
            say_why(conn, why);
    }
}

bool conn_loop_drop_stranger(struct conn_loop *loop)
{
    struct conn *oldest = NULL; /* who came last stands first */
    for (struct conn *conn = loop->first; conn != NULL; conn = conn->next) {
        if (!conn->known && conn->state == CONN_LINGERING)
            oldest = conn;
    }
    if (oldest == NULL)
        return false;
    conn_drop(oldest, NULL);
    return true;
}

void conn_loop_drain(struct conn_loop *loop)
{
    struct stepd_error error;
    (void)stepd_fail(&error, STEPD_UNAVAILABLE, "the server is shutting down");
    conn_loop_end(loop, &error);
}

void conn_loop_cut(struct conn_loop *loop)
{
    for (struct conn *conn = loop->first; conn != NULL; conn = conn->next)
        conn_drop(conn, "the server stops");
}

uint64_t conn_now(const struct conn *conn)
{
    return uv_now(conn->loop->uv);
}

const char *conn_peer(const struct conn *conn)
{
    return conn->peer;
}

const char *conn_certificate(const struct conn *conn)
{
    return conn->tls == NULL ? "" : tls_name(conn->tls);
}

const char *conn_why(const struct conn *conn)
{
    return conn->why;
}

bool conn_holds_for(const struct conn *conn, const char *host)
{
    return conn->tls != NULL && tls_holds_for(conn->tls, host);
}
