/* SPDX-License-Identifier: Apache-2.0
 *
 * Getting all shards to take their shares at one version.
 *
 *     ASKED --all shares are there--> WHOLE --control_snapshot_end--> OVER
 *       |  ^                                                          ^
 *       |  +-- a shard was past the version: a later one, anew        |
 *       +-- another failure, the deadline, or the job was dropped ----+
 *
 * Nobody knows how far the rounds will be when an order arrives, so the first one that comes too
 * late says how far they were, and the next names a version beyond that, each time twice as far.
 * The first attempt after such an answer is at the version itself: a job that stands still has no
 * later one.
 */
#include "server/control/snapshot.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/control/orders.h"

/* From there on the rounds would have to be faster than the queues between control and shards by
 * more than any machine is. */
#define ATTEMPTS_DOUBLED 20u

/* How long an ending daemon waits for rounds to close: workers that live need less for a step, and
 * whoever has told it to end kills it after a minute and a half (systemd's TimeoutStopSec). */
#define LAST_WAIT_MS 10000u

enum snapshot_state {
    SNAPSHOT_ASKED, /* the shards have been told to take their shares */
    SNAPSHOT_WHOLE, /* somebody reads it */
    SNAPSHOT_OVER,  /* the shards have yet to be told so */
};

struct control_snapshot {
    struct control_snapshot *next;
    enum snapshot_state state;
    struct control_job *job; /* NULL: dropped meanwhile */
    struct snapshot_wish wish;
    char *job_name;   /* owned */
    uint64_t number;  /* of the attempt */
    uint64_t version; /* that it asks for */
    uint64_t from;    /* or, as it stands, not before a slice is at this one */
    unsigned attempts;
    uint64_t until_ms;               /* ASKED; UINT64_MAX: as long as it takes */
    bool durable;                    /* OVER: it was written down */
    bool holds;                      /* OVER: no step is to be made beyond it, as before */
    uint32_t left;                   /* ASKED: shards that have not taken their shares */
    struct job_snapshot whole;       /* WHOLE */
    const struct job_state *share[]; /* lent; by shard; NULL: it is not taken */
};

static struct control_snapshot *find(const struct control *control, const struct control_job *job)
{
    struct control_snapshot *snapshot = control->first_snapshot;
    while (snapshot != NULL && snapshot->job != job)
        snapshot = snapshot->next;
    return snapshot;
}

bool control_snapshot_is_taken(const struct control *control, const struct control_job *job)
{
    const struct control_snapshot *snapshot = find(control, job);
    return snapshot != NULL && snapshot->state == SNAPSHOT_ASKED;
}

static void destroy(struct control_snapshot *snapshot)
{
    job_snapshot_deinit(&snapshot->whole);
    free(snapshot->job_name);
    free(snapshot);
}

static void unlink_and_destroy(struct control *control, struct control_snapshot *snapshot)
{
    struct control_snapshot **at = &control->first_snapshot;
    while (*at != snapshot)
        at = &(*at)->next;
    *at = snapshot->next;
    destroy(snapshot);
}

void control_snapshot_destroy_all(struct control *control)
{
    while (control->first_snapshot != NULL)
        unlink_and_destroy(control, control->first_snapshot);
}

/* ---- Orders ---------------------------------------------------------------------------------- */

static enum stepd_status order(struct control *control, const struct control_snapshot *snapshot,
                               enum order_kind kind)
{
    return control_order_snapshot(
        control, &(struct order){
                     .kind = kind,
                     .job_name = snapshot->job_name,
                     .query = snapshot->number,
                     .durable = snapshot->durable,
                     .last = kind == ORDER_SNAPSHOT ? snapshot->wish.last : snapshot->holds,
                     .version = snapshot->version,
                     .from = snapshot->from,
                 });
}

/* Tells the shards, at the next tick where there is no memory for that now. */
static void end(struct control *control, struct control_snapshot *snapshot)
{
    snapshot->state = SNAPSHOT_OVER;
    if (order(control, snapshot, ORDER_SNAPSHOT_END) == STEPD_OK)
        unlink_and_destroy(control, snapshot);
}

static void fail(struct control *control, struct control_snapshot *snapshot,
                 const struct stepd_error *error)
{
    if (!snapshot->wish.checkpoint)
        control_warn(control, "no_snapshot", "job=%s cause=%s",
                     control_quote(snapshot->job_name).text, control_quote(error->text).text);
    const bool checkpoint = snapshot->wish.checkpoint;
    struct control_job *const job = snapshot->job;
    end(control, snapshot);
    if (checkpoint)
        control_checkpoint_taken(control, job, NULL, error);
    else if (control->io.snapshot != NULL)
        control->io.snapshot(control->io.owner, NULL, error);
}

static enum stepd_status no_memory(const char *job_name, struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a snapshot of job '%s'",
                      job_name);
}

