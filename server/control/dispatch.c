/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of requests: who may send which when, and who handles it. All rules that concern more
 * than one kind of request are columns here, and so no handler has to remember them.
 *
 * A Hello that is refused, and anything else in its place, ends the connection: nobody who has not
 * been let in gets a second try on the same one. Any other refusal is an Error that ends its
 * request only.
 */
#include "server/control/dispatch.h"

#include "proto/error.h"
#include "server/control/handle_barrier.h"
#include "server/control/handle_change.h"
#include "server/control/handle_checkpoint.h"
#include "server/control/handle_define.h"
#include "server/control/handle_hello.h"
#include "server/control/handle_layout.h"
#include "server/control/handle_status.h"
#include "server/control/handle_worker.h"
#include "server/control/jobs.h"
#include "server/control/login.h"
#include "server/control/members.h"
#include "server/control/sessions.h"
#include "server/control/waits.h"

struct request_row {
    control_handle_fn *handle;
    bool workers_only;
    bool with_job;       /* the session must have named a job */
    bool also_when_left; /* a worker may still send it after its Leave, and when the job failed */
    bool for_pulls;      /* ... after its Leave: who has left may pull */
    enum access_role needs; /* ACCESS_OBSERVE where nothing is said */
    bool asks_only;         /* it concerns no membership: who was given up may send it, too */
};

static const struct request_row rows[] = {
    [STEPD_MESSAGE_DEFINE_JOB] = {.handle = control_handle_define_job,
                                  .workers_only = true,
                                  .with_job = true},
    [STEPD_MESSAGE_DEFINE_TENSORS] = {.handle = control_handle_define_tensors,
                                      .workers_only = true,
                                      .with_job = true},
    [STEPD_MESSAGE_GET_LAYOUT] = {.handle = control_handle_get_layout,
                                  .with_job = true,
                                  .for_pulls = true},
    [STEPD_MESSAGE_REPORT] = {.handle = control_handle_report,
                              .workers_only = true,
                              .with_job = true},
    /* The client's thread that beats may not know yet that another one has said Leave. */
    [STEPD_MESSAGE_HEARTBEAT] = {.handle = control_handle_heartbeat, .also_when_left = true},
    /* The Ack to a Leave may have been lost with its connection. */
    [STEPD_MESSAGE_LEAVE] = {.handle = control_handle_leave,
                             .workers_only = true,
                             .with_job = true,
                             .also_when_left = true},
    [STEPD_MESSAGE_BARRIER] = {.handle = control_handle_barrier,
                               .workers_only = true,
                               .with_job = true},
    [STEPD_MESSAGE_GET_STATUS] = {.handle = control_handle_get_status,
                                  .also_when_left = true,
                                  .asks_only = true},
    [STEPD_MESSAGE_GET_GROUPS] = {.handle = control_handle_get_groups,
                                  .also_when_left = true,
                                  .asks_only = true},
    [STEPD_MESSAGE_CHANGE_JOB] = {.handle = control_handle_change_job, .needs = ACCESS_ADMIN},
    [STEPD_MESSAGE_GET_CHANGES] = {.handle = control_handle_get_changes,
                                   .also_when_left = true,
                                   .asks_only = true},
    [STEPD_MESSAGE_CHECKPOINT] = {.handle = control_handle_checkpoint, .needs = ACCESS_ADMIN},
};

/* ---- Sending --------------------------------------------------------------------------------- */

static void send_error(struct control_conn *conn, uint64_t request_id,
                       const struct stepd_error *error)
{
    const struct stepd_message message = {
        .request_id = request_id,
        .kind = STEPD_MESSAGE_ERROR,
        .body.error = {.code = error->code, .text = error->text},
    };
    conn->control->io.reply(conn->control->io.owner, conn->peer, &message);
}

