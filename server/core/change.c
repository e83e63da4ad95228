/* SPDX-License-Identifier: Apache-2.0
 *
 * A shard's side of a change that all shards make at the same version (control/changes.h):
 *
 *     ORDER_PROPOSE   has a step from that version on been made here, or is it being decided on?
 *                     Then the answer is how far the shard is; else the shard agrees, and from then
 *                     on lets no such step begin
 *     ORDER_CHANGE    the change is made, and what was held goes on
 *
 * Groups change slice by slice, each when it gets to the version. Where slices have no common one
 * (bounded and async), each has the new group from its next step on, and control is told which that
 * was. What has taken a group's place is kept until the last slice here has let go of it.
 *
 * A proposal that another shard did not agree to is followed by one of a later version, which takes
 * its place. Pushes and pulls go on meanwhile; only rounds that are full stay open.
 */
#include <stdlib.h>

#include "server/core/core_internal.h"

bool change_holds(const struct core_job *job, uint64_t version)
{
    return job->proposal.open && version >= job->proposal.version;
}

/* The version that a slice's next step starts from, as far as it is not under way. Control decides
 * on what was reported without asking again, so such a step counts as made. */
static uint64_t next_step(const struct core_slice *slice)
{
    const struct core_gate *gate = &slice->job->gate;
    if (!gate_holds(slice))
        return slice->slice.version;
    return gate->state == GATE_COLLECTING ? gate->version : gate->version + 1;
}

static uint64_t newest_step(const struct core_job *job)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < job->job->layout.slices; i++) {
        const uint64_t next = job->slice[i] == NULL ? 0 : next_step(job->slice[i]);
        newest = next > newest ? next : newest;
    }
    return newest;
}

/* Without memory there is no answer, and control asks again. */
void change_propose(struct core *core, struct core_job *job, const struct order *order)
{
    struct notice *notice = notice_create(NOTICE_PROPOSED, order->job_name);
    if (notice == NULL)
        return;
    notice->query = order->query;
    notice->version_max = newest_step(job);
    notice->agreed = notice->version_max <= order->version;
    job->proposal = (struct core_proposal){.open = notice->agreed, .version = order->version};
    notice_send(core, notice);
    job_try(core, job); /* what an earlier proposal has held */
}

/* ---- Groups ---------------------------------------------------------------------------------- */

static void apply(struct core_slice *slice, struct group_changes *changes)
{
    struct slice *s = &slice->slice;
    for (size_t i = 0; i < changes->count; i++) {
        const struct group_change *change = &changes->change[i];
        if (change->index != s->plan->group)
            continue;
        slice_change(s, &change->group->group, change->fresh, change->new_schedule,
                     step_clock(slice));
        changes->left--;
    }
}

/* All slices have got there: what was there before is used no more. */
static void retire(struct core_job *job)
{
    struct group_changes *changes = job->changes;
    job->changes = changes->next;
    for (size_t i = 0; i < changes->count; i++) {
        struct group_change *change = &changes->change[i];
        (void)shared_group_unref(job->group[change->index]);
        job->group[change->index] = change->group;
        change->group = NULL;
    }
    (void)group_changes_destroy(changes);
}

void change_reach(struct core_slice *slice)
{
    struct core_job *job = slice->job;
    const uint64_t version = slice->slice.version;
    for (struct group_changes *at = job->changes; at != NULL; at = at->next) {
        if (at->version == version)
            apply(slice, at);
    }
    while (job->changes != NULL && job->changes->left == 0)
        retire(job);
}

static bool concerns(const struct core_slice *slice, const struct group_changes *changes)
{
    bool any = false;
    for (size_t i = 0; slice != NULL && i < changes->count; i++)
        any = any || changes->change[i].index == slice->slice.plan->group;
    return any;
}

/* Each slice's next step is the first. Without memory control is not told which. */
static void apply_now(struct core *core, struct core_job *job, struct group_changes *changes,
                      uint64_t query)
{
    struct notice *notice = notice_create(NOTICE_CHANGED, job->job->name);
    for (size_t i = 0; i < job->job->layout.slices; i++) {
        struct core_slice *slice = job->slice[i];
        if (!concerns(slice, changes))
            continue;
        apply(slice, changes);
        const uint64_t version = slice->slice.version;
        if (notice == NULL)
            continue;
        if (notice->slices == 0 || version < notice->version_min)
            notice->version_min = version;
        if (notice->slices == 0 || version > notice->version_max)
            notice->version_max = version;
        notice->slices++;
    }
    if (notice == NULL)
        return;
    notice->query = query;
    notice_send(core, notice);
}

static void change_groups(struct core *core, struct core_job *job, struct order *order)
{
    struct group_changes *changes = order->groups;
    struct group_changes **at = &job->changes;
    order->groups = NULL;
    if (changes == NULL)
        return;
    while (*at != NULL)
        at = &(*at)->next;
    *at = changes;
    for (size_t i = 0; i < job->job->layout.slices; i++)
        changes->left += concerns(job->slice[i], changes);
    if (!job->policy->together)
        apply_now(core, job, changes, order->query);
    for (size_t i = 0; job->policy->together && i < job->job->layout.slices; i++) {
        if (job->slice[i] != NULL && job->slice[i]->slice.version == changes->version)
            apply(job->slice[i], changes);
    }
    while (job->changes != NULL && job->changes->left == 0)
        retire(job);
}

void change_deinit(struct core_job *job)
{
    while (job->changes != NULL) {
        struct group_changes *next = job->changes->next;
        (void)group_changes_destroy(job->changes);
        job->changes = next;
    }
    for (size_t i = 0; job->group != NULL && i < job->job->groups; i++)
        (void)shared_group_unref(job->group[i]);
    free(job->group);
}

/* ---- Any change ------------------------------------------------------------------------------ */

void change_make(struct core *core, struct core_job *job, struct order *order)
{
    job->proposal = (struct core_proposal){.open = false};
    switch (order->change) {
    case ORDER_CHANGE_MEMBER: member_set(core, job, order); break;
    case ORDER_CHANGE_GROUPS: change_groups(core, job, order); break;
    }
    job_try(core, job);
}
