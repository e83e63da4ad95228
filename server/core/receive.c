/* SPDX-License-Identifier: Apache-2.0
 *
 * Payloads: bytes stream into the staging of the slices that a request lists, one after another.
 * A slice counts the moment its last byte is in, whatever becomes of the rest; a slice that is
 * cut short leaves nothing behind. Bytes that nobody wants (a refused request, a push that had
 * counted before, a gradient of frozen weights) are read and dropped.
 */
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
        begin(current(conn));
    }
}

void receive_start(struct request *request)
{
    struct core_conn *conn = request->conn;
    conn->receiving = request;
    conn->receiving_at = 0;
    conn->received = 0;
    begin(current(conn));
    advance(conn);
}

void receive_abort(struct core_conn *conn)
{
    if (conn->receiving == NULL)
        return;
    if (!is_assign(conn->receiving) && !current(conn)->discard)
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
    advance(conn);
    dispatch_flush(core);
}
