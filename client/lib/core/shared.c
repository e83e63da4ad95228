/* SPDX-License-Identifier: Apache-2.0
 *
 * Who copies: where the caller's gradients do not lie in the shared memory already, this does, and
 * so it does where weights are wanted elsewhere. The shard waits for neither.
 */
#include "client/lib/core/shared.h"

#include <string.h>

#include "client/lib/core/transfer.h"
#include "proto/place.h"

/* ---- Where ----------------------------------------------------------------------------------- */

void stepd_shared_lay_out(struct stepd_exchange *exchange)
{
    const struct stepd_layout_table *const layout = exchange->layout;
    for (uint32_t shard = 1; shard <= exchange->shards; shard++) {
        uint64_t at = 0;
        for (size_t i = 0; i < layout->slices; i++) {
            if (layout->slice[i].shard != shard)
                continue;
            exchange->slice[i].gradient_at = at;
            at += stepd_place_bytes(layout->slice[i].elements);
        }
    }
}

uint64_t stepd_shared_gradients_bytes(const struct stepd_exchange *exchange, uint32_t shard)
{
    const struct stepd_layout_table *const layout = exchange->layout;
    for (size_t i = layout->slices; i > 0; i--) {
        if (layout->slice[i - 1].shard == shard)
            return exchange->slice[i - 1].gradient_at +
                   stepd_place_bytes(layout->slice[i - 1].elements);
    }
    return 0;
}

static const struct stepd_shared *shared_of(const struct stepd_transfer *transfer)
{
    return &transfer->exchange->shared[transfer->shard - 1];
}

static const struct stepd_part *parts_of(const struct stepd_transfer *transfer, uint32_t slice)
{
    const struct stepd_layout_table *const layout = transfer->exchange->layout;
    return &layout->part[layout->slice[slice].first_part];
}

/* ---- Loans ----------------------------------------------------------------------------------- */

/* The part of a loan that a slice has by itself; else NULL: pages cannot be told apart further. */
static const struct stepd_part *own_part(const struct stepd_exchange *exchange, uint32_t slice)
{
    const struct stepd_slice_place *const place = &exchange->layout->slice[slice];
    const struct stepd_part *const part = &exchange->layout->part[place->first_part];
    const bool own = place->parts == 1 && part->offset * sizeof(float) % STEPD_PLACE_BYTES == 0;
    return own && exchange->loan[part->tensor].grad != NULL ? part : NULL;
}

/* Lets the gradients of a slice in a loan be what its shard reads. */
static void show_gradients(struct stepd_exchange *exchange, uint32_t slice)
{
    const struct stepd_part *const part = own_part(exchange, slice);
    const struct stepd_shared *const shared =
        &exchange->shared[exchange->layout->slice[slice].shard - 1];
    struct stepd_slice_state *const state = &exchange->slice[slice];
    if (part == NULL || shared->weights == NULL || exchange->shown >= STEPD_SHOWN_MAX ||
        !shared->show(shared->owner, STEPD_SHOW_GRADIENTS, state->gradient_at,
                      stepd_place_bytes(part->elements),
                      exchange->loan[part->tensor].grad + part->offset))
        return;
    state->lent.grad = shared->serial;
    exchange->shown++;
}

void stepd_shared_lend(struct stepd_exchange *exchange, size_t tensor,
                       const struct stepd_loan *loan)
{
    const struct stepd_layout_table *const layout = exchange->layout;
    const struct stepd_tensor_place *const place = &layout->tensor[tensor];
    exchange->loan[tensor] = *loan;
    for (size_t i = 0; i < place->parts; i++)
        show_gradients(exchange, layout->by_tensor[place->first_part + i]->slice);
}

static void hide(struct stepd_exchange *exchange, uint32_t slice)
{
    struct stepd_lent *const lent = &exchange->slice[slice].lent;
    if (lent->weights == 0)
        return;
    const struct stepd_part *const part = own_part(exchange, slice);
    const struct stepd_loan *const loan = &exchange->loan[part->tensor];
    loan->hide(loan->weights + part->offset, stepd_place_bytes(part->elements));
    lent->weights = 0;
    exchange->shown--;
}

void stepd_shared_hide_all(struct stepd_exchange *exchange)
{
    for (size_t i = 0; i < exchange->layout->slices; i++)
        hide(exchange, (uint32_t)i);
}

/* Does the caller want the weights of this slice in the array that was lent? */
static bool wants_lent(const struct stepd_exchange *exchange, const struct stepd_parcel *parcel)
{
    const struct stepd_part *const part = own_part(exchange, parcel->slice);
    return part != NULL &&
           parcel->part[0].weights == exchange->loan[part->tensor].weights + part->offset;
}

