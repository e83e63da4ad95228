/* SPDX-License-Identifier: Apache-2.0
 *
 * The whole of libstepd over real sockets, against a server of the test's own. A connection that is
 * lost stays lost here; test_reconnect.c is about the others.
 */
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/client/client_bench.h"

/* What is lost stays lost. */
static struct stepd_options own_options(void)
{
    struct stepd_options options = bench_options();
    options.reconnect_timeout_ms = 0;
    return options;
}

static int setup(void **state)
{
    (void)state;
    bench_start_server(NULL, 60000);
    const struct stepd_options options = own_options();
    bench_join(&options);
    return 0;
}

/* ---- Training -------------------------------------------------------------------------------- */

static void pull__after_define__fetches_constants_and_values(void **state)
{
    (void)state;
    assert_int_equal(stepd_pull(bench.client, bench.arrays, 2, NULL, &bench.error), STEPD_OK);
    assert_true(bench.large[0] == 100 && bench.large[LARGE - 1] == 100);
    assert_true(bench.small[0] == 1 && bench.small[SMALL - 1] == 1);
}

static void step__of_all_tensors__returns_the_new_weights(void **state)
{
    struct stepd_op *op;
    struct stepd_outcome_counts counts;
    (void)state;
    assert_int_equal(stepd_step_start(bench.client, bench.arrays, 2, NULL, &op, &bench.error),
                     STEPD_OK);
    assert_int_equal(stepd_wait(op, &counts, &bench.error), STEPD_OK);
    assert_int_equal(counts.slices, 4);
    assert_int_equal(counts.applied, 4);
    assert_int_equal(counts.version_max, 1);
    for (size_t i = 0; i < LARGE; i++)
        assert_true(bench.large[i] == 100 + (float)(i % 64));
    assert_true(bench.small[3] == 2);
}

static void steps__of_single_tensors_under_way_at_once__all_arrive(void **state)
{
    struct stepd_op *op[2];
    (void)state;
    for (int round = 1; round <= 20; round++) {
        for (size_t i = 0; i < 2; i++)
            assert_int_equal(
                stepd_step_start(bench.client, &bench.arrays[i], 1, NULL, &op[i], &bench.error),
                STEPD_OK);
        for (size_t i = 0; i < 2; i++)
            assert_int_equal(stepd_wait(op[i], NULL, &bench.error), STEPD_OK);
        assert_true(bench.large[1] == 100 + (float)round);
        assert_true(bench.small[1] == 1 + (float)round);
    }
}

static void *step_alone(void *arg)
{
    struct stepd_array *const array = arg;
    for (int i = 0; i < 50; i++) {
        struct stepd_error error;
        if (stepd_step(bench.client, array, 1, NULL, &error) != STEPD_OK)
            return NULL;
    }
    return array;
}

static void threads__each_with_its_tensor__do_not_disturb_each_other(void **state)
{
    pthread_t thread[2];
    (void)state;
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, step_alone, &bench.arrays[i]), 0);
    for (size_t i = 0; i < 2; i++) {
        void *result;
        assert_int_equal(pthread_join(thread[i], &result), 0);
        assert_non_null(result);
    }
    assert_true(bench.large[1] == 150);
    assert_true(bench.small[1] == 51);
}

static void leave__after_steps__states_the_last_clock(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(stepd_step(bench.client, bench.arrays, 2, NULL, &bench.error), STEPD_OK);
    assert_int_equal(stepd_report(bench.client, 3, 0.5, 64, &bench.error), STEPD_OK);
    assert_int_equal(stepd_leave(bench.client, &bench.error), STEPD_OK);
    assert_int_equal(fake_server_left_at(bench.server), 3);
}

static void close__without_leave__says_that_the_worker_ends(void **state)
{
    (void)state;
    assert_int_equal(stepd_step(bench.client, bench.arrays, 2, NULL, &bench.error), STEPD_OK);
    assert_int_equal(fake_server_endings(bench.server), 0);
    bench.client = stepd_close(bench.client);
    fake_server_await_endings(bench.server, 1);
}

