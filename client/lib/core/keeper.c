/* SPDX-License-Identifier: Apache-2.0
 *
 * Links and their attempts. What the answers to a Hello mean for the session is in
 * keeper_session.c.
 */
#include "client/lib/core/keeper.h"

#include <assert.h>
#include <stdlib.h>

#include "client/lib/core/grow.h"
#include "client/lib/core/keeper_internal.h"
#include "proto/error.h"

void stepd_keeper_init(struct stepd_keeper *keeper, const struct stepd_keeper_io *io)
{
    *keeper = (struct stepd_keeper){.io = *io};
}

void stepd_keeper_deinit(struct stepd_keeper *keeper)
{
    free(keeper->link);
    keeper->link = NULL;
    keeper->links = 0;
}

/* ---- Looking --------------------------------------------------------------------------------- */

/* The link's state; CLOSED for one that nobody has wanted yet. */
static enum stepd_kept_state state_of(const struct stepd_keeper *keeper, uint32_t shard)
{
    return shard < keeper->links ? keeper->link[shard].state : STEPD_KEPT_CLOSED;
}

bool stepd_keeper_is_open(const struct stepd_keeper *keeper, uint32_t shard)
{
    return state_of(keeper, shard) == STEPD_KEPT_OPEN;
}

bool stepd_keeper_holds(const struct stepd_keeper *keeper, uint32_t shard)
{
    const enum stepd_kept_state state = state_of(keeper, shard);
    return state == STEPD_KEPT_DUE || state == STEPD_KEPT_TRYING;
}

bool stepd_keeper_sleeps(const struct stepd_keeper *keeper, uint32_t shard)
{
    return !keeper->over && state_of(keeper, shard) == STEPD_KEPT_CLOSED && shard < keeper->links &&
           keeper->link[shard].sleeps;
}

const struct stepd_error *stepd_keeper_refusal(const struct stepd_keeper *keeper, uint32_t shard)
{
    if (keeper->over)
        return &keeper->end;
    return state_of(keeper, shard) == STEPD_KEPT_CLOSED ? stepd_keeper_last(keeper, shard) : NULL;
}

const struct stepd_error *stepd_keeper_last(const struct stepd_keeper *keeper, uint32_t shard)
{
    const bool failed = shard < keeper->links && keeper->link[shard].last.code != STEPD_OK;
    return failed ? &keeper->link[shard].last : NULL;
}

/* How long the link was gone since it was well. */
static uint64_t gone_ms(const struct stepd_kept_link *link, uint64_t now_ms)
{
    const bool gone = link->state != STEPD_KEPT_OPEN;
    return link->down_ms + (gone ? now_ms - link->since_ms : 0);
}

/* A shard's link waits for control's, and for the layout. */
static bool may_try(const struct stepd_keeper *keeper, size_t shard)
{
    return shard == 0 ||
           (keeper->link[0].state == STEPD_KEPT_OPEN && keeper->job != STEPD_KEPT_JOB_ASKED);
}

/* When something is to be done about the link. */
static uint64_t due_ms(const struct stepd_keeper *keeper, size_t shard)
{
    const struct stepd_kept_link *const link = &keeper->link[shard];
    uint64_t due = UINT64_MAX;
    switch (link->state) {
    case STEPD_KEPT_CLOSED: return UINT64_MAX;
    case STEPD_KEPT_OPEN:
        return link->attempts > 0 ? link->since_ms + STEPD_KEEPER_STABLE_MS : UINT64_MAX;
    case STEPD_KEPT_DUE:
        if (may_try(keeper, shard))
            due = link->next_ms;
        break;
    case STEPD_KEPT_TRYING: due = link->next_ms; break;
    }
    const uint64_t left = keeper->budget_ms > link->down_ms ? keeper->budget_ms - link->down_ms : 0;
    const uint64_t end = link->since_ms + left;
    return link->lost && end < due ? end : due;
}

