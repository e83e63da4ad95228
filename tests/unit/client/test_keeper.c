/* SPDX-License-Identifier: Apache-2.0
 *
 * When links are tried, for how long, and what is said of them. Virtual time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "tests/unit/client/keeper_bench.h"

/* ---- The first time -------------------------------------------------------------------------- */

static void open__of_control__is_tried_at_once(void **state)
{
    (void)state;
    keeper_want(&rig, 0);
    ASSERT_DID("attempt 0 new");
}

static void open__of_a_shard_without_control__waits(void **state)
{
    (void)state;
    keeper_want(&rig, 0);
    keeper_want(&rig, 1);
    ASSERT_DID("attempt 0 new");
    keeper_welcome(&rig, 0, 0);
    ASSERT_DID("resume 0; attempt 1 resume");
}

static void open__that_fails__is_tried_until_somebody_forgets_it(void **state)
{
    (void)state;
    keeper_want(&rig, 0);
    for (int i = 0; i < 1000; i++) {
        keeper_refuse(&rig, 0, STEPD_UNAVAILABLE, "nobody");
        (void)keeper_did(&rig);
        keeper_wait(&rig, STEPD_KEEPER_LAST_OPENING_MS);
        ASSERT_DID("attempt 0 new");
    }
    stepd_keeper_forget(&rig.keeper, 0);
    ASSERT_DID("drop 0");
    keeper_wait(&rig, 100000);
    ASSERT_DID("");
}

static void open__that_the_server_refuses__is_over_and_says_why(void **state)
{
    (void)state;
    keeper_want(&rig, 0);
    assert_null(stepd_keeper_refusal(&rig.keeper, 0));
    keeper_refuse(&rig, 0, STEPD_ALREADY_EXISTS, "taken");
    assert_string_equal(stepd_keeper_refusal(&rig.keeper, 0)->text, "taken");
    (void)keeper_did(&rig);
    keeper_wait(&rig, 100000);
    ASSERT_DID("");
    keeper_want(&rig, 0); /* the client is still of use */
    ASSERT_DID("attempt 0 new");
}

static void open__of_a_job_without_a_free_rank__is_over(void **state)
{
    (void)state;
    keeper_want(&rig, 0);
    keeper_refuse(&rig, 0, STEPD_RESOURCE_EXHAUSTED, "all ranks are taken");
    assert_int_equal(stepd_keeper_refusal(&rig.keeper, 0)->code, STEPD_RESOURCE_EXHAUSTED);
}

static void forget__of_a_link_that_has_stood__changes_nothing(void **state)
{
    (void)state;
    stepd_keeper_forget(&rig.keeper, 1);
    keeper_lose(&rig, 1);
    (void)keeper_did(&rig);
    stepd_keeper_forget(&rig.keeper, 1);
    keeper_wait(&rig, 50);
    ASSERT_DID("attempt 1 resume");
}

static void open__without_an_answer__is_tried_anew(void **state)
{
    (void)state;
    keeper_want(&rig, 0);
    keeper_wait(&rig, STEPD_KEEPER_ATTEMPT_MS - 1);
    ASSERT_DID("attempt 0 new");
    keeper_wait(&rig, 1 + STEPD_KEEPER_LAST_OPENING_MS);
    ASSERT_DID("drop 0; attempt 0 new");
    assert_string_equal(stepd_keeper_last(&rig.keeper, 0)->text, "no answer to a Hello for 10 s");
}

/* ---- Lost links ------------------------------------------------------------------------------ */

static void lost__shard__is_made_again_alone(void **state)
{
    (void)state;
    keeper_lose(&rig, 2);
    keeper_wait(&rig, STEPD_KEEPER_FIRST_MS);
    ASSERT_DID("drop 2; attempt 2 resume");
    keeper_welcome(&rig, 2, 1);
    ASSERT_DID("resume 2");
}

static void lost__control__is_resumed_and_then_the_shards_are_opened(void **state)
{
    (void)state;
    keeper_lose(&rig, 0);
    keeper_wait(&rig, STEPD_KEEPER_FIRST_MS);
    ASSERT_DID("drop 0; attempt 0 resume");
    keeper_welcome(&rig, 0, 1);
    ASSERT_DID("resume 0; drop 1; drop 2; attempt 1 resume; attempt 2 resume");
}

static void lost__all__wait_for_control(void **state)
{
    (void)state;
    keeper_lose(&rig, 1);
    keeper_lose(&rig, 0);
    keeper_lose(&rig, 2);
    (void)keeper_did(&rig);
    keeper_wait(&rig, 5000);
    ASSERT_DID("attempt 0 resume");
    keeper_welcome(&rig, 0, 1);
    ASSERT_DID("resume 0; attempt 1 resume; attempt 2 resume");
}

