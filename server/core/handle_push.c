/* SPDX-License-Identifier: Apache-2.0
 *
 * Push and Step. What a gradient is worth is decided slice by slice, when the slice's turn in the
 * payload comes:
 *
 *     the open round holds this clock already    dropped; answered when the round closes, or at
 *                                                once where a later push is to come first
 *     the record knows this clock                dropped; answered with what became of it
 *     the policy says late or fenced             dropped; answered so
 *     otherwise                                  into staging, and counted when it is whole
 *
 * What can never be right (a clock with a gap, a base version that does not exist, a payload of
 * another length, no loss where a group needs it) refuses the whole request before a byte of it is
 * taken.
 */
#include <inttypes.h>

#include "proto/dtype.h"
#include "proto/error.h"
#include "server/core/core_internal.h"

static uint32_t rank_of(const struct waiter *waiter)
{
    return waiter->request->conn->session->rank;
}

static struct record *record_of(const struct waiter *waiter)
{
    return &waiter->slice->slice.by_rank[rank_of(waiter)].record;
}

float *push_staging(const struct waiter *waiter)
{
    return waiter->slice->slice.by_rank[rank_of(waiter)].staging;
}

/* ---- Before anything is taken ---------------------------------------------------------------- */

static enum stepd_status check_sender(const struct core_conn *conn,
                                      const struct stepd_push_slices *push,
                                      struct stepd_error *reterr)
{
    if (conn->session->observer)
        return stepd_fail(reterr, STEPD_PERMISSION_DENIED,
                          "an observer does not push; say Hello as a worker");
    const struct core_job *job = job_find(conn->core, conn->session->job_name);
    if (job != NULL && conn->session->rank >= job->job->workers)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "rank %u pushes, and job '%s' has %u workers: ranks 0 to %u",
                          conn->session->rank, job->job->name, job->job->workers,
                          job->job->workers - 1);
    if (push->base_versions.count != 1 && push->base_versions.count != push->slices.count)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "base_versions has %zu numbers for %zu slices; it needs one for each, or "
                          "one for all",
                          push->base_versions.count, push->slices.count);
    return STEPD_OK;
}

/* The newest clock that has counted, or that its rank goes on from. */
static uint64_t counted_clock(const struct waiter *waiter)
{
    return members_clock(&waiter->slice->job->members, rank_of(waiter), record_of(waiter)->clock);
}

/* The highest clock that leaves no gap. A predecessor may have died before it had sent this slice
 * anything of the first step; and in sync mode, where clocks go with versions, rounds may have
 * closed without this rank. */
static uint64_t newest_clock(const struct waiter *waiter)
{
    const struct core_slice *slice = waiter->slice;
    const struct contribution open = round_of(&slice->round, rank_of(waiter));
    const uint64_t counted = counted_clock(waiter);
    const uint64_t pushes = (uint64_t)slice->job->job->consistency.accumulate;
    const uint64_t passed = slice->slice.version * pushes; /* with the rounds that have closed */
    if (open.pushes > 0)
        return open.clock + 1;
    if (counted == 0)
        return passed + pushes + 1;
    const bool follows = slice->job->policy->together && counted < passed;
    return (follows ? passed : counted) + 1;
}

/* Its first push of this slice has the clock that the Welcome has told its rank to go on from:
 * there was time for more than one step of other slices, and the job has gone back to that. */
static bool is_as_told(const struct waiter *waiter, uint64_t clock)
{
    return counted_clock(waiter) == 0 &&
           clock <= job_clock(waiter->slice->job, rank_of(waiter)) + 1;
}

static enum stepd_status check_clock(const struct waiter *waiter, struct stepd_error *reterr)
{
    const uint64_t clock = waiter->request->clock;
    const struct contribution open = round_of(&waiter->slice->round, rank_of(waiter));
    const uint64_t counted = open.pushes > 0 ? open.clock : counted_clock(waiter);
    if (clock == 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "clock is 0; a worker's first push has 1");
    if (open.state == CONTRIBUTION_COUNTED && clock > open.clock)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "clock %" PRIu64 " came before clock %" PRIu64
                          " was answered; wait for that answer",
                          clock, open.clock);
    if (clock > newest_clock(waiter) && !is_as_told(waiter, clock))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "clock %" PRIu64 " leaves a gap; the next of rank %u is %" PRIu64, clock,
                          rank_of(waiter), counted + 1);
    return STEPD_OK;
}