/* ---- Beginning ------------------------------------------------------------------------------- */

static bool is_sync(const struct control_job *job)
{
    return job->job->consistency.mode == STEPD_SYNC;
}

static enum stepd_status ask(struct control *control, struct control_snapshot *snapshot,
                             uint64_t version)
{
    for (uint32_t shard = 0; shard < control->options.shards; shard++)
        snapshot->share[shard] = NULL;
    snapshot->left = control->options.shards;
    snapshot->number = ++control->query;
    snapshot->version = version;
    return order(control, snapshot, ORDER_SNAPSHOT);
}

static enum stepd_status check(const struct control *control, const char *job_name,
                               const struct control_job *job, struct stepd_error *reterr)
{
    if (job == NULL)
        return stepd_fail(reterr, STEPD_NOT_FOUND, "there is no job '%s' to take a snapshot of",
                          job_name);
    if (!control_job_is_open(job))
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "job '%s' is not open on the shards yet; there is nothing to take a "
                          "snapshot of",
                          job_name);
    if (job->state == CONTROL_JOB_FAILED)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "%s", job->failure.text);
    if (find(control, job) != NULL)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "a snapshot of job '%s' is under way; wait for its end", job_name);
    return STEPD_OK;
}

/* The first multiple beyond a version. */
static uint64_t next_multiple(uint64_t every, uint64_t behind)
{
    return behind / every > UINT64_MAX / every - 2 ? JOB_STATE_AS_IT_STANDS - 1
                                                   : (behind / every + 1) * every;
}

/* What the first attempt asks for. */
static enum stepd_status ask_first(struct control *control, struct control_snapshot *snapshot)
{
    const struct snapshot_wish *wish = &snapshot->wish;
    const uint64_t at = wish->every > 0 ? next_multiple(wish->every, wish->behind) : 0;
    if (is_sync(snapshot->job))
        return ask(control, snapshot, at);
    snapshot->from = at;
    return ask(control, snapshot, JOB_STATE_AS_IT_STANDS);
}

static uint32_t longest_ms(const struct control *control)
{
    const uint32_t most = control->options.wait_max_ms;
    return control->ends && most > LAST_WAIT_MS ? LAST_WAIT_MS : most;
}

void control_snapshots_hurry(struct control *control)
{
    struct control_snapshot *snapshot = control->first_snapshot;
    control->ends = true;
    const uint64_t until_ms = control->now_ms + longest_ms(control);
    for (; snapshot != NULL; snapshot = snapshot->next) {
        if (snapshot->wish.every == 0 && snapshot->until_ms > until_ms)
            snapshot->until_ms = until_ms;
    }
}

enum stepd_status control_snapshot_begin(struct control *control, const char *job_name,
                                         const struct snapshot_wish *wish,
                                         struct stepd_error *reterr)
{
    struct control_job *job = control_job_find(control, job_name);
    const enum stepd_status status = check(control, job_name, job, reterr);
    if (status != STEPD_OK)
        return status;
    const size_t shards = control->options.shards;
    struct control_snapshot *snapshot =
        calloc(1, sizeof *snapshot + shards * sizeof snapshot->share[0]);
    char *copy = strdup(job_name);
    if (snapshot == NULL || copy == NULL) {
        free(snapshot);
        free(copy);
        return no_memory(job_name, reterr);
    }
    snapshot->state = SNAPSHOT_ASKED;
    snapshot->job = job;
    snapshot->job_name = copy;
    snapshot->wish = *wish;
    snapshot->until_ms = wish->every > 0 ? UINT64_MAX : control->now_ms + longest_ms(control);
    if (ask_first(control, snapshot) != STEPD_OK) {
        destroy(snapshot);
        return no_memory(job_name, reterr);
    }
    if (!is_sync(job)) /* whose changes are made as the shards hear of them, and they do before */
        control_history_reached(&job->history, UINT64_MAX);
    snapshot->next = control->first_snapshot;
    control->first_snapshot = snapshot;
    return STEPD_OK;
}

/* ---- Answers --------------------------------------------------------------------------------- */

/* A shard is past the version: none is to take it, and all a later one. */
static void ask_again(struct control *control, struct control_snapshot *snapshot, uint64_t newest)
{
    const unsigned doubled =
        snapshot->attempts < ATTEMPTS_DOUBLED ? snapshot->attempts : ATTEMPTS_DOUBLED;
    const uint64_t ahead = (UINT64_C(1) << doubled) - 1;
    struct stepd_error error = {.code = STEPD_OK};
    const uint64_t every = snapshot->wish.every;
    const uint64_t version = every > 0 ? next_multiple(every, newest + ahead) : newest + ahead;
    snapshot->attempts++;
    if (order(control, snapshot, ORDER_SNAPSHOT_END) == STEPD_OK &&
        ask(control, snapshot, version) == STEPD_OK)
        return;
    (void)no_memory(snapshot->job_name, &error);
    fail(control, snapshot, &error);
}

