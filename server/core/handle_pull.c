/* SPDX-License-Identifier: Apache-2.0
 *
 * Pull: a view of the weights of at least a version, slice by slice as they have it.
 */
#include <inttypes.h>

#include "proto/error.h"
#include "server/core/core_internal.h"

/* Does a worker have to wait for another that is too far behind, or for the first version that it
 * is a member for? */
static bool is_held_back(const struct waiter *waiter)
{
    const struct sync_policy *policy = waiter->slice->job->policy;
    const struct session *session = waiter->request->conn->session;
    if (session->observer)
        return false;
    const struct scene scene = slice_scene(waiter->slice);
    if (members_await(scene.members, session->rank, scene.version))
        return true;
    return policy->holds_back != NULL && policy->holds_back(&scene, waiter_clock(waiter));
}

void pull_settle(struct waiter *waiter)
{
    const struct slice *slice = &waiter->slice->slice;
    if (slice->valued && slice->version >= waiter->request->min_version && !is_held_back(waiter))
        waiter_ready(waiter, waiter->outcome, waiter->version);
    else if (waiter->state != WAITER_VERSION)
        waiter_park(waiter, WAITER_VERSION);
}

static bool keeps_view(const struct group *group, enum stepd_view view)
{
    switch (view) {
    case STEPD_TRAINING:
    case STEPD_EVALUATION: return true;
    case STEPD_EMA: return group->treatment.ema_decay > 0.0;
    case STEPD_SWA: return group->treatment.swa;
    }
    return false;
}

enum stepd_status pull_check_view(const struct request *request, struct stepd_error *reterr)
{
    const bool ema = request->view == STEPD_EMA;
    for (size_t i = 0; i < request->count; i++) {
        const struct slice *slice = &request->waiter[i].slice->slice;
        if (keeps_view(slice->group, request->view))
            continue;
        uint64_t element = 0;
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "tensor '%s': group '%s' keeps no %s of its weights; set %s in the group",
                          job_slice_element(slice->job, slice->index, 0, &element)->name,
                          slice->group->name, ema ? "exponential moving average" : "running mean",
                          ema ? "ema_decay" : "swa_start");
    }
    return STEPD_OK;
}

enum stepd_status handle_pull(struct core_conn *conn, const struct stepd_message *message,
                              uint64_t payload_bytes, struct stepd_error *reterr)
{
    const struct stepd_pull_slices *pull = &message->body.pull;
    if (payload_bytes > 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "a pull has no payload, and this one has %" PRIu64 " bytes",
                          payload_bytes);
    const struct request_terms terms = {
        .id = message->request_id,
        .kind = message->kind,
        .incarnation = pull->incarnation,
        .slices = pull->slices,
        .deadline_ms = pull->deadline_ms,
    };
    struct request *request = NULL;
    enum stepd_status status = request_create(conn, &terms, &request, reterr);
    if (status != STEPD_OK)
        return status;
    request->min_version = pull->min_version;
    request->pull_dtype = pull->dtype;
    request->wants_weights = true;
    request->view = pull->view;
    status = pull_check_view(request, reterr);
    if (status != STEPD_OK) {
        request_destroy(request);
        return status;
    }
    for (size_t i = 0; i < request->count; i++) {
        pull_settle(&request->waiter[i]);
        if (request->waiter[i].state == WAITER_VERSION && request->job->failure.code != STEPD_OK)
            request_fail(request, &request->job->failure); /* it would wait for nothing */
    }
    return STEPD_OK;
}
