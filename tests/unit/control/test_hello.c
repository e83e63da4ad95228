/* SPDX-License-Identifier: Apache-2.0
 *
 * Who is let in: ranks, sessions, epochs, leases.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "brain_fixture.h"

static const struct stepd_welcome *welcome(const struct peer *peer)
{
    return &peer_answer(peer, STEPD_MESSAGE_WELCOME)->body.welcome;
}

/* ---- Every Hello ----------------------------------------------------------------------------- */

static void hello__other_protocol__names_both(void **state)
{
    struct stepd_message hello = hello_worker("j", 0);
    hello.body.hello.protocol = 7;
    brain_assert_refused(*state, hello, STEPD_FAILED_PRECONDITION,
                         "speaks protocol 1, and Hello asks for 7");
}

static void hello__not_the_first_message__is_refused(void **state)
{
    brain_assert_refused(*state, plain(STEPD_MESSAGE_HEARTBEAT), STEPD_FAILED_PRECONDITION,
                         "must be Hello, not heartbeat");
}

static void hello__for_a_shard__is_refused(void **state)
{
    struct stepd_message hello = hello_worker("j", 0);
    hello.body.hello.shard = 2;
    brain_assert_refused(*state, hello, STEPD_INVALID_ARGUMENT, "shard 2");
}

static void hello__frames_below_a_header__is_refused(void **state)
{
    struct stepd_message hello = hello_worker("j", 0);
    hello.body.hello.max_frame_bytes = 1000;
    brain_assert_refused(*state, hello, STEPD_INVALID_ARGUMENT, "at least 131072");
}

static void hello__said_twice__is_an_error_and_the_connection_goes_on(void **state)
{
    struct peer *peer = peer_join(*state, hello_worker("j", 0));
    peer_request(peer, hello_worker("j", 0));
    peer_assert_error(peer, STEPD_FAILED_PRECONDITION, "has said Hello already");
    peer_request(peer, plain(STEPD_MESSAGE_HEARTBEAT));
    (void)peer_answer(peer, STEPD_MESSAGE_ACK);
}

static void message__request_id_zero__ends_the_connection(void **state)
{
    struct peer *peer = peer_join(*state, hello_worker("j", 0));
    peer->request_id = UINT64_MAX;
    assert_int_equal(peer_send(peer, plain(STEPD_MESSAGE_HEARTBEAT), NULL), STEPD_INVALID_ARGUMENT);
}

static void message__for_a_shard__is_refused(void **state)
{
    struct peer *peer = peer_join(*state, hello_worker("j", 0));
    peer_request(peer, plain(STEPD_MESSAGE_PUSH));
    peer_assert_error(peer, STEPD_INVALID_ARGUMENT, "push belongs on a shard's connection");
}

static void message__reply_as_request__is_refused(void **state)
{
    struct peer *peer = peer_join(*state, hello_worker("j", 0));
    peer_request(peer, plain(STEPD_MESSAGE_ACK));
    peer_assert_error(peer, STEPD_INVALID_ARGUMENT, "ack is a reply");
}

/* ---- Workers --------------------------------------------------------------------------------- */

static void worker__first__is_welcomed_to_an_undefined_job(void **state)
{
    struct peer *peer = peer_join(*state, hello_worker("j", -1));
    assert_int_equal(welcome(peer)->epoch, 1);
    assert_int_equal(welcome(peer)->rank, 0);
    assert_int_equal(welcome(peer)->world, 0);
    assert_int_equal(welcome(peer)->incarnation, 0);
    assert_int_equal(welcome(peer)->lease_ms, BRAIN_LEASE_MS);
    assert_int_equal(welcome(peer)->wait_max_ms, BRAIN_WAIT_MAX_MS);
    assert_int_equal(welcome(peer)->shards, BRAIN_SHARDS);
    assert_string_equal(welcome(peer)->shard_address[1], "");
}

