/* SPDX-License-Identifier: Apache-2.0
 *
 * A shard's side of a change that all shards make at the same version (control/changes.h):
 *
 *     ORDER_PROPOSE   has a step from that version on been made here, or is it being decided on?
 *                     Then the answer is how far the shard is; else the shard agrees, and from then
 *                     on lets no such step begin
 *     ORDER_CHANGE    the change is made, and what was held goes on
 *
 * A proposal that another shard did not agree to is followed by one of a later version, which takes
 * its place. Pushes and pulls go on meanwhile; only rounds that are full stay open.
 */
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

void change_make(struct core *core, struct core_job *job, const struct order *order)
{
    job->proposal = (struct core_proposal){.open = false};
    switch (order->change) {
    case ORDER_CHANGE_MEMBER: member_set(core, job, order); break;
    }
    job_try(core, job);
}
