/* SPDX-License-Identifier: Apache-2.0
 *
 * The whole of libstepd over real sockets that break, against a server of the test's own.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/unit/client/client_bench.h"

static int no_setup(void **state)
{
    (void)state;
    return 0;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- Steps ----------------------------------------------------------------------------------- */

static void step__cut_before_its_payload__is_sent_again(void **state)
{
    (void)state;
    fake_server_misbehave_for(bench.server, FAKE_HANG_UP, 1);
    assert_int_equal(bench_step(), STEPD_OK);
    bench_assert_counted(1);
}

static void step__cut_in_its_answer__succeeds_as_a_duplicate(void **state)
{
    struct stepd_op *op;
    struct stepd_outcome_counts counts;
    (void)state;
    fake_server_misbehave_for(bench.server, FAKE_HALF_ANSWER, 2);
    assert_int_equal(stepd_step_start(bench.client, bench.arrays, 2, NULL, &op, &bench.error),
                     STEPD_OK);
    assert_int_equal(stepd_wait(op, &counts, &bench.error), STEPD_OK);
    assert_int_equal(counts.slices, 4);
    assert_int_equal(counts.duplicate, 4);
    bench_assert_counted(1);
}

static void step__of_lost_connections__tells_of_the_loss_and_the_return(void **state)
{
    (void)state;
    fake_server_cut(bench.server);
    assert_int_equal(bench_step(), STEPD_OK);
    bench_assert_counted(1);
    bench_await(STEPD_EVENT_BACK, 1);
    assert_int_equal(bench.record.kind[0], STEPD_EVENT_LOST);
    assert_non_null(strstr(bench.record.text, "lost: closed by the server"));
}

static void steps__of_which_each_is_cut__count_once_each(void **state)
{
    (void)state;
    for (int i = 1; i <= 12; i++) {
        const bool head = i % 2 == 0;
        fake_server_misbehave_for(bench.server, head ? FAKE_HANG_UP : FAKE_HALF_ANSWER, 1);
        assert_int_equal(bench_step(), STEPD_OK);
        bench_assert_counted(i);
    }
}

/* The Welcome tells of a clock that was counted before this worker came. */
static void steps__over_a_link_made_again__go_on_with_the_workers_own_clock(void **state)
{
    (void)state;
    fake_server_remember(bench.server, /* control_clock= */ 5, /* shard_clock= */ 5);
    const struct stepd_options options = bench_options();
    bench_join(&options);
    assert_int_equal(bench_step(), STEPD_OK);
    assert_int_equal(fake_server_stepped_at(bench.server), 6);
    fake_server_cut(bench.server);
    bench_await(STEPD_EVENT_BACK, 1);
    assert_int_equal(bench_step(), STEPD_OK);
    assert_int_equal(fake_server_stepped_at(bench.server), 7);
}

static void cut__of_a_shard__leaves_control_alone(void **state)
{
    (void)state;
    fake_server_misbehave_for(bench.server, FAKE_HANG_UP, 1);
    assert_int_equal(bench_step(), STEPD_OK);
    assert_int_equal(fake_server_hellos(bench.server, /* shards= */ false), 1);
    assert_int_equal(fake_server_hellos(bench.server, /* shards= */ true), 3);
}

static void replies__of_which_the_first_of_each_kind_is_lost__are_asked_for_again(void **state)
{
    (void)state;
    fake_server_lose_first_replies(bench.server);
    const struct stepd_options options = bench_options();
    bench_join(&options);
    assert_int_equal(bench_pull(), STEPD_OK);
    assert_int_equal(bench_step(), STEPD_OK);
    bench_assert_counted(1);
    assert_int_equal(stepd_report(bench.client, 1, 0.5, 64, &bench.error), STEPD_OK);
    assert_int_equal(stepd_leave(bench.client, &bench.error), STEPD_OK);
    assert_int_equal(fake_server_left_at(bench.server), 1);
    assert_int_equal(stepd_leave(bench.client, &bench.error), STEPD_OK);
    assert_int_equal(fake_server_left_at(bench.server), 1);
}