static void worker__joins__shards_know_the_session_first(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 3));
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++) {
        const struct order *order = brain_newest(brain, shard, ORDER_SESSION);
        assert_memory_equal(order->session, peer->session, STEPD_SESSION_BYTES);
        assert_string_equal(order->job_name, "j");
        assert_string_equal(order->worker, "w3");
        assert_int_equal(order->epoch, 1);
        assert_int_equal(order->rank, 3);
        assert_false(order->observer);
    }
}

static void worker__without_job__is_refused(void **state)
{
    brain_assert_refused(*state, hello_worker("", 0), STEPD_INVALID_ARGUMENT, "no name");
}

static void worker__one_job_too_many__is_refused(void **state)
{
    static const char *const name[] = {"a", "b", "c"};
    for (size_t i = 0; i < 3; i++)
        (void)peer_join(*state, hello_worker(name[i], 0));
    brain_assert_refused(*state, hello_worker("d", 0), STEPD_RESOURCE_EXHAUSTED, "most of 3 jobs");
}

static void worker__any_rank__gets_the_lowest_free_one(void **state)
{
    (void)peer_join(*state, hello_worker("j", 0));
    (void)peer_join(*state, hello_worker("j", 2));
    assert_int_equal(welcome(peer_join(*state, hello_worker("j", -1)))->rank, 1);
    assert_int_equal(welcome(peer_join(*state, hello_worker("j", -1)))->rank, 3);
}

static void worker__rank_beyond_the_most__is_refused(void **state)
{
    brain_assert_refused(*state, hello_worker("j", (int32_t)STEPD_WORKERS_MAX),
                         STEPD_INVALID_ARGUMENT, "0 to 4095");
    brain_assert_refused(*state, hello_worker("j", -2), STEPD_INVALID_ARGUMENT, "-1 for any");
}

static void worker__rank_taken__says_by_whom_and_for_how_long(void **state)
{
    (void)peer_join(*state, hello_worker("j", 1));
    brain_wait(*state, 2500);
    brain_assert_refused(*state, hello_worker("j", 1), STEPD_ALREADY_EXISTS,
                         "rank 1 is taken by worker 'w1', which is connected and was heard of 2500 "
                         "ms ago; ask for another rank, or for any");
}

static void worker__rank_of_a_lost_one__replaces_it(void **state)
{
    struct brain *brain = *state;
    struct peer *old = peer_join(brain, hello_worker("j", 0));
    peer_define(old, "j", STEPD_SYNC, 1);
    brain_heard(brain, "j", 0, 17);
    brain_wait(brain, BRAIN_LEASE_MS);
    struct peer *new = peer_join(brain, hello_worker("j", 0));
    assert_true(old->hung_up);
    assert_int_equal(welcome(new)->epoch, 1);
    assert_int_equal(welcome(new)->clock, 17);
    assert_memory_not_equal(new->session, old->session, STEPD_SESSION_BYTES);
    const struct order *gone = brain_newest(brain, 1, ORDER_SESSION_GONE);
    assert_memory_equal(gone->session, old->session, STEPD_SESSION_BYTES);
    assert_non_null(strstr(gone->error.text, "rank 0 of job 'j' has passed to worker 'w0'"));
    assert_true(brain_place(brain, ORDER_SESSION_GONE) < brain_place(brain, ORDER_SESSION));
    brain_assert_refused(brain, hello_resume(old), STEPD_FAILED_PRECONDITION,
                         "worker 'w0' was silent for 60000 ms, and rank 0 of job 'j' has passed to "
                         "worker 'w0'");
}

static void worker__rank_beyond_the_workers_of_the_job__is_refused(void **state)
{
    static const enum stepd_mode mode[] = {STEPD_SYNC, STEPD_ASYNC};

    static const char *const name[] = {"a", "b"};
    for (size_t i = 0; i < 2; i++) {
        peer_request(peer_join(*state, hello_worker(name[i], 0)), define_job(mode[i], 4));
        (void)peer_join(*state, hello_worker(name[i], 3));
        struct stepd_message hello = hello_worker(name[i], 4);
        brain_assert_refused(*state, hello, STEPD_INVALID_ARGUMENT, "has 4 workers: ranks 0 to 3");
    }
    peer_request(peer_join(*state, hello_worker("c", 0)), define_job(STEPD_SYNC, 1));
    brain_assert_refused(*state, hello_worker("c", 1), STEPD_INVALID_ARGUMENT,
                         "job 'c' has 1 worker: rank 0");
}

