/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker's life after it has joined: reports, beats, losses, and its leave.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "brain_fixture.h"

/* The status of the only job, asked for by a new observer. */
static const struct stepd_job_status *job_status(struct brain *brain)
{
    struct peer *observer = peer_join(brain, hello_observer(""));
    peer_request(observer, get_status("j"));
    for (uint32_t shard = 0; shard < BRAIN_SHARDS && peer_answers(observer) == 0; shard++)
        brain_answer(brain, shard, 0, 0, UINT32_MAX);
    return &peer_answer(observer, STEPD_MESSAGE_STATUS)->body.status.job[0];
}

/* A sync job of two workers that has started; *ret_peers are ranks 0 and 1. */
static void start_two(struct brain *brain, struct peer **ret_peers)
{
    ret_peers[0] = peer_join(brain, hello_worker("j", 0));
    ret_peers[1] = peer_join(brain, hello_worker("j", 1));
    peer_define(ret_peers[0], "j", STEPD_SYNC, 2);
}

static void report__acknowledged__is_in_the_status(void **state)
{
    struct peer *peer[2];
    start_two(*state, peer);
    const struct stepd_message report = {
        .kind = STEPD_MESSAGE_REPORT,
        .body.report = {.clock = 12, .loss = 0.25, .examples = 640},
    };
    peer_request(peer[1], report);
    (void)peer_answer(peer[1], STEPD_MESSAGE_ACK);
    const struct stepd_member_status *member = &job_status(*state)->member[1];
    assert_int_equal(member->clock, 12);
    assert_true(member->loss == 0.25);
    assert_int_equal(member->examples, 640);
}

static void report__ahead_of_what_was_counted__is_not_what_a_resume_goes_by(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start_two(brain, peer);
    brain_heard(brain, "j", 1, 11);
    peer_request(peer[1], (struct stepd_message){.kind = STEPD_MESSAGE_REPORT,
                                                 .body.report = {.clock = 12}});
    struct peer *again = peer_join(brain, hello_resume(peer[1]));
    assert_int_equal(peer_answer(again, STEPD_MESSAGE_WELCOME)->body.welcome.clock, 11);
}

static void report__of_an_observer__is_denied(void **state)
{
    struct peer *observer = peer_join(*state, hello_observer(""));
    peer_request(observer, plain(STEPD_MESSAGE_REPORT));
    peer_assert_error(observer, STEPD_PERMISSION_DENIED, "report is for workers");
}

/* ---- Leases ---------------------------------------------------------------------------------- */

static void lease__runs_out__the_member_is_lost_and_nothing_else_happens(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start_two(brain, peer);
    brain_wait(brain, BRAIN_LEASE_MS - 1);
    peer_request(peer[0], plain(STEPD_MESSAGE_HEARTBEAT));
    (void)peer_answer(peer[0], STEPD_MESSAGE_ACK);
    brain_forget_orders(brain);
    brain_wait(brain, 1);
    assert_int_equal(brain->orders, 0);
    const struct stepd_job_status *job = job_status(brain);
    assert_int_equal(job->state, STEPD_JOB_RUNNING);
    assert_int_equal(job->member[0].state, STEPD_MEMBER_PRESENT);
    assert_int_equal(job->member[1].state, STEPD_MEMBER_LOST);
    assert_int_equal(job->member[1].silent_ms, BRAIN_LEASE_MS);
    assert_non_null(strstr(brain->log, "worker_lost job=\"j\" rank=1 worker=\"w1\" silent_s=60\n"));
    assert_null(strstr(brain->log, "worker_lost job=\"j\" rank=0"));
}

static void lease__heard_by_a_shard__is_renewed(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start_two(brain, peer);
    brain_wait(brain, BRAIN_LEASE_MS - 1);
    brain_heard(brain, "j", 1, 3);
    brain_wait(brain, BRAIN_LEASE_MS - 1);
    assert_int_equal(job_status(brain)->member[1].state, STEPD_MEMBER_PRESENT);
}

static void lease__lost_and_heard_again__is_present_again(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start_two(brain, peer);
    brain_wait(brain, BRAIN_LEASE_MS);
    brain_heard(brain, "j", 1, 3);
    peer_request(peer[0], plain(STEPD_MESSAGE_HEARTBEAT));
    const struct stepd_job_status *job = job_status(brain);
    assert_int_equal(job->member[0].state, STEPD_MEMBER_PRESENT);
    assert_int_equal(job->member[1].state, STEPD_MEMBER_PRESENT);
    assert_int_equal(job->member[1].silent_ms, 0);
}