static void barrier__whose_reply_is_lost__is_asked_for_again_with_its_sequence(void **state)
{
    (void)state;
    assert_int_equal(stepd_barrier(bench.client, "epoch", 0, &bench.error), STEPD_OK);
    fake_server_lose_first_replies(bench.server);
    assert_int_equal(stepd_barrier(bench.client, "epoch", 0, &bench.error), STEPD_OK);
    assert_int_equal(fake_server_barriers(bench.server), 3);
    assert_int_equal(fake_server_barrier_at(bench.server), 2);
}

static void pull__by_an_observer_of_lost_connections__succeeds(void **state)
{
    struct stepd_client *observer;
    (void)state;
    struct stepd_options options = bench_options();
    options.observer = true;
    options.rank = -1;
    assert_int_equal(stepd_connect(&options, &observer, &bench.error), STEPD_OK);
    assert_int_equal(stepd_attach(observer, 1000, &bench.error), STEPD_OK);
    fake_server_cut(bench.server);
    assert_int_equal(stepd_pull(observer, bench.arrays, 2, NULL, &bench.error), STEPD_OK);
    assert_true(bench.large[7] == 100);
    observer = stepd_close(observer);
}

static void step__after_a_leave_that_lost_its_connections__is_made(void **state)
{
    (void)state;
    assert_int_equal(stepd_leave(bench.client, &bench.error), STEPD_OK);
    const uint64_t hellos = fake_server_hellos(bench.server, /* shards= */ false);
    fake_server_cut(bench.server);
    assert_int_equal(bench_pull(), STEPD_OK);
    assert_int_equal(fake_server_hellos(bench.server, /* shards= */ false), hellos + 1);
}

/* ---- Servers that do not come back ----------------------------------------------------------- */

static void step__of_a_server_that_is_gone__is_unavailable_when_the_budget_is_over(void **state)
{
    (void)state;
    struct stepd_options options = bench_options();
    options.reconnect_timeout_ms = 300;
    bench_join(&options);
    fake_server_go_away(bench.server);
    assert_int_equal(bench_step(), STEPD_UNAVAILABLE);
    bench_assert_said("lost: ");
    bench_assert_said("have led to no answer, the last: cannot connect to 127.0.0.1:");
    bench_await(STEPD_EVENT_ENDED, 1);
    assert_int_equal(bench_step(), STEPD_UNAVAILABLE);
    assert_int_equal(stepd_report(bench.client, 1, 0.5, 64, &bench.error), STEPD_UNAVAILABLE);
    assert_int_equal(stepd_leave(bench.client, &bench.error), STEPD_UNAVAILABLE);
}

static void step__of_a_server_that_hangs_up_each_time__is_unavailable_in_the_end(void **state)
{
    (void)state;
    struct stepd_options options = bench_options();
    options.reconnect_timeout_ms = 1000;
    bench_join(&options);
    fake_server_misbehave(bench.server, FAKE_HANG_UP);
    assert_int_equal(bench_step(), STEPD_UNAVAILABLE);
    bench_assert_said("have led to no answer");
    assert_true(fake_server_hellos(bench.server, /* shards= */ true) < 100); /* it waits longer */
}

static void step__whose_deadline_passes_without_a_connection__says_what_was_tried(void **state)
{
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    (void)state;
    fake_server_go_away(bench.server);
    options.deadline_ms = 400;
    assert_int_equal(stepd_step(bench.client, bench.arrays, 2, &options, &bench.error),
                     STEPD_DEADLINE_EXCEEDED);
    bench_assert_said("connection to 127.0.0.1:");
    bench_assert_said("s without it and ");
    bench_assert_said("attempts to connect again");
}

/* A server that goes on living and answers nothing, not even at the deadline. */
static void step__never_answered__is_sent_again_over_new_connections(void **state)
{
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    (void)state;
    fake_server_misbehave_for(bench.server, FAKE_MUTE_STEP, 2);
    options.deadline_ms = 1;
    assert_int_equal(stepd_step(bench.client, bench.arrays, 2, &options, &bench.error), STEPD_OK);
    bench_assert_counted(1);
    assert_non_null(strstr(bench.record.text, "no answer to a request for 5 s after its deadline"));
}

