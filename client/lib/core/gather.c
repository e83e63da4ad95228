/* SPDX-License-Identifier: Apache-2.0
 *
 * A part joins the oldest parcel of its slice that lacks it. So the n-th gradient of a tensor
 * always travels with the n-th gradient of its neighbours, and a parcel cannot fill before the one
 * in front of it: the full one is the first of the queue.
 *
 * Pulls do not gather: a parcel fetches its slice at once, and parts that nobody asked for are
 * dropped on arrival. While an operation is being started, slice.pulling finds the parcel that
 * another tensor of the same operation has opened.
 */
#include "client/lib/core/gather.h"

#include <stdlib.h>

#include "proto/error.h"

static struct stepd_parcel *create_parcel(const struct stepd_exchange *exchange, uint32_t slice,
                                          const struct stepd_operation *operation)
{
    const uint32_t parts = exchange->layout->slice[slice].parts;
    struct stepd_parcel *const parcel = malloc(sizeof *parcel + parts * sizeof parcel->part[0]);
    if (parcel == NULL)
        return NULL;
    *parcel = (struct stepd_parcel){
        .slice = slice,
        .parts = parts,
        .since_ms = exchange->now_ms,
        .pushes = stepd_operation_pushes(operation),
        .examples = operation->examples,
        .min_version = operation->min_version,
        .deadline_ms = operation->deadline_ms,
        .view = operation->view,
        .has_loss = operation->has_loss,
        .loss = operation->loss,
        .loss_scale = operation->loss_scale,
        .priority = operation->priority,
    };
    for (uint32_t i = 0; i < parts; i++)
        parcel->part[i] = (struct stepd_parcel_part){.operation = NULL};
    return parcel;
}

static uint32_t index_in_slice(const struct stepd_exchange *exchange, const struct stepd_part *part)
{
    const struct stepd_layout_table *const layout = exchange->layout;
    return (uint32_t)((size_t)(part - layout->part) - layout->slice[part->slice].first_part);
}

/* The oldest parcel of the slice that lacks this part, or NULL. */
static struct stepd_parcel *lacking(const struct stepd_exchange *exchange,
                                    const struct stepd_part *part)
{
    const uint32_t index = index_in_slice(exchange, part);
    struct stepd_parcel *parcel = exchange->slice[part->slice].gathering;
    while (parcel != NULL && parcel->part[index].operation != NULL)
        parcel = parcel->next;
    return parcel;
}

/* The name of a tensor that is in the parcel (given) or that it waits for. */
static const char *tensor_in(const struct stepd_exchange *exchange,
                             const struct stepd_parcel *parcel, bool given)
{
    const struct stepd_layout_table *const layout = exchange->layout;
    const struct stepd_part *const part = &layout->part[layout->slice[parcel->slice].first_part];
    for (uint32_t i = 0; i < parcel->parts; i++) {
        if ((parcel->part[i].operation != NULL) == given)
            return layout->tensor[part[i].tensor].name;
    }
    return "?";
}

/* What of an operation differs from a parcel that it would join, in words; NULL: nothing. */
static const char *difference(const struct stepd_parcel *parcel,
                              const struct stepd_operation *operation)
{
    if (parcel->examples != operation->examples)
        return "number of examples";
    if (parcel->has_loss != operation->has_loss || parcel->loss != operation->loss)
        return "loss";
    if (parcel->loss_scale != operation->loss_scale)
        return "loss scale";
    if (parcel->pulls && stepd_operation_pulls(operation) && parcel->view != operation->view)
        return "view";
    return NULL;
}

static enum stepd_status check_part(const struct stepd_exchange *exchange,
                                    const struct stepd_operation *operation,
                                    const struct stepd_part *part, struct stepd_error *reterr)
{
    const struct stepd_parcel *const parcel = lacking(exchange, part);
    const char *const different = parcel == NULL ? NULL : difference(parcel, operation);
    if (different == NULL)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "tensor '%s' travels in one slice with '%s': both must be given with the "
                      "same %s",
                      exchange->layout->tensor[part->tensor].name,
                      tensor_in(exchange, parcel, true), different);
}

/* ---- Is all there? --------------------------------------------------------------------------- */