static void lost__control_during_an_attempt_at_a_shard__drops_the_attempt(void **state)
{
    (void)state;
    keeper_lose(&rig, 1);
    keeper_wait(&rig, 50);
    keeper_lose(&rig, 0);
    keeper_wait(&rig, 50);
    ASSERT_DID("drop 1; attempt 1 resume; drop 0; attempt 0 resume");
    keeper_welcome(&rig, 0, 1);
    ASSERT_DID("resume 0; drop 1; drop 2; attempt 1 resume; attempt 2 resume");
}

static void lost__again_and_again__waits_at_random_below_a_bound_that_doubles(void **state)
{
    static const uint32_t bounds[] = {50, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000};
    (void)state;
    rig.highest = 500;
    keeper_lose(&rig, 2);
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        (void)keeper_did(&rig);
        assert_int_equal(rig.asked_most, bounds[i]);
        assert_int_equal(stepd_keeper_next_ms(&rig.keeper), rig.now_ms + bounds[i] / 2);
        keeper_wait(&rig, bounds[i] / 2);
        ASSERT_DID("attempt 2 resume");
        keeper_refuse(&rig, 2, STEPD_UNAVAILABLE, "nobody");
    }
}

static void lost__refused_with_a_word_that_may_change__is_tried_again(void **state)
{
    static const enum stepd_status codes[] = {STEPD_UNAVAILABLE, STEPD_DEADLINE_EXCEEDED,
                                              STEPD_RESOURCE_EXHAUSTED, STEPD_INTERNAL};

    (void)state;
    keeper_lose(&rig, 0);
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        (void)keeper_did(&rig);
        keeper_wait(&rig, STEPD_KEEPER_LAST_MS);
        ASSERT_DID("attempt 0 resume");
        keeper_refuse(&rig, 0, codes[i], "not now");
    }
}

static void lost__with_a_word_that_does_not_change__ends_the_client(void **state)
{
    struct stepd_error error;
    (void)state;
    (void)stepd_fail(&error, STEPD_INVALID_ARGUMENT, "a bad frame");
    stepd_keeper_lost(&rig.keeper, 1, &error, rig.now_ms);
    ASSERT_DID("fail 0 INVALID_ARGUMENT; fail 1 INVALID_ARGUMENT; fail 2 INVALID_ARGUMENT");
    assert_int_equal(stepd_keeper_open(&rig.keeper, 1, rig.now_ms, &error), STEPD_INVALID_ARGUMENT);
}

/* ---- The budget ------------------------------------------------------------------------------ */

static void budget__used_up__gives_up_and_says_what_was_tried(void **state)
{
    (void)state;
    keeper_lose(&rig, 0);
    keeper_fail_for(&rig, 0, KEEPER_BUDGET_MS - 1);
    assert_false(rig.keeper.over);
    (void)keeper_did(&rig);
    keeper_fail_for(&rig, 0, 1);
    ASSERT_DID("fail 0 UNAVAILABLE; fail 1 UNAVAILABLE; fail 2 UNAVAILABLE");
    assert_non_null(strstr(rig.failed.text, "link 0 broke; 60.0 s without it and "));
    assert_non_null(strstr(rig.failed.text, "the last: nobody is there"));
    keeper_wait(&rig, 1000000);
    ASSERT_DID("");
}

static void budget__of_attempts_that_nobody_answers__is_used_up(void **state)
{
    (void)state;
    keeper_lose(&rig, 0);
    keeper_wait(&rig, KEEPER_BUDGET_MS - 1);
    assert_false(rig.keeper.over);
    keeper_wait(&rig, 1);
    assert_true(rig.keeper.over);
}

static void budget__of_nothing__leaves_the_link_lost_and_the_others_alone(void **state)
{
    (void)state;
    rig.keeper.budget_ms = 0;
    keeper_lose(&rig, 1);
    ASSERT_DID("fail 1 UNAVAILABLE");
    assert_int_equal(rig.events, 0);
    keeper_wait(&rig, 1000000);
    ASSERT_DID("");
    assert_true(stepd_keeper_is_open(&rig.keeper, 0));
    assert_true(stepd_keeper_is_open(&rig.keeper, 2));
}

