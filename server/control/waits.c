/* SPDX-License-Identifier: Apache-2.0
 *
 * One list, walked whenever something happened that somebody may wait for. A kind of wait is a row:
 * when it is over, what it is answered with then, and what is said where its deadline comes first.
 * Every request that might have to wait is parked, and walked over once right away, so that there
 * is one path to each answer and not two.
 */
#include "server/control/waits.h"

#include <stdlib.h>

#include "proto/error.h"
#include "server/control/barriers.h"
#include "server/control/dispatch.h"
#include "server/control/handle_change.h"
#include "server/control/handle_checkpoint.h"
#include "server/control/handle_hello.h"
#include "server/control/handle_layout.h"
#include "server/control/handle_status.h"
#include "server/control/members.h"
#include "server/control/query.h"
#include "server/control/sessions.h"

#define DAEMONS_PATIENCE_MS UINT64_C(1000)

/* ---- What is waited for ---------------------------------------------------------------------- */

static bool job_is_open(struct control_wait *wait)
{
    return control_job_is_open(wait->job);
}

static bool opening_is_over(struct control_wait *wait)
{
    return wait->job->state != CONTROL_JOB_OPENING;
}

static bool query_is_over(struct control_wait *wait)
{
    return wait->query->left == 0;
}

/* Shards of other daemons may not be reached for a while: what there is to say of these is worth
 * more than the answers that are missing. */
static bool status_is_over(struct control_wait *wait)
{
    const struct control *const control = wait->conn->control;
    const struct control_io *const io = &control->io;
    const uint64_t asked_ms = wait->query->until_ms - CONTROL_QUERY_MS;
    return query_is_over(wait) || (control->now_ms - asked_ms >= DAEMONS_PATIENCE_MS &&
                                   io->daemons != NULL && io->daemons(io->owner, NULL, 0) > 1);
}

static bool membership_is_settled(struct control_wait *wait)
{
    const struct control_io *const io = &wait->conn->control->io;
    const struct control_member *const member = wait->conn->session->member;
    if (member != NULL && member->state == STEPD_MEMBER_JOINING &&
        wait->job->state == CONTROL_JOB_RUNNING)
        return false;
    if (io->ordered == NULL)
        return true;
    if (!wait->settles) {
        wait->settles = true;
        wait->orders = io->ordered(io->owner);
    }
    return io->arrived(io->owner) >= wait->orders;
}

static bool change_is_decided(struct control_wait *wait)
{
    return wait->edited->decided;
}

static bool checkpoint_is_done(struct control_wait *wait)
{
    return wait->job->checkpoints.answered >= wait->sequence;
}

/* ---- The answers ----------------------------------------------------------------------------- */

static enum stepd_status answer_layout(const struct control_wait *wait,
                                       struct control_answer *ret_answer,
                                       struct stepd_error *reterr)
{
    (void)reterr;
    *ret_answer = (struct control_answer){.pages = control_layout_pages, .wait = wait};
    return STEPD_OK;
}

static enum stepd_status answer_opened(const struct control_wait *wait,
                                       struct control_answer *ret_answer,
                                       struct stepd_error *reterr)
{
    const struct control_job *job = wait->job;
    if (!control_job_is_open(job))
        return stepd_fail(reterr, job->open_error.code, "%s", job->open_error.text);
    ret_answer->message = (struct stepd_message){
        .kind = STEPD_MESSAGE_TENSORS_DEFINED,
        .body.tensors_defined = {.count = (uint32_t)job_draft_tensors(job->draft)},
    };
    return STEPD_OK;
}

static enum stepd_status answer_status(const struct control_wait *wait,
                                       struct control_answer *ret_answer,
                                       struct stepd_error *reterr)
{
    (void)reterr;
    *ret_answer = (struct control_answer){.pages = control_status_pages, .wait = wait};
    return STEPD_OK;
}

static enum stepd_status answer_groups(const struct control_wait *wait,
                                       struct control_answer *ret_answer,
                                       struct stepd_error *reterr)
{
    (void)reterr;
    *ret_answer = (struct control_answer){.pages = control_groups_pages, .wait = wait};
    return STEPD_OK;
}

