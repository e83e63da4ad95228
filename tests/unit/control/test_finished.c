/* SPDX-License-Identifier: Apache-2.0
 *
 * Jobs that have finished: how long their weights stay, and what goes with them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "brain_fixture.h"

/* A worker trains an async job of n elements to its end; its connection stays. */
static struct peer *finish(struct brain *brain, const char *job, uint64_t n)
{
    struct peer *peer = peer_join(brain, hello_worker(job, 0));
    peer_request(peer, define_job(STEPD_ASYNC, 1));
    peer_request(peer, define_tensor(n));
    brain_opened_all(brain, job);
    (void)peer_answer(peer, STEPD_MESSAGE_TENSORS_DEFINED);
    peer_request(peer, leave_at(7));
    (void)peer_answer(peer, STEPD_MESSAGE_ACK);
    return peer;
}

static bool exists(struct brain *brain, const char *job)
{
    struct peer *peer = peer_open(brain);
    const bool found = peer_send(peer, hello_observer(job), NULL) == STEPD_OK;
    if (found)
        peer_close(peer);
    return found;
}

/* ---- Its own name ---------------------------------------------------------------------------- */

static void finished__named_by_a_worker__begins_anew(void **state)
{
    struct brain *brain = *state;
    struct peer *old = finish(brain, "j", 10);
    brain_heard(brain, "j", 0, 7);
    struct peer *observer = peer_join(brain, hello_observer("j"));
    brain_forget_orders(brain);
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    assert_true(old->hung_up);
    assert_true(observer->hung_up);
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++) {
        assert_int_equal(brain_count(brain, shard, ORDER_JOB_CLOSE), 1);
        assert_int_equal(brain_count(brain, shard, ORDER_SESSION_GONE), 2);
    }
    assert_true(brain_place(brain, ORDER_JOB_CLOSE) < brain_place(brain, ORDER_SESSION));
    assert_non_null(strstr(brain->log, "job_dropped job=\"j\" incarnation=1\n"));
    assert_int_equal(peer_answer(peer, STEPD_MESSAGE_WELCOME)->body.welcome.clock, 0);
    assert_int_equal(peer_answer(peer, STEPD_MESSAGE_WELCOME)->body.welcome.world, 0);
    brain_assert_refused(brain, hello_resume(old), STEPD_NOT_FOUND, "not known");
}

static void finished__begun_anew__has_the_next_incarnation(void **state)
{
    struct brain *brain = *state;
    (void)finish(brain, "j", 10);
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_request(peer, define_job(STEPD_SYNC, 1));
    const struct stepd_message *defined = peer_answer(peer, STEPD_MESSAGE_JOB_DEFINED);
    assert_int_equal(defined->body.job_defined.incarnation, 2);
    peer_request(peer, define_tensor(20));
    assert_int_equal(brain_newest(brain, 0, ORDER_JOB_OPEN)->job->incarnation, 2);
    brain_opened_all(brain, "j");
    peer_request(peer, get_status("j"));
    brain_answer(brain, 0, 0, 0, UINT32_MAX);
    brain_answer(brain, 1, 0, 0, UINT32_MAX);
    const struct stepd_message *status = peer_answer(peer, STEPD_MESSAGE_STATUS);
    assert_int_equal(status->body.status.job[0].incarnation, 2);
    peer = peer_join(brain, hello_resume(peer));
    const struct stepd_message *welcome = peer_answer(peer, STEPD_MESSAGE_WELCOME);
    assert_int_equal(welcome->body.welcome.incarnation, 2);
}

static void job__that_was_forgotten_and_is_made_again__has_another_incarnation(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_request(peer, define_job(STEPD_SYNC, 1));
    const uint64_t first =
        peer_answer(peer, STEPD_MESSAGE_JOB_DEFINED)->body.job_defined.incarnation;
    peer_close(peer);
    brain_wait(brain, BRAIN_LEASE_MS);
    assert_false(exists(brain, "j"));
    brain->creation = 41;
    peer = peer_join(brain, hello_worker("j", 0));
    peer_request(peer, define_job(STEPD_SYNC, 1));
    const uint64_t second =
        peer_answer(peer, STEPD_MESSAGE_JOB_DEFINED)->body.job_defined.incarnation;
    assert_int_equal(second, first + 41);
}

static void finished__begun_anew_and_left_alone__is_forgotten(void **state)
{
    struct brain *brain = *state;
    (void)finish(brain, "j", 10);
    (void)peer_join(brain, hello_observer("j"));
    peer_close(peer_join(brain, hello_worker("j", 0)));
    brain_wait(brain, BRAIN_LEASE_MS);
    assert_false(exists(brain, "j"));
}

static void finished__from_the_config_file__begins_anew_as_defined_there(void **state)
{
    struct brain *brain = *state;
    const struct stepd_message def = define_job(STEPD_ASYNC, 1);
    assert_int_equal(control_define(brain->control, "j", &def.body.define_job, NULL), STEPD_OK);
    (void)finish(brain, "j", 10);
    brain_assert_refused(brain, hello_worker("j", 1), STEPD_INVALID_ARGUMENT, "1 worker: rank 0");
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_CLOSE), 0);
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    const struct stepd_message *welcome = peer_answer(peer, STEPD_MESSAGE_WELCOME);
    assert_int_equal(welcome->body.welcome.world, 1);
    assert_int_equal(welcome->body.welcome.incarnation, 2);
    peer_request(peer, define_tensor(20));
    brain_opened_all(brain, "j");
    (void)peer_answer(peer, STEPD_MESSAGE_TENSORS_DEFINED);
}