static void budget__of_a_link_that_answers_nothing__is_used_up_however_often_it_opens(void **state)
{
    unsigned times = 0;
    (void)state;
    rig.busy[1] = true;
    keeper_lose(&rig, 1);
    while (!rig.keeper.over) {
        keeper_wait(&rig, STEPD_KEEPER_LAST_MS);
        if (rig.keeper.over)
            break;
        keeper_welcome(&rig, 1, 1);
        keeper_wait(&rig, 30000); /* it stands, and is busy */
        keeper_lose(&rig, 1);
        assert_true(++times < 1000);
    }
    assert_true(times > 10);
    assert_non_null(strstr(rig.failed.text, "have led to no answer"));
}

static void budget__after_an_answer__begins_anew(void **state)
{
    (void)state;
    rig.busy[1] = true;
    for (int i = 0; i < 3; i++) {
        keeper_lose(&rig, 1);
        keeper_fail_for(&rig, 1, KEEPER_BUDGET_MS - 10000);
        keeper_wait(&rig, STEPD_KEEPER_LAST_MS);
        keeper_welcome(&rig, 1, 1);
        stepd_keeper_answered(&rig.keeper, 1);
    }
    keeper_lose(&rig, 1);
    assert_int_equal(rig.asked_most, STEPD_KEEPER_FIRST_MS);
    assert_false(rig.keeper.over);
}

static void budget__of_an_idle_link_that_has_stood_for_a_while__begins_anew(void **state)
{
    (void)state;
    keeper_lose(&rig, 1);
    keeper_fail_for(&rig, 1, 20000);
    keeper_wait(&rig, STEPD_KEEPER_LAST_MS);
    keeper_welcome(&rig, 1, 1);
    keeper_wait(&rig, STEPD_KEEPER_STABLE_MS - 1);
    keeper_lose(&rig, 1);
    assert_true(rig.asked_most > STEPD_KEEPER_FIRST_MS);
    keeper_wait(&rig, STEPD_KEEPER_LAST_MS);
    keeper_welcome(&rig, 1, 1);
    keeper_wait(&rig, STEPD_KEEPER_STABLE_MS);
    keeper_lose(&rig, 1);
    assert_int_equal(rig.asked_most, STEPD_KEEPER_FIRST_MS);
}

static void attempt__at_a_lost_link_without_an_answer__has_failed_after_a_while(void **state)
{
    (void)state;
    keeper_lose(&rig, 0);
    keeper_wait(&rig, STEPD_KEEPER_FIRST_MS + STEPD_KEEPER_ATTEMPT_MS);
    ASSERT_DID("drop 0; attempt 0 resume; drop 0");
    keeper_wait(&rig, UINT64_C(2) * STEPD_KEEPER_FIRST_MS);
    ASSERT_DID("attempt 0 resume");
}

int main(void)
{
#define TEST(name)          cmocka_unit_test_setup_teardown(name, keeper_begin, keeper_end)
#define TEST_STANDING(name) cmocka_unit_test_setup_teardown(name, keeper_begin_standing, keeper_end)
    const struct CMUnitTest tests[] = {
        TEST(open__of_control__is_tried_at_once),
        TEST(open__of_a_shard_without_control__waits),
        TEST(open__that_fails__is_tried_until_somebody_forgets_it),
        TEST(open__that_the_server_refuses__is_over_and_says_why),
        TEST(open__of_a_job_without_a_free_rank__is_over),
        TEST(open__without_an_answer__is_tried_anew),
        TEST_STANDING(forget__of_a_link_that_has_stood__changes_nothing),
        TEST_STANDING(lost__shard__is_made_again_alone),
        TEST_STANDING(lost__control__is_resumed_and_then_the_shards_are_opened),
        TEST_STANDING(lost__all__wait_for_control),
        TEST_STANDING(lost__control_during_an_attempt_at_a_shard__drops_the_attempt),
        TEST_STANDING(lost__again_and_again__waits_at_random_below_a_bound_that_doubles),
        TEST_STANDING(lost__refused_with_a_word_that_may_change__is_tried_again),
        TEST_STANDING(lost__with_a_word_that_does_not_change__ends_the_client),
        TEST_STANDING(budget__used_up__gives_up_and_says_what_was_tried),
        TEST_STANDING(budget__of_attempts_that_nobody_answers__is_used_up),
        TEST_STANDING(budget__of_nothing__leaves_the_link_lost_and_the_others_alone),
        TEST_STANDING(budget__of_a_link_that_answers_nothing__is_used_up_however_often_it_opens),
        TEST_STANDING(budget__after_an_answer__begins_anew),
        TEST_STANDING(budget__of_an_idle_link_that_has_stood_for_a_while__begins_anew),
        TEST_STANDING(attempt__at_a_lost_link_without_an_answer__has_failed_after_a_while),
    };
    return cmocka_run_group_tests_name("client_keeper", tests, NULL, NULL);
}
