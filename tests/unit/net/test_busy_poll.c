/* SPDX-License-Identifier: Apache-2.0
 *
 * A loop that looks for work before it sleeps. Its turns are counted: one that sleeps takes a few,
 * one that looks takes as many as fit into the time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/net/busy_poll.h"

enum { FEW = 8, LONG_US = 1000000, TIMER_MS = 20, TICKS = 3 };

static struct {
    uv_loop_t loop;
    uv_check_t check;
    uv_timer_t timer;
    uint64_t turns;
    uint64_t events;
    uint64_t ticks;
    uint64_t ticks_most;
    uint64_t turns_between; /* of the first tick and the last */
} rig;

static void on_turn(uv_check_t *check)
{
    (void)check;
    rig.turns++;
}

static void on_timer(uv_timer_t *timer)
{
    rig.ticks++;
    rig.events++;
    if (rig.ticks == 1)
        rig.turns_between = rig.turns;
    if (rig.ticks < rig.ticks_most)
        return;
    rig.turns_between = rig.turns - rig.turns_between;
    uv_close((uv_handle_t *)timer, NULL);
}

/* A loop with a timer that comes so often and then goes, and the loop with it. */
static void run(uint32_t idle_us, uint64_t ticks)
{
    rig.turns = rig.events = rig.ticks = 0;
    rig.ticks_most = ticks;
    assert_int_equal(uv_loop_init(&rig.loop), 0);
    assert_int_equal(uv_check_init(&rig.loop, &rig.check), 0);
    assert_int_equal(uv_timer_init(&rig.loop, &rig.timer), 0);
    assert_int_equal(uv_check_start(&rig.check, on_turn), 0);
    uv_unref((uv_handle_t *)&rig.check);
    assert_int_equal(uv_timer_start(&rig.timer, on_timer, TIMER_MS, TIMER_MS), 0);
    busy_poll_run(&rig.loop, idle_us, &rig.events);
    uv_close((uv_handle_t *)&rig.check, NULL);
    (void)uv_run(&rig.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&rig.loop), 0);
    assert_int_equal(rig.ticks, ticks);
}

static void busy_poll_run__without_looking__sleeps_until_there_is_work(void **state)
{
    (void)state;
    run(0, TICKS);
    assert_in_range(rig.turns_between, 1, FEW);
}

static void busy_poll_run__that_looks__does_not_sleep_meanwhile(void **state)
{
    (void)state;
    run(LONG_US, TICKS);
    assert_true(rig.turns_between > (uint64_t)FEW * TICKS);
}

static void busy_poll_run__that_has_looked_long_enough__sleeps(void **state)
{
    (void)state;
    run(1, TICKS);
    assert_in_range(rig.turns_between, 1, (uint64_t)FEW * TICKS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(busy_poll_run__without_looking__sleeps_until_there_is_work),
        cmocka_unit_test(busy_poll_run__that_looks__does_not_sleep_meanwhile),
        cmocka_unit_test(busy_poll_run__that_has_looked_long_enough__sleeps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
