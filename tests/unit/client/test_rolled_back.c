/* SPDX-License-Identifier: Apache-2.0
 *
 * The whole of libstepd against a server that has forgotten the worker, or gone back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/client/client_bench.h"

static void rolled_back__job_still_there__goes_on_after_a_pull(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(bench_step(), STEPD_OK);
    fake_server_go_back(bench.server, 2, /* keeps= */ true);
    bench_await(STEPD_EVENT_ROLLED_BACK, 1);
    assert_int_equal(stepd_barrier(bench.client, "here", 0, &bench.error), STEPD_ROLLED_BACK);
    assert_int_equal(bench_step(), STEPD_ROLLED_BACK);
    bench_assert_said("pull them");
    assert_int_equal(bench_pull(), STEPD_OK);
    bench_assert_counted(0);
    assert_int_equal(stepd_barrier(bench.client, "here", 0, &bench.error), STEPD_OK);
    assert_int_equal(bench_step(), STEPD_OK);
    bench_assert_counted(1);
    assert_int_equal(fake_server_stepped_at(bench.server), 1);
}

static void rolled_back__with_a_step_under_way__fails_it(void **state)
{
    struct stepd_op *op;
    (void)state;
    fake_server_misbehave(bench.server, FAKE_MUTE_STEP);
    assert_int_equal(stepd_step_start(bench.client, bench.arrays, 2, NULL, &op, &bench.error),
                     STEPD_OK);
    fake_server_await_steps(bench.server, 2);
    fake_server_misbehave(bench.server, FAKE_NO_FAULT);
    fake_server_go_back(bench.server, 2, /* keeps= */ true);
    assert_int_equal(stepd_wait(op, NULL, &bench.error), STEPD_ROLLED_BACK);
    bench_assert_said("incarnation 2");
}

/* Who hears of it may define at once: define must not think that all is as before. */
static void rolled_back__with_a_step_under_way__is_defined_at_once(void **state)
{
    struct stepd_op *op;
    (void)state;
    fake_server_misbehave(bench.server, FAKE_MUTE_STEP);
    assert_int_equal(stepd_step_start(bench.client, bench.arrays, 2, NULL, &op, &bench.error),
                     STEPD_OK);
    fake_server_await_steps(bench.server, 2);
    fake_server_misbehave(bench.server, FAKE_NO_FAULT);
    fake_server_go_back(bench.server, 2, /* keeps= */ true);
    assert_int_equal(stepd_wait(op, NULL, &bench.error), STEPD_ROLLED_BACK);
    assert_int_equal(bench_define(bench.client), STEPD_OK);
    assert_int_equal(bench_pull(), STEPD_OK);
}

static void rolled_back__by_a_shards_word_alone__is_defined_at_once(void **state)
{
    (void)state;
    assert_int_equal(bench_step(), STEPD_OK);
    fake_server_begin_anew(bench.server, 2);
    assert_int_equal(bench_step(), STEPD_ROLLED_BACK);
    assert_int_equal(bench_define(bench.client), STEPD_OK);
    assert_int_equal(bench_pull(), STEPD_OK);
}

static void rolled_back__tensors_lost__goes_on_after_define_and_pull(void **state)
{
    struct stepd_tensor_view view;
    (void)state;
    assert_int_equal(stepd_tensor_at(bench.client, 0, &view), STEPD_OK);
    assert_int_equal(bench_step(), STEPD_OK);
    fake_server_go_back(bench.server, 1, /* keeps= */ false);
    bench_await(STEPD_EVENT_ROLLED_BACK, 1);
    assert_int_equal(bench_step(), STEPD_ROLLED_BACK);
    assert_int_equal(bench_pull(), STEPD_FAILED_PRECONDITION);
    bench_assert_said("call stepd_define again");
    assert_int_equal(bench_define(bench.client), STEPD_OK);
    assert_string_equal(view.name, "large");  /* views hold until the client is closed */
    assert_int_equal(bench_step(), STEPD_OK); /* with a home of its own, as at the first time */
    assert_int_equal(bench_pull(), STEPD_OK);
    bench_assert_counted(1);
    assert_int_equal(bench_define(bench.client), STEPD_FAILED_PRECONDITION);
}

/* No connection is lost. */
static void rolled_back__by_a_shards_word_alone__goes_on_after_a_pull(void **state)
{
    (void)state;
    assert_int_equal(bench_step(), STEPD_OK);
    fake_server_begin_anew(bench.server, 2);
    assert_int_equal(bench_step(), STEPD_ROLLED_BACK);
    assert_int_equal(bench_pull(), STEPD_OK);
    bench_assert_counted(0);
    assert_int_equal(bench_step(), STEPD_OK);
    bench_assert_counted(1);
    assert_int_equal(fake_server_hellos(bench.server, /* shards= */ false), 1);
}

static void rolled_back__to_other_tensors__asks_for_a_definition(void **state)
{
    (void)state;
    fake_server_redefine(bench.server, 2, "other");
    assert_int_equal(bench_step(), STEPD_ROLLED_BACK);
    assert_int_equal(bench_pull(), STEPD_FAILED_PRECONDITION);
    bench_assert_said("lie otherwise than before");
    assert_int_equal(bench_define(bench.client), STEPD_INTERNAL); /* it is not what was asked for */
    assert_int_equal(bench_pull(), STEPD_FAILED_PRECONDITION);
    fake_server_redefine(bench.server, 3, "large");
    assert_int_equal(bench_define(bench.client), STEPD_OK);
    assert_int_equal(bench_pull(), STEPD_OK);
}

