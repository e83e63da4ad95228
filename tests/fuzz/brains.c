/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/brains.h"

#include <string.h>

#include "proto/error.h"
#include "proto/utf8.h"
#include "server/core/core_internal.h"
#include "server/model/first_weights.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/peer.h"
#include "tests/lib/blocked.h"

/* Exactly one of the two. */
struct letter {
    struct letter *next;
    struct order *order;   /* owned */
    struct notice *notice; /* owned */
};

/* ---- Letters --------------------------------------------------------------------------------- */

static void post(struct brains *brains, uint32_t host, struct letter letter)
{
    struct queue *const queue = &brains->queue[host];
    struct letter *const last = malloc(sizeof *last);
    FUZZ_CHECK(last != NULL);
    *last = letter;
    *queue->end = last;
    queue->end = &last->next;
}

static bool take(struct brains *brains, uint32_t host, struct letter *ret_letter)
{
    struct queue *const queue = &brains->queue[host];
    struct letter *const first = queue->first;
    if (first == NULL)
        return false;
    *ret_letter = *first;
    queue->first = first->next;
    if (queue->first == NULL)
        queue->end = &queue->first;
    free(first);
    return true;
}

bool brains_deliver(struct brains *brains, uint32_t host)
{
    struct letter letter;
    if (!take(brains, host, &letter))
        return false;
    if (letter.order != NULL)
        core_on_order(brains->core[host], letter.order, brains->now_ms);
    else
        control_on_notice(brains->control, letter.notice, brains->now_ms);
    return true;
}

void brains_settle(struct brains *brains)
{
    bool any = true;
    while (any) {
        any = peers_close_cut(brains);
        for (uint32_t host = 0; host < BRAINS_HOSTS; host++)
            any = brains_deliver(brains, host) || any;
    }
    for (uint32_t shard = 0; shard < BRAINS_SHARDS; shard++)
        FUZZ_CHECK(blocked_for_nothing(brains->core[shard]) == NULL);
}

void brains_rest(struct brains *brains)
{
    bool any = true;
    while (any) {
        brains_settle(brains);
        any = false;
        for (uint32_t shard = 0; shard < BRAINS_SHARDS; shard++)
            any = core_on_idle(brains->core[shard]) || any;
    }
}

void brains_tick(struct brains *brains, uint64_t ms)
{
    brains->now_ms += ms < BRAINS_TICK_MOST_MS ? ms : BRAINS_TICK_MOST_MS;
    for (uint32_t shard = 0; shard < BRAINS_SHARDS; shard++)
        core_on_tick(brains->core[shard], brains->now_ms);
    control_on_tick(brains->control, brains->now_ms);
}

/* ---- What a shard does ----------------------------------------------------------------------- */

static void core_reply(void *owner, void *peer, const struct stepd_message *message,
                       const struct core_piece *piece, size_t pieces)
{
    (void)owner;
    peer_on_reply(peer, message, piece, pieces);
}

static void on_hang_up(void *owner, void *peer)
{
    (void)owner;
    peer_on_hang_up(peer);
}

static void on_hold(void *owner, void *peer, bool hold)
{
    (void)owner;
    peer_on_hold(peer, hold);
}

static bool on_takes(void *owner, void *peer)
{
    (void)owner;
    return !((const struct peer *)peer)->choked;
}

static void on_give_way(void *owner, void *peer)
{
    (void)owner;
    ((struct peer *)peer)->gives_way = true;
}

static size_t on_in_the_way(void *owner, const struct weights *weights)
{
    return peers_in_the_way(owner, weights);
}

static size_t on_cut(void *owner, const struct weights *weights)
{
    return peers_cut(owner, weights);
}

static void core_notify(void *owner, struct notice *notice)
{
    post(owner, BRAINS_CONTROL, (struct letter){.notice = notice});
}

static struct core_memory *core_share(void *owner, size_t bytes)
{
    const struct brains *const brains = owner;
    struct core_memory *const memory = brains->shares_memory ? malloc(sizeof *memory) : NULL;
    if (memory == NULL)
        return NULL;
    *memory = (struct core_memory){.at = peer_pages(bytes), .bytes = bytes};
    return memory;
}

static void core_unshare(void *owner, struct core_memory *memory)
{
    (void)owner;
    free(memory->at);
    free(memory);
}

static const uint8_t *core_lend(void *owner, void *peer, struct core_memory *weights,
                                size_t gradients_bytes)
{
    (void)owner;
    (void)weights;
    return peer_on_lend(peer, gradients_bytes);
}

