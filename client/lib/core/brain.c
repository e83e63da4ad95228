/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the links and the exchange: what a Welcome changes, what going back does, and how long
 * anything may take.
 */
#include "client/lib/core/brain.h"

#include <stdlib.h>

#include "proto/arena.h"
#include "proto/error.h"

/* ---- What the links ask ---------------------------------------------------------------------- */

static const char *address_of(void *self, uint32_t shard)
{
    return stepd_self_address(&((const struct stepd_brain *)self)->self, shard);
}

static struct stepd_message hello_of(void *self, uint32_t shard, enum stepd_greeting how)
{
    return stepd_self_hello(&((const struct stepd_brain *)self)->self, shard, how);
}

static enum stepd_status from_control(struct stepd_brain *brain,
                                      const struct stepd_welcome *welcome,
                                      struct stepd_error *reterr)
{
    const enum stepd_status status = stepd_self_welcome(&brain->self, welcome, reterr);
    if (status == STEPD_OK && brain->home != NULL && brain->self.wait_max_ms != 0)
        brain->home->exchange.wait_max_ms = brain->self.wait_max_ms;
    return status;
}

/*
 * A rank that was here before goes on from what this shard itself has counted of it. Control's
 * clock is no substitute: it is told later, and one that is too high would leave a gap, which the
 * shard refuses, where one that is too low only repeats what it answers with DUPLICATE. A link that
 * is made again changes nothing: the client knows its own clocks.
 */
static enum stepd_status from_shard(struct stepd_brain *brain, uint32_t shard,
                                    const struct stepd_welcome *welcome,
                                    const struct stepd_shared *shared, bool first,
                                    struct stepd_error *reterr)
{
    struct stepd_exchange *const exchange = stepd_links_exchange(brain->links);
    const struct stepd_shared nothing = {.weights = NULL};
    if (exchange == NULL)
        return STEPD_OK;
    const bool ours = welcome->incarnation == exchange->incarnation; /* or the job has gone back */
    const enum stepd_status status =
        stepd_exchange_share(exchange, shard, ours ? shared : &nothing, reterr);
    if (status != STEPD_OK)
        return status;
    if (first)
        stepd_exchange_resume(exchange, shard, welcome->clock);
    if (stepd_self_frame_max(welcome) < exchange->frame_max_bytes)
        exchange->frame_max_bytes = stepd_self_frame_max(welcome);
    return STEPD_OK;
}

static enum stepd_status on_welcome(void *self, uint32_t shard, const struct stepd_welcome *welcome,
                                    const struct stepd_shared *shared, bool first,
                                    struct stepd_error *reterr)
{
    struct stepd_brain *const brain = self;
    enum stepd_status status = STEPD_OK;
    if (shard == 0)
        status = from_control(brain, welcome, reterr);
    else
        status = from_shard(brain, shard, welcome, shared, first, reterr);
    if (status == STEPD_OK)
        brain->hooks.welcomed(brain->hooks.owner);
    return status;
}

static void on_gone_back(void *self)
{
    const struct stepd_brain *const brain = self;
    brain->hooks.rolled_back(brain->hooks.owner);
}

/* The links have failed what was under way. */
static void on_roll_back(void *self, const struct stepd_error *error)
{
    (void)error;
    stepd_brain_look_again(self);
}

static void tell(void *self, const struct stepd_event *event)
{
    const struct stepd_brain *const brain = self;
    brain->hooks.tell(brain->hooks.owner, event);
}

struct stepd_links_options stepd_brain_links(struct stepd_brain *brain, uint32_t budget_ms)
{
    return (struct stepd_links_options){
        .pending = &brain->pending,
        .greeter =
            {
                .self = brain,
                .address = address_of,
                .hello = hello_of,
                .welcome = on_welcome,
                .gone_back = on_gone_back,
                .roll_back = on_roll_back,
                .tell = tell,
            },
        .observer = brain->self.observer,
        .budget_ms = budget_ms,
    };
}

void stepd_brain_deinit(struct stepd_brain *brain)
{
    stepd_self_deinit(&brain->self);
}

/* ---- Homes ----------------------------------------------------------------------------------- */

struct stepd_home *stepd_home_create(void)
{
    struct stepd_home *const home = calloc(1, sizeof *home);
    if (home != NULL)
        stepd_layout_init(&home->table);
    return home;
}

enum stepd_status stepd_home_furnish(struct stepd_home *home, struct stepd_brain *brain,
                                     enum stepd_dtype push_dtype, enum stepd_dtype pull_dtype,
                                     struct stepd_error *reterr)
{
    if (stepd_exchange_init(&home->exchange, &home->table, brain->self.shards, &brain->pending) !=
        STEPD_OK)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the layout");
    home->exchange.push_dtype = push_dtype;
    home->exchange.pull_dtype = pull_dtype;
    return STEPD_OK;
}

