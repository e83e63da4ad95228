/* SPDX-License-Identifier: Apache-2.0
 *
 * An event is one of: some bytes arrive, a thread takes a letter of its queue, a worker asks or
 * connects, something breaks, time passes. There are only so many faults in a run, so that it ends;
 * a run that does not is stuck, and fails.
 */
#include "tests/sim/cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/heap.h"
#include "tests/sim/observer.h"
#include "tests/sim/worker.h"

enum {
    LINKS_MAX = 64,
    FAULTS_MAX = 40,
    CRASHES_MAX = 3,
    EVENTS_MAX = 200000,
    TICK_MS = 50,
    JUMP_MOST_MS = 4000,
};

struct cluster {
    const struct plan *plan;
    struct replay *replay;   /* owned */
    struct witness *witness; /* owned */
    struct worker_world world;
    struct random random;
    uint64_t now_ms;
    uint64_t ticked_ms;
    size_t faults_left;
    size_t crashes_left;
    struct host host[PLAN_SHARDS_MAX + 1]; /* the shards, and control behind them */
    struct worker worker[PLAN_WORKERS_MAX];
    size_t observers;
    struct observer observer[OBSERVERS_MAX];
    size_t links;
    struct link *link[LINKS_MAX]; /* owned; of both living and half-dead connections */
    struct cluster_story story;
};

/* ---- Choosing -------------------------------------------------------------------------------- */

static struct link *random_link(struct cluster *cluster)
{
    if (cluster->links == 0)
        return NULL;
    return cluster->link[random_below(&cluster->random, cluster->links)];
}