static void make_core(struct brains *brains, uint32_t shard)
{
    const struct core_options options = {
        .shard = shard,
        .isa = kernels_choose(),
        .wait_max_ms = BRAINS_WAIT_MAX_MS,
        .frame_max_bytes = STEPD_FRAME_MAX_BYTES,
        .limits = &brains->limits,
    };
    const struct core_io io = {.owner = brains,
                               .reply = core_reply,
                               .hang_up = on_hang_up,
                               .hold = on_hold,
                               .takes = on_takes,
                               .give_way = on_give_way,
                               .in_the_way = on_in_the_way,
                               .cut = on_cut,
                               .notify = core_notify,
                               .share = core_share,
                               .unshare = core_unshare,
                               .lend = core_lend};
    FUZZ_CHECK(core_create(&options, &io, &brains->core[shard]) == STEPD_OK);
}

/* ---- What control does ----------------------------------------------------------------------- */

static void control_reply(void *owner, void *peer, const struct stepd_message *message)
{
    (void)owner;
    peer_on_reply(peer, message, NULL, 0);
}

static void control_order(void *owner, uint32_t shard, struct order *order)
{
    FUZZ_CHECK(shard < BRAINS_SHARDS);
    post(owner, shard, (struct letter){.order = order});
}

static void control_random(void *owner, uint8_t *bytes, size_t n)
{
    struct brains *const brains = owner;
    const bool is_id = n != CONTROL_INCARNATION_BYTES; /* incarnations begin at 1 */
    for (size_t i = 0; i < n; i++)
        bytes[i] = is_id ? (uint8_t)random_next(&brains->random) : 0;
}

/* What is logged is a line, whatever peers have called themselves. */
static void control_says(void *owner, enum log_level level, const char *event, const char *facts)
{
    (void)owner;
    (void)level;
    FUZZ_CHECK(event[0] != '\0');
    FUZZ_CHECK(stepd_utf8_printable((const uint8_t *)facts, strlen(facts)));
}

/* True: the task is taken. */
static bool add_task(struct brains *brains, struct task task)
{
    if (brains->tasks == BRAINS_TASKS_MAX)
        return false;
    brains->task[brains->tasks++] = task;
    return true;
}

static void control_checkpoint_to(void *owner, const struct job_snapshot *snapshot, uint64_t step)
{
    FUZZ_CHECK(add_task(
        owner, (struct task){.kind = TASK_CHECKPOINT, .snapshot = snapshot, .step = step}));
}

static void control_snapshot_to(void *owner, const struct job_snapshot *snapshot,
                                const struct stepd_error *error)
{
    if (snapshot == NULL)
        FUZZ_CHECK(error->code != STEPD_OK && error->text[0] != '\0');
    else
        FUZZ_CHECK(add_task(owner, (struct task){.kind = TASK_SNAPSHOT, .snapshot = snapshot}));
}

static enum stepd_status control_fetch_to(void *owner, struct job *job, uint64_t attempt,
                                          bool *ret_fetching)
{
    *ret_fetching = false;
    if (job->name[0] != 'f')
        return STEPD_OK;
    if (!add_task(owner, (struct task){.kind = TASK_FETCH, .job = job, .attempt = attempt}))
        return STEPD_RESOURCE_EXHAUSTED;
    (void)job_ref(job);
    *ret_fetching = true;
    return STEPD_OK;
}

static struct control_caller control_caller_of(void *owner, void *peer)
{
    (void)owner;
    (void)peer;
    return (struct control_caller){.address = "127.0.0.1:1", .certificate = ""};
}

static int64_t control_unix_s(void *owner)
{
    const struct brains *const brains = owner;
    return BRAINS_UNIX_S + (int64_t)(brains->now_ms / 1000);
}

static void make_control(struct brains *brains)
{
    const struct control_options options = {
        .shards = BRAINS_SHARDS,
        .slice_elements = BRAINS_SLICE_LENGTH,
        .lease_ms = BRAINS_LEASE_MS,
        .wait_max_ms = BRAINS_WAIT_MAX_MS,
        .frame_max_bytes = STEPD_FRAME_MAX_BYTES,
        .jobs_max = 4,
        .memory_max_bytes = BRAINS_MEMORY_BYTES,
        .drafts_max_bytes = BRAINS_MEMORY_BYTES,
        .server_version = "fuzz",
        .checkpoint_on_exit = true,
    };
    const struct control_io io = {.owner = brains,
                                  .reply = control_reply,
                                  .hang_up = on_hang_up,
                                  .order = control_order,
                                  .snapshot = control_snapshot_to,
                                  .checkpoint = control_checkpoint_to,
                                  .fetch = control_fetch_to,
                                  .caller = control_caller_of,
                                  .unix_s = control_unix_s,
                                  .random = control_random,
                                  .log = control_says};
    FUZZ_CHECK(control_create(&options, &io, &brains->control) == STEPD_OK);
}

