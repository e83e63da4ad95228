/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening a job on the shards. The answer is awaited from every shard before anything else happens,
 * also when the first one has failed: so no late answer can be taken for one to the next attempt.
 * A failed attempt leaves the sealed job in place, and the next DefineTensors tries again.
 */
#include "server/control/opening.h"

#include <inttypes.h>

#include "proto/bytes.h"
#include "proto/error.h"
#include "server/control/orders.h"

/* Memory that jobs on the shards take, and jobs that are being opened will. */
static uint64_t memory_in_use(const struct control *control)
{
    uint64_t sum = 0;
    for (const struct control_job *job = control->first_job; job != NULL; job = job->next) {
        const bool counts = control_job_is_open(job) || job->state == CONTROL_JOB_OPENING;
        if (counts && !stepd_bytes_add(sum, job_memory_bytes(job->job), &sum))
            return UINT64_MAX;
    }
    return sum;
}

/* Rounded up: what is refused must not look as if it would fit. */
static uint64_t mebibytes(uint64_t bytes)
{
    return bytes / (1u << 20) + (bytes % (1u << 20) != 0);
}

static enum stepd_status check_memory(const struct control *control, const struct job *job,
                                      struct stepd_error *reterr)
{
    const uint64_t most = control->options.memory_max_bytes;
    const uint64_t used = memory_in_use(control);
    const uint64_t left = used < most ? most - used : 0;
    const uint64_t needed = job_memory_bytes(job);
    if (needed <= left)
        return STEPD_OK;
    return stepd_fail(
        reterr, STEPD_RESOURCE_EXHAUSTED,
        "job '%s' needs %" PRIu64 " MiB, and %" PRIu64 " of %" PRIu64
        " MiB are left; use fewer workers, a smaller model, or raise memory_max_bytes",
        job->name, mebibytes(needed), left / (1u << 20), most / (1u << 20));
}

enum stepd_status control_opening_start(struct control *control, struct control_job *job,
                                        struct stepd_error *reterr)
{
    enum stepd_status status = STEPD_OK;
    if (job->job == NULL)
        status = job_draft_seal(job->draft, CONTROL_INCARNATION_FIRST, control->options.shards,
                                &job->job, reterr);
    if (status == STEPD_OK)
        status = check_memory(control, job->job, reterr);
    if (status != STEPD_OK)
        return status;
    control_job_tell_shards(control, job);
    if (job->close_untold || control_order_job(control, job, ORDER_JOB_OPEN) != STEPD_OK)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to open job '%s'",
                          job->name);
    job->opening_left = control->options.shards;
    job->open_error = (struct stepd_error){.code = STEPD_OK};
    control_job_move(control, job, CONTROL_JOB_OPENING);
    return STEPD_OK;
}

static void finish(struct control *control, struct control_job *job)
{
    const bool opened = job->open_error.code == STEPD_OK;
    control_job_move(control, job, opened ? CONTROL_JOB_READY : CONTROL_JOB_DEFINED);
    job->close_untold = !opened;
    control_job_tell_shards(control, job);
}

void control_opening_answered(struct control *control, struct control_job *job,
                              const struct notice *notice)
{
    if (job->state != CONTROL_JOB_OPENING)
        return;
    if (notice->error.code != STEPD_OK && job->open_error.code == STEPD_OK)
        job->open_error = notice->error;
    if (--job->opening_left == 0)
        finish(control, job);
}
