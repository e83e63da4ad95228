/* SPDX-License-Identifier: Apache-2.0
 *
 * What becomes of the session and of the job when links are made again. Virtual time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "tests/unit/client/keeper_bench.h"

/* Control is lost, and an attempt at it is under way. */
static void lose_control(void)
{
    keeper_lose(&rig, 0);
    keeper_wait(&rig, STEPD_KEEPER_LAST_MS);
    (void)keeper_did(&rig);
}

/* The same, and the server does not know the session. */
static void be_forgotten(void)
{
    lose_control();
    keeper_refuse(&rig, 0, STEPD_NOT_FOUND, "no session");
}

/* ---- Forgotten sessions ---------------------------------------------------------------------- */

static void session__not_known__joins_again_at_once(void **state)
{
    (void)state;
    be_forgotten();
    ASSERT_DID("attempt 0 rejoin");
}

static void session__made_anew__rolls_back_and_asks_for_the_layout_first(void **state)
{
    (void)state;
    be_forgotten();
    (void)keeper_did(&rig);
    keeper_welcome(&rig, 0, 1);
    ASSERT_DID("drop 1; drop 2; roll back 0; resume 0");
    assert_int_equal(rig.event.kind, STEPD_EVENT_ROLLED_BACK);
    assert_non_null(strstr(rig.failed.text, "had forgotten this worker"));
    keeper_wait(&rig, 5000);
    ASSERT_DID("");
    assert_true(stepd_keeper_holds(&rig.keeper, 1));
    stepd_keeper_laid_out(&rig.keeper, 1, NULL, rig.now_ms);
    ASSERT_DID("attempt 1 resume; attempt 2 resume");
    keeper_welcome(&rig, 1, 1);
    keeper_welcome(&rig, 2, 1);
    assert_int_equal(rig.event.kind, STEPD_EVENT_BACK);
}

static void session__made_anew__is_resumed_the_next_time(void **state)
{
    (void)state;
    be_forgotten();
    keeper_welcome(&rig, 0, 1);
    stepd_keeper_laid_out(&rig.keeper, 1, NULL, rig.now_ms);
    (void)keeper_did(&rig);
    keeper_lose(&rig, 0);
    keeper_wait(&rig, STEPD_KEEPER_LAST_MS);
    ASSERT_DID("drop 0; attempt 0 resume");
    keeper_welcome(&rig, 0, 1);
    ASSERT_DID("resume 0; drop 1; drop 2; attempt 1 resume; attempt 2 resume");
}

static void session__not_known_and_rejoining_fails__goes_on_rejoining(void **state)
{
    (void)state;
    be_forgotten();
    keeper_refuse(&rig, 0, STEPD_UNAVAILABLE, "nobody");
    (void)keeper_did(&rig);
    keeper_wait(&rig, 1000);
    ASSERT_DID("attempt 0 rejoin");
}

static void session__whose_rank_is_taken__ends_the_client(void **state)
{
    (void)state;
    be_forgotten();
    (void)keeper_did(&rig);
    keeper_refuse(&rig, 0, STEPD_ALREADY_EXISTS, "rank 3 is taken by worker 'x'");
    ASSERT_DID("fail 0 ALREADY_EXISTS; fail 1 ALREADY_EXISTS; fail 2 ALREADY_EXISTS");
    assert_non_null(strstr(rig.failed.text, "somebody else has its rank: rank 3 is taken"));
    assert_int_equal(rig.event.kind, STEPD_EVENT_ENDED);
}

static void session__of_a_finished_job__ends_the_client_with_the_servers_words(void **state)
{
    (void)state;
    be_forgotten();
    keeper_refuse(&rig, 0, STEPD_FAILED_PRECONDITION, "job 'j' has finished");
    assert_int_equal(rig.failed.code, STEPD_FAILED_PRECONDITION);
    assert_non_null(strstr(rig.failed.text, "not let this worker in again: job 'j' has finished"));
}

