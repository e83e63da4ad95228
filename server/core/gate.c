/* SPDX-License-Identifier: Apache-2.0
 *
 * A shard's side of the gate (sync/gate.h): slices whose rounds are full do not close one by one,
 * but together with all others of the job, when control says what is to become of the step.
 *
 *     COLLECTING --all slices full--> REPORTED --commit--> COMMITTED --all closed--> COLLECTING
 *                      ^                 |                                 of the next version
 *                      +----without------+
 *
 * The mean of a slice is taken when it is reported, and waits in the slice's sum: what comes then
 * is too late for this round, and nobody can keep it for the next. A slice whose
 * weights are held by readers when the commit comes is closed as soon as one of them lets go; what
 * is pushed to the others meanwhile counts for their next version.
 *
 * Frozen slices make no step and close by themselves.
 */
#include <stdlib.h>

#include "server/core/core_internal.h"
#include "server/core/snapshot.h"
#include "server/optim/norms.h"
#include "server/sync/gate.h"

static bool is_gated(const struct core_slice *slice)
{
    return slice != NULL && !slice->slice.group->frozen;
}

/* ---- Reporting ------------------------------------------------------------------------------- */

static void sum_squares(const struct core_slice *slice, double **at)
{
    const struct slice_plan *plan = slice->slice.plan;
    const struct part *part = &slice->job->job->layout.part[plan->first_part];
    const float *grad = slice->waiting.grad;
    for (uint32_t i = 0; i < plan->parts; i++) {
        if (grad != NULL) {
            norms_block_sums(part[i].elements, grad, *at);
            grad += part[i].elements;
        }
        *at += (part[i].elements + NORMS_BLOCK - 1) / NORMS_BLOCK;
    }
}

bool gate_has_contributed(const struct core_job *job, uint32_t rank)
{
    for (size_t i = 0; i < job->job->layout.slices; i++) {
        const struct core_slice *slice = job->slice[i];
        if (is_gated(slice) && round_of(&slice->round, rank).pushes == 0)
            return false;
    }
    return true;
}

static void forget(struct core_job *job, uint32_t rank)
{
    for (size_t i = 0; i < job->job->layout.slices; i++) {
        struct core_slice *slice = job->slice[i];
        if (!is_gated(slice))
            continue;
        const struct contribution contribution = round_of(&slice->round, rank);
        if (contribution.state != CONTRIBUTION_COUNTED)
            continue;
        round_retract(&slice->round, rank);
        staging_give(slice->staging, contribution.grad);
    }
}

/* All slices here are full, so whoever has contributed to some of them only will send no more: it
 * has died on the way. Where the step is made whole or not at all, it is made without it. */
static void forget_partial(struct core_job *job)
{
    const bool whole = job->job->consistency.atomic == CONSISTENCY_ATOMIC_JOB;
    for (uint32_t rank = 0; whole && rank < job->job->workers; rank++) {
        if (!gate_has_contributed(job, rank))
            forget(job, rank);
    }
}

static bool fill_report(const struct core_job *job, struct notice *report)
{
    const uint32_t workers = job->job->workers;
    report->version_min = job->gate.version;
    report->rank = calloc(workers, sizeof *report->rank);
    report->sum = calloc(job->gate.blocks, sizeof *report->sum);
    if (report->rank == NULL || report->sum == NULL)
        return false;
    for (uint32_t rank = 0; rank < workers; rank++) {
        if (gate_has_contributed(job, rank))
            report->rank[report->ranks++] = rank;
    }
    return true;
}

/* All slices here are full. Without memory the report is made at the next tick. */
static void report(struct core *core, struct core_job *job)
{
    struct notice *notice = notice_create(NOTICE_READY, job->job->name);
    if (notice == NULL || !fill_report(job, notice)) {
        (void)notice_destroy(notice);
        return;
    }
    forget_partial(job);
    double *sum = notice->sum;
    for (size_t i = 0; i < job->job->layout.slices; i++) {
        struct core_slice *slice = job->slice[i];
        if (!is_gated(slice))
            continue;
        slice->waiting = (struct gradient){.grad = NULL};
        if (slice->round.examples > 0)
            slice->waiting = gradient_of_all(core, slice);
        if (job->gate.blocks > 0)
            sum_squares(slice, &sum);
        if (slice->nonfinite.found && notice->error.code == STEPD_OK)
            push_explain_nonfinite(core, slice, &notice->error);
    }
    job->gate.state = GATE_REPORTED;
    notice_send(core, notice);
}

/* Counts the slices that are full, as one of them has become so or is so no more. */
static void count(struct core_slice *slice)
{
    struct core_gate *gate = &slice->job->gate;
    const struct scene scene = slice_scene(slice);
    const bool full = slice->slice.version == gate->version && slice->job->policy->closes(&scene);
    gate->full += full;
    gate->full -= slice->full;
    slice->full = full;
}