static void finished__resumed_or_observed__stays(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = finish(brain, "j", 10);
    (void)peer_join(brain, hello_resume(peer));
    (void)peer_join(brain, hello_observer("j"));
    brain_wait(brain, UINT64_C(1000) * BRAIN_LEASE_MS);
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_CLOSE), 0);
}

/* ---- Room for others ------------------------------------------------------------------------- */

/* 12 bytes for each element: 2 versions and the staging of one worker. */
#define THIRD_OF_MEMORY ((UINT64_C(20) << 20) / 12)

static void memory__short__drops_what_finished_first(void **state)
{
    struct brain *brain = *state;
    (void)finish(brain, "b", THIRD_OF_MEMORY);
    (void)finish(brain, "a", THIRD_OF_MEMORY);
    struct peer *peer = peer_join(brain, hello_worker("c", 0));
    peer_request(peer, define_job(STEPD_ASYNC, 1));
    peer_request(peer, define_tensor(2 * THIRD_OF_MEMORY));
    assert_true(brain_place(brain, ORDER_JOB_CLOSE) < brain_place(brain, ORDER_JOB_OPEN));
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_CLOSE), 1);
    brain_opened_all(brain, "c");
    (void)peer_answer(peer, STEPD_MESSAGE_TENSORS_DEFINED);
    assert_false(exists(brain, "b"));
    assert_true(exists(brain, "a"));
}

static void memory__short_whatever_is_dropped__drops_nothing(void **state)
{
    struct brain *brain = *state;
    (void)finish(brain, "a", THIRD_OF_MEMORY);
    struct peer *peer = peer_join(brain, hello_worker("b", 0));
    peer_request(peer, define_job(STEPD_ASYNC, 1));
    peer_request(peer, define_tensor(4 * THIRD_OF_MEMORY));
    peer_assert_error(peer, STEPD_RESOURCE_EXHAUSTED, "64 of 64 MiB are left");
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_CLOSE), 0);
    assert_true(exists(brain, "a"));
}

static void jobs_max__reached__drops_what_finished_first(void **state)
{
    struct brain *brain = *state;
    const struct stepd_message def = define_job(STEPD_ASYNC, 1);
    assert_int_equal(control_define(brain->control, "c", &def.body.define_job, NULL), STEPD_OK);
    (void)finish(brain, "c", 10);
    (void)finish(brain, "b", 10);
    (void)finish(brain, "a", 10);
    (void)peer_join(brain, hello_worker("d", 0));
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_CLOSE), 1); /* dropping c would gain nothing */
    assert_false(exists(brain, "b"));
    assert_true(exists(brain, "a"));
    assert_true(exists(brain, "c"));
    (void)peer_join(brain, hello_worker("e", 0));
    brain_assert_refused(brain, hello_worker("f", 0), STEPD_RESOURCE_EXHAUSTED, "most of 3 jobs");
}

/* ---- Who asks about it ----------------------------------------------------------------------- */

static void dropped__asked_for_alone__is_not_found(void **state)
{
    struct brain *brain = *state;
    (void)finish(brain, "j", 10);
    struct peer *observer = peer_join(brain, hello_observer(""));
    peer_request(observer, get_status("j"));
    (void)peer_join(brain, hello_worker("j", 0));
    peer_assert_error(observer, STEPD_NOT_FOUND, "job 'j' was dropped");
    brain_answer(brain, 0, 1, 1, UINT32_MAX); /* too late */
}

static void dropped__asked_for_among_others__is_not_waited_for(void **state)
{
    struct brain *brain = *state;
    (void)finish(brain, "a", 10);
    (void)finish(brain, "b", 10);
    (void)peer_join(brain, hello_worker("c", 0));
    struct peer *observer = peer_join(brain, hello_observer(""));
    peer_request(observer, get_status(""));
    const uint64_t query = brain_newest(brain, 0, ORDER_QUERY)->query;
    (void)peer_join(brain, hello_worker("d", 0)); /* a goes */
    assert_int_equal(peer_answers(observer), 0);
    brain_answer(brain, 0, 3, 3, UINT32_MAX);
    struct notice *late = notice_create(NOTICE_ANSWER, "a");
    late->query = query;
    control_on_notice(brain->control, late, brain->now_ms);
    assert_int_equal(peer_answers(observer), 0);
    brain_answer(brain, 1, 4, 4, UINT32_MAX);
    const struct stepd_message *status = peer_answer(observer, STEPD_MESSAGE_STATUS);
    assert_int_equal(status->body.status.jobs, 3);
    assert_string_equal(status->body.status.job[0].name, "b");
    assert_int_equal(status->body.status.job[0].version_max, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, brain_setup, brain_teardown)
        TEST(finished__named_by_a_worker__begins_anew),
        TEST(finished__begun_anew__has_the_next_incarnation),
        TEST(job__that_was_forgotten_and_is_made_again__has_another_incarnation),
        TEST(finished__begun_anew_and_left_alone__is_forgotten),
        TEST(finished__from_the_config_file__begins_anew_as_defined_there),
        TEST(finished__resumed_or_observed__stays),
        TEST(memory__short__drops_what_finished_first),
        TEST(memory__short_whatever_is_dropped__drops_nothing),
        TEST(jobs_max__reached__drops_what_finished_first),
        TEST(dropped__asked_for_alone__is_not_found),
        TEST(dropped__asked_for_among_others__is_not_waited_for),
    };
    return cmocka_run_group_tests_name("control_finished", tests, NULL, NULL);
}
