/* SPDX-License-Identifier: Apache-2.0
 *
 * An event is one of: some bytes arrive, a worker asks or connects, a connection breaks at one end
 * or both, a session is resumed, time passes. There are only so many faults in a run, so that it
 * ends; a run that does not is stuck, and fails.
 */
#include "tests/sim/cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/core/core_internal.h"
#include "tests/sim/worker.h"

enum { LINKS_MAX = 64, FAULTS_MAX = 40, EVENTS_MAX = 200000, TICK_MS = 50 };

struct cluster {
    const struct plan *plan;
    struct replay *replay;   /* owned */
    struct witness *witness; /* owned */
    struct random random;
    uint64_t now_ms;
    uint64_t ticked_ms;
    bool started;
    size_t faults_left;
    struct host host[PLAN_SHARDS_MAX];
    struct worker worker[PLAN_WORKERS_MAX];
    size_t links;
    struct link *link[LINKS_MAX]; /* owned; of both living and half-dead connections */
    struct cluster_story story;
};

/* ---- Control --------------------------------------------------------------------------------- */

static struct order *make_order(const struct cluster *cluster, enum order_kind kind)
{
    struct order *order = order_create(kind, cluster->plan->job->name);
    assert_non_null(order);
    return order;
}

static void open_job(struct cluster *cluster, struct host *host)
{
    struct order *order = make_order(cluster, ORDER_JOB_OPEN);
    order->job = job_ref(cluster->plan->job);
    host_order(host, order);
    assert_int_equal(host->opened.code, STEPD_OK);
}

static void tell_session(struct cluster *cluster, struct host *host, const struct worker *worker)
{
    struct order *order = make_order(cluster, ORDER_SESSION);
    worker_session(worker->rank, order->session);
    order->epoch = worker->epoch;
    order->rank = worker->rank;
    order->worker = strdup("sim");
    host_order(host, order);
    const struct link *old = worker->link[host->index];
    if (old != NULL && !link_shard_has_lost(old) && link_has_arrived(old))
        plan_fail(cluster->plan, "an older connection of rank %u goes on", worker->rank);
}

static void tell_member(struct cluster *cluster, struct host *host, uint32_t rank,
                        uint64_t last_clock)
{
    struct order *order = make_order(cluster, ORDER_MEMBER);
    order->rank = rank;
    order->last_clock = last_clock;
    host_order(host, order);
}

static void leave(struct cluster *cluster, struct worker *worker)
{
    worker->has_left = true;
    witness_leave(cluster->witness, worker->rank, worker->clock);
    for (uint32_t k = 0; k < cluster->plan->job->shards; k++)
        tell_member(cluster, &cluster->host[k], worker->rank, worker->clock);
}

static void start(struct cluster *cluster)
{
    for (uint32_t k = 0; k < cluster->plan->job->shards; k++)
        host_order(&cluster->host[k], make_order(cluster, ORDER_JOB_START));
    cluster->started = true;
}

/* A session's epoch rises on all shards, which hang up what they have of it. */
static void resume(struct cluster *cluster, struct worker *worker)
{
    worker->epoch++;
    cluster->story.resumes++;
    plan_trace(cluster->plan, "rank %u resumes its session, epoch %llu", worker->rank,
               (unsigned long long)worker->epoch);
    for (uint32_t k = 0; k < cluster->plan->job->shards; k++)
        tell_session(cluster, &cluster->host[k], worker);
}

/* ---- Events ---------------------------------------------------------------------------------- */

static struct link *random_link(struct cluster *cluster)
{
    if (cluster->links == 0)
        return NULL;
    return cluster->link[random_below(&cluster->random, cluster->links)];
}

static uint32_t random_shard(struct cluster *cluster)
{
    return (uint32_t)random_below(&cluster->random, cluster->plan->job->shards);
}

static struct worker *random_worker(struct cluster *cluster)
{
    return &cluster->worker[random_below(&cluster->random, cluster->plan->job->workers)];
}

/* A byte, a part of a frame, or all there is. */
static size_t random_portion(struct cluster *cluster)
{
    static const size_t most[] = {1, 16, 300, 3000, SIZE_MAX};
    return random_between(&cluster->random, 1, most[random_below(&cluster->random, 5)]);
}

