/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections and questions; worker_answers.c has what comes back. A question under way is kept
 * until its last answer, or until its connection is lost; an answer that comes later is to a
 * connection that nobody listens to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/dtype.h"
#include "tests/sim/worker_internal.h"

/* ---- Connections ----------------------------------------------------------------------------- */

void worker_init(struct worker *worker, const struct worker_world *world, uint32_t rank,
                 bool replaces)
{
    assert_true(world->plan->job->layout.slices <= WORKER_SLICES_MAX);
    *worker = (struct worker){
        .plan = world->plan,
        .witness = world->witness,
        .replay = world->replay,
        .random = world->random,
        .rank = rank,
        .phase = WORKER_JOIN,
    };
    enrol_init(&worker->enrolment, world->plan, rank, replaces, world->random);
}

void question_forget(struct worker *worker, struct question *question)
{
    struct question **at = &worker->questions;
    while (*at != question)
        at = &(*at)->next;
    *at = question->next;
    for (size_t i = 0; i < question->slices && !question->curious; i++)
        worker->slice[question->slice[i]].asked--;
    free(question);
}

void worker_deinit(struct worker *worker)
{
    while (worker->questions != NULL)
        question_forget(worker, worker->questions);
}

bool worker_is_in(const struct worker *worker)
{
    return worker->enrolment.step >= ENROL_IN;
}

