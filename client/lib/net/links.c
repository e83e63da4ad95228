/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the keeper, which decides, and the places, which have the sockets. Whatever happens (an
 * attempt ends, a link breaks, a time comes) is told to the keeper, which acts through the
 * functions called io_; and then settle() looks for who can go on, and when the keeper wants to be
 * called again.
 */
#include "client/lib/net/links.h"

#include <inttypes.h>
#include <stdlib.h>

#include "client/lib/net/chance.h"
#include "client/lib/net/clock.h"
#include "client/lib/net/place.h"
#include "proto/error.h"

struct spot {
    struct stepd_place place; /* first */
    bool met;                 /* it has stood in this incarnation */
    uint64_t received;        /* bytes, at the last heartbeat */
    struct stepd_error gone;  /* why it is no more */
};

struct stepd_links {
    struct stepd_links_options options;
    struct stepd_keeper keeper;
    struct stepd_exchange *exchange; /* borrowed; NULL until it was given */
    struct stepd_place_owner owner;
    struct spot **spot; /* owned, as what it points to; by shard */
    size_t spots;
    struct stepd_opening *openings; /* borrowed */
    uv_timer_t timer;
    bool stopping;
};

static struct spot *spot_of(const struct stepd_links *links, uint32_t shard)
{
    return shard < links->spots ? links->spot[shard] : NULL;
}

static const char *address_of(const struct stepd_links *links, uint32_t shard)
{
    return links->options.greeter.address(links->options.greeter.self, shard);
}

/* ---- Who waits ------------------------------------------------------------------------------- */

static void finish(struct stepd_links *links, struct stepd_opening *opening,
                   const struct stepd_error *error)
{
    struct stepd_opening **at = &links->openings;
    while (*at != opening)
        at = &(*at)->next;
    *at = opening->next;
    opening->error.code = STEPD_OK;
    if (error != NULL && error->code == STEPD_INTERNAL)
        /* bytes that are no stepd's: from where is half of the answer */
        (void)stepd_fail(&opening->error, error->code, "%.300s: %.300s",
                         address_of(links, opening->shard), error->text);
    else if (error != NULL)
        opening->error = *error;
    opening->on_done(opening);
}

static void on_timer(uv_timer_t *timer);

/* After everything that the keeper was told. */
static void settle(struct stepd_links *links)
{
    struct stepd_opening *next;
    if (links->stopping)
        return;
    for (struct stepd_opening *opening = links->openings; opening != NULL; opening = next) {
        next = opening->next;
        const struct stepd_error *const refusal =
            stepd_keeper_refusal(&links->keeper, opening->shard);
        if (refusal != NULL || stepd_keeper_is_open(&links->keeper, opening->shard))
            finish(links, opening, refusal);
    }
    const uint64_t due = stepd_keeper_next_ms(&links->keeper);
    const uint64_t now = stepd_clock_ms();
    if (due == UINT64_MAX)
        (void)uv_timer_stop(&links->timer);
    else
        (void)uv_timer_start(&links->timer, on_timer, due > now ? due - now : 0, 0);
}

static void on_timer(uv_timer_t *timer)
{
    struct stepd_links *const links = timer->data;
    stepd_keeper_tick(&links->keeper, stepd_clock_ms());
    settle(links);
}

/* ---- What a place tells ---------------------------------------------------------------------- */

static const char *place_address(void *self, uint32_t shard)
{
    return address_of(self, shard);
}

static struct stepd_message place_hello(void *self, uint32_t shard, enum stepd_greeting how)
{
    const struct stepd_greeter *const greeter = &((struct stepd_links *)self)->options.greeter;
    return greeter->hello(greeter->self, shard, how);
}

static enum stepd_status place_welcome(void *self, uint32_t shard,
                                       const struct stepd_welcome *welcome,
                                       struct stepd_error *reterr)
{
    struct stepd_links *const links = self;
    const struct stepd_greeter *const greeter = &links->options.greeter;
    return greeter->welcome(greeter->self, shard, welcome, !links->spot[shard]->met, reterr);
}

static void place_opened(void *self, uint32_t shard, uint64_t incarnation)
{
    struct stepd_links *const links = self;
    links->spot[shard]->met = true;
    stepd_keeper_opened(&links->keeper, shard, incarnation, stepd_clock_ms());
    settle(links);
}

