/* SPDX-License-Identifier: Apache-2.0
 *
 * A restored job goes the way of every other: its entry is made, its definition sealed, under the
 * next incarnation, and opened on the shards, which find in the order what their slices go on from.
 * Members keep their ranks and sessions, with leases that begin anew: whoever does not come back
 * is lost when that has run out, as after any other silence.
 */
#include "server/control/restore.h"

#include <inttypes.h>
#include <string.h>

#include "proto/error.h"
#include "server/control/drafts.h"
#include "server/control/gates.h"
#include "server/control/handle_change.h"
#include "server/control/members.h"
#include "server/control/opening.h"
#include "server/control/sessions.h"

static enum stepd_status check(const struct control *control, const struct job_snapshot *snapshot,
                               const struct job_state *state, struct stepd_error *reterr)
{
    const char *name = snapshot->job->name;
    if (control_job_find(control, name) != NULL)
        return stepd_fail(reterr, STEPD_ALREADY_EXISTS,
                          "there is a job '%s' already; restore before anybody can name it", name);
    return job_snapshot_check(snapshot, state, reterr);
}

/* Times go on by this control's clock, as if none had passed since the snapshot. What slices
 * without a common version have still to get to, they get to at other versions than they did. */
static enum stepd_status restore_history(const struct control *control, struct control_job *job,
                                         const struct job_snapshot *snapshot,
                                         struct stepd_error *reterr)
{
    const enum stepd_status status = control_history_copy(&snapshot->history, &job->history);
    if (status != STEPD_OK)
        return stepd_fail(reterr, status, "no memory for the changes of job '%s'", job->name);
    struct control_trail *trail = &job->history.trail;
    for (struct control_record *record = trail->first; record != NULL; record = record->next)
        record->at_ms += control->now_ms - snapshot->taken_ms;
    for (const struct group_changes *at = job->history.coming; at != NULL; at = at->next) {
        if (snapshot->version == JOB_STATE_AS_IT_STANDS)
            control_trail_undate(trail, at->number);
    }
    return STEPD_OK;
}

static enum stepd_status restore_member(struct control *control, struct control_job *job,
                                        const struct member_snapshot *from,
                                        struct stepd_error *reterr)
{
    struct control_session *session = NULL;
    const enum stepd_status status = control_session_restore(control, job, from, &session, reterr);
    if (status != STEPD_OK)
        return status;
    struct control_member *member = control_member_create(control, job, from->rank, session);
    if (member == NULL) {
        control_session_drop(control, session);
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for rank %u", from->rank);
    }
    session->member = member;
    if (from->left)
        control_member_move(control, member, STEPD_MEMBER_LEFT);
    if (from->given_up.code != STEPD_OK)
        control_member_move(control, member, STEPD_MEMBER_GIVEN_UP);
    member->given_up = from->given_up;
    member->until = from->until;
    member->former = from->former;
    member->from = from->from;
    member->from_clock = from->from_clock;
    member->last_clock = from->last_clock;
    member->reported_clock = from->reported_clock;
    member->loss = from->loss;
    member->examples = from->examples;
    return STEPD_OK;
}

/* As it was when this daemon's clock stood so much earlier, before its beginning perhaps: that is
 * for the difference to now, which wraps around. */
static struct control_written origin_written(const struct checkpoint_origin *origin,
                                             uint64_t now_ms)
{
    struct control_written written = {
        .step = origin->step, .bytes = origin->bytes, .at_ms = now_ms - origin->age_ms};
    memcpy(written.name, origin->name, sizeof written.name);
    return written;
}

static bool has_all_weights(const struct job_state *state)
{
    size_t valued = 0;
    for (size_t i = 0; i < state->job->layout.slices; i++)
        valued += state->slice[i].valued;
    return valued == state->job->layout.slices;
}

static enum stepd_status restore_entry(struct control *control, struct control_job *job,
                                       const struct job_snapshot *snapshot, struct job_state *state,
                                       struct stepd_error *reterr)
{
    job->incarnation = snapshot->incarnation + 1;
    enum stepd_status status = control_draft_restore(control, job, snapshot->job, reterr);
    if (status == STEPD_OK)
        control_job_move(control, job, CONTROL_JOB_DEFINED);
    for (size_t i = 0; i < snapshot->members && status == STEPD_OK; i++)
        status = restore_member(control, job, &snapshot->member[i], reterr);
    if (status == STEPD_OK)
        status = restore_history(control, job, snapshot, reterr);
    if (status != STEPD_OK)
        return status;
    job->started = snapshot->started;
    job->restored = job_state_ref(state);
    job_draft_set_valued(job->draft, has_all_weights(state));
    job->checkpoints.newest = origin_written(&snapshot->origin, control->now_ms);
    return control_opening_start(control, job, reterr);
}

/* From which clocks the workers go on. */
static void set_clocks(struct control_job *job)
{
    for (size_t rank = 0; rank < job->ranks; rank++) {
        struct control_member *member = job->member[rank];
        for (uint32_t shard = 0; member != NULL && shard < member->shards; shard++)
            member->counted[shard] =
                job_state_clock(job->restored, job->job, shard, (uint32_t)rank);
    }
}

enum stepd_status control_job_restore(struct control *control, struct job_snapshot *snapshot,
                                      struct job_state *state, struct stepd_error *reterr)
{
    enum stepd_status status = check(control, snapshot, state, reterr);
    if (status != STEPD_OK)
        return status;
    struct control_job *job = NULL;
    status = control_job_create(control, snapshot->job->name, &job, reterr);
    if (status != STEPD_OK)
        return status;
    status = restore_entry(control, job, snapshot, state, reterr);
    if (status != STEPD_OK) {
        control_job_forget(control, job);
        return status;
    }
    set_clocks(job);
    control_gate_restore(job, state);
    snapshot->incarnation = job->incarnation;
    control_log(control, "job_restored", "job=%s incarnation=%" PRIu64 " members=%zu",
                control_quote(job->name).text, job->incarnation, snapshot->members);
    return STEPD_OK;
}

void control_job_restored(struct control *control, struct control_job *job, bool opened)
{
    if (job->restored == NULL)
        return;
    job->restored = job_state_unref(job->restored);
    if (opened)
        return;
    control_warn(control, "job_not_restored", "job=%s cause=%s", control_quote(job->name).text,
                 control_quote(job->open_error.text).text);
    job->started = false;
    job_draft_set_valued(job->draft, false);
    control_history_clear(&job->history);
    for (size_t rank = 0; rank < job->ranks; rank++) {
        struct control_member *member = job->member[rank];
        if (member == NULL)
            continue;
        member->from = 0;
        member->from_clock = 0;
        for (uint32_t shard = 0; shard < member->shards; shard++)
            member->counted[shard] = 0;
    }
}

void control_job_follow_file(struct control *control, struct control_job *job)
{
    const struct stepd_define_job *const def = job->file_says;
    struct stepd_error error;
    job->file_says = NULL;
    if (def != NULL && control_change_from_file(control, job, def, &error) != STEPD_OK)
        control_warn(control, "change_refused", "job=%s by=file reason=%s",
                     control_quote(job->name).text, control_quote(error.text).text);
}