static enum stepd_status answer_member(const struct control_wait *wait,
                                       struct control_answer *ret_answer,
                                       struct stepd_error *reterr)
{
    const struct control_job *job = wait->job;
    const struct control_member *const member = wait->conn->session->member;
    if (member != NULL && member->state == STEPD_MEMBER_JOINING)
        return stepd_fail(reterr, job->failure.code, "%s", job->failure.text);
    ret_answer->message = control_welcome(wait->conn->control, wait->conn->session);
    return STEPD_OK;
}

static enum stepd_status answer_change(const struct control_wait *wait,
                                       struct control_answer *ret_answer,
                                       struct stepd_error *reterr)
{
    const struct stepd_error *error = &wait->edited->error;
    if (error->code != STEPD_OK)
        return stepd_fail(reterr, error->code, "%s", error->text);
    *ret_answer = (struct control_answer){.pages = control_changes_pages, .wait = wait};
    return STEPD_OK;
}

/* ---- Too late -------------------------------------------------------------------------------- */

static enum stepd_status opening_too_late(const struct control_wait *wait,
                                          struct stepd_error *reterr)
{
    const struct control_job *job = wait->job;
    switch (job->state) {
    case CONTROL_JOB_CREATED:
        return stepd_fail(reterr, STEPD_DEADLINE_EXCEEDED,
                          "job '%s' is not defined yet; a worker must send DefineJob and "
                          "DefineTensors first",
                          job->name);
    case CONTROL_JOB_DEFINED:
        return stepd_fail(reterr, STEPD_DEADLINE_EXCEEDED,
                          "the tensors of job '%s' are not complete: %zu are defined, and no "
                          "worker has sent the last page",
                          job->name, job_draft_tensors(job->draft));
    default:
        if (job->fetching)
            return stepd_fail(reterr, STEPD_DEADLINE_EXCEEDED,
                              "job '%s' is being opened: its first weights (init_from) have not "
                              "been read yet; try again",
                              job->name);
        return stepd_fail(reterr, STEPD_DEADLINE_EXCEEDED,
                          "job '%s' is being opened: %u of %u shards have not answered; try again",
                          job->name, job->opening_left, wait->conn->control->options.shards);
    }
}

static enum stepd_status query_too_late(const struct control_wait *wait, struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_DEADLINE_EXCEEDED,
                      "%zu answers of shards are missing, because they are busy or stuck; try "
                      "again",
                      wait->query->left);
}

static enum stepd_status change_too_late(const struct control_wait *wait,
                                         struct stepd_error *reterr)
{
    return stepd_fail(
        reterr, STEPD_DEADLINE_EXCEEDED,
        "the shards of job '%s' have not agreed on a version; the change is made when "
        "they do, and `stepctl changes` shows it then",
        wait->job->name);
}

static enum stepd_status barrier_too_late(const struct control_wait *wait,
                                          struct stepd_error *reterr)
{
    return control_barrier_too_late(wait->conn->session, reterr);
}

/* ---- Walking --------------------------------------------------------------------------------- */

static enum stepd_status member_too_late(const struct control_wait *wait,
                                         struct stepd_error *reterr)
{
    if (wait->settles)
        return stepd_fail(reterr, STEPD_UNAVAILABLE,
                          "another daemon of this server, whose shards serve job '%s', cannot be "
                          "reached; try again",
                          wait->job->name);
    return stepd_fail(reterr, STEPD_DEADLINE_EXCEEDED,
                      "the shards have not agreed from which version on rank %u is a member of job "
                      "'%s'; resume the session",
                      wait->conn->session->rank, wait->job->name);
}

struct wait_row {
    bool (*over)(struct control_wait *wait);
    enum stepd_status (*answer)(const struct control_wait *wait, struct control_answer *ret_answer,
                                struct stepd_error *reterr);
    enum stepd_status (*too_late)(const struct control_wait *wait, struct stepd_error *reterr);
};