static void finish(struct control *control, struct control_snapshot *snapshot)
{
    struct stepd_error error = {.code = STEPD_OK};
    if (job_snapshot_init(&snapshot->whole, snapshot->job, snapshot->share, control->options.shards,
                          control->now_ms) != STEPD_OK) {
        (void)no_memory(snapshot->job_name, &error);
        fail(control, snapshot, &error);
        return;
    }
    snapshot->state = SNAPSHOT_WHOLE;
    if (snapshot->wish.checkpoint) {
        control_checkpoint_taken(control, snapshot->job, &snapshot->whole, &error);
        return;
    }
    control_log(control, "snapshot", "job=%s incarnation=%" PRIu64,
                control_quote(snapshot->job_name).text, snapshot->whole.incarnation);
    if (control->io.snapshot != NULL)
        control->io.snapshot(control->io.owner, &snapshot->whole, &error);
}

void control_snapshot_answered(struct control *control, const struct notice *notice)
{
    struct control_snapshot *snapshot = control->first_snapshot;
    assert(notice->shard < control->options.shards);
    while (snapshot != NULL && snapshot->number != notice->query)
        snapshot = snapshot->next;
    if (snapshot == NULL || snapshot->state != SNAPSHOT_ASKED)
        return;
    if (notice->error.code == STEPD_OUT_OF_RANGE) {
        ask_again(control, snapshot, notice->version_max);
    } else if (notice->error.code != STEPD_OK) {
        fail(control, snapshot, &notice->error);
    } else if (snapshot->share[notice->shard] == NULL) {
        snapshot->share[notice->shard] = notice->state;
        if (--snapshot->left == 0)
            finish(control, snapshot);
    }
}

/* ---- Endings --------------------------------------------------------------------------------- */

void control_snapshot_close(struct control *control, const struct job_snapshot *whole, bool durable)
{
    struct control_snapshot *snapshot = control->first_snapshot;
    while (snapshot != NULL && &snapshot->whole != whole)
        snapshot = snapshot->next;
    assert(snapshot != NULL && snapshot->state == SNAPSHOT_WHOLE);
    snapshot->durable = durable;
    snapshot->holds = snapshot->wish.last;
    end(control, snapshot);
}

void control_snapshot_call_off(struct control *control, const struct control_job *job)
{
    struct control_snapshot *snapshot = find(control, job);
    assert(snapshot != NULL && snapshot->state == SNAPSHOT_ASKED);
    end(control, snapshot);
}

struct control_job *control_snapshot_job(const struct control *control,
                                         const struct job_snapshot *whole)
{
    struct control_snapshot *snapshot = control->first_snapshot;
    while (&snapshot->whole != whole)
        snapshot = snapshot->next;
    return snapshot->job;
}

enum stepd_status control_snapshot_late(const struct control *control,
                                        const struct control_job *job, struct stepd_error *reterr)
{
    const struct control_snapshot *snapshot = find(control, job);
    assert(snapshot != NULL && snapshot->state == SNAPSHOT_ASKED);
    char what[64] = "have not said that they have it";
    if (snapshot->version != JOB_STATE_AS_IT_STANDS)
        (void)stepd_format(what, sizeof what, "have slices that have not closed version %" PRIu64,
                           snapshot->version);
    return stepd_fail(reterr, STEPD_DEADLINE_EXCEEDED,
                      "no snapshot of job '%s' yet: %u of %u shards %s; its status says for which "
                      "ranks they wait",
                      snapshot->job_name, snapshot->left, control->options.shards, what);
}

static void expire(struct control *control, struct control_snapshot *snapshot)
{
    struct stepd_error error = {.code = STEPD_OK};
    (void)control_snapshot_late(control, snapshot->job, &error);
    fail(control, snapshot, &error);
}

void control_snapshots_on_tick(struct control *control)
{
    struct control_snapshot *next = NULL;
    for (struct control_snapshot *snapshot = control->first_snapshot; snapshot != NULL;
         snapshot = next) {
        next = snapshot->next;
        if (snapshot->state == SNAPSHOT_OVER)
            end(control, snapshot);
        else if (snapshot->state == SNAPSHOT_ASKED && control->now_ms >= snapshot->until_ms)
            expire(control, snapshot);
    }
}

void control_snapshot_forget_job(struct control *control, const struct control_job *job)
{
    struct control_snapshot *snapshot = find(control, job);
    if (snapshot == NULL)
        return;
    snapshot->job = NULL;
    if (snapshot->state != SNAPSHOT_ASKED)
        return;
    struct stepd_error error = {.code = STEPD_OK};
    (void)stepd_fail(&error, STEPD_ABORTED, "job '%s' was dropped before its snapshot was whole",
                     snapshot->job_name);
    fail(control, snapshot, &error);
}
