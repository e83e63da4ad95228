/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a message goes to its handler, which fills or parks one request or says what is wrong.
 * Out: the only place that replies. Whatever happens during one entry into the core (a slice's
 * last byte, a member that leaves, an order) marks the requests that it answers as dirty; the
 * flush at the end of the entry sends each of them one Result with all slices that are ready, or
 * its Error. So a request is never answered twice, and what is ready is not held back by what is
 * not.
 *
 * Who does not take its replies gets no more weights until it does: what is ready for it is due,
 * and goes out in its turn, with the weights that there are then. So a peer that asks and does not
 * read holds no more versions than its queue of replies and one answer more have room for.
 */
#include <assert.h>

#include "proto/dtype.h"
#include "proto/error.h"
#include "server/core/core_internal.h"
#include "server/core/snapshot.h"

/* Payload of one reply frame, roughly: loopback and networks alike are fastest with writes of 1
 * to 4 MiB, and the peer can use the first slices while the next are on their way. */
#define REPLY_PAYLOAD_BYTES (4u << 20)

/* Slices of one reply frame: with their numbers (5 bytes), outcomes (1) and versions (10) a header
 * stays below its 64 KiB. */
#define REPLY_SLICES_MAX 3840u
static_assert(REPLY_SLICES_MAX * (5 + 1 + 10) + 128 <= STEPD_HEADER_MAX_BYTES,
              "the longest Result fits a header");

/* The same with the places of their weights (10). */
#define REPLY_PLACES_MAX 2048u
static_assert(REPLY_PLACES_MAX * (5 + 1 + 10 + 10) + 128 <= STEPD_HEADER_MAX_BYTES,
              "the longest Result with places fits a header");

/* ---- In -------------------------------------------------------------------------------------- */

static enum stepd_status handle(struct core_conn *conn, const struct stepd_message *message,
                                uint64_t payload_bytes, struct stepd_error *reterr)
{
    const struct stepd_error *fenced = &conn->session->fenced;
    if (fenced->code != STEPD_OK)
        return stepd_fail(reterr, fenced->code, "%s", fenced->text);
    switch (message->kind) {
    case STEPD_MESSAGE_PUSH:
    case STEPD_MESSAGE_STEP: return handle_push(conn, message, payload_bytes, reterr);
    case STEPD_MESSAGE_PULL: return handle_pull(conn, message, payload_bytes, reterr);
    case STEPD_MESSAGE_ASSIGN: return handle_assign(conn, message, payload_bytes, reterr);
    default:
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "a shard takes push, pull, step and assign, not %s; send it to control "
                          "(Hello with shard 0)",
                          stepd_message_name(message->kind));
    }
}

/* A request of a session: what is wrong with it concerns nobody else, and the connection goes on.
 */
static void take_request(struct core_conn *conn, const struct stepd_message *message,
                         uint64_t payload_bytes)
{
    struct stepd_error error = {.code = STEPD_OK};
    if (handle(conn, message, payload_bytes, &error) == STEPD_OK)
        return;
    conn->discard = payload_bytes;
    dispatch_error(conn, message->request_id, &error, (struct stepd_u32s){.count = 0});
}

enum stepd_status core_on_message(struct core_conn *conn, const struct stepd_message *message,
                                  uint64_t payload_bytes, uint64_t now_ms,
                                  struct stepd_error *reterr)
{
    struct core *core = conn->core;
    enum stepd_status status = STEPD_OK;
    core->now_ms = now_ms;
    session_heard(core, conn->session);
    if (message->request_id == 0)
        status = stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                            "%s has request_id 0; number your requests from 1",
                            stepd_message_name(message->kind));
    else if (conn->session == NULL)
        status = handle_hello(conn, message, payload_bytes, reterr);
    else
        take_request(conn, message, payload_bytes);
    dispatch_flush(core);
    return status;
}

/* ---- Out ------------------------------------------------------------------------------------- */