uint64_t stepd_keeper_next_ms(const struct stepd_keeper *keeper)
{
    uint64_t next = UINT64_MAX;
    if (keeper->over)
        return next;
    if (keeper->stale)
        return 0;
    for (size_t i = 0; i < keeper->links; i++) {
        const uint64_t due = due_ms(keeper, i);
        if (due < next)
            next = due;
    }
    return next;
}

void stepd_keeper_explain(const struct stepd_keeper *keeper, uint32_t shard, uint64_t now_ms,
                          struct stepd_error *ret_error)
{
    const bool control = shard >= keeper->links || keeper->link[0].state != STEPD_KEPT_OPEN;
    const struct stepd_kept_link *const link = &keeper->link[control ? 0 : shard];
    const double seconds = (double)gone_ms(link, now_ms) / 1000;
    const bool failed = link->last.code != STEPD_OK;
    if (!failed && link->attempts <= 1)
        (void)stepd_fail(ret_error, STEPD_DEADLINE_EXCEEDED,
                         "%.400s; that was %.1f s ago, and it is being made again",
                         link->cause.text, seconds);
    else
        (void)stepd_fail(ret_error, STEPD_DEADLINE_EXCEEDED,
                         "%.250s; %.1f s without it and %u attempt%s to connect again have led to "
                         "no answer%s%.250s",
                         link->cause.text, seconds, link->attempts, link->attempts == 1 ? "" : "s",
                         failed ? ", the last: " : "", failed ? link->last.text : "");
}

/* ---- Telling --------------------------------------------------------------------------------- */

void keeper_tell(struct stepd_keeper *keeper, enum stepd_event_kind kind,
                 const struct stepd_error *why, uint64_t now_ms)
{
    const struct stepd_event event = {
        .size = sizeof event,
        .kind = kind,
        .code = why == NULL ? STEPD_OK : why->code,
        .text = why == NULL ? "" : why->text,
        .attempts = keeper->tries,
        .down_ms = keeper->troubled ? now_ms - keeper->troubled_ms : 0,
    };
    keeper->io.tell(keeper->io.owner, &event);
}

static void begin_trouble(struct stepd_keeper *keeper, const struct stepd_error *cause,
                          uint64_t now_ms)
{
    if (keeper->troubled)
        return;
    keeper->troubled = true;
    keeper->troubled_ms = now_ms;
    keeper->tries = 0;
    keeper_tell(keeper, STEPD_EVENT_LOST, cause, now_ms);
}

void keeper_end_trouble(struct stepd_keeper *keeper, uint64_t now_ms)
{
    if (!keeper->troubled)
        return;
    for (size_t i = 0; i < keeper->links; i++) {
        const enum stepd_kept_state state = keeper->link[i].state;
        if (state != STEPD_KEPT_OPEN && state != STEPD_KEPT_CLOSED)
            return;
    }
    keeper_tell(keeper, STEPD_EVENT_BACK, NULL, now_ms);
    keeper->troubled = false;
}

/* ---- Wanting --------------------------------------------------------------------------------- */

