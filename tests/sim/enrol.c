/* SPDX-License-Identifier: Apache-2.0
 *
 * One question at a time.
 */
#include "tests/sim/enrol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

void enrol_init(struct enrolment *enrolment, const struct plan *plan, uint32_t rank, bool replaces,
                struct random *random)
{
    *enrolment = (struct enrolment){
        .plan = plan, .random = random, .rank = rank, .replaces = replaces, .step = ENROL_HELLO};
}

void enrol_connect(struct enrolment *enrolment, struct link *link)
{
    enrolment->link = link;
    enrolment->welcome = false;
    enrolment->asked = 0;
}

void enrol_disconnect(struct enrolment *enrolment)
{
    enrolment->link = NULL;
    enrolment->welcome = false;
    enrolment->asked = 0;
}

/* ---- Asking ---------------------------------------------------------------------------------- */

static void send(struct enrolment *enrolment, struct stepd_message *message)
{
    message->request_id = ++enrolment->requests;
    enrolment->asked = message->request_id;
    enrolment->leaving = message->kind == STEPD_MESSAGE_LEAVE;
    plan_trace(enrolment->plan, "rank %u asks control: %s %llu", enrolment->rank,
               stepd_message_name(message->kind), (unsigned long long)message->request_id);
    link_send(enrolment->link, message, NULL, 0);
}

static void say_hello(struct enrolment *enrolment)
{
    const bool resumes = enrolment->step > ENROL_HELLO;
    enrolment->again = enrolment->again || (enrolment->begun && !resumes);
    enrolment->begun = true;
    struct stepd_message hello = {
        .kind = STEPD_MESSAGE_HELLO,
        .body.hello = {.protocol = STEPD_PROTOCOL_VERSION,
                       .role = STEPD_WORKER,
                       .job = enrolment->plan->job->name,
                       .worker = "sim",
                       .rank = (int32_t)enrolment->rank,
                       .session = {.count = resumes ? STEPD_SESSION_BYTES : 0,
                                   .at = enrolment->session}},
    };
    send(enrolment, &hello);
}

/* In pages of any length. */
static void define_tensors(struct enrolment *enrolment)
{
    const struct stepd_define_tensors *all = &enrolment->plan->def.page;
    const size_t left = all->tensors - enrolment->tensors;
    const size_t page = random_between(enrolment->random, 1, left);
    enrolment->tensors_sent = enrolment->tensors + page;
    struct stepd_message message = {
        .kind = STEPD_MESSAGE_DEFINE_TENSORS,
        .body.define_tensors = {.first = (uint32_t)enrolment->tensors,
                                .tensors = page,
                                .tensor = all->tensor + enrolment->tensors,
                                .last = page == left},
    };
    send(enrolment, &message);
}

/* Now and then, what a client's thread does beside the training. */
static void beat(struct enrolment *enrolment)
{
    struct stepd_message status = {.kind = STEPD_MESSAGE_GET_STATUS,
                                   .body.get_status = {.job = enrolment->plan->job->name}};
    struct stepd_message heartbeat = {.kind = STEPD_MESSAGE_HEARTBEAT};
    const uint64_t what = random_below(enrolment->random, 16);
    if (what == 0)
        send(enrolment, &status);
    else if (what < 4)
        send(enrolment, &heartbeat);
}

static void ask(struct enrolment *enrolment, uint64_t clock)
{
    struct stepd_message define = {.kind = STEPD_MESSAGE_DEFINE_JOB,
                                   .body.define_job = enrolment->plan->def.job};
    struct stepd_message layout = {.kind = STEPD_MESSAGE_GET_LAYOUT};
    struct stepd_message leave = {.kind = STEPD_MESSAGE_LEAVE, .body.leave = {.clock = clock}};
    switch (enrolment->step) {
    case ENROL_HELLO: return;
    case ENROL_JOB: send(enrolment, &define); return;
    case ENROL_TENSORS: define_tensors(enrolment); return;
    case ENROL_LAYOUT:
        enrolment->slices = 0;
        send(enrolment, &layout);
        return;
    case ENROL_LEAVE: send(enrolment, &leave); return;
    case ENROL_IN:
    case ENROL_LEFT: beat(enrolment); return;
    }
}

