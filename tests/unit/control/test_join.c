/* SPDX-License-Identifier: Apache-2.0
 *
 * Workers that come to a job that runs: elastic jobs, ranks that are taken again, and the first
 * version and clock that a joiner is told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "brain_fixture.h"

/* Ranks 0 and 1 of an elastic sync job of up to four, which runs. */
static void start(struct brain *brain, struct peer **ret_peers)
{
    ret_peers[0] = peer_join(brain, hello_worker("j", 0));
    peer_define_with(ret_peers[0], "j", STEPD_SYNC, 4, "workers_min=2");
    ret_peers[1] = peer_join(brain, hello_worker("j", 1));
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_START), 1);
}

/* Says Hello; the Welcome has to wait. */
static struct peer *come(struct brain *brain, int32_t rank)
{
    struct peer *peer = peer_open(brain);
    peer_request(peer, hello_worker("j", rank));
    assert_int_equal(peer_answers(peer), 0);
    return peer;
}

static const struct stepd_welcome *welcome(const struct peer *peer)
{
    return &peer_answer(peer, STEPD_MESSAGE_WELCOME)->body.welcome;
}

static const struct stepd_job_status *status(struct brain *brain)
{
    struct peer *observer = peer_join(brain, hello_observer(""));
    peer_request(observer, get_status("j"));
    for (uint32_t shard = 0; shard < BRAIN_SHARDS && peer_answers(observer) == 0; shard++)
        brain_answer(brain, shard, 0, 0, UINT32_MAX);
    return &peer_answer(observer, STEPD_MESSAGE_STATUS)->body.status.job[0];
}

static void elastic__fewer_than_the_least__has_not_started(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_define_with(peer, "j", STEPD_SYNC, 4, "workers_min=2");
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_START), 0);
    assert_int_equal(status(brain)->workers_min, 2);
    assert_int_equal(status(brain)->workers, 4);
}

static void joiner__of_a_running_job__is_welcomed_with_version_and_clock(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start(brain, peer);
    struct peer *joiner = come(brain, 2);
    assert_int_equal(status(brain)->member[2].state, STEPD_MEMBER_JOINING);
    brain_proposed_all(brain, 17); /* 17 is behind us: the next proposal is 19 */
    assert_int_equal(peer_answers(joiner), 0);
    brain_proposed_all(brain, 18);
    assert_int_equal(welcome(joiner)->rank, 2);
    assert_int_equal(welcome(joiner)->clock, 19);
    const struct order *order = brain_newest(brain, 1, ORDER_CHANGE);
    assert_int_equal(order->rank, 2);
    assert_int_equal(order->from, 19);
    assert_int_equal(order->clock, 19);
    assert_true(order->last_clock == UINT64_MAX);
    assert_int_equal(status(brain)->member[2].from, 19);
    assert_non_null(
        strstr(brain->log, "worker_admitted job=\"j\" rank=2 worker=\"w2\" version=19\n"));
    assert_null(strstr(brain->log, "worker_back"));
}

static void joiner__before_it_is_a_member__can_do_nothing_but_wait(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start(brain, peer);
    struct peer *joiner = come(brain, 2);
    peer_request(joiner, leave_at(0));
    peer_assert_error(joiner, STEPD_FAILED_PRECONDITION, "is no member of job 'j' yet");
}

static void joiner__one_too_many__is_refused(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start(brain, peer);
    (void)come(brain, 3);
    (void)come(brain, 2);
    brain_assert_refused(brain, hello_worker("j", -1), STEPD_RESOURCE_EXHAUSTED,
                         "all 4 ranks of job 'j' are taken: rank 0 by worker 'w0' (connected, "
                         "silent for 0 s), rank 1 by worker");
    brain_assert_refused(brain, hello_worker("j", 3), STEPD_ALREADY_EXISTS, "rank 3 is taken");
}

/* Of a job of so many workers, the first of which has lost its connection 5.5 s ago. */
static void fill(struct brain *brain, const char *job, uint32_t workers)
{
    struct peer *first = peer_join(brain, hello_worker(job, 0));
    peer_define(first, job, STEPD_ASYNC, workers);
    for (uint32_t rank = 1; rank < workers; rank++)
        (void)peer_join(brain, hello_worker(job, (int32_t)rank));
    peer_close(first);
    brain_wait(brain, 5500);
}