static void send_pages(struct control_conn *conn, uint64_t request_id,
                       const struct control_answer *answer)
{
    struct control_pages pages = {.conn = conn, .request_id = request_id};
    struct stepd_error error;
    stepd_arena_init(&pages.arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    if (answer->pages(answer->wait, &pages, &error) != STEPD_OK)
        send_error(conn, request_id, &error);
    stepd_arena_deinit(&pages.arena);
}

void control_pages_put(struct control_pages *pages, struct stepd_message *message)
{
    const struct control *control = pages->conn->control;
    message->request_id = pages->request_id;
    control->io.reply(control->io.owner, pages->conn->peer, message);
    stepd_arena_reset(&pages->arena);
}

void control_send(struct control_conn *conn, uint64_t request_id, enum stepd_status status,
                  const struct control_answer *answer, const struct stepd_error *error)
{
    if (status != STEPD_OK) {
        send_error(conn, request_id, error);
    } else if (answer->pages != NULL) {
        send_pages(conn, request_id, answer);
    } else if (!answer->parked) {
        struct stepd_message message = answer->message;
        message.request_id = request_id;
        conn->control->io.reply(conn->control->io.owner, conn->peer, &message);
    }
}

/* ---- Receiving ------------------------------------------------------------------------------- */

static const struct request_row *find_row(enum stepd_message_kind kind)
{
    const size_t index = (size_t)kind;
    if (index >= sizeof rows / sizeof rows[0] || rows[index].handle == NULL)
        return NULL;
    return &rows[index];
}

/* Why a message that control does not handle is none of its requests. */
static enum stepd_status refuse(const struct stepd_message *request, struct stepd_error *reterr)
{
    const char *name = stepd_message_name(request->kind);
    switch (request->kind) {
    case STEPD_MESSAGE_ASSIGN:
    case STEPD_MESSAGE_PUSH:
    case STEPD_MESSAGE_PULL:
    case STEPD_MESSAGE_STEP:
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "%s belongs on a shard's connection; open one with shard and session in "
                          "its Hello",
                          name);
    case STEPD_MESSAGE_HELLO:
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "this connection has said Hello already; open another one");
    default:
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s is a reply and no request", name);
    }
}

/* What a worker may ask in the state that it and its job are in. */
static enum stepd_status check_member(const struct request_row *row,
                                      const struct control_member *member,
                                      const struct control_job *job, struct stepd_error *reterr)
{
    if (member->state == STEPD_MEMBER_GIVEN_UP && !row->asks_only)
        return stepd_fail(reterr, member->given_up.code, "%s", member->given_up.text);
    if (member->state == STEPD_MEMBER_JOINING && row->workers_only)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "rank %u is no member of job '%s' yet; wait for the Welcome",
                          member->rank, job->name);
    if (row->also_when_left)
        return STEPD_OK;
    if (member->state == STEPD_MEMBER_LEFT && !row->for_pulls)
        return stepd_fail(
            reterr, STEPD_FAILED_PRECONDITION,
            "rank %u has left job '%s'; only its status, layout and weights can still "
            "be asked for",
            member->rank, job->name);
    if (job->state == CONTROL_JOB_FAILED)
        return stepd_fail(reterr, job->failure.code, "%s", job->failure.text);
    return STEPD_OK;
}

static enum stepd_status check_row(const struct request_row *row, const struct control_conn *conn,
                                   const struct stepd_message *request, struct stepd_error *reterr)
{
    const struct control_session *session = conn->session;
    const char *name = stepd_message_name(request->kind);
    const enum access_role needs = row->workers_only ? ACCESS_WORK : row->needs;
    const enum stepd_status allowed = control_login_check(conn, needs, request, reterr);
    if (allowed != STEPD_OK)
        return allowed;
    if (row->workers_only && session->role != STEPD_WORKER)
        return stepd_fail(reterr, STEPD_PERMISSION_DENIED,
                          "%s is for workers; this session is an observer", name);
    if (row->with_job && session->job == NULL)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "%s concerns a job, and this session's Hello named none", name);
    const struct control_member *member = session->member;
    return member == NULL ? STEPD_OK : check_member(row, member, session->job, reterr);
}

static enum stepd_status handle(struct control_conn *conn, const struct stepd_message *request,
                                struct control_answer *ret_answer, struct stepd_error *reterr)
{
    const struct request_row *row = find_row(request->kind);
    if (row == NULL)
        return refuse(request, reterr);
    const enum stepd_status status = check_row(row, conn, request, reterr);
    return status == STEPD_OK ? row->handle(conn, request, ret_answer, reterr) : status;
}

static void note_heard(struct control_conn *conn)
{
    struct control_session *session = conn->session;
    session->heard_ms = conn->control->now_ms;
    if (session->member != NULL)
        control_member_heard(conn->control, session->member);
}

enum stepd_status control_dispatch(struct control_conn *conn, const struct stepd_message *request,
                                   struct stepd_error *reterr)
{
    if (request->request_id == 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "request_id is 0; number the requests from 1 on");
    struct control *const control = conn->control;
    struct control_answer answer = {.parked = false};
    if (conn->session == NULL) {
        const enum stepd_status status = control_handle_hello(conn, request, &answer, reterr);
        if (status == STEPD_OK)
            control_send(conn, request->request_id, status, &answer, NULL);
        return status;
    }
    struct stepd_error error;
    note_heard(conn);
    const enum stepd_status status = handle(conn, request, &answer, &error);
    control_send(conn, request->request_id, status, &answer, &error);
    if (answer.parked)
        control_waits_release(control);
    return STEPD_OK;
}
