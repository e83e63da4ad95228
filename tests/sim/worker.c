/* SPDX-License-Identifier: Apache-2.0
 *
 * Asking on top, answers below. A question under way is kept until its last answer, or until its
 * connection is lost; an answer that comes later is to a connection that nobody listens to.
 */
#include "tests/sim/worker.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/dtype.h"

struct question {
    struct question *next;
    uint64_t id;
    uint32_t shard;
    enum stepd_message_kind kind;
    enum worker_phase phase;
    uint64_t clock;
    size_t slices;
    uint32_t slice[WORKER_SLICES_MAX];
};

/* ---- Connections ----------------------------------------------------------------------------- */

void worker_session(uint32_t rank, uint8_t session[STEPD_SESSION_BYTES])
{
    for (size_t i = 0; i < STEPD_SESSION_BYTES; i++)
        session[i] = (uint8_t)(rank + 1 + i);
}

void worker_init(struct worker *worker, const struct plan *plan, const struct replay *replay,
                 uint32_t rank, struct random *random)
{
    assert_true(plan->job->layout.slices <= WORKER_SLICES_MAX);
    *worker = (struct worker){
        .plan = plan,
        .replay = replay,
        .random = random,
        .rank = rank,
        .epoch = 1,
        .phase = rank == 0 ? WORKER_ASSIGN : WORKER_FIRST,
    };
}

static void forget(struct worker *worker, struct question *question)
{
    struct question **at = &worker->questions;
    while (*at != question)
        at = &(*at)->next;
    *at = question->next;
    for (size_t i = 0; i < question->slices; i++)
        worker->slice[question->slice[i]].asked--;
    free(question);
}

void worker_deinit(struct worker *worker)
{
    while (worker->questions != NULL)
        forget(worker, worker->questions);
}

void worker_connect(struct worker *worker, uint32_t shard, struct link *link)
{
    uint8_t session[STEPD_SESSION_BYTES];
    worker_session(worker->rank, session);
    worker->link[shard] = link;
    const struct stepd_message hello = {
        .request_id = ++worker->requests,
        .kind = STEPD_MESSAGE_HELLO,
        .body.hello = {.protocol = STEPD_PROTOCOL_VERSION,
                       .job = worker->plan->job->name,
                       .worker = "sim",
                       .rank = (int32_t)worker->rank,
                       .session = {.count = sizeof session, .at = session},
                       .shard = shard + 1},
    };
    link_send(link, &hello, NULL, 0);
}

void worker_disconnect(struct worker *worker, uint32_t shard)
{
    worker->link[shard] = NULL;
    struct question *next = NULL;
    for (struct question *question = worker->questions; question != NULL; question = next) {
        next = question->next;
        if (question->shard == shard)
            forget(worker, question);
    }
}

/* ---- Asking ---------------------------------------------------------------------------------- */

/* What a slice needs next, or ERROR for nothing. */
static enum stepd_message_kind need(const struct worker *worker, uint32_t slice)
{
    const struct holding *holding = &worker->slice[slice];
    switch (worker->phase) {
    case WORKER_ASSIGN: return holding->pushed ? STEPD_MESSAGE_ERROR : STEPD_MESSAGE_ASSIGN;
    case WORKER_FIRST:
    case WORKER_FINAL: return holding->pulled ? STEPD_MESSAGE_ERROR : STEPD_MESSAGE_PULL;
    case WORKER_STEP:
        if (!holding->pushed)
            return STEPD_MESSAGE_PUSH;
        return holding->pulled ? STEPD_MESSAGE_ERROR : STEPD_MESSAGE_PULL;
    case WORKER_DONE: return STEPD_MESSAGE_ERROR;
    }
    return STEPD_MESSAGE_ERROR;
}

/* Is a push of this clock under way? */
static bool is_pushing(const struct worker *worker, uint32_t slice)
{
    for (const struct question *q = worker->questions; q != NULL; q = q->next) {
        const bool pushes = q->kind == STEPD_MESSAGE_PUSH || q->kind == STEPD_MESSAGE_STEP;
        for (size_t i = 0; i < q->slices && pushes && q->clock == worker->clock; i++) {
            if (q->slice[i] == slice)
                return true;
        }
    }
    return false;
}

/* May a slice be asked for so now? A pull of the version to come may overtake the answer to the
 * push that it waits for. */
static bool may_ask(struct worker *worker, uint32_t slice, enum stepd_message_kind kind, bool again)
{
    const struct holding *holding = &worker->slice[slice];
    const bool early = kind == STEPD_MESSAGE_PULL && worker->phase == WORKER_STEP &&
                       worker->plan->job->consistency.mode == STEPD_SYNC && !holding->pulled;
    if (early && holding->asked == 1 && is_pushing(worker, slice))
        return random_once_in(worker->random, 4);
    return need(worker, slice) == kind && (again || holding->asked == 0);
}

/* Chooses some of the shard's slices that need the same and are not asked for, in any order; with
 * `again` also such as are asked for already. */
