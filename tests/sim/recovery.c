/* SPDX-License-Identifier: Apache-2.0
 *
 * An event is one of: some bytes arrive, a thread takes a letter of its queue, a process does what
 * is due, something breaks, time passes. There are only so many faults in a run, so that it ends; a
 * run that does not is stuck, and fails.
 */
#include "tests/sim/recovery.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/heap.h"
#include "tests/sim/trainer.h"

enum {
    LINKS_MAX = 64,
    FAULTS_MAX = 30,
    DEATHS_MAX = 2,
    CRASHES_MAX = 4,
    LOST_ONCE_IN = 8, /* of the crashes: with all snapshots */
    EVENTS_MAX = 400000,
    TICK_MS = 50,
    JUMP_MOST_MS = 4000,
    DOWN_MOST_MS = 3000,
    RING_TIMEOUTS = 5, /* of each worker */
    AGAIN_MS = 200,    /* from the death of a process to the next one */
};

struct recovery {
    const struct plan *plan;
    struct lineages lineages;
    struct snapshots snapshots;
    struct random random;
    struct client_world world;
    uint64_t ticked_ms;
    uint64_t back_ms; /* when a daemon that is down comes back */
    uint64_t lives;   /* of the daemon */
    size_t faults_left, deaths_left, crashes_left;
    struct host host[PLAN_SHARDS_MAX + 1]; /* the shards, and control behind them */
    struct trainer trainer[PLAN_WORKERS_MAX];
    bool lives_on[PLAN_WORKERS_MAX];     /* has the rank a process? */
    uint64_t again_ms[PLAN_WORKERS_MAX]; /* when it gets one */
    size_t links;
    struct link *link[LINKS_MAX]; /* owned; of both living and half-dead connections */
    struct recovery_story story;
};

/* Snapshots of a job that is frozen as a whole are of no version. */
static bool is_frozen(const struct plan *plan)
{
    bool frozen = true;
    for (size_t i = 0; i < plan->job->layout.slices; i++)
        frozen = frozen && plan->job->group[plan->job->layout.slice[i].group].frozen;
    return frozen;
}

bool recovery_takes(const struct plan *plan)
{
    return !plan_may_be_late(plan) && !plan_may_halt(plan) && !is_frozen(plan) &&
           !consistency_accumulates(&plan->job->consistency);
}

/* ---- Choosing -------------------------------------------------------------------------------- */

static struct link *random_link(struct recovery *recovery)
{
    if (recovery->links == 0)
        return NULL;
    return recovery->link[random_below(&recovery->random, recovery->links)];
}

/* A byte, a part of a frame, or all there is. */
static size_t random_portion(struct recovery *recovery)
{
    static const size_t most[] = {1, 16, 300, 3000, SIZE_MAX};
    return random_between(&recovery->random, 1, most[random_below(&recovery->random, 5)]);
}

/* ---- Processes ------------------------------------------------------------------------------- */

static bool on_linked(void *owner, struct link *link)
{
    struct recovery *recovery = owner;
    if (recovery->links == LINKS_MAX)
        return false;
    recovery->link[recovery->links++] = link;
    recovery->story.connections++;
    return true;
}

static void begin_process(struct recovery *recovery, uint32_t rank)
{
    trainer_init(&recovery->trainer[rank], &recovery->world, &recovery->lineages, rank);
    recovery->lives_on[rank] = true;
}

/* Another process takes the rank's place in time. */
static void end_process(struct recovery *recovery, uint32_t rank)
{
    plan_trace(recovery->plan, "the process of rank %u is gone", rank);
    recovery->story.rollbacks += recovery->trainer[rank].client.rollbacks;
    trainer_deinit(&recovery->trainer[rank]);
    recovery->lives_on[rank] = false;
    recovery->again_ms[rank] = recovery->world.now_ms + AGAIN_MS;
}

static bool has_left(const struct recovery *recovery, uint32_t rank)
{
    return !recovery->world.down &&
           host_has_left(&recovery->host[recovery->plan->job->shards], rank);
}

