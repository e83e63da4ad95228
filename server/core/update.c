/* SPDX-License-Identifier: Apache-2.0
 *
 * Closing a round: the only place where schedule, optimizer and slice meet.
 *
 *     policy: does it close?  ->  room for the next version?  ->  mean gradient in rank order
 *         ->  learning rate of the schedule  ->  optimizer's kernel  ->  publish, settle, wake
 *
 * A unit closes by itself here because a unit is a slice. What needs a wider one (a norm over the
 * job, a group's optimizer) will ask between the first question and the second, in
 * update_try, and go on when the answer has come.
 */
#include "server/core/core_internal.h"

/* Elements that are stepped at a time when a version is written to the other buffer: old weights
 * are copied over block by block, so that the kernel finds them in the nearest cache. */
#define BLOCK_ELEMENTS 4096u

/* ---- The gradient ---------------------------------------------------------------------------- */

/* Sums the contributions in rank order, each with its share of the examples. Nothing is copied
 * when there is only one: its weight is 1. */
static const float *mean_gradient(struct core *core, const struct core_slice *slice)
{
    const struct reduce_kernels *kernels = kernels_reduce(core->options.isa);
    const size_t n = slice->slice.plan->elements;
    size_t summed = 0;
    for (uint32_t rank = 0; rank < slice->round.ranks; rank++) {
        const struct contribution contribution = round_of(&slice->round, rank);
        if (contribution.state != CONTRIBUTION_COUNTED || contribution.examples == 0)
            continue;
        if (contribution.examples == slice->round.examples)
            return contribution.grad;
        const float weight = round_weight(&slice->round, &contribution);
        if (summed++ == 0)
            kernels->scale(n, weight, contribution.grad, core->sum);
        else
            kernels->add(n, weight, contribution.grad, core->sum);
    }
    return core->sum;
}

/* ---- The step -------------------------------------------------------------------------------- */

static double learning_rate(const struct core_slice *slice)
{
    const struct group *group = slice->slice.group;
    const bool by_version = slice->job->policy->schedule_by_version;
    const uint64_t clock = by_version ? slice->slice.version : slice->slice.t;
    return schedule_lr(&group->schedule, group->hyper.lr, clock);
}

static void copy(size_t n, const float *from, float *to)
{
    for (size_t i = 0; i < n; i++)
        to[i] = from[i];
}

/* Writes version + 1 into next, which may be the current buffer. */
static void step(const struct core *core, struct core_slice *slice, const float *grad,
                 struct weights *next)
{
    struct slice *s = &slice->slice;
    const struct optimizer *optimizer = s->group->optimizer;
    const struct optim_step terms = {
        .hyper = &s->group->hyper, .lr = learning_rate(slice), .t = s->t + 1};
    for (size_t at = 0; at < s->plan->elements; at += BLOCK_ELEMENTS) {
        const size_t left = s->plan->elements - at;
        const size_t n = left < BLOCK_ELEMENTS ? left : BLOCK_ELEMENTS;
        float *slot[OPTIMIZER_SLOTS_MAX];
        for (size_t k = 0; k < optimizer_slots(optimizer); k++)
            slot[k] = s->slot[k] + at;
        if (next != s->current)
            copy(n, s->current->values + at, next->values + at);
        optimizer->step[core->options.isa](&terms, n, next->values + at, grad + at, slot);
    }
    s->t++;
    slice_publish(s, next);
}

/* ---- The answers ----------------------------------------------------------------------------- */

static void settle_rank(struct core_slice *slice, uint32_t rank, enum stepd_outcome outcome)
{
    const struct contribution contribution = round_of(&slice->round, rank);
    record_note(&slice->slice.by_rank[rank].record, contribution.clock, outcome,
                slice->slice.version);
    round_settle(&slice->round, rank);
}

static void settle_counted(struct core_slice *slice, enum stepd_outcome outcome)
{
    for (uint32_t rank = 0; rank < slice->round.ranks; rank++) {
        if (round_of(&slice->round, rank).state == CONTRIBUTION_COUNTED)
            settle_rank(slice, rank, outcome);
    }
}

/* A push's waiter is ready when its clock has gone from the round into the record. */
static void wake_push(struct waiter *waiter)
{
    const struct request *request = waiter->request;
    const uint32_t rank = request->conn->session->rank;
    const struct record *record = &waiter->slice->slice.by_rank[rank].record;
    struct record_entry entry = {.clock = 0};
    if (request->clock > record->clock || !record_find(record, request->clock, &entry))
        return;
    const bool applied = entry.outcome == STEPD_APPLIED;
    waiter_ready(waiter, applied ? waiter->outcome : entry.outcome, entry.version);
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

/* All contributions at once: the mean over their examples. */
static void close_together(struct core *core, struct core_slice *slice, struct weights *next)
{
    if (next != NULL)
        step(core, slice, mean_gradient(core, slice), next);
    else
        slice_publish_same(&slice->slice);
    settle_counted(slice, next != NULL ? STEPD_APPLIED : STEPD_SKIPPED);
}

static uint32_t first_counted(const struct core_slice *slice)
{
    uint32_t rank = 0;
    while (round_of(&slice->round, rank).state != CONTRIBUTION_COUNTED)
        rank++;
    return rank;
}

/* One contribution by itself; the lowest rank where several have had to wait. */
static void close_one(struct core *core, struct core_slice *slice, struct weights *next)
{
    const uint32_t rank = first_counted(slice);
    if (next != NULL)
        step(core, slice, round_of(&slice->round, rank).grad, next);
    else
        slice_publish_same(&slice->slice);
    settle_rank(slice, rank, next != NULL ? STEPD_APPLIED : STEPD_SKIPPED);
}

/* Examples behind what closes next. Without any there is no update, and the version goes up all
 * the same. */
static uint64_t closing_examples(const struct core_slice *slice)
{
    return slice->job->policy->together ? slice->round.examples
                                        : round_of(&slice->round, first_counted(slice)).examples;
}

void update_try(struct core *core, struct core_slice *slice)
{
    const struct sync_policy *policy = slice->job->policy;
    slice->blocked = false;
    while (policy->closes(&slice->job->members, &slice->round, slice->slice.version)) {
        struct weights *next = NULL;
        if (closing_examples(slice) > 0) {
            next = slice_next(&slice->slice);
            slice->blocked = next == NULL;
        }
        if (slice->blocked)
            return;
        if (policy->together)
            close_together(core, slice, next);
        else
            close_one(core, slice, next);
        waiters_wake(slice);
    }
}