/* ---- Tasks ----------------------------------------------------------------------------------- */

/* Of a job's first tensor, where there are any. */
static struct first_weights *make_first(const struct job *job)
{
    struct first_weights *const first = first_weights_create(job->tensors);
    FUZZ_CHECK(first != NULL);
    first->values[0] = calloc(job->tensor[0].elements, sizeof *first->values[0]);
    FUZZ_CHECK(first->values[0] != NULL);
    memcpy(first->text, "a", 2);
    return first;
}

static void fetched(struct brains *brains, const struct task *task, bool well)
{
    struct control_fetched got = {.job_name = task->job->name, .attempt = task->attempt};
    if (well)
        got.first = make_first(task->job);
    else
        (void)stepd_fail(&got.error, STEPD_NOT_FOUND, "there are none");
    control_fetched(brains->control, &got, brains->now_ms);
    (void)first_weights_unref(got.first);
    (void)job_unref(task->job);
}

static void written(struct brains *brains, const struct task *task, bool well)
{
    struct control_written written = {.name = "step-1", .step = task->step, .bytes = 100};
    if (!well)
        (void)stepd_fail(&written.error, STEPD_RESOURCE_EXHAUSTED, "the disk is full");
    control_checkpoint_written(brains->control, task->snapshot, &written, brains->now_ms);
}

bool brains_do_task(struct brains *brains, bool well)
{
    if (brains->tasks == 0)
        return false;
    const struct task task = brains->task[0];
    brains->tasks--;
    memmove(brains->task, brains->task + 1, brains->tasks * sizeof task);
    switch (task.kind) {
    case TASK_CHECKPOINT: written(brains, &task, well); break;
    case TASK_SNAPSHOT: control_snapshot_end(brains->control, task.snapshot, brains->now_ms); break;
    case TASK_FETCH: fetched(brains, &task, well); break;
    }
    return true;
}

/* ---- Beginning and end ----------------------------------------------------------------------- */

void brains_init(struct brains *brains, uint64_t seed, bool shares_memory)
{
    *brains = (struct brains){.random = {.state = seed}, .shares_memory = shares_memory};
    brains->limits.max[LIMIT_OLD_VERSIONS] = BRAINS_OLD_BYTES;
    for (uint32_t host = 0; host < BRAINS_HOSTS; host++)
        brains->queue[host].end = &brains->queue[host].first;
    for (uint32_t shard = 0; shard < BRAINS_SHARDS; shard++)
        make_core(brains, shard);
    make_control(brains);
}

/* A snapshot may be under way that waits for a version which nobody makes any more. */
static void check_end(const struct core *core)
{
    FUZZ_CHECK(core->conns == NULL && core->held == NULL && core->dirty == NULL);
    for (const struct core_job *job = core->jobs; job != NULL; job = job->next) {
        FUZZ_CHECK(job->pieces == (job->snapshot != NULL) && !job->closing);
        for (size_t i = 0; i < job->job->layout.slices; i++) {
            const struct core_slice *const slice = job->slice[i];
            for (uint32_t rank = 0; slice != NULL && rank < slice->round.ranks; rank++)
                FUZZ_CHECK(round_of(&slice->round, rank).state != CONTRIBUTION_RECEIVING);
            FUZZ_CHECK(slice == NULL || slice->waiters == NULL);
        }
    }
}

void brains_deinit(struct brains *brains)
{
    do {
        brains_rest(brains);
    } while (brains_do_task(brains, /* well= */ true));
    for (uint32_t shard = 0; shard < BRAINS_SHARDS; shard++) {
        check_end(brains->core[shard]);
        brains->core[shard] = core_destroy(brains->core[shard]);
    }
    FUZZ_CHECK(brains->limits.used[LIMIT_OLD_VERSIONS] == 0);
    brains->control = control_destroy(brains->control);
    for (uint32_t host = 0; host < BRAINS_HOSTS; host++) {
        struct letter letter;
        while (take(brains, host, &letter)) {
            (void)order_destroy(letter.order);
            (void)notice_destroy(letter.notice);
        }
    }
}
