/* SPDX-License-Identifier: Apache-2.0
 *
 * Callers that are interrupted while they wait, that wait for a bounded time, and that start what
 * they wait for next. A client that is interrupted in the middle is closed by every teardown.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/client/client_bench.h"

static atomic_bool interrupt;

static bool interrupted(void *event_user)
{
    assert_ptr_equal(event_user, &bench.record);
    return atomic_load(&interrupt);
}

static struct stepd_options own_options(void)
{
    struct stepd_options options = bench_options();
    options.interrupted = interrupted;
    return options;
}

static int setup(void **state)
{
    (void)state;
    atomic_store(&interrupt, false);
    bench_start_server(NULL, 60000);
    const struct stepd_options options = own_options();
    bench_join(&options);
    return 0;
}

static struct stepd_op *start(bool awaited)
{
    struct stepd_op *op = NULL;
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    options.awaited = awaited;
    assert_int_equal(stepd_step_start(bench.client, bench.arrays, 2, &options, &op, &bench.error),
                     STEPD_OK);
    return op;
}

/* ---- Bounded waits --------------------------------------------------------------------------- */

static void wait_for__of_a_step_that_completes__is_ok_and_leaves_the_result(void **state)
{
    struct stepd_outcome_counts counts;
    (void)state;
    struct stepd_op *const op = start(false);
    assert_int_equal(stepd_wait_for(op, 60000), STEPD_OK);
    assert_int_equal(stepd_wait_for(op, 0), STEPD_OK);
    assert_int_equal(stepd_wait(op, &counts, &bench.error), STEPD_OK);
    assert_int_equal(counts.applied, 4);
}

static void wait_for__whose_time_is_over__leaves_the_step_under_way(void **state)
{
    (void)state;
    fake_server_misbehave_for(bench.server, FAKE_MUTE_STEP, 1);
    struct stepd_op *const op = start(false);
    assert_int_equal(stepd_wait_for(op, 0), STEPD_DEADLINE_EXCEEDED);
    assert_int_equal(stepd_wait_for(op, 20), STEPD_DEADLINE_EXCEEDED);
    fake_server_await_steps(bench.server, 1);
    fake_server_cut(bench.server);
    assert_int_equal(stepd_wait_for(op, 60000), STEPD_OK);
    assert_int_equal(stepd_wait(op, NULL, &bench.error), STEPD_OK);
    bench_assert_counted(1);
}

static void wait_for__that_is_interrupted__leaves_the_step_under_way(void **state)
{
    (void)state;
    fake_server_misbehave_for(bench.server, FAKE_MUTE_STEP, 1);
    struct stepd_op *const op = start(true);
    atomic_store(&interrupt, true);
    assert_int_equal(stepd_wait_for(op, 60000), STEPD_CANCELLED);
    assert_false(stepd_done(op));
    fake_server_cut(bench.server);
    assert_int_equal(stepd_wait(op, NULL, &bench.error), STEPD_OK);
    bench_assert_counted(1);
}

/* ---- Starting what is awaited ---------------------------------------------------------------- */

static void step__that_is_awaited__completes(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        assert_int_equal(stepd_wait(start(true), NULL, &bench.error), STEPD_OK);
    bench_assert_counted(20);
}

static void step__that_is_awaited_by_nobody__completes_all_the_same(void **state)
{
    (void)state;
    struct stepd_op *const op = start(true);
    while (!stepd_done(op))
        (void)sched_yield();
    assert_int_equal(stepd_wait(op, NULL, &bench.error), STEPD_OK);
    bench_assert_counted(1);
}

/* ---- Calls ----------------------------------------------------------------------------------- */

static void barrier__that_was_interrupted__goes_on_where_it_was(void **state)
{
    (void)state;
    fake_server_misbehave(bench.server, FAKE_MUTE);
    atomic_store(&interrupt, true);
    assert_int_equal(stepd_barrier(bench.client, "epoch", 0, &bench.error), STEPD_CANCELLED);
    bench_assert_said("interrupted");
    atomic_store(&interrupt, false);
    fake_server_misbehave(bench.server, FAKE_NO_FAULT);
    assert_int_equal(stepd_barrier(bench.client, "epoch", 0, &bench.error), STEPD_OK);
    assert_int_equal(fake_server_barrier_at(bench.server), 1);
    assert_int_equal(stepd_barrier(bench.client, "epoch", 0, &bench.error), STEPD_OK);
    assert_int_equal(fake_server_barrier_at(bench.server), 2);
}

static void connect__that_is_interrupted__is_cancelled(void **state)
{
    (void)state;
    atomic_store(&interrupt, true);
    fake_server_misbehave(bench.server, FAKE_MUTE_HELLO);
    struct stepd_options options = own_options();
    options.connect_timeout_ms = 600000;
    assert_int_equal(stepd_connect(&options, &bench.client, &bench.error), STEPD_CANCELLED);
    bench_assert_said("interrupted while connecting to 127.0.0.1:");
}

static void define__after_one_that_was_interrupted__is_fine(void **state)
{
    (void)state;
    struct stepd_options options = own_options();
    options.connect_timeout_ms = 600000;
    atomic_store(&interrupt, false);
    assert_int_equal(stepd_connect(&options, &bench.client, &bench.error), STEPD_OK);
    fake_server_misbehave(bench.server, FAKE_MUTE_DEFINE);
    atomic_store(&interrupt, true);
    assert_int_equal(bench_define(bench.client), STEPD_CANCELLED);
    atomic_store(&interrupt, false);
    fake_server_misbehave(bench.server, FAKE_NO_FAULT);
    assert_int_equal(bench_define(bench.client), STEPD_OK);
}

/* Of a client that is interrupted, and of a server without one. */
#define TEST(name)        cmocka_unit_test_setup_teardown(name, setup, bench_teardown)
#define TEST_SERVER(name) cmocka_unit_test_setup_teardown(name, bench_setup_server, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(wait_for__of_a_step_that_completes__is_ok_and_leaves_the_result),
        TEST(wait_for__whose_time_is_over__leaves_the_step_under_way),
        TEST(wait_for__that_is_interrupted__leaves_the_step_under_way),
        TEST(step__that_is_awaited__completes),
        TEST(step__that_is_awaited_by_nobody__completes_all_the_same),
        TEST(barrier__that_was_interrupted__goes_on_where_it_was),
        TEST_SERVER(connect__that_is_interrupted__is_cancelled),
        TEST_SERVER(define__after_one_that_was_interrupted__is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
