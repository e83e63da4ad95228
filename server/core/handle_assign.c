/* SPDX-License-Identifier: Apache-2.0
 *
 * Assign: rank 0 sends the first weights of tensors that were defined to have them. Until a slice
 * has its values nobody can hold its buffer, so they are received straight into it; an assign that
 * is cut short leaves the slice without values, as it was.
 */
#include <inttypes.h>

#include "proto/dtype.h"
#include "proto/error.h"
#include "server/core/core_internal.h"

static enum stepd_status check_sender(const struct core_conn *conn, struct stepd_error *reterr)
{
    const struct session *session = conn->session;
    if (session->observer || session->rank != 0)
        return stepd_fail(reterr, STEPD_PERMISSION_DENIED,
                          "only rank 0 assigns first values, and this is %s",
                          session->observer ? "an observer" : "another rank");
    return STEPD_OK;
}

enum stepd_status handle_assign(struct core_conn *conn, const struct stepd_message *message,
                                uint64_t payload_bytes, struct stepd_error *reterr)
{
    const struct stepd_assign *assign = &message->body.assign;
    enum stepd_status status = check_sender(conn, reterr);
    if (status != STEPD_OK)
        return status;
    const struct request_terms terms = {
        .id = message->request_id,
        .kind = message->kind,
        .incarnation = assign->incarnation,
        .slices = assign->slices,
    };
    struct request *request = NULL;
    status = request_create(conn, &terms, &request, reterr);
    if (status != STEPD_OK)
        return status;
    request->dtype = assign->dtype;
    status = request_check_payload(request, payload_bytes, reterr);
    if (status != STEPD_OK) {
        request_destroy(request);
        return status;
    }
    receive_start(request);
    return STEPD_OK;
}

void assign_begin(struct waiter *waiter)
{
    const struct slice *slice = &waiter->slice->slice;
    if (!slice->valued)
        return;
    waiter->discard = true;
    waiter_ready(waiter, STEPD_DUPLICATE, slice->version);
}

static void refuse(struct waiter *waiter, uint32_t index)
{
    const struct slice *slice = &waiter->slice->slice;
    uint64_t element = 0;
    const struct tensor *tensor = job_slice_element(slice->job, slice->index, index, &element);
    struct stepd_error error = {.code = STEPD_OK};
    (void)stepd_fail(&error, STEPD_INVALID_ARGUMENT,
                     "the first values of tensor '%s' are NaN or infinite at element %" PRIu64,
                     tensor->name, element);
    request_fail(waiter->request, &error);
}

void assign_complete(struct waiter *waiter)
{
    struct core_slice *slice = waiter->slice;
    const struct core *core = waiter->request->conn->core;
    const size_t n = slice->slice.plan->elements;
    float *values = slice_view(&slice->slice, STEPD_EVALUATION)->values;
    stepd_dtype_widen(waiter->request->dtype, n, values);
    const size_t bad = kernels_reduce(core->options.isa)->first_nonfinite(n, values);
    if (bad < n) {
        refuse(waiter, (uint32_t)bad);
        return;
    }
    slice_assigned(&slice->slice);
    waiter_ready(waiter, STEPD_APPLIED, slice->slice.version);
    waiters_wake(slice);
}