static void carry(struct cluster *cluster)
{
    struct link *link = random_link(cluster);
    if (link == NULL)
        return;
    if (random_once_in(&cluster->random, 2))
        (void)link_carry_up(link, random_portion(cluster));
    else
        (void)link_carry_down(link, random_portion(cluster));
}

static void act(struct cluster *cluster)
{
    struct worker *worker = random_worker(cluster);
    const uint32_t shard = random_shard(cluster);
    if (worker->phase >= WORKER_FINAL && !worker->has_left)
        leave(cluster, worker);
    if (worker->link[shard] != NULL) {
        worker_ask(worker, shard);
        return;
    }
    if (cluster->links == LINKS_MAX)
        return;
    struct link *link = link_create(&cluster->host[shard], worker->rank, worker_on_frame, worker);
    cluster->link[cluster->links++] = link;
    cluster->story.connections++;
    plan_trace(cluster->plan, "rank %u connects to shard %u", worker->rank, shard);
    worker_connect(worker, shard, link);
}

/* The worker hears nothing more on this connection, and knows it. */
static void disconnect(struct cluster *cluster, struct link *link)
{
    link_break_worker(link);
    for (uint32_t rank = 0; rank < cluster->plan->job->workers; rank++) {
        for (uint32_t k = 0; k < cluster->plan->job->shards; k++) {
            if (cluster->worker[rank].link[k] == link)
                worker_disconnect(&cluster->worker[rank], k);
        }
    }
}

static void break_something(struct cluster *cluster)
{
    struct link *link = random_link(cluster);
    if (cluster->faults_left == 0 || link == NULL)
        return;
    cluster->faults_left--;
    cluster->story.breaks++;
    const uint64_t how = random_below(&cluster->random, 4);
    plan_trace(cluster->plan, "fault %llu", (unsigned long long)how);
    switch (how) {
    case 0: link_break_shard(link); return; /* the worker will come to the end of it */
    case 1: disconnect(cluster, link); return;
    case 2:
        link_break_shard(link);
        disconnect(cluster, link);
        return;
    default: resume(cluster, random_worker(cluster)); return;
    }
}

/* Connections that one end has lost are lost by the other in time; then they are gone. */
static void bury(struct cluster *cluster)
{
    for (size_t i = 0; i < cluster->links; i++) {
        struct link *link = cluster->link[i];
        if (link_worker_has_lost(link) && random_once_in(&cluster->random, 8))
            link_break_shard(link);
        if (link_is_at_end(link) && !link_worker_has_lost(link))
            disconnect(cluster, link);
        if (!link_shard_has_lost(link) || !link_worker_has_lost(link))
            continue;
        (void)link_destroy(link);
        cluster->link[i--] = cluster->link[--cluster->links];
    }
}

static void tick(struct cluster *cluster)
{
    cluster->ticked_ms = cluster->now_ms;
    for (uint32_t k = 0; k < cluster->plan->job->shards; k++)
        host_tick(&cluster->host[k]);
    for (size_t i = 0; i < cluster->links; i++)
        link_check_deadlines(cluster->link[i]);
    bury(cluster);
}

static void happen(struct cluster *cluster)
{
    const uint64_t what = random_below(&cluster->random, 100);
    if (what < 60)
        carry(cluster);
    else if (what < 98)
        act(cluster);
    else if (what < 99 && cluster->plan->faults)
        break_something(cluster);
    else if (!cluster->started)
        start(cluster);
    cluster->now_ms += random_below(&cluster->random, 3);
    if (cluster->now_ms - cluster->ticked_ms >= TICK_MS)
        tick(cluster);
}

/* ---- A run ----------------------------------------------------------------------------------- */