static const struct wait_row rows[] = {
    [CONTROL_WAIT_LAYOUT] =
        {
            .over = job_is_open,
            .answer = answer_layout,
            .too_late = opening_too_late,
        },
    [CONTROL_WAIT_OPENED] =
        {
            .over = opening_is_over,
            .answer = answer_opened,
            .too_late = opening_too_late,
        },
    [CONTROL_WAIT_STATUS] =
        {
            .over = status_is_over,
            .answer = answer_status,
            .too_late = query_too_late,
        },
    [CONTROL_WAIT_MEMBER] =
        {
            .over = membership_is_settled,
            .answer = answer_member,
            .too_late = member_too_late,
        },
    [CONTROL_WAIT_GROUPS] =
        {
            .over = query_is_over,
            .answer = answer_groups,
            .too_late = query_too_late,
        },
    [CONTROL_WAIT_CHANGE] =
        {
            .over = change_is_decided,
            .answer = answer_change,
            .too_late = change_too_late,
        },
    [CONTROL_WAIT_BARRIER] =
        {
            .over = control_barrier_is_over,
            .answer = control_barrier_answer,
            .too_late = barrier_too_late,
        },
    [CONTROL_WAIT_CHECKPOINT] =
        {
            .over = checkpoint_is_done,
            .answer = control_checkpoint_answer,
            .too_late = control_checkpoint_too_late,
        },
};

static void wait_free(struct control_wait *wait)
{
    (void)control_query_put(wait->conn->control, wait->query);
    control_edited_destroy(wait->edited);
    free(wait);
}

enum stepd_status control_wait_park(const struct control_wait *like, uint32_t deadline_ms,
                                    struct stepd_error *reterr)
{
    struct control *const control = like->conn->control;
    const uint32_t longest_ms = control->options.wait_max_ms;
    struct control_wait *wait = NULL;
    if (like->conn->waits < CONTROL_WAITS_MAX)
        wait = malloc(sizeof *wait);
    if (wait == NULL) {
        (void)control_query_put(control, like->query);
        control_edited_destroy(like->edited);
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                          "no room for another request that waits (this connection has %zu); wait "
                          "for an answer first",
                          like->conn->waits);
    }
    *wait = *like;
    wait->next = NULL;
    wait->deadline_ms = control->now_ms;
    wait->deadline_ms += deadline_ms == 0 || deadline_ms > longest_ms ? longest_ms : deadline_ms;
    wait->conn->waits++;
    struct control_wait **at = &control->first_wait;
    while (*at != NULL)
        at = &(*at)->next;
    *at = wait;
    return STEPD_OK;
}

/* Sends the answer if there is one to give now. */
static bool try_answer(struct control_wait *wait)
{
    const struct wait_row *row = &rows[wait->kind];
    struct control_answer answer = {.wait = NULL};
    struct stepd_error error;
    enum stepd_status status = STEPD_OK;
    if (row->over(wait))
        status = row->answer(wait, &answer, &error);
    else if (wait->conn->control->now_ms >= wait->deadline_ms)
        status = row->too_late(wait, &error);
    else
        return false;
    control_send(wait->conn, wait->request_id, status, &answer, &error);
    return true;
}

/* Takes a wait that was answered out of the list. */
static void take_out(struct control_wait **at)
{
    struct control_wait *wait = *at;
    wait->conn->waits--;
    *at = wait->next;
    wait_free(wait);
}

void control_waits_release(struct control *control)
{
    control_barriers_pass(control);
    struct control_wait **at = &control->first_wait;
    while (*at != NULL) {
        if (try_answer(*at))
            take_out(at);
        else
            at = &(*at)->next;
    }
}

void control_waits_drop_job(struct control *control, const struct control_job *job)
{
    struct stepd_error error;
    const enum stepd_status status =
        stepd_fail(&error, STEPD_NOT_FOUND, "job '%s' was dropped meanwhile", job->name);
    struct control_wait **at = &control->first_wait;
    while (*at != NULL) {
        const struct control_wait *wait = *at;
        if (wait->job != job) {
            at = &(*at)->next;
            continue;
        }
        control_send(wait->conn, wait->request_id, status, NULL, &error);
        take_out(at);
    }
}

void control_waits_drop(struct control_conn *conn)
{
    struct control_wait **at = &conn->control->first_wait;
    while (*at != NULL) {
        struct control_wait *wait = *at;
        if (wait->conn != conn) {
            at = &wait->next;
            continue;
        }
        *at = wait->next;
        wait_free(wait);
    }
    conn->waits = 0;
}