/* The second client is an observer, whose end is of no interest either. */
static void close__after_leave__says_nothing_more(void **state)
{
    (void)state;
    struct stepd_options options = own_options();
    options.observer = true;
    assert_int_equal(stepd_leave(bench.client, &bench.error), STEPD_OK);
    bench.client = stepd_close(bench.client);
    assert_int_equal(stepd_connect(&options, &bench.client, &bench.error), STEPD_OK);
    bench.client = stepd_close(bench.client);
    fake_server_await_all_gone(bench.server);
    assert_int_equal(fake_server_endings(bench.server), 0);
}

static void setup_resumed(uint64_t control_clock, uint64_t shard_clock)
{
    fake_server_remember(bench.server, control_clock, shard_clock);
    const struct stepd_options options = own_options();
    bench_join(&options);
}

static void step__of_a_resumed_rank__goes_on_from_what_the_shards_have_counted(void **state)
{
    (void)state;
    setup_resumed(/* control_clock= */ 9, /* shard_clock= */ 5);
    assert_int_equal(stepd_step(bench.client, bench.arrays, 2, NULL, &bench.error), STEPD_OK);
    assert_int_equal(fake_server_stepped_at(bench.server), 6);
}

static void leave__of_a_resumed_rank__is_not_before_what_control_knows(void **state)
{
    (void)state;
    setup_resumed(/* control_clock= */ 9, /* shard_clock= */ 5);
    assert_int_equal(stepd_leave(bench.client, &bench.error), STEPD_OK);
    assert_int_equal(fake_server_left_at(bench.server), 9);
}

static void step__over_a_unix_socket_in_16_bits__returns_the_new_weights(void **state)
{
    char path[64];
    (void)state;
    (void)snprintf(path, sizeof path, "/tmp/stepd-test-%ld.sock", (long)getpid());
    bench_start_server(path, 60000);
    struct stepd_options options = own_options();
    options.push_dtype = STEPD_BF16;
    options.pull_dtype = STEPD_F16;
    bench_join(&options);
    assert_int_equal(stepd_step(bench.client, bench.arrays, 2, NULL, &bench.error), STEPD_OK);
    for (size_t i = 0; i < LARGE; i++)
        assert_true(bench.large[i] == 100 + (float)(i % 64));
    (void)unlink(path);
}

static void attach__by_an_observer__pulls_and_may_not_push(void **state)
{
    struct stepd_client *observer;
    struct stepd_tensor_view view;
    size_t index;
    (void)state;
    struct stepd_options options = own_options();
    options.observer = true;
    options.rank = -1;
    assert_int_equal(stepd_connect(&options, &observer, &bench.error), STEPD_OK);
    assert_int_equal(stepd_tensor_count(observer), 0);
    assert_int_equal(stepd_pull(observer, bench.arrays, 1, NULL, &bench.error),
                     STEPD_FAILED_PRECONDITION);
    assert_int_equal(stepd_attach(observer, 1000, &bench.error), STEPD_OK);
    assert_int_equal(stepd_tensor_count(observer), 2);
    assert_int_equal(stepd_tensor_find(observer, "small", &index), STEPD_OK);
    assert_int_equal(stepd_tensor_at(observer, index, &view), STEPD_OK);
    assert_int_equal(view.elements, SMALL);
    assert_string_equal(view.group, "all");
    assert_int_equal(stepd_tensor_at(observer, 2, &view), STEPD_OUT_OF_RANGE);
    assert_int_equal(stepd_tensor_find(observer, "none", &index), STEPD_NOT_FOUND);
    assert_int_equal(stepd_pull(observer, bench.arrays, 2, NULL, &bench.error), STEPD_OK);
    assert_true(bench.large[7] == 100);
    assert_int_equal(stepd_push(observer, bench.arrays, 1, NULL, &bench.error),
                     STEPD_FAILED_PRECONDITION);
    observer = stepd_close(observer);
}

