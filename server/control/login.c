/* SPDX-License-Identifier: Apache-2.0
 *
 * A session remembers the line of the list by which it was let in. The list may change while it is
 * there, and time passes, so sessions are looked at again at every tick; between two ticks each
 * request is held to the line as well. What goes to the shards needs no line: they take whoever
 * says a session's id, which is 16 random bytes that only who was let in has been told, and they
 * forget the session when it is ended here. Daemons that have joined are looked at likewise, by
 * whoever has their connections.
 */
#include "server/control/login.h"

#include <string.h>

#include "proto/error.h"
#include "server/access/date.h"
#include "server/control/jobs.h"
#include "server/control/observers.h"
#include "server/control/sessions.h"

/* What is wrong, for the log. */
struct reason {
    char text[128];
};

static struct control_caller caller_of(const struct control_conn *conn)
{
    const struct control *const control = conn->control;
    if (control->io.caller == NULL)
        return (struct control_caller){.address = "?"};
    return control->io.caller(control->io.owner, conn->peer);
}

static int64_t unix_s(const struct control *control)
{
    return control->io.unix_s == NULL ? 0 : control->io.unix_s(control->io.owner);
}

/* ---- What those are told who are refused ----------------------------------------------------- */

/* By what somebody has come. */
enum shown {
    SHOWN_NOTHING,
    SHOWN_TOKEN,
    SHOWN_CERTIFICATE,
};

static enum shown shown_of(const struct control_conn *conn, const struct stepd_hello *hello)
{
    const char *const certificate = caller_of(conn).certificate;
    if (hello->token.count > 0)
        return SHOWN_TOKEN;
    return certificate != NULL && certificate[0] != '\0' ? SHOWN_CERTIFICATE : SHOWN_NOTHING;
}

/* One who was let in by a line of the list. */
static enum shown shown_by(const struct access_grant *grant)
{
    return grant == NULL                ? SHOWN_NOTHING
           : grant->certificate != NULL ? SHOWN_CERTIFICATE
                                        : SHOWN_TOKEN;
}

static enum stepd_status refuse_stranger(enum shown shown, struct stepd_error *reterr)
{
    const char *const remedy =
        shown == SHOWN_CERTIFICATE
            ? "have the name in the certificate that was shown put on its list (access_file)"
            : "show a token that is good (STEPD_TOKEN, or --token-file), or a certificate that is "
              "on its list";
    return stepd_fail(reterr, STEPD_UNAUTHENTICATED,
                      "this server lets in whom it knows: %s; its log has the reason of each "
                      "refusal",
                      remedy);
}

static enum stepd_status refuse_known(const struct access_grant *grant, struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_PERMISSION_DENIED,
                      "the %s that was shown is not for this; the server's log has the reason",
                      shown_by(grant) == SHOWN_CERTIFICATE ? "certificate" : "token");
}

/* The operator is told who, what for, and why not. */
static void log_refused(const struct control *control, const char *address, const char *who,
                        const char *what, const char *job, const char *reason)
{
    control_warn(control, "login_refused", "peer=%s who=%s what=%s job=%s reason=%s",
                 control_quote(address).text, control_quote(who).text, what,
                 control_quote(job).text, control_quote(reason).text);
}

static void log_refusal(const struct control_conn *conn, const char *who, const char *what,
                        const char *job, const char *reason)
{
    log_refused(conn->control, caller_of(conn).address, who, what, job, reason);
}

/* ---- Judging --------------------------------------------------------------------------------- */

/* Is the line still worth something? */
static bool is_good(const struct control *control, const struct access_grant *grant,
                    struct reason *ret_reason)
{
    if (grant == NULL) {
        *ret_reason = (struct reason){"it is not on the list any more"};
        return false;
    }
    if (!access_grant_is_over(grant, unix_s(control)))
        return true;
    char until[DATE_TEXT_BYTES];
    date_write(grant->until_s, until);
    (void)stepd_format(ret_reason->text, sizeof ret_reason->text, "its line was good until %s only",
                       until);
    return false;
}

static bool allows(const struct access_grant *grant, enum access_role needs, const char *job,
                   struct reason *ret_reason)
{
    if (grant->role < needs)
        (void)stepd_format(ret_reason->text, sizeof ret_reason->text,
                           "its role is %s, and this takes %s", access_role_name(grant->role),
                           access_role_name(needs));
    else if (!access_grant_covers(grant, job))
        *ret_reason = (struct reason){"its line is not for this job"};
    else
        return true;
    return false;
}

