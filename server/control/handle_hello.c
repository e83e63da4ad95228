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
 * connections to them at once. A rank belongs to whoever took it until its Leave or until nothing
 * was heard of it for its lease; then the next worker may take it, and goes on from its clock.
 */
#include "server/control/handle_hello.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "proto/error.h"
#include "server/control/finished.h"
#include "server/control/jobs.h"
#include "server/control/members.h"
#include "server/control/observers.h"
#include "server/control/sessions.h"

#define ANY_RANK (-1)

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
    if (hello->rank < ANY_RANK || hello->rank >= (int32_t)STEPD_WORKERS_MAX)
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
    if (hello->job[0] != '\0' && strcmp(hello->job, job) != 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "the session belongs to job '%s', not to '%s'", job, hello->job);
    if (hello->role != session->role)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "the session was made with another role; connect without one");
    if (session->member != NULL && hello->rank != ANY_RANK &&
        (uint32_t)hello->rank != session->rank)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "the session has rank %u, and Hello asks for rank %d", session->rank,
                          hello->rank);
    return STEPD_OK;
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
        return stepd_fail(reterr, STEPD_NOT_FOUND,
                          "the session is not known (any more); connect without one");
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
                              "server's config file define it",
                              hello->job);
    }
    return control_observer_create(control, job, hello, ret_session, reterr);
}

/* ---- Joining --------------------------------------------------------------------------------- */

/* Is this a rank that the job has? ANY_RANK is. */
static enum stepd_status check_range(const struct control_job *job, int32_t rank,
                                     struct stepd_error *reterr)
{
    const uint32_t ranks = control_job_ranks(job);
    if (rank == ANY_RANK || (uint32_t)rank < ranks)
        return STEPD_OK;
    if (ranks == 1)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "rank is %d, and job '%s' has 1 worker: rank 0", rank, job->name);
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "rank is %d, and job '%s' has %u workers: ranks 0 to %u", rank, job->name,
                      ranks, ranks - 1);
}

static enum stepd_status taken(const struct control *control, const struct control_member *member,
                               struct stepd_error *reterr)
{
    const struct control_session *session = member->session;
    const uint64_t silent_ms = control_session_silent_ms(session, control->now_ms);
    return stepd_fail(reterr, STEPD_ALREADY_EXISTS,
                      "rank %u is taken by worker '%s', silent for %" PRIu64
                      " ms; resume its session, or wait until its lease runs out in %" PRIu64 " ms",
                      member->rank, session->worker, silent_ms, session->lease_ms - silent_ms);
}

/* May a worker that brings no session take this rank now? Whoever rejoins was away while somebody
 * else left for it: it is not to do that one's work again. */
static enum stepd_status check_rank(const struct control *control, const struct control_job *job,
                                    uint32_t rank, bool rejoins, struct stepd_error *reterr)
{
    const struct control_member *member = control_member_find(job, rank);
    if (member != NULL && member->state != STEPD_MEMBER_LEFT)
        return control_session_is_over(member->session, control->now_ms)
                   ? STEPD_OK
                   : taken(control, member, reterr);
    if (member != NULL && rejoins)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "rank %u has left job '%s' while this worker was away", rank, job->name);
    if (member == NULL || control_job_takes_ranks_back(job))
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                      "rank %u has left job '%s'; a sync job that has started does not take it "
                      "back",
                      rank, job->name);
}

/* The lowest rank that nobody holds. In a sync job that has started that can only be a lost one. */
static enum stepd_status any_rank(const struct control *control, const struct control_job *job,
                                  uint32_t *ret_rank, struct stepd_error *reterr)
{
    const uint32_t ranks = control_job_ranks(job);
    for (uint32_t rank = 0; rank < ranks; rank++) {
        if (check_rank(control, job, rank, /* rejoins= */ false, NULL) == STEPD_OK) {
            *ret_rank = rank;
            return STEPD_OK;
        }
    }
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "all %u ranks of job '%s' are taken", ranks,
                      job->name);
}

static enum stepd_status choose_rank(const struct control *control, const struct control_job *job,
                                     const struct stepd_hello *hello, uint32_t *ret_rank,
                                     struct stepd_error *reterr)
{
    if (hello->rank == ANY_RANK)
        return any_rank(control, job, ret_rank, reterr);
    const enum stepd_status status = check_range(job, hello->rank, reterr);
    if (status != STEPD_OK)
        return status;
    *ret_rank = (uint32_t)hello->rank;
    return check_rank(control, job, *ret_rank, hello->rejoins, reterr);
}

