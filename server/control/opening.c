/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening a job on the shards. The answer is awaited from every shard before anything else happens,
 * also when the first one has failed, but no longer than any request may wait. A failed attempt
 * forgets the tensors, so that the next list may be another one. Attempts have numbers: an answer
 * to one that was given up is not taken for one to the next.
 *
 * A job that is restored is waited for without an end: to give it up for being slow would be to
 * lose it. Who cannot answer any more has lost its link, and with it the reign.
 *
 * Where a job begins anew, and its first weights are to come from elsewhere, these are gone for
 * before the shards hear of it: a job that cannot have them is not opened.
 */
#include "server/control/opening.h"

#include <inttypes.h>

#include "proto/bytes.h"
#include "proto/error.h"
#include "proto/frame.h"
#include "server/base/limit.h"
#include "server/control/finished.h"
#include "server/control/gates.h"
#include "server/control/orders.h"
#include "server/control/restore.h"

/* Memory that jobs on the shards take, and jobs that are being opened will. */
static uint64_t memory_in_use(const struct control *control, bool with_finished)
{
    uint64_t sum = 0;
    for (const struct control_job *job = control->first_job; job != NULL; job = job->next) {
        const bool counts = control_job_is_open(job) || job->state == CONTROL_JOB_OPENING;
        if (!counts || (control_job_is_over(job) && !with_finished))
            continue;
        if (!stepd_bytes_add(sum, job_memory_bytes(job->job), &sum))
            return UINT64_MAX;
    }
    return sum;
}

uint64_t control_opened_bytes(const struct control *control)
{
    return memory_in_use(control, /* with_finished= */ true);
}

/* Rounded up: what is refused must not look as if it would fit. */
static uint64_t mebibytes(uint64_t bytes)
{
    return bytes / (1u << 20) + (bytes % (1u << 20) != 0);
}

static enum stepd_status check_job_memory(struct control *control, const struct job *job,
                                          struct stepd_error *reterr)
{
    const uint64_t most = control->options.job_memory_max_bytes;
    const uint64_t needed = job_memory_bytes(job);
    if (most == 0 || needed <= most)
        return STEPD_OK;
    limit_refused(control->options.limits, LIMIT_JOB_MEMORY);
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                      "job '%s' needs %" PRIu64 " MiB, and a job may take %" PRIu64
                      "; use fewer workers, a smaller model, or raise job_memory_max_bytes",
                      job->name, mebibytes(needed), most / (1u << 20));
}

/* Drops finished jobs until this one fits, and none if it cannot. */
static enum stepd_status make_room(struct control *control, const struct job *job,
                                   struct stepd_error *reterr)
{
    const uint64_t most = control->options.memory_max_bytes;
    const uint64_t used = memory_in_use(control, /* with_finished= */ false);
    const uint64_t left = used < most ? most - used : 0;
    const uint64_t needed = job_memory_bytes(job);
    const enum stepd_status allowed = check_job_memory(control, job, reterr);
    if (allowed != STEPD_OK)
        return allowed;
    if (needed > left) {
        limit_refused(control->options.limits, LIMIT_MEMORY);
        return stepd_fail(
            reterr, STEPD_RESOURCE_EXHAUSTED,
            "job '%s' needs %" PRIu64 " MiB, and %" PRIu64 " of %" PRIu64
            " MiB are left; use fewer workers, a smaller model, or raise memory_max_bytes",
            job->name, mebibytes(needed), left / (1u << 20), most / (1u << 20));
    }
    while (memory_in_use(control, /* with_finished= */ true) > most - needed) {
        const enum stepd_status status =
            control_finished_drop(control, control_finished_first(control), reterr);
        if (status != STEPD_OK)
            return status;
    }
    return STEPD_OK;
}

/* A slice travels whole, in F32 at the widest: one that no frame holds could never be pushed. */
static enum stepd_status check_frames(const struct control *control, const struct job *job,
                                      struct stepd_error *reterr)
{
    const uint64_t most = stepd_frame_payload_max(control->options.frame_max_bytes) / sizeof(float);
    for (size_t i = 0; i < job->layout.slices; i++) {
        const struct slice_plan *const slice = &job->layout.slice[i];
        const uint64_t elements = (uint64_t)slice->elements + slice->extra;
        if (elements <= most)
            continue;
        char name[JOB_SLICE_NAME_BYTES];
        job_slice_name(job, (uint32_t)i, name, sizeof name);
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "%s travels whole, with %" PRIu64 " elements, and a frame of "
                          "frame_max_bytes = %u holds at most %" PRIu64 "; raise frame_max_bytes, "
                          "lower slice_elements, or take an optimizer that cuts tensors",
                          name, elements, (unsigned)control->options.frame_max_bytes, most);
    }
    return STEPD_OK;
}

static enum stepd_status send_open(struct control *control, struct control_job *job,
                                   struct first_weights *first, struct stepd_error *reterr)
{
    control_job_tell_shards(control, job);
    if (job->close_untold || control_order_open(control, job, first, job->opening) != STEPD_OK)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to open job '%s'",
                          job->name);
    return STEPD_OK;
}

/* Goes for the first weights of a job that begins anew, where they come from elsewhere. */
static enum stepd_status fetch(struct control *control, struct control_job *job,
                               struct stepd_error *reterr)
{
    const struct control_io *const io = &control->io;
    job->fetching = false;
    if (job->restored != NULL || io->fetch == NULL ||
        io->fetch(io->owner, job->job, job->opening, &job->fetching) == STEPD_OK)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                      "no memory to go for the first weights of job '%s'", job->name);
}