static enum access_role role_of(enum stepd_role role)
{
    return role == STEPD_OBSERVER ? ACCESS_OBSERVE : ACCESS_WORK;
}

/* ---- Hello ----------------------------------------------------------------------------------- */

/* Who shows a token is judged by that alone, and anybody else by the certificate. */
static const struct access_grant *find_by_certificate(const struct control *control,
                                                      const char *name, struct reason *ret_reason)
{
    const struct access_grant *grant = NULL;
    if (name == NULL || name[0] == '\0')
        *ret_reason = (struct reason){"it has shown no token, and no certificate of a CA of ours"};
    else if ((grant = access_list_find_name(control->access, name)) == NULL)
        (void)stepd_format(ret_reason->text, sizeof ret_reason->text,
                           "its certificate's name, %s, is not on the list", name);
    return grant;
}

/* Who is it? NULL: nobody who is known. */
static const struct access_grant *find(const struct control *control, const char *certificate,
                                       struct stepd_bytes token, struct reason *ret_reason)
{
    uint8_t hash[TOKEN_HASH_BYTES];
    const struct access_grant *grant = NULL;
    if (token.count == 0)
        grant = find_by_certificate(control, certificate, ret_reason);
    else if (!token_hash(token.at, token.count, hash))
        *ret_reason = (struct reason){"there is no memory to look at its token"};
    else if ((grant = access_list_find(control->access, hash)) == NULL)
        *ret_reason = (struct reason){"its token is not on the list"};
    return grant;
}

/* The job that a Hello is about: where it resumes a session, that session's. */
static const char *job_of(const struct control *control, const struct stepd_hello *hello)
{
    const struct control_session *session = NULL;
    if (hello->session.count == STEPD_SESSION_BYTES)
        session = control_session_find(control, hello->session.at);
    return session == NULL || session->job == NULL ? hello->job : session->job->name;
}

enum stepd_status control_login(const struct control_conn *conn, const struct stepd_hello *hello,
                                const struct access_grant **ret_grant, struct stepd_error *reterr)
{
    const struct control *const control = conn->control;
    const char *const what = hello->role == STEPD_OBSERVER ? "observer" : "worker";
    struct reason reason;
    *ret_grant = NULL;
    if (control->access == NULL)
        return STEPD_OK;
    const struct access_grant *const grant =
        find(control, caller_of(conn).certificate, hello->token, &reason);
    if (grant == NULL || !is_good(control, grant, &reason)) {
        log_refusal(conn, grant == NULL ? "" : grant->who, what, hello->job, reason.text);
        return refuse_stranger(shown_of(conn, hello), reterr);
    }
    if (!allows(grant, role_of(hello->role), hello->job, &reason) ||
        !allows(grant, role_of(hello->role), job_of(control, hello), &reason)) {
        log_refusal(conn, grant->who, what, hello->job, reason.text);
        return refuse_known(grant, reterr);
    }
    *ret_grant = grant;
    return STEPD_OK;
}

static enum stepd_status refuse_daemon(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_UNAUTHENTICATED,
                      "this server lets in daemons that it knows: show a token that is good "
                      "(peer_token_file), or a certificate that is on its list; its log has "
                      "the reason");
}

static enum stepd_status refuse_role(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_PERMISSION_DENIED,
                      "what this daemon has shown is not of the role peer; the log of the first "
                      "of peers has the reason");
}

enum stepd_status control_admits_daemon(const struct control *control,
                                        const struct control_caller *caller,
                                        const struct stepd_join *join,
                                        const struct access_grant **ret_grant,
                                        struct stepd_error *reterr)
{
    struct reason reason;
    *ret_grant = NULL;
    if (control->access == NULL)
        return STEPD_OK;
    const struct access_grant *const grant =
        find(control, caller->certificate, join->token, &reason);
    if (grant == NULL || !is_good(control, grant, &reason)) {
        log_refused(control, caller->address, grant == NULL ? "" : grant->who, "daemon", "",
                    reason.text);
        return refuse_daemon(reterr);
    }
    if (!allows(grant, ACCESS_PEER, "", &reason)) {
        log_refused(control, caller->address, grant->who, "daemon", "", reason.text);
        return refuse_role(reterr);
    }
    *ret_grant = grant;
    return STEPD_OK;
}

void control_daemon_came(struct control *control, size_t place, const struct access_grant *grant)
{
    control->daemon_grant[place] = grant;
}