static void worker__any_rank_where_all_are_taken__is_refused(void **state)
{
    struct brain *brain = *state;
    peer_define(peer_join(brain, hello_worker("j", 0)), "j", STEPD_ASYNC, 2);
    assert_int_equal(welcome(peer_join(brain, hello_worker("j", -1)))->rank, 1);
    brain_assert_refused(brain, hello_worker("j", -1), STEPD_RESOURCE_EXHAUSTED,
                         "all 2 ranks of job 'j' are taken: rank 0 by worker 'w0' (connected, "
                         "silent for 0 s), rank 1 by worker");
    assert_int_equal(brain_newest(brain, 1, ORDER_MEMBER)->rank, 1);
    assert_int_equal(brain_newest(brain, 1, ORDER_MEMBER)->from, 0);
    assert_true(brain_newest(brain, 1, ORDER_MEMBER)->last_clock == UINT64_MAX);
}

static void worker__name_with_quotes__is_quoted_in_the_log(void **state)
{
    struct brain *brain = *state;
    struct stepd_message hello = hello_worker("j", 0);
    hello.body.hello.worker = "x\" level=error y=\"";
    (void)peer_join(brain, hello);
    assert_non_null(
        strstr(brain->log, "worker_joined job=\"j\" rank=0 worker=\"x\\\" level=error y=\\\"\"\n"));
}

static void lease__asked_for__is_clamped(void **state)
{
    static const uint32_t asked[] = {1, 5000, UINT32_MAX};
    static const uint32_t given[] = {1000, 5000, 3600000};
    for (int32_t i = 0; i < 3; i++) {
        struct stepd_message hello = hello_worker("j", i);
        hello.body.hello.lease_ms = asked[i];
        assert_int_equal(welcome(peer_join(*state, hello))->lease_ms, given[i]);
    }
}

/* ---- Resuming -------------------------------------------------------------------------------- */

static void resume__unknown_session__is_not_found(void **state)
{
    struct peer nobody = {.session = {1, 2, 3}};
    brain_assert_refused(*state, hello_resume(&nobody), STEPD_NOT_FOUND, "connect without one");
}

static void resume__open_session__raises_the_epoch_and_ends_the_older_connection(void **state)
{
    struct brain *brain = *state;
    struct peer *old = peer_join(brain, hello_worker("j", 2));
    struct peer *new = peer_join(brain, hello_resume(old));
    assert_true(old->hung_up);
    assert_int_equal(welcome(new)->epoch, 2);
    assert_int_equal(welcome(new)->rank, 2);
    assert_memory_equal(new->session, old->session, STEPD_SESSION_BYTES);
    assert_int_equal(brain_newest(brain, 0, ORDER_SESSION)->epoch, 2);
    assert_int_equal(brain_newest(brain, 1, ORDER_SESSION)->epoch, 2);
}

static void resume__parked_request_of_the_older_connection__is_forgotten(void **state)
{
    struct peer *old = peer_join(*state, hello_worker("j", 0));
    peer_request(old, plain(STEPD_MESSAGE_GET_LAYOUT));
    struct peer *new = peer_join(*state, hello_resume(old));
    peer_define(new, "j", STEPD_SYNC, 1);
    assert_int_equal(peer_answers(old), 0);
}

