/* SPDX-License-Identifier: Apache-2.0
 *
 * A Hello whose Welcome was lost, one from a client whose session is forgotten, and one of a worker
 * that was started again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "brain_fixture.h"

static const uint8_t one[STEPD_CLIENT_BYTES] = {1};
static const uint8_t other[STEPD_CLIENT_BYTES] = {2};

static struct stepd_message hello_of(const uint8_t *client, const char *job, int32_t rank)
{
    struct stepd_message message = hello_worker(job, rank);
    message.body.hello.client =
        (struct stepd_bytes){.count = client == NULL ? 0 : STEPD_CLIENT_BYTES, .at = client};
    return message;
}

static struct stepd_message rejoin(const uint8_t *client, const char *job, int32_t rank)
{
    struct stepd_message message = hello_of(client, job, rank);
    message.body.hello.rejoins = true;
    return message;
}

static const struct stepd_welcome *welcome(const struct peer *peer)
{
    return &peer_answer(peer, STEPD_MESSAGE_WELCOME)->body.welcome;
}

/* ---- The same name --------------------------------------------------------------------------- */

static void hello__of_another_name__finds_the_rank_taken_until_the_lease_is_over(void **state)
{
    struct stepd_message hello = hello_worker("j", 1);
    hello.body.hello.worker = "other";
    peer_close(peer_join(*state, hello_worker("j", 1)));
    brain_wait(*state, 2500);
    brain_assert_refused(
        *state, hello, STEPD_ALREADY_EXISTS,
        "rank 1 is taken by worker 'w1', which has lost its connection and was "
        "silent for 2500 ms; if it does not come back, its lease runs out in 57500 ms");
}

static void hello__of_the_name_of_one_that_is_connected_no_more__takes_its_rank(void **state)
{
    struct peer *old = peer_join(*state, hello_worker("j", 1));
    brain_assert_refused(*state, hello_worker("j", 1), STEPD_ALREADY_EXISTS, "is connected");
    peer_close(old);
    assert_int_equal(welcome(peer_join(*state, hello_worker("j", 1)))->rank, 1);
    brain_assert_refused(*state, hello_resume(old), STEPD_FAILED_PRECONDITION, "has passed");
}

/* ---- The same Hello -------------------------------------------------------------------------- */

static void hello__said_again_by_the_same_client__gets_its_session(void **state)
{
    struct peer *old = peer_join(*state, hello_of(one, "j", 1));
    struct peer *new = peer_join(*state, hello_of(one, "j", 1));
    assert_memory_equal(new->session, old->session, STEPD_SESSION_BYTES);
    assert_int_equal(welcome(new)->epoch, 2);
    assert_true(old->hung_up);
}

static void hello__said_again_for_any_rank__keeps_its_rank(void **state)
{
    (void)peer_join(*state, hello_of(other, "j", -1));
    assert_int_equal(welcome(peer_join(*state, hello_of(one, "j", -1)))->rank, 1);
    assert_int_equal(welcome(peer_join(*state, hello_of(one, "j", -1)))->rank, 1);
}

static void hello__of_another_client__is_refused_the_rank(void **state)
{
    (void)peer_join(*state, hello_of(one, "j", 1));
    brain_assert_refused(*state, hello_of(other, "j", 1), STEPD_ALREADY_EXISTS, "is taken");
}

static void hello__of_nobody_in_particular__is_refused_the_rank(void **state)
{
    static const uint8_t zeros[STEPD_CLIENT_BYTES];
    (void)peer_join(*state, hello_of(NULL, "j", 1));
    brain_assert_refused(*state, hello_of(zeros, "j", 1), STEPD_ALREADY_EXISTS, "is taken");
    (void)peer_join(*state, hello_of(zeros, "j", 2));
    brain_assert_refused(*state, hello_of(NULL, "j", 2), STEPD_ALREADY_EXISTS, "is taken");
}

static void hello__of_the_same_client_to_another_job__is_another_session(void **state)
{
    struct peer *first = peer_join(*state, hello_of(one, "j", 0));
    (void)peer_join(*state, hello_of(other, "k", 1));
    struct peer *second = peer_join(*state, hello_of(one, "k", 0));
    assert_memory_not_equal(first->session, second->session, STEPD_SESSION_BYTES);
    assert_false(first->hung_up);
}