static void session__not_known_to_a_shard__is_resumed_on_control(void **state)
{
    (void)state;
    keeper_lose(&rig, 1);
    keeper_wait(&rig, STEPD_KEEPER_FIRST_MS);
    (void)keeper_did(&rig);
    keeper_refuse(&rig, 1, STEPD_NOT_FOUND, "no session");
    keeper_wait(&rig, 0);
    ASSERT_DID("drop 0; attempt 0 resume");
    keeper_welcome(&rig, 0, 1);
    ASSERT_DID("resume 0; drop 2; attempt 2 resume");
    keeper_wait(&rig, 100);
    ASSERT_DID("attempt 1 resume");
}

/* ---- Another incarnation --------------------------------------------------------------------- */

static void incarnation__other_than_before__rolls_back(void **state)
{
    (void)state;
    lose_control();
    keeper_welcome(&rig, 0, 2);
    ASSERT_DID("drop 1; drop 2; roll back 0; resume 0");
    assert_non_null(strstr(rig.failed.text, "at incarnation 2, no longer at 1"));
    stepd_keeper_laid_out(&rig.keeper, 2, NULL, rig.now_ms);
    (void)keeper_did(&rig);
    keeper_welcome(&rig, 1, 2);
    keeper_welcome(&rig, 2, 2);
    lose_control();
    keeper_welcome(&rig, 0, 2);
    ASSERT_DID("resume 0; drop 1; drop 2; attempt 1 resume; attempt 2 resume");
}

static void incarnation__none_any_more__says_that_the_job_is_lost(void **state)
{
    (void)state;
    be_forgotten();
    keeper_welcome(&rig, 0, 0);
    assert_non_null(strstr(rig.failed.text, "start the training again, and keep checkpoints"));
    assert_non_null(strstr(rig.failed.text, "call stepd_define again"));
}

static void incarnation__before_the_job_is_known__is_of_no_interest(void **state)
{
    (void)state;
    keeper_teardown(&rig);
    keeper_setup(&rig);
    keeper_want(&rig, 0);
    keeper_welcome(&rig, 0, 0);
    (void)keeper_did(&rig);
    be_forgotten();
    (void)keeper_did(&rig);
    keeper_welcome(&rig, 0, 7);
    ASSERT_DID("resume 0");
}

static void layout__that_is_gone__fails_the_shards_and_leaves_control(void **state)
{
    struct stepd_error error;
    (void)state;
    be_forgotten();
    keeper_welcome(&rig, 0, 0);
    (void)keeper_did(&rig);
    (void)stepd_fail(&error, STEPD_FAILED_PRECONDITION, "no tensors");
    stepd_keeper_laid_out(&rig.keeper, 0, &error, rig.now_ms);
    ASSERT_DID("fail 1 FAILED_PRECONDITION; fail 2 FAILED_PRECONDITION");
    assert_true(stepd_keeper_is_open(&rig.keeper, 0));
    assert_int_equal(rig.event.kind, STEPD_EVENT_BACK);
    assert_string_equal(stepd_keeper_refusal(&rig.keeper, 1)->text, "no tensors");
    stepd_keeper_know(&rig.keeper, 1); /* it is defined again */
    (void)keeper_did(&rig);
    keeper_want(&rig, 1);
    ASSERT_DID("attempt 1 resume");
}

static void layout__of_another_finding__closes_the_shards_links(void **state)
{
    (void)state;
    stepd_keeper_know(&rig.keeper, 1);
    ASSERT_DID("drop 1; drop 2");
    keeper_wait(&rig, 100000);
    ASSERT_DID("");
    keeper_want(&rig, 2);
    ASSERT_DID("attempt 2 resume");
}

static void job__that_is_known_no_more__cannot_be_rolled_back(void **state)
{
    (void)state;
    stepd_keeper_know_nothing(&rig.keeper);
    ASSERT_DID("drop 1; drop 2");
    lose_control();
    keeper_welcome(&rig, 0, 2);
    ASSERT_DID("resume 0");
}

static void control_lost__while_the_layout_is_asked_for__does_not_roll_back_twice(void **state)
{
    (void)state;
    lose_control();
    keeper_welcome(&rig, 0, 2);
    lose_control();
    keeper_welcome(&rig, 0, 2);
    ASSERT_DID("resume 0");
}