static void resume__after_the_lease__is_back_with_the_clock_counted(void **state)
{
    struct brain *brain = *state;
    struct peer *old = peer_join(brain, hello_worker("j", 0));
    peer_define(old, "j", STEPD_SYNC, 1);
    brain_heard(brain, "j", 0, 8);
    brain_heard(brain, "j", 0, 9);
    peer_close(old);
    brain_wait(brain, BRAIN_LEASE_MS);
    assert_non_null(strstr(brain->log, "worker_lost job=\"j\" rank=0 worker=\"w0\" silent_s=60\n"));
    struct peer *new = peer_join(brain, hello_resume(old));
    assert_int_equal(welcome(new)->clock, 9);
    assert_int_equal(welcome(new)->world, 1);
    assert_int_equal(welcome(new)->incarnation, 1);
    assert_non_null(strstr(brain->log, "worker_back job=\"j\" rank=0"));
}

static void resume__shards_at_different_clocks__gets_the_lowest(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    brain_heard(brain, "j", 0, 3); /* of an older job of that name */
    peer_define(peer, "j", STEPD_SYNC, 1);
    peer = peer_join(brain, hello_resume(peer));
    assert_int_equal(welcome(peer)->clock, 0);
    brain_heard_by(brain, 0, "j", 0, 9);
    brain_heard_by(brain, 1, "j", 0, 0); /* it has pushed nothing there */
    peer = peer_join(brain, hello_resume(peer));
    assert_int_equal(welcome(peer)->clock, 9);
    brain_heard_by(brain, 1, "j", 0, 7);
    peer = peer_join(brain, hello_resume(peer));
    assert_int_equal(welcome(peer)->clock, 7);
    brain_heard_by(brain, 1, "j", 0, 11);
    peer = peer_join(brain, hello_resume(peer));
    assert_int_equal(welcome(peer)->clock, 9);
}

/* The one slice is shard 0's. */
static void resume__first_step_at_some_shards_only__begins_it_again(void **state)
{
    static const struct {
        const char *job;
        enum stepd_mode mode;
        const char *settings;
    } cases[] = {{"j", STEPD_SYNC, ""}, {"k", STEPD_BOUNDED, "staleness=1"}};
    struct brain *brain = *state;
    for (size_t i = 0; i < 2; i++) {
        struct peer *peer = peer_join(brain, hello_worker(cases[i].job, 0));
        peer_define_with(peer, cases[i].job, cases[i].mode, 1, cases[i].settings);
        brain_heard_by(brain, 1, cases[i].job, 0, 1);
        peer = peer_join(brain, hello_resume(peer));
        assert_int_equal(welcome(peer)->clock, 0);
    }
}

static void resume__first_step_at_all_shards_with_slices__goes_on(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_define(peer, "j", STEPD_SYNC, 1);
    brain_heard_by(brain, 0, "j", 0, 1);
    peer = peer_join(brain, hello_resume(peer));
    assert_int_equal(welcome(peer)->clock, 1);
}

static void resume__with_another_job_rank_or_role__is_refused(void **state)
{
    struct peer *peer = peer_join(*state, hello_worker("j", 0));
    struct stepd_message hello = hello_resume(peer);
    hello.body.hello.job = "other";
    brain_assert_refused(*state, hello, STEPD_INVALID_ARGUMENT, "belongs to job 'j'");
    hello = hello_resume(peer);
    hello.body.hello.rank = 1;
    brain_assert_refused(*state, hello, STEPD_INVALID_ARGUMENT, "has rank 0");
    hello = hello_resume(peer);
    hello.body.hello.role = STEPD_OBSERVER;
    brain_assert_refused(*state, hello, STEPD_INVALID_ARGUMENT, "another role");
    assert_false(peer->hung_up);
}

/* ---- Observers ------------------------------------------------------------------------------- */

static void observer__of_no_such_job__is_not_found(void **state)
{
    brain_assert_refused(*state, hello_observer("j"), STEPD_NOT_FOUND, "there is no job 'j'");
}

static void observer__of_no_job__is_unknown_to_the_shards(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_observer(""));
    assert_int_equal(brain->orders, 0);
    peer_request(peer, plain(STEPD_MESSAGE_GET_LAYOUT));
    peer_assert_error(peer, STEPD_FAILED_PRECONDITION, "named none");
}