static void begin(struct cluster *cluster, const struct plan *plan)
{
    *cluster = (struct cluster){
        .plan = plan,
        .replay = replay_create(plan),
        .random = {.state = plan->seed ^ UINT64_C(0x5EED)},
        .now_ms = 1000,
        .ticked_ms = 1000,
        .faults_left = FAULTS_MAX,
    };
    cluster->witness = witness_create(plan, cluster->replay);
    for (uint32_t rank = 0; rank < plan->job->workers; rank++)
        worker_init(&cluster->worker[rank], plan, cluster->witness, cluster->replay, rank,
                    &cluster->random);
    for (uint32_t k = 0; k < plan->job->shards; k++) {
        host_init(&cluster->host[k], plan, cluster->witness, k, &cluster->now_ms);
        open_job(cluster, &cluster->host[k]);
        for (uint32_t rank = 0; rank < plan->job->workers; rank++) {
            tell_session(cluster, &cluster->host[k], &cluster->worker[rank]);
            tell_member(cluster, &cluster->host[k], rank, UINT64_MAX);
        }
    }
}

static bool is_over(const struct cluster *cluster)
{
    for (uint32_t rank = 0; rank < cluster->plan->job->workers; rank++) {
        if (cluster->worker[rank].phase != WORKER_DONE)
            return false;
    }
    return true;
}

/* A shard that nobody is connected to any more: no request, and of no gradient a part. */
static void check_nothing_is_left(const struct cluster *cluster, struct host *host)
{
    const struct plan *plan = cluster->plan;
    host_order(host, make_order(cluster, ORDER_QUERY));
    const uint64_t last = plan_last_version(plan);
    if (host->parked != 0 || host->waited_for != 0)
        plan_fail(plan, "shard %u still waits", host->index);
    if (plan->exact && host->slices > 0 && (host->version_min != last || host->version_max != last))
        plan_fail(plan, "shard %u ends at version %llu, not %llu", host->index,
                  (unsigned long long)host->version_max, (unsigned long long)last);
    const struct core_job *job = host->core->jobs;
    if (job->pieces != 0 || host->core->conns != NULL)
        plan_fail(plan, "shard %u keeps weights for somebody who is gone", host->index);
    for (size_t i = 0; i < plan->job->layout.slices; i++) {
        const struct core_slice *slice = job->slice[i];
        if (slice != NULL && slice->waiters != NULL)
            plan_fail(plan, "slice %zu has waiters of nobody", i);
        for (uint32_t rank = 0; slice != NULL && rank < slice->round.ranks; rank++) {
            if (round_of(&slice->round, rank).state != CONTRIBUTION_ABSENT)
                plan_fail(plan, "slice %zu keeps a part of rank %u", i, rank);
        }
    }
}

static void end(struct cluster *cluster)
{
    for (uint32_t rank = 0; rank < cluster->plan->job->workers; rank++) {
        cluster->story.requests += cluster->worker[rank].requests;
        worker_deinit(&cluster->worker[rank]);
    }
    while (cluster->links > 0) {
        struct link *link = cluster->link[--cluster->links];
        link_break_shard(link);
        (void)link_destroy(link);
    }
    for (uint32_t k = 0; k < cluster->plan->job->shards; k++) {
        check_nothing_is_left(cluster, &cluster->host[k]);
        host_deinit(&cluster->host[k]);
    }
    cluster->story.hash = replay_hash(cluster->replay);
    cluster->witness = witness_destroy(cluster->witness);
    cluster->replay = replay_destroy(cluster->replay);
}

static void fail_stuck(const struct cluster *cluster)
{
    char all[400] = "";
    for (uint32_t rank = 0; rank < cluster->plan->job->workers; rank++) {
        char lacks[80];
        if (!worker_explain(&cluster->worker[rank], lacks, sizeof lacks))
            continue;
        const size_t used = strlen(all);
        (void)snprintf(all + used, sizeof all - used, "; %s", lacks);
    }
    plan_fail(cluster->plan, "stuck%s", all);
}

void cluster_run(const struct plan *plan, struct cluster_story *ret_story)
{
    struct cluster *cluster = malloc(sizeof *cluster);
    assert_non_null(cluster);
    begin(cluster, plan);
    while (!is_over(cluster)) {
        if (++cluster->story.events > EVENTS_MAX)
            fail_stuck(cluster);
        plan->course->event = cluster->story.events;
        plan->course->now_ms = cluster->now_ms;
        happen(cluster);
    }
    end(cluster);
    *ret_story = cluster->story;
    free(cluster);
}
