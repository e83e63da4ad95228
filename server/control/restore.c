/* SPDX-License-Identifier: Apache-2.0
 *
 * A restored job goes the way of every other: its entry is made, its definition sealed, under the
 * next incarnation, and opened on the shards, which find in the order what their slices go on from.
 * Members keep their ranks and sessions, with leases that begin anew: whoever does not come back
 * is lost when that has run out, as after any other silence.
 *
 * What a shard cannot open stays as an entry that nobody gets into: a job that began anew under
 * this name would write its checkpoints over those that somebody may still mend. The entry makes
 * room for another snapshot of the same job.
 */
#include "server/control/restore.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/control/drafts.h"
#include "server/control/gates.h"
#include "server/control/handle_change.h"
#include "server/control/members.h"
#include "server/control/opening.h"
#include "server/control/sessions.h"

/* Of the cause in a text that has a remedy behind it. */
#define CAUSE_MAX 240

static enum stepd_status check(const struct control *control, const struct job_snapshot *snapshot,
                               const struct job_state *state, struct stepd_error *reterr)
{
    const char *name = snapshot->job->name;
    const struct control_job *const old = control_job_find(control, name);
    if (old != NULL && !old->unrestored)
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
    job->answered = calloc(control->options.shards, sizeof *job->answered);
    if (job->answered == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to open job '%s'",
                          job->name);
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

/* Makes room for a job. What the config file says of it stays, since whoever restores it once more
 * does not say that again. */
static enum stepd_status forget_unrestored(struct control *control, const char *name,
                                           const struct stepd_define_job **ret_file_has,
                                           struct stepd_error *reterr)
{
    struct control_job *const old = control_job_find(control, name);
    *ret_file_has = NULL;
    if (old == NULL)
        return STEPD_OK;
    control_job_tell_shards(control, old);
    if (old->close_untold)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to close job '%s'", name);
    *ret_file_has = old->file_has;
    control_job_forget(control, old);
    return STEPD_OK;
}

enum stepd_status control_job_restore(struct control *control, struct job_snapshot *snapshot,
                                      struct job_state *state, struct stepd_error *reterr)
{
    enum stepd_status status = check(control, snapshot, state, reterr);
    if (status != STEPD_OK)
        return status;
    struct control_job *job = NULL;
    const struct stepd_define_job *file_has = NULL;
    status = forget_unrestored(control, snapshot->job->name, &file_has, reterr);
    if (status == STEPD_OK)
        status = control_job_create(control, snapshot->job->name, &job, reterr);
    if (status != STEPD_OK)
        return status;
    status = restore_entry(control, job, snapshot, state, reterr);
    if (status == STEPD_OK && file_has != NULL)
        status = control_job_adopt(job, file_has, reterr);
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

/* ---- The shards' answers --------------------------------------------------------------------- */

/* In the list of daemons, of the one that has this shard. */
static uint32_t place_of(const struct control *control, uint32_t shard)
{
    struct stepd_daemon_status daemon[STEPD_DAEMONS_MAX];
    const struct control_io *const io = &control->io;
    const size_t known =
        io->daemons == NULL ? 0 : io->daemons(io->owner, daemon, STEPD_DAEMONS_MAX);
    for (size_t i = 0; i < known && i < STEPD_DAEMONS_MAX; i++) {
        const uint32_t first = daemon[i].first_shard; /* 0: it has none; else 1 above it */
        if (first != 0 && shard >= first - 1 && shard - (first - 1) < daemon[i].shards)
            return daemon[i].place;
    }
    return 0;
}

static uint32_t first_that_is_late(const struct control *control, const struct control_job *job)
{
    uint32_t shard = 0;
    while (shard + 1 < control->options.shards && job->answered[shard])
        shard++;
    return shard;
}

/* What it goes on from, for people. */
static const char *source(const struct control_job *job)
{
    const char *const name = job->checkpoints.newest.name;
    return name[0] != '\0' ? name : "its snapshot";
}

static uint64_t late_each_ms(const struct control *control)
{
    const uint32_t most = control->options.wait_max_ms;
    return most < CONTROL_LATE_MS ? most : CONTROL_LATE_MS;
}

void control_restored_begins(const struct control *control, struct control_job *job)
{
    if (job->restored == NULL)
        return;
    job->begun_ms = control->now_ms;
    job->opening_until_ms = control->now_ms + late_each_ms(control);
}

void control_restored_is_late(const struct control *control, struct control_job *job)
{
    const uint32_t place = place_of(control, first_that_is_late(control, job));
    const uint64_t waited_ms = control->now_ms - job->begun_ms;
    job->opening_until_ms = control->now_ms + late_each_ms(control);
    (void)stepd_fail(
        &job->late, STEPD_UNAVAILABLE,
        "it goes on from %s, and waits for daemon %u to read its part: %u of %u shards "
        "have not opened it in %" PRIu64 " s",
        source(job), place, job->opening_left, control->options.shards, waited_ms / 1000);
    control_warn(control, "job_restore_waits",
                 "job=%s checkpoint=%s place=%u shards_left=%u waited_ms=%" PRIu64,
                 control_quote(job->name).text, job->checkpoints.newest.name, place,
                 job->opening_left, waited_ms);
}

static void hang_up_on_all(struct control *control, const struct control_job *job)
{
    struct control_session *session = control->first_session;
    for (; session != NULL; session = session->next) {
        if (session->job == job && session->conn != NULL)
            control_hang_up(session->conn);
    }
}

static void give_up(struct control *control, struct control_job *job)
{
    const struct stepd_error why = job->open_error;
    job->unrestored = true;
    (void)stepd_fail(&job->failure, STEPD_DATA_LOSS,
                     "job '%s' could not go on from %s (daemon %u: %.*s), and does not begin anew, "
                     "since that would be to lose it: mend that and start the server again, or "
                     "move the job's folder out of the checkpoint folder",
                     job->name, source(job), place_of(control, job->lacks), CAUSE_MAX, why.text);
    control_warn(control, "job_not_restored", "job=%s checkpoint=%s place=%u cause=%s",
                 control_quote(job->name).text, job->checkpoints.newest.name,
                 place_of(control, job->lacks), control_quote(why.text).text);
    hang_up_on_all(control, job);
}

void control_job_restored(struct control *control, struct control_job *job, bool opened)
{
    if (job->restored == NULL)
        return;
    job->restored = job_state_unref(job->restored);
    free(job->answered);
    job->answered = NULL;
    job->late = (struct stepd_error){.code = STEPD_OK};
    if (opened)
        job->file_has = NULL;
    else
        give_up(control, job);
}

enum stepd_status control_job_check_restored(const struct control_job *job,
                                             struct stepd_error *reterr)
{
    return job == NULL || !job->unrestored
               ? STEPD_OK
               : stepd_fail(reterr, job->failure.code, "%s", job->failure.text);
}

bool control_returning(const struct control *control, struct control_returning *ret_job)
{
    const struct control_job *found = NULL;
    for (const struct control_job *job = control->first_job; job != NULL; job = job->next) {
        if (job->unrestored || (job->restored != NULL && found == NULL))
            found = job;
        if (job->unrestored)
            break;
    }
    if (found == NULL)
        return false;
    *ret_job = (struct control_returning){
        .job_name = found->name,
        .checkpoint = found->checkpoints.newest.name,
        .place = place_of(control,
                          found->unrestored ? found->lacks : first_that_is_late(control, found)),
        .waited_ms = found->late.code == STEPD_OK ? 0 : control->now_ms - found->begun_ms,
        .error = &found->open_error,
        .failed = found->unrestored,
    };
    return true;
}

/* ---- The config file ------------------------------------------------------------------------- */

enum stepd_status control_job_adopt(struct control_job *job, const struct stepd_define_job *def,
                                    struct stepd_error *reterr)
{
    job->from_config = true;
    job->file_has = def;
    if (job_draft_same(job->draft, def, NULL) == STEPD_OK)
        return STEPD_OK;
    const enum stepd_status status = job_draft_same_but_groups(job->draft, def, reterr);
    if (status != STEPD_OK)
        return stepd_fail_in(
            reterr, status,
            "its checkpoint says otherwise, and so it goes on; undo the change, or begin this job "
            "anew: move its folder out of the checkpoint folder (--resume never sets those of ALL "
            "jobs aside)");
    job->file_says = def;
    return STEPD_OK;
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
