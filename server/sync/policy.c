/* SPDX-License-Identifier: Apache-2.0
 *
 * sync:     the round for version v+1 takes gradients computed at v, and closes when every member
 *           has contributed (bulk synchronous parallel). With `backup` b it closes when all but b
 *           have: Chen, Pan, Monga, Bengio and Jozefowicz 2016, "Revisiting distributed synchronous
 *           SGD", algorithms 3 and 4. With `close_examples` it closes when so many examples are
 *           behind what has been contributed. What comes too late then is dropped, as in the paper,
 *           or (`late: apply`) counts in the round that is open. Whose gradient was dropped is not
 *           waited for before the next round.
 *           With `accumulate` N a contribution is N pushes of a rank. With `accumulate_examples` a
 *           round goes by turns, one push of every member each, and closes with the first turn
 *           that ends with so many examples behind the round; which it is does not depend on the
 *           order of arrival, because nobody pushes the next turn before it is known. Remainders
 *           are not lost: when no member owes anything more, and when a turn has brought no
 *           examples, what there is makes the step.
 * async:    a push is a round of its own, whatever version it was computed at, and waits for
 *           nobody: Recht, Re, Wright and Niu 2011, "Hogwild", with a lock for each slice.
 * bounded:  async, but a worker that has pushed c times gets weights only when every member has
 *           pushed c - s times, so that what it computes on has all gradients of s clocks ago and
 *           before: Ho et al. 2013, "More effective distributed ML via a stale synchronous
 *           parallel parameter server", section 3.
 */
#include "server/sync/policy.h"

#include <assert.h>
#include <stddef.h>

static bool is_too_old(const struct scene *scene, const struct claim *claim)
{
    const double most = scene->consistency->staleness_max;
    return most != CONSISTENCY_NONE && (double)(scene->version - claim->base_version) > most;
}

/* ---- sync ------------------------------------------------------------------------------------ */

static enum verdict judge_sync(const struct scene *scene, const struct claim *claim)
{
    const bool late = claim->base_version < scene->version;
    if (claim->base_version > scene->version)
        return VERDICT_IMPOSSIBLE;
    if (late && scene->consistency->late == CONSISTENCY_LATE_DROP)
        return VERDICT_LATE;
    if (!members_admit(scene->members, claim->rank, scene->version, claim->clock))
        return VERDICT_FENCED;
    return is_too_old(scene, claim) ? VERDICT_STALE : VERDICT_COUNT;
}

/* Does a rank owe the round another push, beside those that count? */
static bool owes(const struct scene *scene, uint32_t rank)
{
    const struct contribution contribution = round_of(scene->round, rank);
    const uint64_t counted =
        contribution.pushes > 0 ? contribution.clock : scene->by_rank[rank].record.clock;
    return members_owe(scene->members, rank, scene->version, counted);
}

static bool lacks(const struct scene *scene, uint64_t clock, uint32_t rank)
{
    (void)clock;
    return round_of(scene->round, rank).state != CONTRIBUTION_COUNTED && owes(scene, rank);
}

static bool any_lacks(const struct scene *scene)
{
    for (uint32_t rank = 0; rank < scene->ranks; rank++) {
        if (lacks(scene, 0, rank))
            return true;
    }
    return false;
}

/* Was the rank's newest push turned away from this very round? It has nothing for it: its next one
 * comes when all slices have answered this one, and another of them may wait for somebody who
 * waits here. */
static bool is_spent(const struct scene *scene, uint32_t rank)
{
    const struct record *record = &scene->by_rank[rank].record;
    struct record_entry entry;
    if (!record_find(record, record->clock, &entry) || entry.version != scene->version)
        return false;
    return entry.outcome == STEPD_LATE_DROPPED || entry.outcome == STEPD_STALE;
}

/* Have all contributed but so many, or all but those who cannot? */
static bool has_enough(const struct scene *scene)
{
    size_t lacking = 0;
    size_t spent = 0;
    for (uint32_t rank = 0; rank < scene->ranks; rank++) {
        if (!lacks(scene, 0, rank))
            continue;
        lacking++;
        spent += is_spent(scene, rank);
    }
    return (double)lacking <= scene->consistency->backup || lacking == spent;
}

