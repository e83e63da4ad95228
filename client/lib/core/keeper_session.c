/* SPDX-License-Identifier: Apache-2.0
 *
 * What the answers to a Hello mean for the session and for the job.
 *
 *     NEW --Welcome--> RESUME --NOT_FOUND--> REJOIN --Welcome--> RESUME
 *
 * An observer's session ends with its connection, so it does not resume and always joins again;
 * for it that is no loss as long as the job's incarnation is the same.
 */
#include <assert.h>
#include <inttypes.h>

#include "client/lib/core/keeper_internal.h"
#include "proto/error.h"

bool keeper_may_repeat(const struct stepd_error *error)
{
    switch (error->code) {
    case STEPD_UNAVAILABLE:
    case STEPD_DEADLINE_EXCEEDED:
    case STEPD_RESOURCE_EXHAUSTED:
    case STEPD_ABORTED:
    case STEPD_CANCELLED:
    case STEPD_INTERNAL: /* bytes that are no stepd's: what stands in front of it answers for it */
    case STEPD_UNKNOWN: return true;
    default: return false;
    }
}

/* ---- Rolling back ---------------------------------------------------------------------------- */

static void roll_back(struct stepd_keeper *keeper, const struct stepd_error *why, uint64_t now_ms)
{
    keeper->job = STEPD_KEPT_JOB_ASKED;
    keeper->leaving = false; /* the Leave was of before */
    keeper->left = false;
    for (uint32_t i = 1; i < keeper->links; i++) {
        if (keeper->link[i].state != STEPD_KEPT_CLOSED)
            keeper_break(keeper, i, why, now_ms);
    }
    keeper_tell(keeper, STEPD_EVENT_ROLLED_BACK, why, now_ms);
    keeper->io.roll_back(keeper->io.owner, why);
}

void keeper_look_again(struct stepd_keeper *keeper, uint64_t now_ms)
{
    struct stepd_error why;
    keeper->stale = false;
    if (keeper->job != STEPD_KEPT_JOB_KNOWN || !stepd_keeper_is_open(keeper, 0))
        return; /* the answer that is on its way says it */
    (void)stepd_fail(&why, STEPD_ROLLED_BACK,
                     "the job went back to a checkpoint or was begun anew: pull the weights and "
                     "go on from there");
    roll_back(keeper, &why, now_ms);
}

void stepd_keeper_rolled_back(struct stepd_keeper *keeper)
{
    keeper->stale = true;
}

static void know(struct stepd_keeper *keeper, uint64_t incarnation)
{
    keeper->job = STEPD_KEPT_JOB_KNOWN;
    keeper->incarnation = incarnation;
    keeper->stale = false;
}

static void close_shards(struct stepd_keeper *keeper)
{
    const struct stepd_error why = {.code = STEPD_UNAVAILABLE, .text = "the layout is another"};
    for (uint32_t i = 1; i < keeper->links; i++) {
        keeper->io.drop(keeper->io.owner, i, &why);
        keeper->link[i] = (struct stepd_kept_link){.state = STEPD_KEPT_CLOSED};
    }
}

void stepd_keeper_know(struct stepd_keeper *keeper, uint64_t incarnation)
{
    close_shards(keeper);
    know(keeper, incarnation);
}

void stepd_keeper_know_nothing(struct stepd_keeper *keeper)
{
    close_shards(keeper);
    keeper->job = STEPD_KEPT_JOB_UNKNOWN;
    keeper->stale = false;
}

void stepd_keeper_laid_out(struct stepd_keeper *keeper, uint64_t incarnation,
                           const struct stepd_error *error, uint64_t now_ms)
{
    if (keeper->over || keeper->job != STEPD_KEPT_JOB_ASKED)
        return;
    if (error == NULL) {
        know(keeper, incarnation);
        stepd_keeper_tick(keeper, now_ms);
        return;
    }
    keeper->job = STEPD_KEPT_JOB_UNKNOWN;
    for (uint32_t i = 1; i < keeper->links; i++) {
        if (keeper->link[i].state == STEPD_KEPT_CLOSED)
            continue;
        keeper->link[i] = (struct stepd_kept_link){.state = STEPD_KEPT_CLOSED, .last = *error};
        keeper->io.fail(keeper->io.owner, i, error);
    }
    keeper_end_trouble(keeper, now_ms);
}

/* ---- Welcome --------------------------------------------------------------------------------- */

static bool is_rolled_back(const struct stepd_keeper *keeper, enum stepd_greeting how,
                           uint64_t incarnation)
{
    if (keeper->job != STEPD_KEPT_JOB_KNOWN)
        return false; /* nothing to lose, or the layout is asked for already */
    return incarnation != keeper->incarnation || (how == STEPD_GREET_REJOIN && !keeper->observer);
}

static void explain_roll_back(const struct stepd_keeper *keeper, uint64_t incarnation,
                              struct stepd_error *ret_why)
{
    if (incarnation == 0)
        (void)stepd_fail(ret_why, STEPD_ROLLED_BACK,
                         "the server has lost the job, of which it had no checkpoint: start the "
                         "training again, and keep checkpoints (checkpoint_dir of the server); a "
                         "program can call stepd_define again, pull the weights and go on from "
                         "there");
    else if (incarnation == keeper->incarnation)
        (void)stepd_fail(ret_why, STEPD_ROLLED_BACK,
                         "the server had forgotten this worker, which has joined again: pull the "
                         "weights and go on from there");
    else
        (void)stepd_fail(ret_why, STEPD_ROLLED_BACK,
                         "the job is at incarnation %" PRIu64 ", no longer at %" PRIu64
                         ": pull the weights and go on from there",
                         incarnation, keeper->incarnation);
}