/* ---- Ending without leaving ------------------------------------------------------------------ */

static struct stepd_message last_heartbeat(void)
{
    return (struct stepd_message){.kind = STEPD_MESSAGE_HEARTBEAT, .body.heartbeat.last = true};
}

static void last_heartbeat__of_a_member__frees_its_rank_at_once(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start_two(brain, peer);
    brain_heard(brain, "j", 1, 17);
    peer_request(peer[1], last_heartbeat());
    (void)peer_answer(peer[1], STEPD_MESSAGE_ACK);
    brain_heard(brain, "j", 1, 18); /* what a shard told before it heard of the end */
    brain_wait(brain, 0);
    assert_int_equal(job_status(brain)->member[1].state, STEPD_MEMBER_LOST);
    assert_non_null(strstr(brain->log, "worker_ended job=\"j\" rank=1 worker=\"w1\"\n"));
    struct peer *next = peer_join(brain, hello_worker("j", -1));
    assert_int_equal(peer_answer(next, STEPD_MESSAGE_WELCOME)->body.welcome.rank, 1);
    assert_true(peer[1]->hung_up);
    brain_assert_refused(brain, hello_resume(peer[1]), STEPD_FAILED_PRECONDITION,
                         "worker 'w1' has ended without leaving, and rank 1 of job 'j' has passed");
}

static void last_heartbeat__of_one_that_resumes__is_undone(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start_two(brain, peer);
    peer_request(peer[1], last_heartbeat());
    (void)peer_join(brain, hello_resume(peer[1]));
    brain_wait(brain, 0);
    assert_int_equal(job_status(brain)->member[1].state, STEPD_MEMBER_PRESENT);
}

static void last_heartbeat__of_one_that_has_left__changes_nothing(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start_two(brain, peer);
    peer_request(peer[1], leave_at(0));
    peer_request(peer[1], last_heartbeat());
    (void)peer_answer(peer[1], STEPD_MESSAGE_ACK);
    assert_null(strstr(brain->log, "worker_ended"));
}

static void last_heartbeat__of_a_job_that_never_opened__forgets_it(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_request(peer, define_job(STEPD_SYNC, 1));
    peer_request(peer, last_heartbeat());
    peer_close(peer);
    assert_non_null(strstr(brain->log, "job_forgotten job=\"j\""));
}

static void heard__of_a_rank_or_job_that_is_not_there__changes_nothing(void **state)
{
    struct brain *brain = *state;
    (void)peer_join(brain, hello_worker("j", 0));
    brain_heard(brain, "j", 4000, 3);
    brain_heard(brain, "other", 0, 3);
    assert_int_equal(job_status(brain)->member[0].clock, 0);
}

/* ---- Leaving --------------------------------------------------------------------------------- */

static void leave__one_of_two__is_a_member_up_to_its_clock(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start_two(brain, peer);
    brain_heard(brain, "j", 1, 40);
    peer_request(peer[1], leave_at(41));
    (void)peer_answer(peer[1], STEPD_MESSAGE_ACK);
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++) {
        const struct order *order = brain_newest(brain, shard, ORDER_MEMBER);
        assert_int_equal(order->rank, 1);
        assert_int_equal(order->from, 0);
        assert_int_equal(order->last_clock, 41);
    }
    const struct stepd_job_status *job = job_status(brain);
    assert_int_equal(job->state, STEPD_JOB_RUNNING);
    assert_int_equal(job->member[1].state, STEPD_MEMBER_LEFT);
}

static void leave__all__finishes_the_job(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start_two(brain, peer);
    peer_request(peer[0], leave_at(1));
    peer_request(peer[1], leave_at(1));
    assert_int_equal(job_status(brain)->state, STEPD_JOB_FINISHED);
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_CLOSE), 0);
    (void)peer_join(brain, hello_observer("j"));
}

static void leave__sent_again__is_acknowledged_again(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start_two(brain, peer);
    peer_request(peer[1], leave_at(1));
    brain_forget_orders(brain);
    struct peer *again = peer_join(brain, hello_resume(peer[1]));
    peer_request(again, leave_at(1));
    (void)peer_answer(again, STEPD_MESSAGE_ACK);
    assert_int_equal(brain_count(brain, 0, ORDER_MEMBER), 0);
    peer_request(again, leave_at(2));
    peer_assert_error(again, STEPD_FAILED_PRECONDITION, "has left job 'j' at clock 1, not 2");
}

