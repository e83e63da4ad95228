/* SPDX-License-Identifier: Apache-2.0
 *
 * The way of an operation through the exchange: check that it can join what is gathering, put its
 * parts into parcels, and put the parcels that are full into transfers, one open transfer for each
 * shard. The operation is held until all that has happened, so that a failure in the middle cannot
 * finish it under our hands.
 */
#include "client/lib/core/exchange.h"

#include <inttypes.h>
#include <stdlib.h>

#include "client/lib/core/gather.h"
#include "client/lib/core/transfer.h"
#include "proto/error.h"

/* The longest that a server waits which does not say so. */
#define WAIT_MAX_MS 300000u

enum stepd_status stepd_exchange_init(struct stepd_exchange *exchange,
                                      const struct stepd_layout_table *layout, size_t shards,
                                      struct stepd_pending *pending)
{
    *exchange = (struct stepd_exchange){
        .layout = layout,
        .incarnation = layout->incarnation,
        .pending = pending,
        .wait_max_ms = WAIT_MAX_MS,
        .frame_max_bytes = STEPD_FRAME_MAX_BYTES,
        .shards = shards,
        .slice = calloc(layout->slices + 1, sizeof *exchange->slice),
        .open = calloc(shards + 1, sizeof(struct stepd_transfer *)),
        .shared = calloc(shards + 1, sizeof *exchange->shared),
        .loan = calloc(layout->tensors + 1, sizeof *exchange->loan),
    };
    stepd_arena_init(&exchange->arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    if (exchange->slice == NULL || exchange->open == NULL || exchange->shared == NULL ||
        exchange->loan == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    stepd_shared_lay_out(exchange);
    return STEPD_OK;
}

enum stepd_status stepd_exchange_share(struct stepd_exchange *exchange, uint32_t shard,
                                       const struct stepd_shared *shared,
                                       struct stepd_error *reterr)
{
    const uint64_t needed = stepd_shared_gradients_bytes(exchange, shard);
    exchange->shared[shard - 1] = (struct stepd_shared){.weights = NULL}; /* that is gone */
    if (shared->weights != NULL && shared->gradients_bytes < needed)
        return stepd_fail(reterr, STEPD_INTERNAL,
                          "the server shares %" PRIu64 " bytes for gradients that take %" PRIu64,
                          shared->gradients_bytes, needed);
    exchange->shared[shard - 1] = *shared;
    exchange->shared[shard - 1].serial = ++exchange->shares;
    return STEPD_OK;
}

void stepd_exchange_deinit(struct stepd_exchange *exchange)
{
    free(exchange->slice);
    free((void *)exchange->open);
    free(exchange->shared);
    free(exchange->loan);
    stepd_arena_deinit(&exchange->arena);
    *exchange = (struct stepd_exchange){.slice = NULL};
}

void stepd_exchange_resume(struct stepd_exchange *exchange, uint32_t shard, uint64_t clock)
{
    const bool by_version = exchange->layout->mode == STEPD_SYNC;
    const bool lower = clock > 0 && (exchange->resumed == 0 || clock < exchange->resumed);
    if (lower && !exchange->pushed)
        exchange->resumed = clock;
    for (size_t i = 0; i < exchange->layout->slices && !by_version; i++) {
        struct stepd_slice_state *const state = &exchange->slice[i];
        if (exchange->layout->slice[i].shard == shard)
            state->clock = clock;
        if (!exchange->pushed && state->clock > exchange->resumed)
            state->clock = exchange->resumed;
    }
    if (clock > exchange->clock)
        exchange->clock = clock;
}

/* Puts a full parcel into its shard's open transfer, which is sent first if it does not fit. */
static enum stepd_status pack(struct stepd_exchange *exchange, struct stepd_parcel *parcel)
{
    const uint32_t shard = exchange->layout->slice[parcel->slice].shard;
    struct stepd_transfer **const open = &exchange->open[shard - 1];
    if (*open != NULL && !stepd_transfer_fits(*open, parcel)) {
        stepd_transfer_send(*open);
        *open = NULL;
    }
    if (*open == NULL)
        *open = stepd_transfer_create(exchange, shard, parcel);
    if (*open == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    return stepd_transfer_add(*open, parcel);
}

static void pack_all(struct stepd_exchange *exchange, struct stepd_parcel *first)
{
    struct stepd_parcel *next;
    for (struct stepd_parcel *parcel = first; parcel != NULL; parcel = next) {
        next = parcel->next;
        if (pack(exchange, parcel) == STEPD_OK)
            continue;
        struct stepd_error error;
        (void)stepd_fail(&error, STEPD_RESOURCE_EXHAUSTED, "no memory to send a slice");
        stepd_exchange_settle(exchange, parcel, &error);
    }
    for (size_t i = 0; i < exchange->shards; i++) {
        if (exchange->open[i] != NULL)
            stepd_transfer_send(exchange->open[i]);
        exchange->open[i] = NULL;
    }
}

static void fail_all(struct stepd_exchange *exchange, struct stepd_parcel *first,
                     const struct stepd_error *error)
{
    struct stepd_parcel *next;
    for (struct stepd_parcel *parcel = first; parcel != NULL; parcel = next) {
        next = parcel->next;
        stepd_exchange_settle(exchange, parcel, error);
    }
}

/*
 * Before its first push in sync mode a worker is at the oldest version that it has fetched. A rank
 * that died in the middle of a step left slices at two versions: its successor does that step
 * again as a whole, and is told of each slice whether it had counted.
 */
static void align_versions(struct stepd_exchange *exchange)
{
    const size_t slices = exchange->layout->slices;
    uint64_t oldest = UINT64_MAX;
    for (size_t i = 0; i < slices; i++) {
        if (exchange->slice[i].fetched && exchange->slice[i].version < oldest)
            oldest = exchange->slice[i].version;
    }
    for (size_t i = 0; i < slices; i++) {
        if (exchange->slice[i].fetched)
            exchange->slice[i].version = oldest;
    }
}

/* Are the gradients of this tensor of weights of the present incarnation? */
static bool is_fetched(const struct stepd_exchange *exchange, size_t tensor)
{
    const struct stepd_tensor_place *const place = &exchange->layout->tensor[tensor];
    for (size_t p = 0; p < place->parts; p++) {
        const struct stepd_part *const part = exchange->layout->by_tensor[place->first_part + p];
        if (!exchange->slice[part->slice].fetched)
            return false;
    }
    return true;
}

static enum stepd_status check_incarnation(const struct stepd_exchange *exchange,
                                           const struct stepd_operation *operation,
                                           struct stepd_error *reterr)
{
    if (operation->layout != exchange->layout)
        return stepd_fail(reterr, STEPD_ROLLED_BACK,
                          "the job was defined again meanwhile: pull its weights and go on");
    if (!exchange->rolled_back || !stepd_operation_pushes(operation))
        return STEPD_OK;
    for (size_t i = 0; i < operation->arrays; i++) {
        const size_t tensor = operation->array[i].tensor;
        if (!is_fetched(exchange, tensor))
            return stepd_fail(reterr, STEPD_ROLLED_BACK,
                              "tensor '%s': its weights are of before the job went back: pull them "
                              "and compute the gradient again",
                              exchange->layout->tensor[tensor].name);
    }
    return STEPD_OK;
}

/* Puts the operation's parts where they belong; what can be sent is appended to ready. */
static enum stepd_status gather(struct stepd_exchange *exchange, struct stepd_operation *operation,
                                struct stepd_ready *ready, struct stepd_error *reterr)
{
    enum stepd_status status = check_incarnation(exchange, operation, reterr);
    if (status != STEPD_OK)
        return status;
    if (!exchange->pushed && stepd_operation_pushes(operation)) {
        exchange->pushed = true;
        if (exchange->layout->mode == STEPD_SYNC)
            align_versions(exchange);
    }
    status = stepd_gather_check(exchange, operation, reterr);
    if (status == STEPD_OK)
        status = stepd_gather_add(exchange, operation, ready, reterr);
    return status;
}

/* How long an operation may wait, for others here or at the server. */
static uint32_t patience_of(const struct stepd_exchange *exchange,
                            const struct stepd_operation *operation)
{
    const bool stated =
        operation->deadline_ms != 0 && operation->deadline_ms < exchange->wait_max_ms;
    return stated ? operation->deadline_ms : exchange->wait_max_ms;
}

static struct stepd_slice_state *state_of(const struct stepd_exchange *exchange, size_t part)
{
    return &exchange->slice[exchange->layout->by_tensor[part]->slice];
}

/* Counts, of each slice, the parts that are in the operation. */
static void count_parts(const struct stepd_exchange *exchange,
                        const struct stepd_operation *operation)
{
    for (size_t a = 0; a < operation->arrays; a++) {
        const struct stepd_tensor_place *const tensor =
            &exchange->layout->tensor[operation->array[a].tensor];
        for (size_t p = 0; p < tensor->parts; p++)
            state_of(exchange, tensor->first_part + p)->ending++;
    }
}

/* The push of a slice, all of whose parts were in one operation, is over. */
static void note_slice(struct stepd_slice_state *state, bool failed)
{
    if (state->sent == 0 || state->pushing > 0)
        return;
    if (!failed)
        state->again = 0;
    else if (state->clock + 1 >= state->sent) /* not where an older one has failed too */
        state->again = state->sent;
    state->sent = 0;
}

/*
 * What an operation pushes is one step. Where a part of it has failed, the next push of its slices
 * repeats the clocks, of those too that have counted: they would take the same gradient twice. A
 * slice that is shared with other operations, or that is being pushed again already, is left alone.
 */
static void note_end(struct stepd_exchange *exchange, const struct stepd_operation *operation)
{
    const bool failed = operation->error.code != STEPD_OK;
    count_parts(exchange, operation);
    for (size_t a = 0; a < operation->arrays; a++) {
        const struct stepd_tensor_place *const tensor =
            &exchange->layout->tensor[operation->array[a].tensor];
        for (size_t p = 0; p < tensor->parts; p++) {
            const size_t part = tensor->first_part + p;
            struct stepd_slice_state *const state = state_of(exchange, part);
            const uint32_t slice = exchange->layout->by_tensor[part]->slice;
            if (state->ending == exchange->layout->slice[slice].parts)
                note_slice(state, failed);
            state->ending = 0;
        }
    }
}

void stepd_exchange_release(struct stepd_exchange *exchange, struct stepd_operation *operation)
{
    if (operation->unanswered == 1 && stepd_operation_pushes(operation))
        note_end(exchange, operation);
    stepd_operation_release(operation, 1);
}

void stepd_exchange_start(struct stepd_exchange *exchange, struct stepd_operation *operation,
                          uint64_t now_ms)
{
    struct stepd_ready ready = {.first = NULL};
    struct stepd_error error;
    exchange->now_ms = now_ms;
    operation->unanswered = 1;
    operation->expires_ms = now_ms + patience_of(exchange, operation);
    if (gather(exchange, operation, &ready, &error) == STEPD_OK) {
        pack_all(exchange, ready.first);
    } else {
        fail_all(exchange, ready.first, &error);
        stepd_gather_fail(exchange, operation, &error);
    }
    stepd_exchange_release(exchange, operation);
}

void stepd_exchange_tick(struct stepd_exchange *exchange, uint64_t now_ms)
{
    exchange->now_ms = now_ms;
    stepd_gather_expire(exchange, now_ms);
    stepd_gather_tell(exchange, now_ms);
}

void stepd_exchange_lose(struct stepd_exchange *exchange, uint32_t shard,
                         const struct stepd_error *error)
{
    stepd_pending_fail(exchange->pending, shard, error);
    stepd_gather_lose(exchange, shard, error);
}

void stepd_exchange_resend(struct stepd_exchange *exchange, uint32_t shard, uint64_t now_ms)
{
    exchange->now_ms = now_ms;
    stepd_pending_resume(exchange->pending, shard);
}

void stepd_exchange_roll_back(struct stepd_exchange *exchange, const struct stepd_error *error)
{
    exchange->rolling_back = true;
    for (uint32_t shard = 1; shard <= exchange->shards; shard++)
        stepd_exchange_lose(exchange, shard, error);
    exchange->rolling_back = false;
    stepd_shared_hide_all(exchange);
    for (size_t i = 0; i < exchange->layout->slices; i++)
        exchange->slice[i] = (struct stepd_slice_state){.clock = 0};
    stepd_shared_lay_out(exchange);
    exchange->clock = 0;
    exchange->resumed = 0;
    exchange->pushed = false;
    exchange->rolled_back = true;
}

bool stepd_exchange_is_behind(const struct stepd_exchange *exchange)
{
    for (size_t i = 0; i < exchange->layout->slices && exchange->rolled_back; i++) {
        if (!exchange->slice[i].fetched)
            return true;
    }
    return false;
}

/* Adds a parcel's result to what its operation came to; a slice counts once for each operation. */
static void count_result(const struct stepd_exchange *exchange, struct stepd_operation *operation,
                         const struct stepd_parcel *parcel)
{
    const uint64_t clock = stepd_exchange_next_clock(exchange, parcel->slice) - 1;
    struct stepd_outcome_counts *const counts = &operation->counts;
    if (operation->counted == parcel)
        return;
    operation->counted = parcel;
    const bool first = counts->slices == 0;
    counts->slices++;
    switch (parcel->outcome) {
    case STEPD_NONE: break;
    case STEPD_APPLIED: counts->applied++; break;
    case STEPD_DUPLICATE: counts->duplicate++; break;
    case STEPD_SKIPPED: counts->skipped++; break;
    case STEPD_ACCUMULATED: counts->accumulated++; break;
    case STEPD_LATE_DROPPED:
    case STEPD_STALE:
    case STEPD_FENCED: counts->dropped++; break;
    }
    if (first || parcel->version < counts->version_min)
        counts->version_min = parcel->version;
    if (first || parcel->version > counts->version_max)
        counts->version_max = parcel->version;
    if (first || parcel->durable_version < counts->durable_version)
        counts->durable_version = parcel->durable_version;
    if (clock > 0 && (counts->clock == 0 || clock < counts->clock))
        counts->clock = clock;
}

void stepd_exchange_settle(struct stepd_exchange *exchange, struct stepd_parcel *parcel,
                           const struct stepd_error *error)
{
    for (uint32_t i = 0; i < parcel->parts; i++) {
        struct stepd_operation *const operation = parcel->part[i].operation;
        if (operation == NULL)
            continue;
        if (error == NULL)
            count_result(exchange, operation, parcel);
        else
            stepd_gather_fail(exchange, operation, error);
        stepd_exchange_release(exchange, operation);
    }
    free(parcel);
}