static enum stepd_status begin(struct control *control, struct control_job *job,
                               struct stepd_error *reterr)
{
    job->opening = ++control->query;
    job->first_weights[0] = '\0';
    const enum stepd_status status = fetch(control, job, reterr);
    return status != STEPD_OK || job->fetching ? status : send_open(control, job, NULL, reterr);
}

/* A group without tensors was meant for some: where the job is not strict, the log says so. */
static void warn_of_empty_groups(const struct control *control, const struct job *job)
{
    for (size_t i = 0; i < job->groups; i++) {
        if (job->group_tensors[i] == 0)
            control_warn(control, "group_matches_nothing", "job=%s group=%s match=%s",
                         control_quote(job->name).text, control_quote(job->group[i].name).text,
                         control_quote(job->group[i].match).text);
    }
}

static void log_memory(const struct control *control, const struct job *job)
{
    const struct job_memory memory = job_memory_plan(job);
    control_log(control, "memory_planned",
                "job=%s bytes=%" PRIu64 " weights=%" PRIu64 " second_version=%" PRIu64
                " views=%" PRIu64 " slots=%" PRIu64 " sums=%" PRIu64 " staging=%" PRIu64
                " backups=%" PRIu64 " spare=%" PRIu64,
                control_quote(job->name).text, job_memory_bytes(job), memory.weights,
                memory.second_version, memory.views, memory.slots, memory.sums, memory.staging,
                memory.backups, memory.spare);
}

enum stepd_status control_opening_start(struct control *control, struct control_job *job,
                                        struct stepd_error *reterr)
{
    job_draft_set_spare(job->draft, control->io.checkpoint != NULL);
    enum stepd_status status =
        job_draft_seal(job->draft, job->incarnation, control->options.shards, &job->job, reterr);
    if (status == STEPD_OK)
        status = check_frames(control, job->job, reterr);
    if (status == STEPD_OK && control_gate_open(job) != STEPD_OK)
        status =
            stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to open job '%s'", job->name);
    if (status == STEPD_OK)
        status = make_room(control, job->job, reterr);
    if (status == STEPD_OK)
        status = begin(control, job, reterr);
    if (status != STEPD_OK) {
        control_job_reset_tensors(job);
        return status;
    }
    warn_of_empty_groups(control, job->job);
    log_memory(control, job->job);
    job->opening_left = control->options.shards;
    job->opening_until_ms = control->now_ms + control->options.wait_max_ms;
    job->open_error = (struct stepd_error){.code = STEPD_OK};
    control_restored_begins(control, job);
    control_job_move(control, job, CONTROL_JOB_OPENING);
    return STEPD_OK;
}

static void finish(struct control *control, struct control_job *job)
{
    const bool opened = job->open_error.code == STEPD_OK;
    control_job_move(control, job, opened ? CONTROL_JOB_READY : CONTROL_JOB_DEFINED);
    if (!opened)
        control_job_reset_tensors(job);
    job->close_untold = !opened;
    control_job_restored(control, job, opened);
    control_job_tell_shards(control, job);
    if (opened)
        control_job_follow_file(control, job);
}

/* Whether the shard has answered to this attempt, and not late to one that was given up. A shard
 * that states no number is believed. */
static bool is_answer(const struct control_job *job, const struct notice *notice)
{
    return job->state == CONTROL_JOB_OPENING &&
           (notice->query == 0 || notice->query == job->opening);
}

void control_opening_fetched(struct control *control, struct control_job *job,
                             const struct control_fetched *got)
{
    if (job->state != CONTROL_JOB_OPENING || !job->fetching || job->opening != got->attempt)
        return;
    job->fetching = false;
    job->opening_until_ms = control->now_ms + control->options.wait_max_ms;
    job->open_error = got->error;
    if (got->first != NULL)
        (void)stepd_format(job->first_weights, sizeof job->first_weights, "%s", got->first->text);
    if (got->error.code != STEPD_OK ||
        send_open(control, job, got->first, &job->open_error) != STEPD_OK)
        finish(control, job);
}

void control_opening_answered(struct control *control, struct control_job *job,
                              const struct notice *notice)
{
    if (!is_answer(job, notice))
        return;
    if (job->answered != NULL)
        job->answered[notice->shard] = true;
    if (notice->error.code != STEPD_OK && job->open_error.code == STEPD_OK) {
        job->open_error = notice->error;
        job->lacks = notice->shard;
    }
    if (--job->opening_left == 0)
        finish(control, job);
}

void control_opening_on_tick(struct control *control, struct control_job *job)
{
    if (job->state != CONTROL_JOB_OPENING || control->now_ms < job->opening_until_ms)
        return;
    const uint32_t waited_ms = control->options.wait_max_ms;
    if (job->restored != NULL) {
        control_restored_is_late(control, job);
        return;
    }
    if (job->fetching)
        (void)stepd_fail(&job->open_error, STEPD_DEADLINE_EXCEEDED,
                         "job '%s' was not opened: its first weights (init_from) have not been "
                         "read in %u ms; try again, or raise wait_max_ms",
                         job->name, waited_ms);
    else
        (void)stepd_fail(&job->open_error, STEPD_DEADLINE_EXCEEDED,
                         "job '%s' was not opened: %u of %u shards have not answered in %u ms; try "
                         "again",
                         job->name, job->opening_left, control->options.shards, waited_ms);
    finish(control, job);
}