static size_t choose(struct worker *worker, uint32_t shard, enum stepd_message_kind kind,
                     bool again, uint32_t *ret_slice)
{
    const struct layout *layout = &worker->plan->job->layout;
    size_t count = 0;
    for (uint32_t i = 0; i < layout->slices; i++) {
        if (layout->slice[i].shard != shard || !may_ask(worker, i, kind, again))
            continue;
        const size_t place = random_below(worker->random, count + 1);
        ret_slice[count++] = ret_slice[place];
        ret_slice[place] = i;
    }
    return count == 0 ? 0 : random_between(worker->random, 1, count);
}

/* The payload of the slices, in the job's dtype. Caller frees. */
static uint8_t *make_payload(const struct worker *worker, const struct question *question,
                             enum stepd_dtype dtype, size_t *ret_bytes)
{
    const struct layout *layout = &worker->plan->job->layout;
    uint8_t *payload = malloc(question->slices * PLAN_SLICE_ELEMENTS * sizeof(float) + 1);
    assert_non_null(payload);
    *ret_bytes = 0;
    for (size_t i = 0; i < question->slices; i++) {
        const uint32_t slice = question->slice[i];
        float elements[PLAN_SLICE_ELEMENTS];
        if (question->kind == STEPD_MESSAGE_ASSIGN)
            plan_values(worker->plan, slice, elements);
        else
            plan_grad(worker->plan, worker->rank, worker->clock, slice,
                      worker->slice[slice].weights, elements);
        stepd_dtype_narrow(dtype, layout->slice[slice].elements, elements, payload + *ret_bytes);
        *ret_bytes += layout->slice[slice].elements * stepd_dtype_bytes(dtype);
    }
    return payload;
}

static uint32_t random_deadline(struct worker *worker)
{
    if (!worker->plan->faults || random_once_in(worker->random, 2))
        return 0;
    return (uint32_t)random_between(worker->random, 1, plan_wait_max_ms(worker->plan));
}

static void ask_assign(struct worker *worker, const struct question *question)
{
    const struct stepd_message message = {
        .request_id = question->id,
        .kind = STEPD_MESSAGE_ASSIGN,
        .body.assign = {.incarnation = 1,
                        .slices = {.count = question->slices, .at = question->slice},
                        .dtype = STEPD_F32},
    };
    size_t bytes = 0;
    uint8_t *payload = make_payload(worker, question, STEPD_F32, &bytes);
    link_send(worker->link[question->shard], &message, payload, bytes);
    free(payload);
}

static void ask_pull(struct worker *worker, const struct question *question)
{
    uint64_t min_version = worker->phase == WORKER_FINAL ? plan_last_version(worker->plan) : 0;
    if (worker->phase == WORKER_STEP && worker->plan->job->consistency.mode == STEPD_SYNC)
        min_version = worker->clock;
    const struct stepd_message message = {
        .request_id = question->id,
        .kind = STEPD_MESSAGE_PULL,
        .body.pull = {.incarnation = 1,
                      .slices = {.count = question->slices, .at = question->slice},
                      .min_version = min_version,
                      .dtype = worker->plan->pull_dtype,
                      .deadline_ms = random_deadline(worker)},
    };
    link_send(worker->link[question->shard], &message, NULL, 0);
}

static void ask_push(struct worker *worker, const struct question *question)
{
    uint64_t version[WORKER_SLICES_MAX];
    for (size_t i = 0; i < question->slices; i++)
        version[i] = worker->slice[question->slice[i]].version;
    const struct stepd_push_slices push = {
        .incarnation = 1,
        .clock = question->clock,
        .slices = {.count = question->slices, .at = question->slice},
        .base_versions = {.count = question->slices, .at = version},
        .examples = plan_examples(worker->plan, worker->rank, question->clock),
        .dtype = worker->plan->push_dtype,
        .deadline_ms = random_deadline(worker),
    };
    struct stepd_message message = {.request_id = question->id, .kind = question->kind};
    if (question->kind == STEPD_MESSAGE_STEP)
        message.body.step =
            (struct stepd_step_slices){.push = push, .pull_dtype = worker->plan->pull_dtype};
    else
        message.body.push = push;
    size_t bytes = 0;
    uint8_t *payload = make_payload(worker, question, push.dtype, &bytes);
    if (question->clock != worker->clock)
        memset(payload, 0xFF, bytes); /* NaN: of a clock that counted long ago nothing is read */
    link_send(worker->link[question->shard], &message, payload, push.examples > 0 ? bytes : 0);
    free(payload);
}

static void send_question(struct worker *worker, struct question *question)
{
    question->id = ++worker->requests;
    question->phase = worker->phase;
    question->next = worker->questions;
    worker->questions = question;
    for (size_t i = 0; i < question->slices; i++)
        worker->slice[question->slice[i]].asked++;
    if (question->kind == STEPD_MESSAGE_ASSIGN)
        ask_assign(worker, question);
    else if (question->kind == STEPD_MESSAGE_PULL)
        ask_pull(worker, question);
    else
        ask_push(worker, question);
}