static void observer__closes__its_session_is_gone(void **state)
{
    struct brain *brain = *state;
    (void)peer_join(brain, hello_worker("j", 0));
    struct peer *observer = peer_join(brain, hello_observer("j"));
    assert_true(brain_newest(brain, 0, ORDER_SESSION)->observer);
    peer_close(observer);
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        assert_memory_equal(brain_newest(brain, shard, ORDER_SESSION_GONE)->session,
                            observer->session, STEPD_SESSION_BYTES);
    struct stepd_message hello = hello_resume(observer);
    hello.body.hello.role = STEPD_OBSERVER;
    brain_assert_refused(brain, hello, STEPD_NOT_FOUND, "not known");
}

static void observer__one_too_many_of_all_jobs__is_refused(void **state)
{
    (void)peer_join(*state, hello_worker("j", 0));
    for (unsigned i = 0; i < 256; i++)
        (void)peer_join(*state, hello_observer(i % 2 == 0 ? "" : "j"));
    brain_assert_refused(*state, hello_observer(""), STEPD_RESOURCE_EXHAUSTED, "256 observers");
    brain_assert_refused(*state, hello_observer("j"), STEPD_RESOURCE_EXHAUSTED, "256 observers");
}

static void observer__silent_for_its_lease__is_hung_up(void **state)
{
    struct brain *brain = *state;
    (void)peer_join(brain, hello_worker("j", 0));
    struct peer *idle = peer_join(brain, hello_observer("j"));
    struct peer *beating = peer_join(brain, hello_observer(""));
    brain_wait(brain, BRAIN_LEASE_MS - 1);
    assert_false(idle->hung_up);
    peer_request(beating, plain(STEPD_MESSAGE_HEARTBEAT));
    brain_wait(brain, 1);
    assert_true(idle->hung_up);
    assert_false(beating->hung_up);
    assert_int_equal(brain_count(brain, 1, ORDER_SESSION_GONE), 1);
    assert_non_null(strstr(brain->log, "observer_lost job=\"j\" observer=\"w\" "));
    brain_assert_refused(brain, hello_resume(idle), STEPD_NOT_FOUND, "not known");
}

/* ---- Jobs that come to nothing --------------------------------------------------------------- */

static void job__never_opened_and_nobody_left__is_forgotten(void **state)
{
    struct brain *brain = *state;
    peer_close(peer_join(brain, hello_worker("j", 0)));
    struct peer *observer = peer_join(brain, hello_observer("j"));
    brain_wait(brain, BRAIN_LEASE_MS - 1);
    peer_request(observer, plain(STEPD_MESSAGE_HEARTBEAT));
    brain_wait(brain, 1);
    assert_int_equal(brain_count(brain, 1, ORDER_SESSION_GONE), 0);
    peer_close(observer);
    assert_int_equal(brain_count(brain, 1, ORDER_SESSION_GONE), 2);
    brain_assert_refused(brain, hello_observer("j"), STEPD_NOT_FOUND, "there is no job 'j'");
}

static void job__never_opened_however_often__goes_when_the_leases_are_over(void **state)
{
    struct brain *brain = *state;
    const char *const names[] = {"a", "b", "c"}; /* as many as there may be */
    for (size_t i = 0; i < 3; i++) {
        struct peer *peer = peer_join(brain, hello_worker(names[i], 0));
        if (i == 1)
            peer_request(peer, define_job(STEPD_SYNC, 1));
        peer_close(peer);
    }
    brain_wait(brain, BRAIN_LEASE_MS);
    for (size_t i = 0; i < 3; i++)
        brain_assert_refused(brain, hello_observer(names[i]), STEPD_NOT_FOUND, "there is no job");
}