/* A process that is done hangs up. Nobody is needed in place of one that had left. */
static bool is_done(const struct recovery *recovery, uint32_t rank)
{
    return !recovery->lives_on[rank] && has_left(recovery, rank);
}

static void act(struct recovery *recovery)
{
    const uint32_t rank = (uint32_t)random_below(&recovery->random, recovery->plan->job->workers);
    struct trainer *trainer = &recovery->trainer[rank];
    if (!recovery->lives_on[rank]) {
        if (!recovery->world.down && recovery->world.now_ms >= recovery->again_ms[rank] &&
            !has_left(recovery, rank))
            begin_process(recovery, rank);
        return;
    }
    if (random_once_in(&recovery->random, 3))
        trainer_act(trainer);
    else
        client_act(&trainer->client);
    if (trainer->step >= TRAINER_DONE)
        end_process(recovery, rank);
}

/* ---- The daemon ------------------------------------------------------------------------------ */

static void serve(struct recovery *recovery)
{
    struct host *control = &recovery->host[recovery->plan->job->shards];
    control->snapshots = &recovery->snapshots;
    snapshots_serve(&recovery->snapshots, control->control);
}

static void crash(struct recovery *recovery)
{
    const bool loses_all = recovery->snapshots.count == 0;
    if (recovery->crashes_left == 0 || recovery->world.down ||
        (loses_all && !random_once_in(&recovery->random, LOST_ONCE_IN)))
        return;
    recovery->crashes_left--;
    recovery->story.crashes++;
    plan_trace(recovery->plan, "the daemon dies");
    hosts_kill(recovery->host, recovery->plan);
    links_crash(recovery->link, recovery->links, &recovery->random);
    hosts_restart(recovery->host, recovery->plan, NULL, ++recovery->lives);
    recovery->world.down = true;
    recovery->back_ms = recovery->world.now_ms + random_below(&recovery->random, DOWN_MOST_MS);
}

/* Under the next incarnation, or without anything. */
static void restore(struct recovery *recovery)
{
    struct snapshots *snapshots = &recovery->snapshots;
    if (snapshots->count == 0 || random_once_in(&recovery->random, LOST_ONCE_IN)) {
        plan_trace(recovery->plan, "the daemon is back, and has lost the job");
        snapshots_deinit(snapshots);
        lineages_begin_anew(&recovery->lineages);
        recovery->story.lost++;
        return;
    }
    const size_t index = random_below(&recovery->random, snapshots->count);
    const struct snapshots_kept *kept = snapshots_restore(snapshots, index, recovery->world.now_ms);
    plan_trace(recovery->plan, "the daemon is back, under incarnation %llu, from version %lld",
               (unsigned long long)kept->control.incarnation, (long long)kept->control.version);
    lineages_go_back(&recovery->lineages, kept, kept->control.incarnation);
}

/* A rank that had left, and is a member again, gets another process; one that has left again needs
 * none, which would begin the job anew. */
static void come_back(struct recovery *recovery)
{
    restore(recovery);
    recovery->world.base = recovery->lineages.base;
    for (uint32_t k = 0; k < recovery->plan->job->shards; k++)
        recovery->host[k].witness = recovery->lineages.witness[recovery->lineages.newest];
    recovery->world.down = false;
    for (uint32_t rank = 0; rank < recovery->plan->job->workers; rank++) {
        const bool comes =
            recovery->lives_on[rank] && recovery->trainer[rank].step == TRAINER_CONNECT;
        if (comes && has_left(recovery, rank))
            end_process(recovery, rank);
    }
}

/* ---- Events ---------------------------------------------------------------------------------- */

static void carry(struct recovery *recovery)
{
    struct link *link = random_link(recovery);
    if (link == NULL)
        return;
    if (random_once_in(&recovery->random, 2))
        (void)link_carry_up(link, random_portion(recovery));
    else
        (void)link_carry_down(link, random_portion(recovery));
}

static void deliver(struct recovery *recovery)
{
    if (recovery->world.down)
        return;
    (void)host_deliver(
        &recovery->host[random_below(&recovery->random, recovery->plan->job->shards + 1)]);
}