/* What of a group needs the loss of every push; NULL: nothing. */
static const char *wants_loss(const struct group *group)
{
    if (group->frozen)
        return NULL;
    if (schedule_wants_loss(&group->schedule))
        return group->schedule.kind->name;
    for (size_t i = 0; i < group->phases; i++) {
        const struct phase *phase = &group->phase[i];
        if (phase->optimizer->wants_loss != NULL && phase->optimizer->wants_loss(&phase->hyper))
            return phase->optimizer->name;
    }
    return NULL;
}

static enum stepd_status check_loss(const struct waiter *waiter, struct stepd_error *reterr)
{
    const struct request *request = waiter->request;
    const struct group *group = waiter->slice->slice.group;
    const char *wanting = wants_loss(group);
    if (wanting == NULL || request->has_loss || request->examples == 0)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "group '%s' takes its step by the loss (%s), and this push brings none; send "
                      "the mean over its examples as Push.loss",
                      group->name, wanting);
}

/* Weights that a gradient was computed at are kept of each rank's last pull. */
static enum stepd_status check_backup(const struct waiter *waiter, struct stepd_error *reterr)
{
    const struct slice *slice = &waiter->slice->slice;
    const struct slice_rank *of_rank = &slice->by_rank[rank_of(waiter)];
    if (of_rank->backup == NULL || waiter->base_version == slice->version ||
        waiter->base_version == of_rank->backup_version ||
        waiter->request->clock <= of_rank->record.clock)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                      "base version %" PRIu64 " is not what rank %u pulled last; to compensate its "
                      "delay the gradient must be computed at the weights of the last pull",
                      waiter->base_version, rank_of(waiter));
}

static enum stepd_status check_base(const struct waiter *waiter, struct stepd_error *reterr)
{
    const uint64_t newest = waiter->slice->slice.version;
    if (waiter->base_version <= newest)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "base version %" PRIu64 " does not exist; the newest is %" PRIu64,
                      waiter->base_version, newest);
}

static enum stepd_status check_slice(const struct waiter *waiter, struct stepd_error *reterr)
{
    const struct core_slice *slice = waiter->slice;
    char name[JOB_SLICE_NAME_BYTES];
    enum stepd_status status = check_base(waiter, reterr);
    if (status == STEPD_OK)
        status = check_clock(waiter, reterr);
    if (status == STEPD_OK)
        status = check_backup(waiter, reterr);
    if (status == STEPD_OK && slice->slice.valued)
        return check_loss(waiter, reterr);
    job_slice_name(slice->job->job, slice->slice.index, name, sizeof name);
    if (!slice->slice.valued)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "%s has no values yet; rank 0 must send them, and you pull them first",
                          name);
    return stepd_fail_in(reterr, status, "%s", name);
}

/* A gradient that no payload brings must lie where it was agreed, as it is. */
static enum stepd_status check_placed(const struct request *request, struct stepd_error *reterr)
{
    if (!request->placed)
        return STEPD_OK;
    if (!shared_is_lent(request->conn, request->job))
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "the gradients are placed in shared memory, and this connection has none "
                          "of this incarnation of the job; send them as the payload");
    if (request->dtype != STEPD_F32)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "gradients in shared memory are F32, and the push says %s; send them as "
                          "the payload",
                          stepd_dtype_name(request->dtype));
    for (size_t i = 0; i < request->count; i++) {
        const struct slice *slice = &request->waiter[i].slice->slice;
        if (slice->plan->extra > 0)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "group '%s' wants a Hessian, for which shared memory has no place; "
                              "send it and the gradients as the payload",
                              slice->group->name);
    }
    return STEPD_OK;
}

static enum stepd_status check_all(const struct request *request, uint64_t payload_bytes,
                                   struct stepd_error *reterr)
{
    enum stepd_status status = check_placed(request, reterr);
    if (status == STEPD_OK)
        status = request_check_payload(request, payload_bytes, reterr);
    if (status == STEPD_OK && request->wants_weights)
        status = pull_check_view(request, reterr);
    for (size_t i = 0; i < request->count && status == STEPD_OK; i++)
        status = check_slice(&request->waiter[i], reterr);
    return status;
}

static void fill(struct request *request, const struct stepd_message *message,
                 const struct stepd_push_slices *push)
{
    request->clock = push->clock;
    request->examples = push->examples;
    request->has_loss = push->has_loss;
    request->loss = push->loss;
    request->loss_scale = push->loss_scale > 0.0 ? push->loss_scale : 1.0;
    request->dtype = push->dtype;
    request->placed = push->placed;
    request->wants_weights = message->kind == STEPD_MESSAGE_STEP;
    if (request->wants_weights) {
        request->pull_dtype = message->body.step.pull_dtype;
        request->view = message->body.step.pull_view;
    }
    for (size_t i = 0; i < request->count; i++)
        request->waiter[i].base_version =
            push->base_versions.at[push->base_versions.count == 1 ? 0 : i];
}