static void job__never_opened_and_nobody_connected__makes_room_within_the_lease(void **state)
{
    struct brain *brain = *state;
    struct stepd_message hello = hello_worker("b", 0);
    hello.body.hello.lease_ms = 3600000;
    (void)peer_join(brain, hello_worker("a", 0));
    struct peer *gone = peer_join(brain, hello);
    const struct stepd_message def = define_job(STEPD_ASYNC, 1);
    assert_int_equal(control_define(brain->control, "c", &def.body.define_job, NULL), STEPD_OK);
    brain_assert_refused(brain, hello_worker("d", 0), STEPD_RESOURCE_EXHAUSTED, "most of 3 jobs");
    peer_close(gone);
    (void)peer_join(brain, hello_worker("d", 0));
    brain_assert_refused(brain, hello_resume(gone), STEPD_NOT_FOUND, "not known");
    assert_non_null(strstr(brain->log, "job_forgotten job=\"b\"\n"));
}

static void job__never_opened_while_the_lease_runs__stays(void **state)
{
    struct brain *brain = *state;
    peer_close(peer_join(brain, hello_worker("j", 0)));
    brain_wait(brain, BRAIN_LEASE_MS - 1);
    (void)peer_join(brain, hello_observer("j"));
}

static void job__refused_first_hello__leaves_no_entry(void **state)
{
    struct brain *brain = *state;
    brain_assert_refused(brain, hello_worker("j", 5000), STEPD_INVALID_ARGUMENT, "rank");
    brain_assert_refused(brain, hello_observer("j"), STEPD_NOT_FOUND, "there is no job");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, brain_setup, brain_teardown)
        TEST(hello__other_protocol__names_both),
        TEST(hello__not_the_first_message__is_refused),
        TEST(hello__for_a_shard__is_refused),
        TEST(hello__frames_below_a_header__is_refused),
        TEST(hello__said_twice__is_an_error_and_the_connection_goes_on),
        TEST(message__request_id_zero__ends_the_connection),
        TEST(message__for_a_shard__is_refused),
        TEST(message__reply_as_request__is_refused),
        TEST(worker__first__is_welcomed_to_an_undefined_job),
        TEST(worker__joins__shards_know_the_session_first),
        TEST(worker__without_job__is_refused),
        TEST(worker__one_job_too_many__is_refused),
        TEST(worker__any_rank__gets_the_lowest_free_one),
        TEST(worker__rank_beyond_the_most__is_refused),
        TEST(worker__rank_taken__says_by_whom_and_for_how_long),
        TEST(worker__rank_of_a_lost_one__replaces_it),
        TEST(worker__rank_beyond_the_workers_of_the_job__is_refused),
        TEST(worker__any_rank_where_all_are_taken__is_refused),
        TEST(worker__name_with_quotes__is_quoted_in_the_log),
        TEST(lease__asked_for__is_clamped),
        TEST(resume__unknown_session__is_not_found),
        TEST(resume__open_session__raises_the_epoch_and_ends_the_older_connection),
        TEST(resume__parked_request_of_the_older_connection__is_forgotten),
        TEST(resume__after_the_lease__is_back_with_the_clock_counted),
        TEST(resume__shards_at_different_clocks__gets_the_lowest),
        TEST(resume__first_step_at_some_shards_only__begins_it_again),
        TEST(resume__first_step_at_all_shards_with_slices__goes_on),
        TEST(resume__with_another_job_rank_or_role__is_refused),
        TEST(observer__of_no_such_job__is_not_found),
        TEST(observer__of_no_job__is_unknown_to_the_shards),
        TEST(observer__closes__its_session_is_gone),
        TEST(observer__one_too_many_of_all_jobs__is_refused),
        TEST(observer__silent_for_its_lease__is_hung_up),
        TEST(job__never_opened_and_nobody_left__is_forgotten),
        TEST(job__never_opened_however_often__goes_when_the_leases_are_over),
        TEST(job__never_opened_and_nobody_connected__makes_room_within_the_lease),
        TEST(job__never_opened_while_the_lease_runs__stays),
        TEST(job__refused_first_hello__leaves_no_entry),
    };
    return cmocka_run_group_tests_name("control_hello", tests, NULL, NULL);
}