/* As where all packets are dropped: the heartbeats tell, and the step need not wait for long. */
static void step__of_a_server_that_falls_silent__ends_soon_after_its_deadline(void **state)
{
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    (void)state;
    bench_start_server(NULL, 300);
    const struct stepd_options connection = bench_options();
    bench_join(&connection);
    fake_server_misbehave(bench.server, FAKE_MUTE);
    options.deadline_ms = 1;
    const uint64_t began = now_ms();
    assert_int_equal(stepd_step(bench.client, bench.arrays, 2, &options, &bench.error),
                     STEPD_DEADLINE_EXCEEDED);
    assert_true(now_ms() - began < 4500); /* with heartbeats it would be 5 s */
    bench_assert_said("heartbeats without an answer");
}

static void define__of_a_server_that_goes_away__says_what_is_wrong(void **state)
{
    (void)state;
    struct stepd_options options = bench_options();
    options.connect_timeout_ms = 400;
    assert_int_equal(stepd_connect(&options, &bench.client, &bench.error), STEPD_OK);
    fake_server_go_away(bench.server);
    assert_int_equal(bench_define(bench.client), STEPD_UNAVAILABLE);
    bench_assert_said("has not answered define_job for 400 ms: connection to ");
}

/* Long before an attempt, or the budget, is over. */
static void assert_closes_at_once(void)
{
    const uint64_t began = now_ms();
    bench.client = stepd_close(bench.client);
    assert_true(now_ms() - began < 5000);
}

static void close__with_a_step_that_waits_for_a_server__ends_at_once(void **state)
{
    struct stepd_op *op;
    (void)state;
    fake_server_go_away(bench.server);
    assert_int_equal(stepd_step_start(bench.client, bench.arrays, 2, NULL, &op, &bench.error),
                     STEPD_OK);
    bench_await(STEPD_EVENT_LOST, 1);
    assert_closes_at_once();
}

static void close__in_the_middle_of_an_attempt__ends_at_once(void **state)
{
    (void)state;
    fake_server_misbehave(bench.server, FAKE_MUTE_HELLO);
    fake_server_cut(bench.server);
    fake_server_await_hellos(bench.server, 2);
    assert_closes_at_once();
}

static void hellos__that_are_hung_up_on__are_said_again(void **state)
{
    (void)state;
    fake_server_misbehave(bench.server, FAKE_HANG_UP_HELLO);
    fake_server_cut(bench.server);
    fake_server_await_hellos(bench.server, 5);
    fake_server_misbehave(bench.server, FAKE_NO_FAULT);
    assert_int_equal(bench_step(), STEPD_OK);
    bench_assert_counted(1);
}

/* ---- Heartbeats ------------------------------------------------------------------------------ */

static void heartbeats__after_a_resume__go_on(void **state)
{
    (void)state;
    bench_start_server(NULL, 15);
    const struct stepd_options options = bench_options();
    bench_join(&options);
    fake_server_await_heartbeats(bench.server, 2);
    fake_server_cut(bench.server);
    fake_server_await_hellos(bench.server, 2);
    fake_server_await_heartbeats(bench.server, 10);
}

static void heartbeats__unanswered__make_control_anew(void **state)
{
    (void)state;
    bench_start_server(NULL, 300);
    fake_server_misbehave(bench.server, FAKE_MUTE_BEAT);
    const struct stepd_options options = bench_options();
    bench_join(&options);
    fake_server_await_hellos(bench.server, 2);
    bench_await(STEPD_EVENT_LOST, 1);
    assert_non_null(strstr(bench.record.text, "heartbeats without an answer"));
}

/* ---- Options and leaks ----------------------------------------------------------------------- */