/* Those who made the rounds until now have left, and the ones who come are members from a later
 * version on: nobody makes this one, and it closes empty, so that they need not wait for ever. */
static bool is_between_members(const struct scene *scene)
{
    return !any_lacks(scene) && members_await_any(scene->members, scene->version);
}

/* What has been pushed of a rank that leaves is all that there will be of it. */
static bool goes_on_sync(const struct scene *scene, uint32_t rank)
{
    const double pushes = (double)round_of(scene->round, rank).pushes;
    return pushes < scene->consistency->accumulate && owes(scene, rank);
}

static bool turns_sync(const struct scene *scene)
{
    const struct round *round = scene->round;
    const double most = scene->consistency->accumulate_examples;
    if (!scene->members->started || most == 0.0 || (double)round->examples >= most ||
        round->turn_examples == 0 || any_lacks(scene))
        return false;
    for (uint32_t rank = 0; rank < scene->ranks; rank++) {
        if (owes(scene, rank))
            return true;
    }
    return false;
}

static bool closes_sync(const struct scene *scene)
{
    const struct consistency *consistency = scene->consistency;
    if (!scene->members->started || turns_sync(scene))
        return false;
    if (scene->round->present == 0)
        return is_between_members(scene);
    if (consistency->close_examples > 0.0 &&
        (double)scene->round->examples >= consistency->close_examples)
        return true;
    return has_enough(scene);
}

/* ---- async and bounded ----------------------------------------------------------------------- */

static enum verdict judge_async(const struct scene *scene, const struct claim *claim)
{
    if (claim->base_version > scene->version)
        return VERDICT_IMPOSSIBLE;
    if (!members_admit(scene->members, claim->rank, scene->version, claim->clock))
        return VERDICT_FENCED;
    return is_too_old(scene, claim) ? VERDICT_STALE : VERDICT_COUNT;
}

static bool closes_async(const struct scene *scene)
{
    return scene->round->counted > 0;
}

static bool waits_for_nobody(const struct scene *scene, uint64_t clock, uint32_t rank)
{
    (void)scene;
    (void)clock;
    (void)rank;
    return false;
}

/* A member that has not joined yet would be behind everybody, and those who ran ahead would wait
 * until it had caught up: nothing moves before all are there. */
static bool closes_bounded(const struct scene *scene)
{
    return scene->members->started && scene->round->counted > 0;
}

static bool is_behind(const struct scene *scene, uint64_t clock, uint32_t rank)
{
    const uint64_t pushed = members_clock(scene->members, rank, scene->by_rank[rank].record.clock);
    return (double)clock - (double)pushed > scene->consistency->staleness &&
           members_owe(scene->members, rank, scene->version, pushed);
}

static bool holds_back_bounded(const struct scene *scene, uint64_t clock)
{
    for (uint32_t rank = 0; rank < scene->ranks; rank++) {
        if (is_behind(scene, clock, rank))
            return true;
    }
    return false;
}

/* ---- The table ------------------------------------------------------------------------------- */

static const struct sync_policy policies[] = {
    [STEPD_SYNC] =
        {
            .judge = judge_sync,
            .closes = closes_sync,
            .goes_on = goes_on_sync,
            .turns = turns_sync,
            .waits_for = lacks,
            .together = true,
            .schedule_by_version = true,
        },
    [STEPD_ASYNC] =
        {
            .judge = judge_async,
            .closes = closes_async,
            .waits_for = waits_for_nobody,
        },
    [STEPD_BOUNDED] =
        {
            .judge = judge_async,
            .closes = closes_bounded,
            .waits_for = is_behind,
            .holds_back = holds_back_bounded,
        },
};

const struct sync_policy *sync_policy_of(enum stepd_mode mode)
{
    assert((size_t)mode < sizeof policies / sizeof policies[0]);
    return &policies[mode];
}
