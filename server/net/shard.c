/* SPDX-License-Identifier: Apache-2.0
 *
 * The shard's thread runs its loop until nothing is open on it: connections, the tick, the mailbox,
 * and what is looked at before it sleeps. It does not sleep while its core owes something.
 * LETTER_DRAIN says goodbye to the connections, LETTER_CUT closes them; when the last one is gone,
 * the tick and the mailbox go, the loop has nothing left to wait for, and the thread ends. Callers
 * and orders that arrive meanwhile find a shard that is ending, or a closed mailbox, and are thrown
 * away.
 *
 * Before the thread starts and after it was joined the shard belongs to the main thread.
 */
#include "server/net/shard.h"

#include <assert.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <uv.h>

#include "server/net/busy_poll.h"
#include "server/net/conn.h"
#include "server/net/shared_memory.h"

/* Turns of a loop on which something comes in each time, until one is used all the same for what
 * the core owes: what is owed of slices that nobody pushes to must end some time. */
#define BUSY_TURNS 16u

struct shard {
    struct shard_options options;
    uv_loop_t uv;
    uv_timer_t tick;
    uv_prepare_t before_sleep;
    uv_idle_t awake; /* while the core owes something */
    uint64_t reads;  /* when it was looked at last */
    uint32_t busy_turns;
    struct mailbox mailbox;
    struct conn_loop loop;
    struct core *core; /* owned */
    uv_thread_t thread;
    bool running; /* the thread was started and not joined */
    bool draining;
    bool ended; /* tick and mailbox are closing */
};

/* ---- Ending ---------------------------------------------------------------------------------- */

static void end(struct shard *shard)
{
    if (shard->ended)
        return;
    shard->ended = true;
    uv_close((uv_handle_t *)&shard->tick, NULL);
    uv_close((uv_handle_t *)&shard->before_sleep, NULL);
    uv_close((uv_handle_t *)&shard->awake, NULL);
    mailbox_close(&shard->mailbox);
}

static void end_if_drained(struct shard *shard)
{
    if (shard->draining && shard->loop.count == 0)
        end(shard);
}

/* ---- What a connection says ------------------------------------------------------------------ */

static void *on_opened(void *owner, struct conn *conn, uint64_t now_ms)
{
    const struct shard *const shard = owner;
    return core_open(shard->core, conn, now_ms);
}

static enum stepd_status on_message(void *user, const struct stepd_message *message,
                                    uint64_t payload_bytes, uint64_t now_ms,
                                    struct stepd_error *reterr)
{
    return core_on_message(user, message, payload_bytes, now_ms, reterr);
}

static uint8_t *on_window(void *user, size_t *ret_room)
{
    return core_window(user, ret_room);
}

static void on_filled(void *user, size_t n, uint64_t now_ms)
{
    core_filled(user, n, now_ms);
}

static void on_closed(void *user, uint64_t now_ms)
{
    core_close(user, now_ms);
}

static void on_taken(void *user, uint64_t now_ms)
{
    core_on_taken(user, now_ms);
}

static void on_release(void *owner, struct weights *weights, uint64_t now_ms)
{
    const struct shard *const shard = owner;
    core_release(shard->core, weights, now_ms);
}

static void on_known(void *owner)
{
    const struct shard *const shard = owner;
    mailbox_post(shard->options.main, (struct letter){.kind = LETTER_KNOWN});
}

static void on_gone(void *owner, bool known)
{
    struct shard *const shard = owner;
    mailbox_post(shard->options.main, (struct letter){.kind = LETTER_GONE, .known = known});
    end_if_drained(shard);
}

static const struct conn_handler handler = {
    .opened = on_opened,
    .message = on_message,
    .window = on_window,
    .filled = on_filled,
    .closed = on_closed,
    .taken = on_taken,
    .release = on_release,
    .known = on_known,
    .gone = on_gone,
};

/* ---- What the core does ---------------------------------------------------------------------- */

static void io_reply(void *owner, void *peer, const struct stepd_message *message,
                     const struct core_piece *piece, size_t pieces)
{
    (void)owner;
    conn_reply(peer, message, piece, pieces);
}

static void io_hang_up(void *owner, void *peer)
{
    (void)owner;
    conn_finish(peer);
}