static void place_failed(void *self, uint32_t shard, const struct stepd_error *error)
{
    struct stepd_links *const links = self;
    stepd_keeper_failed(&links->keeper, shard, error, stepd_clock_ms());
    settle(links);
}

static void place_lost(void *self, uint32_t shard, const struct stepd_error *error)
{
    struct stepd_links *const links = self;
    stepd_keeper_lost(&links->keeper, shard, error, stepd_clock_ms());
    settle(links);
}

static void place_answered(void *self, uint32_t shard)
{
    struct stepd_links *const links = self;
    stepd_keeper_answered(&links->keeper, shard);
}

/* ---- What the keeper wants ------------------------------------------------------------------- */

static void io_attempt(void *owner, uint32_t shard, enum stepd_greeting how)
{
    const struct stepd_links *const links = owner;
    stepd_place_try(&links->spot[shard]->place, how);
}

static void io_drop(void *owner, uint32_t shard, const struct stepd_error *why)
{
    struct stepd_links *const links = owner;
    struct spot *const spot = spot_of(links, shard);
    if (spot == NULL)
        return;
    stepd_place_close(&spot->place);
    stepd_pending_suspend(links->options.pending, shard, why);
}

static void io_fail(void *owner, uint32_t shard, const struct stepd_error *error)
{
    struct stepd_links *const links = owner;
    struct spot *const spot = spot_of(links, shard);
    if (spot != NULL) {
        stepd_place_close(&spot->place);
        spot->gone = *error;
    }
    if (links->exchange != NULL && shard > 0)
        stepd_exchange_lose(links->exchange, shard, error);
    else
        stepd_pending_fail(links->options.pending, shard, error);
}

static void io_resume(void *owner, uint32_t shard)
{
    struct stepd_links *const links = owner;
    if (links->exchange != NULL && shard > 0)
        stepd_exchange_resend(links->exchange, shard, stepd_clock_ms());
    else
        stepd_pending_resume(links->options.pending, shard);
}

static void io_roll_back(void *owner, const struct stepd_error *error)
{
    struct stepd_links *const links = owner;
    const struct stepd_greeter *const greeter = &links->options.greeter;
    for (size_t i = 1; i < links->spots; i++) {
        if (links->spot[i] != NULL)
            links->spot[i]->met = false;
        stepd_pending_fail(links->options.pending, (uint32_t)i, error); /* an Assign under way */
    }
    if (links->exchange != NULL)
        stepd_exchange_roll_back(links->exchange, error);
    greeter->roll_back(greeter->self, error);
}

static bool io_busy(void *owner, uint32_t shard)
{
    const struct stepd_links *const links = owner;
    return stepd_pending_any(links->options.pending, shard);
}

static uint32_t io_random(void *owner, uint32_t most)
{
    (void)owner;
    return stepd_chance_below(most);
}

static void io_tell(void *owner, const struct stepd_event *event)
{
    const struct stepd_greeter *const greeter = &((struct stepd_links *)owner)->options.greeter;
    greeter->tell(greeter->self, event);
}

/* ---- Life ------------------------------------------------------------------------------------ */

