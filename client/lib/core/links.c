/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the keeper, which decides, and the io, which has the connections. Whatever happens (an
 * attempt ends, a link breaks, a time comes) is told to the keeper, which acts through the
 * functions called act_; and then links_settle() looks for who can go on, and when the keeper wants
 * to be called again.
 */
#include "client/lib/core/links.h"

#include <inttypes.h>
#include <stdlib.h>

#include "client/lib/core/links_internal.h"
#include "proto/error.h"

struct spot *links_spot(const struct stepd_links *links, uint32_t shard)
{
    return shard < links->spots ? links->spot[shard] : NULL;
}

uint64_t links_now_ms(const struct stepd_links *links)
{
    return links->options.io.now_ms(links->options.io.owner);
}

const char *stepd_links_address(const struct stepd_links *links, uint32_t shard)
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
                         stepd_links_address(links, opening->shard), error->text);
    else if (error != NULL)
        opening->error = *error;
    opening->on_done(opening);
}

void links_settle(struct stepd_links *links)
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
    links->options.io.wake_at(links->options.io.owner, stepd_keeper_next_ms(&links->keeper));
}

void stepd_links_tick(struct stepd_links *links)
{
    stepd_keeper_tick(&links->keeper, links_now_ms(links));
    links_settle(links);
}

void stepd_links_answered(struct stepd_links *links, uint32_t shard)
{
    stepd_keeper_answered(&links->keeper, shard);
}

/* ---- What the keeper wants ------------------------------------------------------------------- */

static void act_attempt(void *owner, uint32_t shard, enum stepd_greeting how)
{
    const struct stepd_links *const links = owner;
    links->spot[shard]->how = how;
    links->options.io.connect(links->options.io.owner, shard);
}

static void act_drop(void *owner, uint32_t shard, const struct stepd_error *why)
{
    struct stepd_links *const links = owner;
    if (links_spot(links, shard) == NULL)
        return;
    links_hang_up(links, shard);
    stepd_pending_suspend(links->options.pending, shard, why);
}

static void act_fail(void *owner, uint32_t shard, const struct stepd_error *error)
{
    struct stepd_links *const links = owner;
    struct spot *const spot = links_spot(links, shard);
    if (spot != NULL) {
        links_hang_up(links, shard);
        spot->gone = *error;
    }
    if (links->exchange != NULL && shard > 0)
        stepd_exchange_lose(links->exchange, shard, error);
    else
        stepd_pending_fail(links->options.pending, shard, error);
}

static void act_resume(void *owner, uint32_t shard)
{
    struct stepd_links *const links = owner;
    if (links->exchange != NULL && shard > 0)
        stepd_exchange_resend(links->exchange, shard, links_now_ms(links));
    else
        stepd_pending_resume(links->options.pending, shard);
}

static void act_roll_back(void *owner, const struct stepd_error *error)
{
    struct stepd_links *const links = owner;
    const struct stepd_greeter *const greeter = &links->options.greeter;
    greeter->gone_back(greeter->self);
    for (size_t i = 1; i < links->spots; i++) {
        if (links->spot[i] != NULL)
            links->spot[i]->met = false;
        stepd_pending_fail(links->options.pending, (uint32_t)i, error); /* an Assign under way */
    }
    if (links->exchange != NULL)
        stepd_exchange_roll_back(links->exchange, error);
    greeter->roll_back(greeter->self, error);
}

static bool act_busy(void *owner, uint32_t shard)
{
    const struct stepd_links *const links = owner;
    return stepd_pending_any(links->options.pending, shard);
}

static uint32_t act_random(void *owner, uint32_t most)
{
    const struct stepd_links_io *const io = &((struct stepd_links *)owner)->options.io;
    return io->random(io->owner, most);
}

static void act_tell(void *owner, const struct stepd_event *event)
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
        .attempt = act_attempt,
        .drop = act_drop,
        .resume = act_resume,
        .fail = act_fail,
        .roll_back = act_roll_back,
        .busy = act_busy,
        .random = act_random,
        .tell = act_tell,
    };
    links->options = *options;
    stepd_keeper_init(&links->keeper, &io);
    links->keeper.observer = options->observer;
    links->keeper.budget_ms = options->budget_ms;
    *ret_links = links;
    return STEPD_OK;
}