static void hello__of_the_same_client_for_another_rank__is_refused(void **state)
{
    (void)peer_join(*state, hello_of(one, "j", 0));
    brain_assert_refused(*state, hello_of(one, "j", 1), STEPD_INVALID_ARGUMENT, "has rank 0");
}

static void hello__of_a_client_whose_rank_was_given_away__is_refused(void **state)
{
    struct brain *brain = *state;
    (void)peer_join(brain, hello_of(one, "j", 1));
    brain_wait(brain, BRAIN_LEASE_MS);
    (void)peer_join(brain, hello_of(other, "j", 1));
    brain_assert_refused(brain, hello_of(one, "j", 1), STEPD_ALREADY_EXISTS, "is taken");
}

static void hello__of_a_client_that_has_left__begins_the_finished_job_anew(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_of(one, "j", 0));
    peer_define(peer, "j", STEPD_SYNC, 1);
    peer_request(peer, leave_at(0));
    struct peer *again = peer_join(brain, hello_of(one, "j", 0));
    assert_memory_not_equal(again->session, peer->session, STEPD_SESSION_BYTES);
    assert_non_null(strstr(brain->log, "job_dropped job=\"j\" incarnation=1"));
}

/* ---- Joining again --------------------------------------------------------------------------- */

static void rejoin__of_a_job_that_nobody_knows__makes_it(void **state)
{
    assert_int_equal(welcome(peer_join(*state, rejoin(one, "j", 3)))->rank, 3);
}

static void rejoin__of_a_finished_job__does_not_begin_it_anew(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_of(other, "j", 0));
    peer_define(peer, "j", STEPD_SYNC, 1);
    peer_request(peer, leave_at(0));
    brain_assert_refused(brain, rejoin(one, "j", 0), STEPD_FAILED_PRECONDITION,
                         "job 'j' has finished while this worker was away");
    assert_null(strstr(brain->log, "job_dropped"));
}

static void rejoin__for_a_rank_that_has_left__is_refused_in_async_mode_too(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_of(other, "j", 1));
    peer_define(peer, "j", STEPD_ASYNC, 2);
    (void)peer_join(brain, hello_of(NULL, "j", 0));
    peer_request(peer, leave_at(0));
    brain_assert_refused(brain, rejoin(one, "j", 1), STEPD_FAILED_PRECONDITION,
                         "rank 1 has left job 'j' while this worker was away");
    assert_int_equal(welcome(peer_join(brain, hello_of(one, "j", 1)))->rank, 1);
}

static void rejoin__said_again__gets_its_session(void **state)
{
    struct peer *old = peer_join(*state, rejoin(one, "j", 1));
    struct peer *new = peer_join(*state, rejoin(one, "j", 1));
    assert_memory_equal(new->session, old->session, STEPD_SESSION_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, brain_setup, brain_teardown)
        TEST(hello__of_another_name__finds_the_rank_taken_until_the_lease_is_over),
        TEST(hello__of_the_name_of_one_that_is_connected_no_more__takes_its_rank),
        TEST(hello__said_again_by_the_same_client__gets_its_session),
        TEST(hello__said_again_for_any_rank__keeps_its_rank),
        TEST(hello__of_another_client__is_refused_the_rank),
        TEST(hello__of_nobody_in_particular__is_refused_the_rank),
        TEST(hello__of_the_same_client_to_another_job__is_another_session),
        TEST(hello__of_the_same_client_for_another_rank__is_refused),
        TEST(hello__of_a_client_whose_rank_was_given_away__is_refused),
        TEST(hello__of_a_client_that_has_left__begins_the_finished_job_anew),
        TEST(rejoin__of_a_job_that_nobody_knows__makes_it),
        TEST(rejoin__of_a_finished_job__does_not_begin_it_anew),
        TEST(rejoin__for_a_rank_that_has_left__is_refused_in_async_mode_too),
        TEST(rejoin__said_again__gets_its_session),
    };
    return cmocka_run_group_tests_name("control_hello_again", tests, NULL, NULL);
}