static void joiner__where_one_has_lost_its_connection__is_told_what_to_do(void **state)
{
    struct brain *brain = *state;
    fill(brain, "j", 1);
    struct stepd_message other = hello_worker("j", -1);
    other.body.hello.worker = "other";
    brain_assert_refused(
        brain, other, STEPD_RESOURCE_EXHAUSTED,
        "all 1 ranks of job 'j' are taken: rank 0 by worker 'w0' (connection lost, silent for 5 s); "
        "the first lease of a lost one runs out in 55 s: connect again then, or now under the "
        "worker name of one that is lost");
}

static void joiner__of_the_name_of_a_lost_one__takes_its_rank_where_none_is_free(void **state)
{
    struct brain *brain = *state;
    fill(brain, "j", 3);
    struct stepd_message again = hello_worker("j", -1);
    again.body.hello.worker = "w0";
    assert_int_equal(welcome(peer_join(brain, again))->rank, 0);
    brain_assert_refused(brain, again, STEPD_RESOURCE_EXHAUSTED, "(connected, silent for 0 s)");
}

static void joiner__of_the_name_of_a_lost_one__takes_a_free_rank_first(void **state)
{
    struct brain *brain = *state;
    struct peer *first = peer_join(brain, hello_worker("j", 0));
    peer_define(first, "j", STEPD_ASYNC, 2);
    peer_close(first);
    struct stepd_message again = hello_worker("j", -1);
    again.body.hello.worker = "w0";
    assert_int_equal(welcome(peer_join(brain, again))->rank, 1);
}

/* As long a text as there can be still says what to do, and cuts no character. */
static void joiner__among_many_of_long_names__is_told_what_to_do(void **state)
{
    struct brain *brain = *state;
    char name[STEPD_NAME_MAX_BYTES + 1] = "";
    for (size_t i = 0; i + 2 < sizeof name; i += 2)
        memcpy(name + i, "\xc3\xa4", 3);
    fill(brain, name, 6);
    struct stepd_message other = hello_worker(name, -1);
    other.body.hello.worker = "other";
    brain_assert_refused(brain, other, STEPD_RESOURCE_EXHAUSTED, ", and 2 more; the first lease");
    brain_assert_refused(brain, other, STEPD_RESOURCE_EXHAUSTED,
                         "or now under the worker name of one that is lost");
}

static void joiner__that_resumes_before_it_is_welcomed__is_welcomed_then(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start(brain, peer);
    struct peer *joiner = come(brain, 2);
    memcpy(joiner->session, brain_newest(brain, 0, ORDER_SESSION)->session, STEPD_SESSION_BYTES);
    peer_close(joiner);
    struct peer *again = peer_open(brain);
    peer_request(again, hello_resume(joiner));
    assert_int_equal(peer_answers(again), 0);
    brain_proposed_all(brain, 1);
    assert_int_equal(welcome(again)->clock, 2);
}

static void joiner__not_agreed_on_in_time__is_told_so(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start(brain, peer);
    struct peer *joiner = come(brain, 2);
    brain_wait(brain, BRAIN_WAIT_MAX_MS);
    peer_assert_error(joiner, STEPD_DEADLINE_EXCEEDED, "from which version on rank 2 is a member");
}

static void joiner__of_an_async_job__is_a_member_at_once(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_define_with(peer, "j", STEPD_ASYNC, 4, "workers_min=1");
    struct peer *joiner = peer_join(brain, hello_worker("j", 1));
    assert_int_equal(welcome(joiner)->clock, 0);
    assert_int_equal(brain_count(brain, 0, ORDER_PROPOSE), 0);
    assert_int_equal(brain_newest(brain, 0, ORDER_MEMBER)->rank, 1);
}

static void joiner__of_a_bounded_job__goes_on_from_the_slowest(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_define_with(peer, "j", STEPD_BOUNDED, 4, "workers_min=2 staleness=3");
    (void)peer_join(brain, hello_worker("j", 1));
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++) {
        brain_heard_by(brain, shard, "j", 0, 40);
        brain_heard_by(brain, shard, "j", 1, 37);
    }
    struct peer *joiner = peer_join(brain, hello_worker("j", 2));
    assert_int_equal(welcome(joiner)->clock, 37);
    assert_int_equal(brain_newest(brain, 0, ORDER_MEMBER)->clock, 37);
}

