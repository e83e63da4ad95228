/* SPDX-License-Identifier: Apache-2.0
 *
 * It believes nothing to be there: whoever answers that it is not, is asked again later.
 */
#include "tests/sim/observer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "proto/dtype.h"
#include "tests/sim/worker.h"

void observer_init(struct observer *observer, const struct plan *plan, const struct replay *replay,
                   struct random *random, uint32_t number)
{
    *observer = (struct observer){.plan = plan,
                                  .replay = replay,
                                  .random = random,
                                  .number = (uint32_t)PLAN_WORKERS_MAX + number};
}

static uint32_t control_of(const struct observer *observer)
{
    return observer->plan->job->shards;
}

static void say_hello(struct observer *observer, struct link *link, uint32_t shard)
{
    const bool control = shard == control_of(observer);
    const struct stepd_message hello = {
        .request_id = ++observer->requests,
        .kind = STEPD_MESSAGE_HELLO,
        .body.hello = {.protocol = STEPD_PROTOCOL_VERSION,
                       .role = STEPD_OBSERVER,
                       .job = observer->plan->job->name,
                       .worker = "observer",
                       .session = {.count = control ? 0 : STEPD_SESSION_BYTES,
                                   .at = observer->session},
                       .shard = control ? 0 : shard + 1},
    };
    link_send(link, &hello, NULL, 0);
}

void observer_connect(struct observer *observer, uint32_t shard, struct link *link)
{
    if (shard == control_of(observer)) {
        observer->control = link;
        observer->welcome = false;
    } else {
        observer->link[shard] = link;
        observer->let_in[shard] = false;
    }
    say_hello(observer, link, shard);
    if (random_once_in(observer->random, 3) && shard != control_of(observer))
        link_deafen(link);
}

void observer_disconnect(struct observer *observer, const struct link *link)
{
    if (observer->control == link) {
        observer->control = NULL;
        observer->welcome = false; /* it comes again as another one */
    }
    for (uint32_t k = 0; k < control_of(observer); k++) {
        if (observer->link[k] == link)
            observer->link[k] = NULL;
    }
}

/* ---- Asking ---------------------------------------------------------------------------------- */

/* Some of a shard's slices that keep the view; how many. */
static size_t choose(const struct observer *observer, uint32_t shard, enum stepd_view view,
                     uint32_t *ret_slice)
{
    const struct layout *layout = &observer->plan->job->layout;
    const bool all = random_once_in(observer->random, 2);
    size_t count = 0;
    for (uint32_t i = 0; i < layout->slices; i++) {
        if (layout->slice[i].shard == shard && replay_keeps(observer->replay, view, i) &&
            (all || random_once_in(observer->random, 2)))
            ret_slice[count++] = i;
    }
    return count;
}

static void pull(struct observer *observer, uint32_t shard)
{
    uint32_t slice[WORKER_SLICES_MAX];
    const enum stepd_view view = (enum stepd_view)random_below(observer->random, STEPD_VIEWS);
    const size_t slices = choose(observer, shard, view, slice);
    if (slices == 0)
        return;
    const struct stepd_message message = {
        .request_id = ++observer->requests,
        .kind = STEPD_MESSAGE_PULL,
        .body.pull = {.incarnation = 1,
                      .slices = {.count = slices, .at = slice},
                      .min_version = random_below(observer->random, 4),
                      .dtype = observer->plan->pull_dtype,
                      .view = view},
    };
    observer->view[message.request_id % OBSERVER_PULLS_MAX] = view;
    link_send(observer->link[shard], &message, NULL, 0);
}

bool observer_act(struct observer *observer, uint32_t shard)
{
    if (shard == control_of(observer)) {
        const struct stepd_message heartbeat = {.request_id = observer->requests + 1,
                                                .kind = STEPD_MESSAGE_HEARTBEAT};
        if (observer->control == NULL)
            return true;
        if (observer->welcome) {
            observer->requests++;
            link_send(observer->control, &heartbeat, NULL, 0);
        }
        return false;
    }
    if (!observer->welcome || observer->requests >= OBSERVER_PULLS_MAX)
        return false;
    if (observer->link[shard] == NULL)
        return true;
    if (observer->let_in[shard])
        pull(observer, shard);
    return false;
}

/* ---- Answers --------------------------------------------------------------------------------- */

static bool same(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

/* A slice as it came must be a version of it, whole. */
static void check_weights(const struct observer *observer, uint32_t slice, uint64_t version,
                          enum stepd_view view, const float *weights)
{
    const size_t n = observer->plan->job->layout.slice[slice].elements;
    const float *known = replay_weights(observer->replay, version, view, slice);
    float expected[PLAN_FLOATS_MAX];
    if (known == NULL) {
        plan_fail(observer->plan, "an observer gets slice %u at version %llu, which does not exist",
                  slice, (unsigned long long)version);
        return;
    }
    plan_round_trip(observer->plan->pull_dtype, n, known, expected);
    for (size_t i = 0; i < n; i++) {
        if (!same(expected[i], weights[i]))
            plan_fail(
                observer->plan,
                "an observer gets element %zu of view %d of slice %u at version %llu otherwise", i,
                (int)view, slice, (unsigned long long)version);
    }
    coverage_count(observer->plan->coverage, COVERAGE_OBSERVED, 1);
}

static void on_result(const struct observer *observer, const struct stepd_message *message,
                      const uint8_t *payload)
{
    const struct stepd_result *result = &message->body.result;
    const enum stepd_dtype dtype = observer->plan->pull_dtype;
    for (size_t i = 0; i < result->slices.count; i++) {
        const uint32_t slice = result->slices.at[i];
        const size_t n = observer->plan->job->layout.slice[slice].elements;
        float weights[PLAN_FLOATS_MAX] = {0};
        memcpy(stepd_dtype_wire_start(dtype, n, weights), payload, n * stepd_dtype_bytes(dtype));
        stepd_dtype_widen(dtype, n, weights);
        payload += n * stepd_dtype_bytes(dtype);
        check_weights(observer, slice, result->versions.at[i],
                      observer->view[message->request_id % OBSERVER_PULLS_MAX], weights);
    }
}

/* What there is not, or not yet, or no more. */
static void on_error(const struct observer *observer, const struct stepd_error_reply *error)
{
    switch (error->code) {
    case STEPD_NOT_FOUND:
    case STEPD_FAILED_PRECONDITION:
    case STEPD_DEADLINE_EXCEEDED:
    case STEPD_ABORTED:
    case STEPD_UNAVAILABLE: break;
    default: plan_fail(observer->plan, "an observer is refused: %s", error->text);
    }
    plan_trace(observer->plan, "observer %u is told: %s", observer->number, error->text);
}

void observer_on_frame(void *owner, struct link *link, const struct stepd_message *message,
                       const uint8_t *payload, size_t payload_bytes)
{
    struct observer *observer = owner;
    (void)payload_bytes;
    if (message->kind == STEPD_MESSAGE_ERROR)
        on_error(observer, &message->body.error);
    else if (message->kind == STEPD_MESSAGE_RESULT)
        on_result(observer, message, payload);
    if (message->kind != STEPD_MESSAGE_WELCOME)
        return;
    if (link == observer->control) {
        observer->welcome = true;
        memcpy(observer->session, message->body.welcome.session.at, STEPD_SESSION_BYTES);
    }
    for (uint32_t k = 0; k < control_of(observer); k++)
        observer->let_in[k] = observer->let_in[k] || observer->link[k] == link;
}
