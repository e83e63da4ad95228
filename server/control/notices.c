/* SPDX-License-Identifier: Apache-2.0
 *
 * Notices of the shards. One about a job that has been forgotten meanwhile, or an answer to a query
 * that nobody waits for any more, comes too late and changes nothing.
 */
#include "server/control/notices.h"

#include <assert.h>

#include "server/control/changes.h"
#include "server/control/gates.h"
#include "server/control/jobs.h"
#include "server/control/members.h"
#include "server/control/opening.h"
#include "server/control/query.h"
#include "server/control/snapshot.h"
#include "server/control/waits.h"

/* All that a shard says of a job before all have opened it is about an older one of that name. */
static void on_heard(struct control *control, const struct notice *notice)
{
    struct control_job *job = control_job_find(control, notice->job_name);
    assert(notice->shard < control->options.shards);
    for (size_t i = 0; job != NULL && i < notice->ranks; i++) {
        struct control_member *member = control_member_find(job, notice->rank[i]);
        if (member == NULL)
            continue;
        control_member_heard(control, member);
        if (control_job_is_open(job))
            member->counted[notice->shard] = notice->clock[i];
    }
}

static void on_opened(struct control *control, const struct notice *notice)
{
    struct control_job *job = control_job_find(control, notice->job_name);
    if (job == NULL)
        return;
    control_opening_answered(control, job, notice);
    control_waits_release(control);
    control_job_forget_if_idle(control, job);
}

static void on_answer(struct control *control, const struct notice *notice)
{
    control_query_answered(control, notice);
    control_waits_release(control);
}

static void on_ready(struct control *control, const struct notice *notice)
{
    struct control_job *job = control_job_find(control, notice->job_name);
    if (job != NULL)
        control_gate_take(control, job, notice);
}

static void on_proposed(struct control *control, const struct notice *notice)
{
    struct control_job *job = control_job_find(control, notice->job_name);
    if (job != NULL)
        control_change_answered(control, job, notice);
    control_waits_release(control);
}

/* Slices without a common version have changed at these. */
static void on_changed(struct control *control, const struct notice *notice)
{
    struct control_job *job = control_job_find(control, notice->job_name);
    if (job != NULL && notice->slices > 0)
        control_trail_note(&job->history.trail, notice->query, notice->version_min,
                           notice->version_max);
}

static void on_given_up(struct control *control, const struct notice *notice)
{
    const struct control_job *job = control_job_find(control, notice->job_name);
    if (job != NULL)
        control_member_without(control, job, notice);
}

void control_notice(struct control *control, const struct notice *notice)
{
    switch (notice->kind) {
    case NOTICE_JOB_OPENED: on_opened(control, notice); break;
    case NOTICE_HEARD: on_heard(control, notice); break;
    case NOTICE_ANSWER: on_answer(control, notice); break;
    case NOTICE_READY: on_ready(control, notice); break;
    case NOTICE_SNAPSHOT: control_snapshot_answered(control, notice); break;
    case NOTICE_GIVEN_UP: on_given_up(control, notice); break;
    case NOTICE_PROPOSED: on_proposed(control, notice); break;
    case NOTICE_CHANGED: on_changed(control, notice); break;
    case NOTICE_RESET: break; /* for who has ordered it */
    }
}