enum stepd_status handle_push(struct core_conn *conn, const struct stepd_message *message,
                              uint64_t payload_bytes, struct stepd_error *reterr)
{
    const struct stepd_push_slices *push =
        message->kind == STEPD_MESSAGE_STEP ? &message->body.step.push : &message->body.push;
    enum stepd_status status = check_sender(conn, push, reterr);
    if (status != STEPD_OK)
        return status;
    const struct request_terms terms = {
        .id = message->request_id,
        .kind = message->kind,
        .incarnation = push->incarnation,
        .slices = push->slices,
        .deadline_ms = push->deadline_ms,
    };
    struct request *request = NULL;
    status = request_create(conn, &terms, &request, reterr);
    if (status != STEPD_OK)
        return status;
    fill(request, message, push);
    status = check_all(request, payload_bytes, reterr);
    if (status != STEPD_OK) {
        request_destroy(request);
        return status;
    }
    receive_start(request);
    return STEPD_OK;
}

/* ---- Slice by slice -------------------------------------------------------------------------- */

void push_settle(struct waiter *waiter, enum stepd_outcome outcome, uint64_t version)
{
    waiter->outcome = outcome;
    waiter->version = version;
    if (waiter->request->wants_weights)
        pull_settle(waiter);
    else
        waiter_ready(waiter, outcome, version);
}

/* Its bytes, if any are to come, are not wanted. */
static void settle(struct waiter *waiter, enum stepd_outcome outcome, uint64_t version)
{
    waiter->discard = true;
    push_settle(waiter, outcome, version);
}

/* A clock that was counted before: what became of it? */
static void settle_repeated(struct waiter *waiter)
{
    struct record_entry entry = {.clock = 0};
    if (!record_find(record_of(waiter), waiter->request->clock, &entry)) {
        settle(waiter, STEPD_DUPLICATE, waiter->slice->slice.version);
        return;
    }
    const bool applied = entry.outcome == STEPD_APPLIED;
    settle(waiter, applied ? STEPD_DUPLICATE : entry.outcome, entry.version);
}

static enum verdict judge(const struct waiter *waiter)
{
    const struct core_slice *slice = waiter->slice;
    const struct scene scene = slice_scene(slice);
    const struct claim claim = {
        .rank = rank_of(waiter),
        .clock = waiter->request->clock,
        .base_version = waiter->base_version,
    };
    const enum verdict verdict = slice->job->policy->judge(&scene, &claim);
    return verdict == VERDICT_COUNT && gate_is_sealed(slice) ? VERDICT_LATE : verdict;
}

/* It will not count. A late or stale push has used its clock up, which others may have waited for,
 * and rounds do not wait for its next one; a fenced one has not. */
static void turn_away(struct waiter *waiter, enum verdict verdict)
{
    /* The next one, where that is in the making. */
    const uint64_t version = waiter->slice->slice.version + gate_is_sealed(waiter->slice);
    if (verdict != VERDICT_LATE && verdict != VERDICT_STALE) {
        settle(waiter, STEPD_FENCED, version);
        return;
    }
    const enum stepd_outcome outcome = verdict == VERDICT_LATE ? STEPD_LATE_DROPPED : STEPD_STALE;
    record_note(record_of(waiter), waiter->request->clock, outcome, version);
    settle(waiter, outcome, version);
    waiters_wake(waiter->slice);
    update_try(waiter->request->conn->core, waiter->slice);
}

void push_begin(struct waiter *waiter)
{
    struct core_slice *slice = waiter->slice;
    const struct request *request = waiter->request;
    const struct contribution open = round_of(&slice->round, rank_of(waiter));
    shared_let_go(waiter);
    if (open.state == CONTRIBUTION_COUNTED && open.clock == request->clock) {
        waiter->discard = true;
        waiter->outcome = STEPD_DUPLICATE;
        waiter_park(waiter, WAITER_ROUND);
        return;
    }
    if (request->clock > record_of(waiter)->clock && request->clock <= open.clock &&
        open.pushes > 0) {
        settle(waiter, STEPD_DUPLICATE, slice->slice.version); /* the round has not closed */
        return;
    }
    if (request->clock <= record_of(waiter)->clock) {
        settle_repeated(waiter);
        return;
    }
    const enum verdict verdict = judge(waiter);
    if (verdict != VERDICT_COUNT) {
        turn_away(waiter, verdict);
        return;
    }
    round_begin(&slice->round, rank_of(waiter), request->clock, waiter->base_version);
    request->conn->looked = 0;
    request->conn->bad = SIZE_MAX;
    if (request->examples > 0 && slice->staging != NULL)
        slice->slice.by_rank[rank_of(waiter)].staging = staging_take(slice->staging);
    waiter->outcome = STEPD_APPLIED;
}

