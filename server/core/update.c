/* SPDX-License-Identifier: Apache-2.0
 *
 * Closing a round:
 *
 *     policy: does it close?  ->  room for the next version of all views?  ->  the gradient
 *         (gradient.c)  ->  the step (step.c)  ->  settle, wake
 *
 * A unit closes by itself here where it is a slice; an optimizer that must see a whole tensor or
 * group has it in one slice. Where it is the whole job (a norm over all tensors, a step that is
 * made whole or not at all), gate.c asks control between the first question and the second, and
 * goes on when the answer has come.
 */
#include "server/core/core_internal.h"
#include "server/core/snapshot.h"

/* ---- The answers ----------------------------------------------------------------------------- */

/* Of all pushes of a contribution: what is not remembered of them is overwritten by the later. */
static void settle_rank(struct core_slice *slice, uint32_t rank, enum stepd_outcome outcome)
{
    const struct contribution contribution = round_of(&slice->round, rank);
    const uint64_t noted = contribution.pushes < RECORD_DEPTH ? contribution.pushes : RECORD_DEPTH;
    for (uint64_t clock = contribution.clock - noted + 1; clock <= contribution.clock; clock++)
        record_note(&slice->slice.by_rank[rank].record, clock, outcome, slice->slice.version);
    round_settle(&slice->round, rank);
    staging_give(slice->staging, contribution.grad);
}

void settle_counted(struct core_slice *slice, enum stepd_outcome outcome)
{
    for (uint32_t rank = 0; rank < slice->round.ranks; rank++) {
        if (round_of(&slice->round, rank).pushes > 0)
            settle_rank(slice, rank, outcome);
    }
}

/* A push's waiter is ready when its clock has gone from the round into the record, or when its
 * rank's contribution goes on with another push. */
static void wake_push(struct waiter *waiter)
{
    const struct request *request = waiter->request;
    const uint32_t rank = request->conn->session->rank;
    const struct record *record = &waiter->slice->slice.by_rank[rank].record;
    const struct contribution open = round_of(&waiter->slice->round, rank);
    struct record_entry entry = {.clock = 0};
    if (open.state == CONTRIBUTION_GATHERING && open.clock == request->clock) {
        const bool counted_now = waiter->outcome == STEPD_APPLIED;
        push_settle(waiter, counted_now ? STEPD_ACCUMULATED : waiter->outcome,
                    waiter->slice->slice.version);
        return;
    }
    if (request->clock > record->clock || !record_find(record, request->clock, &entry))
        return;
    const bool applied = entry.outcome == STEPD_APPLIED;
    push_settle(waiter, applied ? waiter->outcome : entry.outcome, entry.version);
}

void waiters_wake(struct core_slice *slice)
{
    struct waiter *next = NULL;
    for (struct waiter *waiter = slice->waiters; waiter != NULL; waiter = next) {
        next = waiter->next;
        if (waiter->state == WAITER_ROUND)
            wake_push(waiter);
        else
            pull_settle(waiter);
    }
}

/* ---- Closing --------------------------------------------------------------------------------- */

static uint32_t first_counted(const struct core_slice *slice)
{
    uint32_t rank = 0;
    while (round_of(&slice->round, rank).state != CONTRIBUTION_COUNTED)
        rank++;
    return rank;
}

/* All contributions at once: the mean over their examples. room NULL: there is no update. */
static void close_together(struct core *core, struct core_slice *slice,
                           const struct slice_room *room)
{
    enum stepd_outcome outcome = STEPD_SKIPPED;
    if (room != NULL) {
        const struct gradient gradient = gradient_of_all(core, slice);
        outcome = step_make(core, slice, &gradient, room);
    } else {
        outcome = step_skip(slice);
    }
    settle_counted(slice, outcome);
}

/* One contribution by itself; the lowest rank where several have had to wait. */
static void close_one(struct core *core, struct core_slice *slice, const struct slice_room *room)
{
    const uint32_t rank = first_counted(slice);
    enum stepd_outcome outcome = STEPD_SKIPPED;
    if (room != NULL) {
        const struct gradient gradient = gradient_of_rank(slice, rank);
        outcome = step_make(core, slice, &gradient, room);
    } else {
        outcome = step_skip(slice);
    }
    settle_rank(slice, rank, outcome);
}

/* A push that had to wait, before the job began or while readers held both versions of the weights,
 * was judged when it came: others that have closed before it may have made it too old. */
static bool turn_away_stale(struct core_slice *slice)
{
    const uint32_t rank = first_counted(slice);
    const struct contribution contribution = round_of(&slice->round, rank);
    const struct scene scene = slice_scene(slice);
    const struct claim claim = {
        .rank = rank, .clock = contribution.clock, .base_version = contribution.base_version};
    if (slice->job->policy->judge(&scene, &claim) != VERDICT_STALE)
        return false;
    settle_rank(slice, rank, STEPD_STALE);
    waiters_wake(slice);
    return true;
}

/* Is there an update in what closes next? Not without examples, and never of a frozen slice; the
 * version goes up all the same. */
static bool makes_update(const struct core_slice *slice)
{
    if (slice->slice.group->frozen)
        return false;
    return slice->job->policy->together
               ? slice->round.examples > 0
               : round_of(&slice->round, first_counted(slice)).examples > 0;
}

static bool closes(const struct core_slice *slice)
{
    const struct core_job *job = slice->job;
    const struct scene scene = slice_scene(slice);
    return job->failure.code == STEPD_OK && !change_holds(job, slice->slice.version) &&
           job->policy->closes(&scene);
}

/* Contributions that must have more before the round can close are told to go on. */
static void go_on(struct core_slice *slice)
{
    const struct sync_policy *policy = slice->job->policy;
    const struct scene scene = slice_scene(slice);
    const size_t counted = slice->round.counted;
    if (!policy->together || !consistency_accumulates(scene.consistency))
        return;
    if (policy->turns(&scene))
        round_go_on_all(&slice->round);
    for (uint32_t rank = 0; rank < slice->round.ranks; rank++) {
        if (round_of(&slice->round, rank).state == CONTRIBUTION_COUNTED &&
            policy->goes_on(&scene, rank))
            round_go_on(&slice->round, rank);
    }
    if (slice->round.counted < counted)
        waiters_wake(slice);
}

void update_try(struct core *core, struct core_slice *slice)
{
    const struct sync_policy *policy = slice->job->policy;
    slice->blocked = false;
    go_on(slice);
    if (gate_holds(slice)) {
        gate_try(core, slice);
        return;
    }
    while (closes(slice)) {
        struct slice_room room;
        if (!policy->together && turn_away_stale(slice))
            continue;
        const bool update = makes_update(slice);
        slice->blocked = update && !room_find(core, slice, &room);
        if (slice->blocked)
            return;
        if (policy->together)
            close_together(core, slice, update ? &room : NULL);
        else
            close_one(core, slice, update ? &room : NULL);
        snapshot_on_closed(core, slice);
        waiters_wake(slice);
    }
}