enum stepd_status stepd_links_create(const struct stepd_links_options *options,
                                     struct stepd_links **ret_links)
{
    struct stepd_links *const links = calloc(1, sizeof *links);
    if (links == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    const struct stepd_keeper_io io = {
        .owner = links,
        .attempt = io_attempt,
        .drop = io_drop,
        .resume = io_resume,
        .fail = io_fail,
        .roll_back = io_roll_back,
        .busy = io_busy,
        .random = io_random,
        .tell = io_tell,
    };
    links->options = *options;
    links->owner = (struct stepd_place_owner){
        .self = links,
        .address = place_address,
        .hello = place_hello,
        .welcome = place_welcome,
        .opened = place_opened,
        .failed = place_failed,
        .lost = place_lost,
        .answered = place_answered,
    };
    stepd_keeper_init(&links->keeper, &io);
    links->keeper.observer = options->observer;
    links->keeper.budget_ms = options->budget_ms;
    (void)uv_timer_init(options->uv, &links->timer);
    links->timer.data = links;
    *ret_links = links;
    return STEPD_OK;
}

void stepd_links_stop(struct stepd_links *links, const struct stepd_error *error)
{
    links->stopping = true;
    for (size_t i = 0; i < links->spots; i++)
        io_fail(links, (uint32_t)i, error);
    for (uint32_t i = 1; links->exchange != NULL && i <= links->exchange->shards; i++)
        stepd_exchange_lose(links->exchange, i, error);
    while (links->openings != NULL)
        finish(links, links->openings, error);
    uv_close((uv_handle_t *)&links->timer, NULL);
}

struct stepd_links *stepd_links_destroy(struct stepd_links *links)
{
    if (links == NULL)
        return NULL;
    for (size_t i = 0; i < links->spots; i++)
        free(links->spot[i]);
    free((void *)links->spot);
    stepd_keeper_deinit(&links->keeper);
    free(links);
    return NULL;
}

/* ---- Opening --------------------------------------------------------------------------------- */

/* Spots are few, and come in order: growing by one each time does no harm. */
static struct spot *make_spot(struct stepd_links *links, uint32_t shard)
{
    struct spot *const spot = calloc(1, sizeof *spot);
    struct spot **grown = NULL;
    if (spot != NULL && shard < links->spots)
        grown = links->spot;
    else if (spot != NULL)
        grown = realloc((void *)links->spot, ((size_t)shard + 1) * sizeof(struct spot *));
    if (grown == NULL) {
        free(spot);
        return NULL;
    }
    links->spot = grown;
    while (links->spots <= shard)
        links->spot[links->spots++] = NULL;
    spot->place = (struct stepd_place){
        .owner = &links->owner,
        .uv = links->options.uv,
        .pending = links->options.pending,
        .shard = shard,
    };
    links->spot[shard] = spot;
    return spot;
}

void stepd_links_open(struct stepd_links *links, struct stepd_opening *opening)
{
    struct stepd_error error;
    enum stepd_status status = STEPD_OK;
    opening->next = links->openings;
    links->openings = opening;
    if (spot_of(links, opening->shard) == NULL && make_spot(links, opening->shard) == NULL)
        status = stepd_fail(&error, STEPD_RESOURCE_EXHAUSTED, "no memory for a connection");
    if (status == STEPD_OK)
        status = stepd_keeper_open(&links->keeper, opening->shard, stepd_clock_ms(), &error);
    if (status != STEPD_OK)
        finish(links, opening, &error);
    settle(links);
}

/* What is wrong with an attempt that takes too long. */
static void explain_delay(const struct stepd_links *links, uint32_t shard,
                          struct stepd_error *ret_error)
{
    const struct spot *const spot = spot_of(links, shard);
    const struct stepd_error *const last = stepd_keeper_last(&links->keeper, shard);
    const char *const address = address_of(links, shard);
    if (spot != NULL && spot->place.link != NULL)
        (void)stepd_fail(ret_error, STEPD_UNAVAILABLE, "%s does not answer like a stepd server",
                         address);
    else if (last != NULL)
        (void)stepd_fail(ret_error, STEPD_UNAVAILABLE, "%s", last->text);
    else
        (void)stepd_fail(ret_error, STEPD_UNAVAILABLE, "cannot connect to %s: timed out", address);
}

void stepd_links_stop_waiting(struct stepd_links *links, struct stepd_opening *opening)
{
    struct stepd_error error;
    struct stepd_opening *at = links->openings;
    while (at != NULL && at != opening)
        at = at->next;
    if (at == NULL)
        return;
    explain_delay(links, opening->shard, &error);
    stepd_keeper_forget(&links->keeper, opening->shard);
    finish(links, opening, &error);
    settle(links);
}

/* ---- Using ----------------------------------------------------------------------------------- */

bool stepd_links_hold(struct stepd_links *links, uint32_t shard)
{
    if (stepd_keeper_sleeps(&links->keeper, shard)) {
        struct stepd_error error;
        const enum stepd_status status =
            stepd_keeper_open(&links->keeper, shard, stepd_clock_ms(), &error);
        (void)status; /* a place that was made once stays: it is there */
        settle(links);
    }
    return stepd_keeper_holds(&links->keeper, shard);
}

enum stepd_status stepd_links_send(struct stepd_links *links, uint32_t shard,
                                   struct stepd_outgoing *outgoing, struct stepd_error *reterr)
{
    const struct spot *const spot = spot_of(links, shard);
    if (spot != NULL && spot->place.stands)
        return stepd_link_send(spot->place.link, outgoing, reterr);
    if (spot != NULL && spot->gone.code != STEPD_OK)
        return stepd_fail(reterr, spot->gone.code, "%s", spot->gone.text);
    return stepd_fail(reterr, STEPD_UNAVAILABLE, "there is no connection to shard %" PRIu32, shard);
}

void stepd_links_explain(const struct stepd_links *links, uint32_t shard,
                         struct stepd_error *ret_error)
{
    stepd_keeper_explain(&links->keeper, shard, stepd_clock_ms(), ret_error);
}

uint32_t stepd_links_overdue_ms(const struct stepd_links *links)
{
    return stepd_keeper_holds(&links->keeper, 0) ? STEPD_LINKS_OVERDUE_LOST_MS
                                                 : STEPD_LINKS_OVERDUE_MS;
}

void stepd_links_overdue(struct stepd_links *links, uint32_t shard)
{
    struct stepd_error error;
    (void)stepd_fail(&error, STEPD_UNAVAILABLE,
                     "connection to %s (shard %" PRIu32 ") lost: no answer to a request for %u s "
                     "after its deadline",
                     address_of(links, shard), shard, stepd_links_overdue_ms(links) / 1000);
    stepd_place_close(&links->spot[shard]->place);
    stepd_keeper_lost(&links->keeper, shard, &error, stepd_clock_ms());
    settle(links);
}

bool stepd_links_beat(struct stepd_links *links)
{
    struct spot *const spot = spot_of(links, 0);
    if (spot == NULL)
        return false;
    const struct stepd_link *const link = spot->place.link;
    const uint64_t received = link == NULL ? 0 : stepd_link_received(link);
    const bool heard = received != spot->received;
    spot->received = received;
    const bool send = stepd_keeper_beat(&links->keeper, heard, stepd_clock_ms());
    settle(links);
    return send;
}

void stepd_links_rolled_back(struct stepd_links *links)
{
    stepd_keeper_rolled_back(&links->keeper);
    settle(links);
}

static enum stepd_status port_send(void *self, uint32_t shard, struct stepd_outgoing *outgoing,
                                   struct stepd_error *reterr)
{
    return stepd_links_send(self, shard, outgoing, reterr);
}

static bool port_holds(void *self, uint32_t shard)
{
    return stepd_links_hold(self, shard);
}

static void port_rolled_back(void *self)
{
    stepd_links_rolled_back(self);
}

struct stepd_exchange *stepd_links_exchange(struct stepd_links *links)
{
    return links->exchange;
}

void stepd_links_use_exchange(struct stepd_links *links, struct stepd_exchange *exchange,
                              const struct stepd_error *gone)
{
    const struct stepd_error replaced = {.code = STEPD_ROLLED_BACK,
                                         .text = "the job was defined again meanwhile"};
    for (size_t i = 1; i < links->spots; i++) {
        if (links->spot[i] == NULL)
            continue;
        links->spot[i]->met = false;
        links->spot[i]->gone = gone == NULL ? replaced : *gone;
    }
    if (links->exchange != NULL)
        stepd_exchange_roll_back(links->exchange, &replaced);
    links->exchange = exchange;
    if (exchange == NULL) {
        stepd_keeper_know_nothing(&links->keeper);
        settle(links);
        return;
    }
    exchange->port = (struct stepd_port){
        .self = links, .send = port_send, .holds = port_holds, .rolled_back = port_rolled_back};
    stepd_keeper_know(&links->keeper, exchange->incarnation);
    settle(links);
}

void stepd_links_laid_out(struct stepd_links *links, uint64_t incarnation,
                          const struct stepd_error *error)
{
    stepd_keeper_laid_out(&links->keeper, incarnation, error, stepd_clock_ms());
    settle(links);
}

void stepd_links_leaving(struct stepd_links *links)
{
    stepd_keeper_leaving(&links->keeper);
}

void stepd_links_left(struct stepd_links *links)
{
    stepd_keeper_left(&links->keeper);
}