/* Makes room for the link, which nobody has wanted before. */
static enum stepd_status grow_to(struct stepd_keeper *keeper, uint32_t shard)
{
    struct stepd_kept_link *const grown =
        stepd_grow(keeper->link, &keeper->room, (size_t)shard + 1, sizeof *grown);
    if (grown == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    keeper->link = grown;
    while (keeper->links <= shard)
        keeper->link[keeper->links++] = (struct stepd_kept_link){.state = STEPD_KEPT_CLOSED};
    return STEPD_OK;
}

static void want(struct stepd_keeper *keeper, uint32_t shard, uint64_t now_ms)
{
    struct stepd_kept_link *const link = &keeper->link[shard];
    if (link->state != STEPD_KEPT_CLOSED)
        return;
    *link = (struct stepd_kept_link){
        .state = STEPD_KEPT_DUE,
        .lost = link->sleeps,
        .cause = link->cause,
        .since_ms = now_ms,
        .next_ms = now_ms,
    };
}

enum stepd_status stepd_keeper_open(struct stepd_keeper *keeper, uint32_t shard, uint64_t now_ms,
                                    struct stepd_error *reterr)
{
    if (keeper->over)
        return stepd_fail(reterr, keeper->end.code, "%s", keeper->end.text);
    if (shard >= keeper->links && grow_to(keeper, shard) != STEPD_OK)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a connection");
    want(keeper, shard, now_ms);
    if (stepd_keeper_sleeps(keeper, 0))
        want(keeper, 0, now_ms);
    stepd_keeper_tick(keeper, now_ms);
    return STEPD_OK;
}

void stepd_keeper_forget(struct stepd_keeper *keeper, uint32_t shard)
{
    if (shard >= keeper->links || keeper->link[shard].lost)
        return;
    if (keeper->link[shard].state == STEPD_KEPT_OPEN)
        return;
    keeper->io.drop(keeper->io.owner, shard, &keeper->link[shard].last);
    keeper->link[shard].state = STEPD_KEPT_CLOSED;
}

/* ---- Attempts -------------------------------------------------------------------------------- */

/* A random time below a bound that doubles. */
static uint32_t wait_ms(const struct stepd_keeper *keeper, const struct stepd_kept_link *link)
{
    const uint32_t last = link->lost ? STEPD_KEEPER_LAST_MS : STEPD_KEEPER_LAST_OPENING_MS;
    uint32_t bound = STEPD_KEEPER_FIRST_MS;
    for (uint32_t i = 0; i < link->attempts && bound < last; i++)
        bound *= 2;
    return keeper->io.random(keeper->io.owner, bound < last ? bound : last);
}

void keeper_try_later(struct stepd_keeper *keeper, uint32_t shard, uint64_t now_ms)
{
    struct stepd_kept_link *const link = &keeper->link[shard];
    link->state = STEPD_KEPT_DUE;
    link->next_ms = now_ms + wait_ms(keeper, link);
}

void keeper_break(struct stepd_keeper *keeper, uint32_t shard, const struct stepd_error *cause,
                  uint64_t now_ms)
{
    struct stepd_kept_link *const link = &keeper->link[shard];
    keeper->io.drop(keeper->io.owner, shard, cause);
    if (link->state == STEPD_KEPT_OPEN) {
        link->lost = true;
        link->since_ms = now_ms;
        link->cause = *cause;
        link->last.code = STEPD_OK;
    }
    link->state = STEPD_KEPT_DUE;
    link->next_ms = now_ms;
}

void keeper_give_up(struct stepd_keeper *keeper, const struct stepd_error *error, uint64_t now_ms)
{
    keeper->over = true;
    keeper->end = *error;
    for (size_t i = 0; i < keeper->links; i++) {
        keeper->link[i].state = STEPD_KEPT_CLOSED;
        keeper->io.fail(keeper->io.owner, (uint32_t)i, error);
    }
    if (keeper->troubled)
        keeper_tell(keeper, STEPD_EVENT_ENDED, error, now_ms);
}

/* Does a shard's link wait for control's? */
static bool is_waited_for(const struct stepd_keeper *keeper)
{
    bool waited_for = false;
    for (uint32_t i = 1; i < keeper->links; i++)
        waited_for = waited_for || stepd_keeper_holds(keeper, i);
    return waited_for;
}

void stepd_keeper_lost(struct stepd_keeper *keeper, uint32_t shard, const struct stepd_error *error,
                       uint64_t now_ms)
{
    struct stepd_kept_link *const link = &keeper->link[shard];
    assert(link->state == STEPD_KEPT_OPEN);
    const bool idle = keeper->left && !keeper->io.busy(keeper->io.owner, shard) &&
                      !(shard == 0 && is_waited_for(keeper));
    if (keeper->budget_ms == 0 || idle) {
        link->state = STEPD_KEPT_CLOSED;
        link->lost = true;
        link->sleeps = keeper->budget_ms != 0;
        link->cause = *error;
        keeper->io.fail(keeper->io.owner, shard, error);
        return;
    }
    begin_trouble(keeper, error, now_ms);
    if (!keeper_may_repeat(error)) {
        keeper_give_up(keeper, error, now_ms);
        return;
    }
    keeper_break(keeper, shard, error, now_ms);
    keeper_try_later(keeper, shard, now_ms);
    if (stepd_keeper_sleeps(keeper, 0)) /* no shard's link is made without it */
        want(keeper, 0, now_ms);
}

void stepd_keeper_answered(struct stepd_keeper *keeper, uint32_t shard)
{
    if (state_of(keeper, shard) != STEPD_KEPT_OPEN)
        return;
    keeper->link[shard].attempts = 0;
    keeper->link[shard].down_ms = 0;
}

static void give_up_waiting(struct stepd_keeper *keeper, uint32_t shard, uint64_t now_ms)
{
    struct stepd_error error;
    stepd_keeper_explain(keeper, shard, now_ms, &error);
    error.code = STEPD_UNAVAILABLE;
    keeper_give_up(keeper, &error, now_ms);
}

/* Does what is due about one link. */
static void tend(struct stepd_keeper *keeper, uint32_t shard, uint64_t now_ms)
{
    struct stepd_kept_link *const link = &keeper->link[shard];
    if (link->state == STEPD_KEPT_OPEN) {
        link->since_ms = now_ms; /* look again after as long, if it is busy now */
        if (!keeper->io.busy(keeper->io.owner, shard))
            stepd_keeper_answered(keeper, shard);
    } else if (link->lost && gone_ms(link, now_ms) >= keeper->budget_ms) {
        give_up_waiting(keeper, shard, now_ms);
    } else if (link->state == STEPD_KEPT_DUE) {
        link->state = STEPD_KEPT_TRYING;
        link->next_ms = now_ms + STEPD_KEEPER_ATTEMPT_MS;
        link->attempts++;
        keeper->tries++;
        keeper->io.attempt(keeper->io.owner, shard, shard == 0 ? keeper->how : STEPD_GREET_RESUME);
    } else {
        struct stepd_error error;
        (void)stepd_fail(&error, STEPD_UNAVAILABLE, "no answer to a Hello for %u s",
                         STEPD_KEEPER_ATTEMPT_MS / 1000);
        keeper->io.drop(keeper->io.owner, shard, &error);
        stepd_keeper_failed(keeper, shard, &error, now_ms);
    }
}

void stepd_keeper_tick(struct stepd_keeper *keeper, uint64_t now_ms)
{
    if (keeper->stale && !keeper->over)
        keeper_look_again(keeper, now_ms);
    for (uint32_t i = 0; i < keeper->links && !keeper->over; i++) {
        if (due_ms(keeper, i) <= now_ms)
            tend(keeper, i, now_ms);
    }
}

/* ---- Heartbeats ------------------------------------------------------------------------------ */

/* Beats are counted, and not the time alone: a process that was stopped for long finds the answer
 * to its last one waiting when it goes on. */
bool stepd_keeper_beat(struct stepd_keeper *keeper, bool heard, uint64_t now_ms)
{
    if (state_of(keeper, 0) != STEPD_KEPT_OPEN) {
        keeper->beats = 0;
        return false;
    }
    if (heard)
        keeper->beats = 0;
    if (keeper->beats == 0)
        keeper->beats_ms = now_ms;
    const uint64_t silent = now_ms - keeper->beats_ms;
    if (keeper->beats < STEPD_KEEPER_BEATS || silent < STEPD_KEEPER_SILENCE_MS ||
        keeper->budget_ms == 0) {
        keeper->beats++;
        return true;
    }
    struct stepd_error error;
    (void)stepd_fail(&error, STEPD_UNAVAILABLE,
                     "connection lost: %u heartbeats without an answer in %.1f s", keeper->beats,
                     (double)silent / 1000);
    keeper->beats = 0;
    stepd_keeper_lost(keeper, 0, &error, now_ms);
    return false;
}