/* The server has closed the shards' links of the session when it lets it in anew. */
static void control_opened(struct stepd_keeper *keeper, uint64_t incarnation, uint64_t now_ms)
{
    const enum stepd_greeting how = keeper->how;
    struct stepd_error why;
    keeper->how = keeper->observer ? STEPD_GREET_REJOIN : STEPD_GREET_RESUME;
    keeper->beats = 0;
    if (is_rolled_back(keeper, how, incarnation)) {
        explain_roll_back(keeper, incarnation, &why);
        roll_back(keeper, &why, now_ms); /* before anything goes out that was meant for before */
        keeper->io.resume(keeper->io.owner, 0);
        return;
    }
    keeper->io.resume(keeper->io.owner, 0);
    (void)stepd_fail(&why, STEPD_UNAVAILABLE, "connection closed: control was connected again");
    for (uint32_t i = 1; i < keeper->links; i++) {
        if (keeper->link[i].state == STEPD_KEPT_OPEN || keeper->link[i].state == STEPD_KEPT_TRYING)
            keeper_break(keeper, i, &why, now_ms);
    }
}

void stepd_keeper_opened(struct stepd_keeper *keeper, uint32_t shard, uint64_t incarnation,
                         uint64_t now_ms)
{
    struct stepd_kept_link *const link = &keeper->link[shard];
    assert(link->state == STEPD_KEPT_TRYING);
    link->down_ms += link->lost ? now_ms - link->since_ms : 0;
    link->since_ms = now_ms;
    link->state = STEPD_KEPT_OPEN;
    link->last.code = STEPD_OK;
    if (!link->lost)
        link->attempts = 0; /* the first time it stands, nothing has gone wrong */
    if (shard == 0)
        control_opened(keeper, incarnation, now_ms);
    else
        keeper->io.resume(keeper->io.owner, shard);
    keeper_end_trouble(keeper, now_ms);
    stepd_keeper_tick(keeper, now_ms);
}

/* ---- Refusals -------------------------------------------------------------------------------- */

/* The server knows the session no more. Who was leaving has what it wanted. */
static void forgotten(struct stepd_keeper *keeper, const struct stepd_error *error, uint64_t now_ms)
{
    if (keeper->leaving || keeper->left) {
        keeper->troubled = false;
        keeper_give_up(keeper, error, now_ms);
        return;
    }
    keeper->how = STEPD_GREET_REJOIN;
    keeper->link[0].state = STEPD_KEPT_DUE;
    keeper->link[0].next_ms = now_ms;
    stepd_keeper_tick(keeper, now_ms);
}

static void refused(struct stepd_keeper *keeper, uint32_t shard, const struct stepd_error *error,
                    uint64_t now_ms)
{
    struct stepd_error end;
    if (!keeper->link[shard].lost) { /* who opens it is told */
        keeper->link[shard].state = STEPD_KEPT_CLOSED;
        return;
    }
    if (keeper->how == STEPD_GREET_REJOIN && error->code == STEPD_ALREADY_EXISTS)
        (void)stepd_fail(&end, error->code,
                         "this worker was given up while it was cut off, and somebody else has its "
                         "rank: %.400s",
                         error->text);
    else
        (void)stepd_fail(&end, error->code, "the server does not let this worker in again: %.500s",
                         error->text);
    keeper_give_up(keeper, &end, now_ms);
}

/* May this attempt be repeated as it is? */
static bool is_worth_repeating(const struct stepd_keeper *keeper, uint32_t shard,
                               const struct stepd_error *error)
{
    if (shard == 0 && keeper->how == STEPD_GREET_NEW)
        return error->code == STEPD_UNAVAILABLE || error->code == STEPD_DEADLINE_EXCEEDED;
    if (error->code == STEPD_NOT_FOUND)
        return shard > 0 || keeper->observer; /* a job may be made again by its workers */
    return keeper_may_repeat(error);
}

void stepd_keeper_failed(struct stepd_keeper *keeper, uint32_t shard,
                         const struct stepd_error *error, uint64_t now_ms)
{
    struct stepd_kept_link *const link = &keeper->link[shard];
    assert(link->state == STEPD_KEPT_TRYING);
    link->last = *error;
    if (shard == 0 && keeper->how == STEPD_GREET_RESUME && error->code == STEPD_NOT_FOUND) {
        forgotten(keeper, error, now_ms);
        return;
    }
    if (!is_worth_repeating(keeper, shard, error)) {
        refused(keeper, shard, error, now_ms);
        return;
    }
    keeper_try_later(keeper, shard, now_ms);
    if (shard > 0 && error->code == STEPD_NOT_FOUND && stepd_keeper_is_open(keeper, 0))
        keeper_break(keeper, 0, error, now_ms); /* control knows what became of the session */
}

/* ---- Leaving --------------------------------------------------------------------------------- */

void stepd_keeper_leaving(struct stepd_keeper *keeper)
{
    keeper->leaving = true;
}

void stepd_keeper_left(struct stepd_keeper *keeper)
{
    keeper->left = true;
}
