/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of requests under way: chained buckets by id. Ids rise by one, so the buckets fill
 * evenly without a hash. A request leaves the table before on_end is called, because on_end frees
 * it, and may let the owner of its arrays go on.
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
    struct stepd_request **const bucket = bucket_of(pending, request->id);
    request->next = *bucket;
    *bucket = request;
}

void stepd_pending_remove(struct stepd_pending *pending, struct stepd_request *request)
{
    struct stepd_request **at = bucket_of(pending, request->id);
    while (*at != NULL && *at != request)
        at = &(*at)->next;
    if (*at == NULL)
        return;
    *at = request->next;
    request->next = NULL;
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

static struct stepd_request *any_of(struct stepd_pending *pending, uint32_t shard)
{
    for (size_t i = 0; i < STEPD_PENDING_BUCKETS; i++) {
        struct stepd_request *request = pending->bucket[i];
        while (request != NULL && request->shard != shard)
            request = request->next;
        if (request != NULL)
            return request;
    }
    return NULL;
}

void stepd_pending_fail(struct stepd_pending *pending, uint32_t shard,
                        const struct stepd_error *error)
{
    struct stepd_request *request;
    while ((request = any_of(pending, shard)) != NULL) {
        request->written = true;
        if (request->ended) /* answered, and waited only for its own bytes to leave */
            finish_when_both(pending, request);
        else
            stepd_pending_end(pending, request, error);
    }
}
