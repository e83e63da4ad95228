/* SPDX-License-Identifier: Apache-2.0
 *
 * Barriers: who is waited for, and what those who wait are told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "brain_fixture.h"

enum { WORKERS = 3, SHORT_LEASE_MS = 1000 };

static struct stepd_message barrier(const char *name, uint64_t sequence)
{
    return (struct stepd_message){
        .kind = STEPD_MESSAGE_BARRIER,
        .body.barrier = {.incarnation = 1, .name = name, .sequence = sequence},
    };
}

static void start(struct brain *brain, const char *settings, struct peer **ret_peers)
{
    for (int32_t rank = 0; rank < WORKERS; rank++)
        ret_peers[rank] = peer_join(brain, hello_worker("j", rank));
    peer_define_with(ret_peers[0], "j", STEPD_SYNC, WORKERS, settings);
}

static void come(struct peer *const *peers, uint32_t from, uint32_t until, uint64_t sequence)
{
    for (uint32_t rank = from; rank < until; rank++)
        peer_request(peers[rank], barrier("epoch", sequence));
}

static void assert_passed(struct peer *const *peers, uint32_t from, uint32_t until)
{
    for (uint32_t rank = from; rank < until; rank++)
        (void)peer_answer(peers[rank], STEPD_MESSAGE_ACK);
}

static void assert_wait(struct peer *const *peers, uint32_t from, uint32_t until)
{
    for (uint32_t rank = from; rank < until; rank++)
        assert_int_equal(peer_answers(peers[rank]), 0);
}

/* The leases of all but the first `alive` ranks run out. */
static void lose_from(struct brain *brain, uint32_t alive)
{
    brain_wait(brain, BRAIN_LEASE_MS - 1);
    for (uint32_t rank = 0; rank < alive; rank++)
        brain_heard(brain, "j", rank, 1);
    brain_wait(brain, 1);
}

static void barrier__all_have_come__lets_all_pass(void **state)
{
    struct peer *peer[WORKERS];
    start(*state, "", peer);
    come(peer, 0, 2, 1);
    assert_wait(peer, 0, 2);
    come(peer, 2, 3, 1);
    assert_passed(peer, 0, 3);
}

static void barrier__at_its_deadline__names_who_is_missing_and_their_silence(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[WORKERS];
    start(brain, "", peer);
    brain_wait(brain, 500);
    struct stepd_message message = barrier("epoch", 1);
    message.body.barrier.deadline_ms = 3000;
    peer_request(peer[0], message);
    peer_request(peer[2], barrier("end", 1));
    brain_wait(brain, 2999);
    assert_wait(peer, 0, 1);
    brain_wait(brain, 1);
    peer_assert_error(peer[0], STEPD_DEADLINE_EXCEEDED,
                      "barrier 'epoch': waiting for rank 1 (silent for 3500 ms), "
                      "rank 2 (silent for 3000 ms, waits at 'end')");
}

static void barrier__of_one_who_gave_up__needs_it_again(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[WORKERS];
    start(brain, "", peer);
    come(peer, 0, 1, 1);
    brain_wait(brain, BRAIN_WAIT_MAX_MS);
    come(peer, 1, 3, 1);
    assert_wait(peer, 1, 3);
    come(peer, 0, 1, 2);
    assert_passed(peer, 0, 3);
}

static void barrier__twice_with_one_name__is_two(void **state)
{
    struct peer *peer[WORKERS];
    start(*state, "", peer);
    come(peer, 0, 3, 1);
    come(peer, 0, 2, 2);
    assert_wait(peer, 0, 2);
    come(peer, 2, 3, 2);
    assert_passed(peer, 0, 3);
}

static void barrier__two_names__wait_for_each_other(void **state)
{
    struct peer *peer[WORKERS];
    start(*state, "", peer);
    come(peer, 0, 2, 1);
    peer_request(peer[2], barrier("end", 1));
    assert_wait(peer, 0, 3);
}

/* ---- Sent again ------------------------------------------------------------------------------ */

static void resend__while_it_waits__goes_on_with_its_place_and_deadline(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[WORKERS];
    start(brain, "", peer);
    come(peer, 0, 1, 1);
    brain_wait(brain, BRAIN_WAIT_MAX_MS - 1);
    struct peer *again = peer_join(brain, hello_resume(peer[0]));
    peer_request(again, barrier("epoch", 1));
    assert_int_equal(peer_answers(again), 0);
    brain_wait(brain, 1);
    peer_assert_error(again, STEPD_DEADLINE_EXCEEDED, "barrier 'epoch': waiting for rank 1");
    peer_request(again, barrier("epoch", 1));
    peer_assert_error(again, STEPD_DEADLINE_EXCEEDED, "barrier 'epoch': waiting for rank 1");
}

