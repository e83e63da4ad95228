/* SPDX-License-Identifier: Apache-2.0
 *
 * Control's share of a snapshot: a plain struct that owns its copies.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/control/history.h"
#include "server/control/members.h"
#include "server/control/sessions.h"
#include "server/control/snapshot.h"
#include "server/model/group_fits.h"

void job_snapshot_deinit(struct job_snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->members; i++)
        free(snapshot->member[i].worker);
    free(snapshot->member);
    control_history_clear(&snapshot->history);
    free(snapshot->share);
    (void)job_unref(snapshot->job);
    *snapshot = (struct job_snapshot){.job = NULL};
}

/* The lowest clock of a rank that is in the shares; 0: none. */
static uint64_t clock_in(const struct job_state *const *share, size_t shares, uint32_t rank)
{
    uint64_t lowest = 0;
    for (size_t i = 0; i < shares; i++) {
        for (uint32_t shard = 0; shard < share[i]->job->shards; shard++) {
            const uint64_t clock = job_state_clock(share[i], share[i]->job, shard, rank);
            if (clock > 0 && (lowest == 0 || clock < lowest))
                lowest = clock;
        }
    }
    return lowest;
}

/* A rank may have left after the instant that its slices are of: then it had not left. What it has
 * not sent of its last clock, closed rounds have gone without. */
static bool had_left(const struct job_snapshot *snapshot, const struct job_state *const *share,
                     const struct control_member *member)
{
    const uint64_t counted = clock_in(share, snapshot->shares, member->rank);
    const bool closed =
        snapshot->version != JOB_STATE_AS_IT_STANDS && member->last_clock <= snapshot->version;
    return member->state == STEPD_MEMBER_LEFT && (closed || member->last_clock <= counted);
}

/* One that was given up later was a member at the instant. */
static bool was_given_up(const struct job_snapshot *snapshot, const struct control_member *member)
{
    const bool later =
        snapshot->version != JOB_STATE_AS_IT_STANDS && member->until > snapshot->version;
    return member->state == STEPD_MEMBER_GIVEN_UP && !later;
}

/* False: no memory. */
static bool take_member(const struct job_snapshot *snapshot, const struct control_member *member,
                        bool left, struct member_snapshot *ret_member)
{
    const struct control_session *session = member->session;
    *ret_member = (struct member_snapshot){
        .rank = member->rank,
        .left = left,
        .until = member->until,
        .from = member->from,
        .from_clock = member->from_clock,
        .last_clock = left ? member->last_clock : UINT64_MAX,
        .reported_clock = member->reported_clock,
        .loss = member->loss,
        .examples = member->examples,
        .epoch = session->epoch,
        .lease_ms = session->lease_ms,
        .has_client = session->has_client,
        .worker = strdup(session->worker),
        .former = member->former,
    };
    if (was_given_up(snapshot, member))
        ret_member->given_up = member->given_up;
    memcpy(ret_member->client, session->client, sizeof ret_member->client);
    memcpy(ret_member->session, session->id, sizeof ret_member->session);
    return ret_member->worker != NULL;
}