enum stepd_status control_keeps_daemon(const struct control *control, size_t place,
                                       struct stepd_error *reterr)
{
    const struct access_grant *const grant = control->daemon_grant[place];
    struct reason reason;
    if (control->access == NULL)
        return STEPD_OK;
    const bool good = is_good(control, grant, &reason);
    if (good && allows(grant, ACCESS_PEER, "", &reason))
        return STEPD_OK;
    control_warn(control, "login_ended", "daemon=%zu reason=%s", place,
                 control_quote(reason.text).text);
    return good ? refuse_role(reterr) : refuse_daemon(reterr);
}

/* ---- Requests -------------------------------------------------------------------------------- */

enum stepd_status control_login_check(const struct control_conn *conn, enum access_role needs,
                                      const struct stepd_message *request,
                                      struct stepd_error *reterr)
{
    const struct access_grant *const grant = conn->session->grant;
    const char *const what = stepd_message_name(request->kind);
    struct reason reason;
    if (conn->control->access == NULL)
        return STEPD_OK;
    if (!is_good(conn->control, grant, &reason)) {
        log_refusal(conn, grant == NULL ? "" : grant->who, what, "", reason.text);
        return refuse_stranger(shown_by(grant), reterr);
    }
    if (allows(grant, needs, "", &reason))
        return STEPD_OK;
    log_refusal(conn, grant->who, what, "", reason.text);
    return refuse_known(grant, reterr);
}

enum stepd_status control_login_check_job(const struct control_conn *conn, const char *job,
                                          struct stepd_error *reterr)
{
    if (control_login_shows(conn, job))
        return STEPD_OK;
    log_refusal(conn, conn->session->grant->who, "request", job, "its line is not for this job");
    return refuse_known(conn->session->grant, reterr);
}

bool control_login_shows(const struct control_conn *conn, const char *job)
{
    const struct access_grant *const grant = conn->session->grant;
    return conn->control->access == NULL || (grant != NULL && access_grant_covers(grant, job));
}

bool control_login_shows_limits(const struct control_conn *conn)
{
    const struct access_grant *const grant = conn->session->grant;
    if (conn->control->access == NULL)
        return true;
    for (size_t i = 0; grant != NULL && i < grant->jobs; i++) {
        if (strcmp(grant->job[i], "*") == 0)
            return true;
    }
    return false;
}

/* ---- The list changes, and time passes ------------------------------------------------------- */

void control_login_take_list(struct control *control, struct access_list *list)
{
    for (struct control_session *at = control->first_session; at != NULL; at = at->next) {
        if (at->grant != NULL)
            at->grant = list == NULL ? NULL : access_list_find_like(list, at->grant);
    }
    for (size_t i = 0; i < STEPD_DAEMONS_MAX; i++) {
        const struct access_grant **const of = &control->daemon_grant[i];
        if (*of != NULL)
            *of = list == NULL ? NULL : access_list_find_like(list, *of);
    }
    (void)access_list_destroy(control->access);
    control->access = list;
}

/* Would it be let in now? A session that nobody speaks for has nothing to be asked. */
static bool is_welcome(const struct control *control, const struct control_session *session,
                       struct reason *ret_reason)
{
    const char *const job = session->job == NULL ? "" : session->job->name;
    return is_good(control, session->grant, ret_reason) &&
           allows(session->grant, role_of(session->role), job, ret_reason);
}

static void end_session(struct control *control, struct control_session *session,
                        const char *reason)
{
    struct stepd_error error;
    (void)refuse_stranger(shown_by(session->grant), &error);
    if (control_session_retire(control, session, &error, NULL) != STEPD_OK)
        return; /* no memory to tell the shards: the next tick tries again */
    control_warn(control, "login_ended", "worker=%s job=%s reason=%s",
                 control_quote(session->worker).text,
                 control_quote(session->job == NULL ? "" : session->job->name).text,
                 control_quote(reason).text);
    session->entered = false;
    session->grant = NULL;
    if (session->role == STEPD_OBSERVER)
        control_observer_drop(control, session);
}

void control_login_on_tick(struct control *control)
{
    struct control_session *next = NULL;
    if (control->access == NULL)
        return;
    for (struct control_session *session = control->first_session; session != NULL;
         session = next) {
        struct reason reason;
        next = session->next;
        if (session->entered && !is_welcome(control, session, &reason))
            end_session(control, session, reason.text);
    }
}