/* Counts, of each slice, the parts that are in the operation, or forgets the count. */
static void count_parts(const struct stepd_exchange *exchange,
                        const struct stepd_operation *operation, bool counts)
{
    const struct stepd_layout_table *const layout = exchange->layout;
    for (size_t a = 0; a < operation->arrays; a++) {
        const struct stepd_tensor_place *const tensor = &layout->tensor[operation->array[a].tensor];
        for (size_t p = 0; p < tensor->parts; p++) {
            const uint32_t slice = layout->by_tensor[tensor->first_part + p]->slice;
            uint32_t *const ending = &exchange->slice[slice].ending;
            *ending = counts ? *ending + 1 : 0;
        }
    }
}

/* A tensor of the slice that neither the operation nor the parcel (NULL: none) has; NULL: all are
 * there. */
static const char *missing_in(const struct stepd_exchange *exchange,
                              const struct stepd_operation *operation,
                              const struct stepd_part *part)
{
    const struct stepd_layout_table *const layout = exchange->layout;
    const struct stepd_slice_place *const slice = &layout->slice[part->slice];
    const struct stepd_parcel *const parcel = lacking(exchange, part);
    const uint32_t given = parcel == NULL ? 0 : parcel->given;
    if (given + exchange->slice[part->slice].ending >= slice->parts)
        return NULL;
    for (uint32_t i = 0; i < slice->parts; i++) {
        const uint32_t tensor = layout->part[slice->first_part + i].tensor;
        if ((parcel == NULL || parcel->part[i].operation == NULL) &&
            !stepd_operation_has(operation, tensor))
            return layout->tensor[tensor].name;
    }
    return NULL;
}

/* Of an operation that nobody else completes. */
static enum stepd_status check_whole(const struct stepd_exchange *exchange,
                                     const struct stepd_operation *operation,
                                     struct stepd_error *reterr)
{
    const struct stepd_layout_table *const layout = exchange->layout;
    const char *missing = NULL;
    const char *given = NULL;
    count_parts(exchange, operation, true);
    for (size_t a = 0; a < operation->arrays && missing == NULL; a++) {
        const struct stepd_tensor_place *const tensor = &layout->tensor[operation->array[a].tensor];
        given = tensor->name;
        for (size_t p = 0; p < tensor->parts && missing == NULL; p++)
            missing = missing_in(exchange, operation, layout->by_tensor[tensor->first_part + p]);
    }
    count_parts(exchange, operation, false);
    if (missing == NULL)
        return STEPD_OK;
    return stepd_fail(
        reterr, STEPD_INVALID_ARGUMENT,
        "tensor '%s' travels in one slice with '%s', which is missing: push all small "
        "tensors of a group in one call, or the others before it with _start",
        given, missing);
}

enum stepd_status stepd_gather_check(const struct stepd_exchange *exchange,
                                     const struct stepd_operation *operation,
                                     struct stepd_error *reterr)
{
    if (!stepd_operation_pushes(operation))
        return STEPD_OK;
    if (operation->whole) {
        const enum stepd_status status = check_whole(exchange, operation, reterr);
        if (status != STEPD_OK)
            return status;
    }
    if (exchange->gathering == 0)
        return STEPD_OK;
    for (size_t a = 0; a < operation->arrays; a++) {
        const struct stepd_tensor_place *const tensor =
            &exchange->layout->tensor[operation->array[a].tensor];
        for (size_t p = 0; p < tensor->parts; p++) {
            const struct stepd_part *const part =
                exchange->layout->by_tensor[tensor->first_part + p];
            const enum stepd_status status = check_part(exchange, operation, part, reterr);
            if (status != STEPD_OK)
                return status;
        }
    }
    return STEPD_OK;
}

static void append_ready(struct stepd_ready *ready, struct stepd_parcel *parcel)
{
    parcel->next = NULL;
    if (ready->last == NULL)
        ready->first = parcel;
    else
        ready->last->next = parcel;
    ready->last = parcel;
}

/* The parcel that a pushed part joins; a new one goes to the end of the queue. */
static struct stepd_parcel *parcel_of_push(struct stepd_exchange *exchange,
                                           const struct stepd_operation *operation,
                                           const struct stepd_part *part)
{
    struct stepd_parcel *parcel = lacking(exchange, part);
    if (parcel != NULL)
        return parcel;
    parcel = create_parcel(exchange, part->slice, operation);
    if (parcel == NULL)
        return NULL;
    struct stepd_parcel **end = &exchange->slice[part->slice].gathering;
    while (*end != NULL)
        end = &(*end)->next;
    *end = parcel;
    exchange->gathering++;
    return parcel;
}

