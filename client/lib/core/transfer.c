/* SPDX-License-Identifier: Apache-2.0
 *
 * Sending parcels: which ones go into one message, and how the message and its payload are built.
 * The slices are sorted, so that the reply finds them by bisection and a large tensor goes out as
 * one span of memory. What becomes of the reply is in transfer_reply.c.
 */
#include "client/lib/core/transfer.h"

#include <assert.h>
#include <stdlib.h>

#include "client/lib/core/grow.h"
#include "proto/dtype.h"
#include "proto/error.h"
#include "proto/frame.h"

/* A frame carries about this much: large enough for the wire, small enough that the server works
 * on one while the next one travels. Gradients go in frames that a socket's buffers keep in cache;
 * weights come in fewer, larger ones, since the server has only to write them. */
#define PUSH_TARGET_BYTES (1u << 20)
#define PULL_TARGET_BYTES (4u << 20)

/* Slices of one message: their numbers (5 bytes) and base versions (10) stay below the header's
 * 64 KiB. */
#define SLICES_MAX 2048u
static_assert(SLICES_MAX * 15 + 128 < STEPD_HEADER_MAX_BYTES, "the longest message fits");

struct stepd_transfer *stepd_transfer_create(struct stepd_exchange *exchange, uint32_t shard,
                                             const struct stepd_parcel *like)
{
    struct stepd_transfer *const transfer = malloc(sizeof *transfer);
    if (transfer == NULL)
        return NULL;
    *transfer = (struct stepd_transfer){
        .exchange = exchange,
        .shard = shard,
        .pulls = like->pulls,
        .clock = like->pushes ? stepd_exchange_next_clock(exchange, like->slice) : 0,
    };
    return transfer;
}

/* Whatever stands once in a message must be the same for all its parcels. */
static bool same_options(const struct stepd_parcel *a, const struct stepd_parcel *b)
{
    return a->pulls == b->pulls && a->examples == b->examples && a->min_version == b->min_version &&
           a->deadline_ms == b->deadline_ms && (!a->pulls || a->view == b->view) &&
           a->has_loss == b->has_loss && a->loss == b->loss && a->loss_scale == b->loss_scale;
}

bool stepd_transfer_fits(const struct stepd_transfer *transfer, const struct stepd_parcel *parcel)
{
    const struct stepd_exchange *const exchange = transfer->exchange;
    if (transfer->count == 0)
        return true;
    const struct stepd_parcel *const first = transfer->parcel[0];
    const uint64_t clock = parcel->pushes ? stepd_exchange_next_clock(exchange, parcel->slice) : 0;
    if (clock != transfer->clock || transfer->count == SLICES_MAX || !same_options(parcel, first))
        return false;
    const uint64_t header = 128 + 15 * (transfer->count + 1);
    const uint64_t payload =
        (transfer->elements + stepd_exchange_payload(exchange, parcel)) * sizeof(float);
    const uint64_t target = parcel->pushes ? PUSH_TARGET_BYTES : PULL_TARGET_BYTES;
    return payload <= target && header + payload <= exchange->frame_max_bytes;
}

enum stepd_status stepd_transfer_add(struct stepd_transfer *transfer, struct stepd_parcel *parcel)
{
    struct stepd_parcel **const grown =
        stepd_grow((void *)transfer->parcel, &transfer->room, transfer->count + 1, sizeof *grown);
    if (grown == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    transfer->parcel = grown;
    if (transfer->count == 0 || parcel->priority > transfer->priority)
        transfer->priority = parcel->priority;
    transfer->parcel[transfer->count++] = parcel;
    transfer->elements += stepd_exchange_payload(transfer->exchange, parcel);
    return STEPD_OK;
}

static int by_slice(const void *left, const void *right)
{
    const struct stepd_parcel *const a = *(const struct stepd_parcel *const *)left;
    const struct stepd_parcel *const b = *(const struct stepd_parcel *const *)right;
    return (a->slice > b->slice) - (a->slice < b->slice);
}

/* When the first of its operations has waited for long enough. */
static uint64_t expiry_of(const struct stepd_transfer *transfer)
{
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < transfer->count; i++) {
        const struct stepd_parcel *const parcel = transfer->parcel[i];
        for (uint32_t p = 0; p < parcel->parts; p++) {
            const struct stepd_operation *const operation = parcel->part[p].operation;
            if (operation != NULL && operation->expires_ms < first)
                first = operation->expires_ms;
        }
    }
    return first;
}

