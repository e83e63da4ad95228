/* SPDX-License-Identifier: Apache-2.0
 *
 * What control says, and what the shard says to control: that a job's slices stand, who is alive,
 * and how far the slices are.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/core/core_internal.h"
#include "server/core/snapshot.h"

/* How often control hears who is alive: well below the shortest lease. */
#define HEARD_INTERVAL_MS 250u

void notice_send(struct core *core, struct notice *notice)
{
    notice->shard = core->options.shard;
    core->io.notify(core->io.owner, notice);
}

/* ---- Orders ---------------------------------------------------------------------------------- */

/* The slices begin as they are defined, or go on from a state. */
static enum stepd_status open_slices(struct core *core, const struct order *order,
                                     struct stepd_error *reterr)
{
    if (job_open(core, order->job, order->first) != STEPD_OK)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "shard %u has no memory for job '%s'",
                          core->options.shard + 1, order->job_name);
    if (order->state == NULL)
        return STEPD_OK;
    struct core_job *job = job_find(core, order->job_name);
    const enum stepd_status status = snapshot_restore(job, order->state, reterr);
    if (status != STEPD_OK)
        job_free(core, job);
    return status;
}

static void open_job(struct core *core, struct order *order)
{
    struct notice *notice = notice_create(NOTICE_JOB_OPENED, order->job_name);
    if (notice == NULL)
        return; /* control's deadline speaks for us */
    notice->query = order->query;
    if (job_find(core, order->job_name) != NULL)
        (void)stepd_fail(&notice->error, STEPD_ALREADY_EXISTS, "job '%s' is open on shard %u",
                         order->job_name, core->options.shard + 1);
    else
        (void)open_slices(core, order, &notice->error);
    notice_send(core, notice);
}

static void count_slices(const struct core_job *job, struct notice *notice)
{
    for (size_t i = 0; i < job->job->layout.slices; i++) {
        if (job->slice[i] == NULL)
            continue;
        const uint64_t version = job->slice[i]->slice.version;
        if (notice->slices == 0 || version < notice->version_min)
            notice->version_min = version;
        if (notice->slices == 0 || version > notice->version_max)
            notice->version_max = version;
        notice->slices++;
    }
}

/* Does a slice wait for a rank: an open round that somebody has contributed to, or a worker that is
 * too far ahead? */
static bool slice_waits_for(const struct core_slice *slice, uint32_t rank)
{
    const struct sync_policy *policy = slice->job->policy;
    const struct scene scene = slice_scene(slice);
    if (policy->together)
        return slice->round.present > 0 && policy->waits_for(&scene, 0, rank);
    for (const struct waiter *waiter = slice->waiters; waiter != NULL; waiter = waiter->next) {
        if (policy->waits_for(&scene, waiter_clock(waiter), rank))
            return true;
    }
    return false;
}

static bool is_waited_for(const struct core_job *job, uint32_t rank)
{
    for (size_t i = 0; i < job->job->layout.slices; i++) {
        if (job->slice[i] != NULL && slice_waits_for(job->slice[i], rank))
            return true;
    }
    return false;
}

static void list_waited_for(const struct core_job *job, struct notice *notice)
{
    const uint32_t workers = job->job->workers;
    notice->rank = calloc(workers, sizeof *notice->rank);
    for (uint32_t rank = 0; notice->rank != NULL && rank < workers; rank++) {
        if (is_waited_for(job, rank))
            notice->rank[notice->ranks++] = rank;
    }
}

static uint64_t count_requests(const struct core *core, const struct core_job *job)
{
    uint64_t count = 0;
    for (const struct core_conn *conn = core->conns; conn != NULL; conn = conn->next) {
        for (const struct request *request = conn->requests; request != NULL;
             request = request->next)
            count += request->job == job;
    }
    return count;
}

/* Control counts the shards that have answered, so a job that is not here is answered too. */
static void answer(struct core *core, const struct core_job *job, const struct order *order)
{
    struct notice *notice = notice_create(NOTICE_ANSWER, order->job_name);
    if (notice == NULL)
        return;
    notice->query = order->query;
    if (job != NULL) {
        count_slices(job, notice);
        list_waited_for(job, notice);
        notice->parked = count_requests(core, job);
    }
    notice_send(core, notice);
}

static struct core_job *find_open(const struct core *core)
{
    struct core_job *job = core->jobs;
    while (job != NULL && job->closing)
        job = job->next;
    return job;
}

/* Forgets what control reads of jobs, as it does no more. */
static void end_snapshots(struct core *core)
{
    struct core_job *next = NULL;
    for (struct core_job *job = core->jobs; job != NULL; job = next) {
        next = job->next;
        snapshot_drop(core, job);
        if (job->closing && job->pieces == 0)
            job_free(core, job);
    }
}

