/* SPDX-License-Identifier: Apache-2.0
 *
 * What comes back to a worker: each answer is held against the replay, and when all slices are
 * settled, the worker goes on.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/dtype.h"
#include "tests/sim/worker_internal.h"

/* Of one step, before a worker that may wait for ever gives up. */
enum { TIMEOUTS_MAX = 20 };

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
    worker->timeouts = 0;
    for (uint32_t i = 0; i < worker->plan->job->layout.slices; i++) {
        struct holding *holding = &worker->slice[i];
        if ((holding->pulled >> STEPD_TRAINING & 1) != 0) {
            holding->version = holding->next_version;
            memcpy(holding->weights, holding->next, sizeof holding->weights);
        }
        holding->pushed = false;
        holding->repaired = false;
        holding->pulled = 0;
    }
}

static void go_on(struct worker *worker)
{
    if (!is_settled(worker))
        return;
    switch (worker->phase) {
    case WORKER_JOIN: return;
    case WORKER_ASSIGN: enter(worker, WORKER_FIRST); return;
    case WORKER_FIRST:
    case WORKER_STEP:
        if (worker->clock >= worker->plan->steps_of[worker->rank]) {
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

/* The weights of one slice as they came, held against what the replay says of this version. */
static void check_weights(const struct worker *worker, const struct question *question,
                          uint32_t slice, uint64_t version, const float *weights)
{
    const struct plan *plan = worker->plan;
    const struct slice_plan *of_slice = &plan->job->layout.slice[slice];
    const float *known = replay_weights(worker->replay, version, question->view, slice);
    if (known == NULL) {
        plan_fail(plan, "rank %u gets slice %u at version %llu, which does not exist", worker->rank,
                  slice, (unsigned long long)version);
        return;
    }
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

static void tell_witness(const struct worker *worker, const struct question *question,
                         uint32_t slice, enum stepd_outcome outcome, uint64_t version)
{
    witness_answer(worker->witness,
                   &(struct witness_answer){.rank = worker->rank,
                                            .clock = question->clock,
                                            .slice = slice,
                                            .outcome = outcome,
                                            .version = version,
                                            .with_weights = question->kind == STEPD_MESSAGE_STEP});
}

/* Of two answers one at most says that the push counts, and the other that it had counted. */
static void check_once(struct worker *worker, const struct question *question, uint32_t slice)
{
    const uint64_t clock_bit = UINT64_C(1) << question->clock;
    if ((worker->slice[slice].applied & clock_bit) != 0)
        plan_fail(worker->plan, "clock %llu of rank %u, slice %u, counts twice",
                  (unsigned long long)question->clock, worker->rank, slice);
    worker->slice[slice].applied |= clock_bit;
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

static void check_push(struct worker *worker, const struct question *question, uint32_t slice,
                       enum stepd_outcome outcome, uint64_t version)
{
    tell_witness(worker, question, slice, outcome, version);
    if (outcome == STEPD_APPLIED || outcome == STEPD_ACCUMULATED)
        check_once(worker, question, slice);
}

static void settle(struct worker *worker, const struct question *question, uint32_t slice,
                   uint64_t version, const float *weights)
{
    struct holding *holding = &worker->slice[slice];
    const uint32_t view_bit = UINT32_C(1) << question->view;
    if (question->phase != worker->phase || question->clock != worker->clock || question->curious)
        return; /* of before, or for no purpose */
    if (question->kind != STEPD_MESSAGE_PULL) {
        holding->pushed = true;
        holding->made = version;
    }
    if (weights == NULL || (holding->pulled & view_bit) != 0)
        return;
    if (version < holding->version)
        plan_fail(worker->plan, "rank %u gets slice %u at version %llu, and had %llu", worker->rank,
                  slice, (unsigned long long)version, (unsigned long long)holding->version);
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
        if (pushes)
            check_push(worker, question, slice, (enum stepd_outcome)result->outcomes.at[i],
                       version);
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

/* A NaN was refused: the next one brings none. */
static void repair(struct worker *worker, const struct question *question)
{
    for (size_t i = 0; i < question->slices && question->clock == worker->clock; i++)
        worker->slice[question->slice[i]].repaired = true;
    coverage_count(worker->plan->coverage, COVERAGE_NONFINITE, 1);
}

static bool says(const struct stepd_error_reply *error, enum stepd_status code, const char *text)
{
    return error->code == code && strstr(error->text, text) != NULL;
}

static bool says_halted(const struct stepd_error_reply *error)
{
    return says(error, STEPD_FAILED_PRECONDITION, "is halted");
}

/* A wait that is over says what it was for, and names the ranks. */
static bool names_cause(const struct stepd_error_reply *error)
{
    static const char *const causes[] = {"waiting for ",
                                         "has not started: ", "had not come in whole"};
    bool names = false;
    for (size_t i = 0; i < sizeof causes / sizeof causes[0]; i++)
        names = names || strstr(error->text, causes[i]) != NULL;
    for (size_t i = 0; i < error->waited_for.count && names && i < 1; i++) {
        char rank[32];
        (void)snprintf(rank, sizeof rank, "rank %u", error->waited_for.at[i]);
        names = strstr(error->text, rank) != NULL;
    }
    return names;
}

/* Is an error one that must be expected? */
static bool is_expected(const struct worker *worker, const struct question *question,
                        const struct stepd_error_reply *error)
{
    const struct plan *plan = worker->plan;
    const bool pushes =
        question->kind == STEPD_MESSAGE_PUSH || question->kind == STEPD_MESSAGE_STEP;
    if (error->code == STEPD_DEADLINE_EXCEEDED)
        return (plan->faults || plan_may_wait_for_ever(plan)) && names_cause(error);
    if (says_halted(error))
        return plan_may_halt(plan);
    /* What its predecessor pushed last waits for others. */
    if (says(error, STEPD_FAILED_PRECONDITION, "wait for that answer"))
        return pushes && worker->enrolment.replaces && !plan->exact;
    return pushes && plan->spoils && says(error, STEPD_INVALID_ARGUMENT, "is NaN or infinite");
}

static void give_up(struct worker *worker, enum coverage_thing why)
{
    if (worker->phase != WORKER_STEP)
        return;
    coverage_count(worker->plan->coverage, why, 1);
    enter(worker, WORKER_FINAL);
}

/* A job that has failed has nothing more for its workers. */
static void end(struct worker *worker)
{
    if (worker->phase == WORKER_DONE)
        return;
    coverage_count(worker->plan->coverage, COVERAGE_HALTED, 1);
    enter(worker, WORKER_DONE);
}

static void on_error(struct worker *worker, struct question *question,
                     const struct stepd_error_reply *error)
{
    if (!is_expected(worker, question, error))
        plan_fail(worker->plan, "rank %u is refused: %s", worker->rank, error->text);
    plan_trace(worker->plan, "rank %u is told: %s", worker->rank, error->text);
    if (error->code == STEPD_INVALID_ARGUMENT)
        repair(worker, question);
    question_forget(worker, question); /* and ask again */
    if (says_halted(error)) {
        witness_halted(worker->witness, error->text);
        end(worker);
    }
    worker->timeouts += error->code == STEPD_DEADLINE_EXCEEDED;
    if (plan_may_wait_for_ever(worker->plan) && worker->timeouts == TIMEOUTS_MAX)
        give_up(worker, COVERAGE_GAVE_UP);
}

void worker_on_control(void *owner, struct link *link, const struct stepd_message *message,
                       const uint8_t *payload, size_t payload_bytes)
{
    (void)link;
    (void)payload;
    (void)payload_bytes;
    struct worker *worker = owner;
    if (message->kind == STEPD_MESSAGE_ERROR && says_halted(&message->body.error))
        witness_halted(worker->witness, message->body.error.text);
    enrol_on_message(&worker->enrolment, message);
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
    else if (message->kind == STEPD_MESSAGE_ERROR)
        on_error(worker, question, &message->body.error);
    else
        plan_fail(worker->plan, "rank %u gets a %s", worker->rank,
                  stepd_message_name(message->kind));
    go_on(worker);
}