static void io_hold(void *owner, void *peer, bool hold)
{
    (void)owner;
    conn_hold(peer, hold);
}

static bool io_takes(void *owner, void *peer)
{
    (void)owner;
    return conn_takes(peer);
}

static void io_give_way(void *owner, void *peer)
{
    (void)owner;
    conn_give_way(peer);
}

static size_t io_in_the_way(void *owner, const struct weights *weights)
{
    const struct shard *const shard = owner;
    return conn_loop_in_the_way(&shard->loop, weights);
}

static size_t io_cut(void *owner, const struct weights *weights)
{
    struct shard *const shard = owner;
    return conn_loop_cut_readers(&shard->loop, weights);
}

static void io_notify(void *owner, struct notice *notice)
{
    const struct shard *const shard = owner;
    const struct letter letter = {
        .kind = LETTER_NOTICE, .from = shard->options.core.shard, .notice = notice};
    mailbox_post(shard->options.main, letter);
}

static struct core_memory *io_share(void *owner, size_t bytes)
{
    const struct shard *const shard = owner;
    struct shared_memory *const memory =
        shard->options.shared == NULL
            ? NULL
            : shared_memory_create(bytes, SHARED_MEMORY_OURS, shard->options.shared);
    return memory == NULL ? NULL : &memory->memory;
}

static void io_unshare(void *owner, struct core_memory *memory)
{
    (void)owner;
    (void)shared_memory_destroy((struct shared_memory *)memory);
}

static const uint8_t *io_lend(void *owner, void *peer, struct core_memory *weights,
                              size_t gradients_bytes)
{
    const struct shard *const shard = owner;
    return conn_lend(peer, (const struct shared_memory *)weights, gradients_bytes,
                     shard->options.shared);
}

/* ---- Letters and time ------------------------------------------------------------------------ */

static void serve(struct shard *shard, struct caller *caller)
{
    if (!shard->draining) {
        conn_open(&shard->loop, caller);
        return;
    }
    caller_destroy(caller);
    mailbox_post(shard->options.main, (struct letter){.kind = LETTER_GONE, .known = false});
}

static void deliver(void *owner, const struct letter *letter)
{
    struct shard *const shard = owner;
    switch (letter->kind) {
    case LETTER_ORDER: core_on_order(shard->core, letter->order, uv_now(&shard->uv)); break;
    case LETTER_CALLER: serve(shard, letter->caller); break;
    case LETTER_DRAIN:
        shard->draining = true;
        conn_loop_drain(&shard->loop);
        end_if_drained(shard);
        break;
    case LETTER_CUT:
        shard->draining = true;
        conn_loop_cut(&shard->loop);
        end_if_drained(shard);
        break;
    case LETTER_BEAT:
    case LETTER_LOST: mailbox_post(shard->options.main, *letter); break;
    case LETTER_NOTICE:
    case LETTER_KNOWN:
    case LETTER_GONE:
    case LETTER_WRITTEN:
    case LETTER_TOLD:
    case LETTER_ENDED: assert(false && "this letter is for the main thread"); break;
    }
    conn_loop_settle(&shard->loop);
}

static void on_tick(uv_timer_t *timer)
{
    struct shard *const shard = timer->data;
    const uint64_t now_ms = uv_now(&shard->uv);
    core_on_tick(shard->core, now_ms);
    conn_loop_tick(&shard->loop, now_ms);
}

/* Nothing: a loop with this does not sleep. */
static void on_awake(uv_idle_t *idle)
{
    (void)idle;
}

/* What the core owes is done in turns in which nothing has come in. */
static void use_turn(struct shard *shard)
{
    const bool idle = shard->loop.reads == shard->reads;
    shard->reads = shard->loop.reads;
    if (idle || ++shard->busy_turns == BUSY_TURNS) {
        shard->busy_turns = 0;
        (void)core_on_idle(shard->core);
    }
}

static void before_sleep(uv_prepare_t *prepare)
{
    struct shard *const shard = prepare->data;
    conn_loop_go_on(&shard->loop);
    if (!core_owes(shard->core)) {
        (void)uv_idle_stop(&shard->awake);
        return;
    }
    use_turn(shard);
    (void)uv_idle_start(&shard->awake, on_awake); /* fails without a callback */
}

/* ---- The thread ------------------------------------------------------------------------------ */