/* ---- Ranks that were there before ------------------------------------------------------------ */

static void rank_that_left__of_an_elastic_job__is_taken_again_at_a_version(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start(brain, peer);
    peer_request(peer[1], leave_at(5));
    peer_close(peer[1]);
    struct peer *joiner = come(brain, 1);
    brain_proposed_all(brain, 7);
    brain_proposed_all(brain, 7);
    assert_int_equal(welcome(joiner)->clock, 9);
    assert_int_equal(status(brain)->member[1].state, STEPD_MEMBER_PRESENT);
}

static void rank_that_left__while_its_worker_is_connected__is_refused(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start(brain, peer);
    peer_request(peer[1], leave_at(5));
    brain_assert_refused(brain, hello_worker("j", 1), STEPD_ALREADY_EXISTS,
                         "its worker 'w1' is still connected");
}

static void any_rank__of_an_elastic_job_that_waits__is_the_lost_one(void **state)
{
    struct brain *brain = *state;
    peer_define_with(peer_join(brain, hello_worker("j", 0)), "j", STEPD_SYNC, 4, "workers_min=2");
    (void)peer_join(brain, hello_worker("j", 3));
    brain_wait(brain, BRAIN_LEASE_MS - 1);
    brain_heard(brain, "j", 0, 1);
    brain_wait(brain, 1);
    struct peer *joiner = peer_join(brain, hello_worker("j", -1));
    assert_int_equal(welcome(joiner)->rank, 3);
    assert_int_equal(brain_count(brain, 0, ORDER_PROPOSE), 0);
}

static void leave__of_all_while_one_joins__does_not_finish_the_job(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start(brain, peer);
    struct peer *joiner = come(brain, 2);
    peer_request(peer[0], leave_at(5));
    peer_request(peer[1], leave_at(5));
    brain_proposed_all(brain, 1);
    assert_int_equal(welcome(joiner)->clock, 2);
    assert_int_equal(status(brain)->state, STEPD_JOB_RUNNING);
}

static void worker__any_rank_of_a_started_sync_job__gets_the_lost_one(void **state)
{
    struct brain *brain = *state;
    peer_define(peer_join(brain, hello_worker("j", 0)), "j", STEPD_SYNC, 2);
    (void)peer_join(brain, hello_worker("j", 1));
    brain_wait(brain, BRAIN_LEASE_MS / 2);
    brain_heard(brain, "j", 0, 1);
    brain_wait(brain, BRAIN_LEASE_MS / 2);
    assert_int_equal(welcome(peer_join(brain, hello_worker("j", -1)))->rank, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, brain_setup, brain_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(elastic__fewer_than_the_least__has_not_started),
        TEST(joiner__of_a_running_job__is_welcomed_with_version_and_clock),
        TEST(joiner__before_it_is_a_member__can_do_nothing_but_wait),
        TEST(joiner__one_too_many__is_refused),
        TEST(joiner__where_one_has_lost_its_connection__is_told_what_to_do),
        TEST(joiner__of_the_name_of_a_lost_one__takes_its_rank_where_none_is_free),
        TEST(joiner__of_the_name_of_a_lost_one__takes_a_free_rank_first),
        TEST(joiner__among_many_of_long_names__is_told_what_to_do),
        TEST(joiner__that_resumes_before_it_is_welcomed__is_welcomed_then),
        TEST(joiner__not_agreed_on_in_time__is_told_so),
        TEST(joiner__of_an_async_job__is_a_member_at_once),
        TEST(joiner__of_a_bounded_job__goes_on_from_the_slowest),
        TEST(rank_that_left__of_an_elastic_job__is_taken_again_at_a_version),
        TEST(rank_that_left__while_its_worker_is_connected__is_refused),
        TEST(any_rank__of_an_elastic_job_that_waits__is_the_lost_one),
        TEST(leave__of_all_while_one_joins__does_not_finish_the_job),
        TEST(worker__any_rank_of_a_started_sync_job__gets_the_lost_one),
    };
    return cmocka_run_group_tests_name("control/join", tests, NULL, NULL);
}
