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
 * was. A slice knows which change its group came with: one that goes on from a snapshot may be
 * beyond changes that control tells of again.
 *
 * A proposal that another shard did not agree to is followed by one of a later version, which takes
 * its place. Pushes and pulls go on meanwhile; only rounds that are full stay open.
 */
#include "server/core/core_internal.h"
#include "server/core/snapshot.h"

bool change_holds(const struct core_job *job, uint64_t version)
{
    return (job->proposal.open && version >= job->proposal.version) ||
           (job->last.open && version >= job->last.version);
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

/* Of the slices that can change: a frozen one never does. */
static uint64_t oldest_version(const struct core_job *job)
{
    uint64_t oldest = UINT64_MAX;
    for (size_t i = 0; i < job->job->layout.slices; i++) {
        const struct core_slice *slice = job->slice[i];
        if (slice != NULL && !slice->slice.group->frozen && slice->slice.version < oldest)
            oldest = slice->slice.version;
    }
    return oldest;
}

/* Without memory there is no answer, and control asks again. */
void change_propose(struct core *core, struct core_job *job, const struct order *order)
{
    struct notice *notice = notice_create(NOTICE_PROPOSED, order->job_name);
    if (notice == NULL)
        return;
    notice->query = order->query;
    notice->version_min = oldest_version(job);
    notice->version_max = newest_step(job);
    notice->agreed = notice->version_max <= order->version;
    job->proposal = (struct core_proposal){.open = notice->agreed, .version = order->version};
    notice_send(core, notice);
    job_try(core, job); /* what an earlier proposal has held */
}

/* ---- Groups ---------------------------------------------------------------------------------- */

/* What becomes of the slice's group by these changes; NULL: nothing, or it has become so already,
 * in a state that the slice goes on from. */
static const struct group_change *find_change(const struct core_slice *slice,
                                              const struct group_changes *changes)
{
    if (slice == NULL || slice->slice.change >= changes->number)
        return NULL;
    return group_changes_find(changes, slice->slice.plan->group);
}

/* How many slices here have not got to them. */
static size_t count_left(const struct core_job *job, const struct group_changes *changes)
{
    size_t left = 0;
    for (size_t i = 0; i < job->job->layout.slices; i++)
        left += find_change(job->slice[i], changes) != NULL;
    return left;
}

static void apply(struct core_slice *slice, struct group_changes *changes)
{
    const struct group_change *change = find_change(slice, changes);
    if (change == NULL)
        return;
    snapshot_before_change(slice);
    slice_change(&slice->slice, change, changes->number, step_clock(slice));
    changes->left--;
}

/* Forgets those that all slices here have got to. */
static void retire(struct core_job *job)
{
    struct group_changes **at = &job->changes;
    while (*at != NULL) {
        struct group_changes *changes = *at;
        if (changes->left > 0) {
            at = &changes->next;
            continue;
        }
        *at = changes->next;
        (void)group_changes_destroy(changes);
    }
}

void change_reach(struct core_slice *slice)
{
    struct core_job *job = slice->job;
    const uint64_t version = slice->slice.version;
    for (struct group_changes *at = job->changes; at != NULL; at = at->next) {
        if (at->version == version)
            apply(slice, at);
    }
    retire(job);
}

/* Each slice's next step is the first. Without memory control is not told which. */
static void apply_now(struct core *core, struct core_job *job, struct group_changes *changes)
{
    struct notice *notice = notice_create(NOTICE_CHANGED, job->job->name);
    for (size_t i = 0; i < job->job->layout.slices; i++) {
        struct core_slice *slice = job->slice[i];
        if (find_change(slice, changes) == NULL)
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
    notice->query = changes->number;
    notice_send(core, notice);
}

static void change_groups(struct core *core, struct core_job *job, struct order *order)
{
    struct group_changes *changes = order->groups;
    struct group_changes **at = &job->changes;
    order->groups = NULL;
    if (changes == NULL)
        return;
    group_changes_call_off(&job->changes, changes);
    while (*at != NULL)
        at = &(*at)->next;
    *at = changes;
    for (struct group_changes *each = job->changes; each != NULL; each = each->next)
        each->left = count_left(job, each);
    if (!job->policy->together)
        apply_now(core, job, changes);
    for (size_t i = 0; job->policy->together && i < job->job->layout.slices; i++) {
        if (job->slice[i] != NULL && job->slice[i]->slice.version == changes->version)
            apply(job->slice[i], changes);
    }
    retire(job);
}

void change_deinit(struct core_job *job)
{
    while (job->changes != NULL) {
        struct group_changes *next = job->changes->next;
        (void)group_changes_destroy(job->changes);
        job->changes = next;
    }
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