static void rolled_back__by_the_word_of_a_shard__is_acted_upon_at_the_next_tick(void **state)
{
    (void)state;
    stepd_keeper_rolled_back(&rig.keeper);
    ASSERT_DID("");
    assert_int_equal(stepd_keeper_next_ms(&rig.keeper), 0);
    keeper_wait(&rig, 0);
    ASSERT_DID("drop 1; drop 2; roll back 0");
    assert_true(stepd_keeper_is_open(&rig.keeper, 0));
}

static void rolled_back__while_control_is_lost__is_left_to_the_welcome(void **state)
{
    (void)state;
    lose_control();
    stepd_keeper_rolled_back(&rig.keeper);
    keeper_wait(&rig, 0);
    ASSERT_DID("");
    keeper_welcome(&rig, 0, 2);
    ASSERT_DID("drop 1; drop 2; roll back 0; resume 0");
}

/* ---- Leaving --------------------------------------------------------------------------------- */

static void leaving__the_session_is_not_known__ends_without_a_fuss(void **state)
{
    (void)state;
    stepd_keeper_leaving(&rig.keeper);
    lose_control();
    const unsigned before = rig.events;
    keeper_refuse(&rig, 0, STEPD_NOT_FOUND, "no session");
    ASSERT_DID("fail 0 NOT_FOUND; fail 1 NOT_FOUND; fail 2 NOT_FOUND");
    assert_int_equal(rig.events, before);
}

static void leaving__control_lost__is_resumed(void **state)
{
    (void)state;
    stepd_keeper_leaving(&rig.keeper);
    keeper_lose(&rig, 0);
    keeper_wait(&rig, 50);
    ASSERT_DID("drop 0; attempt 0 resume");
}

/* It has left as of what is no more. */
static void leaving__the_job_goes_back__is_taken_back(void **state)
{
    (void)state;
    stepd_keeper_leaving(&rig.keeper);
    lose_control();
    keeper_welcome(&rig, 0, 2);
    lose_control();
    (void)keeper_did(&rig);
    keeper_refuse(&rig, 0, STEPD_NOT_FOUND, "no session");
    ASSERT_DID("attempt 0 rejoin");
}

static void left__a_busy_link_is_lost_behind_control__wakes_control(void **state)
{
    (void)state;
    stepd_keeper_leaving(&rig.keeper);
    stepd_keeper_left(&rig.keeper);
    rig.busy[1] = true;
    keeper_lose(&rig, 0);
    ASSERT_DID("fail 0 UNAVAILABLE");
    keeper_lose(&rig, 1);
    keeper_wait(&rig, 0);
    ASSERT_DID("drop 1; attempt 0 resume");
}

static void left__control_is_lost_behind_a_busy_link__is_made_again(void **state)
{
    (void)state;
    stepd_keeper_leaving(&rig.keeper);
    stepd_keeper_left(&rig.keeper);
    rig.busy[1] = true;
    keeper_lose(&rig, 1);
    keeper_lose(&rig, 0);
    keeper_wait(&rig, 50);
    ASSERT_DID("drop 1; drop 0; attempt 0 resume");
}

static void left__the_job_goes_back__keeps_its_links_again(void **state)
{
    (void)state;
    stepd_keeper_leaving(&rig.keeper);
    stepd_keeper_left(&rig.keeper);
    rig.busy[0] = true;
    lose_control();
    keeper_welcome(&rig, 0, 2);
    rig.busy[0] = false;
    (void)keeper_did(&rig);
    keeper_lose(&rig, 0);
    ASSERT_DID("drop 0");
}

static void left__idle_links_lost__are_let_go_of(void **state)
{
    (void)state;
    stepd_keeper_leaving(&rig.keeper);
    stepd_keeper_left(&rig.keeper);
    keeper_lose(&rig, 1);
    keeper_lose(&rig, 0);
    ASSERT_DID("fail 1 UNAVAILABLE; fail 0 UNAVAILABLE");
    keeper_wait(&rig, 1000000);
    ASSERT_DID("");
    assert_int_equal(rig.events, 0);
}

