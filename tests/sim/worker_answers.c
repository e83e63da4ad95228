/* SPDX-License-Identifier: Apache-2.0
 *
 * What comes back to a worker: each answer is held against the replay, and when all slices are
 * settled, the worker goes on.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/dtype.h"
#include "tests/sim/worker_internal.h"

/* ---- Going on -------------------------------------------------------------------------------- */

static bool is_settled(const struct worker *worker)
{
    for (uint32_t i = 0; i < worker->plan->job->layout.slices; i++) {
        if (worker_need(worker, i) != STEPD_MESSAGE_ERROR)
            return false;
    }
    return true;
}

static void enter(struct worker *worker, enum worker_phase phase)
{
    worker->phase = phase;
    for (uint32_t i = 0; i < worker->plan->job->layout.slices; i++) {
        struct holding *holding = &worker->slice[i];
        if ((holding->pulled >> STEPD_TRAINING & 1) != 0) {
            holding->version = holding->next_version;
            memcpy(holding->weights, holding->next, sizeof holding->weights);
        }
        holding->pushed = false;
        holding->pulled = 0;
    }
}

static void go_on(struct worker *worker)
{
    if (!is_settled(worker))
        return;
    switch (worker->phase) {
    case WORKER_ASSIGN: enter(worker, WORKER_FIRST); return;
    case WORKER_FIRST:
    case WORKER_STEP:
        if (worker->clock == worker->plan->steps) {
            enter(worker, WORKER_FINAL);
            return;
        }
        worker->clock++;
        enter(worker, WORKER_STEP);
        return;
    case WORKER_FINAL: enter(worker, WORKER_DONE); return;
    case WORKER_DONE: return;
    }
}

/* ---- Answers --------------------------------------------------------------------------------- */

/* NaN has no bits of its own that all instruction sets agree on. */
static bool same(float a, float b)
{
    uint32_t bits_of_a;
    uint32_t bits_of_b;
    memcpy(&bits_of_a, &a, sizeof a);
    memcpy(&bits_of_b, &b, sizeof b);
    return bits_of_a == bits_of_b || (isnan(a) && isnan(b));
}

static size_t differences(size_t n, const float *a, const float *b)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += !same(a[i], b[i]);
    return count;
}

static void count_pull(const struct worker *worker, const struct question *question, uint32_t slice,
                       uint64_t version)
{
    struct coverage *coverage = worker->plan->coverage;
    const size_t n = worker->plan->job->layout.slice[slice].elements;
    const float *known = replay_weights(worker->replay, version, question->view, slice);
    const float *weights = replay_weights(worker->replay, version, STEPD_EVALUATION, slice);
    coverage->pulls[question->view]++;
    coverage->apart[question->view] += differences(n, known, weights) > 0;
    coverage->floats += n;
    for (size_t i = 0; i < n; i++)
        coverage->nonfinite += isfinite(known[i]) ? 0 : 1;
}

/* Weights of a version that the replay knows. */
static void check_known(const struct worker *worker, const struct question *question,
                        uint32_t slice, uint64_t version, const float *weights)
{
    const struct plan *plan = worker->plan;
    const struct slice_plan *of_slice = &plan->job->layout.slice[slice];
    const float *known = replay_weights(worker->replay, version, question->view, slice);
    float expected[PLAN_FLOATS_MAX];
    plan_round_trip(plan->pull_dtype, of_slice->elements, known, expected);
    const size_t others = differences(of_slice->elements, expected, weights);
    if (others > 0)
        plan_fail(plan,
                  "rank %u gets %zu of %u elements otherwise, of view %d of slice %u at version "
                  "%llu; the group has %s then, and schedule %s",
                  worker->rank, others, of_slice->elements, (int)question->view, slice,
                  (unsigned long long)version, replay_optimizer(worker->replay, version, slice),
                  replay_schedule(worker->replay, slice));
    count_pull(worker, question, slice, version);
}

/* The weights of one slice as they came, held against what the replay says of this version. */
static void check_weights(const struct worker *worker, const struct question *question,
                          uint32_t slice, uint64_t version, const float *weights)
{
    const struct plan *plan = worker->plan;
    const size_t n = plan->job->layout.slice[slice].elements;
    /* Where others push too, a step's version is that of its push; its weights may be newer. */
    const bool told = plan->ordered || question->kind == STEPD_MESSAGE_PULL;
    if (told && replay_weights(worker->replay, version, question->view, slice) != NULL) {
        check_known(worker, question, slice, version, weights);
        return;
    }
    if (plan->ordered)
        plan_fail(plan, "version %llu does not exist", (unsigned long long)version);
    /* Every element has gone the same way from its first value. */
    const float *first = replay_weights(worker->replay, 0, STEPD_EVALUATION, slice);
    for (size_t i = 1; i < n; i++) {
        if (weights[i] - first[i] != weights[0] - first[0])
            plan_fail(plan, "rank %u gets a torn slice %u", worker->rank, slice);
    }
}

