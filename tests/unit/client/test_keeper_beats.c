/* SPDX-License-Identifier: Apache-2.0
 *
 * Heartbeats, what is told of the links, and what holds whatever happens to them. Virtual time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "tests/lib/random.h"
#include "tests/unit/client/keeper_bench.h"

/* ---- Heartbeats ------------------------------------------------------------------------------ */

static void beat__answered__is_sent_and_nothing_else(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        rig.now_ms += 1000;
        assert_true(stepd_keeper_beat(&rig.keeper, /* heard= */ true, rig.now_ms));
    }
    ASSERT_DID("");
}

static void beat__three_unanswered__loses_control(void **state)
{
    (void)state;
    assert_true(stepd_keeper_beat(&rig.keeper, true, rig.now_ms));
    for (int i = 0; i < 2; i++)
        assert_true(stepd_keeper_beat(&rig.keeper, false, rig.now_ms += 1000));
    assert_false(stepd_keeper_beat(&rig.keeper, false, rig.now_ms += 1000));
    ASSERT_DID("drop 0");
    assert_non_null(strstr(rig.text, "3 heartbeats without an answer in 3.0 s"));
}

static void beat__many_unanswered_in_no_time__goes_on(void **state)
{
    (void)state;
    for (uint64_t gone = 0; gone < STEPD_KEEPER_SILENCE_MS; gone += 10)
        assert_true(stepd_keeper_beat(&rig.keeper, false, rig.now_ms + gone));
    assert_false(stepd_keeper_beat(&rig.keeper, false, rig.now_ms + STEPD_KEEPER_SILENCE_MS));
}

/* A process that was stopped finds the answer waiting when it goes on. */
static void beat__after_a_long_stop__waits_for_the_answer_that_may_be_there(void **state)
{
    (void)state;
    assert_true(stepd_keeper_beat(&rig.keeper, true, rig.now_ms));
    rig.now_ms += 100000;
    assert_true(stepd_keeper_beat(&rig.keeper, false, rig.now_ms));
    assert_true(stepd_keeper_beat(&rig.keeper, true, rig.now_ms += 1000));
    ASSERT_DID("");
}

static void beat__while_control_is_lost__is_not_sent(void **state)
{
    (void)state;
    keeper_lose(&rig, 0);
    assert_false(stepd_keeper_beat(&rig.keeper, false, rig.now_ms += 1000));
    keeper_wait(&rig, 1000);
    keeper_welcome(&rig, 0, 1);
    assert_true(stepd_keeper_beat(&rig.keeper, false, rig.now_ms));
}

static void beat__with_no_budget__never_loses_control(void **state)
{
    (void)state;
    rig.keeper.budget_ms = 0;
    for (int i = 0; i < 100; i++)
        assert_true(stepd_keeper_beat(&rig.keeper, false, rig.now_ms += 1000));
}

/* ---- What is told ---------------------------------------------------------------------------- */

static void events__of_a_control_link_lost__are_one_loss_and_one_return(void **state)
{
    (void)state;
    keeper_lose(&rig, 0);
    assert_int_equal(rig.event.kind, STEPD_EVENT_LOST);
    assert_string_equal(rig.event.text, "link 0 broke");
    keeper_lose(&rig, 1);
    keeper_wait(&rig, 50);
    keeper_refuse(&rig, 0, STEPD_UNAVAILABLE, "nobody");
    keeper_wait(&rig, 100);
    keeper_welcome(&rig, 0, 1);
    keeper_welcome(&rig, 1, 1);
    assert_int_equal(rig.events, 1);
    rig.now_ms += 10;
    keeper_welcome(&rig, 2, 1);
    assert_int_equal(rig.events, 2);
    assert_int_equal(rig.event.kind, STEPD_EVENT_BACK);
    assert_int_equal(rig.event.attempts, 4); /* two at control, one at each shard */
    assert_int_equal(rig.event.down_ms, 160);
}

static void events__given_up__say_why(void **state)
{
    (void)state;
    keeper_lose(&rig, 0);
    keeper_fail_for(&rig, 0, KEEPER_BUDGET_MS);
    assert_int_equal(rig.event.kind, STEPD_EVENT_ENDED);
    assert_int_equal(rig.event.code, STEPD_UNAVAILABLE);
    assert_string_equal(rig.event.text, rig.failed.text);
}