void dispatch_error(struct core_conn *conn, uint64_t request_id, const struct stepd_error *error,
                    struct stepd_u32s waited_for)
{
    const struct core_io *io = &conn->core->io;
    const struct stepd_message message = {
        .request_id = request_id,
        .kind = STEPD_MESSAGE_ERROR,
        .body.error = {.code = error->code, .text = error->text, .waited_for = waited_for},
    };
    io->reply(io->owner, conn->peer, &message, NULL, 0);
}

void dispatch_dirty(struct request *request)
{
    if (request->dirty)
        return;
    struct core *core = request->conn->core;
    request->dirty = true;
    request->next_dirty = core->dirty;
    core->dirty = request;
}

/* Who will compute on these weights? */
static void note_pull(struct waiter *waiter)
{
    const struct session *session = waiter->request->conn->session;
    struct slice *slice = &waiter->slice->slice;
    if (!session->observer && session->rank < slice->ranks &&
        waiter->request->view == STEPD_TRAINING) {
        snapshot_before_change(waiter->slice);
        slice_back_up(slice, session->rank);
    }
}

/* The weights of a waiter's slice as a piece of the reply's payload; false without memory. */
static bool take_piece(struct waiter *waiter, struct core_piece *ret_piece)
{
    struct weights *weights = slice_view(&waiter->slice->slice, waiter->request->view);
    const enum stepd_dtype dtype = waiter->request->pull_dtype;
    const uint8_t *bytes =
        weights_encoded(weights, dtype, kernels_reduce(waiter->request->conn->core->options.isa));
    if (bytes == NULL)
        return false;
    *ret_piece = (struct core_piece){.weights = weights_ref(weights),
                                     .bytes = bytes,
                                     .count = weights->elements * stepd_dtype_bytes(dtype)};
    waiter->slice->job->pieces++;
    note_pull(waiter);
    return true;
}

/* One frame that is being put together. */
struct frame {
    struct request *request;
    size_t slices;
    size_t pieces;
    size_t payload_bytes;
    bool placed;      /* its weights stay where they are */
    uint64_t durable; /* the oldest durable version of its slices; UINT64_MAX: none is stepped */
};

static struct frame new_frame(struct request *request)
{
    return (struct frame){.request = request, .durable = UINT64_MAX};
}

static void send_frame(struct frame *frame)
{
    struct request *request = frame->request;
    const struct core *core = request->conn->core;
    const struct reply_room *room = &core->room;
    const struct stepd_message message = {
        .request_id = request->id,
        .kind = STEPD_MESSAGE_RESULT,
        .body.result =
            {
                .slices = {.count = frame->slices, .at = room->slice},
                .outcomes = {.count = frame->slices, .at = room->outcome},
                .versions = {.count = frame->slices, .at = room->version},
                .dtype = request->pull_dtype,
                .durable_version = frame->durable == UINT64_MAX ? 0 : frame->durable,
                .last = request->unsent == 0,
                .places = {.count = frame->placed ? frame->slices : 0, .at = room->place},
            },
    };
    core->io.reply(core->io.owner, request->conn->peer, &message, room->piece, frame->pieces);
    *frame = new_frame(request);
}

/* Bytes that a slice's weights will add to a frame. */
static size_t piece_bytes(const struct waiter *waiter)
{
    const struct request *request = waiter->request;
    return request->wants_weights
               ? waiter->slice->slice.plan->elements * stepd_dtype_bytes(request->pull_dtype)
               : 0;
}