/* Can the step be reported now? */
static bool is_ready(const struct core_job *job)
{
    const struct core_gate *gate = &job->gate;
    return gate->state == GATE_COLLECTING && gate->full == gate->slices &&
           job->failure.code == STEPD_OK && !change_holds(job, gate->version);
}

/* ---- Closing --------------------------------------------------------------------------------- */

static void close_slice(struct core *core, struct core_slice *slice)
{
    const struct core_gate *gate = &slice->job->gate;
    const bool update = gate->verdict == ORDER_APPLY && slice->waiting.grad != NULL;
    struct slice_room room;
    slice->blocked = update && !room_find(core, slice, &room);
    if (slice->blocked)
        return;
    slice->waiting.factor = gate->factor;
    const enum stepd_outcome outcome =
        update ? step_make(core, slice, &slice->waiting, &room) : step_skip(slice);
    slice->nonfinite.found = false;
    settle_counted(slice, outcome);
    snapshot_on_closed(core, slice);
    waiters_wake(slice);
}

static size_t count_open(const struct core_job *job)
{
    size_t open = 0;
    for (size_t i = 0; i < job->job->layout.slices; i++)
        open += is_gated(job->slice[i]) && job->slice[i]->slice.version == job->gate.version;
    return open;
}

static void begin_next(struct core *core, struct core_job *job)
{
    struct core_gate *gate = &job->gate;
    free(gate->factor);
    gate->factor = NULL;
    gate->version++;
    gate->state = GATE_COLLECTING;
    gate->full = 0;
    for (size_t i = 0; i < job->job->layout.slices; i++) {
        if (is_gated(job->slice[i]))
            job->slice[i]->full = false;
    }
    if (gate->verdict == ORDER_HALT) {
        struct stepd_error why;
        gate_explain_halt(job->job->name, gate->version - 1, &gate->why, &why);
        job_fail(core, job, &why);
    } else {
        job_try(core, job);
    }
}

static void close_all(struct core *core, struct core_job *job)
{
    for (size_t i = 0; i < job->job->layout.slices; i++) {
        struct core_slice *slice = job->slice[i];
        if (is_gated(slice) && slice->slice.version == job->gate.version)
            close_slice(core, slice);
    }
    if (count_open(job) == 0)
        begin_next(core, job);
}

/* ---- Entries --------------------------------------------------------------------------------- */

void gate_open(struct core *core, struct core_job *job)
{
    struct core_gate *gate = &job->gate;
    gate->gated = job_is_gated(job->job);
    gate->blocks = gate_blocks(job->job, core->options.shard);
    for (size_t i = 0; i < job->job->layout.slices; i++)
        gate->slices += is_gated(job->slice[i]);
}

bool gate_holds(const struct core_slice *slice)
{
    return slice->job->gate.gated && is_gated(slice);
}

bool gate_is_sealed(const struct core_slice *slice)
{
    const struct core_gate *gate = &slice->job->gate;
    return gate_holds(slice) && gate->state != GATE_COLLECTING &&
           slice->slice.version == gate->version;
}

const struct core_slice *gate_slowest(const struct core_slice *slice)
{
    const struct core_job *job = slice->job;
    for (size_t i = 0; gate_holds(slice) && i < job->job->layout.slices; i++) {
        const struct core_slice *other = job->slice[i];
        if (is_gated(other) && (job->gate.state == GATE_COMMITTED ? other->blocked : !other->full))
            return other;
    }
    return slice;
}

void gate_try(struct core *core, struct core_slice *slice)
{
    struct core_job *job = slice->job;
    struct core_gate *gate = &job->gate;
    if (gate->state == GATE_COMMITTED) {
        if (slice->slice.version == gate->version)
            close_slice(core, slice);
        if (count_open(job) == 0)
            begin_next(core, job);
        return;
    }
    count(slice);
    if (is_ready(job))
        report(core, job);
}

void gate_on_tick(struct core *core, struct core_job *job)
{
    const struct core_gate *gate = &job->gate;
    if (gate->gated && gate->slices > 0 && is_ready(job))
        report(core, job);
}

void gate_commit(struct core *core, struct core_job *job, struct order *order)
{
    struct core_gate *gate = &job->gate;
    if (!gate->gated || order->version != gate->version || gate->state != GATE_REPORTED)
        return;
    gate->state = GATE_COMMITTED;
    gate->verdict = order->verdict;
    gate->factor = order->factor;
    order->factor = NULL;
    gate->why = order->error;
    close_all(core, job);
}

void gate_without(struct core *core, struct core_job *job, const struct order *order)
{
    struct core_gate *gate = &job->gate;
    if (!gate->gated || order->version != gate->version || gate->state != GATE_REPORTED)
        return;
    gate->state = GATE_COLLECTING;
    for (size_t k = 0; k < order->ranks; k++)
        forget(job, order->rank_list[k]);
    for (size_t i = 0; i < job->job->layout.slices; i++) {
        if (is_gated(job->slice[i]))
            count(job->slice[i]);
    }
    if (is_ready(job))
        report(core, job);
}