static void define__twice__is_refused(void **state)
{
    const struct stepd_tensor tensor = {.name = "w"};
    (void)state;
    assert_int_equal(stepd_define(bench.client, NULL, &tensor, 1, &bench.error),
                     STEPD_FAILED_PRECONDITION);
}

/* A group of the older header was shorter, and a list of them cannot be told apart by its size. */
static void define__by_an_older_program__is_told_to_compile_again(void **state)
{
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    const struct stepd_param_group group = {.match = "*", .optimizer = "sgd"};
    const struct stepd_tensor tensor = {.name = "w"};
    (void)state;
    job.size = offsetof(struct stepd_job_options, defaults);
    job.groups = &group;
    job.groups_count = 1;
    const struct stepd_options options = own_options();
    assert_int_equal(stepd_connect(&options, &bench.client, &bench.error), STEPD_OK);
    assert_int_equal(stepd_define(bench.client, &job, &tensor, 1, &bench.error),
                     STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(bench.error.text, "compile it again"));
}

static void arrays__that_make_no_sense__are_refused_at_once(void **state)
{
    struct stepd_op *op = NULL;
    const struct stepd_array unknown = {.tensor = 2, .grad = bench.small_grad};
    const struct stepd_array no_grad = {.tensor = 1, .weights = bench.small};
    const struct stepd_array no_weights = {.tensor = 1, .grad = bench.small_grad};
    const struct stepd_array twice[] = {bench.arrays[1], bench.arrays[1]};
    (void)state;
    assert_int_equal(stepd_push_start(bench.client, &unknown, 1, NULL, &op, &bench.error),
                     STEPD_INVALID_ARGUMENT);
    assert_int_equal(stepd_step_start(bench.client, &no_grad, 1, NULL, &op, &bench.error),
                     STEPD_INVALID_ARGUMENT);
    assert_int_equal(stepd_pull_start(bench.client, &no_weights, 1, NULL, &op, &bench.error),
                     STEPD_INVALID_ARGUMENT);
    assert_int_equal(stepd_pull_start(bench.client, twice, 2, NULL, &op, &bench.error),
                     STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(bench.error.text, "'small' is given twice"));
    assert_null(op);
}

/* ---- Failures -------------------------------------------------------------------------------- */

static void step__refused__fails_with_the_servers_words(void **state)
{
    (void)state;
    fake_server_misbehave(bench.server, FAKE_REFUSE_STEP);
    assert_int_equal(stepd_step(bench.client, bench.arrays, 2, NULL, &bench.error),
                     STEPD_DEADLINE_EXCEEDED);
    assert_string_equal(bench.error.text, "waiting for rank 3");
    fake_server_misbehave(bench.server, FAKE_NO_FAULT);
    assert_int_equal(stepd_step(bench.client, bench.arrays, 2, NULL, &bench.error), STEPD_OK);
}

static void step__server_hangs_up__is_unavailable_and_says_where(void **state)
{
    (void)state;
    fake_server_misbehave(bench.server, FAKE_HANG_UP);
    assert_int_equal(stepd_step(bench.client, bench.arrays, 2, NULL, &bench.error),
                     STEPD_UNAVAILABLE);
    assert_non_null(strstr(bench.error.text, fake_server_address(bench.server)));
    assert_int_equal(stepd_step(bench.client, bench.arrays, 2, NULL, &bench.error),
                     STEPD_UNAVAILABLE);
}

static void step__answer_is_cut__is_unavailable(void **state)
{
    (void)state;
    fake_server_misbehave(bench.server, FAKE_HALF_ANSWER);
    assert_int_equal(stepd_step(bench.client, bench.arrays, 2, NULL, &bench.error),
                     STEPD_UNAVAILABLE);
}