static void check_outcome(struct worker *worker, const struct question *question, uint32_t slice,
                          enum stepd_outcome outcome)
{
    const struct plan *plan = worker->plan;
    const bool skipped = outcome == STEPD_SKIPPED;
    const bool counted = outcome == STEPD_APPLIED || outcome == STEPD_DUPLICATE;
    const bool update = replay_is_update(worker->replay, worker->rank, question->clock, slice);
    if (update ? !counted : !skipped)
        plan_fail(plan, "clock %llu of rank %u, slice %u, comes to outcome %d",
                  (unsigned long long)question->clock, worker->rank, slice, (int)outcome);
    if (outcome != STEPD_APPLIED)
        return;
    const uint64_t clock_bit = UINT64_C(1) << question->clock;
    if ((worker->slice[slice].applied & clock_bit) != 0)
        plan_fail(plan, "clock %llu of rank %u, slice %u, is applied twice",
                  (unsigned long long)question->clock, worker->rank, slice);
    worker->slice[slice].applied |= clock_bit;
}

/* Where updates have an order, a push is answered with the version that it made. */
static void check_version(const struct worker *worker, const struct question *question,
                          uint64_t version)
{
    if (worker->plan->ordered && version != question->clock)
        plan_fail(worker->plan, "clock %llu of rank %u made version %llu",
                  (unsigned long long)question->clock, worker->rank, (unsigned long long)version);
}

/* Widens a slice's weights; gives the bytes that they took. */
static size_t take_weights(const struct worker *worker, uint32_t slice, const uint8_t *payload,
                           float *ret_weights)
{
    const enum stepd_dtype dtype = worker->plan->pull_dtype;
    const size_t n = worker->plan->job->layout.slice[slice].elements;
    const size_t bytes = n * stepd_dtype_bytes(dtype);
    memcpy(stepd_dtype_wire_start(dtype, n, ret_weights), payload, bytes);
    stepd_dtype_widen(dtype, n, ret_weights);
    return bytes;
}

static void settle(struct worker *worker, const struct question *question, uint32_t slice,
                   uint64_t version, const float *weights)
{
    struct holding *holding = &worker->slice[slice];
    const uint32_t view_bit = UINT32_C(1) << question->view;
    if (question->phase != worker->phase || question->clock != worker->clock || question->curious)
        return; /* of before, or for no purpose */
    holding->pushed = holding->pushed || question->kind != STEPD_MESSAGE_PULL;
    if (weights == NULL || (holding->pulled & view_bit) != 0)
        return;
    holding->pulled |= view_bit;
    if (question->view != STEPD_TRAINING)
        return;
    holding->next_version = version;
    memcpy(holding->next, weights, sizeof holding->next);
}

static void on_result(struct worker *worker, struct question *question,
                      const struct stepd_result *result, const uint8_t *payload)
{
    const bool pushes =
        question->kind == STEPD_MESSAGE_PUSH || question->kind == STEPD_MESSAGE_STEP;
    const bool weighs =
        question->kind == STEPD_MESSAGE_PULL || question->kind == STEPD_MESSAGE_STEP;
    for (size_t i = 0; i < result->slices.count; i++) {
        const uint32_t slice = result->slices.at[i];
        const uint64_t version = result->versions.at[i];
        float weights[PLAN_FLOATS_MAX] = {0};
        if (pushes) {
            check_outcome(worker, question, slice, (enum stepd_outcome)result->outcomes.at[i]);
            check_version(worker, question, version);
        }
        if (weighs) {
            payload += take_weights(worker, slice, payload, weights);
            check_weights(worker, question, slice, version, weights);
        }
        settle(worker, question, slice, version, weighs ? weights : NULL);
    }
    if (result->last)
        question_forget(worker, question);
}

static struct question *find_question(const struct worker *worker, uint64_t id)
{
    struct question *question = worker->questions;
    while (question != NULL && question->id != id)
        question = question->next;
    return question;
}

void worker_on_frame(void *owner, struct link *link, const struct stepd_message *message,
                     const uint8_t *payload, size_t payload_bytes)
{
    (void)link;
    (void)payload_bytes;
    struct worker *worker = owner;
    plan_trace(worker->plan, "rank %u gets %s to %llu", worker->rank,
               stepd_message_name(message->kind), (unsigned long long)message->request_id);
    if (message->kind == STEPD_MESSAGE_WELCOME)
        return;
    struct question *question = find_question(worker, message->request_id);
    if (question == NULL)
        plan_fail(worker->plan, "rank %u is answered what it has not asked", worker->rank);
    else if (message->kind == STEPD_MESSAGE_RESULT)
        on_result(worker, question, &message->body.result, payload);
    else if (worker->plan->faults && message->kind == STEPD_MESSAGE_ERROR &&
             message->body.error.code == STEPD_DEADLINE_EXCEEDED)
        question_forget(worker, question); /* and ask again */
    else
        plan_fail(worker->plan, "rank %u is refused: %s", worker->rank, message->body.error.text);
    go_on(worker);
}