struct stepd_home *stepd_home_destroy(struct stepd_home *home)
{
    while (home != NULL) {
        struct stepd_home *const older = home->older;
        stepd_exchange_deinit(&home->exchange);
        stepd_layout_deinit(&home->table);
        free(home);
        home = older;
    }
    return NULL;
}

void stepd_brain_move(struct stepd_brain *brain, struct stepd_home *home, bool back)
{
    struct stepd_exchange *const exchange = home == NULL ? NULL : &home->exchange;
    const struct stepd_error undefined = {
        .code = STEPD_FAILED_PRECONDITION,
        .text = "the job's tensors could not be defined again: call stepd_define once more"};
    brain->home = home;
    brain->moves++;
    if (exchange != NULL && !back) {
        exchange->frame_max_bytes = brain->self.frame_max_bytes;
        if (brain->self.wait_max_ms != 0)
            exchange->wait_max_ms = brain->self.wait_max_ms;
        exchange->clock = brain->self.clock; /* a Leave must not fall behind what control knows */
    }
    stepd_links_use_exchange(brain->links, exchange, back ? &undefined : NULL);
}

/* ---- Working --------------------------------------------------------------------------------- */

void stepd_brain_start(struct stepd_brain *brain, struct stepd_operation *operation,
                       uint64_t now_ms)
{
    stepd_exchange_start(stepd_links_exchange(brain->links), operation, now_ms);
}

uint64_t stepd_brain_clock(const struct stepd_brain *brain)
{
    const struct stepd_exchange *const exchange = stepd_links_exchange(brain->links);
    return exchange == NULL ? brain->self.clock : exchange->clock;
}

/* ---- Waiting --------------------------------------------------------------------------------- */

bool stepd_brain_waits(const struct stepd_brain *brain)
{
    const struct stepd_exchange *const exchange = stepd_links_exchange(brain->links);
    return brain->pending.held != NULL || brain->pending.count > 0 ||
           (exchange != NULL && exchange->gathering > 0);
}

/* Fails what has been held until its time was up. */
static void expire_held(struct stepd_brain *brain, uint64_t now_ms)
{
    struct stepd_request *request;
    while ((request = stepd_pending_expired(&brain->pending, now_ms)) != NULL) {
        struct stepd_error error;
        stepd_links_explain(brain->links, request->shard, &error);
        stepd_pending_end(&brain->pending, request, &error);
    }
}

/* A server that takes requests and answers none, not even to say that it has waited in vain, is no
 * server any more, or not ours. */
static void give_up_overdue(struct stepd_brain *brain, uint64_t now_ms)
{
    const struct stepd_request *request;
    const uint32_t patience_ms = stepd_links_overdue_ms(brain->links);
    while (now_ms > patience_ms &&
           (request = stepd_pending_overdue(&brain->pending, now_ms - patience_ms)) != NULL)
        stepd_links_overdue(brain->links, request->shard);
}

void stepd_brain_tick(struct stepd_brain *brain, uint64_t now_ms)
{
    struct stepd_exchange *const exchange = stepd_links_exchange(brain->links);
    if (exchange != NULL)
        stepd_exchange_tick(exchange, now_ms);
    expire_held(brain, now_ms);
    give_up_overdue(brain, now_ms);
}

/* ---- Heartbeats ------------------------------------------------------------------------------ */

/* The reply's text is of no interest, and its id is not in the table, so the reader drops it; that
 * bytes have come is what counts. */
static void send_beat(struct stepd_brain *brain, bool last)
{
    struct stepd_arena arena;
    const struct stepd_message message = {
        .request_id = ++brain->pending.newest_id,
        .kind = STEPD_MESSAGE_HEARTBEAT,
        .body.heartbeat = {.last = last},
    };
    struct stepd_outgoing *const outgoing = stepd_outgoing_create(STEPD_F32, 0);
    if (outgoing == NULL)
        return;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    enum stepd_status status = stepd_outgoing_encode(outgoing, &message, &arena, NULL);
    stepd_arena_deinit(&arena);
    if (status == STEPD_OK)
        status = stepd_links_send(brain->links, 0, outgoing, NULL);
    if (status != STEPD_OK)
        (void)stepd_outgoing_destroy(outgoing);
}

void stepd_brain_beat(struct stepd_brain *brain)
{
    if (stepd_links_beat(brain->links))
        send_beat(brain, /* last= */ false);
}

/* Nobody waits for it to arrive: where it does not, the lease runs out as that of any lost one. */
void stepd_brain_end(struct stepd_brain *brain)
{
    if (!brain->self.observer && stepd_links_stand(brain->links))
        send_beat(brain, /* last= */ true);
}
