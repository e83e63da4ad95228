/* SPDX-License-Identifier: Apache-2.0
 *
 * Hello, in three cases:
 *
 *     a session is named      resume it: its epoch rises, its older connections go
 *     a worker                takes a rank of the job, which is made if nobody has named it before,
 *                             and begun anew if it has finished; one that holds a rank by an
 *                             earlier Hello, whose Welcome was lost, goes on with that session
 *     an observer             looks at a job that exists, or at none in particular
 *
 * The shards get to know of a session before the Welcome goes out, so that the peer can open its
 * connections to them at once. Who is let in at all is login.c's business, who gets which rank
 * join.c's.
 */
#include "server/control/handle_hello.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "proto/error.h"
#include "server/control/finished.h"
#include "server/control/jobs.h"
#include "server/control/join.h"
#include "server/control/login.h"
#include "server/control/members.h"
#include "server/control/observers.h"
#include "server/control/restore.h"
#include "server/control/sessions.h"
#include "server/control/waits.h"

/* ---- What every Hello must keep to ----------------------------------------------------------- */

static enum stepd_status check_hello(const struct stepd_message *request,
                                     struct stepd_error *reterr)
{
    if (request->kind != STEPD_MESSAGE_HELLO)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "the first message must be Hello, not %s",
                          stepd_message_name(request->kind));
    const struct stepd_hello *hello = &request->body.hello;
    if (hello->protocol != STEPD_PROTOCOL_VERSION)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "this server speaks protocol %u, and Hello asks for %u; update the "
                          "older side",
                          STEPD_PROTOCOL_VERSION, hello->protocol);
    if (hello->shard != 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "Hello names shard %u, and this is control (shard 0)", hello->shard);
    if (hello->max_frame_bytes != 0 && hello->max_frame_bytes < STEPD_FRAME_LEAST_BYTES)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "max_frame_bytes is %u; it must be 0 or at least %u",
                          hello->max_frame_bytes, STEPD_FRAME_LEAST_BYTES);
    if (hello->rank < CONTROL_ANY_RANK || hello->rank >= (int32_t)STEPD_WORKERS_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "rank is %d; it must be 0 to %u, or -1 for any", hello->rank,
                          STEPD_WORKERS_MAX - 1);
    return STEPD_OK;
}

/* ---- Resuming -------------------------------------------------------------------------------- */

static enum stepd_status check_resume(const struct control_session *session,
                                      const struct stepd_hello *hello, struct stepd_error *reterr)
{
    const char *job = session->job == NULL ? "" : session->job->name;
    const struct control_member *member = session->member;
    if (member != NULL && member->state == STEPD_MEMBER_GIVEN_UP)
        return stepd_fail(reterr, member->given_up.code, "%s", member->given_up.text);
    if (hello->job[0] != '\0' && strcmp(hello->job, job) != 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "the session belongs to job '%s', not to '%s'", job, hello->job);
    if (hello->role != session->role)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "the session was made with another role; connect without one");
    if (session->member != NULL && hello->rank != CONTROL_ANY_RANK &&
        (uint32_t)hello->rank != session->rank)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "the session has rank %u, and Hello asks for rank %d", session->rank,
                          hello->rank);
    return STEPD_OK;
}

/* Its rank may have passed to another worker, of which it knows nothing. */
static enum stepd_status unknown_session(const struct control *control,
                                         const struct stepd_bytes *session,
                                         struct stepd_error *reterr)
{
    const struct stepd_error *why =
        session->count == STEPD_SESSION_BYTES ? control_members_former(control, session->at) : NULL;
    if (why != NULL)
        return stepd_fail(reterr, why->code, "%s", why->text);
    return stepd_fail(reterr, STEPD_NOT_FOUND,
                      "the session is not known (any more); connect without one");
}

