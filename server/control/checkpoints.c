/* SPDX-License-Identifier: Apache-2.0 */
#include "server/control/checkpoints.h"

#include <inttypes.h>

#include "proto/error.h"
#include "server/control/jobs.h"
#include "server/control/snapshot.h"
#include "server/control/waits.h"

/* One that could not even be taken could be tried at every tick. */
#define NOT_TAKEN_REST_MS 10000u

static bool are_kept(const struct control *control)
{
    return control->io.checkpoint != NULL;
}

/* Its weights are worth keeping, and steps are made of them, or were. */
static bool is_worth_it(const struct control_job *job)
{
    return job->state == CONTROL_JOB_RUNNING || job->state == CONTROL_JOB_FINISHED;
}

/* ---- How far a job is ------------------------------------------------------------------------ */

static uint64_t step_of(const struct job_snapshot *snapshot)
{
    if (snapshot->version != JOB_STATE_AS_IT_STANDS)
        return snapshot->version;
    uint64_t step = 0;
    for (size_t i = 0; i < snapshot->shares; i++) {
        const struct job_state *share = snapshot->share[i];
        for (size_t k = 0; k < share->job->layout.slices; k++) {
            if (share->slice[k].taken && share->slice[k].version > step)
                step = share->slice[k].version;
        }
    }
    return step;
}

static struct control_reached reached_by(const struct job_snapshot *snapshot)
{
    struct control_reached reached = {.changes = snapshot->history.numbered};
    for (size_t i = 0; i < snapshot->shares; i++) {
        const struct job_state *share = snapshot->share[i];
        for (size_t k = 0; k < share->job->layout.slices; k++)
            reached.versions += share->slice[k].taken ? share->slice[k].version : 0;
    }
    for (size_t i = 0; i < snapshot->members; i++)
        reached.members += 1 + snapshot->member[i].epoch;
    return reached;
}

static bool is_same(const struct control_reached *a, const struct control_reached *b)
{
    return a->versions == b->versions && a->changes == b->changes && a->members == b->members;
}

/* ---- Ending ---------------------------------------------------------------------------------- */

/* It is over, well or not; the next by time is as long from now as ever. */
static void rest(struct control *control, struct control_job *job)
{
    struct control_checkpoints *own = &job->checkpoints;
    own->state = CHECKPOINT_RESTING;
    own->answered = own->serves;
    own->due_ms = control->now_ms + control->options.checkpoint_every_ms;
    control_waits_release(control);
}

static void fail(struct control *control, struct control_job *job, const struct stepd_error *error)
{
    struct control_checkpoints *own = &job->checkpoints;
    own->failure = *error;
    control_warn(control, "checkpoint_failed", "job=%s cause=%s consequence=%s",
                 control_quote(job->name).text, control_quote(error->text).text,
                 own->newest.name[0] != '\0'
                     ? "\"the last good one stays; training goes on\""
                     : "\"there is none of this job yet; training goes on\"");
    rest(control, job);
}

/* ---- Beginning ------------------------------------------------------------------------------- */

/* Not OK: the job's failure says why, and so does the log. */
static void begin(struct control *control, struct control_job *job, uint64_t every)
{
    struct control_checkpoints *own = &job->checkpoints;
    const struct snapshot_wish wish = {
        .checkpoint = true,
        .every = every,
        .behind = own->step,
        .last = every == 0 && own->last > own->answered,
    };
    if (own->state == CHECKPOINT_WAITING)
        control_snapshot_call_off(control, job);
    own->state = every > 0 ? CHECKPOINT_WAITING : CHECKPOINT_TAKING;
    own->serves = every > 0 ? own->answered : own->asked;
    own->begun_ms = control->now_ms;
    struct stepd_error error;
    if (control_snapshot_begin(control, job->name, &wish, &error) != STEPD_OK)
        control_checkpoint_taken(control, job, NULL, &error);
}

static bool is_due(const struct control *control, const struct control_job *job)
{
    const struct control_checkpoints *own = &job->checkpoints;
    const uint64_t every_ms = control->options.checkpoint_every_ms;
    return own->asked > own->answered ||
           (every_ms > 0 && job->state == CONTROL_JOB_RUNNING && control->now_ms >= own->due_ms &&
            control->now_ms >= own->not_before_ms);
}