static void explain__of_a_shard__names_its_loss_or_controls(void **state)
{
    struct stepd_error error;
    (void)state;
    keeper_lose(&rig, 1);
    rig.now_ms += 20;
    stepd_keeper_explain(&rig.keeper, 1, rig.now_ms, &error);
    assert_int_equal(error.code, STEPD_DEADLINE_EXCEEDED);
    assert_string_equal(error.text, "link 1 broke; that was 0.0 s ago, and it is being made again");
    keeper_lose(&rig, 0);
    for (int i = 0; i < 2; i++) {
        keeper_wait(&rig, i == 0 ? 50 : 100);
        keeper_refuse(&rig, 0, STEPD_UNAVAILABLE, "nobody");
    }
    rig.now_ms += 1000;
    stepd_keeper_explain(&rig.keeper, 1, rig.now_ms, &error);
    assert_string_equal(error.text,
                        "link 0 broke; 1.1 s without it and 2 attempts to connect again "
                        "have led to no answer, the last: nobody");
}

/* ---- At random ------------------------------------------------------------------------------- */

/* One thing that the world may do. */
static void disturb(struct random *random)
{
    const uint32_t shard = (uint32_t)random_below(random, 3);
    const struct stepd_kept_link *const link = &rig.keeper.link[shard];
    rig.highest = (uint32_t)random_below(random, 1001);
    rig.busy[shard] = random_once_in(random, 2);
    if (link->state == STEPD_KEPT_OPEN) {
        if (random_once_in(random, 3))
            stepd_keeper_answered(&rig.keeper, shard);
        else
            keeper_lose(&rig, shard);
    } else if (link->state == STEPD_KEPT_TRYING) {
        if (random_once_in(random, 3))
            keeper_refuse(&rig, shard, STEPD_UNAVAILABLE, "nobody");
        else
            keeper_welcome(&rig, shard, 1);
    }
    keeper_wait(&rig, random_below(random, 300));
}

/* What stands has been resumed, and nothing else has; and something is due while one is missing. */
static void check_rules(uint64_t seed)
{
    bool missing = false;
    for (uint32_t i = 0; i < 3; i++) {
        const bool stands = stepd_keeper_is_open(&rig.keeper, i);
        missing = missing || !stands;
        if (stands != rig.resumed[i])
            fail_msg("seed %llu: link %u is in state %u", (unsigned long long)seed, i,
                     rig.keeper.link[i].state);
    }
    if (missing && stepd_keeper_next_ms(&rig.keeper) == UINT64_MAX)
        fail_msg("seed %llu: a link is missing and nothing is due", (unsigned long long)seed);
}

/* All attempts succeed from now on. */
static void calm_down(void)
{
    for (int i = 0; i < 10; i++) {
        keeper_wait(&rig, STEPD_KEEPER_LAST_MS);
        for (uint32_t shard = 0; shard < 3; shard++) {
            if (rig.keeper.link[shard].state == STEPD_KEPT_TRYING)
                keeper_welcome(&rig, shard, 1);
        }
        (void)keeper_did(&rig);
    }
}

static void lose_at_random(uint64_t seed)
{
    struct random random = {.state = seed};
    for (int i = 0; i < 60; i++) {
        disturb(&random);
        if (rig.keeper.over)
            return;
        check_rules(seed);
        (void)keeper_did(&rig);
    }
    calm_down();
    for (uint32_t shard = 0; shard < 3; shard++) {
        if (!stepd_keeper_is_open(&rig.keeper, shard))
            fail_msg("seed %llu: link %u does not come back", (unsigned long long)seed, shard);
    }
    check_rules(seed);
}

static void keeper__random_losses__keeps_its_rules_and_comes_back(void **state)
{
    unsigned over = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        keeper_teardown(&rig);
        keeper_setup(&rig);
        keeper_stand(&rig);
        lose_at_random(seed);
        over += rig.keeper.over;
    }
    assert_in_range(over, 0, 1000); /* most of them live to the end */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, keeper_begin_standing, keeper_end)
    const struct CMUnitTest tests[] = {
        TEST(beat__answered__is_sent_and_nothing_else),
        TEST(beat__three_unanswered__loses_control),
        TEST(beat__many_unanswered_in_no_time__goes_on),
        TEST(beat__after_a_long_stop__waits_for_the_answer_that_may_be_there),
        TEST(beat__while_control_is_lost__is_not_sent),
        TEST(beat__with_no_budget__never_loses_control),
        TEST(events__of_a_control_link_lost__are_one_loss_and_one_return),
        TEST(events__given_up__say_why),
        TEST(explain__of_a_shard__names_its_loss_or_controls),
        TEST(keeper__random_losses__keeps_its_rules_and_comes_back),
    };
    return cmocka_run_group_tests_name("client_keeper_beats", tests, NULL, NULL);
}
