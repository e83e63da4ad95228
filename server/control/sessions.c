/* SPDX-License-Identifier: Apache-2.0
 *
 * Sessions in one list, searched by id once per Hello. A session's identity is 16 bytes from the
 * caller's source of randomness: who can say them may speak for the rank, so they stand in no log
 * and no error text.
 */
#include "server/control/sessions.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/control/dispatch.h"
#include "server/control/jobs.h"
#include "server/control/login.h"
#include "server/control/orders.h"
#include "server/control/snapshot.h"

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                      "no memory for the session; try again later");
}

struct control_session *control_session_find(const struct control *control, const uint8_t *id)
{
    struct control_session *session = control->first_session;
    while (session != NULL && memcmp(session->id, id, sizeof session->id) != 0)
        session = session->next;
    return session;
}

struct control_session *control_session_of_client(const struct control *control,
                                                  const struct control_job *job,
                                                  const struct stepd_hello *hello)
{
    struct control_session *session = control->first_session;
    if (hello->client.count != STEPD_CLIENT_BYTES)
        return NULL;
    while (session != NULL &&
           !(session->has_client && session->job == job && session->member != NULL &&
             memcmp(session->client, hello->client.at, STEPD_CLIENT_BYTES) == 0))
        session = session->next;
    const bool holds = session != NULL && control_member_stays(session->member);
    return holds ? session : NULL;
}

static struct control_session *allocate(struct control *control, struct control_job *job,
                                        uint32_t rank, const struct stepd_hello *hello)
{
    struct control_session *session = malloc(sizeof *session);
    char *worker = strdup(hello->worker);
    if (session == NULL || worker == NULL) {
        free(session);
        free(worker);
        return NULL;
    }
    *session = (struct control_session){
        .epoch = 1,
        .role = hello->role,
        .worker = worker,
        .lease_ms = control_session_lease_ms(control, hello->lease_ms),
        .heard_ms = control->now_ms,
        .job = job,
        .rank = rank,
    };
    if (hello->client.count == STEPD_CLIENT_BYTES) {
        memcpy(session->client, hello->client.at, STEPD_CLIENT_BYTES);
        session->has_client = true;
    }
    control->io.random(control->io.owner, session->id, sizeof session->id);
    session->next = control->first_session;
    control->first_session = session;
    return session;
}

enum stepd_status control_session_create(struct control *control, struct control_job *job,
                                         uint32_t rank, const struct stepd_hello *hello,
                                         struct control_session **ret_session,
                                         struct stepd_error *reterr)
{
    struct control_session *session = allocate(control, job, rank, hello);
    if (session == NULL)
        return no_memory(reterr);
    if (control_order_session(control, session, session->epoch) != STEPD_OK) {
        control_session_free(control, session);
        return no_memory(reterr);
    }
    *ret_session = session;
    return STEPD_OK;
}

/* As if its worker said Hello, but with an id that it has already. */
enum stepd_status control_session_restore(struct control *control, struct control_job *job,
                                          const struct member_snapshot *from,
                                          struct control_session **ret_session,
                                          struct stepd_error *reterr)
{
    const struct stepd_hello hello = {
        .role = STEPD_WORKER,
        .worker = from->worker,
        .lease_ms = from->lease_ms,
        .client = {.count = from->has_client ? sizeof from->client : 0, .at = from->client},
    };
    struct control_session *session = allocate(control, job, from->rank, &hello);
    if (session == NULL)
        return no_memory(reterr);
    memcpy(session->id, from->session, sizeof session->id);
    session->epoch = from->epoch;
    session->restored = true;
    if (control->access != NULL) { /* the shards hear of it when somebody was let in for it */
        *ret_session = session;
        return STEPD_OK;
    }
    if (control_order_session(control, session, session->epoch) != STEPD_OK) {
        control_session_free(control, session);
        return no_memory(reterr);
    }
    *ret_session = session;
    return STEPD_OK;
}

void control_sessions_hold(const struct control *control)
{
    for (struct control_session *at = control->first_session; at != NULL; at = at->next) {
        if (at->restored)
            at->heard_ms = control->now_ms;
    }
}

