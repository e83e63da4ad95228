/* SPDX-License-Identifier: Apache-2.0
 *
 * The loop has five kinds of handles: `wake` (letters have come), `beat` (time for a heartbeat),
 * `tick` (something may have waited for too long, for others, for a link or for an answer; runs
 * only while something does), `prepare` (looks whether something does) and those of the links.
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
#include "client/lib/net/places.h"
#include "proto/error.h"

#define TICK_MS 250u

struct stepd_loop {
    struct stepd_mailbox mailbox;
    pthread_t thread;
    uv_loop_t uv;
    uv_async_t wake;
    uv_timer_t beat;
    uv_timer_t tick;
    uv_prepare_t prepare;
    struct stepd_letter stop;
    struct stepd_brain *brain;   /* borrowed */
    struct stepd_places *places; /* owned */
    bool stopping;
};

/* ---- Waiting --------------------------------------------------------------------------------- */

static void on_tick(uv_timer_t *tick)
{
    struct stepd_loop *const loop = tick->data;
    stepd_brain_tick(loop->brain, stepd_clock_ms());
    if (!stepd_brain_waits(loop->brain))
        (void)uv_timer_stop(tick);
}

/* What is held comes up anywhere, so this is looked at whenever the loop has done something. */
static void on_prepare(uv_prepare_t *prepare)
{
    struct stepd_loop *const loop = prepare->data;
    if (stepd_brain_waits(loop->brain) && !uv_is_active((const uv_handle_t *)&loop->tick))
        (void)uv_timer_start(&loop->tick, on_tick, TICK_MS, TICK_MS);
}

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
    loop->stopping = true;
    if (loop->places != NULL)
        stepd_places_stop(loop->places, &error);
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->beat, NULL);
    uv_close((uv_handle_t *)&loop->tick, NULL);
    uv_close((uv_handle_t *)&loop->prepare, NULL);
}

static void init_handles(struct stepd_loop *loop)
{
    (void)uv_timer_init(&loop->uv, &loop->beat);
    (void)uv_timer_init(&loop->uv, &loop->tick);
    (void)uv_prepare_init(&loop->uv, &loop->prepare);
    (void)uv_prepare_start(&loop->prepare, on_prepare);
    loop->wake.data = loop;
    loop->beat.data = loop;
    loop->tick.data = loop;
    loop->prepare.data = loop;
}

static enum stepd_status create_places(struct stepd_loop *loop, uint32_t budget_ms)
{
    const struct stepd_links_options options = stepd_brain_links(loop->brain, budget_ms);
    const enum stepd_status status = stepd_places_create(&loop->uv, &options, &loop->places);
    if (status == STEPD_OK)
        loop->brain->links = stepd_places_links(loop->places);
    return status;
}

enum stepd_status stepd_loop_create(struct stepd_brain *brain, uint32_t reconnect_timeout_ms,
                                    struct stepd_loop **ret_loop, struct stepd_error *reterr)
{
    struct stepd_loop *const loop = calloc(1, sizeof *loop);
    if (loop == NULL)
        goto fail;
    loop->brain = brain;
    if (stepd_mailbox_init(&loop->mailbox) != STEPD_OK)
        goto fail_free;
    if (uv_loop_init(&loop->uv) != 0)
        goto fail_mailbox;
    if (uv_async_init(&loop->uv, &loop->wake, on_wake) != 0)
        goto fail_uv;
    init_handles(loop);
    if (create_places(loop, reconnect_timeout_ms) != STEPD_OK || start_thread(loop) != 0)
        goto fail_handles;
    *ret_loop = loop;
    return STEPD_OK;

fail_handles:
    deliver_stop(loop, NULL);
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
    loop->places = stepd_places_destroy(loop->places);
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
    loop->places = stepd_places_destroy(loop->places);
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

/* ---- For letters ----------------------------------------------------------------------------- */

struct stepd_brain *stepd_loop_brain(struct stepd_loop *loop)
{
    return loop->brain;
}

/* ---- Heartbeats ------------------------------------------------------------------------------ */

static void on_beat(uv_timer_t *beat)
{
    const struct stepd_loop *const loop = beat->data;
    stepd_brain_beat(loop->brain);
}

void stepd_loop_beat_every(struct stepd_loop *loop, uint32_t ms)
{
    (void)uv_timer_start(&loop->beat, on_beat, ms, ms);
}