static enum stepd_status add_to_frame(struct frame *frame, struct waiter *waiter, size_t most,
                                      struct stepd_error *reterr)
{
    const struct reply_room *room = &waiter->request->conn->core->room;
    uint64_t place = 0;
    const bool placed = shared_place(waiter, &place);
    const size_t bytes = placed ? 0 : piece_bytes(waiter);
    if (bytes > most)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                          "a slice of %zu bytes does not fit the frames that you accept; raise "
                          "Hello.max_frame_bytes",
                          bytes);
    const size_t soft = most < REPLY_PAYLOAD_BYTES ? most : REPLY_PAYLOAD_BYTES;
    const size_t slices_max = placed ? REPLY_PLACES_MAX : REPLY_SLICES_MAX;
    const bool full = frame->payload_bytes + bytes > soft || frame->slices == slices_max;
    if (frame->slices > 0 && (full || placed != frame->placed))
        send_frame(frame);
    frame->placed = placed;
    if (placed) {
        room->place[frame->slices] = place;
        shared_hold(waiter);
        note_pull(waiter);
    }
    if (bytes > 0) {
        if (!take_piece(waiter, &room->piece[frame->pieces]))
            return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                              "no memory for 16-bit weights; pull them as F32");
        frame->pieces++;
    }
    room->slice[frame->slices] = waiter->slice->slice.index;
    room->outcome[frame->slices] = waiter->outcome;
    /* Weights come with their own version, which may be newer than what the request waited for. */
    room->version[frame->slices] =
        waiter->request->wants_weights ? waiter->slice->slice.version : waiter->version;
    if (!waiter->slice->slice.group->frozen && waiter->slice->durable < frame->durable)
        frame->durable = waiter->slice->durable;
    frame->slices++;
    frame->payload_bytes += bytes;
    waiter->state = WAITER_SENT;
    waiter->request->unsent--;
    return STEPD_OK;
}

static void send_ready(struct request *request)
{
    const size_t most = stepd_frame_payload_max(request->conn->frame_max_bytes);
    struct frame frame = new_frame(request);
    for (size_t i = 0; i < request->count; i++) {
        struct waiter *waiter = &request->waiter[i];
        if (waiter->state == WAITER_READY &&
            add_to_frame(&frame, waiter, most, &request->error) != STEPD_OK)
            break;
    }
    if (frame.slices > 0)
        send_frame(&frame);
}

/* Not while its own payload is still coming in: the waiters of that are in use. */
static void finish(struct request *request)
{
    struct core_conn *conn = request->conn;
    if (conn->receiving == request)
        return;
    /* All results may be out before the last bytes of a payload that nobody wanted. */
    const bool answered = request->unsent == 0;
    if (!answered && request->error.code == STEPD_OK)
        return;
    if (!answered)
        dispatch_error(conn, request->id, &request->error, (struct stepd_u32s){.count = 0});
    request_destroy(request);
}

/* Sends what is ready of a request, or why nothing will be. */
static void answer(struct request *request)
{
    dispatch_not_due(request);
    if (request->error.code == STEPD_OK)
        send_ready(request);
    finish(request);
}

static bool takes(const struct core_conn *conn)
{
    const struct core_io *io = &conn->core->io;
    return io->takes == NULL || io->takes(io->owner, conn->peer);
}

/* Its answer has to wait for its turn. */
static void make_due(struct request *request)
{
    struct core_conn *conn = request->conn;
    if (request->due)
        return;
    request->due = true;
    request->prev_due = conn->due_last;
    request->next_due = NULL;
    if (conn->due_last != NULL)
        conn->due_last->next_due = request;
    else
        conn->due_first = request;
    conn->due_last = request;
}

void dispatch_not_due(struct request *request)
{
    struct core_conn *conn = request->conn;
    if (!request->due)
        return;
    request->due = false;
    if (request->prev_due != NULL)
        request->prev_due->next_due = request->next_due;
    else
        conn->due_first = request->next_due;
    if (request->next_due != NULL)
        request->next_due->prev_due = request->prev_due;
    else
        conn->due_last = request->prev_due;
}

/* Would it be answered with weights that its peer does not take now? */
static bool must_wait(const struct request *request)
{
    return request->error.code == STEPD_OK && request->wants_weights && request->unsent > 0 &&
           (request->conn->due_first != NULL || !takes(request->conn));
}

void dispatch_flush(struct core *core)
{
    receive_go_on(core);
    while (core->dirty != NULL) {
        struct request *request = core->dirty;
        core->dirty = request->next_dirty;
        request->dirty = false;
        request->next_dirty = NULL;
        if (must_wait(request))
            make_due(request);
        else
            answer(request);
    }
}

void core_on_taken(struct core_conn *conn, uint64_t now_ms)
{
    conn->core->now_ms = now_ms;
    while (conn->due_first != NULL && takes(conn))
        answer(conn->due_first);
    dispatch_flush(conn->core);
}