float *stepd_shared_writable(const struct stepd_transfer *transfer,
                             const struct stepd_parcel *parcel, uint32_t part)
{
    if (wants_lent(transfer->exchange, parcel))
        hide(transfer->exchange, parcel->slice);
    return parcel->part[part].weights;
}

/* Lets the array that was lent be the weights themselves. */
static bool show(const struct stepd_transfer *transfer, const struct stepd_parcel *parcel,
                 uint64_t at)
{
    struct stepd_exchange *const exchange = transfer->exchange;
    const struct stepd_shared *const shared = shared_of(transfer);
    struct stepd_lent *const lent = &exchange->slice[parcel->slice].lent;
    if (!wants_lent(exchange, parcel))
        return false;
    if (lent->weights == shared->serial && lent->place == at)
        return true;
    if (lent->weights == 0 && exchange->shown >= STEPD_SHOWN_MAX)
        return false;
    if (!shared->show(shared->owner, STEPD_SHOW_WEIGHTS, at,
                      stepd_place_bytes(stepd_exchange_elements(exchange, parcel)),
                      parcel->part[0].weights)) {
        hide(exchange, parcel->slice);
        return false;
    }
    exchange->shown += lent->weights == 0;
    lent->weights = shared->serial;
    lent->place = at;
    return true;
}

/* ---- Gradients ------------------------------------------------------------------------------- */

static bool can_be_placed(const struct stepd_transfer *transfer)
{
    const struct stepd_exchange *const exchange = transfer->exchange;
    const struct stepd_parcel *const first = transfer->parcel[0];
    if (shared_of(transfer)->weights == NULL || !first->pushes || first->examples == 0 ||
        exchange->push_dtype != STEPD_F32)
        return false;
    for (size_t i = 0; i < transfer->count; i++) {
        const uint32_t slice = transfer->slice[i];
        /* The place of another push, which the shard may not have read yet, is taken. */
        if (exchange->layout->slice[slice].extra > 0 || exchange->slice[slice].pushing > 1)
            return false;
    }
    return true;
}

static void place(const struct stepd_transfer *transfer, const struct stepd_parcel *parcel)
{
    const struct stepd_part *const part = parts_of(transfer, parcel->slice);
    const struct stepd_exchange *const exchange = transfer->exchange;
    const struct stepd_slice_state *const state = &exchange->slice[parcel->slice];
    uint8_t *at = shared_of(transfer)->gradients + state->gradient_at;
    if (state->lent.grad == shared_of(transfer)->serial &&
        parcel->part[0].grad == exchange->loan[part->tensor].grad + part->offset)
        return;
    for (uint32_t i = 0; i < parcel->parts; i++) {
        const size_t bytes = part[i].elements * sizeof(float);
        memcpy(at, parcel->part[i].grad, bytes);
        at += bytes;
    }
}

bool stepd_shared_place_gradients(const struct stepd_transfer *transfer)
{
    if (!can_be_placed(transfer))
        return false;
    for (size_t i = 0; i < transfer->count; i++)
        place(transfer, transfer->parcel[i]);
    return true;
}

/* ---- Weights --------------------------------------------------------------------------------- */

bool stepd_shared_has_weights(const struct stepd_transfer *transfer,
                              const struct stepd_result *reply)
{
    const struct stepd_shared *const shared = shared_of(transfer);
    const struct stepd_layout_table *const layout = transfer->exchange->layout;
    for (size_t i = 0; i < reply->places.count; i++) {
        const uint64_t at = reply->places.at[i];
        const uint64_t bytes = stepd_place_bytes(layout->slice[reply->slices.at[i]].elements);
        if (shared->weights == NULL || at % STEPD_PLACE_BYTES != 0 ||
            bytes > shared->weights_bytes || at > shared->weights_bytes - bytes)
            return false;
    }
    return true;
}

static void take(const struct stepd_transfer *transfer, const struct stepd_parcel *parcel,
                 const uint8_t *at)
{
    const struct stepd_part *const part = parts_of(transfer, parcel->slice);
    for (uint32_t i = 0; i < parcel->parts; i++) {
        const size_t bytes = part[i].elements * sizeof(float);
        if (parcel->part[i].weights != NULL)
            memcpy(parcel->part[i].weights, at, bytes);
        at += bytes;
    }
}

void stepd_shared_take_weights(const struct stepd_transfer *transfer,
                               const struct stepd_result *reply)
{
    for (size_t i = 0; i < reply->places.count; i++) {
        const struct stepd_parcel *const parcel =
            stepd_transfer_parcel(transfer, reply->slices.at[i]);
        if (!show(transfer, parcel, reply->places.at[i]))
            take(transfer, parcel, shared_of(transfer)->weights + reply->places.at[i]);
    }
}