/* Number of a host; control's is the number of shards. */
static uint32_t random_host(struct cluster *cluster)
{
    return (uint32_t)random_below(&cluster->random, cluster->plan->job->shards + 1);
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

/* ---- Events ---------------------------------------------------------------------------------- */

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

static struct link *connect_to(struct cluster *cluster, struct worker *worker, uint32_t host,
                               link_frame_fn *on_frame)
{
    if (cluster->links == LINKS_MAX)
        return NULL;
    struct link *link = link_create(&cluster->host[host], worker->rank, on_frame, worker);
    cluster->link[cluster->links++] = link;
    cluster->story.connections++;
    plan_trace(cluster->plan, "rank %u connects to host %u", worker->rank, host);
    return link;
}

/* The worker hears nothing more on this connection, and knows it. */
static void disconnect(struct cluster *cluster, struct link *link)
{
    if (link_rank(link) >= PLAN_WORKERS_MAX) {
        link_break_worker(link);
        observer_disconnect(&cluster->observer[link_rank(link) - PLAN_WORKERS_MAX], link);
        return;
    }
    struct worker *worker = &cluster->worker[link_rank(link)];
    link_break_worker(link);
    if (worker->enrolment.link == link)
        enrol_disconnect(&worker->enrolment);
    for (uint32_t k = 0; k < cluster->plan->job->shards; k++) {
        if (worker->link[k] == link)
            worker_disconnect(worker, k);
    }
}

/* A worker that is done hangs up. */
static bool is_done(const struct worker *worker)
{
    return worker->phase == WORKER_DONE && worker->enrolment.step == ENROL_LEFT;
}

static void act_on_control(struct cluster *cluster, struct worker *worker)
{
    if (worker->enrolment.link != NULL) {
        worker_ask_control(worker);
        return;
    }
    struct link *link = connect_to(cluster, worker, cluster->plan->job->shards, worker_on_control);
    if (link != NULL)
        enrol_connect(&worker->enrolment, link);
}

static void act(struct cluster *cluster)
{
    struct worker *worker = random_worker(cluster);
    const uint32_t host = random_host(cluster);
    if (host == cluster->plan->job->shards) {
        act_on_control(cluster, worker);
        return;
    }
    if (is_done(worker) && worker->link[host] != NULL)
        disconnect(cluster, worker->link[host]);
    if (!worker_is_in(worker) || is_done(worker))
        return;
    if (worker->link[host] != NULL) {
        worker_ask(worker, host);
        return;
    }
    struct link *link = connect_to(cluster, worker, host, worker_on_frame);
    if (link != NULL)
        worker_connect(worker, host, link);
}

/* Room for the connections of workers is left. */
static void observe(struct cluster *cluster)
{
    if (cluster->observers == 0)
        return;
    struct observer *observer =
        &cluster->observer[random_below(&cluster->random, cluster->observers)];
    const uint32_t host = random_host(cluster);
    if (!observer_act(observer, host) || cluster->links >= LINKS_MAX / 2)
        return;
    struct link *link =
        link_create(&cluster->host[host], observer->number, observer_on_frame, observer);
    cluster->link[cluster->links++] = link;
    observer_connect(observer, host, link);
}

static bool is_of(const struct worker *worker, const struct link *link)
{
    bool is = worker->enrolment.link == link;
    for (uint32_t k = 0; k < worker->plan->job->shards; k++)
        is = is || worker->link[k] == link;
    return is;
}

/* Does a successor make all pushes that its predecessor has not? Where updates do not wait for it,
 * it passes over a first one that had come to some slices only. */
static bool is_whole_without(const struct plan *plan)
{
    return plan->job->consistency.mode == STEPD_SYNC || !plan->exact;
}

/* The process is gone; what it had sent may arrive yet. Another one takes its place. */
static void crash(struct cluster *cluster, struct worker *worker)
{
    /* Of a job that has failed a new process would make another one. */
    if (cluster->crashes_left == 0 || worker->enrolment.step >= ENROL_LEAVE ||
        plan_may_halt(cluster->plan) || !is_whole_without(cluster->plan))
        return;
    cluster->crashes_left--;
    coverage_count(cluster->plan->coverage, COVERAGE_CRASH, 1);
    plan_trace(cluster->plan, "rank %u dies", worker->rank);
    for (size_t i = 0; i < cluster->links; i++) {
        struct link *link = cluster->link[i];
        if (!is_of(worker, link))
            continue;
        link_break_worker(link);
        if (random_once_in(&cluster->random, 2))
            link_break_shard(link);
    }
    cluster->story.requests += worker->requests;
    worker_deinit(worker);
    worker_init(worker, &cluster->world, worker->rank, /* replaces= */ true);
}

static void jump(struct cluster *cluster)
{
    cluster->now_ms += random_between(&cluster->random, 1, JUMP_MOST_MS);
    coverage_count(cluster->plan->coverage, COVERAGE_JUMP, 1);
}

static void break_something(struct cluster *cluster)
{
    struct link *link = random_link(cluster);
    if (cluster->faults_left == 0 || link == NULL)
        return;
    cluster->faults_left--;
    cluster->story.breaks++;
    const uint64_t how = random_below(&cluster->random, 6);
    plan_trace(cluster->plan, "fault %llu, on a connection of rank %u", (unsigned long long)how,
               link_rank(link));
    switch (how) {
    case 0: link_break_shard(link); return; /* the worker will come to the end of it */
    case 1: disconnect(cluster, link); return;
    case 2:
        link_break_shard(link);
        disconnect(cluster, link);
        return;
    case 3: link_deafen(link); return;
    case 4: jump(cluster); return;
    default: crash(cluster, random_worker(cluster)); return;
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
        if (!link_is_at_end(link) || !link_worker_has_lost(link))
            continue;
        (void)link_destroy(link);
        cluster->link[i--] = cluster->link[--cluster->links];
    }
}

static void tick(struct cluster *cluster)
{
    cluster->ticked_ms = cluster->now_ms;
    for (uint32_t k = 0; k <= cluster->plan->job->shards; k++)
        host_tick(&cluster->host[k]);
    for (size_t i = 0; i < cluster->links; i++)
        link_tick(cluster->link[i]);
    bury(cluster);
}

static void happen(struct cluster *cluster)
{
    const uint64_t what = random_below(&cluster->random, 100);
    if (what < 55)
        carry(cluster);
    else if (what < 70)
        (void)host_deliver(&cluster->host[random_host(cluster)]);
    else if (what < 75)
        observe(cluster);
    else if (what < 99 || !cluster->plan->faults)
        act(cluster);
    else
        break_something(cluster);
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
        .crashes_left = CRASHES_MAX,
    };
    cluster->witness = witness_create(plan, cluster->replay);
    cluster->world = (struct worker_world){.plan = plan,
                                           .witness = cluster->witness,
                                           .replay = cluster->replay,
                                           .random = &cluster->random};
    for (uint32_t rank = 0; rank < plan->job->workers; rank++)
        worker_init(&cluster->worker[rank], &cluster->world, rank, /* replaces= */ false);
    cluster->observers = random_below(&cluster->random, OBSERVERS_MAX + 1);
    for (uint32_t i = 0; i < cluster->observers; i++)
        observer_init(&cluster->observer[i], plan, cluster->replay, &cluster->random, i);
    hosts_init(cluster->host, plan, cluster->witness, &cluster->now_ms);
}

static bool is_over(const struct cluster *cluster)
{
    for (uint32_t rank = 0; rank < cluster->plan->job->workers; rank++) {
        if (!is_done(&cluster->worker[rank]))
            return false;
    }
    return true;
}

static void end(struct cluster *cluster)
{
    for (uint32_t rank = 0; rank < cluster->plan->job->workers; rank++) {
        cluster->story.requests += cluster->worker[rank].requests;
        cluster->story.resumes += cluster->worker[rank].enrolment.resumes;
        worker_deinit(&cluster->worker[rank]);
    }
    for (uint32_t k = 0; k <= cluster->plan->job->shards; k++) {
        while (host_deliver(&cluster->host[k]))
            continue;
    }
    while (cluster->links > 0) {
        struct link *link = cluster->link[--cluster->links];
        link_break_shard(link);
        (void)link_destroy(link);
    }
    for (uint32_t k = 0; k < cluster->plan->job->shards; k++)
        host_check_end(&cluster->host[k], cluster->plan->exact && !plan_may_halt(cluster->plan));
    hosts_deinit(cluster->host, cluster->plan);
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
    const int64_t before = heap_living();
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
    if (heap_living() != before)
        plan_fail(plan, "%lld allocations are never freed", (long long)(heap_living() - before));
}