static void close__with_a_step_under_way__waits_for_nobody(void **state)
{
    struct stepd_op *op;
    (void)state;
    fake_server_misbehave(bench.server, FAKE_MUTE_STEP);
    assert_int_equal(stepd_step_start(bench.client, bench.arrays, 2, NULL, &op, &bench.error),
                     STEPD_OK);
    fake_server_await_steps(bench.server, 2);
    assert_false(stepd_done(op));
    bench.client = stepd_close(bench.client);
    assert_null(bench.client);
}

/* The caller never waits, as one that computes: the client's own thread does it all. */
static void step_start__while_the_caller_computes__is_answered(void **state)
{
    (void)state;
    for (int step = 1; step <= 3; step++) {
        struct stepd_op *op;
        assert_int_equal(stepd_step_start(bench.client, bench.arrays, 2, NULL, &op, &bench.error),
                         STEPD_OK);
        while (!stepd_done(op))
            (void)sched_yield();
        assert_int_equal(stepd_wait(op, NULL, &bench.error), STEPD_OK);
        bench_assert_counted(step);
    }
}

static void heartbeats__while_the_worker_computes__go_on(void **state)
{
    (void)state;
    bench_start_server(NULL, 15);
    const struct stepd_options options = own_options();
    assert_int_equal(stepd_connect(&options, &bench.client, &bench.error), STEPD_OK);
    fake_server_await_heartbeats(bench.server, 3);
}

static void connect__any_rank__is_told_which(void **state)
{
    (void)state;
    struct stepd_options options = own_options();
    options.rank = -1;
    assert_int_equal(stepd_connect(&options, &bench.client, &bench.error), STEPD_OK);
    assert_int_equal(stepd_rank(bench.client), 5);
    assert_int_equal(stepd_world(bench.client), 0);
    assert_int_equal(bench_define(bench.client), STEPD_OK);
    assert_int_equal(stepd_world(bench.client), 1);
}

static void connect__server_refuses__fails_with_its_words(void **state)
{
    (void)state;
    const struct stepd_options options = own_options();
    fake_server_misbehave(bench.server, FAKE_REFUSE_HELLO);
    assert_int_equal(stepd_connect(&options, &bench.client, &bench.error), STEPD_PERMISSION_DENIED);
    assert_string_equal(bench.error.text, "not you");
}

static void connect__server_says_nothing__is_unavailable_in_time(void **state)
{
    (void)state;
    struct stepd_options options = own_options();
    options.connect_timeout_ms = 60;
    fake_server_misbehave(bench.server, FAKE_MUTE_HELLO);
    assert_int_equal(stepd_connect(&options, &bench.client, &bench.error), STEPD_UNAVAILABLE);
    assert_non_null(strstr(bench.error.text, "does not answer"));
}

static void define__server_says_nothing__is_unavailable_in_time(void **state)
{
    (void)state;
    const struct stepd_param_group group = {.match = "*", .optimizer = "sgd"};
    const struct stepd_tensor tensor = {.name = "w"};
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    struct stepd_options options = own_options();
    job.groups = &group;
    job.groups_count = 1;
    options.connect_timeout_ms = 60;
    fake_server_misbehave(bench.server, FAKE_MUTE_DEFINE);
    assert_int_equal(stepd_connect(&options, &bench.client, &bench.error), STEPD_OK);
    assert_int_equal(stepd_define(bench.client, &job, &tensor, 1, &bench.error), STEPD_UNAVAILABLE);
    assert_non_null(strstr(bench.error.text, options.address));
    assert_non_null(strstr(bench.error.text, "has not answered define_job"));
}

/* One after another would wait for a Hello that has not been said. */
static void define__job_on_two_shards__opens_both_at_once(void **state)
{
    struct stepd_options options = own_options();
    (void)state;
    options.connect_timeout_ms = 20000;
    fake_server_misbehave(bench.server, FAKE_JOINT_HELLO);
    bench_join(&options);
    assert_int_equal(fake_server_hellos(bench.server, /* shards= */ true), 2);
}