static void run(void *argument)
{
    struct shard *const shard = argument;
    char name[16]; /* as long as the kernel keeps it */
    (void)snprintf(name, sizeof name, "shard %u", (unsigned)shard->options.core.shard + 1);
    (void)prctl(PR_SET_NAME, name); /* for top -H and the like */
    busy_poll_run(&shard->uv, shard->options.busy_poll_us, &shard->loop.reads);
    const struct letter last = {.kind = LETTER_ENDED, .shard = shard->options.core.shard};
    mailbox_post(shard->options.main, last);
}

static enum stepd_status create_brain(struct shard *shard)
{
    const struct conn_loop_options loop = {
        .uv = &shard->uv,
        .log = shard->options.log,
        .handler = &handler,
        .owner = shard,
        .frame_max_bytes = shard->options.core.frame_max_bytes,
        .queue_high_bytes = shard->options.unsent_max_bytes,
        .write_timeout_ms = shard->options.write_timeout_ms,
        .read_timeout_ms = shard->options.read_timeout_ms,
        .idle_timeout_ms = shard->options.idle_timeout_ms,
        .refusals_max_per_s = shard->options.refusals_max_per_s,
        .limits = shard->options.core.limits,
    };
    const struct core_io io = {
        .owner = shard,
        .reply = io_reply,
        .hang_up = io_hang_up,
        .hold = io_hold,
        .takes = io_takes,
        .give_way = io_give_way,
        .in_the_way = io_in_the_way,
        .cut = io_cut,
        .notify = io_notify,
        .share = io_share,
        .unshare = io_unshare,
        .lend = io_lend,
    };
    const enum stepd_status status = conn_loop_init(&shard->loop, &loop);
    if (status != STEPD_OK)
        return status;
    return core_create(&shard->options.core, &io, &shard->core);
}

enum stepd_status shard_create(const struct shard_options *options, struct shard **ret_shard)
{
    struct shard *const shard = malloc(sizeof *shard);
    if (shard == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    *shard = (struct shard){.options = *options};
    if (uv_loop_init(&shard->uv) != 0)
        goto fail_free;
    if (mailbox_init(&shard->mailbox, &shard->uv, deliver, shard) != STEPD_OK)
        goto fail_loop;
    (void)uv_timer_init(&shard->uv, &shard->tick); /* cannot fail */
    shard->tick.data = shard;
    (void)uv_prepare_init(&shard->uv, &shard->before_sleep); /* nor this */
    shard->before_sleep.data = shard;
    (void)uv_idle_init(&shard->uv, &shard->awake); /* nor this */
    if (create_brain(shard) != STEPD_OK) {
        shard_destroy(shard);
        return STEPD_RESOURCE_EXHAUSTED;
    }
    *ret_shard = shard;
    return STEPD_OK;
fail_loop:
    (void)uv_loop_close(&shard->uv);
fail_free:
    free(shard);
    return STEPD_RESOURCE_EXHAUSTED;
}

enum stepd_status shard_start(struct shard *shard)
{
    sigset_t all;
    sigset_t before;
    (void)uv_timer_start(&shard->tick, on_tick, CONN_TICK_MS,
                         CONN_TICK_MS);                         /* fails without a callback */
    (void)uv_prepare_start(&shard->before_sleep, before_sleep); /* the same */
    /* A thread inherits the mask: signals are the main thread's to take. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    shard->running = uv_thread_create(&shard->thread, run, shard) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return shard->running ? STEPD_OK : STEPD_RESOURCE_EXHAUSTED;
}

void shard_post(struct shard *shard, struct letter letter)
{
    mailbox_post(&shard->mailbox, letter);
}

void shard_join(struct shard *shard)
{
    assert(shard->running);
    (void)uv_thread_join(&shard->thread);
    shard->running = false;
}

struct shard *shard_destroy(struct shard *shard)
{
    if (shard == NULL)
        return NULL;
    assert(!shard->running);
    end(shard); /* it may never have run */
    (void)uv_run(&shard->uv, UV_RUN_DEFAULT);
    conn_loop_deinit(&shard->loop);
    core_destroy(shard->core);
    mailbox_deinit(&shard->mailbox);
    const int busy = uv_loop_close(&shard->uv);
    assert(busy == 0);
    (void)busy;
    free(shard);
    return NULL;
}