void stepd_links_stop(struct stepd_links *links, const struct stepd_error *error)
{
    links->stopping = true;
    for (size_t i = 0; i < links->spots; i++)
        act_fail(links, (uint32_t)i, error);
    for (uint32_t i = 1; links->exchange != NULL && i <= links->exchange->shards; i++)
        stepd_exchange_lose(links->exchange, i, error);
    while (links->openings != NULL)
        finish(links, links->openings, error);
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

void stepd_links_open(struct stepd_links *links, struct stepd_opening *opening)
{
    struct stepd_error error;
    enum stepd_status status = STEPD_OK;
    opening->next = links->openings;
    links->openings = opening;
    if (links_spot(links, opening->shard) == NULL && links_make_spot(links, opening->shard) == NULL)
        status = stepd_fail(&error, STEPD_RESOURCE_EXHAUSTED, "no memory for a connection");
    if (status == STEPD_OK)
        status = stepd_keeper_open(&links->keeper, opening->shard, links_now_ms(links), &error);
    if (status != STEPD_OK)
        finish(links, opening, &error);
    links_settle(links);
}

/* An attempt takes too long: what is wrong with it? */
static void explain_delay(const struct stepd_links *links, uint32_t shard,
                          struct stepd_error *ret_error)
{
    const struct spot *const spot = links_spot(links, shard);
    const struct stepd_error *const last = stepd_keeper_last(&links->keeper, shard);
    const char *const address = stepd_links_address(links, shard);
    if (spot != NULL && spot->connected)
        (void)stepd_fail(ret_error, STEPD_UNAVAILABLE,
                         "%s does not answer: it is busy, stopped or full, or no stepd", address);
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
    links_settle(links);
}

/* ---- Using ----------------------------------------------------------------------------------- */

bool stepd_links_hold(struct stepd_links *links, uint32_t shard)
{
    if (stepd_keeper_sleeps(&links->keeper, shard)) {
        struct stepd_error error;
        const enum stepd_status status =
            stepd_keeper_open(&links->keeper, shard, links_now_ms(links), &error);
        (void)status; /* a spot that was made once stays: it is there */
        links_settle(links);
    }
    return stepd_keeper_holds(&links->keeper, shard);
}

enum stepd_status stepd_links_send(struct stepd_links *links, uint32_t shard,
                                   struct stepd_outgoing *outgoing, struct stepd_error *reterr)
{
    const struct spot *const spot = links_spot(links, shard);
    if (spot != NULL && spot->stands)
        return links->options.io.send(links->options.io.owner, shard, outgoing, reterr);
    if (spot != NULL && spot->gone.code != STEPD_OK)
        return stepd_fail(reterr, spot->gone.code, "%s", spot->gone.text);
    return stepd_fail(reterr, STEPD_UNAVAILABLE, "there is no connection to shard %" PRIu32, shard);
}

void stepd_links_explain(const struct stepd_links *links, uint32_t shard,
                         struct stepd_error *ret_error)
{
    stepd_keeper_explain(&links->keeper, shard, links_now_ms(links), ret_error);
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
                     stepd_links_address(links, shard), shard,
                     stepd_links_overdue_ms(links) / 1000);
    stepd_links_broke(links, shard, &error);
}

bool stepd_links_beat(struct stepd_links *links)
{
    struct spot *const spot = links_spot(links, 0);
    if (spot == NULL)
        return false;
    const struct stepd_links_io *const io = &links->options.io;
    const uint64_t received = spot->connected ? io->received(io->owner, 0) : 0;
    const bool heard = received != spot->received;
    spot->received = received;
    const bool send = stepd_keeper_beat(&links->keeper, heard, links_now_ms(links));
    links_settle(links);
    return send;
}

bool stepd_links_stand(const struct stepd_links *links)
{
    const struct spot *const spot = links_spot(links, 0);
    return spot != NULL && spot->stands && !links->keeper.left;
}

void stepd_links_rolled_back(struct stepd_links *links)
{
    const struct stepd_greeter *const greeter = &links->options.greeter;
    greeter->gone_back(greeter->self);
    stepd_keeper_rolled_back(&links->keeper);
    links_settle(links);
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

static void port_waits(void *self, const char *text)
{
    const struct stepd_greeter *const greeter = &((struct stepd_links *)self)->options.greeter;
    const struct stepd_event event = {.size = sizeof event,
                                      .kind = STEPD_EVENT_WAITING,
                                      .code = STEPD_DEADLINE_EXCEEDED,
                                      .text = text};
    greeter->tell(greeter->self, &event);
}

struct stepd_exchange *stepd_links_exchange(struct stepd_links *links)
{
    return links->exchange;
}

void stepd_links_use_exchange(struct stepd_links *links, struct stepd_exchange *exchange,
                              const struct stepd_error *gone)
{
    const struct stepd_error replaced = {STEPD_ROLLED_BACK, "the job was defined again meanwhile"};
    for (size_t i = 1; i < links->spots; i++) {
        if (links->spot[i] == NULL)
            continue;
        links_hang_up(links, (uint32_t)i); /* a Hello under way is no part of what fails */
        links->spot[i]->met = false;
        links->spot[i]->unshared = false; /* other tensors, another size */
        links->spot[i]->gone = gone == NULL ? replaced : *gone;
    }
    if (links->exchange != NULL)
        stepd_exchange_roll_back(links->exchange, &replaced);
    links->exchange = exchange;
    if (exchange == NULL) {
        stepd_keeper_know_nothing(&links->keeper);
        links_settle(links);
        return;
    }
    exchange->port = (struct stepd_port){.self = links,
                                         .send = port_send,
                                         .holds = port_holds,
                                         .rolled_back = port_rolled_back,
                                         .waits = port_waits};
    stepd_keeper_know(&links->keeper, exchange->incarnation);
    links_settle(links);
}

void stepd_links_laid_out(struct stepd_links *links, uint64_t incarnation,
                          const struct stepd_error *error)
{
    stepd_keeper_laid_out(&links->keeper, incarnation, error, links_now_ms(links));
    links_settle(links);
}

void stepd_links_leaving(struct stepd_links *links)
{
    stepd_keeper_leaving(&links->keeper);
}

void stepd_links_left(struct stepd_links *links)
{
    stepd_keeper_left(&links->keeper);
}