static void tell_reset(struct core *core)
{
    struct notice *const notice = core->reset_untold ? notice_create(NOTICE_RESET, "") : NULL;
    if (notice == NULL)
        return;
    core->reset_untold = false;
    notice_send(core, notice);
}

/* Connections go first, so that each hears one error, and not of every request. What peers are
 * being sent keeps its job until then, as with JOB_CLOSE. */
static void reset(struct core *core, const struct order *order)
{
    struct stepd_error why = order->error;
    if (why.code == STEPD_OK)
        (void)stepd_fail(&why, STEPD_UNAVAILABLE,
                         "the daemon begins anew from the newest checkpoint of each job; connect "
                         "again");
    while (core->sessions != NULL)
        session_remove(core, core->sessions, &why);
    end_snapshots(core);
    struct core_job *job;
    while ((job = find_open(core)) != NULL)
        job_close(core, job);
    core->options.shard = order->becomes;
    core->reset_untold = true;
    tell_reset(core);
}

static void obey(struct core *core, struct order *order)
{
    struct core_job *job = job_find(core, order->job_name);
    switch (order->kind) {
    case ORDER_JOB_OPEN: open_job(core, order); return;
    case ORDER_SESSION: (void)session_update(core, order); return;
    case ORDER_SESSION_GONE:
        session_remove(core, session_find(core, order->session), &order->error);
        return;
    case ORDER_QUERY: answer(core, job, order); return;
    case ORDER_SNAPSHOT: snapshot_begin(core, job, order); return;
    case ORDER_SNAPSHOT_END: snapshot_end(core, order); return;
    case ORDER_RESET: reset(core, order); return;
    case ORDER_JOB_CLOSE:
        if (job != NULL)
            job_close(core, job);
        return;
    case ORDER_JOB_START:
        if (job != NULL) {
            job->members.started = true;
            job_try(core, job);
        }
        return;
    case ORDER_JOB_FAIL:
        if (job != NULL)
            job_fail(core, job, &order->error);
        return;
    case ORDER_MEMBER:
        if (job != NULL)
            member_set(core, job, order);
        return;
    case ORDER_GIVE_UP:
        if (job != NULL)
            member_give_up(core, job, order);
        return;
    case ORDER_COMMIT:
        if (job != NULL)
            gate_commit(core, job, order);
        return;
    case ORDER_WITHOUT:
        if (job != NULL)
            gate_without(core, job, order);
        return;
    case ORDER_PROPOSE:
        if (job != NULL)
            change_propose(core, job, order);
        return;
    case ORDER_CHANGE:
        if (job != NULL)
            change_make(core, job, order);
        return;
    }
}

void core_on_order(struct core *core, struct order *order, uint64_t now_ms)
{
    core->now_ms = now_ms;
    obey(core, order);
    (void)order_destroy(order);
    dispatch_flush(core);
}

/* ---- Who is alive ---------------------------------------------------------------------------- */

static bool is_news(const struct session *session, const char *job_name)
{
    return session->heard && !session->observer && strcmp(session->job_name, job_name) == 0;
}

/* Tells control of all ranks of one job that were heard. */
static void tell_heard(struct core *core, const char *job_name)
{
    const struct core_job *job = job_find(core, job_name);
    size_t ranks = 0;
    for (const struct session *s = core->sessions; s != NULL; s = s->next)
        ranks += is_news(s, job_name);
    struct notice *notice = notice_create(NOTICE_HEARD, job_name);
    if (notice == NULL)
        return;
    notice->rank = calloc(ranks, sizeof *notice->rank);
    notice->clock = calloc(ranks, sizeof *notice->clock);
    if (notice->rank == NULL || notice->clock == NULL) {
        (void)notice_destroy(notice);
        return;
    }
    for (struct session *s = core->sessions; s != NULL; s = s->next) {
        if (!is_news(s, job_name))
            continue;
        notice->rank[notice->ranks] = s->rank;
        notice->clock[notice->ranks++] = job == NULL ? 0 : job_clock(job, s->rank);
        s->heard = false;
    }
    notice_send(core, notice);
}

void core_on_tick(struct core *core, uint64_t now_ms)
{
    core->now_ms = now_ms;
    tell_reset(core);
    requests_expire(core);
    receive_on_tick(core);
    for (struct core_job *job = core->jobs; job != NULL; job = job->next)
        gate_on_tick(core, job);
    dispatch_flush(core);
    if (now_ms - core->told_ms < HEARD_INTERVAL_MS)
        return;
    core->told_ms = now_ms;
    for (struct session *session = core->sessions; session != NULL; session = session->next) {
        if (session->heard && !session->observer)
            tell_heard(core, session->job_name);
    }
}