/* The parcel that fetches a part: the one that this operation has opened for the slice. */
static struct stepd_parcel *parcel_of_pull(struct stepd_exchange *exchange,
                                           const struct stepd_operation *operation,
                                           const struct stepd_part *part, struct stepd_ready *ready)
{
    struct stepd_slice_state *const slice = &exchange->slice[part->slice];
    if (slice->pulling != NULL)
        return slice->pulling;
    slice->pulling = create_parcel(exchange, part->slice, operation);
    if (slice->pulling != NULL)
        append_ready(ready, slice->pulling);
    return slice->pulling;
}

static void unlink_parcel(struct stepd_exchange *exchange, struct stepd_parcel *parcel)
{
    struct stepd_parcel **at = &exchange->slice[parcel->slice].gathering;
    while (*at != parcel)
        at = &(*at)->next;
    *at = parcel->next;
    parcel->next = NULL;
    exchange->gathering--;
}

static enum stepd_status add_part(struct stepd_exchange *exchange,
                                  struct stepd_operation *operation,
                                  const struct stepd_array *array, const struct stepd_part *part,
                                  struct stepd_ready *ready)
{
    const bool pushes = stepd_operation_pushes(operation);
    struct stepd_parcel *const parcel = pushes ? parcel_of_push(exchange, operation, part)
                                               : parcel_of_pull(exchange, operation, part, ready);
    if (parcel == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    const bool sends = pushes && operation->examples > 0;
    const bool fetches = stepd_operation_pulls(operation);
    const uint32_t index = index_in_slice(exchange, part);
    parcel->part[index] = (struct stepd_parcel_part){
        .operation = operation,
        .grad = sends ? array->grad + part->offset : NULL,
        .weights = fetches ? array->weights + part->offset : NULL,
    };
    if (fetches)
        parcel->view = operation->view;
    if (operation->priority > parcel->priority)
        parcel->priority = operation->priority;
    parcel->pulls = parcel->pulls || fetches;
    if (sends && index == 0 && exchange->layout->slice[part->slice].extra > 0)
        parcel->extra = stepd_operation_hessian(operation, part->tensor);
    parcel->given++;
    operation->unanswered++;
    if (pushes && parcel->given == parcel->parts) {
        unlink_parcel(exchange, parcel);
        append_ready(ready, parcel);
    }
    return STEPD_OK;
}

static enum stepd_status add_array(struct stepd_exchange *exchange,
                                   struct stepd_operation *operation,
                                   const struct stepd_array *array, struct stepd_ready *ready)
{
    const struct stepd_tensor_place *const tensor = &exchange->layout->tensor[array->tensor];
    enum stepd_status status = STEPD_OK;
    for (size_t p = 0; p < tensor->parts && status == STEPD_OK; p++)
        status = add_part(exchange, operation, array,
                          exchange->layout->by_tensor[tensor->first_part + p], ready);
    return status;
}

enum stepd_status stepd_gather_add(struct stepd_exchange *exchange,
                                   struct stepd_operation *operation, struct stepd_ready *ready,
                                   struct stepd_error *reterr)
{
    enum stepd_status status = STEPD_OK;
    for (size_t a = 0; a < operation->arrays && status == STEPD_OK; a++)
        status = add_array(exchange, operation, &operation->array[a], ready);
    for (struct stepd_parcel *parcel = ready->first; parcel != NULL; parcel = parcel->next)
        exchange->slice[parcel->slice].pulling = NULL;
    if (status != STEPD_OK)
        return stepd_fail(reterr, status, "no memory to send %zu tensors", operation->arrays);
    return STEPD_OK;
}

static bool is_fetched(const struct stepd_parcel *parcel)
{
    bool any = false;
    for (uint32_t i = 0; i < parcel->parts; i++)
        any = any || parcel->part[i].weights != NULL;
    return any;
}

/* Takes the operation's part out of the parcels of its slice that still gather. */
static void withdraw_part(struct stepd_exchange *exchange, struct stepd_operation *operation,
                          const struct stepd_part *part)
{
    const uint32_t index = index_in_slice(exchange, part);
    struct stepd_parcel *parcel = exchange->slice[part->slice].gathering;
    while (parcel != NULL && parcel->part[index].operation != operation)
        parcel = parcel->next;
    if (parcel == NULL)
        return;
    parcel->part[index] = (struct stepd_parcel_part){.operation = NULL};
    if (index == 0)
        parcel->extra = NULL;
    parcel->pulls = is_fetched(parcel);
    parcel->given--;
    if (parcel->given == 0) {
        unlink_parcel(exchange, parcel);
        free(parcel);
    }
    stepd_exchange_release(exchange, operation);
}

void stepd_gather_fail(struct stepd_exchange *exchange, struct stepd_operation *operation,
                       const struct stepd_error *error)
{
    if (operation->error.code != STEPD_OK)
        return;
    operation->error = *error;
    if (!stepd_operation_pushes(operation))
        return;
    for (size_t a = 0; a < operation->arrays && exchange->gathering > 0; a++) {
        const struct stepd_tensor_place *const tensor =
            &exchange->layout->tensor[operation->array[a].tensor];
        for (size_t p = 0; p < tensor->parts; p++)
            withdraw_part(exchange, operation, exchange->layout->by_tensor[tensor->first_part + p]);
    }
}

/* Fails an operation that this code does not hold yet. */
static void hold_and_fail(struct stepd_exchange *exchange, struct stepd_operation *operation,
                          const struct stepd_error *error)
{
    operation->unanswered++;
    stepd_gather_fail(exchange, operation, error);
    stepd_exchange_release(exchange, operation);
}

static struct stepd_operation *any_operation(const struct stepd_parcel *parcel)
{
    uint32_t i = 0;
    while (parcel->part[i].operation == NULL)
        i++; /* a parcel that gathers has at least one */
    return parcel->part[i].operation;
}

void stepd_gather_lose(struct stepd_exchange *exchange, uint32_t shard,
                       const struct stepd_error *error)
{
    for (size_t i = 0; i < exchange->layout->slices && exchange->gathering > 0; i++) {
        if (exchange->layout->slice[i].shard != shard)
            continue;
        while (exchange->slice[i].gathering != NULL)
            hold_and_fail(exchange, any_operation(exchange->slice[i].gathering), error);
    }
}

/* An operation in the parcel whose time is up, or NULL. */
static struct stepd_operation *expired_in(const struct stepd_parcel *parcel, uint64_t now_ms)
{
    for (uint32_t i = 0; i < parcel->parts; i++) {
        struct stepd_operation *const operation = parcel->part[i].operation;
        if (operation != NULL && operation->expires_ms <= now_ms)
            return operation;
    }
    return NULL;
}

/* Fails one expired operation of the slice's oldest parcel; false when there is none. Younger
 * parcels wait behind it and were begun later. */
static bool expire_one(struct stepd_exchange *exchange, uint32_t slice, uint64_t now_ms)
{
    const struct stepd_parcel *const parcel = exchange->slice[slice].gathering;
    struct stepd_operation *const operation = parcel == NULL ? NULL : expired_in(parcel, now_ms);
    if (operation == NULL)
        return false;
    struct stepd_error error;
    (void)stepd_fail(&error, STEPD_DEADLINE_EXCEEDED,
                     "tensor '%s' travels in one slice with '%s', which was not given in time: "
                     "push all tensors of a group in each step",
                     tensor_in(exchange, parcel, true), tensor_in(exchange, parcel, false));
    hold_and_fail(exchange, operation, &error);
    return true;
}

void stepd_gather_expire(struct stepd_exchange *exchange, uint64_t now_ms)
{
    for (size_t i = 0; i < exchange->layout->slices && exchange->gathering > 0; i++) {
        while (expire_one(exchange, (uint32_t)i, now_ms))
            continue;
    }
}

/* Of the slice's oldest parcel; younger ones wait for the same tensor. */
static void tell_one(const struct stepd_exchange *exchange, uint32_t slice, uint64_t now_ms)
{
    struct stepd_parcel *const parcel = exchange->slice[slice].gathering;
    char text[STEPD_ERROR_TEXT_BYTES];
    if (parcel == NULL || parcel->told || now_ms - parcel->since_ms < STEPD_GATHERING_TOLD_MS)
        return;
    parcel->told = true;
    (void)stepd_format(text, sizeof text,
                       "tensor '%s' waits for '%s', which travels in one slice with it and was not "
                       "given for %u s: push all small tensors of a group in each step",
                       tensor_in(exchange, parcel, true), tensor_in(exchange, parcel, false),
                       (unsigned)((now_ms - parcel->since_ms) / 1000));
    exchange->port.waits(exchange->port.self, text);
}

void stepd_gather_tell(const struct stepd_exchange *exchange, uint64_t now_ms)
{
    if (exchange->port.waits == NULL || exchange->gathering == 0)
        return;
    for (size_t i = 0; i < exchange->layout->slices; i++)
        tell_one(exchange, (uint32_t)i, now_ms);
}
