/* SPDX-License-Identifier: Apache-2.0
 *
 * Control over the shards of several daemons: who is let in before all are there, when they know of
 * whom is let in, and how control forgets everything.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "brain_fixture.h"

static const char missing[] = "the server waits for daemon 1";

/* ---- Gathering ------------------------------------------------------------------------------- */

static void gather__worker__is_refused_with_whom_the_server_waits_for(void **state)
{
    struct brain *const brain = *state;
    control_gather(brain->control, missing);
    brain_assert_refused(brain, hello_worker("j", 0), STEPD_UNAVAILABLE, missing);
    brain_assert_refused(brain, hello_observer("j"), STEPD_UNAVAILABLE, missing);
    control_gather(brain->control, "");
    (void)peer_join(brain, hello_worker("j", 0));
}

static void gather__observer_of_no_job__sees_the_daemons(void **state)
{
    struct brain *const brain = *state;
    brain->daemons = 2;
    control_gather(brain->control, missing);
    struct peer *const peer = peer_join(brain, hello_observer(""));
    peer_request(peer, get_status(""));
    const struct stepd_server_status *const status =
        &peer_answer(peer, STEPD_MESSAGE_STATUS)->body.status;
    assert_string_equal(status->jobs_unknown, missing);
    assert_int_equal(status->daemons, 2);
    assert_int_equal(status->daemon[1].place, 1);
    assert_string_equal(status->daemon[1].address, "h:1");
    assert_int_equal(status->daemon[1].state, STEPD_DAEMON_AWAY);
    assert_int_equal(status->daemon[1].first_shard, 2);
    assert_int_equal(status->daemon[1].silent_ms, 5);
    assert_true(status->daemon[1].clock_ms == -7);
}

static void gather__who_asks_for_a_job__is_not_told_that_there_is_none(void **state)
{
    struct brain *const brain = *state;
    control_gather(brain->control, missing);
    struct peer *const peer = peer_join(brain, hello_observer(""));
    peer_request(peer, get_status("j"));
    peer_assert_error(peer, STEPD_UNAVAILABLE, missing);
    peer_request(peer, (struct stepd_message){.kind = STEPD_MESSAGE_GET_GROUPS,
                                              .body.get_groups = {.job = "j"}});
    peer_assert_error(peer, STEPD_UNAVAILABLE, missing);
    peer_request(peer, (struct stepd_message){.kind = STEPD_MESSAGE_GET_CHANGES,
                                              .body.get_changes = {.job = "j"}});
    peer_assert_error(peer, STEPD_UNAVAILABLE, missing);
    control_gather(brain->control, "");
    peer_request(peer, get_status("j"));
    peer_assert_error(peer, STEPD_NOT_FOUND, "there is no job 'j'");
    peer_request(peer, get_status(""));
    assert_string_equal(peer_answer(peer, STEPD_MESSAGE_STATUS)->body.status.jobs_unknown, "");
}

static void status__shards_of_daemons_that_are_away__are_not_waited_for_long(void **state)
{
    struct brain *const brain = *state;
    brain->daemons = 2;
    struct peer *const worker = peer_join(brain, hello_worker("j", 0));
    peer_define(worker, "j", STEPD_SYNC, 1);
    peer_request(worker, get_status("j"));
    brain_wait(brain, 900);
    assert_int_equal(peer_answers(worker), 0);
    brain_wait(brain, 100);
    const struct stepd_server_status *const status =
        &peer_answer(worker, STEPD_MESSAGE_STATUS)->body.status;
    assert_int_equal(status->jobs, 1);
    assert_int_equal(status->daemons, 2);
}

/* ---- Orders on their way --------------------------------------------------------------------- */

static void hello__orders_on_their_way__is_answered_when_they_have_arrived(void **state)
{
    struct brain *const brain = *state;
    brain->apart = true;
    struct peer *const peer = peer_open(brain);
    peer_request(peer, hello_worker("j", 0));
    assert_int_equal(peer_answers(peer), 0);
    assert_int_equal(brain_count(brain, 0, ORDER_SESSION), 1);
    brain->arrived = brain->orders - 1;
    control_settled(brain->control, brain->now_ms);
    assert_int_equal(peer_answers(peer), 0);
    brain->arrived = brain->orders;
    control_settled(brain->control, brain->now_ms);
    (void)peer_answer(peer, STEPD_MESSAGE_WELCOME);
}

static void hello__orders_that_do_not_arrive__is_answered_with_the_cause(void **state)
{
    struct brain *const brain = *state;
    brain->apart = true;
    struct peer *const peer = peer_open(brain);
    peer_request(peer, hello_worker("j", 0));
    brain_wait(brain, BRAIN_WAIT_MAX_MS);
    peer_assert_error(peer, STEPD_UNAVAILABLE, "another daemon of this server");
}

static void hello__observer_of_no_job__waits_for_no_order(void **state)
{
    struct brain *const brain = *state;
    brain->apart = true;
    (void)peer_join(brain, hello_observer(""));
}

/* ---- Beginning and end ----------------------------------------------------------------------- */

static void shards__taken__are_those_of_the_welcome(void **state)
{
    struct brain *const brain = *state;
    static const char *const address[] = {"", "tls:h:1"};
    assert_int_equal(control_take_shards(brain->control, 2, address), STEPD_OK);
    struct peer *const peer = peer_join(brain, hello_worker("j", 0));
    const struct stepd_welcome *const welcome =
        &peer_answer(peer, STEPD_MESSAGE_WELCOME)->body.welcome;
    assert_int_equal(welcome->shards, 2);
    assert_string_equal(welcome->shard_address[0], "");
    assert_string_equal(welcome->shard_address[1], "tls:h:1");
}

static void forget_all__jobs_and_sessions__are_gone_and_the_shards_hear_nothing(void **state)
{
    struct brain *const brain = *state;
    struct peer *const peer = peer_join(brain, hello_worker("j", 0));
    peer_define(peer, "j", STEPD_SYNC, 1);
    const struct stepd_message again = hello_resume(peer);
    assert_non_null(control_sealed_job(brain->control, "j"));
    assert_null(control_sealed_job(brain->control, "k"));
    peer_close(peer);
    brain_forget_orders(brain);
    control_forget_all(brain->control);
    assert_int_equal(brain->orders, 0);
    assert_null(control_sealed_job(brain->control, "j"));
    brain_assert_refused(brain, again, STEPD_NOT_FOUND, "not known");
    (void)peer_join(brain, hello_worker("j", 0));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, brain_setup, brain_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(gather__worker__is_refused_with_whom_the_server_waits_for),
        TEST(gather__observer_of_no_job__sees_the_daemons),
        TEST(gather__who_asks_for_a_job__is_not_told_that_there_is_none),
        TEST(status__shards_of_daemons_that_are_away__are_not_waited_for_long),
        TEST(hello__orders_on_their_way__is_answered_when_they_have_arrived),
        TEST(hello__orders_that_do_not_arrive__is_answered_with_the_cause),
        TEST(hello__observer_of_no_job__waits_for_no_order),
        TEST(shards__taken__are_those_of_the_welcome),
        TEST(forget_all__jobs_and_sessions__are_gone_and_the_shards_hear_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
