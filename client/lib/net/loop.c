/* SPDX-License-Identifier: Apache-2.0
 *
 * The loop has six kinds of handles: `wake` (letters have come), `beat` (time for a heartbeat),
 * `tick` (something may have waited for too long, for others, for a link or for an answer; runs
 * only while something does), `prepare` (looks whether something does), `alarm` (the time of a
 * caller that runs the loop is over) and those of the links.
 *
 * Who runs it. A thread that has to be woken costs more than a small step, so a caller that waits
 * runs the loop itself, if nobody does: it sends its letter, sleeps where the answer comes in, and
 * has it at once. The client's own thread takes over where no caller has run the loop for REST_MS,
 * or at once where a letter was posted that nobody waits for; and it lets go when somebody does.
 * Being woken costs even a caller more than a small step; one that owns its core can look for the
 * answer, for busy_poll_us of its wait, before it sleeps.
 *
 *     NOBODY --a caller waits--> CALLER --its flag is raised, its time is over--> NOBODY
 *        |
 *        +--for REST_MS, or something is due--> OWN --a caller waits--> NOBODY
 *
 * The own thread is created with all signals blocked: they are for the process's own threads.
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

#define NS_PER_US 1000u

/* A training loop that steps again within so long keeps the loop for itself. */
#define REST_MS 100u

enum driver {
    DRIVER_NOBODY,
    DRIVER_OWN,
    DRIVER_CALLER,
};

struct stepd_loop {
    struct stepd_mailbox mailbox;
    /* Under the mailbox's mutex: */
    enum driver driver;
    size_t waiting;     /* callers in stepd_loop_await */
    uint64_t let_go_ms; /* when the last of them left */
    bool due;           /* a letter was posted that nobody waits for */
    bool over;          /* nothing is open on the loop any more */

    /* Of the thread that runs the loop: */
    uv_loop_t uv;
    uv_async_t wake;
    uv_timer_t beat;
    uv_timer_t tick;
    uv_prepare_t prepare;
    uv_timer_t alarm;
    struct stepd_brain *brain;   /* borrowed */
    struct stepd_places *places; /* owned */
    uint32_t busy_poll_us;
    bool stopping;

    pthread_t thread;
    struct stepd_mail stop;
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

/* ---- Running it ------------------------------------------------------------------------------ */

static void deliver_letters(struct stepd_loop *loop)
{
    struct stepd_mail *letter = stepd_mailbox_take(&loop->mailbox);
    while (letter != NULL && !loop->stopping) {
        struct stepd_mail *const next = letter->next; /* delivery may free the letter */
        letter->deliver(loop, letter);
        letter = next;
    }
}

static void on_wake(uv_async_t *wake)
{
    deliver_letters(wake->data);
}

/* Does what has come, or, from sleep_from_ns on (uv_hrtime), sleeps until something comes; unless
 * the flag (NULL: none) is raised by a letter. False: the loop is over. */
static bool turn(struct stepd_loop *loop, const atomic_bool *flag, uint64_t sleep_from_ns)
{
    uv_update_time(&loop->uv);
    deliver_letters(loop);
    if (flag != NULL && atomic_load(flag))
        return true;
    const bool polls = sleep_from_ns != 0 && uv_hrtime() < sleep_from_ns;
    return uv_run(&loop->uv, polls ? UV_RUN_NOWAIT : UV_RUN_ONCE) != 0;
}

/* That it has come is enough: the loop has woken up. */
static void on_alarm(uv_timer_t *alarm)
{
    (void)alarm;
}

static bool is_past(uint64_t until_ms)
{
    return until_ms != 0 && stepd_clock_ms() >= until_ms;
}

static void set_alarm(struct stepd_loop *loop, uint64_t until_ms)
{
    if (until_ms == 0)
        return;
    const uint64_t now_ms = stepd_clock_ms();
    uv_update_time(&loop->uv);
    if (until_ms > now_ms)
        (void)uv_timer_start(&loop->alarm, on_alarm, until_ms - now_ms, 0);
}

/* In a caller's thread. False: the loop is over. */
static bool run_for_caller(struct stepd_loop *loop, const atomic_bool *flag, uint64_t until_ms)
{
    const uint64_t poll_ns = (uint64_t)NS_PER_US * loop->busy_poll_us;
    const uint64_t sleep_from_ns = poll_ns > 0 ? uv_hrtime() + poll_ns : 0;
    bool alive = true;
    set_alarm(loop, until_ms);
    while (alive && !atomic_load(flag) && !is_past(until_ms))
        alive = turn(loop, flag, sleep_from_ns);
    (void)uv_timer_stop(&loop->alarm);
    return alive;
}

/* The loop is free: says so to those who may take it. Under the mutex. */
static void let_go(struct stepd_loop *loop, bool alive)
{
    loop->driver = DRIVER_NOBODY;
    loop->over = loop->over || !alive;
    loop->due =
        loop->due || loop->over || loop->mailbox.first != NULL || stepd_brain_waits(loop->brain);
    if (loop->waiting > 0)
        (void)pthread_cond_broadcast(&loop->mailbox.changed);
    if (loop->due)
        (void)pthread_cond_signal(&loop->mailbox.due);
}

bool stepd_loop_await(struct stepd_loop *loop, const atomic_bool *flag, uint64_t until_ms)
{
    struct stepd_mailbox *const mailbox = &loop->mailbox;
    (void)pthread_mutex_lock(&mailbox->mutex);
    loop->waiting++;
    while (!atomic_load(flag) && !is_past(until_ms)) {
        if (loop->driver != DRIVER_NOBODY || loop->over) {
            (void)stepd_mailbox_wait(mailbox, &mailbox->changed, until_ms);
            continue;
        }
        loop->driver = DRIVER_CALLER;
        (void)pthread_mutex_unlock(&mailbox->mutex);
        const bool alive = run_for_caller(loop, flag, until_ms);
        (void)pthread_mutex_lock(&mailbox->mutex);
        let_go(loop, alive);
    }
    loop->waiting--;
    loop->let_go_ms = stepd_clock_ms();
    const bool raised = atomic_load(flag);
    (void)pthread_mutex_unlock(&mailbox->mutex);
    return raised;
}

/* ---- The own thread -------------------------------------------------------------------------- */

/* Under the mutex. */
static bool is_own_turn(const struct stepd_loop *loop)
{
    return loop->driver == DRIVER_NOBODY && loop->waiting == 0 &&
           (loop->due || stepd_clock_ms() - loop->let_go_ms >= REST_MS);
}

static void *run(void *self)
{
    struct stepd_loop *const loop = self;
    struct stepd_mailbox *const mailbox = &loop->mailbox;
    (void)pthread_mutex_lock(&mailbox->mutex);
    while (!loop->over) {
        if (!is_own_turn(loop)) {
            (void)stepd_mailbox_wait(mailbox, &mailbox->due, stepd_clock_ms() + REST_MS);
            continue;
        }
        loop->driver = DRIVER_OWN;
        loop->due = false;
        (void)pthread_mutex_unlock(&mailbox->mutex);
        const bool alive = turn(loop, NULL, 0);
        (void)pthread_mutex_lock(&mailbox->mutex);
        let_go(loop, alive);
    }
    (void)pthread_mutex_unlock(&mailbox->mutex);
    return NULL;
}

/* With all signals blocked. */
static int start_thread(struct stepd_loop *loop)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&loop->thread, NULL, run, loop);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

