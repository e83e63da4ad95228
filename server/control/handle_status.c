/* SPDX-License-Identifier: Apache-2.0
 *
 * GetStatus and GetGroups are parked with a query to the shards. When all have answered, the pages
 * are written from the jobs' entries as they are then, and the tallies of the query. Who asks while
 * a query about the same is under way waits for that one, so that nobody can bury the shards in
 * them.
 */
#include "server/control/handle_status.h"

#include "proto/error.h"
#include "server/control/jobs.h"
#include "server/control/login.h"
#include "server/control/query.h"
#include "server/control/sessions.h"
#include "server/control/waits.h"

static enum stepd_status park(struct control_conn *conn, uint64_t request_id,
                              enum control_wait_kind kind, struct control_job *job,
                              struct stepd_error *reterr)
{
    struct control_query *query = NULL;
    const enum stepd_status status = control_query_get(conn->control, job, &query, reterr);
    if (status != STEPD_OK)
        return status;
    const struct control_wait wait = {
        .kind = kind,
        .conn = conn,
        .request_id = request_id,
        .job = job,
        .query = query,
    };
    return control_wait_park(&wait, control_query_left_ms(query, conn->control->now_ms), reterr);
}

enum stepd_status control_handle_get_status(struct control_conn *conn,
                                            const struct stepd_message *request,
                                            struct control_answer *ret_answer,
                                            struct stepd_error *reterr)
{
    const char *name = request->body.get_status.job;
    struct control_job *job = NULL;
    const enum stepd_status allowed = control_login_check_job(conn, name, reterr);
    if (allowed != STEPD_OK)
        return allowed;
    if (name[0] != '\0') {
        job = control_job_find(conn->control, name);
        if (job == NULL)
            return control_no_such_job(conn->control, name, reterr);
    }
    ret_answer->parked = true;
    return park(conn, request->request_id, CONTROL_WAIT_STATUS, job, reterr);
}

enum stepd_status control_handle_get_groups(struct control_conn *conn,
                                            const struct stepd_message *request,
                                            struct control_answer *ret_answer,
                                            struct stepd_error *reterr)
{
    const char *name = request->body.get_groups.job;
    if (name[0] == '\0')
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "name the job whose groups to list");
    const enum stepd_status allowed = control_login_check_job(conn, name, reterr);
    if (allowed != STEPD_OK)
        return allowed;
    struct control_job *job = control_job_find(conn->control, name);
    if (job == NULL)
        return control_no_such_job(conn->control, name, reterr);
    if (!control_job_is_open(job))
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "job '%s' is not open yet: its workers must define all its tensors first",
                          name);
    ret_answer->parked = true;
    return park(conn, request->request_id, CONTROL_WAIT_GROUPS, job, reterr);
}
