/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of requests under way: chained buckets by id. Ids rise by one, so the buckets fill
 * evenly without a hash, and tell the order in which requests were sent. A request leaves the table
 * before on_end is called, because on_end frees it, and may let the owner of its arrays go on.
 */
#include "client/lib/core/pending.h"

#include <assert.h>

static struct stepd_request **bucket_of(struct stepd_pending *pending, uint64_t id)
{
    return &pending->bucket[id % STEPD_PENDING_BUCKETS];
}

void stepd_pending_add(struct stepd_pending *pending, uint32_t shard, struct stepd_request *request)
{
    assert(request->id == 0);
    request->id = ++pending->newest_id;
    request->shard = shard;
    request->written = false;
    request->ended = false;
    struct stepd_request **const bucket = bucket_of(pending, request->id);
    request->next = *bucket;
    *bucket = request;
    pending->count++;
}

/* Those that are held have no id. */
void stepd_pending_remove(struct stepd_pending *pending, struct stepd_request *request)
{
    struct stepd_request **at = request->id == 0 ? &pending->held : bucket_of(pending, request->id);
    while (*at != NULL && *at != request)
        at = &(*at)->next;
    if (*at == NULL)
        return;
    *at = request->next;
    request->next = NULL;
    pending->count -= request->id != 0;
}

struct stepd_request *stepd_pending_find(struct stepd_pending *pending, uint32_t shard, uint64_t id)
{
    struct stepd_request *request = *bucket_of(pending, id);
    while (request != NULL && request->id != id)
        request = request->next;
    return request != NULL && request->shard == shard ? request : NULL;
}

static void finish_when_both(struct stepd_pending *pending, struct stepd_request *request)
{
    if (!request->written || !request->ended)
        return;
    stepd_pending_remove(pending, request);
    request->kind->on_end(request, request->failed ? &request->error : NULL);
}

void stepd_pending_written(struct stepd_pending *pending, uint32_t shard, uint64_t id)
{
    struct stepd_request *const request = stepd_pending_find(pending, shard, id);
    if (request == NULL)
        return;
    request->written = true;
    if (!request->ended && request->kind->on_written != NULL)
        request->kind->on_written(request);
    finish_when_both(pending, request);
}

void stepd_pending_end(struct stepd_pending *pending, struct stepd_request *request,
                       const struct stepd_error *error)
{
    if (request->ended)
        return;
    request->ended = true;
    request->failed = error != NULL;
    if (error != NULL)
        request->error = *error;
    finish_when_both(pending, request);
}

/* The request that was sent first of those in the table on this link, or NULL. */
static struct stepd_request *oldest_of(const struct stepd_pending *pending, uint32_t shard)
{
    struct stepd_request *oldest = NULL;
    for (size_t i = 0; i < STEPD_PENDING_BUCKETS; i++) {
        for (struct stepd_request *at = pending->bucket[i]; at != NULL; at = at->next) {
            if (at->shard == shard && (oldest == NULL || at->id < oldest->id))
                oldest = at;
        }
    }
    return oldest;
}

static struct stepd_request *first_held(const struct stepd_pending *pending, uint32_t shard)
{
    struct stepd_request *at = pending->held;
    while (at != NULL && at->shard != shard)
        at = at->next;
    return at;
}

void stepd_pending_fail(struct stepd_pending *pending, uint32_t shard,
                        const struct stepd_error *error)
{
    struct stepd_request *request;
    while ((request = oldest_of(pending, shard)) != NULL) {
        request->written = true;
        if (request->ended) /* answered, and waited only for its own bytes to leave */
            finish_when_both(pending, request);
        else
            stepd_pending_end(pending, request, error);
    }
    while ((request = first_held(pending, shard)) != NULL)
        stepd_pending_end(pending, request, error);
}

/* ---- Links that are made again --------------------------------------------------------------- */

bool stepd_pending_any(const struct stepd_pending *pending, uint32_t shard)
{
    return oldest_of(pending, shard) != NULL || first_held(pending, shard) != NULL;
}

static void append(struct stepd_request **list, struct stepd_request *request)
{
    while (*list != NULL)
        list = &(*list)->next;
    *list = request;
}

/* What is held is neither read nor sent, and has no reply. */
void stepd_pending_hold(struct stepd_pending *pending, uint32_t shard,
                        struct stepd_request *request)
{
    request->id = 0;
    request->shard = shard;
    request->written = true;
    request->ended = false;
    request->next = NULL;
    append(&pending->held, request);
}

void stepd_pending_suspend(struct stepd_pending *pending, uint32_t shard,
                           const struct stepd_error *error)
{
    struct stepd_request *request;
    while ((request = oldest_of(pending, shard)) != NULL) {
        request->written = true;
        if (request->ended) {
            finish_when_both(pending, request);
        } else if (request->kind->on_lost != NULL && request->kind->on_lost(request)) {
            stepd_pending_remove(pending, request);
            stepd_pending_hold(pending, shard, request);
        } else {
            stepd_pending_end(pending, request, error);
        }
    }
}

void stepd_pending_resume(struct stepd_pending *pending, uint32_t shard)
{
    struct stepd_request *ours = NULL;
    struct stepd_request *request;
    while ((request = first_held(pending, shard)) != NULL) {
        stepd_pending_remove(pending, request);
        append(&ours, request);
    }
    while (ours != NULL) {
        request = ours;
        ours = request->next;
        request->next = NULL;
        request->kind->send(request);
    }
}

struct stepd_request *stepd_pending_overdue(const struct stepd_pending *pending, uint64_t at_ms)
{
    for (size_t i = 0; i < STEPD_PENDING_BUCKETS && pending->count > 0; i++) {
        for (struct stepd_request *at = pending->bucket[i]; at != NULL; at = at->next) {
            if (at->expires_ms != 0 && at->expires_ms <= at_ms && !at->ended)
                return at;
        }
    }
    return NULL;
}

struct stepd_request *stepd_pending_expired(const struct stepd_pending *pending, uint64_t now_ms)
{
    struct stepd_request *at = pending->held;
    while (at != NULL && (at->expires_ms == 0 || at->expires_ms > now_ms))
        at = at->next;
    return at;
}