void worker_connect(struct worker *worker, uint32_t shard, struct link *link)
{
    worker->link[shard] = link;
    const struct stepd_message hello = {
        .request_id = ++worker->requests,
        .kind = STEPD_MESSAGE_HELLO,
        .body.hello = {.protocol = STEPD_PROTOCOL_VERSION,
                       .job = worker->plan->job->name,
                       .worker = "sim",
                       .rank = (int32_t)worker->rank,
                       .session = {.count = STEPD_SESSION_BYTES, .at = worker->enrolment.session},
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
            question_forget(worker, question);
    }
}

/* ---- Asking ---------------------------------------------------------------------------------- */

/* Is a view of this slice, of the version that the worker has come to, for this worker to pull?
 * Every one is for somebody, and what it trains on is for everybody. */
static bool must_pull(const struct worker *worker, uint32_t slice, enum stepd_view view)
{
    const struct plan *plan = worker->plan;
    if (view == STEPD_TRAINING)
        return true;
    const uint64_t turn = worker->clock + (uint64_t)view;
    return plan->exact && turn % plan->job->workers == worker->rank &&
           replay_keeps(worker->replay, view, slice);
}

static bool lacks(const struct worker *worker, uint32_t slice, enum stepd_view view)
{
    const bool pulled = (worker->slice[slice].pulled >> view & 1) != 0;
    return !pulled && must_pull(worker, slice, view);
}

static bool lacks_any(const struct worker *worker, uint32_t slice)
{
    bool any = false;
    for (int v = 0; v < STEPD_VIEWS; v++)
        any = any || lacks(worker, slice, (enum stepd_view)v);
    return any;
}

enum stepd_message_kind worker_need(const struct worker *worker, uint32_t slice)
{
    const struct holding *holding = &worker->slice[slice];
    const bool pulls = lacks_any(worker, slice);
    switch (worker->phase) {
    case WORKER_JOIN: return STEPD_MESSAGE_HELLO;
    case WORKER_ASSIGN: return holding->pushed ? STEPD_MESSAGE_ERROR : STEPD_MESSAGE_ASSIGN;
    case WORKER_FIRST:
    case WORKER_FINAL: return pulls ? STEPD_MESSAGE_PULL : STEPD_MESSAGE_ERROR;
    case WORKER_STEP:
        if (!holding->pushed)
            return STEPD_MESSAGE_PUSH;
        return pulls ? STEPD_MESSAGE_PULL : STEPD_MESSAGE_ERROR;
    case WORKER_DONE: return STEPD_MESSAGE_ERROR;
    }
    return STEPD_MESSAGE_ERROR;
}

bool worker_explain(const struct worker *worker, char *text, size_t size)
{
    for (uint32_t i = 0; i < worker->plan->job->layout.slices; i++) {
        const enum stepd_message_kind kind = worker_need(worker, i);
        if (kind == STEPD_MESSAGE_ERROR)
            continue;
        (void)snprintf(text, size, "rank %u, clock %llu, slice %u: %s, %u questions", worker->rank,
                       (unsigned long long)worker->clock, i, stepd_message_name(kind),
                       worker->slice[i].asked);
        return true;
    }
    if (worker->phase == WORKER_DONE && worker->enrolment.step == ENROL_LEFT)
        return false;
    (void)snprintf(text, size, "rank %u, clock %llu, in phase %d, and %d with control",
                   worker->rank, (unsigned long long)worker->clock, (int)worker->phase,
                   (int)worker->enrolment.step);
    return true;
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
static bool may_ask(struct worker *worker, uint32_t slice, const struct question *question,
                    bool again)
{
    const struct holding *holding = &worker->slice[slice];
    const bool pulls = question->kind == STEPD_MESSAGE_PULL;
    if (question->curious)
        return replay_keeps(worker->replay, question->view, slice);
    if (pulls && !lacks(worker, slice, question->view))
        return false;
    const bool early = pulls && worker->phase == WORKER_STEP && worker->plan->exact &&
                       worker->plan->job->consistency.mode == STEPD_SYNC;
    if (early && holding->asked == 1 && is_pushing(worker, slice))
        return random_once_in(worker->random, 4);
    if (worker_need(worker, slice) != question->kind)
        return false;
    /* A push that was refused is made again, whoever waits for what it makes. */
    const bool under_way =
        question->kind == STEPD_MESSAGE_PUSH ? is_pushing(worker, slice) : holding->asked > 0;
    return again || !under_way;
}

/* Chooses some of the shard's slices that need the same and are not asked for, in any order; with
 * `again` also such as are asked for already. */
static void choose(struct worker *worker, bool again, struct question *question)
{
    const struct layout *layout = &worker->plan->job->layout;
    size_t count = 0;
    for (uint32_t i = 0; i < layout->slices; i++) {
        if (layout->slice[i].shard != question->shard || !may_ask(worker, i, question, again))
            continue;
        const size_t place = random_below(worker->random, count + 1);
        question->slice[count++] = question->slice[place];
        question->slice[place] = i;
    }
    question->slices = count == 0 ? 0 : random_between(worker->random, 1, count);
}

static void make_push(const struct worker *worker, uint32_t slice, float *ret_floats)
{
    const struct holding *holding = &worker->slice[slice];
    plan_push(worker->plan, worker->rank, worker->clock, slice, holding->weights, ret_floats);
    if (!holding->repaired)
        plan_spoil(worker->plan, worker->rank, worker->clock, slice, ret_floats);
}

/* The payload of the slices, in the job's dtype. Caller frees. */
static uint8_t *make_payload(const struct worker *worker, const struct question *question,
                             enum stepd_dtype dtype, size_t *ret_bytes)
{
    const struct layout *layout = &worker->plan->job->layout;
    const bool assigns = question->kind == STEPD_MESSAGE_ASSIGN;
    uint8_t *payload = malloc(question->slices * PLAN_FLOATS_MAX * sizeof(float) + 1);
    assert_non_null(payload);
    *ret_bytes = 0;
    for (size_t i = 0; i < question->slices; i++) {
        const uint32_t slice = question->slice[i];
        const size_t n =
            assigns ? layout->slice[slice].elements : plan_push_floats(worker->plan, slice);
        float floats[PLAN_FLOATS_MAX];
        if (assigns)
            plan_values(worker->plan, slice, floats);
        else
            make_push(worker, slice, floats);
        stepd_dtype_narrow(dtype, n, floats, payload + *ret_bytes);
        *ret_bytes += n * stepd_dtype_bytes(dtype);
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

/* The version that all slices of a pull have, or will have in time. */
static uint64_t version_to_pull(const struct worker *worker, const struct question *question)
{
    const struct plan *plan = worker->plan;
    const bool sync = plan->job->consistency.mode == STEPD_SYNC;
    if (question->curious && !plan->exact)
        return 0;
    const bool ends = worker->phase == WORKER_FINAL;
    if (ends && plan_may_wait_for_ever(plan))
        return 0;
    if (plan->exact && ends)
        return plan_last_version(plan);
    if (plan->exact && !ends)
        return sync ? plan_version_after(plan, worker->clock) : 0;
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < question->slices; i++) {
        const uint64_t made = worker->slice[question->slice[i]].made;
        least = made < least ? made : least;
    }
    return least;
}

static void ask_pull(struct worker *worker, const struct question *question)
{
    uint64_t min_version = version_to_pull(worker, question);
    if (question->curious && random_once_in(worker->random, 2))
        min_version = 0;
    const struct stepd_message message = {
        .request_id = question->id,
        .kind = STEPD_MESSAGE_PULL,
        .body.pull = {.incarnation = 1,
                      .slices = {.count = question->slices, .at = question->slice},
                      .min_version = min_version,
                      .dtype = worker->plan->pull_dtype,
                      .deadline_ms = random_deadline(worker),
                      .view = question->view},
    };
    link_send(worker->link[question->shard], &message, NULL, 0);
}

static void ask_push(struct worker *worker, const struct question *question)
{
    uint64_t version[WORKER_SLICES_MAX];
    for (size_t i = 0; i < question->slices; i++)
        version[i] = worker->slice[question->slice[i]].version;
    double loss = 0.0;
    const bool has_loss = plan_loss(worker->plan, worker->rank, question->clock, &loss);
    const struct stepd_push_slices push = {
        .incarnation = 1,
        .clock = question->clock,
        .slices = {.count = question->slices, .at = question->slice},
        .base_versions = {.count = question->slices, .at = version},
        .examples = plan_examples(worker->plan, worker->rank, question->clock),
        .dtype = worker->plan->push_dtype,
        .deadline_ms = random_deadline(worker),
        .has_loss = has_loss,
        .loss = loss,
        .loss_scale = plan_loss_scale(worker->plan, worker->rank, question->clock),
    };
    struct stepd_message message = {.request_id = question->id, .kind = question->kind};
    if (question->kind == STEPD_MESSAGE_STEP)
        message.body.step = (struct stepd_step_slices){
            .push = push, .pull_dtype = worker->plan->pull_dtype, .pull_view = question->view};
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
    plan_trace(worker->plan, "rank %u asks shard %u: %s %llu of %zu slices, clock %llu",
               worker->rank, question->shard, stepd_message_name(question->kind),
               (unsigned long long)question->id, question->slices,
               (unsigned long long)question->clock);
    for (size_t i = 0; i < question->slices && !question->curious; i++)
        worker->slice[question->slice[i]].asked++;
    if (question->kind == STEPD_MESSAGE_ASSIGN)
        ask_assign(worker, question);
    else if (question->kind == STEPD_MESSAGE_PULL)
        ask_pull(worker, question);
    else
        ask_push(worker, question);
}

static enum stepd_view random_view(struct worker *worker)
{
    return (enum stepd_view)random_below(worker->random, STEPD_VIEWS);
}

/* The view that a step is to be answered with: one that all its slices keep. */
static enum stepd_view step_view(struct worker *worker, const struct question *question)
{
    const enum stepd_view view = random_view(worker);
    for (size_t i = 0; i < question->slices; i++) {
        if (!replay_keeps(worker->replay, view, question->slice[i]))
            return STEPD_TRAINING;
    }
    return random_once_in(worker->random, 2) ? view : STEPD_TRAINING;
}

/* Weights that a delay is compensated by are those of the last pull: there may be no other between
 * that and the push. */
static bool pulls_once(const struct worker *worker)
{
    return worker->plan->job->consistency.delay_compensation > 0.0;
}

/* Makes more of a push than a push, at times. */
static void vary_push(struct worker *worker, bool again, struct question *question)
{
    const bool made_all = !worker->enrolment.replaces;
    if (again && made_all && question->clock > 1 && random_once_in(worker->random, 4)) {
        question->clock--; /* an old push, from a worker that has lost count */
    } else if (random_once_in(worker->random, 2) && !(again && pulls_once(worker))) {
        question->kind = STEPD_MESSAGE_STEP;
        question->view = step_view(worker, question);
    }
}

/* The process goes on from where control says that its rank is. */
static void join(struct worker *worker)
{
    worker->clock = worker->enrolment.clock;
    worker->phase = worker->rank == 0 ? WORKER_ASSIGN : WORKER_FIRST;
}

void worker_ask_control(struct worker *worker)
{
    if (worker->phase >= WORKER_FINAL && worker->enrolment.step == ENROL_IN) {
        worker->enrolment.step = ENROL_LEAVE;
        witness_leave(worker->witness, worker->rank, worker->clock);
    }
    enrol_ask(&worker->enrolment, worker->clock);
}

void worker_ask(struct worker *worker, uint32_t shard)
{
    if (worker->phase == WORKER_JOIN)
        join(worker);

    static const enum stepd_message_kind kinds[] = {STEPD_MESSAGE_ASSIGN, STEPD_MESSAGE_PUSH,
                                                    STEPD_MESSAGE_PULL};
    struct question *question = calloc(1, sizeof *question);
    assert_non_null(question);
    question->shard = shard;
    question->clock = worker->clock;
    question->curious = random_once_in(worker->random, 32);
    question->kind =
        question->curious ? STEPD_MESSAGE_PULL : kinds[random_below(worker->random, 3)];
    question->view = question->kind == STEPD_MESSAGE_PULL ? random_view(worker) : STEPD_TRAINING;
    const bool once = pulls_once(worker) && question->kind == STEPD_MESSAGE_PULL &&
                      question->view == STEPD_TRAINING;
    question->curious = question->curious && !once;
    const bool again = worker->plan->faults && !once && random_once_in(worker->random, 16);
    choose(worker, again, question);
    if (question->slices == 0) {
        free(question);
        return;
    }
    if (question->kind == STEPD_MESSAGE_PUSH)
        vary_push(worker, again, question);
    send_question(worker, question);
}