static enum stepd_status go_on(struct control *control, struct control_session *session,
                               const struct stepd_hello *hello,
                               struct control_session **ret_session, struct stepd_error *reterr)
{
    enum stepd_status status = check_resume(session, hello, reterr);
    if (status == STEPD_OK)
        status = control_session_resume(control, session, reterr);
    if (status != STEPD_OK)
        return status;
    if (hello->lease_ms != 0)
        session->lease_ms = control_session_lease_ms(control, hello->lease_ms);
    session->ended = false;
    if (session->member != NULL) {
        control_log(control, "worker_resumed", "job=%s rank=%u worker=%s epoch=%" PRIu64,
                    control_quote(session->job->name).text, session->rank,
                    control_quote(session->worker).text, session->epoch);
        control_member_heard(control, session->member);
    }
    *ret_session = session;
    return STEPD_OK;
}

static enum stepd_status resume(struct control *control, const struct stepd_hello *hello,
                                struct control_session **ret_session, struct stepd_error *reterr)
{
    struct control_session *session = NULL;
    if (hello->session.count == STEPD_SESSION_BYTES)
        session = control_session_find(control, hello->session.at);
    if (session == NULL)
        return unknown_session(control, &hello->session, reterr);
    const enum stepd_status status = control_job_check_restored(session->job, reterr);
    if (status != STEPD_OK)
        return status;
    return go_on(control, session, hello, ret_session, reterr);
}

/* ---- Observing ------------------------------------------------------------------------------- */

static enum stepd_status observe(struct control *control, const struct stepd_hello *hello,
                                 struct control_session **ret_session, struct stepd_error *reterr)
{
    struct control_job *job = NULL;
    if (hello->job[0] != '\0') {
        job = control_job_find(control, hello->job);
        if (job == NULL)
            return stepd_fail(reterr, STEPD_NOT_FOUND,
                              "there is no job '%s'; its workers must connect first, or the "
                              "server's config file define it; name none to look at all there are",
                              hello->job);
    }
    const enum stepd_status status = control_job_check_restored(job, reterr);
    if (status != STEPD_OK)
        return status;
    return control_observer_create(control, job, hello, ret_session, reterr);
}

/* ---- Joining --------------------------------------------------------------------------------- */

/* Of a job that has failed the workers that were not lost must find out first. */
static enum stepd_status check_deserted(const struct control *control,
                                        const struct control_job *job, struct stepd_error *reterr)
{
    for (size_t rank = 0; rank < job->ranks; rank++) {
        const struct control_member *member = job->member[rank];
        if (member != NULL && member->session->conn != NULL &&
            !control_session_is_over(member->session, control->now_ms))
            return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                              "%s; rank %u is still connected, and when all have hung up the job "
                              "can begin anew",
                              job->failure.text, member->rank);
    }
    return STEPD_OK;
}

/* Whoever names a job that is over begins another one, unless it means the one that is. Its
 * definition goes with it unless it is from the config file; then what is asked must fit, before
 * the old weights go for nothing. */
static enum stepd_status begin_anew(struct control *control, struct control_job *job,
                                    const struct stepd_hello *hello, struct stepd_error *reterr)
{
    enum stepd_status status =
        job->state == CONTROL_JOB_FAILED ? check_deserted(control, job, reterr) : STEPD_OK;
    if (status == STEPD_OK && hello->rejoins)
        status = stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                            "job '%s' has finished while this worker was away", job->name);
    if (status == STEPD_OK && job->from_config)
        status = control_join_check_range(job, hello->rank, reterr);
    return status == STEPD_OK ? control_finished_restart(control, job, reterr) : status;
}

static enum stepd_status join(struct control *control, const struct stepd_hello *hello,
                              struct control_session **ret_session, struct stepd_error *reterr)
{
    struct control_job *job = control_job_find(control, hello->job);
    enum stepd_status status = control_job_check_restored(job, reterr);
    if (status != STEPD_OK)
        return status;
    struct control_session *known =
        job == NULL ? NULL : control_session_of_client(control, job, hello);
    if (known != NULL)
        return go_on(control, known, hello, ret_session, reterr);
    if (job == NULL)
        status = control_job_create(control, hello->job, &job, reterr);
    else if (control_job_is_over(job))
        status = begin_anew(control, job, hello, reterr);
    if (status != STEPD_OK)
        return status;
    status = control_join(control, job, hello, ret_session, reterr);
    if (status != STEPD_OK)
        control_job_forget_if_idle(control, job);
    return status;
}

