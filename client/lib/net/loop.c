/* SPDX-License-Identifier: Apache-2.0
 *
 * The loop has four kinds of handles: `wake` (letters have come), `beat` (time for a heartbeat),
 * `tick` (operations may have gathered for too long; runs only while some gather) and the links.
 *
 * SIGPIPE: libuv writes with writev(), which raises it on a socket that the peer has closed. The
 * thread is created with all signals blocked, so it sees EPIPE instead, and the process's own
 * handling of signals is left alone.
 */
#include "client/lib/net/loop.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <uv.h>

#include "client/lib/net/clock.h"
#include "client/lib/net/link.h"
#include "proto/arena.h"
#include "proto/error.h"

#define TICK_MS 250u

/* A place for a link; it remembers why the link is gone. */
struct link_place {
    struct stepd_link *link; /* NULL: none */
    struct stepd_error gone;
};

struct stepd_loop {
    struct stepd_mailbox mailbox;
    pthread_t thread;
    uv_loop_t uv;
    uv_async_t wake;
    uv_timer_t beat;
    uv_timer_t tick;
    struct stepd_letter stop;
    struct stepd_pending pending;
    struct stepd_exchange *exchange; /* borrowed; NULL until it was given */
    struct link_place *place;        /* owned; by shard */
    size_t places;
    struct stepd_arena arena;
    bool stopping;
};

/* ---- The thread ------------------------------------------------------------------------------ */

static void on_wake(uv_async_t *wake)
{
    struct stepd_loop *const loop = wake->data;
    struct stepd_letter *letter = stepd_mailbox_take(&loop->mailbox);
    while (letter != NULL && !loop->stopping) {
        struct stepd_letter *const next = letter->next; /* delivery may free the letter */
        letter->deliver(loop, letter);
        letter = next;
    }
}

static void *run(void *self)
{
    struct stepd_loop *const loop = self;
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
    return NULL;
}

/* Starts the thread with all signals blocked; see above. */
static int start_thread(struct stepd_loop *loop)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&loop->thread, NULL, run, loop);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

static void deliver_stop(struct stepd_loop *loop, struct stepd_letter *letter)
{
    struct stepd_error error;
    (void)letter;
    (void)stepd_fail(&error, STEPD_CANCELLED, "the client was closed");
    for (size_t i = 0; i < loop->places; i++)
        stepd_loop_close_link(loop, (uint32_t)i, &error);
    for (size_t i = 0; loop->exchange != NULL && i < loop->exchange->shards; i++)
        stepd_exchange_lose(loop->exchange, (uint32_t)i + 1, &error);
    loop->stopping = true;
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->beat, NULL);
    uv_close((uv_handle_t *)&loop->tick, NULL);
}

static void init_handles(struct stepd_loop *loop)
{
    (void)uv_timer_init(&loop->uv, &loop->beat);
    (void)uv_timer_init(&loop->uv, &loop->tick);
    loop->wake.data = loop;
    loop->beat.data = loop;
    loop->tick.data = loop;
}

enum stepd_status stepd_loop_create(struct stepd_loop **ret_loop, struct stepd_error *reterr)
{
    struct stepd_loop *const loop = calloc(1, sizeof *loop);
    if (loop == NULL)
        goto fail;
    stepd_arena_init(&loop->arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    if (stepd_mailbox_init(&loop->mailbox) != STEPD_OK)
        goto fail_free;
    if (uv_loop_init(&loop->uv) != 0)
        goto fail_mailbox;
    if (uv_async_init(&loop->uv, &loop->wake, on_wake) != 0)
        goto fail_uv;
    init_handles(loop);
    if (start_thread(loop) != 0)
        goto fail_handles;
    *ret_loop = loop;
    return STEPD_OK;

fail_handles:
    deliver_stop(loop, NULL);
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
fail_uv:
    (void)uv_loop_close(&loop->uv);
fail_mailbox:
    stepd_mailbox_deinit(&loop->mailbox);
fail_free:
    free(loop);
fail:
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "the system has no thread for a client");
}

struct stepd_loop *stepd_loop_destroy(struct stepd_loop *loop)
{
    if (loop == NULL)
        return NULL;
    loop->stop.deliver = deliver_stop;
    stepd_loop_post(loop, &loop->stop);
    (void)pthread_join(loop->thread, NULL);
    const int open_handles = uv_loop_close(&loop->uv);
    assert(open_handles == 0);
    (void)open_handles;
    stepd_mailbox_deinit(&loop->mailbox);
    stepd_arena_deinit(&loop->arena);
    free(loop->place);
    free(loop);
    return NULL;
}

void stepd_loop_post(struct stepd_loop *loop, struct stepd_letter *letter)
{
    stepd_mailbox_put(&loop->mailbox, letter);
    (void)uv_async_send(&loop->wake);
}

struct stepd_mailbox *stepd_loop_mailbox(struct stepd_loop *loop)
{
    return &loop->mailbox;
}

/* ---- Operations ------------------------------------------------------------------------------ */

struct stepd_pending *stepd_loop_pending(struct stepd_loop *loop)
{
    return &loop->pending;
}

