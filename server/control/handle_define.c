/* SPDX-License-Identifier: Apache-2.0
 *
 * Definitions come from every worker, and the first one defines. So both handlers compare when
 * there is something to compare with, and the answer is the same for all: DefineTensors' last page
 * is answered when the job is open on all shards, to whoever sent it and however often.
 *
 * As long as the list of tensors is not sealed, and nobody else has said the same, whoever defines
 * may think better of it: a definition that was refused half-way is corrected by sending another.
 */
#include "server/control/handle_define.h"

#include <inttypes.h>

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

/* Another worker that has said the draft as it stands, and may go on with it; NULL: there is none.
 */
static const struct control_session *other_author(const struct control *control,
                                                  const struct control_session *session)
{
    const struct control_job *job = session->job;
    for (size_t rank = 0; rank < job->ranks; rank++) {
        const struct control_member *member = job->member[rank];
        if (member != NULL && member->session != session && member->session->authored &&
            control_member_stays(member) &&
            !control_session_is_over(member->session, control->now_ms))
            return member->session;
    }
    return NULL;
}

/* Is the draft this worker's alone, and its list of tensors not sealed? */
static bool is_own_draft(const struct control *control, const struct control_session *session)
{
    return session->job->state == CONTROL_JOB_DEFINED && other_author(control, session) == NULL;
}

/* Is there nothing wrong with it but that the job is defined otherwise? */
static bool is_sound(const struct control *control, const struct control_job *job,
                     const struct stepd_define_job *def)
{
    struct job_draft *draft = NULL;
    const enum stepd_status status =
        job_draft_create(job->name, def, control->options.slice_elements, &draft, NULL);
    (void)job_draft_destroy(draft);
    return status == STEPD_OK;
}

/* Refuses a definition that is not the draft, and says where that has been said if it can. */
static enum stepd_status refuse(const struct control *control,
                                const struct control_session *session,
                                const struct stepd_define_job *def, const struct stepd_error *why,
                                struct stepd_error *reterr)
{
    const struct control_job *const job = session->job;
    const struct control_session *const author = other_author(control, session);
    if (!is_sound(control, job, def))
        return stepd_fail(reterr, why->code, "%s", why->text);
    if (job->from_config)
        return stepd_fail(reterr, why->code, "%s; it is defined in the server's config file",
                          why->text);
    if (control_job_is_open(job))
        return stepd_fail(reterr, why->code,
                          "%s; the job is under way, or was left so: define the same, change it "
                          "(stepctl change), or name another job",
                          why->text);
    if (author == NULL || job->state != CONTROL_JOB_DEFINED)
        return stepd_fail(reterr, why->code, "%s", why->text);
    return stepd_fail(reterr, why->code,
                      "%s; worker '%s' (rank %u, silent for %" PRIu64
                      " s) has defined it: end that worker, or define the same",
                      why->text, author->worker, author->rank,
                      control_session_silent_ms(author, control->now_ms) / 1000);
}

/* Nobody has said the draft but this worker. */
static void claim_draft(struct control_session *session)
{
    const struct control_job *job = session->job;
    for (size_t rank = 0; rank < job->ranks; rank++) {
        if (job->member[rank] != NULL)
            job->member[rank]->session->authored = false;
    }
    session->authored = true;
}

/* Takes another definition in the place of a draft that is this worker's alone. */
static enum stepd_status define_anew(struct control *control, struct control_session *session,
                                     const struct stepd_define_job *def, struct stepd_error *reterr)
{
    enum stepd_status status = check_workers(session->job, def, reterr);
    if (status == STEPD_OK)
        status = control_draft_replace(control, session->job, def, reterr);
    if (status == STEPD_OK)
        claim_draft(session);
    return status;
}

static enum stepd_status define(struct control *control, struct control_session *session,
                                const struct stepd_define_job *def, struct stepd_error *reterr)
{
    struct control_job *const job = session->job;
    const bool compared = job->draft != NULL;
    struct stepd_error why;
    const enum stepd_status status = control_define_entry(control, job, def, &why);
    if (status == STEPD_OK) {
        session->authored = true;
        return status;
    }
    if (compared && !job->from_config && is_own_draft(control, session))
        return define_anew(control, session, def, reterr);
    return compared ? refuse(control, session, def, &why, reterr)
                    : stepd_fail(reterr, why.code, "%s", why.text);
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
    const struct control_job *job = conn->session->job;
    const enum stepd_status status =
        define(conn->control, conn->session, &request->body.define_job, reterr);
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
    if (page->first == 0 && is_own_draft(conn->control, conn->session))
        control_draft_reset(job);
    enum stepd_status status = control_draft_add(conn->control, job, page, reterr);
    if (status != STEPD_OK)
        return status;
    conn->session->authored = true;
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
