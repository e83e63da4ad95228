/* SPDX-License-Identifier: Apache-2.0
 *
 * Checkpoint is parked until the one that it asks for is done. One that is under way when it comes
 * has missed what happened since, so it is for the next; all that ask meanwhile are for that one.
 */
#include "server/control/handle_checkpoint.h"

#include <inttypes.h>

#include "proto/error.h"
#include "server/control/jobs.h"
#include "server/control/sessions.h"
#include "server/control/snapshot.h"
#include "server/control/waits.h"

enum stepd_status control_handle_checkpoint(struct control_conn *conn,
                                            const struct stepd_message *request,
                                            struct control_answer *ret_answer,
                                            struct stepd_error *reterr)
{
    const struct stepd_checkpoint_job *asked = &request->body.checkpoint;
    struct control_job *job = NULL;
    uint64_t number = 0;
    enum stepd_status status = control_session_job(conn, asked->job, &job, reterr);
    if (status == STEPD_OK)
        status = control_checkpoint_ask(conn->control, job, &number, reterr);
    if (status != STEPD_OK)
        return status;
    const struct control_wait wait = {
        .kind = CONTROL_WAIT_CHECKPOINT,
        .conn = conn,
        .request_id = request->request_id,
        .job = job,
        .sequence = number,
    };
    ret_answer->parked = true;
    return control_wait_park(&wait, asked->deadline_ms, reterr);
}

enum stepd_status control_checkpoint_answer(const struct control_wait *wait,
                                            struct control_answer *ret_answer,
                                            struct stepd_error *reterr)
{
    const struct control_checkpoints *own = &wait->job->checkpoints;
    if (own->failure.code != STEPD_OK)
        return stepd_fail(reterr, own->failure.code, "%s", own->failure.text);
    ret_answer->message = (struct stepd_message){
        .kind = STEPD_MESSAGE_CHECKPOINT_WRITTEN,
        .body.checkpoint_written = {.name = own->newest.name,
                                    .step = own->newest.step,
                                    .bytes = own->newest.bytes},
    };
    return STEPD_OK;
}

enum stepd_status control_checkpoint_too_late(const struct control_wait *wait,
                                              struct stepd_error *reterr)
{
    const struct control *control = wait->conn->control;
    const struct control_job *job = wait->job;
    if (control_snapshot_is_taken(control, job))
        return control_snapshot_late(control, job, reterr);
    return stepd_fail(reterr, STEPD_DEADLINE_EXCEEDED,
                      "a checkpoint of job '%s' has been written for %" PRIu64
                      " ms, and the disk is not done; `stepctl status` shows it when it is",
                      job->name, control->now_ms - job->checkpoints.begun_ms);
}