struct stepd_exchange *stepd_loop_exchange(struct stepd_loop *loop)
{
    return loop->exchange;
}

static enum stepd_status send_through_port(void *self, uint32_t shard,
                                           struct stepd_outgoing *outgoing,
                                           struct stepd_error *reterr)
{
    return stepd_loop_send(self, shard, outgoing, reterr);
}

void stepd_loop_use_exchange(struct stepd_loop *loop, struct stepd_exchange *exchange)
{
    exchange->port = (struct stepd_port){.self = loop, .send = send_through_port};
    loop->exchange = exchange;
}

static void on_tick(uv_timer_t *tick)
{
    struct stepd_loop *const loop = tick->data;
    stepd_exchange_tick(loop->exchange, stepd_clock_ms());
    if (loop->exchange->gathering == 0)
        (void)uv_timer_stop(tick);
}

void stepd_loop_start_operation(struct stepd_loop *loop, struct stepd_operation *operation)
{
    stepd_exchange_start(loop->exchange, operation, stepd_clock_ms());
    if (loop->exchange->gathering > 0 && !uv_is_active((const uv_handle_t *)&loop->tick))
        (void)uv_timer_start(&loop->tick, on_tick, TICK_MS, TICK_MS);
}

/* ---- Links ----------------------------------------------------------------------------------- */

/* Shards are few, and opened in order: growing by one each time does no harm. */
static enum stepd_status make_place(struct stepd_loop *loop, uint32_t shard,
                                    struct stepd_error *reterr)
{
    if (shard < loop->places)
        return STEPD_OK;
    struct link_place *const more = calloc((size_t)shard + 1, sizeof *more);
    if (more == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a connection");
    for (size_t i = 0; i < loop->places; i++)
        more[i] = loop->place[i];
    free(loop->place);
    loop->place = more;
    loop->places = (size_t)shard + 1;
    return STEPD_OK;
}

static void on_lost(void *owner, uint32_t shard, const struct stepd_error *error)
{
    struct stepd_loop *const loop = owner;
    loop->place[shard].link = NULL;
    loop->place[shard].gone = *error;
    stepd_pending_fail(&loop->pending, shard, error);
    if (loop->exchange != NULL)
        stepd_exchange_lose(loop->exchange, shard, error);
}

enum stepd_status stepd_loop_open_link(struct stepd_loop *loop, uint32_t shard, int fd, bool local,
                                       const char *peer, struct stepd_error *reterr)
{
    const struct stepd_link_options options = {
        .fd = fd,
        .local = local,
        .shard = shard,
        .peer = peer,
        .pending = &loop->pending,
        .owner = loop,
        .on_lost = on_lost,
    };
    struct stepd_link *link = NULL;
    enum stepd_status status = stepd_link_open(&loop->uv, &options, &link, reterr);
    if (status != STEPD_OK)
        return status;
    status = make_place(loop, shard, reterr);
    if (status != STEPD_OK) {
        (void)stepd_link_close(link);
        return status;
    }
    loop->place[shard].link = stepd_link_close(loop->place[shard].link);
    loop->place[shard].link = link;
    return STEPD_OK;
}

void stepd_loop_close_link(struct stepd_loop *loop, uint32_t shard, const struct stepd_error *error)
{
    if (shard >= loop->places || loop->place[shard].link == NULL)
        return;
    (void)stepd_link_close(loop->place[shard].link);
    on_lost(loop, shard, error);
}

enum stepd_status stepd_loop_send(struct stepd_loop *loop, uint32_t shard,
                                  struct stepd_outgoing *outgoing, struct stepd_error *reterr)
{
    if (shard < loop->places && loop->place[shard].link != NULL)
        return stepd_link_send(loop->place[shard].link, outgoing, reterr);
    if (shard < loop->places && loop->place[shard].gone.code != STEPD_OK)
        return stepd_fail(reterr, loop->place[shard].gone.code, "%s", loop->place[shard].gone.text);
    return stepd_fail(reterr, STEPD_UNAVAILABLE, "there is no connection to shard %u", shard);
}

/* ---- Heartbeats ------------------------------------------------------------------------------ */

/* The reply is of no interest: its id is not in the table, so the reader drops it. */
static void on_beat(uv_timer_t *beat)
{
    struct stepd_loop *const loop = beat->data;
    const struct stepd_message message = {
        .request_id = ++loop->pending.newest_id,
        .kind = STEPD_MESSAGE_HEARTBEAT,
    };
    struct stepd_outgoing *const outgoing = stepd_outgoing_create(STEPD_F32, 0);
    if (outgoing == NULL)
        return;
    enum stepd_status status = stepd_outgoing_encode(outgoing, &message, &loop->arena, NULL);
    if (status == STEPD_OK)
        status = stepd_loop_send(loop, 0, outgoing, NULL);
    if (status != STEPD_OK)
        (void)stepd_outgoing_destroy(outgoing);
}

void stepd_loop_beat_every(struct stepd_loop *loop, uint32_t ms)
{
    (void)uv_timer_start(&loop->beat, on_beat, ms, ms);
}