static void resend__when_it_was_passed_meanwhile__is_answered_at_once(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[WORKERS];
    start(brain, "", peer);
    come(peer, 0, 1, 1);
    const struct stepd_message resume = hello_resume(peer[0]);
    peer_close(peer[0]);
    come(peer, 1, 3, 1);
    assert_passed(peer, 1, 3);
    brain_wait(brain, BRAIN_WAIT_MAX_MS);
    struct peer *again = peer_join(brain, resume);
    peer_request(again, barrier("epoch", 1));
    (void)peer_answer(again, STEPD_MESSAGE_ACK);
}

/* ---- Who is waited for ----------------------------------------------------------------------- */

static void worker__has_left__is_not_waited_for(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[WORKERS];
    start(brain, "", peer);
    come(peer, 0, 2, 1);
    peer_request(peer[2], leave_at(0));
    brain_wait(brain, 1);
    assert_passed(peer, 0, 2);
}

static void worker__leaves_while_it_waits__is_told_so(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[WORKERS];
    start(brain, "", peer);
    come(peer, 0, 1, 1);
    const uint64_t waiting = peer[0]->request_id;
    peer_request(peer[0], leave_at(0));
    brain_wait(brain, 1);
    peer[0]->request_id = waiting;
    peer_assert_error(peer[0], STEPD_FAILED_PRECONDITION,
                      "rank 0 has left job 'j' while it waited");
}

static void worker__given_up__is_not_waited_for(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[WORKERS];
    start(brain, "on_loss=shrink", peer);
    lose_from(brain, 2);
    come(peer, 0, 2, 1);
    assert_passed(peer, 0, 2);
}

static void worker__lost_where_the_job_waits__is_waited_for(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[WORKERS];
    start(brain, "", peer);
    lose_from(brain, 2);
    come(peer, 0, 2, 1);
    assert_wait(peer, 0, 2);
}

static void worker__lost_where_that_fails_the_job__ends_the_wait_with_its_cause(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[WORKERS];
    start(brain, "on_loss=fail", peer);
    brain_wait(brain, BRAIN_LEASE_MS - 1);
    come(peer, 0, 2, 1);
    brain_wait(brain, 1);
    brain_wait(brain, 1);
    peer_assert_error(peer[0], STEPD_FAILED_PRECONDITION, "job 'j' has failed: rank 2");
}

static void worker__takes_over_a_rank__must_come_itself(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[WORKERS];
    for (int32_t rank = 0; rank < WORKERS; rank++) {
        struct stepd_message hello = hello_worker("j", rank);
        hello.body.hello.lease_ms = SHORT_LEASE_MS;
        peer[rank] = peer_join(brain, hello);
    }
    peer_define(peer[0], "j", STEPD_SYNC, WORKERS);
    come(peer, 2, 3, 1);
    brain_wait(brain, SHORT_LEASE_MS);
    peer[2] = peer_join(brain, hello_worker("j", 2));
    come(peer, 0, 2, 1);
    assert_wait(peer, 0, 2);
    come(peer, 2, 3, 1);
    assert_passed(peer, 0, 3);
}

static void worker__joins_and_is_no_member_yet__is_not_waited_for(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    for (int32_t rank = 0; rank < 2; rank++)
        peer[rank] = peer_join(brain, hello_worker("j", rank));
    peer_define_with(peer[0], "j", STEPD_SYNC, WORKERS, "workers_min=2");
    struct peer *joiner = peer_open(brain);
    peer_request(joiner, hello_worker("j", 2));
    assert_int_equal(peer_answers(joiner), 0);
    come(peer, 0, 2, 1);
    assert_passed(peer, 0, 2);
    brain_proposed_all(brain, 0);
    (void)peer_answer(joiner, STEPD_MESSAGE_WELCOME);
    come(peer, 0, 2, 2);
    assert_wait(peer, 0, 2);
}

static void job__has_not_started__is_waited_for_and_named(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[WORKERS];
    for (int32_t rank = 0; rank < 2; rank++)
        peer[rank] = peer_join(brain, hello_worker("j", rank));
    peer_define(peer[0], "j", STEPD_SYNC, WORKERS);
    come(peer, 0, 2, 1);
    brain_wait(brain, BRAIN_WAIT_MAX_MS);
    peer_assert_error(peer[0], STEPD_DEADLINE_EXCEEDED,
                      "barrier 'epoch': job 'j' has not started: 2 of 3 workers have joined");
    come(peer, 0, 2, 2);
    peer[2] = peer_join(brain, hello_worker("j", 2));
    come(peer, 2, 3, 1);
    assert_passed(peer, 0, 3);
}