void worker_ask(struct worker *worker, uint32_t shard)
{
    static const enum stepd_message_kind kinds[] = {STEPD_MESSAGE_ASSIGN, STEPD_MESSAGE_PUSH,
                                                    STEPD_MESSAGE_PULL};
    struct question *question = calloc(1, sizeof *question);
    assert_non_null(question);
    question->shard = shard;
    question->clock = worker->clock;
    question->kind = kinds[random_below(worker->random, 3)];
    const bool again = worker->plan->faults && random_once_in(worker->random, 16);
    question->slices = choose(worker, shard, question->kind, again, question->slice);
    if (question->slices == 0) {
        free(question);
        return;
    }
    if (question->kind == STEPD_MESSAGE_PUSH && again && question->clock > 1 &&
        random_once_in(worker->random, 4))
        question->clock--; /* an old push, from a worker that has lost count */
    else if (question->kind == STEPD_MESSAGE_PUSH && random_once_in(worker->random, 2))
        question->kind = STEPD_MESSAGE_STEP;
    send_question(worker, question);
}

/* ---- Going on -------------------------------------------------------------------------------- */

static bool is_settled(const struct worker *worker)
{
    for (uint32_t i = 0; i < worker->plan->job->layout.slices; i++) {
        if (need(worker, i) != STEPD_MESSAGE_ERROR)
            return false;
    }
    return true;
}

static void enter(struct worker *worker, enum worker_phase phase)
{
    worker->phase = phase;
    for (uint32_t i = 0; i < worker->plan->job->layout.slices; i++) {
        struct holding *holding = &worker->slice[i];
        if (holding->pulled) {
            holding->version = holding->next_version;
            memcpy(holding->weights, holding->next, sizeof holding->weights);
        }
        holding->pushed = false;
        holding->pulled = false;
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

/* The weights of one slice as they came, held against what the replay says of this version. */
static void check_weights(const struct worker *worker, const struct question *question,
                          uint32_t slice, uint64_t version, const float *weights)
{
    const struct plan *plan = worker->plan;
    const size_t n = plan->job->layout.slice[slice].elements;
    /* In async mode a step's version is that of its push; its weights may be newer. */
    const bool told =
        plan->job->consistency.mode == STEPD_SYNC || question->kind == STEPD_MESSAGE_PULL;
    const float *known = told ? replay_weights(worker->replay, version, slice) : NULL;
    if (known != NULL) {
        float expected[PLAN_SLICE_ELEMENTS];
        plan_round_trip(plan->pull_dtype, n, known, expected);
        if (memcmp(expected, weights, n * sizeof *weights) != 0)
            plan_fail(plan, "rank %u gets other weights of slice %u at version %llu", worker->rank,
                      slice, (unsigned long long)version);
        return;
    }
    if (plan->job->consistency.mode == STEPD_SYNC)
        plan_fail(plan, "version %llu does not exist", (unsigned long long)version);
    /* async: every element has gone the same way from its first value */
    const float *first = replay_weights(worker->replay, 0, slice);
    for (size_t i = 1; i < n; i++) {
        if (weights[i] - first[i] != weights[0] - first[0])
            plan_fail(plan, "rank %u gets a torn slice %u", worker->rank, slice);
    }
}

static void check_outcome(struct worker *worker, const struct question *question, uint32_t slice,
                          enum stepd_outcome outcome)
{
    const struct plan *plan = worker->plan;
    const bool sync = plan->job->consistency.mode == STEPD_SYNC;
    const uint64_t examples = sync ? replay_examples(plan, question->clock)
                                   : plan_examples(plan, worker->rank, question->clock);
    const bool skipped = outcome == STEPD_SKIPPED;
    const bool counted = outcome == STEPD_APPLIED || outcome == STEPD_DUPLICATE;
    if ((!skipped && !counted) || skipped != (examples == 0))
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

/* In sync mode a push is answered with the version that it made. */
static void check_version(const struct worker *worker, const struct question *question,
                          uint64_t version)
{
    if (worker->plan->job->consistency.mode == STEPD_SYNC && version != question->clock)
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
    if (question->phase != worker->phase || question->clock != worker->clock)
        return; /* of before */
    holding->pushed = holding->pushed || question->kind != STEPD_MESSAGE_PULL;
    if (weights == NULL || holding->pulled)
        return;
    holding->pulled = true;
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
        float weights[PLAN_SLICE_ELEMENTS] = {0};
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
        forget(worker, question);
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
    if (message->kind == STEPD_MESSAGE_WELCOME)
        return;
    struct question *question = find_question(worker, message->request_id);
    if (question == NULL)
        plan_fail(worker->plan, "rank %u is answered what it has not asked", worker->rank);
    if (message->kind == STEPD_MESSAGE_RESULT)
        on_result(worker, question, &message->body.result, payload);
    else if (worker->plan->faults && message->kind == STEPD_MESSAGE_ERROR &&
             message->body.error.code == STEPD_DEADLINE_EXCEEDED)
        forget(worker, question); /* and ask again */
    else
        plan_fail(worker->plan, "rank %u is refused: %s", worker->rank, message->body.error.text);
    go_on(worker);
}
