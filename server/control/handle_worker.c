/* SPDX-License-Identifier: Apache-2.0
 *
 * Report, Heartbeat and Leave; each is answered with an Ack. That the worker was heard of has been
 * noted by dispatch for every request, so Heartbeat has nothing left to do, unless it is the last.
 */
#include "server/control/handle_worker.h"

#include <inttypes.h>

#include "proto/error.h"
#include "server/control/members.h"
#include "server/control/sessions.h"

static void acknowledge(struct control_answer *ret_answer)
{
    ret_answer->message = (struct stepd_message){.kind = STEPD_MESSAGE_ACK};
}

enum stepd_status control_handle_report(struct control_conn *conn,
                                        const struct stepd_message *request,
                                        struct control_answer *ret_answer,
                                        struct stepd_error *reterr)
{
    (void)reterr;
    const struct stepd_report_values *report = &request->body.report;
    struct control_member *member = conn->session->member;
    member->reported_clock = report->clock;
    member->loss = report->loss;
    member->examples = report->examples;
    acknowledge(ret_answer);
    return STEPD_OK;
}

enum stepd_status control_handle_heartbeat(struct control_conn *conn,
                                           const struct stepd_message *request,
                                           struct control_answer *ret_answer,
                                           struct stepd_error *reterr)
{
    struct control_session *const session = conn->session;
    (void)reterr;
    const bool stays = session->member != NULL && control_member_stays(session->member);
    if (request->body.heartbeat.last && stays)
        control_session_end(conn->control, session);
    acknowledge(ret_answer);
    return STEPD_OK;
}

static enum stepd_status check_leave(const struct control_member *member, uint64_t clock,
                                     struct stepd_error *reterr)
{
    const char *job = member->session->job->name;
    if (member->state == STEPD_MEMBER_LEFT && member->last_clock != clock)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "rank %u has left job '%s' at clock %" PRIu64 ", not %" PRIu64,
                          member->rank, job, member->last_clock, clock);
    if (clock == UINT64_MAX) /* would say that it is still a member */
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "rank %u of job '%s' cannot leave at clock %" PRIu64
                          ": state the highest clock that it has used",
                          member->rank, job, clock);
    return STEPD_OK;
}

/* The clock is the highest that the worker has used. What the shards have counted says nothing
 * about it: their notices are late, and a slice that was not pushed lags behind for ever. */
enum stepd_status control_handle_leave(struct control_conn *conn,
                                       const struct stepd_message *request,
                                       struct control_answer *ret_answer,
                                       struct stepd_error *reterr)
{
    struct control_session *session = conn->session;
    struct control_member *member = session->member;
    const uint64_t clock = request->body.leave.clock;
    const enum stepd_status status = check_leave(member, clock, reterr);
    if (status != STEPD_OK)
        return status;
    if (member->state != STEPD_MEMBER_LEFT) {
        member->last_clock = clock;
        member->untold = true;
        control_member_move(conn->control, member, STEPD_MEMBER_LEFT);
        control_log(conn->control, "worker_until", "job=%s rank=%u clock=%" PRIu64,
                    control_quote(session->job->name).text, member->rank, clock);
        control_job_tell_shards(conn->control, session->job);
    }
    acknowledge(ret_answer);
    return STEPD_OK;
}
