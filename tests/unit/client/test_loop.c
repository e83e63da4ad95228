/* SPDX-License-Identifier: Apache-2.0
 *
 * In which thread the client's loop runs, in a caller's that waits, or in its own; and whether that
 * one sleeps.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "client/lib/net/clock.h"
#include "client/lib/net/loop.h"

enum { TRIES = 10000, AWAITS = 200, LONG_US = 10000000 };

static struct stepd_brain brain;
static struct stepd_loop *loop;

struct note {
    struct stepd_mail letter; /* first */
    pthread_t by;
    atomic_bool delivered;
};

static void deliver(struct stepd_loop *of, struct stepd_mail *letter)
{
    struct note *const note = (struct note *)letter;
    note->by = pthread_self();
    stepd_mailbox_raise(stepd_loop_mailbox(of), &note->delivered);
}

static void nothing(void *owner)
{
    (void)owner;
}

static void no_event(void *owner, const struct stepd_event *event)
{
    (void)owner;
    (void)event;
}

static int create(uint32_t busy_poll_us)
{
    struct stepd_error error;
    brain = (struct stepd_brain){
        .hooks = {.welcomed = nothing, .rolled_back = nothing, .tell = no_event},
        .self = {.address = "127.0.0.1:1", .job = "job", .worker = "worker", .token = ""},
    };
    return stepd_loop_create(&brain, 0, busy_poll_us, &loop, &error) != STEPD_OK;
}

static int setup(void **state)
{
    (void)state;
    return create(0);
}

static int setup_that_polls(void **state)
{
    (void)state;
    return create(LONG_US);
}

static int setup_that_polls_briefly(void **state)
{
    (void)state;
    return create(1);
}

static int teardown(void **state)
{
    (void)state;
    loop = stepd_loop_destroy(loop);
    stepd_brain_deinit(&brain);
    return 0;
}

/* The own thread has the loop at first, and lets go. False: it never did. */
static bool take_the_loop(void)
{
    bool in_ours = false;
    for (int i = 0; i < TRIES && !in_ours; i++) {
        struct note note = {.letter = {.deliver = deliver}};
        assert_true(stepd_loop_ask(loop, &note.letter, &note.delivered, 0));
        in_ours = pthread_equal(note.by, pthread_self()) != 0;
    }
    return in_ours;
}

static void ask__again_and_again__is_delivered_in_the_callers_thread(void **state)
{
    (void)state;
    assert_true(take_the_loop());
}

static void post__that_nobody_waits_for__is_delivered_in_the_own_thread(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct note note = {.letter = {.deliver = deliver}};
        struct note asked = {.letter = {.deliver = deliver}};
        assert_true(stepd_loop_ask(loop, &asked.letter, &asked.delivered, 0));
        stepd_loop_post(loop, &note.letter);
        while (!atomic_load(&note.delivered))
            (void)sched_yield();
        assert_true(stepd_loop_await(loop, &note.delivered, 0)); /* raise has let go of it */
        assert_false(pthread_equal(note.by, pthread_self()));
    }
}

static void await__of_what_does_not_come__ends_in_time(void **state)
{
    (void)state;
    for (uint64_t wait_ms = 1; wait_ms <= 64; wait_ms *= 4) {
        const atomic_bool never = false;
        const uint64_t until_ms = stepd_clock_ms() + wait_ms;
        assert_false(stepd_loop_await(loop, &never, until_ms));
        assert_true(stepd_clock_ms() >= until_ms);
    }
}

/* How often this thread has gone to sleep. */
static long sleeps(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_THREAD, &usage), 0);
    return usage.ru_nvcsw;
}

/* Does any of some waits go by without sleep? The mutex, which the own thread takes now and then,
 * may put one to sleep; not all of them. */
static bool any_await_goes_without_sleep(void)
{
    assert_true(take_the_loop());
    for (int i = 0; i < AWAITS; i++) {
        const atomic_bool never = false;
        const long before = sleeps();
        assert_false(stepd_loop_await(loop, &never, stepd_clock_ms() + 2));
        if (sleeps() == before)
            return true;
    }
    return false;
}

static void await__without_polling__sleeps(void **state)
{
    (void)state;
    assert_false(any_await_goes_without_sleep());
}

static void await__that_polls__does_not_sleep(void **state)
{
    (void)state;
    assert_true(any_await_goes_without_sleep());
}

static void await__that_has_polled_long_enough__sleeps(void **state)
{
    (void)state;
    assert_false(any_await_goes_without_sleep());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ask__again_and_again__is_delivered_in_the_callers_thread,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(post__that_nobody_waits_for__is_delivered_in_the_own_thread,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(await__of_what_does_not_come__ends_in_time, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(await__without_polling__sleeps, setup, teardown),
        cmocka_unit_test_setup_teardown(await__that_polls__does_not_sleep, setup_that_polls,
                                        teardown),
        cmocka_unit_test_setup_teardown(await__that_has_polled_long_enough__sleeps,
                                        setup_that_polls_briefly, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