static void deliver_stop(struct stepd_loop *loop, struct stepd_mail *letter)
{
    struct stepd_error error;
    (void)letter;
    (void)stepd_fail(&error, STEPD_CANCELLED, "the client was closed");
    loop->stopping = true;
    if (loop->places != NULL) {
        stepd_brain_end(loop->brain);
        stepd_places_stop(loop->places, &error);
    }
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->beat, NULL);
    uv_close((uv_handle_t *)&loop->tick, NULL);
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->alarm, NULL);
}

static void init_handles(struct stepd_loop *loop)
{
    (void)uv_timer_init(&loop->uv, &loop->beat);
    (void)uv_timer_init(&loop->uv, &loop->tick);
    (void)uv_timer_init(&loop->uv, &loop->alarm);
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
                                    uint32_t busy_poll_us, struct stepd_loop **ret_loop,
                                    struct stepd_error *reterr)
{
    struct stepd_loop *const loop = calloc(1, sizeof *loop);
    if (loop == NULL)
        goto fail;
    loop->brain = brain;
    loop->busy_poll_us = busy_poll_us;
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

/* The first letter's mutex makes it known to whichever thread runs the loop. */
void stepd_loop_trust(struct stepd_loop *loop, const struct stepd_trust *trust)
{
    stepd_places_trust(loop->places, trust);
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

/* Puts a letter in, and wakes who runs the loop. Under the mutex. */
static void put(struct stepd_loop *loop, struct stepd_mail *letter)
{
    stepd_mailbox_put(&loop->mailbox, letter);
    if (loop->driver != DRIVER_NOBODY)
        (void)uv_async_send(&loop->wake);
}

void stepd_loop_post(struct stepd_loop *loop, struct stepd_mail *letter)
{
    (void)pthread_mutex_lock(&loop->mailbox.mutex);
    put(loop, letter);
    loop->due = true;
    (void)pthread_cond_signal(&loop->mailbox.due);
    (void)pthread_mutex_unlock(&loop->mailbox.mutex);
}

void stepd_loop_leave(struct stepd_loop *loop, struct stepd_mail *letter)
{
    (void)pthread_mutex_lock(&loop->mailbox.mutex);
    put(loop, letter);
    (void)pthread_mutex_unlock(&loop->mailbox.mutex);
}

bool stepd_loop_ask(struct stepd_loop *loop, struct stepd_mail *letter, const atomic_bool *flag,
                    uint64_t until_ms)
{
    stepd_loop_leave(loop, letter);
    return stepd_loop_await(loop, flag, until_ms);
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