static void left__a_link_that_is_asked_for_something__is_made_again_with_control(void **state)
{
    (void)state;
    stepd_keeper_leaving(&rig.keeper);
    stepd_keeper_left(&rig.keeper);
    assert_false(stepd_keeper_sleeps(&rig.keeper, 1));
    keeper_lose(&rig, 1);
    keeper_lose(&rig, 0);
    (void)keeper_did(&rig);
    rig.now_ms += 1000000;
    assert_true(stepd_keeper_sleeps(&rig.keeper, 1));
    keeper_want(&rig, 1);
    ASSERT_DID("attempt 0 resume");
    keeper_welcome(&rig, 0, 1);
    ASSERT_DID("resume 0; drop 2; attempt 1 resume; attempt 2 resume");
}

static void left__a_busy_link_lost__is_made_again(void **state)
{
    (void)state;
    stepd_keeper_leaving(&rig.keeper);
    stepd_keeper_left(&rig.keeper);
    rig.busy[1] = true;
    keeper_lose(&rig, 1);
    keeper_wait(&rig, 50);
    ASSERT_DID("drop 1; attempt 1 resume");
}

/* ---- Observers ------------------------------------------------------------------------------- */

static void observer__control_lost__joins_again_and_loses_nothing(void **state)
{
    (void)state;
    keeper_lose(&rig, 0);
    keeper_wait(&rig, 50);
    ASSERT_DID("drop 0; attempt 0 rejoin");
    keeper_welcome(&rig, 0, 1);
    ASSERT_DID("resume 0; drop 1; drop 2; attempt 1 resume; attempt 2 resume");
}

static void observer__job_of_another_incarnation__is_rolled_back(void **state)
{
    (void)state;
    lose_control();
    keeper_welcome(&rig, 0, 2);
    ASSERT_DID("drop 1; drop 2; roll back 0; resume 0");
}

static void observer__job_not_there__waits_for_its_workers(void **state)
{
    (void)state;
    lose_control();
    keeper_refuse(&rig, 0, STEPD_NOT_FOUND, "there is no job");
    keeper_wait(&rig, 1000);
    ASSERT_DID("attempt 0 rejoin");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, keeper_begin_standing, keeper_end)
#define TEST_OBSERVER(name)                                                                        \
    cmocka_unit_test_setup_teardown(name, keeper_begin_observing, keeper_end)
    const struct CMUnitTest tests[] = {
        TEST(session__not_known__joins_again_at_once),
        TEST(session__made_anew__rolls_back_and_asks_for_the_layout_first),
        TEST(session__made_anew__is_resumed_the_next_time),
        TEST(session__not_known_and_rejoining_fails__goes_on_rejoining),
        TEST(session__whose_rank_is_taken__ends_the_client),
        TEST(session__of_a_finished_job__ends_the_client_with_the_servers_words),
        TEST(session__not_known_to_a_shard__is_resumed_on_control),
        TEST(incarnation__other_than_before__rolls_back),
        TEST(incarnation__none_any_more__says_that_the_job_is_lost),
        TEST(incarnation__before_the_job_is_known__is_of_no_interest),
        TEST(layout__that_is_gone__fails_the_shards_and_leaves_control),
        TEST(layout__of_another_finding__closes_the_shards_links),
        TEST(job__that_is_known_no_more__cannot_be_rolled_back),
        TEST(control_lost__while_the_layout_is_asked_for__does_not_roll_back_twice),
        TEST(rolled_back__by_the_word_of_a_shard__is_acted_upon_at_the_next_tick),
        TEST(rolled_back__while_control_is_lost__is_left_to_the_welcome),
        TEST(leaving__the_session_is_not_known__ends_without_a_fuss),
        TEST(leaving__control_lost__is_resumed),
        TEST(leaving__the_job_goes_back__is_taken_back),
        TEST(left__a_busy_link_is_lost_behind_control__wakes_control),
        TEST(left__control_is_lost_behind_a_busy_link__is_made_again),
        TEST(left__the_job_goes_back__keeps_its_links_again),
        TEST(left__idle_links_lost__are_let_go_of),
        TEST(left__a_link_that_is_asked_for_something__is_made_again_with_control),
        TEST(left__a_busy_link_lost__is_made_again),
        TEST_OBSERVER(observer__control_lost__joins_again_and_loses_nothing),
        TEST_OBSERVER(observer__job_of_another_incarnation__is_rolled_back),
        TEST_OBSERVER(observer__job_not_there__waits_for_its_workers),
    };
    return cmocka_run_group_tests_name("client_keeper_session", tests, NULL, NULL);
}
