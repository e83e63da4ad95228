/* SPDX-License-Identifier: Apache-2.0
 *
 * Dropping finished jobs. The shards close the job first; orders arrive in their order, so one that
 * opens a job of that name or in its memory finds it gone.
 */
#include "server/control/finished.h"

#include <inttypes.h>

#include "proto/error.h"
#include "server/base/limit.h"
#include "server/control/orders.h"

static enum stepd_status close_on_shards(struct control *control, const struct control_job *job,
                                         struct stepd_error *reterr)
{
    if (control_order_job(control, job, ORDER_JOB_CLOSE) != STEPD_OK)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to drop job '%s'",
                          job->name);
    control_log(control, "job_dropped", "job=%s incarnation=%" PRIu64,
                control_quote(job->name).text, job->incarnation);
    return STEPD_OK;
}

enum stepd_status control_finished_restart(struct control *control, struct control_job *job,
                                           struct stepd_error *reterr)
{
    const enum stepd_status status = close_on_shards(control, job, reterr);
    if (status != STEPD_OK)
        return status;
    control_job_empty(control, job);
    job->incarnation++;
    control_job_move(control, job, job->from_config ? CONTROL_JOB_DEFINED : CONTROL_JOB_CREATED);
    return STEPD_OK;
}

static struct control_job *first_finished(const struct control *control, bool but_config)
{
    struct control_job *first = NULL;
    for (struct control_job *job = control->first_job; job != NULL; job = job->next) {
        if (!control_job_is_over(job) || (but_config && job->from_config))
            continue;
        if (first == NULL || job->finished_as < first->finished_as)
            first = job;
    }
    return first;
}

struct control_job *control_finished_first(const struct control *control)
{
    return first_finished(control, /* but_config= */ false);
}

enum stepd_status control_finished_drop(struct control *control, struct control_job *job,
                                        struct stepd_error *reterr)
{
    if (job->from_config)
        return control_finished_restart(control, job, reterr);
    const enum stepd_status status = close_on_shards(control, job, reterr);
    if (status == STEPD_OK)
        control_job_forget(control, job);
    return status;
}

/* Who says Hello and hangs up can ask for a lease of an hour; the entry is not worth another job's
 * place. */
static struct control_job *first_abandoned(const struct control *control,
                                           const struct control_job *keep)
{
    struct control_job *job = control->first_job;
    while (job != NULL && (job == keep || job->from_config || !control_job_is_abandoned(job)))
        job = job->next;
    return job;
}

enum stepd_status control_finished_drop_one(struct control *control, const struct control_job *keep,
                                            bool *ret_dropped, struct stepd_error *reterr)
{
    struct control_job *abandoned = first_abandoned(control, keep);
    if (abandoned != NULL) {
        control_log(control, "job_forgotten", "job=%s", control_quote(abandoned->name).text);
        control_job_forget(control, abandoned);
        *ret_dropped = true;
        return STEPD_OK;
    }
    struct control_job *finished = first_finished(control, /* but_config= */ true);
    if (finished == NULL) {
        *ret_dropped = false;
        return STEPD_OK;
    }
    const enum stepd_status status = control_finished_drop(control, finished, reterr);
    if (status == STEPD_OK)
        *ret_dropped = true;
    return status;
}

enum stepd_status control_finished_make_room(struct control *control, const char *name,
                                             struct stepd_error *reterr)
{
    const uint32_t most = control->options.jobs_max;
    while (control->jobs >= most) {
        bool dropped = false;
        const enum stepd_status status =
            control_finished_drop_one(control, /* keep= */ NULL, &dropped, reterr);
        if (status != STEPD_OK)
            return status;
        if (!dropped) {
            limit_refused(control->options.limits, LIMIT_JOBS);
            return stepd_fail(
                reterr, STEPD_RESOURCE_EXHAUSTED,
                "no room for job '%s': the server hosts its most of %u jobs, and none "
                "of them has finished; use another server, or raise its jobs_max",
                name, most);
        }
    }
    return STEPD_OK;
}