static void options__of_an_older_program__are_taken(void **state)
{
    (void)state;
    struct stepd_options options = bench_options();
    options.size = offsetof(struct stepd_options, reconnect_timeout_ms);
    bench_join(&options);
    fake_server_misbehave_for(bench.server, FAKE_HANG_UP, 1);
    assert_int_equal(bench_step(), STEPD_OK);
    assert_int_equal(bench.record.count, 0); /* it did not ask for events */
}

static size_t count_entries(const char *folder)
{
    DIR *const dir = opendir(folder);
    size_t entries = 0;
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        entries++;
    (void)closedir(dir);
    return entries;
}

/* No test of this program looks up a name: a lookup that is given up has its thread and its socket
 * until the system has answered it. */
static void reconnecting__many_times__leaves_no_thread_and_no_descriptor(void **state)
{
    (void)state;
    const size_t descriptors = count_entries("/proc/self/fd");
    const size_t threads = count_entries("/proc/self/task");
    bench_start_server(NULL, 60000);
    const struct stepd_options options = bench_options();
    bench_join(&options);
    for (size_t i = 1; i <= 20; i++) {
        fake_server_cut(bench.server);
        bench_await(STEPD_EVENT_BACK, i);
        assert_int_equal(bench_step(), STEPD_OK);
        assert_int_equal(stepd_report(bench.client, i, 0.5, 1, &bench.error), STEPD_OK);
    }
    fake_server_misbehave(bench.server, FAKE_HANG_UP_HELLO);
    fake_server_cut(bench.server);
    fake_server_await_hellos(bench.server, 25);
    bench.client = stepd_close(bench.client);
    bench.server = fake_server_stop(bench.server);
    assert_int_equal(count_entries("/proc/self/fd"), descriptors);
    assert_int_equal(count_entries("/proc/self/task"), threads);
}

static int teardown_client(void **state)
{
    (void)state;
    bench.client = stepd_close(bench.client);
    return 0;
}

#define TEST(name)           cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)
#define TEST_SERVER(name)    cmocka_unit_test_setup_teardown(name, bench_setup_server, bench_teardown)
#define TEST_OWN_START(name) cmocka_unit_test_setup_teardown(name, no_setup, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(step__cut_before_its_payload__is_sent_again),
        TEST(step__cut_in_its_answer__succeeds_as_a_duplicate),
        TEST(step__of_lost_connections__tells_of_the_loss_and_the_return),
        TEST(steps__of_which_each_is_cut__count_once_each),
        TEST_SERVER(steps__over_a_link_made_again__go_on_with_the_workers_own_clock),
        TEST(cut__of_a_shard__leaves_control_alone),
        TEST_SERVER(replies__of_which_the_first_of_each_kind_is_lost__are_asked_for_again),
        TEST(barrier__whose_reply_is_lost__is_asked_for_again_with_its_sequence),
        TEST(pull__by_an_observer_of_lost_connections__succeeds),
        TEST(step__after_a_leave_that_lost_its_connections__is_made),
        TEST_SERVER(step__of_a_server_that_is_gone__is_unavailable_when_the_budget_is_over),
        TEST_SERVER(step__of_a_server_that_hangs_up_each_time__is_unavailable_in_the_end),
        TEST(step__whose_deadline_passes_without_a_connection__says_what_was_tried),
        TEST(step__never_answered__is_sent_again_over_new_connections),
        TEST_OWN_START(step__of_a_server_that_falls_silent__ends_soon_after_its_deadline),
        TEST_SERVER(define__of_a_server_that_goes_away__says_what_is_wrong),
        TEST(close__with_a_step_that_waits_for_a_server__ends_at_once),
        TEST(close__in_the_middle_of_an_attempt__ends_at_once),
        TEST(hellos__that_are_hung_up_on__are_said_again),
        TEST_OWN_START(heartbeats__after_a_resume__go_on),
        TEST_OWN_START(heartbeats__unanswered__make_control_anew),
        TEST_SERVER(options__of_an_older_program__are_taken),
        cmocka_unit_test_setup_teardown(
            reconnecting__many_times__leaves_no_thread_and_no_descriptor, no_setup,
            teardown_client),
    };
    return cmocka_run_group_tests_name("client_reconnect", tests, NULL, NULL);
}