void enrol_ask(struct enrolment *enrolment, uint64_t clock)
{
    if (enrolment->asked != 0)
        return;
    if (!enrolment->welcome)
        say_hello(enrolment);
    else
        ask(enrolment, clock);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void on_welcome(struct enrolment *enrolment, const struct stepd_welcome *welcome)
{
    enrolment->welcome = true;
    if (welcome->rank != enrolment->rank)
        plan_fail(enrolment->plan, "rank %u is welcomed as rank %u", enrolment->rank,
                  welcome->rank);
    if (enrolment->step > ENROL_HELLO) {
        enrolment->resumes++;
        return;
    }
    assert_int_equal(welcome->session.count, STEPD_SESSION_BYTES);
    memcpy(enrolment->session, welcome->session.at, STEPD_SESSION_BYTES);
    enrolment->clock = welcome->clock;
    enrolment->step = ENROL_JOB;
    coverage_count(enrolment->plan->coverage, COVERAGE_REPLACED, enrolment->replaces);
}

static void on_layout(struct enrolment *enrolment, const struct stepd_layout *page)
{
    const struct layout *layout = &enrolment->plan->job->layout;
    for (size_t i = 0; i < page->slice_shards.count; i++, enrolment->slices++) {
        if (enrolment->slices >= layout->slices ||
            page->slice_shards.at[i] != layout->slice[enrolment->slices].shard + 1)
            plan_fail(enrolment->plan, "the layout is another one from slice %zu on",
                      enrolment->slices);
    }
    if (!page->last)
        return;
    assert_int_equal(enrolment->slices, layout->slices);
    enrolment->asked = 0;
    enrolment->step = ENROL_IN;
}

/* A rank whose holder has died, or whose Welcome was lost, is taken until the lease has run out;
 * the connection ends, and there will be another one. */
static void on_error(struct enrolment *enrolment, const struct stepd_error_reply *error)
{
    const bool waits = error->code == STEPD_ALREADY_EXISTS && enrolment->plan->faults &&
                       enrolment->step == ENROL_HELLO;
    const bool late = error->code == STEPD_DEADLINE_EXCEEDED &&
                      (enrolment->plan->faults || plan_may_wait_for_ever(enrolment->plan));
    /* Nobody was heard of for a lease, and the job had not been opened: control forgets it. */
    const bool between = enrolment->step > ENROL_HELLO && enrolment->step < ENROL_IN;
    const bool forgotten = error->code == STEPD_NOT_FOUND && enrolment->plan->faults && between;
    /* Shards had not answered in time, and control has forgotten the tensors. */
    const bool reset = enrolment->plan->faults && enrolment->step == ENROL_TENSORS &&
                       strstr(error->text, "send the pages in order") != NULL;
    /* The job has failed: there is nothing more to ask, nor to leave. */
    const bool failed = error->code == STEPD_FAILED_PRECONDITION &&
                        plan_may_halt(enrolment->plan) && strstr(error->text, "is halted") != NULL;
    /* Said to the session before this one, whose connection has outlived it; or the Hello of its
     * dead predecessor was that late that a lease had run out, and has taken the rank from it. */
    const bool overtaken = enrolment->again || (enrolment->replaces && between);
    const bool fenced = error->code == STEPD_FAILED_PRECONDITION && overtaken &&
                        strstr(error->text, "has passed to worker") != NULL;
    if (!waits && !late && !forgotten && !reset && !failed && !fenced)
        plan_fail(enrolment->plan, "control refuses rank %u: %s", enrolment->rank, error->text);
    plan_trace(enrolment->plan, "rank %u is told: %s", enrolment->rank, error->text);
    coverage_count(enrolment->plan->coverage, COVERAGE_RANK_TAKEN, waits);
    if (late || reset) {
        enrolment->asked = 0;
        enrolment->tensors = 0;
        enrolment->step = enrolment->step == ENROL_LAYOUT ? ENROL_TENSORS : enrolment->step;
    }
    if (failed)
        enrolment->step = ENROL_LEFT;
    if (forgotten || (fenced && between)) {
        enrolment->tensors = 0;
        enrolment->step = ENROL_HELLO;
    }
}

void enrol_on_message(struct enrolment *enrolment, const struct stepd_message *message)
{
    plan_trace(enrolment->plan, "rank %u gets %s to %llu of control", enrolment->rank,
               stepd_message_name(message->kind), (unsigned long long)message->request_id);
    if (message->kind == STEPD_MESSAGE_ERROR) {
        on_error(enrolment, &message->body.error);
        return;
    }
    if (message->request_id != enrolment->asked)
        plan_fail(enrolment->plan, "control answers rank %u what it has not asked",
                  enrolment->rank);
    if (message->kind == STEPD_MESSAGE_LAYOUT) {
        on_layout(enrolment, &message->body.layout);
        return;
    }
    if (message->kind == STEPD_MESSAGE_STATUS && !message->body.status.last)
        return;
    enrolment->asked = 0;
    if (message->kind == STEPD_MESSAGE_WELCOME) {
        on_welcome(enrolment, &message->body.welcome);
    } else if (message->kind == STEPD_MESSAGE_JOB_DEFINED) {
        enrolment->step = ENROL_TENSORS;
    } else if (message->kind == STEPD_MESSAGE_TENSORS_DEFINED) {
        enrolment->tensors = enrolment->tensors_sent;
        if (enrolment->tensors == enrolment->plan->def.page.tensors)
            enrolment->step = ENROL_LAYOUT;
    } else if (message->kind == STEPD_MESSAGE_ACK && enrolment->leaving) {
        enrolment->step = ENROL_LEFT;
    }
}