/* A bound port that does not listen refuses connections. */
static void connect__nobody_listens__is_unavailable_in_time(void **state)
{
    struct sockaddr_in name = {.sin_family = AF_INET};
    socklen_t bytes = sizeof name;
    char address[32];
    (void)state;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &bytes), 0);
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(name.sin_port));
    struct stepd_options options = own_options();
    options.address = address;
    options.connect_timeout_ms = 60;
    assert_int_equal(stepd_connect(&options, &bench.client, &bench.error), STEPD_UNAVAILABLE);
    assert_non_null(strstr(bench.error.text, address));
    assert_non_null(strstr(bench.error.text, "refused"));
    (void)close(fd);
}

static void connect__malformed_options__are_refused(void **state)
{
    (void)state;
    struct stepd_options options = own_options();
    options.job = NULL;
    assert_int_equal(stepd_connect(&options, &bench.client, &bench.error), STEPD_INVALID_ARGUMENT);
    options = own_options();
    options.address = "nowhere";
    assert_int_equal(stepd_connect(&options, &bench.client, &bench.error), STEPD_INVALID_ARGUMENT);
    options = own_options();
    options.rank = -2;
    assert_int_equal(stepd_connect(&options, &bench.client, &bench.error), STEPD_INVALID_ARGUMENT);
    options = own_options();
    options.size = 0;
    assert_int_equal(stepd_connect(&options, &bench.client, &bench.error), STEPD_INVALID_ARGUMENT);
    assert_null(bench.client);
}

static int no_setup(void **state)
{
    (void)state;
    return 0;
}

#define TEST(name)           cmocka_unit_test_setup_teardown(name, setup, bench_teardown)
#define TEST_SERVER(name)    cmocka_unit_test_setup_teardown(name, bench_setup_server, bench_teardown)
#define TEST_OWN_START(name) cmocka_unit_test_setup_teardown(name, no_setup, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pull__after_define__fetches_constants_and_values),
        TEST(step__of_all_tensors__returns_the_new_weights),
        TEST(steps__of_single_tensors_under_way_at_once__all_arrive),
        TEST(threads__each_with_its_tensor__do_not_disturb_each_other),
        TEST(leave__after_steps__states_the_last_clock),
        TEST(close__without_leave__says_that_the_worker_ends),
        TEST(close__after_leave__says_nothing_more),
        TEST_SERVER(step__of_a_resumed_rank__goes_on_from_what_the_shards_have_counted),
        TEST_SERVER(leave__of_a_resumed_rank__is_not_before_what_control_knows),
        TEST_OWN_START(step__over_a_unix_socket_in_16_bits__returns_the_new_weights),
        TEST(attach__by_an_observer__pulls_and_may_not_push),
        TEST(define__twice__is_refused),
        cmocka_unit_test_setup_teardown(define__by_an_older_program__is_told_to_compile_again,
                                        bench_setup_server, bench_teardown),
        TEST(arrays__that_make_no_sense__are_refused_at_once),
        TEST(step__refused__fails_with_the_servers_words),
        TEST(step__server_hangs_up__is_unavailable_and_says_where),
        TEST(step__answer_is_cut__is_unavailable),
        TEST(close__with_a_step_under_way__waits_for_nobody),
        TEST(step_start__while_the_caller_computes__is_answered),
        TEST_OWN_START(heartbeats__while_the_worker_computes__go_on),
        TEST_SERVER(connect__any_rank__is_told_which),
        TEST_SERVER(connect__server_refuses__fails_with_its_words),
        TEST_SERVER(connect__server_says_nothing__is_unavailable_in_time),
        TEST_SERVER(define__server_says_nothing__is_unavailable_in_time),
        TEST_SERVER(define__job_on_two_shards__opens_both_at_once),
        TEST_SERVER(connect__nobody_listens__is_unavailable_in_time),
        TEST_SERVER(connect__malformed_options__are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
