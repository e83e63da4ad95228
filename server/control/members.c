/* SPDX-License-Identifier: Apache-2.0
 *
 * Ranks: an array of pointers that grows to the highest rank that joined. A rank is below
 * STEPD_WORKERS_MAX, so the array is at most 32 KiB, and a shard's notice that it heard of 4096
 * ranks costs 4096 look-ups and no searches.
 */
#include "server/control/members.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "server/control/jobs.h"
#include "server/control/sessions.h"

struct control_member *control_member_find(const struct control_job *job, uint32_t rank)
{
    return rank < job->ranks ? job->member[rank] : NULL;
}

struct control_member *control_member_create(const struct control *control, struct control_job *job,
                                             uint32_t rank, struct control_session *session)
{
    assert(rank < STEPD_WORKERS_MAX && control_member_find(job, rank) == NULL);
    if (rank >= job->ranks) {
        struct control_member **larger =
            realloc(job->member, ((size_t)rank + 1) * sizeof *job->member);
        if (larger == NULL)
            return NULL;
        job->member = larger;
        while (job->ranks <= rank)
            job->member[job->ranks++] = NULL;
    }
    const size_t shards = control->options.shards;
    struct control_member *member = calloc(1, sizeof *member + shards * sizeof member->counted[0]);
    if (member == NULL)
        return NULL;
    *member = (struct control_member){
        .rank = rank,
        .state = STEPD_MEMBER_PRESENT,
        .session = session,
        .last_clock = UINT64_MAX,
        .untold = true,
        .shards = shards,
    };
    job->member[rank] = member;
    return member;
}

/* Has a shard rounds that wait for a push of every member? */
static bool wants_pushes(const struct job *job, size_t shard)
{
    if (job == NULL || job->consistency.mode != STEPD_SYNC)
        return false;
    for (size_t i = 0; i < job->layout.slices; i++) {
        if (job->layout.slice[i].shard == shard)
            return true;
    }
    return false;
}

uint64_t control_member_clock(const struct control_member *member)
{
    const struct job *job = member->session->job->job;
    uint64_t lowest = 0;
    bool lacks_first = false;
    for (size_t shard = 0; shard < member->shards; shard++) {
        const uint64_t clock = member->counted[shard];
        if (clock != 0 && (lowest == 0 || clock < lowest))
            lowest = clock;
        lacks_first = lacks_first || (clock == 0 && wants_pushes(job, shard));
    }
    return lowest == 1 && lacks_first ? 0 : lowest;
}

void control_member_move(const struct control *control, struct control_member *member,
                         enum stepd_member_state state)
{
    static const char *const event[] = {
        [STEPD_MEMBER_PRESENT] = "worker_back",
        [STEPD_MEMBER_LOST] = "worker_lost",
        [STEPD_MEMBER_LEFT] = "worker_left",
    };
    if (member->state == state)
        return;
    const struct control_session *session = member->session;
    control_log(control, event[state], "job=%s rank=%u worker=%s silent_s=%" PRIu64,
                control_quote(session->job->name).text, member->rank,
                control_quote(session->worker).text,
                control_session_silent_ms(session, control->now_ms) / 1000);
    member->state = state;
}

void control_member_heard(const struct control *control, struct control_member *member)
{
    if (member->state == STEPD_MEMBER_LOST)
        control_member_move(control, member, STEPD_MEMBER_PRESENT);
    member->session->heard_ms = control->now_ms;
}

size_t control_members_staying(const struct control_job *job)
{
    size_t staying = 0;
    for (size_t rank = 0; rank < job->ranks; rank++) {
        const struct control_member *member = job->member[rank];
        staying += member != NULL && member->state != STEPD_MEMBER_LEFT;
    }
    return staying;
}

void control_members_on_tick(const struct control *control, struct control_job *job)
{
    for (size_t rank = 0; rank < job->ranks; rank++) {
        struct control_member *member = job->member[rank];
        if (member != NULL && member->state == STEPD_MEMBER_PRESENT &&
            control_session_is_over(member->session, control->now_ms))
            control_member_move(control, member, STEPD_MEMBER_LOST);
    }
}
