/* SPDX-License-Identifier: Apache-2.0
 *
 * Definitions come from every worker, and the first one defines. So both handlers compare when
 * there is something to compare with, and the answer is the same for all: DefineTensors' last page
 * is answered when the job is open on all shards, to whoever sent it and however often.
 */
#include "server/control/handle_define.h"

#include "proto/error.h"
#include "server/control/drafts.h"
#include "server/control/members.h"
#include "server/control/opening.h"
#include "server/control/sessions.h"
#include "server/control/waits.h"

/* Ranks that have joined before anybody said how many there are must be among them. */
static enum stepd_status check_workers(const struct control_job *job,
                                       const struct stepd_define_job *def,
                                       struct stepd_error *reterr)
{
    if (job->ranks == 0 || def->workers == 0 || def->workers >= job->ranks)
        return STEPD_OK; /* 0: control_draft_create says what is wrong with it */
    const size_t highest = job->ranks - 1;
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "workers is %u, and rank %zu of job '%s' has joined: the ranks are 0 to "
                      "workers - 1",
                      def->workers, highest, job->name);
}

enum stepd_status control_define_entry(struct control *control, struct control_job *job,
                                       const struct stepd_define_job *def,
                                       struct stepd_error *reterr)
{
    if (job->draft != NULL)
        return job_draft_same(job->draft, def, reterr);
    enum stepd_status status = check_workers(job, def, reterr);
    if (status == STEPD_OK)
        status = control_draft_create(control, job, def, reterr);
    if (status == STEPD_OK)
        control_job_move(control, job, CONTROL_JOB_DEFINED);
    return status;
}

enum stepd_status control_handle_define_job(struct control_conn *conn,
                                            const struct stepd_message *request,
                                            struct control_answer *ret_answer,
                                            struct stepd_error *reterr)
{
    struct control_job *job = conn->session->job;
    const enum stepd_status status =
        control_define_entry(conn->control, job, &request->body.define_job, reterr);
    if (status != STEPD_OK)
        return status;
    ret_answer->message = (struct stepd_message){
        .kind = STEPD_MESSAGE_JOB_DEFINED,
        .body.job_defined = {.world = job_draft_workers(job->draft),
                             .incarnation = job->incarnation},
    };
    return STEPD_OK;
}

static void answer_count(const struct control_job *job, struct control_answer *ret_answer)
{
    ret_answer->message = (struct stepd_message){
        .kind = STEPD_MESSAGE_TENSORS_DEFINED,
        .body.tensors_defined = {.count = (uint32_t)job_draft_tensors(job->draft)},
    };
}

enum stepd_status control_handle_define_tensors(struct control_conn *conn,
                                                const struct stepd_message *request,
                                                struct control_answer *ret_answer,
                                                struct stepd_error *reterr)
{
    const struct stepd_define_tensors *page = &request->body.define_tensors;
    struct control_job *job = conn->session->job;
    if (job->draft == NULL)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "job '%s' is not defined; send DefineJob first or define it in the "
                          "server's config file",
                          job->name);
    enum stepd_status status = control_draft_add(conn->control, job, page, reterr);
    if (status != STEPD_OK)
        return status;
    if (!page->last) {
        answer_count(job, ret_answer);
        return STEPD_OK;
    }
    if (job->state == CONTROL_JOB_DEFINED)
        status = control_opening_start(conn->control, job, reterr);
    if (status != STEPD_OK)
        return status;
    ret_answer->parked = true;
    const struct control_wait wait = {
        .kind = CONTROL_WAIT_OPENED,
        .conn = conn,
        .request_id = request->request_id,
        .job = job,
    };
    return control_wait_park(&wait, 0, reterr);
}