/* Sorts the parcels and lists their slices and base versions. */
static enum stepd_status list_slices(struct stepd_transfer *transfer)
{
    /* At most SLICES_MAX of each. */
    transfer->slice = malloc(transfer->count * sizeof *transfer->slice);
    transfer->base = malloc(transfer->count * sizeof *transfer->base);
    if (transfer->slice == NULL || transfer->base == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    qsort((void *)transfer->parcel, transfer->count, sizeof(struct stepd_parcel *), by_slice);
    for (size_t i = 0; i < transfer->count; i++) {
        transfer->slice[i] = transfer->parcel[i]->slice;
        transfer->base[i] = transfer->exchange->slice[transfer->slice[i]].version;
    }
    transfer->unanswered = transfer->count;
    transfer->request.expires_ms = expiry_of(transfer);
    return STEPD_OK;
}

/* One base version for all where they are equal, as they are in sync mode. */
static struct stepd_u64s base_versions(const struct stepd_transfer *transfer)
{
    size_t equal = 1;
    while (equal < transfer->count && transfer->base[equal] == transfer->base[0])
        equal++;
    return (struct stepd_u64s){
        .count = equal == transfer->count ? 1 : transfer->count,
        .at = transfer->base,
    };
}

/* What is left of the operations' time, once some of it has gone by without a link. */
static uint32_t deadline_of(const struct stepd_transfer *transfer)
{
    const uint64_t now = transfer->exchange->now_ms;
    const uint64_t until = transfer->request.expires_ms;
    if (!transfer->delayed)
        return transfer->parcel[0]->deadline_ms;
    return until > now ? (uint32_t)(until - now) : 1; /* 0 would be the server's longest */
}

static struct stepd_message message_of(const struct stepd_transfer *transfer)
{
    const struct stepd_exchange *const exchange = transfer->exchange;
    const struct stepd_parcel *const first = transfer->parcel[0];
    const struct stepd_u32s slices = {.count = transfer->count, .at = transfer->slice};
    struct stepd_message message = {.request_id = transfer->request.id};
    if (!first->pushes) {
        message.kind = STEPD_MESSAGE_PULL;
        message.body.pull = (struct stepd_pull_slices){
            .incarnation = exchange->incarnation,
            .slices = slices,
            .min_version = first->min_version,
            .dtype = exchange->pull_dtype,
            .deadline_ms = deadline_of(transfer),
            .view = first->view,
        };
        return message;
    }
    const struct stepd_push_slices push = {
        .incarnation = exchange->incarnation,
        .clock = transfer->clock,
        .slices = slices,
        .base_versions = base_versions(transfer),
        .examples = first->examples,
        .dtype = exchange->push_dtype,
        .deadline_ms = deadline_of(transfer),
        .has_loss = first->has_loss,
        .loss = first->loss,
        .loss_scale = first->loss_scale,
        .placed = transfer->placed,
    };
    message.kind = transfer->pulls ? STEPD_MESSAGE_STEP : STEPD_MESSAGE_PUSH;
    if (transfer->pulls)
        message.body.step = (struct stepd_step_slices){
            .push = push,
            .pull_dtype = exchange->pull_dtype,
            .pull_view = first->view,
        };
    else
        message.body.push = push;
    return message;
}

static enum stepd_status add_gradients(const struct stepd_transfer *transfer,
                                       const struct stepd_parcel *parcel,
                                       struct stepd_outgoing *outgoing)
{
    const struct stepd_layout_table *const layout = transfer->exchange->layout;
    const struct stepd_part *const part = &layout->part[layout->slice[parcel->slice].first_part];
    enum stepd_status status = STEPD_OK;
    for (uint32_t i = 0; i < parcel->parts && status == STEPD_OK; i++)
        status = stepd_outgoing_add_floats(outgoing, parcel->part[i].grad, part[i].elements);
    if (status == STEPD_OK && parcel->extra != NULL)
        status =
            stepd_outgoing_add_floats(outgoing, parcel->extra, layout->slice[parcel->slice].extra);
    return status;
}

static enum stepd_status check_frame(const struct stepd_transfer *transfer,
                                     const struct stepd_outgoing *outgoing,
                                     struct stepd_error *reterr)
{
    const size_t bytes = outgoing->head_bytes + outgoing->payload_bytes;
    const size_t most = transfer->exchange->frame_max_bytes;
    if (bytes <= most)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                      "slice %u makes a frame of %zu bytes; the server accepts %zu: raise its "
                      "frame_max_bytes or lower its slice_elements",
                      transfer->slice[0], bytes, most);
}