static void die(struct recovery *recovery)
{
    const uint32_t rank = (uint32_t)random_below(&recovery->random, recovery->plan->job->workers);
    if (recovery->deaths_left == 0 || !recovery->lives_on[rank] ||
        recovery->trainer[rank].step == TRAINER_LEAVE)
        return;
    recovery->deaths_left--;
    recovery->story.deaths++;
    end_process(recovery, rank);
}

static void break_something(struct recovery *recovery)
{
    struct link *link = random_link(recovery);
    if (recovery->faults_left == 0 || link == NULL)
        return;
    recovery->faults_left--;
    recovery->story.breaks++;
    const uint64_t how = random_below(&recovery->random, 8);
    plan_trace(recovery->plan, "fault %llu, on a connection of rank %u", (unsigned long long)how,
               link_rank(link));
    switch (how) {
    case 0:
    case 1: link_break_shard(link); return; /* the worker will come to the end of it */
    case 2: link_deafen(link); return;
    case 3: recovery->world.now_ms += random_between(&recovery->random, 1, JUMP_MOST_MS); return;
    case 4: die(recovery); return;
    default: crash(recovery); return;
    }
}

/* Connections that one end has lost are lost by the other in time; then they are gone. */
static void bury(struct recovery *recovery)
{
    for (size_t i = 0; i < recovery->links; i++) {
        struct link *link = recovery->link[i];
        if (link_worker_has_lost(link) && random_once_in(&recovery->random, 8))
            link_break_shard(link);
        if (link_is_at_end(link) && !link_worker_has_lost(link) &&
            recovery->lives_on[link_rank(link)])
            (void)client_on_end(&recovery->trainer[link_rank(link)].client, link);
        if (!link_is_at_end(link) || !link_worker_has_lost(link))
            continue;
        (void)link_destroy(link);
        recovery->link[i--] = recovery->link[--recovery->links];
    }
}

static void tick(struct recovery *recovery)
{
    recovery->ticked_ms = recovery->world.now_ms;
    if (recovery->world.down && recovery->world.now_ms >= recovery->back_ms) {
        serve(recovery);
        come_back(recovery);
    }
    for (uint32_t k = 0; k <= recovery->plan->job->shards && !recovery->world.down; k++)
        host_tick(&recovery->host[k]);
    for (size_t i = 0; i < recovery->links; i++)
        link_tick(recovery->link[i]);
    bury(recovery);
}

static void take_snapshot(struct recovery *recovery)
{
    if (recovery->world.down)
        return;
    const bool whole = recovery->snapshots.whole != NULL;
    snapshots_go_on(&recovery->snapshots, recovery->world.now_ms);
    recovery->story.snapshots += whole;
}

static void happen(struct recovery *recovery)
{
    const uint64_t what = random_below(&recovery->random, 200);
    if (what < 80)
        carry(recovery);
    else if (what < 110)
        deliver(recovery);
    else if (what < 196)
        act(recovery);
    else if (what < 199 && recovery->plan->faults)
        take_snapshot(recovery);
    else if (recovery->plan->faults)
        break_something(recovery);
    recovery->world.now_ms += random_below(&recovery->random, 3);
    if (recovery->world.now_ms - recovery->ticked_ms >= TICK_MS)
        tick(recovery);
}

/* ---- A run ----------------------------------------------------------------------------------- */

static void begin(struct recovery *recovery, const struct plan *plan)
{
    *recovery = (struct recovery){
        .plan = plan,
        .random = {.state = plan->seed ^ UINT64_C(0x5EED)},
        .ticked_ms = 1000,
        .faults_left = FAULTS_MAX,
        .deaths_left = DEATHS_MAX,
        .crashes_left = CRASHES_MAX,
    };
    recovery->world = (struct client_world){.plan = plan,
                                            .host = recovery->host,
                                            .random = &recovery->random,
                                            .now_ms = 1000,
                                            .owner = recovery,
                                            .linked = on_linked};
    lineages_init(&recovery->lineages, plan);
    snapshots_init(&recovery->snapshots, plan);
    for (uint32_t rank = 0; rank < plan->job->workers; rank++)
        begin_process(recovery, rank);
    hosts_init(recovery->host, plan, recovery->lineages.witness[1], &recovery->world.now_ms);
    serve(recovery);
}

