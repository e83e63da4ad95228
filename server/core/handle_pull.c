/* SPDX-License-Identifier: Apache-2.0
 *
 * Pull: weights of at least a version, slice by slice as they have it.
 */
#include <inttypes.h>

#include "proto/error.h"
#include "server/core/core_internal.h"

void pull_settle(struct waiter *waiter)
{
    const struct slice *slice = &waiter->slice->slice;
    if (slice->valued && slice->version >= waiter->request->min_version)
        waiter_ready(waiter, STEPD_NONE, slice->version);
    else if (waiter->state == WAITER_UNREAD)
        waiter_park(waiter, WAITER_VERSION);
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
    const enum stepd_status status = request_create(conn, &terms, &request, reterr);
    if (status != STEPD_OK)
        return status;
    request->min_version = pull->min_version;
    request->pull_dtype = pull->dtype;
    request->wants_weights = true;
    for (size_t i = 0; i < request->count; i++)
        pull_settle(&request->waiter[i]);
    return STEPD_OK;
}