/* ---- Welcome --------------------------------------------------------------------------------- */

struct stepd_message control_welcome(const struct control *control,
                                     const struct control_session *session)
{
    const struct control_job *job = session->job;
    const bool defined = job != NULL && job->draft != NULL;
    const struct stepd_welcome welcome = {
        .session = {.count = sizeof session->id, .at = session->id},
        .epoch = session->epoch,
        .rank = session->rank,
        .world = defined ? job_draft_workers(job->draft) : 0,
        .incarnation = defined ? job->incarnation : 0,
        .clock = session->member == NULL ? 0 : control_member_clock(session->member),
        .lease_ms = session->lease_ms,
        .max_frame_bytes = control->options.frame_max_bytes,
        .shards = control->options.shards,
        .shard_address = control->shard_address,
        .wait_max_ms = control->options.wait_max_ms,
    };
    return (struct stepd_message){.kind = STEPD_MESSAGE_WELCOME, .body.welcome = welcome};
}

/* Nobody is let in to a job before all daemons are there that serve it. */
static enum stepd_status check_gathered(const struct control *control,
                                        const struct stepd_hello *hello, struct stepd_error *reterr)
{
    const bool asks = hello->role == STEPD_OBSERVER && hello->job[0] == '\0';
    if (control->missing[0] == '\0' || asks)
        return STEPD_OK;
    return control->place > 0 ? control_refuse_aside(reterr)
                              : stepd_fail(reterr, STEPD_UNAVAILABLE, "%s", control->missing);
}

/* Do the shards of other daemons not know of the session yet? */
static bool must_settle(const struct control *control, const struct control_session *session)
{
    return session->job != NULL && control->io.ordered != NULL &&
           control->io.arrived(control->io.owner) < control->io.ordered(control->io.owner);
}

/* Its first version is told in the Welcome, and so the Welcome waits for it; and for the shards of
 * other daemons to know whom they will meet. */
static enum stepd_status park_until_member(struct control_conn *conn, uint64_t request_id,
                                           struct control_answer *ret_answer,
                                           struct stepd_error *reterr)
{
    const struct control_member *const member = conn->session->member;
    const struct control_io *const io = &conn->control->io;
    struct control_wait wait = {
        .kind = CONTROL_WAIT_MEMBER,
        .conn = conn,
        .request_id = request_id,
        .job = conn->session->job,
    };
    if (io->ordered != NULL && (member == NULL || member->state != STEPD_MEMBER_JOINING)) {
        wait.settles = true;
        wait.orders = io->ordered(io->owner);
    }
    ret_answer->parked = true;
    return control_wait_park(&wait, /* deadline_ms= */ 0, reterr);
}

enum stepd_status control_handle_hello(struct control_conn *conn,
                                       const struct stepd_message *request,
                                       struct control_answer *ret_answer,
                                       struct stepd_error *reterr)
{
    enum stepd_status status = check_hello(request, reterr);
    if (status != STEPD_OK)
        return status;
    struct control *const control = conn->control;
    const struct stepd_hello *hello = &request->body.hello;
    struct control_session *session = NULL;
    const struct access_grant *grant = NULL;
    status = control_login(conn, hello, &grant, reterr);
    if (status == STEPD_OK)
        status = check_gathered(control, hello, reterr);
    if (status != STEPD_OK)
        return status;
    if (hello->session.count > 0)
        status = resume(control, hello, &session, reterr);
    else if (hello->role == STEPD_OBSERVER)
        status = observe(control, hello, &session, reterr);
    else
        status = join(control, hello, &session, reterr);
    if (status != STEPD_OK)
        return status;
    assert(session != NULL);
    session->heard_ms = control->now_ms;
    session->grant = grant;
    session->entered = grant != NULL;
    session->conn = conn;
    conn->session = session;
    const struct control_member *member = session->member;
    if ((member != NULL && member->state == STEPD_MEMBER_JOINING) || must_settle(control, session))
        return park_until_member(conn, request->request_id, ret_answer, reterr);
    ret_answer->message = control_welcome(control, session);
    return STEPD_OK;
}