static void rolled_back__and_defined_in_vain__may_be_defined_once_more(void **state)
{
    (void)state;
    struct stepd_options options = bench_options();
    options.connect_timeout_ms = 300;
    bench_join(&options);
    fake_server_go_back(bench.server, 1, /* keeps= */ false);
    bench_await(STEPD_EVENT_ROLLED_BACK, 1);
    bench_await(STEPD_EVENT_BACK, 1);
    fake_server_misbehave(bench.server, FAKE_HANG_UP_HELLO); /* no shard lets anybody in */
    assert_int_equal(bench_define(bench.client), STEPD_UNAVAILABLE);
    assert_int_equal(bench_pull(), STEPD_FAILED_PRECONDITION);
    bench_assert_said("call stepd_define once more");
    fake_server_misbehave(bench.server, FAKE_NO_FAULT);
    assert_int_equal(bench_define(bench.client), STEPD_OK);
    assert_int_equal(bench_step(), STEPD_OK);
    bench_assert_counted(1);
}

static void define__of_a_job_that_is_lost_meanwhile__is_rolled_back(void **state)
{
    (void)state;
    const struct stepd_options options = bench_options();
    fake_server_misbehave(bench.server, FAKE_FORGET_ASSIGN);
    assert_int_equal(stepd_connect(&options, &bench.client, &bench.error), STEPD_OK);
    assert_int_equal(bench_define(bench.client), STEPD_ROLLED_BACK);
    bench_assert_said("the server has lost the job");
    fake_server_misbehave(bench.server, FAKE_NO_FAULT);
    assert_int_equal(bench_define(bench.client), STEPD_OK);
    assert_int_equal(bench_step(), STEPD_OK);
    bench_assert_counted(1);
}

static void define__in_vain_and_then_rolled_back__may_be_repeated(void **state)
{
    (void)state;
    struct stepd_options options = bench_options();
    options.connect_timeout_ms = 300;
    assert_int_equal(stepd_connect(&options, &bench.client, &bench.error), STEPD_OK);
    fake_server_misbehave(bench.server, FAKE_HANG_UP_HELLO);
    assert_int_equal(bench_define(bench.client), STEPD_UNAVAILABLE);
    fake_server_misbehave(bench.server, FAKE_NO_FAULT);
    fake_server_go_back(bench.server, 2, /* keeps= */ true);
    bench_await(STEPD_EVENT_BACK, 1);
    assert_int_equal(bench_define(bench.client), STEPD_OK);
    assert_int_equal(bench_step(), STEPD_OK);
    bench_assert_counted(1);
}

static void fenced__rank_given_to_somebody_else__is_said_and_final(void **state)
{
    (void)state;
    fake_server_misbehave(bench.server, FAKE_TAKEN);
    fake_server_go_back(bench.server, 1, /* keeps= */ true);
    assert_int_equal(bench_step(), STEPD_ALREADY_EXISTS);
    bench_assert_said("somebody else has its rank: rank 0 is taken by worker 'other'");
    bench_await(STEPD_EVENT_ENDED, 1);
    assert_int_equal(bench_pull(), STEPD_ALREADY_EXISTS);
    assert_int_equal(bench_define(bench.client), STEPD_FAILED_PRECONDITION);
}

static void leave__of_a_worker_that_is_forgotten__is_done(void **state)
{
    (void)state;
    assert_int_equal(bench_step(), STEPD_OK);
    fake_server_misbehave(bench.server, FAKE_FORGET_LEAVE);
    assert_int_equal(stepd_leave(bench.client, &bench.error), STEPD_OK);
    assert_int_equal(fake_server_left_at(bench.server), 1);
    assert_int_equal(stepd_leave(bench.client, &bench.error), STEPD_OK);
}

#define TEST(name)        cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)
#define TEST_SERVER(name) cmocka_unit_test_setup_teardown(name, bench_setup_server, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rolled_back__job_still_there__goes_on_after_a_pull),
        TEST(rolled_back__with_a_step_under_way__is_defined_at_once),
        TEST(rolled_back__by_a_shards_word_alone__is_defined_at_once),
        TEST(rolled_back__with_a_step_under_way__fails_it),
        TEST(rolled_back__tensors_lost__goes_on_after_define_and_pull),
        TEST(rolled_back__by_a_shards_word_alone__goes_on_after_a_pull),
        TEST(rolled_back__to_other_tensors__asks_for_a_definition),
        TEST_SERVER(rolled_back__and_defined_in_vain__may_be_defined_once_more),
        TEST_SERVER(define__of_a_job_that_is_lost_meanwhile__is_rolled_back),
        TEST_SERVER(define__in_vain_and_then_rolled_back__may_be_repeated),
        TEST(fenced__rank_given_to_somebody_else__is_said_and_final),
        TEST(leave__of_a_worker_that_is_forgotten__is_done),
    };
    return cmocka_run_group_tests_name("client_rolled_back", tests, NULL, NULL);
}
