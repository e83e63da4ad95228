/* SPDX-License-Identifier: Apache-2.0
 *
 * A change is parked until the shards have agreed on its version, and is worked out then: only with
 * the version is it known which phase a group is in. What cannot be right whatever the version is
 * refused at once.
 */
#include "server/control/handle_change.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/mode.h"
#include "server/control/changes.h"
#include "server/control/jobs.h"
#include "server/control/sessions.h"
#include "server/control/waits.h"

/* Changes of one job that wait to be decided. */
#define PENDING_MAX 64u

static enum stepd_status check_state(const struct control_job *job, struct stepd_error *reterr)
{
    if (job->state == CONTROL_JOB_FINISHED)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "job '%s' has finished: it makes no step any more", job->name);
    if (job->state == CONTROL_JOB_FAILED)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "%s", job->failure.text);
    if (!control_job_is_open(job))
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "job '%s' is not open yet: its workers must define all its tensors "
                          "first; until then, change its definition",
                          job->name);
    return STEPD_OK;
}

static bool says_something(const struct stepd_change_job *request)
{
    const struct stepd_group *group = &request->group;
    return group->settings.count > 0 || group->optimizer[0] != '\0' || group->schedule[0] != '\0' ||
           group->schedule_settings.count > 0 || group->schedule_parts > 0 || group->phases > 0 ||
           request->drop_phases;
}

static enum stepd_status check_request(const struct control_job *job,
                                       const struct stepd_change_job *request,
                                       struct stepd_error *reterr)
{
    const enum stepd_status status = check_state(job, reterr);
    if (status != STEPD_OK)
        return status;
    if (!says_something(request))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "nothing is said to change: give settings such as lr, an optimizer, a "
                          "schedule or phases");
    if (request->at > 0 && job->job->consistency.mode != STEPD_SYNC)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "at is for mode sync: in mode %s slices have no common version, and each "
                          "changes with its next step",
                          stepd_mode_name(job->job->consistency.mode));
    return STEPD_OK;
}

static enum stepd_status start(struct control *control, struct control_job *job,
                               struct control_edit *edit, struct stepd_error *reterr)
{
    if (control_changes_pending(job) < PENDING_MAX)
        return control_change_groups(control, job, edit, reterr);
    (void)control_edit_destroy(edit);
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                      "%u changes of job '%s' wait for its shards; try again when they are made",
                      PENDING_MAX, job->name);
}

enum stepd_status control_handle_change_job(struct control_conn *conn,
                                            const struct stepd_message *request,
                                            struct control_answer *ret_answer,
                                            struct stepd_error *reterr)
{
    const struct stepd_change_job *change = &request->body.change_job;
    struct control_job *job = NULL;
    struct control_edit *edit = NULL;
    enum stepd_status status = control_session_job(conn, change->job, &job, reterr);
    if (status == STEPD_OK)
        status = check_request(job, change, reterr);
    if (status == STEPD_OK)
        status = control_edit_of_request(change, conn->session->worker, &edit, reterr);
    if (status != STEPD_OK)
        return status;
    const uint64_t number = job->history.numbered + 1;
    struct control_edited *edited = calloc(1, sizeof *edited);
    if (edited == NULL) {
        (void)control_edit_destroy(edit);
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the change");
    }
    edited->number = number;
    const struct control_wait wait = {
        .kind = CONTROL_WAIT_CHANGE,
        .conn = conn,
        .request_id = request->request_id,
        .job = job,
        .edited = edited,
    };
    status = control_wait_park(&wait, change->deadline_ms, reterr);
    if (status != STEPD_OK) {
        (void)control_edit_destroy(edit);
        return status;
    }
    ret_answer->parked = true;
    struct stepd_error error;
    if (start(conn->control, job, edit, &error) == STEPD_OK)
        return STEPD_OK;
    edited->decided = true; /* the parked request is answered with it */
    edited->error = error;
    return STEPD_OK;
}

enum stepd_status control_handle_get_changes(struct control_conn *conn,
                                             const struct stepd_message *request,
                                             struct control_answer *ret_answer,
                                             struct stepd_error *reterr)
{
    struct control_job *job = NULL;
    const enum stepd_status status =
        control_session_job(conn, request->body.get_changes.job, &job, reterr);
    if (status != STEPD_OK)
        return status;
    struct control_edited *edited = calloc(1, sizeof *edited);
    if (edited == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to list the changes");
    edited->decided = true; /* number 0: all of them */
    const struct control_wait wait = {
        .kind = CONTROL_WAIT_CHANGE,
        .conn = conn,
        .request_id = request->request_id,
        .job = job,
        .edited = edited,
    };
    ret_answer->parked = true;
    return control_wait_park(&wait, 0, reterr);
}

enum stepd_status control_change_from_file(struct control *control, struct control_job *job,
                                           const struct stepd_define_job *def,
                                           struct stepd_error *reterr)
{
    struct control_edit *edit = NULL;
    enum stepd_status status = check_state(job, reterr);
    if (status == STEPD_OK)
        status = control_edit_of_file(job, def, &edit, reterr);
    return status == STEPD_OK ? start(control, job, edit, reterr) : status;
}

static void log_file(const struct control *control, const struct control_job *job,
                     const struct control_edit *edit, const struct stepd_error *error)
{
    char reason[TEXT_QUOTED_BYTES(STEPD_ERROR_TEXT_BYTES)];
    if (edit->head != NULL || error->code == STEPD_OK)
        return;
    (void)text_quote(error->text, strlen(error->text), reason, sizeof reason);
    control_warn(control, "change_refused", "job=%s by=%s reason=%s", control_quote(job->name).text,
                 control_quote(edit->by).text, reason);
}

void control_change_decided(struct control *control, struct control_job *job,
                            const struct control_edit *edit, struct control_trail *records,
                            const struct stepd_error *error)
{
    log_file(control, job, edit, error);
    for (struct control_wait *wait = control->first_wait; wait != NULL; wait = wait->next) {
        if (wait->kind != CONTROL_WAIT_CHANGE || wait->job != job || wait->edited->decided ||
            wait->edited->number != edit->number)
            continue;
        wait->edited->decided = true;
        wait->edited->error = *error;
        if (records != NULL)
            control_trail_move(&wait->edited->records, records);
    }
}

void control_edited_destroy(struct control_edited *edited)
{
    if (edited != NULL)
        control_trail_clear(&edited->records);
    free(edited);
}