/* Where a push has its NaN or infinity: an element of a tensor's gradient, or of the Hessian, which
 * stands behind the gradient row by row. */
static void explain_nonfinite(const struct slice *slice, uint32_t rank, const char *worker,
                              uint32_t index, struct stepd_error *reterr)
{
    const uint32_t n = slice->plan->elements;
    if (index >= n) {
        (void)stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                         "the Hessian of group '%s' from rank %u (worker '%s') is NaN or infinite "
                         "at row %u, column %u",
                         slice->group->name, rank, worker, (index - n) / n, (index - n) % n);
        return;
    }
    uint64_t element = 0;
    const struct tensor *tensor = job_slice_element(slice->job, slice->index, index, &element);
    (void)stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                     "the gradient of tensor '%s' from rank %u (worker '%s') is NaN or infinite at "
                     "element %" PRIu64,
                     tensor->name, rank, worker, element);
}

void push_explain_nonfinite(const struct core *core, const struct core_slice *slice,
                            struct stepd_error *reterr)
{
    const uint32_t rank = slice->nonfinite.rank;
    const struct session *session = session_of_rank(core, slice->job->job->name, rank);
    explain_nonfinite(&slice->slice, rank, session == NULL ? "gone" : session->worker,
                      slice->nonfinite.index, reterr);
}

/* A gradient with a NaN or an infinity: the slice is not counted, and may be sent again with the
 * same clock, repaired or empty. */
static void refuse(struct waiter *waiter, uint32_t index)
{
    struct stepd_error error = {.code = STEPD_OK};
    struct stepd_error why = {.code = STEPD_OK};
    const struct session *session = waiter->request->conn->session;
    explain_nonfinite(&waiter->slice->slice, session->rank, session->worker, index, &why);
    (void)stepd_fail(&error, why.code, "%s; it was not counted", why.text);
    push_abort(waiter);
    request_fail(waiter->request, &error);
}

static bool refuses_nonfinite(const struct core_slice *slice)
{
    return slice->job->job->consistency.nonfinite == CONSISTENCY_REFUSE;
}

/* The step will be skipped for all, or the job halted: who it was is said then. */
static void note_nonfinite(const struct waiter *waiter, uint32_t index)
{
    struct core_slice *slice = waiter->slice;
    if (slice->nonfinite.found)
        return;
    slice->nonfinite.found = true;
    slice->nonfinite.rank = rank_of(waiter);
    slice->nonfinite.index = index;
}

void push_look(struct waiter *waiter, uint64_t received)
{
    const struct request *request = waiter->request;
    float *const grad = waiter->discard ? NULL : push_staging(waiter);
    if (grad != NULL)
        gradient_look(request->conn, slice_push_floats(&waiter->slice->slice), grad,
                      (size_t)received / stepd_dtype_bytes(request->dtype));
}

void push_complete(struct waiter *waiter)
{
    struct core_slice *slice = waiter->slice;
    struct core *core = waiter->request->conn->core;
    const struct request *request = waiter->request;
    const size_t n = slice_push_floats(&slice->slice);
    const uint32_t rank = rank_of(waiter);
    float *const grad = push_staging(waiter);
    /* While it came in, its rank may have been taken out, and the round closed without it. */
    const enum verdict verdict = judge(waiter);
    if (verdict != VERDICT_COUNT) {
        push_abort(waiter);
        turn_away(waiter, verdict);
        return;
    }
    if (grad != NULL) {
        if (request->placed)
            gradient_fetch(request->conn, n, shared_gradient(waiter), grad);
        const size_t bad = request->conn->bad;
        if (bad < n && refuses_nonfinite(slice)) {
            refuse(waiter, (uint32_t)bad);
            return;
        }
        if (bad < n)
            note_nonfinite(waiter, (uint32_t)bad);
        if (core_job_adds_on_arrival(slice->job)) {
            gradient_add(core, slice, request->examples, grad);
            gradient_drop(slice, rank);
        }
    }
    round_count(&slice->round, rank, request->examples,
                gradient_gather(core, slice, rank, request->examples));
    if (request->has_loss)
        round_note_loss(&slice->round, rank, request->examples, request->loss);
    waiter_park(waiter, WAITER_ROUND);
    update_try(core, slice);
}

void push_abort(struct waiter *waiter)
{
    round_drop(&waiter->slice->round, rank_of(waiter));
    gradient_drop(waiter->slice, rank_of(waiter));
}
