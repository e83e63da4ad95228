/* SPDX-License-Identifier: Apache-2.0
 *
 * Who is a member here, as control says.
 *
 * A rank that is given up is none for the versions that it has not contributed to. What it has
 * contributed whole to open rounds counts in them; what it has sent of a slice in part is
 * forgotten. Where the job takes a step whole or not at all, the gate has the last word (gate.c).
 * Its session stays, so that it can be told when it comes back, but nothing of it is taken.
 */
#include <stdlib.h>

#include "server/core/core_internal.h"

void member_set(struct core *core, struct core_job *job, const struct order *order)
{
    const struct interval interval = {
        .from = order->from, .clock = order->clock, .last_clock = order->last_clock};
    if (members_set(&job->members, order->rank, &interval) != STEPD_OK)
        return;
    const struct session *session = session_of_rank(core, order->job_name, order->rank);
    if (session == NULL || session->conn == NULL)
        members_gone(&job->members, order->rank);
    job_try(core, job);
}

/* The first version of a slice that is made without a rank which has sent all that it will. */
static uint64_t first_without(const struct core_slice *slice, uint32_t rank)
{
    const bool whole = slice->job->job->consistency.atomic == CONSISTENCY_ATOMIC_JOB;
    const bool counts = whole ? gate_has_contributed(slice->job, rank)
                              : round_of(&slice->round, rank).state == CONTRIBUTION_COUNTED;
    return slice->slice.version + counts;
}

/* Lists the slices that are made without the rank later than others. */
static bool list_later(const struct core_job *job, uint32_t rank, struct notice *notice)
{
    if (notice->version_min == notice->version_max)
        return true;
    notice->later_slice = calloc(notice->slices, sizeof *notice->later_slice);
    if (notice->later_slice == NULL)
        return false;
    for (uint32_t i = 0; i < job->job->layout.slices; i++) {
        const struct core_slice *slice = job->slice[i];
        if (slice != NULL && first_without(slice, rank) == notice->version_max)
            notice->later_slice[notice->later++] = i;
    }
    return true;
}

/* For people: what control logs of it. Without memory it logs less. */
static void tell(struct core *core, const struct core_job *job, uint32_t rank)
{
    struct notice *notice = notice_create(NOTICE_GIVEN_UP, job->job->name);
    if (notice == NULL)
        return;
    notice->rank = calloc(1, sizeof *notice->rank);
    if (notice->rank == NULL) {
        (void)notice_destroy(notice);
        return;
    }
    notice->rank[notice->ranks++] = rank;
    for (size_t i = 0; i < job->job->layout.slices; i++) {
        if (job->slice[i] == NULL)
            continue;
        const uint64_t version = first_without(job->slice[i], rank);
        if (notice->slices == 0 || version < notice->version_min)
            notice->version_min = version;
        if (version > notice->version_max)
            notice->version_max = version;
        notice->slices++;
    }
    (void)list_later(job, rank, notice);
    notice_send(core, notice);
}

void member_give_up(struct core *core, struct core_job *job, const struct order *order)
{
    struct session *session = session_of_rank(core, order->job_name, order->rank);
    if (session != NULL)
        session_fence(session, &order->error);
    members_give_up(&job->members, order->rank);
    tell(core, job, order->rank);
    job_try(core, job);
}