enum stepd_status control_session_resume(struct control *control, struct control_session *session,
                                         struct stepd_error *reterr)
{
    if (control_order_session(control, session, session->epoch + 1) != STEPD_OK)
        return no_memory(reterr);
    session->epoch++;
    if (session->conn != NULL)
        control_hang_up(session->conn);
    return STEPD_OK;
}

enum stepd_status control_session_retire(struct control *control, struct control_session *session,
                                         const struct stepd_error *why, struct stepd_error *reterr)
{
    if (control_order_session_gone(control, session, why) != STEPD_OK)
        return no_memory(reterr);
    if (session->conn != NULL && why != NULL)
        control_send(session->conn, /* request_id= */ 0, why->code, /* answer= */ NULL, why);
    if (session->conn != NULL)
        control_hang_up(session->conn);
    return STEPD_OK;
}

/* Without memory the shards keep a session whose id nobody else knows any more; it goes with the
 * job. */
void control_session_drop(struct control *control, struct control_session *session)
{
    const enum stepd_status status = control_session_retire(control, session, NULL, NULL);
    if (status != STEPD_OK && session->conn != NULL)
        control_hang_up(session->conn);
    control_session_free(control, session);
}

void control_session_free(struct control *control, struct control_session *session)
{
    struct control_session **at = &control->first_session;
    while (*at != session)
        at = &(*at)->next;
    *at = session->next;
    free(session->worker);
    free(session);
}

uint64_t control_session_silent_ms(const struct control_session *session, uint64_t now_ms)
{
    return now_ms - session->heard_ms;
}

const char control_aside[] = "this daemon is not the first of its list, which has control of all "
                             "jobs: ask there about jobs, `stepctl status` shows where it is";

enum stepd_status control_refuse_aside(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "%s", control_aside);
}

enum stepd_status control_no_such_job(const struct control *control, const char *name,
                                      struct stepd_error *reterr)
{
    if (control->place > 0)
        return control_refuse_aside(reterr);
    if (control->missing[0] != '\0')
        return stepd_fail(reterr, STEPD_UNAVAILABLE,
                          "whether there is a job '%s' is not known yet: %s", name,
                          control->missing);
    return stepd_fail(reterr, STEPD_NOT_FOUND,
                      "there is no job '%s'; `stepctl status` lists those there are", name);
}

enum stepd_status control_session_job(const struct control_conn *conn, const char *name,
                                      struct control_job **ret_job, struct stepd_error *reterr)
{
    const enum stepd_status allowed = control_login_check_job(conn, name, reterr);
    if (allowed != STEPD_OK)
        return allowed;
    struct control_job *job =
        name[0] == '\0' ? conn->session->job : control_job_find(conn->control, name);
    if (job == NULL && name[0] == '\0')
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "name the job that is meant");
    if (job == NULL)
        return control_no_such_job(conn->control, name, reterr);
    *ret_job = job;
    return STEPD_OK;
}

bool control_session_is_over(const struct control_session *session, uint64_t now_ms)
{
    return session->ended || control_session_silent_ms(session, now_ms) >= session->lease_ms;
}

void control_session_end(struct control *control, struct control_session *session)
{
    if (session->ended)
        return;
    session->ended = true;
    control_log(control, "worker_ended", "job=%s rank=%u worker=%s",
                control_quote(session->job->name).text, session->rank,
                control_quote(session->worker).text);
}

const char *control_session_silence(const struct control_session *session, uint64_t now_ms,
                                    char room[CONTROL_SILENCE_TEXT_BYTES])
{
    if (session->ended)
        return "has ended without leaving";
    (void)stepd_format(room, CONTROL_SILENCE_TEXT_BYTES, "was silent for %" PRIu64 " ms",
                       control_session_silent_ms(session, now_ms));
    return room;
}

uint32_t control_session_lease_ms(const struct control *control, uint32_t asked_ms)
{
    const uint32_t lease_ms = asked_ms == 0 ? control->options.lease_ms : asked_ms;
    if (lease_ms < CONTROL_LEASE_LEAST_MS)
        return CONTROL_LEASE_LEAST_MS;
    return lease_ms > CONTROL_LEASE_MOST_MS ? CONTROL_LEASE_MOST_MS : lease_ms;
}
