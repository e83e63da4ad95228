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
#include <string.h>

#include "proto/error.h"
#include "server/control/changes.h"
#include "server/control/jobs.h"
#include "server/control/sessions.h"
#include "server/control/waits.h"

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

/* Does anybody wait for a push of every member to a shard? */
static bool wants_pushes(const struct job *job, size_t shard)
{
    if (job == NULL || !consistency_awaits_pushes(&job->consistency))
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
    if (lowest == 1 && lacks_first)
        lowest = 0;
    return lowest < member->from_clock ? member->from_clock : lowest;
}

void control_member_move(const struct control *control, struct control_member *member,
                         enum stepd_member_state state)
{
    static const char *const event[] = {
        [STEPD_MEMBER_PRESENT] = "worker_back",      [STEPD_MEMBER_LOST] = "worker_lost",
        [STEPD_MEMBER_LEFT] = "worker_left",         [STEPD_MEMBER_JOINING] = "worker_joins",
        [STEPD_MEMBER_GIVEN_UP] = "worker_given_up",
    };
    if (member->state == state)
        return;
    member->kept = false;
    const struct control_session *session = member->session;
    const bool admitted = member->state == STEPD_MEMBER_JOINING && state == STEPD_MEMBER_PRESENT;
    if (!admitted) /* which is logged with its version */
        control_log(control, event[state], "job=%s rank=%u worker=%s silent_s=%" PRIu64,
                    control_quote(session->job->name).text, member->rank,
                    control_quote(session->worker).text,
                    control_session_silent_ms(session, control->now_ms) / 1000);
    member->state = state;
}

void control_member_heard(const struct control *control, struct control_member *member)
{
    if (member->session->ended) /* what a shard tells is of before */
        return;
    if (member->state == STEPD_MEMBER_LOST)
        control_member_move(control, member, STEPD_MEMBER_PRESENT);
    member->session->heard_ms = control->now_ms;
    member->session->restored = false;
}

bool control_member_stays(const struct control_member *member)
{
    return member->state != STEPD_MEMBER_LEFT && member->state != STEPD_MEMBER_GIVEN_UP;
}

enum stepd_status control_member_propose(struct control *control, struct control_job *job,
                                         const struct control_member *member)
{
    const struct order like = {
        .kind = ORDER_CHANGE,
        .job_name = job->name,
        .change = ORDER_CHANGE_MEMBER,
        .rank = member->rank,
        .last_clock = UINT64_MAX,
    };
    return control_change_add(control, job, &like, NULL);
}

void control_member_admitted(struct control *control, struct control_job *job, uint32_t rank,
                             uint64_t version)
{
    struct control_member *member = control_member_find(job, rank);
    assert(member != NULL && member->state == STEPD_MEMBER_JOINING);
    member->from = version;
    member->from_clock = version;
    control_log(control, "worker_admitted", "job=%s rank=%u worker=%s version=%" PRIu64,
                control_quote(job->name).text, rank, control_quote(member->session->worker).text,
                version);
    control_member_move(control, member, STEPD_MEMBER_PRESENT);
    control_waits_release(control);
}

/* "0,3,4" */
static void list_slices(const struct notice *notice, char *text, size_t size)
{
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < notice->later; i++)
        at += stepd_format(text + at, size - at, "%s%u", i == 0 ? "" : ",", notice->later_slice[i]);
}

void control_member_without(const struct control *control, const struct control_job *job,
                            const struct notice *notice)
{
    const uint32_t rank = notice->rank[0];
    struct control_member *member = control_member_find(job, rank);
    if (member == NULL || notice->slices == 0)
        return;
    if (member->state == STEPD_MEMBER_GIVEN_UP && member->until < notice->version_max)
        member->until = notice->version_max;
    char slices[LOG_LINE_MAX_BYTES / 2];
    list_slices(notice, slices, sizeof slices);
    if (notice->later == 0)
        control_log(control, "worker_without", "job=%s rank=%u shard=%u version=%" PRIu64,
                    control_quote(job->name).text, rank, notice->shard + 1, notice->version_max);
    else
        control_log(control, "worker_without",
                    "job=%s rank=%u shard=%u version=%" PRIu64 " later=%" PRIu64 " later_slices=%s",
                    control_quote(job->name).text, rank, notice->shard + 1, notice->version_min,
                    notice->version_max, slices);
}

const struct stepd_error *control_members_former(const struct control *control,
                                                 const uint8_t *session)
{
    for (const struct control_job *job = control->first_job; job != NULL; job = job->next) {
        for (size_t rank = 0; rank < job->ranks; rank++) {
            const struct control_member *member = job->member[rank];
            if (member != NULL && member->former.known &&
                memcmp(member->former.session, session, STEPD_SESSION_BYTES) == 0)
                return &member->former.why;
        }
    }
    return NULL;
}

size_t control_members_staying(const struct control_job *job)
{
    size_t staying = 0;
    for (size_t rank = 0; rank < job->ranks; rank++) {
        const struct control_member *member = job->member[rank];
        staying += member != NULL && control_member_stays(member);
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