/* Builds the frame. *ret_outgoing: caller frees with stepd_outgoing_destroy. */
static enum stepd_status build(struct stepd_transfer *transfer,
                               struct stepd_outgoing **ret_outgoing, struct stepd_error *reterr)
{
    struct stepd_exchange *const exchange = transfer->exchange;
    const struct stepd_parcel *const first = transfer->parcel[0];
    transfer->placed = stepd_shared_place_gradients(transfer);
    const bool payload = first->pushes && first->examples > 0 && !transfer->placed;
    struct stepd_outgoing *outgoing =
        stepd_outgoing_create(exchange->push_dtype, payload ? (size_t)transfer->elements : 0);
    enum stepd_status status = outgoing == NULL ? STEPD_RESOURCE_EXHAUSTED : STEPD_OK;
    for (size_t i = 0; payload && i < transfer->count && status == STEPD_OK; i++)
        status = add_gradients(transfer, transfer->parcel[i], outgoing);
    if (status != STEPD_OK) {
        (void)stepd_outgoing_destroy(outgoing);
        return stepd_fail(reterr, status, "no memory to send %zu slices", transfer->count);
    }
    outgoing->priority = transfer->priority;
    outgoing->clock = transfer->clock;
    const struct stepd_message message = message_of(transfer);
    status = stepd_outgoing_encode(outgoing, &message, &exchange->arena, reterr);
    if (status == STEPD_OK)
        status = check_frame(transfer, outgoing, reterr);
    if (status == STEPD_OK)
        *ret_outgoing = outgoing;
    else
        (void)stepd_outgoing_destroy(outgoing);
    return status;
}

/* The next push of these slices has the next clock, whatever comes of this one. */
static void use_clocks(const struct stepd_transfer *transfer)
{
    for (size_t i = 0; i < transfer->count && transfer->clock > 0; i++) {
        struct stepd_slice_state *const state = &transfer->exchange->slice[transfer->slice[i]];
        state->clock = transfer->clock;
        state->sent = transfer->clock;
        state->again = 0;
        state->pushing++;
    }
}

/* Builds the frame and gives it to the link, or holds the transfer until there is one. */
static enum stepd_status launch(struct stepd_transfer *transfer, struct stepd_error *reterr)
{
    struct stepd_exchange *const exchange = transfer->exchange;
    const struct stepd_port *const port = &exchange->port;
    struct stepd_outgoing *outgoing = NULL;
    if (port->holds != NULL && port->holds(port->self, transfer->shard)) {
        transfer->delayed = true;
        stepd_pending_hold(exchange->pending, transfer->shard, &transfer->request);
        return STEPD_OK;
    }
    stepd_pending_add(exchange->pending, transfer->shard, &transfer->request);
    enum stepd_status status = build(transfer, &outgoing, reterr);
    if (status != STEPD_OK)
        return status;
    if (transfer->clock > exchange->clock) /* from here on the server may have seen it */
        exchange->clock = transfer->clock;
    status = port->send(port->self, transfer->shard, outgoing, reterr);
    if (status != STEPD_OK)
        (void)stepd_outgoing_destroy(outgoing);
    return status;
}

/* Nothing of it is under way: it ends. */
static void end(struct stepd_transfer *transfer, const struct stepd_error *error)
{
    transfer->request.written = true;
    stepd_pending_end(transfer->exchange->pending, &transfer->request, error);
}

void stepd_transfer_send(struct stepd_transfer *transfer)
{
    struct stepd_error error;
    if (transfer->count == 0) { /* no memory for its first parcel */
        free((void *)transfer->parcel);
        free(transfer);
        return;
    }
    transfer->request.kind = &stepd_transfer_kind;
    enum stepd_status status = list_slices(transfer);
    if (status != STEPD_OK) {
        (void)stepd_fail(&error, status, "no memory to send %zu slices", transfer->count);
    } else {
        use_clocks(transfer);
        status = launch(transfer, &error);
    }
    if (status != STEPD_OK)
        end(transfer, &error);
}

/* Slices that were settled leave the lists. */
static void drop_settled(struct stepd_transfer *transfer)
{
    size_t left = 0;
    transfer->elements = 0;
    for (size_t i = 0; i < transfer->count; i++) {
        if (transfer->parcel[i] == NULL)
            continue;
        transfer->parcel[left] = transfer->parcel[i];
        transfer->slice[left] = transfer->slice[i];
        transfer->base[left] = transfer->base[i];
        transfer->elements += stepd_exchange_payload(transfer->exchange, transfer->parcel[i]);
        left++;
    }
    transfer->count = left;
}

void stepd_transfer_send_again(struct stepd_request *request)
{
    struct stepd_transfer *const transfer = (struct stepd_transfer *)request;
    struct stepd_error error;
    drop_settled(transfer);
    if (transfer->count == 0) /* all had been answered but for the reply's end */
        end(transfer, NULL);
    else if (launch(transfer, &error) != STEPD_OK)
        end(transfer, &error);
}