static enum stepd_status take_shares(struct job_snapshot *snapshot,
                                     const struct job_state *const *share, size_t shares)
{
    snapshot->share = calloc(shares, sizeof *snapshot->share);
    if (snapshot->share == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    for (; snapshot->shares < shares; snapshot->shares++)
        snapshot->share[snapshot->shares] = share[snapshot->shares];
    return STEPD_OK;
}

static enum stepd_status take_members(struct job_snapshot *snapshot, const struct control_job *job,
                                      const struct job_state *const *share)
{
    if (job->ranks == 0)
        return STEPD_OK;
    snapshot->member = calloc(job->ranks, sizeof *snapshot->member);
    if (snapshot->member == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    for (size_t rank = 0; rank < job->ranks; rank++) {
        const struct control_member *member = job->member[rank];
        if (member == NULL || member->state == STEPD_MEMBER_JOINING)
            continue;
        const bool left = had_left(snapshot, share, member);
        if (!take_member(snapshot, member, left, &snapshot->member[snapshot->members]))
            return STEPD_RESOURCE_EXHAUSTED;
        snapshot->members++;
    }
    return STEPD_OK;
}

/* What slices of one version have got to is in all of them. */
static enum stepd_status take_history(struct job_snapshot *snapshot, const struct control_job *job)
{
    const enum stepd_status status = control_history_copy(&job->history, &snapshot->history);
    if (status == STEPD_OK && snapshot->version != JOB_STATE_AS_IT_STANDS)
        control_history_reached(&snapshot->history, snapshot->version);
    return status;
}

enum stepd_status job_snapshot_init(struct job_snapshot *snapshot, const struct control_job *job,
                                    const struct job_state *const *share, size_t shares,
                                    uint64_t now_ms)
{
    assert(shares > 0);
    *snapshot = (struct job_snapshot){
        .job = job_ref(job->job),
        .version = share[0]->version,
        .incarnation = job->incarnation,
        .started = job->state >= CONTROL_JOB_RUNNING,
        .taken_ms = now_ms,
    };
    enum stepd_status status = take_shares(snapshot, share, shares);
    if (status == STEPD_OK)
        status = take_members(snapshot, job, share);
    if (status == STEPD_OK)
        status = take_history(snapshot, job);
    if (status != STEPD_OK)
        job_snapshot_deinit(snapshot);
    return status;
}

enum stepd_status job_snapshot_copy(const struct job_snapshot *snapshot,
                                    struct job_snapshot *ret_copy)
{
    struct job_snapshot copy = {
        .job = job_ref(snapshot->job),
        .version = snapshot->version,
        .incarnation = snapshot->incarnation,
        .started = snapshot->started,
        .taken_ms = snapshot->taken_ms,
        .member = calloc(snapshot->members + 1, sizeof *copy.member),
    };
    bool copied =
        copy.member != NULL && control_history_copy(&snapshot->history, &copy.history) == STEPD_OK;
    while (copied && copy.members < snapshot->members) {
        struct member_snapshot *member = &copy.member[copy.members];
        *member = snapshot->member[copy.members];
        member->worker = strdup(member->worker);
        copied = member->worker != NULL;
        copy.members += copied;
    }
    if (!copied) {
        job_snapshot_deinit(&copy);
        return STEPD_RESOURCE_EXHAUSTED;
    }
    *ret_copy = copy;
    return STEPD_OK;
}

/* ---- Checking -------------------------------------------------------------------------------- */

/* A member joins for a version that the shards agree on, at most as far ahead of a slice as one of
 * them is of another. One that had joined for a version that is never reached would have the rounds
 * before it close empty, one by one, until it is. */
#define AHEAD_MAX UINT64_C(65536)

static uint64_t highest_version(const struct job_state *state)
{
    uint64_t highest = 0;
    for (size_t i = 0; i < state->job->layout.slices; i++) {
        if (state->slice[i].version > highest)
            highest = state->slice[i].version;
    }
    return highest;
}

static enum stepd_status check_members(const struct job_snapshot *snapshot,
                                       const struct job_state *state, struct stepd_error *reterr)
{
    const char *const name = snapshot->job->name;
    const uint64_t highest = highest_version(state);
    for (size_t i = 0; i < snapshot->members; i++) {
        const struct member_snapshot *const member = &snapshot->member[i];
        const bool given_up = member->given_up.code != STEPD_OK;
        const uint64_t latest =
            given_up && member->until > member->from ? member->until : member->from;
        const bool rises = i == 0 || member->rank > snapshot->member[i - 1].rank;
        if (member->rank >= snapshot->job->workers || !rises)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "the snapshot of job '%s' has rank %u, and its %u ranks must rise",
                              name, member->rank, snapshot->job->workers);
        if (latest > highest && latest - highest > AHEAD_MAX)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "the snapshot of job '%s' has rank %u as a member %s version %" PRIu64
                              ", and its slices are at %" PRIu64 ": that is more than %" PRIu64
                              " ahead",
                              name, member->rank, latest == member->from ? "from" : "until", latest,
                              highest, AHEAD_MAX);
    }
    return STEPD_OK;
}

/* What the groups of the slices had become. */
static enum stepd_status check_groups(const struct job *job, const struct job_state *state,
                                      struct stepd_error *reterr)
{
    for (size_t i = 0; i < job->layout.slices; i++) {
        const struct shared_group *changed = state->slice[i].changed;
        const uint32_t group = job->layout.slice[i].group;
        const bool as_before = i > 0 && changed == state->slice[i - 1].changed &&
                               group == job->layout.slice[i - 1].group;
        if (as_before)
            continue;
        const enum stepd_status status = group_fits_restored(job, group, changed, reterr);
        if (status != STEPD_OK)
            return status;
    }
    return STEPD_OK;
}

enum stepd_status job_snapshot_check(const struct job_snapshot *snapshot,
                                     const struct job_state *state, struct stepd_error *reterr)
{
    const char *const name = snapshot->job->name;
    if (strcmp(state->job->name, name) != 0 ||
        state->job->layout.slices != snapshot->job->layout.slices)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "the members are of job '%s' and the slices of job '%s', or of another "
                          "definition of it",
                          name, state->job->name);
    enum stepd_status status = check_members(snapshot, state, reterr);
    if (status == STEPD_OK)
        status = control_history_check(&snapshot->history, snapshot->job, reterr);
    return status == STEPD_OK ? check_groups(snapshot->job, state, reterr) : status;
}
