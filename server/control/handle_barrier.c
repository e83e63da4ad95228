/* SPDX-License-Identifier: Apache-2.0
 *
 * Barrier: a worker comes. The sequence number tells a request that is sent again, over a new
 * connection or the same one, from the next barrier: the one goes on with the place, the deadline
 * and the answer that the worker has, and the other takes a new place.
 */
#include "server/control/handle_barrier.h"

#include <inttypes.h>
#include <string.h>

#include "proto/error.h"
#include "server/control/barriers.h"
#include "server/control/jobs.h"

static enum stepd_status check_name(const char *name, struct stepd_error *reterr)
{
    const size_t bytes = strlen(name);
    const size_t good = strspn(name, "abcdefghijklmnopqrstuvwxyz"
                                     "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/");
    if (bytes > 0 && bytes <= STEPD_BARRIER_NAME_MAX_BYTES && good == bytes)
        return STEPD_OK;
    if (good < bytes && good < STEPD_BARRIER_NAME_MAX_BYTES)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "byte %zu of the barrier's name is 0x%02x; give it 1 to %u letters, "
                          "digits and any of - _ . : /",
                          good + 1, (unsigned char)name[good], STEPD_BARRIER_NAME_MAX_BYTES);
    return stepd_fail(
        reterr, STEPD_INVALID_ARGUMENT,
        "the barrier's name has %zu bytes; give it 1 to %u letters, digits and any of "
        "- _ . : /",
        bytes, STEPD_BARRIER_NAME_MAX_BYTES);
}

static enum stepd_status check_incarnation(const struct control_job *job, uint64_t incarnation,
                                           struct stepd_error *reterr)
{
    if (incarnation == job->incarnation)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_ROLLED_BACK,
                      "job '%s' is at incarnation %" PRIu64 ", and Barrier states %" PRIu64
                      ": nobody has come to a barrier of it; pull the weights and go on from there",
                      job->name, job->incarnation, incarnation);
}

/* A request that is no repetition. */
static enum stepd_status check_next(const struct control_session *session,
                                    const struct stepd_barrier_at *barrier, uint64_t now_ms,
                                    struct stepd_error *reterr)
{
    const struct control_arrival *arrival = &session->arrival;
    if (barrier->sequence <= arrival->sequence)
        return stepd_fail(
            reterr, STEPD_INVALID_ARGUMENT,
            "barrier '%s' has sequence %" PRIu64 ", and rank %u has come to '%s' with "
            "%" PRIu64 " before; number the barriers of a session from 1 on",
            barrier->name, barrier->sequence, session->rank, arrival->name, arrival->sequence);
    if (control_arrival_waits(arrival, now_ms))
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                          "rank %u waits at barrier '%s' already, and a worker waits at one at a "
                          "time; come to '%s' when that is answered",
                          session->rank, arrival->name, barrier->name);
    return STEPD_OK;
}

static void come(struct control_session *session, const struct stepd_barrier_at *barrier,
                 const struct control *control)
{
    const uint32_t longest_ms = control->options.wait_max_ms;
    const uint32_t asked_ms = barrier->deadline_ms;
    session->arrival = (struct control_arrival){
        .sequence = barrier->sequence,
        .until_ms =
            control->now_ms + (asked_ms == 0 || asked_ms > longest_ms ? longest_ms : asked_ms),
    };
    memcpy(session->arrival.name, barrier->name, strlen(barrier->name) + 1);
}

enum stepd_status control_handle_barrier(struct control_conn *conn,
                                         const struct stepd_message *request,
                                         struct control_answer *ret_answer,
                                         struct stepd_error *reterr)
{
    const struct stepd_barrier_at *barrier = &request->body.barrier;
    struct control_session *session = conn->session;
    struct control_arrival *arrival = &session->arrival;
    const uint64_t now_ms = conn->control->now_ms;
    enum stepd_status status = check_name(barrier->name, reterr);
    if (status == STEPD_OK)
        status = check_incarnation(session->job, barrier->incarnation, reterr);
    if (status != STEPD_OK)
        return status;
    const bool again = barrier->sequence != 0 && barrier->sequence == arrival->sequence &&
                       strcmp(barrier->name, arrival->name) == 0;
    if (again && !arrival->passed && !control_arrival_waits(arrival, now_ms))
        return control_barrier_too_late(session, reterr);
    if (!again)
        status = check_next(session, barrier, now_ms, reterr);
    if (status != STEPD_OK)
        return status;
    const struct control_arrival before = *arrival;
    if (!again)
        come(session, barrier, conn->control);
    const struct control_wait wait = {
        .kind = CONTROL_WAIT_BARRIER,
        .conn = conn,
        .request_id = request->request_id,
        .job = session->job,
        .sequence = barrier->sequence,
    };
    /* One that was passed is answered at once, whatever is left of its time. */
    const uint64_t left_ms = arrival->passed ? 0 : arrival->until_ms - now_ms;
    status = control_wait_park(&wait, (uint32_t)left_ms, reterr);
    ret_answer->parked = status == STEPD_OK;
    if (status != STEPD_OK)
        *arrival = before;
    return status;
}
