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
 * on one while the next one travels. */
#define PAYLOAD_TARGET_BYTES (4u << 20)

/* Slices of one message: their numbers (5 bytes) and base versions (10) stay below the header's
 * 64 KiB. */
#define SLICES_MAX 2048u
static_assert(SLICES_MAX * 15 + 128 < STEPD_HEADER_MAX_BYTES, "the longest message fits");

struct stepd_transfer *stepd_transfer_create(struct stepd_exchange *exchange, uint32_t shard,
                                             const struct stepd_parcel *like)
{
    struct stepd_transfer *const transfer = calloc(1, sizeof *transfer);
    if (transfer == NULL)
        return NULL;
    transfer->exchange = exchange;
    transfer->shard = shard;
    transfer->pulls = like->pulls;
    transfer->clock = like->pushes ? stepd_exchange_next_clock(exchange, like->slice) : 0;
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
    return payload <= PAYLOAD_TARGET_BYTES && header + payload <= exchange->frame_max_bytes;
}

enum stepd_status stepd_transfer_add(struct stepd_transfer *transfer, struct stepd_parcel *parcel)
{
    struct stepd_parcel **const grown =
        stepd_grow((void *)transfer->parcel, &transfer->room, transfer->count + 1, sizeof *grown);
    if (grown == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    transfer->parcel = grown;
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

/* Sorts the parcels and lists their slices and base versions. */
static enum stepd_status list_slices(struct stepd_transfer *transfer)
{
    transfer->slice = calloc(transfer->count, sizeof *transfer->slice);
    transfer->base = calloc(transfer->count, sizeof *transfer->base);
    if (transfer->slice == NULL || transfer->base == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    qsort((void *)transfer->parcel, transfer->count, sizeof(struct stepd_parcel *), by_slice);
    for (size_t i = 0; i < transfer->count; i++) {
        transfer->slice[i] = transfer->parcel[i]->slice;
        transfer->base[i] = transfer->exchange->slice[transfer->slice[i]].version;
    }
    transfer->unanswered = transfer->count;
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

static struct stepd_message message_of(const struct stepd_transfer *transfer)
{
    const struct stepd_exchange *const exchange = transfer->exchange;
    const struct stepd_parcel *const first = transfer->parcel[0];
    const struct stepd_u32s slices = {.count = transfer->count, .at = transfer->slice};
    struct stepd_message message = {.request_id = transfer->request.id};
    if (!first->pushes) {
        message.kind = STEPD_MESSAGE_PULL;
        message.body.pull = (struct stepd_pull_slices){
            .incarnation = exchange->layout->incarnation,
            .slices = slices,
            .min_version = first->min_version,
            .dtype = exchange->pull_dtype,
            .deadline_ms = first->deadline_ms,
            .view = first->view,
        };
        return message;
    }
    const struct stepd_push_slices push = {
        .incarnation = exchange->layout->incarnation,
        .clock = transfer->clock,
        .slices = slices,
        .base_versions = base_versions(transfer),
        .examples = first->examples,
        .dtype = exchange->push_dtype,
        .deadline_ms = first->deadline_ms,
        .has_loss = first->has_loss,
        .loss = first->loss,
        .loss_scale = first->loss_scale,
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
    const bool payload = first->pushes && first->examples > 0;
    struct stepd_outgoing *outgoing =
        stepd_outgoing_create(exchange->push_dtype, payload ? (size_t)transfer->elements : 0);
    enum stepd_status status = outgoing == NULL ? STEPD_RESOURCE_EXHAUSTED : STEPD_OK;
    for (size_t i = 0; payload && i < transfer->count && status == STEPD_OK; i++)
        status = add_gradients(transfer, transfer->parcel[i], outgoing);
    if (status != STEPD_OK) {
        (void)stepd_outgoing_destroy(outgoing);
        return stepd_fail(reterr, status, "no memory to send %zu slices", transfer->count);
    }
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

/* From here on the server may have seen the clock, so it is used up whatever comes of it. */
static void use_clocks(const struct stepd_transfer *transfer)
{
    struct stepd_exchange *const exchange = transfer->exchange;
    if (transfer->clock == 0)
        return;
    for (size_t i = 0; i < transfer->count; i++)
        exchange->slice[transfer->slice[i]].clock = transfer->clock;
    if (transfer->clock > exchange->clock)
        exchange->clock = transfer->clock;
}

void stepd_transfer_send(struct stepd_transfer *transfer)
{
    struct stepd_exchange *const exchange = transfer->exchange;
    struct stepd_outgoing *outgoing = NULL;
    struct stepd_error error;
    if (transfer->count == 0) { /* no memory for its first parcel */
        free((void *)transfer->parcel);
        free(transfer);
        return;
    }
    transfer->request.kind = &stepd_transfer_kind;
    stepd_pending_add(exchange->pending, transfer->shard, &transfer->request);
    enum stepd_status status = list_slices(transfer);
    if (status != STEPD_OK)
        (void)stepd_fail(&error, status, "no memory to send %zu slices", transfer->count);
    else
        status = build(transfer, &outgoing, &error);
    if (status == STEPD_OK) {
        use_clocks(transfer);
        status = exchange->port.send(exchange->port.self, transfer->shard, outgoing, &error);
        if (status != STEPD_OK)
            (void)stepd_outgoing_destroy(outgoing);
    }
    if (status == STEPD_OK)
        return;
    transfer->request.written = true;
    stepd_pending_end(exchange->pending, &transfer->request, &error);
}