/* ---- Refused --------------------------------------------------------------------------------- */

static void refused__of_another_incarnation__is_rolled_back(void **state)
{
    struct peer *peer[WORKERS];
    start(*state, "", peer);
    struct stepd_message message = barrier("epoch", 1);
    message.body.barrier.incarnation = 2;
    peer_request(peer[0], message);
    peer_assert_error(peer[0], STEPD_ROLLED_BACK, "job 'j' is at incarnation 1");
}

static void refused__observer__may_not(void **state)
{
    struct peer *peer[WORKERS];
    start(*state, "", peer);
    struct peer *observer = peer_join(*state, hello_observer("j"));
    peer_request(observer, barrier("epoch", 1));
    peer_assert_error(observer, STEPD_PERMISSION_DENIED, "for workers");
}

static void refused__second_barrier_of_a_worker_at_a_time__names_the_first(void **state)
{
    struct peer *peer[WORKERS];
    start(*state, "", peer);
    come(peer, 0, 1, 1);
    peer_request(peer[0], barrier("end", 2));
    peer_assert_error(peer[0], STEPD_RESOURCE_EXHAUSTED, "rank 0 waits at barrier 'epoch' already");
}

static void refused__sequence_that_does_not_rise__says_so(void **state)
{
    struct peer *peer[WORKERS];
    start(*state, "", peer);
    peer_request(peer[0], barrier("epoch", 0));
    peer_assert_error(peer[0], STEPD_INVALID_ARGUMENT, "number the barriers");
    come(peer, 0, 1, 1);
    peer_request(peer[0], barrier("end", 1));
    peer_assert_error(peer[0], STEPD_INVALID_ARGUMENT, "has come to 'epoch' with 1 before");
}

static void refused__bad_names__say_what_is_good(void **state)
{
    struct peer *peer[WORKERS];
    char longest[STEPD_BARRIER_NAME_MAX_BYTES + 2] = "";
    memset(longest, 'n', STEPD_BARRIER_NAME_MAX_BYTES + 1);
    const char *const bad[] = {"", "two words", "line'", longest};
    start(*state, "", peer);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        peer_request(peer[0], barrier(bad[i], 1));
        peer_assert_error(peer[0], STEPD_INVALID_ARGUMENT, "1 to 64 letters");
    }
    peer_request(peer[0], barrier("two words", 1));
    peer_assert_error(peer[0], STEPD_INVALID_ARGUMENT, "byte 4 of the barrier's name is 0x20");
    peer_request(peer[0], barrier(longest + 1, 1));
    assert_wait(peer, 0, 1);
}

/* ---- Status ---------------------------------------------------------------------------------- */

static void status__says_who_waits_at_which_barrier(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[WORKERS];
    start(brain, "", peer);
    come(peer, 1, 2, 1);
    struct peer *observer = peer_join(brain, hello_observer(""));
    peer_request(observer, get_status("j"));
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        brain_answer(brain, shard, 0, 0, UINT32_MAX);
    const struct stepd_job_status *job =
        &peer_answer(observer, STEPD_MESSAGE_STATUS)->body.status.job[0];
    assert_string_equal(job->member[0].barrier, "");
    assert_string_equal(job->member[1].barrier, "epoch");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, brain_setup, brain_teardown)
    const struct CMUnitTest tests[] = {
        TEST(barrier__all_have_come__lets_all_pass),
        TEST(barrier__at_its_deadline__names_who_is_missing_and_their_silence),
        TEST(barrier__of_one_who_gave_up__needs_it_again),
        TEST(barrier__twice_with_one_name__is_two),
        TEST(barrier__two_names__wait_for_each_other),
        TEST(resend__while_it_waits__goes_on_with_its_place_and_deadline),
        TEST(resend__when_it_was_passed_meanwhile__is_answered_at_once),
        TEST(worker__has_left__is_not_waited_for),
        TEST(worker__leaves_while_it_waits__is_told_so),
        TEST(worker__given_up__is_not_waited_for),
        TEST(worker__lost_where_the_job_waits__is_waited_for),
        TEST(worker__lost_where_that_fails_the_job__ends_the_wait_with_its_cause),
        TEST(worker__takes_over_a_rank__must_come_itself),
        TEST(worker__joins_and_is_no_member_yet__is_not_waited_for),
        TEST(job__has_not_started__is_waited_for_and_named),
        TEST(refused__of_another_incarnation__is_rolled_back),
        TEST(refused__observer__may_not),
        TEST(refused__second_barrier_of_a_worker_at_a_time__names_the_first),
        TEST(refused__sequence_that_does_not_rise__says_so),
        TEST(refused__bad_names__say_what_is_good),
        TEST(status__says_who_waits_at_which_barrier),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