static void leave__below_what_was_counted__is_a_member_up_to_its_clock(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start_two(brain, peer);
    brain_heard(brain, "j", 1, 5);
    peer_request(peer[1], leave_at(4));
    (void)peer_answer(peer[1], STEPD_MESSAGE_ACK);
    assert_int_equal(brain_newest(brain, 0, ORDER_MEMBER)->last_clock, 4);
}

static void leave__at_no_clock_that_could_be__is_refused(void **state)
{
    struct peer *peer[2];
    start_two(*state, peer);
    peer_request(peer[1], leave_at(UINT64_MAX));
    peer_assert_error(peer[1], STEPD_INVALID_ARGUMENT, "cannot leave");
}

static void leave__then_anything_but_questions__is_refused(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start_two(brain, peer);
    peer_request(peer[1], leave_at(0));

    static const enum stepd_message_kind refused[] = {
        STEPD_MESSAGE_DEFINE_JOB, STEPD_MESSAGE_DEFINE_TENSORS, STEPD_MESSAGE_REPORT};

    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        peer_request(peer[1], plain(refused[i]));
        peer_assert_error(peer[1], STEPD_FAILED_PRECONDITION, "rank 1 has left job 'j'");
    }
    peer_request(peer[1], plain(STEPD_MESSAGE_HEARTBEAT));
    (void)peer_answer(peer[1], STEPD_MESSAGE_ACK);
    peer_request(peer[1], plain(STEPD_MESSAGE_GET_LAYOUT));
    (void)peer_answer(peer[1], STEPD_MESSAGE_LAYOUT);
    peer_request(peer[1], get_status("j"));
    brain_answer(brain, 0, 0, 0, UINT32_MAX);
    brain_answer(brain, 1, 0, 0, UINT32_MAX);
    (void)peer_answer(peer[1], STEPD_MESSAGE_STATUS);
}

static void leave__and_back__only_where_ranks_are_still_taken(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start_two(brain, peer);
    peer_request(peer[1], leave_at(3));
    brain_assert_refused(brain, hello_worker("j", 1), STEPD_FAILED_PRECONDITION,
                         "rank 1 has left job 'j'");
    struct peer *async = peer_join(brain, hello_worker("k", 0));
    peer_define(async, "k", STEPD_ASYNC, 2);
    peer_request(peer_join(brain, hello_worker("k", 1)), leave_at(3));
    (void)peer_join(brain, hello_worker("k", 1));
    assert_int_equal(brain_newest(brain, 0, ORDER_MEMBER)->rank, 1);
    assert_true(brain_newest(brain, 0, ORDER_MEMBER)->last_clock == UINT64_MAX);
}

static void leave__before_enough_have_joined__does_not_count_for_the_start(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_define(peer, "j", STEPD_SYNC, 2);
    peer_request(peer, leave_at(0));
    (void)peer_join(brain, hello_worker("j", 1));
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_START), 0);
    assert_int_equal(job_status(brain)->state, STEPD_JOB_DEFINED);
    (void)peer_join(brain, hello_worker("j", -1));
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_START), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, brain_setup, brain_teardown)
        TEST(report__acknowledged__is_in_the_status),
        TEST(report__ahead_of_what_was_counted__is_not_what_a_resume_goes_by),
        TEST(report__of_an_observer__is_denied),
        TEST(lease__runs_out__the_member_is_lost_and_nothing_else_happens),
        TEST(lease__heard_by_a_shard__is_renewed),
        TEST(lease__lost_and_heard_again__is_present_again),
        TEST(last_heartbeat__of_a_member__frees_its_rank_at_once),
        TEST(last_heartbeat__of_one_that_resumes__is_undone),
        TEST(last_heartbeat__of_one_that_has_left__changes_nothing),
        TEST(last_heartbeat__of_a_job_that_never_opened__forgets_it),
        TEST(heard__of_a_rank_or_job_that_is_not_there__changes_nothing),
        TEST(leave__one_of_two__is_a_member_up_to_its_clock),
        TEST(leave__all__finishes_the_job),
        TEST(leave__sent_again__is_acknowledged_again),
        TEST(leave__below_what_was_counted__is_a_member_up_to_its_clock),
        TEST(leave__at_no_clock_that_could_be__is_refused),
        TEST(leave__then_anything_but_questions__is_refused),
        TEST(leave__and_back__only_where_ranks_are_still_taken),
        TEST(leave__before_enough_have_joined__does_not_count_for_the_start),
    };
    return cmocka_run_group_tests_name("control_worker", tests, NULL, NULL);
}