/* The job has made its last step: so no order ahead of it is ever met. */
static void on_finished(struct control *control, struct control_job *job)
{
    struct control_checkpoints *own = &job->checkpoints;
    const bool asks = !own->at_the_end && control->options.checkpoint_on_exit;
    own->at_the_end = true;
    own->asked += asks;
    if (own->state != CHECKPOINT_WAITING)
        return;
    control_snapshot_call_off(control, job);
    own->state = CHECKPOINT_RESTING;
}

void control_checkpoints_on_tick(struct control *control, struct control_job *job)
{
    struct control_checkpoints *own = &job->checkpoints;
    if (job->state == CONTROL_JOB_FAILED && own->state == CHECKPOINT_RESTING &&
        own->asked > own->answered) {
        own->serves = own->asked; /* they waited for one that was under way when it failed */
        fail(control, job, &job->failure);
    }
    if (!are_kept(control) || !is_worth_it(job))
        return;
    if (own->due_ms == 0)
        own->due_ms = control->now_ms + control->options.checkpoint_every_ms;
    if (job->state == CONTROL_JOB_FINISHED)
        on_finished(control, job);
    if (own->state == CHECKPOINT_TAKING || own->state == CHECKPOINT_WRITING)
        return;
    if (is_due(control, job))
        begin(control, job, 0);
    else if (own->state == CHECKPOINT_RESTING && control->options.checkpoint_every_steps > 0 &&
             job->state == CONTROL_JOB_RUNNING && control->now_ms >= own->not_before_ms)
        begin(control, job, control->options.checkpoint_every_steps);
}

enum stepd_status control_checkpoint_ask(struct control *control, struct control_job *job,
                                         uint64_t *ret_number, struct stepd_error *reterr)
{
    if (!are_kept(control))
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "this daemon keeps no checkpoints; start it with --checkpoint-dir");
    if (job->state == CONTROL_JOB_FAILED)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "%s", job->failure.text);
    if (!is_worth_it(job))
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "job '%s' has not started: there is nothing to keep yet", job->name);
    *ret_number = ++job->checkpoints.asked;
    job->checkpoints.awaited = *ret_number;
    control_checkpoints_on_tick(control, job);
    return STEPD_OK;
}

void control_checkpoint_last(struct control *control, struct control_job *job)
{
    struct control_checkpoints *own = &job->checkpoints;
    if (!are_kept(control) || !is_worth_it(job) || own->at_the_end || own->last > own->answered)
        return;
    own->last = ++own->asked;
    control_checkpoints_on_tick(control, job);
}

/* ---- What comes of it ------------------------------------------------------------------------ */

void control_checkpoint_taken(struct control *control, struct control_job *job,
                              const struct job_snapshot *snapshot, const struct stepd_error *error)
{
    if (snapshot == NULL) {
        if (job == NULL)
            return;
        job->checkpoints.not_before_ms = control->now_ms + NOT_TAKEN_REST_MS;
        fail(control, job, error);
        return;
    }
    struct control_checkpoints *own = &job->checkpoints;
    own->reaching = reached_by(snapshot);
    own->step = step_of(snapshot);
    const bool awaited = own->awaited > own->answered && own->awaited <= own->serves;
    if (!awaited && own->newest.name[0] != '\0' && is_same(&own->reaching, &own->reached)) {
        control_snapshot_close(control, snapshot,
                               /* durable= */ false); /* what is durable says the same */
        own->failure = (struct stepd_error){.code = STEPD_OK};
        rest(control, job);
        return;
    }
    own->state = CHECKPOINT_WRITING;
    control->io.checkpoint(control->io.owner, snapshot, own->step);
}

void control_checkpoint_ended(struct control *control, struct control_job *job,
                              const struct control_written *written)
{
    struct control_checkpoints *own = &job->checkpoints;
    if (written->error.code != STEPD_OK) {
        fail(control, job, &written->error);
        return;
    }
    own->newest = *written;
    own->newest.at_ms = control->now_ms;
    own->reached = own->reaching;
    own->failure = (struct stepd_error){.code = STEPD_OK};
    control_log(control, "checkpoint", "job=%s name=%s bytes=%" PRIu64 " ms=%" PRIu64,
                control_quote(job->name).text, written->name, written->bytes,
                control->now_ms - own->begun_ms);
    rest(control, job);
    control_checkpoints_on_tick(control, job);
}