/* A new session for a rank that somebody held before. */
static enum stepd_status take_over(struct control *control, struct control_member *member,
                                   const struct stepd_hello *hello,
                                   struct control_session **ret_session, struct stepd_error *reterr)
{
    struct control_session *old = member->session;
    struct control_job *const job = old->job;
    enum stepd_status status = control_session_retire(control, old, reterr);
    if (status == STEPD_OK)
        status = control_session_create(control, job, member->rank, hello, ret_session, reterr);
    if (status != STEPD_OK)
        return status;
    control_log(control, "worker_replaced", "job=%s rank=%u worker=%s by=%s",
                control_quote(job->name).text, member->rank, control_quote(old->worker).text,
                control_quote(hello->worker).text);
    member->session = *ret_session;
    member->session->member = member;
    control_session_free(control, old);
    if (member->last_clock != UINT64_MAX) {
        member->last_clock = UINT64_MAX;
        member->untold = true;
    }
    control_member_move(control, member, STEPD_MEMBER_PRESENT);
    return STEPD_OK;
}

static enum stepd_status take_new(struct control *control, struct control_job *job, uint32_t rank,
                                  const struct stepd_hello *hello,
                                  struct control_session **ret_session, struct stepd_error *reterr)
{
    struct control_session *session = NULL;
    const enum stepd_status status =
        control_session_create(control, job, rank, hello, &session, reterr);
    if (status != STEPD_OK)
        return status;
    session->member = control_member_create(control, job, rank, session);
    if (session->member == NULL) {
        control_session_drop(control, session);
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for rank %u", rank);
    }
    control_log(control, "worker_joined", "job=%s rank=%u worker=%s", control_quote(job->name).text,
                rank, control_quote(hello->worker).text);
    *ret_session = session;
    return STEPD_OK;
}

static enum stepd_status join_job(struct control *control, struct control_job *job,
                                  const struct stepd_hello *hello,
                                  struct control_session **ret_session, struct stepd_error *reterr)
{
    uint32_t rank = 0;
    enum stepd_status status = choose_rank(control, job, hello, &rank, reterr);
    if (status != STEPD_OK)
        return status;
    struct control_member *member = control_member_find(job, rank);
    status = member != NULL ? take_over(control, member, hello, ret_session, reterr)
                            : take_new(control, job, rank, hello, ret_session, reterr);
    if (status == STEPD_OK)
        control_job_tell_shards(control, job);
    return status;
}

/* Whoever names a finished job begins another one, unless it means the one that has finished. Its
 * definition goes with it unless it is from the config file; then what is asked must fit, before
 * the old weights go for nothing. */
static enum stepd_status begin_anew(struct control *control, struct control_job *job,
                                    const struct stepd_hello *hello, struct stepd_error *reterr)
{
    if (hello->rejoins)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "job '%s' has finished while this worker was away", job->name);
    const enum stepd_status status =
        job->from_config ? check_range(job, hello->rank, reterr) : STEPD_OK;
    return status == STEPD_OK ? control_finished_restart(control, job, reterr) : status;
}

static enum stepd_status join(struct control *control, const struct stepd_hello *hello,
                              struct control_session **ret_session, struct stepd_error *reterr)
{
    struct control_job *job = control_job_find(control, hello->job);
    struct control_session *known =
        job == NULL ? NULL : control_session_of_client(control, job, hello);
    if (known != NULL)
        return go_on(control, known, hello, ret_session, reterr);
    enum stepd_status status = STEPD_OK;
    if (job == NULL)
        status = control_job_create(control, hello->job, &job, reterr);
    else if (job->state == CONTROL_JOB_FINISHED)
        status = begin_anew(control, job, hello, reterr);
    if (status != STEPD_OK)
        return status;
    status = join_job(control, job, hello, ret_session, reterr);
    if (status != STEPD_OK)
        control_job_forget_if_idle(control, job);
    return status;
}

/* ---- Welcome --------------------------------------------------------------------------------- */

static struct stepd_welcome welcome(const struct control *control,
                                    const struct control_session *session)
{
    const struct control_job *job = session->job;
    const bool defined = job != NULL && job->draft != NULL;
    return (struct stepd_welcome){
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
    session->conn = conn;
    conn->session = session;
    ret_answer->message = (struct stepd_message){
        .kind = STEPD_MESSAGE_WELCOME,
        .body.welcome = welcome(control, session),
    };
    return STEPD_OK;
}
