/* SPDX-License-Identifier: Apache-2.0
 *
 * A barrier is found by walking over the members of a job: if the first who must come waits at a
 * name, all others must wait at the same. That is looked at whenever parked requests are walked
 * over, so whatever changes who must come needs to tell nobody here.
 */
#include "server/control/barriers.h"

#include <inttypes.h>
#include <string.h>

#include "proto/error.h"
#include "server/control/jobs.h"

/* Ranks that an error names, beside how many there are. */
#define RANKS_NAMED_MAX 8u

bool control_arrival_waits(const struct control_arrival *arrival, uint64_t now_ms)
{
    return arrival->sequence != 0 && !arrival->passed && now_ms < arrival->until_ms;
}

static bool must_come(const struct control_member *member)
{
    return member->state == STEPD_MEMBER_PRESENT || member->state == STEPD_MEMBER_LOST;
}

const char *control_barrier_of(const struct control_member *member, uint64_t now_ms)
{
    const struct control_arrival *arrival = &member->session->arrival;
    return must_come(member) && control_arrival_waits(arrival, now_ms) ? arrival->name : "";
}

/* ---- Passing --------------------------------------------------------------------------------- */

/* Does every member that must come wait at one name? */
static bool all_have_come(const struct control_job *job, uint64_t now_ms)
{
    const char *name = NULL;
    for (size_t rank = 0; rank < job->ranks; rank++) {
        const struct control_member *member = job->member[rank];
        if (member == NULL || !must_come(member))
            continue;
        const char *here = control_barrier_of(member, now_ms);
        if (here[0] == '\0' || (name != NULL && strcmp(name, here) != 0))
            return false;
        name = here;
    }
    return name != NULL;
}

void control_barriers_pass(struct control *control)
{
    for (struct control_job *job = control->first_job; job != NULL; job = job->next) {
        if (job->state != CONTROL_JOB_RUNNING || !all_have_come(job, control->now_ms))
            continue;
        for (size_t rank = 0; rank < job->ranks; rank++) {
            if (job->member[rank] != NULL && must_come(job->member[rank]))
                job->member[rank]->session->arrival.passed = true;
        }
    }
}

/* ---- The answers ----------------------------------------------------------------------------- */

static bool was_passed(const struct control_wait *wait)
{
    const struct control_arrival *arrival = &wait->conn->session->arrival;
    return arrival->sequence == wait->sequence && arrival->passed;
}

bool control_barrier_is_over(struct control_wait *wait)
{
    return was_passed(wait) || wait->job->state == CONTROL_JOB_FAILED ||
           !must_come(wait->conn->session->member);
}

enum stepd_status control_barrier_answer(const struct control_wait *wait,
                                         struct control_answer *ret_answer,
                                         struct stepd_error *reterr)
{
    const struct control_session *session = wait->conn->session;
    const struct control_member *member = session->member;
    if (was_passed(wait)) {
        ret_answer->message = (struct stepd_message){.kind = STEPD_MESSAGE_ACK};
        return STEPD_OK;
    }
    if (member->state == STEPD_MEMBER_GIVEN_UP)
        return stepd_fail(reterr, member->given_up.code, "%s", member->given_up.text);
    if (wait->job->state == CONTROL_JOB_FAILED)
        return stepd_fail(reterr, wait->job->failure.code, "%s", wait->job->failure.text);
    return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                      "rank %u has left job '%s' while it waited at a barrier; leave when all "
                      "barriers are passed",
                      session->rank, wait->job->name);
}

/* ---- Too late -------------------------------------------------------------------------------- */

static enum stepd_status not_started(const struct control_job *job, const char *name,
                                     struct stepd_error *reterr)
{
    if (job->state != CONTROL_JOB_READY)
        return stepd_fail(reterr, STEPD_DEADLINE_EXCEEDED,
                          "barrier '%s': job '%s' has not started: its tensors are not defined "
                          "yet; a worker must send DefineJob and DefineTensors first",
                          name, job->name);
    const struct consistency *consistency = job_draft_consistency(job->draft);
    return stepd_fail(reterr, STEPD_DEADLINE_EXCEEDED,
                      "barrier '%s': job '%s' has not started: %zu of %u workers have joined; "
                      "start the others",
                      name, job->name, control_members_staying(job),
                      consistency_start(consistency, job_draft_workers(job->draft)));
}

/* "rank 3 (silent for 12000 ms)", and where else it waits; returns its length. */
static size_t explain_rank(const struct control_member *member, uint64_t now_ms, char *text,
                           size_t size)
{
    const char *elsewhere = control_barrier_of(member, now_ms);
    const bool waits = elsewhere[0] != '\0';
    return stepd_format(text, size, "rank %u (silent for %" PRIu64 " ms%s%s%s)", member->rank,
                        control_session_silent_ms(member->session, now_ms),
                        waits ? ", waits at '" : "", elsewhere, waits ? "'" : "");
}

/* Whom the barrier of this session lacks: "rank 1 (...), rank 3 (...)". Returns how many. */
static size_t explain_missing(const struct control_session *session, uint64_t now_ms, char *text,
                              size_t size)
{
    const struct control_job *job = session->job;
    size_t missing = 0;
    size_t at = 0;
    for (size_t rank = 0; rank < job->ranks; rank++) {
        const struct control_member *member = job->member[rank];
        if (member == NULL || member == session->member || !must_come(member) ||
            strcmp(control_barrier_of(member, now_ms), session->arrival.name) == 0)
            continue;
        if (missing++ >= RANKS_NAMED_MAX)
            continue;
        at += stepd_format(text + at, size - at, "%s", missing > 1 ? ", " : "");
        at += explain_rank(member, now_ms, text + at, size - at);
    }
    if (missing > RANKS_NAMED_MAX)
        (void)stepd_format(text + at, size - at, " and %zu more", missing - RANKS_NAMED_MAX);
    return missing;
}

enum stepd_status control_barrier_too_late(const struct control_session *session,
                                           struct stepd_error *reterr)
{
    const char *name = session->arrival.name;
    const uint64_t now_ms = session->conn->control->now_ms;
    char ranks[STEPD_ERROR_TEXT_BYTES];
    if (control_job_state_seen(session->job) < STEPD_JOB_RUNNING)
        return not_started(session->job, name, reterr);
    if (explain_missing(session, now_ms, ranks, sizeof ranks) == 0)
        return stepd_fail(reterr, STEPD_DEADLINE_EXCEEDED,
                          "barrier '%s': the last of the other ranks came when rank %u waited no "
                          "more; come again with a longer deadline",
                          name, session->rank);
    return stepd_fail(reterr, STEPD_DEADLINE_EXCEEDED,
                      "barrier '%s': waiting for %s; see to these workers, and come again", name,
                      ranks);
}
