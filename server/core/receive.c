/* SPDX-License-Identifier: Apache-2.0
 *
 * Payloads: bytes stream into the staging of the slices that a request lists, one after another.
 * A slice counts the moment its last byte is in, whatever becomes of the rest; a slice that is
 * cut short leaves nothing behind. Bytes that nobody wants (a refused request, a push that had
 * counted before, a gradient of frozen weights) are read and dropped.
 *
 * Where gradients are added up as they arrive there are fewer buffers than workers. A connection
 * whose next slice finds none is held: nothing more of it is read, until its turn comes in the
 * order in which they were held (receive_go_on). Nobody waits for long: who has a buffer waits for
 * nothing but its own bytes, and gives it back when the slice is whole, when its connection ends
 * (at the latest when nothing has come for read_timeout_ms), or when its request does.
 */
#include <assert.h>

#include "proto/dtype.h"
#include "server/core/core_internal.h"

static struct waiter *current(const struct core_conn *conn)
{
    return &conn->receiving->waiter[conn->receiving_at];
}

static bool is_assign(const struct request *request)
{
    return request->kind == STEPD_MESSAGE_ASSIGN;
}

static void begin(struct waiter *waiter)
{
    if (is_assign(waiter->request))
        assign_begin(waiter);
    else
        push_begin(waiter);
}

static void complete(struct waiter *waiter)
{
    if (waiter->discard)
        return; /* begin has settled it */
    if (is_assign(waiter->request))
        assign_complete(waiter);
    else
        push_complete(waiter);
}

/* Bytes that the current slice still lacks: none of an empty contribution, and of a gradient that
 * lies elsewhere. */
static uint64_t lacking(const struct core_conn *conn)
{
    const struct request *request = conn->receiving;
    const bool empty = !is_assign(request) && (request->examples == 0 || request->placed);
    return empty ? 0 : waiter_payload_bytes(current(conn)) - conn->received;
}

/* ---- Buffers that are few -------------------------------------------------------------------- */

static bool needs_landing(const struct waiter *waiter)
{
    const struct request *request = waiter->request;
    return !is_assign(request) && request->examples > 0 && !request->placed &&
           waiter->slice->staging != NULL && core_job_adds_on_arrival(request->job);
}

/* Is there a buffer for the slice whose turn it is, which nobody has waited for longer? */
static bool may_land(const struct core_conn *conn)
{
    const struct waiter *waiter = current(conn);
    const struct core_conn *first = conn->core->held;
    if (!needs_landing(waiter))
        return true;
    while (first != NULL && first != conn && first->receiving->job != conn->receiving->job)
        first = first->next_held;
    return (first == NULL || first == conn) && staging_has_spare(waiter->slice->staging);
}

static void hold(struct core_conn *conn, bool hold)
{
    const struct core_io *io = &conn->core->io;
    conn->held = hold;
    io->hold(io->owner, conn->peer, hold);
}

static void wait_for_landing(struct core_conn *conn)
{
    struct core_conn **at = &conn->core->held;
    while (*at != NULL)
        at = &(*at)->next_held;
    *at = conn;
    conn->next_held = NULL;
    hold(conn, true);
}

static void leave_held(struct core_conn *conn)
{
    struct core_conn **at = &conn->core->held;
    while (*at != conn)
        at = &(*at)->next_held;
    *at = conn->next_held;
}

/* The turn of the slice has come. */
static void start(struct core_conn *conn)
{
    if (may_land(conn))
        begin(current(conn));
    else
        wait_for_landing(conn);
}

static struct core_conn *first_to_go_on(const struct core *core)
{
    struct core_conn *conn = core->held;
    while (conn != NULL && !may_land(conn))
        conn = conn->next_held;
    return conn;
}

void receive_go_on(struct core *core)
{
    struct core_conn *conn;
    while ((conn = first_to_go_on(core)) != NULL) {
        leave_held(conn);
        hold(conn, false);
        begin(current(conn));
    }
}

void receive_on_tick(const struct core *core)
{
    for (const struct core_conn *conn = core->held; conn != NULL; conn = conn->next_held)
        session_heard(core, conn->session);
}

/* ---- Slice by slice -------------------------------------------------------------------------- */

/* Completes slices that lack nothing, and begins the next one, until bytes are needed. */
static void advance(struct core_conn *conn)
{
    while (lacking(conn) == 0) {
        complete(current(conn));
        conn->received = 0;
        conn->receiving_at++;
        if (conn->receiving_at == conn->receiving->count) {
            struct request *request = conn->receiving;
            conn->receiving = NULL;
            dispatch_dirty(request);
            return;
        }
        start(conn);
    }
}

void receive_start(struct request *request)
{
    struct core_conn *conn = request->conn;
    conn->receiving = request;
    conn->receiving_at = 0;
    conn->received = 0;
    start(conn);
    advance(conn);
}

void receive_abort(struct core_conn *conn)
{
    if (conn->receiving == NULL)
        return;
    if (conn->held)
        leave_held(conn);
    else if (!is_assign(conn->receiving) && !current(conn)->discard)
        push_abort(current(conn));
    conn->receiving = NULL;
}

void receive_cancel(struct core_conn *conn)
{
    const struct request *request = conn->receiving;
    uint64_t left = lacking(conn);
    for (size_t i = conn->receiving_at + 1; i < request->count && left > 0; i++)
        left += waiter_payload_bytes(&request->waiter[i]);
    receive_abort(conn);
    if (conn->held)
        hold(conn, false);
    conn->discard = left;
}

/* Where a slice's first byte goes; NULL: it is dropped. */
static uint8_t *wire_start(const struct waiter *waiter)
{
    const struct request *request = waiter->request;
    struct slice *slice = &waiter->slice->slice;
    if (waiter->discard)
        return NULL;
    if (is_assign(request))
        return stepd_dtype_wire_start(request->dtype, slice->plan->elements,
                                      slice_view(slice, STEPD_EVALUATION)->values);
    float *staging = push_staging(waiter);
    return staging == NULL
               ? NULL
               : stepd_dtype_wire_start(request->dtype, slice_push_floats(slice), staging);
}

uint8_t *core_window(struct core_conn *conn, size_t *ret_room)
{
    if (conn->receiving == NULL) {
        *ret_room = (size_t)conn->discard;
        return NULL;
    }
    *ret_room = (size_t)lacking(conn);
    uint8_t *start = wire_start(current(conn));
    return start == NULL ? NULL : start + conn->received;
}

void core_filled(struct core_conn *conn, size_t n, uint64_t now_ms)
{
    struct core *core = conn->core;
    core->now_ms = now_ms;
    session_heard(core, conn->session);
    if (conn->receiving == NULL) {
        conn->discard -= n;
        return;
    }
    conn->received += n;
    if (!is_assign(conn->receiving))
        push_look(current(conn), conn->received);
    advance(conn);
    dispatch_flush(core);
}
