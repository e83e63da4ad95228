/* SPDX-License-Identifier: Apache-2.0
 *
 * Taking in what the server says of a transfer's slices.
 *
 * A frame of the reply is checked as a whole when its head comes: every slice it lists must be one
 * that this transfer asked for and that has not been answered, and the payload must be as long as
 * those slices are. Only then is anything written to a caller's array. A parcel that has been
 * answered is settled as soon as the request's own bytes have left (see pending.h), which is
 * nearly always at once.
 */
#include "client/lib/core/transfer.h"

#include <inttypes.h>
#include <stdlib.h>

#include "proto/dtype.h"
#include "proto/error.h"

static struct stepd_transfer *transfer_of(struct stepd_request *request)
{
    return (struct stepd_transfer *)request;
}

struct stepd_parcel *stepd_transfer_parcel(const struct stepd_transfer *transfer, uint32_t slice)
{
    size_t low = 0, high = transfer->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (transfer->slice[middle] == slice)
            return transfer->parcel[middle];
        if (transfer->slice[middle] < slice)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static enum stepd_status check_slices(const struct stepd_transfer *transfer,
                                      const struct stepd_result *reply, uint64_t *ret_elements,
                                      struct stepd_error *reterr)
{
    uint64_t elements = 0;
    if (reply->outcomes.count != reply->slices.count ||
        reply->versions.count != reply->slices.count)
        return stepd_fail(reterr, STEPD_INTERNAL, "a result's lists differ in length");
    for (size_t i = 0; i < reply->slices.count; i++) {
        struct stepd_parcel *const parcel = stepd_transfer_parcel(transfer, reply->slices.at[i]);
        if (parcel == NULL || parcel->awaited || parcel->answered)
            return stepd_fail(reterr, STEPD_INTERNAL,
                              "a result for slice %" PRIu32
                              ", which was not asked for or has been answered",
                              reply->slices.at[i]);
        parcel->awaited = true;
        elements += stepd_exchange_elements(transfer->exchange, parcel);
    }
    *ret_elements = elements;
    return STEPD_OK;
}

static enum stepd_status on_reply(struct stepd_request *request,
                                  const struct stepd_message *message, size_t payload_bytes,
                                  struct stepd_error *reterr)
{
    struct stepd_transfer *const transfer = transfer_of(request);
    if (message->kind != STEPD_MESSAGE_RESULT)
        return stepd_fail(reterr, STEPD_INTERNAL, "%s in answer to a transfer of slices",
                          stepd_message_name(message->kind));
    const struct stepd_result *const reply = &message->body.result;
    uint64_t elements = 0;
    const enum stepd_status status = check_slices(transfer, reply, &elements, reterr);
    if (status != STEPD_OK)
        return status;
    const bool placed = transfer->pulls && reply->places.count > 0;
    if (placed && !stepd_shared_has_weights(transfer, reply))
        return stepd_fail(reterr, STEPD_INTERNAL,
                          "a result with weights beyond the memory that is shared");
    const uint64_t expected =
        transfer->pulls && !placed ? elements * stepd_dtype_bytes(reply->dtype) : 0;
    if (payload_bytes != expected)
        return stepd_fail(reterr, STEPD_INTERNAL,
                          "a result with %zu bytes of weights where its slices have %" PRIu64,
                          payload_bytes, expected);
    transfer->reply = *reply;
    transfer->reply_slice = 0;
    transfer->reply_part = 0;
    return STEPD_OK;
}

static bool next_piece(struct stepd_request *request, struct stepd_piece *ret_piece)
{
    struct stepd_transfer *const transfer = transfer_of(request);
    const struct stepd_layout_table *const layout = transfer->exchange->layout;
    if (!transfer->pulls || transfer->reply.places.count > 0 ||
        transfer->reply_slice == transfer->reply.slices.count)
        return false;
    const uint32_t slice = transfer->reply.slices.at[transfer->reply_slice];
    const struct stepd_parcel *const parcel = stepd_transfer_parcel(transfer, slice);
    const struct stepd_part *const part = &layout->part[layout->slice[slice].first_part];
    *ret_piece = (struct stepd_piece){
        .to = stepd_shared_writable(transfer, parcel, transfer->reply_part),
        .elements = part[transfer->reply_part].elements,
        .dtype = transfer->reply.dtype,
    };
    transfer->reply_part++;
    if (transfer->reply_part == parcel->parts) {
        transfer->reply_part = 0;
        transfer->reply_slice++;
    }
    return true;
}

/* Nothing of a parcel is under way any more. */
static void settle(const struct stepd_transfer *transfer, struct stepd_parcel *parcel,
                   const struct stepd_error *error)
{
    struct stepd_slice_state *const state = &transfer->exchange->slice[parcel->slice];
    state->pushing -= transfer->clock > 0 && state->pushing > 0;
    stepd_exchange_settle(transfer->exchange, parcel, error);
}

/* Settles what has been answered, once nothing of it is being sent any more. */
static void settle_answered(struct stepd_transfer *transfer)
{
    for (size_t i = 0; transfer->request.written && i < transfer->count; i++) {
        struct stepd_parcel *const parcel = transfer->parcel[i];
        if (parcel == NULL || !parcel->answered)
            continue;
        transfer->parcel[i] = NULL;
        settle(transfer, parcel, NULL);
    }
}

/* Whatever the outcome, the version that comes with weights is theirs, so it is what the next
 * gradient of the slice is computed at. A plain push brings none and changes nothing here. */
static void note_results(struct stepd_transfer *transfer)
{
    const struct stepd_result *const reply = &transfer->reply;
    for (size_t i = 0; i < reply->slices.count; i++) {
        struct stepd_parcel *const parcel = stepd_transfer_parcel(transfer, reply->slices.at[i]);
        parcel->answered = true;
        parcel->outcome = (enum stepd_outcome)reply->outcomes.at[i];
        parcel->version = reply->versions.at[i];
        parcel->durable_version = reply->durable_version;
        if (!transfer->pulls)
            continue;
        struct stepd_slice_state *const state = &transfer->exchange->slice[parcel->slice];
        state->version = parcel->version;
        state->fetched = true;
    }
    transfer->unanswered -= reply->slices.count;
}

static void on_frame_end(struct stepd_request *request)
{
    struct stepd_transfer *const transfer = transfer_of(request);
    const bool last = transfer->reply.last;
    if (transfer->pulls)
        stepd_shared_take_weights(transfer, &transfer->reply);
    note_results(transfer);
    settle_answered(transfer);
    if (!last)
        return;
    struct stepd_error error;
    if (transfer->unanswered > 0)
        (void)stepd_fail(&error, STEPD_INTERNAL, "the server left %zu slices without a result",
                         transfer->unanswered);
    stepd_pending_end(transfer->exchange->pending, request,
                      transfer->unanswered > 0 ? &error : NULL);
}

static void on_written(struct stepd_request *request)
{
    settle_answered(transfer_of(request));
}

/* The link is lost, and the transfer will be sent again. Weights of which not all had come are
 * asked for again; the array that holds the first half is the caller's who still waits. */
static bool on_lost(struct stepd_request *request)
{
    struct stepd_transfer *const transfer = transfer_of(request);
    transfer->reply = (struct stepd_result){.last = false};
    transfer->delayed = true;
    settle_answered(transfer);
    for (size_t i = 0; i < transfer->count; i++) {
        if (transfer->parcel[i] != NULL)
            transfer->parcel[i]->awaited = false;
    }
    return true;
}

/* A push that failed may or may not have been counted. The next one repeats its clock: a server
 * that has counted it says so, and one that has not sees no gap. */
static void give_clock_back(const struct stepd_transfer *transfer, uint32_t slice)
{
    uint64_t *const newest = &transfer->exchange->slice[slice].clock;
    if (transfer->clock > 0 && *newest >= transfer->clock)
        *newest = transfer->clock - 1;
}

static void on_end(struct stepd_request *request, const struct stepd_error *error)
{
    struct stepd_transfer *const transfer = transfer_of(request);
    const struct stepd_exchange *const exchange = transfer->exchange;
    const bool rolled_back = error != NULL && error->code == STEPD_ROLLED_BACK;
    if (rolled_back && !exchange->rolling_back && exchange->port.rolled_back != NULL)
        exchange->port.rolled_back(exchange->port.self);
    settle_answered(transfer);
    for (size_t i = 0; i < transfer->count; i++) {
        if (transfer->parcel[i] == NULL)
            continue;
        give_clock_back(transfer, transfer->parcel[i]->slice);
        settle(transfer, transfer->parcel[i], error);
    }
    free((void *)transfer->parcel);
    free(transfer->slice);
    free(transfer->base);
    free(transfer);
}

const struct stepd_request_kind stepd_transfer_kind = {
    .on_reply = on_reply,
    .next_piece = next_piece,
    .on_frame_end = on_frame_end,
    .on_written = on_written,
    .on_end = on_end,
    .on_lost = on_lost,
    .send = stepd_transfer_send_again,
};