/* Slices of a job with bounded staleness are not of one instant in a snapshot. Very seldom each
 * worker has come farther than another with some slice, and waits for it before it pushes: each
 * wait ends and says so, but none helps. */
static bool is_ring(const struct recovery *recovery)
{
    bool ring = recovery->plan->job->consistency.mode == STEPD_BOUNDED && !recovery->world.down;
    for (uint32_t rank = 0; rank < recovery->plan->job->workers; rank++) {
        const bool waits =
            recovery->lives_on[rank] && recovery->trainer[rank].timeouts >= RING_TIMEOUTS;
        ring = ring && (waits || is_done(recovery, rank));
    }
    return ring;
}

static bool is_over(const struct recovery *recovery)
{
    for (uint32_t rank = 0; rank < recovery->plan->job->workers; rank++) {
        if (!is_done(recovery, rank))
            return false;
    }
    return !recovery->world.down;
}

static void deliver_all(struct recovery *recovery)
{
    bool any = true;
    while (any) {
        any = false;
        for (uint32_t k = 0; k <= recovery->plan->job->shards; k++)
            any = host_deliver(&recovery->host[k]) || any;
    }
}

/* One that is under way, of a version that will never be, ends when its time is up. */
static void end_snapshots(struct recovery *recovery)
{
    deliver_all(recovery);
    if (recovery->snapshots.whole != NULL)
        snapshots_go_on(&recovery->snapshots, recovery->world.now_ms);
    recovery->world.now_ms += plan_wait_max_ms(recovery->plan);
    for (uint32_t k = 0; k <= recovery->plan->job->shards; k++)
        host_tick(&recovery->host[k]);
    deliver_all(recovery);
}

static void end(struct recovery *recovery)
{
    const struct plan *plan = recovery->plan;
    const bool known = plan->exact && plan->job->consistency.mode == STEPD_SYNC;
    for (uint32_t rank = 0; rank < plan->job->workers; rank++) {
        if (recovery->lives_on[rank])
            end_process(recovery, rank);
    }
    end_snapshots(recovery);
    while (recovery->links > 0) {
        struct link *link = recovery->link[--recovery->links];
        link_break_shard(link);
        (void)link_destroy(link);
    }
    for (uint32_t k = 0; k < plan->job->shards; k++)
        host_check_end(&recovery->host[k], known);
    recovery->story.hash = replay_hash(recovery->lineages.replay[recovery->lineages.newest]);
    hosts_deinit(recovery->host, plan);
    snapshots_deinit(&recovery->snapshots);
    lineages_deinit(&recovery->lineages);
}

static void fail_stuck(const struct recovery *recovery)
{
    char all[440] = "";
    for (uint32_t rank = 0; rank < recovery->plan->job->workers; rank++) {
        const size_t used = strlen(all);
        if (!recovery->lives_on[rank])
            continue;
        (void)snprintf(all + used, sizeof all - used, "; ");
        trainer_explain(&recovery->trainer[rank], all + strlen(all), sizeof all - strlen(all));
    }
    plan_fail(recovery->plan, "stuck%s", all);
}

void recovery_run(const struct plan *plan, struct recovery_story *ret_story)
{
    const int64_t before = heap_living();
    struct recovery *recovery = malloc(sizeof *recovery);
    assert_non_null(recovery);
    begin(recovery, plan);
    while (!is_over(recovery) && recovery->story.rings == 0) {
        if (++recovery->story.events > EVENTS_MAX)
            fail_stuck(recovery);
        plan->course->event = recovery->story.events;
        plan->course->now_ms = recovery->world.now_ms;
        happen(recovery);
        recovery->story.rings = !is_over(recovery) && is_ring(recovery);
    }
    end(recovery);
    *ret_story = recovery->story;
    free(recovery);
    if (heap_living() != before)
        plan_fail(plan, "%lld allocations are never freed", (long long)(heap_living() - before));
}
