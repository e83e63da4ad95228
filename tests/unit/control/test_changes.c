/* SPDX-License-Identifier: Apache-2.0
 *
 * Changes that all shards make at one version: what control proposes, and when it decides. Here it
 * is workers that join.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "brain_fixture.h"

/* A sync job that runs with one worker and takes up to four. */
static struct peer *open_job(struct brain *brain)
{
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_define_with(peer, "j", STEPD_SYNC, 4, "workers_min=1");
    return peer;
}

/* A worker says Hello, which is not answered before the shards have agreed. */
static struct peer *change(struct brain *brain, uint32_t rank)
{
    struct peer *peer = peer_open(brain);
    peer_request(peer, hello_worker("j", (int32_t)rank));
    return peer;
}

static uint64_t proposed(const struct brain *brain, uint32_t shard)
{
    return brain_newest(brain, shard, ORDER_PROPOSE)->version;
}

static void change__added__is_proposed_to_all_two_versions_ahead(void **state)
{
    struct brain *brain = *state;
    (void)open_job(brain);
    (void)change(brain, 1);
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        assert_int_equal(proposed(brain, shard), 2);
    assert_int_equal(brain_count(brain, 0, ORDER_CHANGE), 0);
}

static void change__all_have_agreed__is_made_at_that_version(void **state)
{
    struct brain *brain = *state;
    (void)open_job(brain);
    (void)change(brain, 1);
    brain_proposed(brain, 0, 1);
    assert_int_equal(brain_count(brain, 0, ORDER_CHANGE), 0);
    brain_proposed(brain, 1, 2);
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++) {
        const struct order *order = brain_newest(brain, shard, ORDER_CHANGE);
        assert_int_equal(order->version, 2);
        assert_int_equal(order->from, 2);
        assert_int_equal(order->rank, 1);
    }
    assert_non_null(strstr(brain->log, "job_changed job=\"j\" change=member version=2\n"));
}

static void change__one_shard_is_ahead__is_proposed_again_two_versions_later(void **state)
{
    struct brain *brain = *state;
    (void)open_job(brain);
    (void)change(brain, 1);
    brain_proposed(brain, 0, 17);
    brain_proposed(brain, 1, 1);
    assert_int_equal(brain_count(brain, 0, ORDER_CHANGE), 0);
    assert_int_equal(proposed(brain, 0), 19);
    assert_int_equal(proposed(brain, 1), 19);
}

static void change__outrun_again_and_again__is_given_more_and_more_room(void **state)
{
    struct brain *brain = *state;
    (void)open_job(brain);
    (void)change(brain, 1);
    brain_proposed_all(brain, 10);
    assert_int_equal(proposed(brain, 0), 12);
    brain_proposed_all(brain, 20);
    assert_int_equal(proposed(brain, 0), 24);
    brain_proposed_all(brain, 30);
    assert_int_equal(proposed(brain, 0), 38);
}

static void change__answer_to_an_older_proposal__decides_nothing(void **state)
{
    struct brain *brain = *state;
    (void)open_job(brain);
    (void)change(brain, 1);
    const uint64_t older = brain_newest(brain, 1, ORDER_PROPOSE)->query;
    brain_proposed(brain, 0, 17);
    brain_proposed(brain, 1, 17);
    struct notice *late = notice_create(NOTICE_PROPOSED, "j");
    late->shard = 1;
    late->query = older;
    late->agreed = true;
    brain_proposed(brain, 0, 18);
    control_on_notice(brain->control, late, brain->now_ms);
    assert_int_equal(brain_count(brain, 0, ORDER_CHANGE), 0);
}

static void change__not_answered__is_proposed_again(void **state)
{
    struct brain *brain = *state;
    (void)open_job(brain);
    (void)change(brain, 1);
    brain_proposed(brain, 0, 1);
    brain_wait(brain, 999);
    assert_int_equal(brain_count(brain, 1, ORDER_PROPOSE), 1);
    brain_wait(brain, 1);
    assert_int_equal(brain_count(brain, 0, ORDER_PROPOSE), 2);
    assert_int_equal(brain_count(brain, 1, ORDER_PROPOSE), 2);
    brain_proposed_all(brain, 1);
    assert_int_equal(brain_count(brain, 1, ORDER_CHANGE), 1);
}

static void change__behind_another__is_proposed_when_that_is_made(void **state)
{
    struct brain *brain = *state;
    (void)open_job(brain);
    (void)change(brain, 1);
    (void)change(brain, 3);
    assert_int_equal(brain_count(brain, 0, ORDER_PROPOSE), 1);
    brain_proposed_all(brain, 1);
    assert_int_equal(brain_newest(brain, 0, ORDER_CHANGE)->rank, 1);
    assert_true(brain_place(brain, ORDER_PROPOSE) > brain_place(brain, ORDER_CHANGE));
    brain_proposed_all(brain, 1);
    assert_int_equal(brain_newest(brain, 0, ORDER_CHANGE)->rank, 3);
    brain_wait(brain, 5000);
    assert_int_equal(brain_count(brain, 0, ORDER_PROPOSE), 2);
}

static void change__of_a_job_that_has_failed__is_made_no_more(void **state)
{
    struct brain *brain = *state;
    struct stepd_message hello = hello_worker("j", 0);
    hello.body.hello.lease_ms = 1000;
    peer_define_with(peer_join(brain, hello), "j", STEPD_SYNC, 4, "workers_min=1 on_loss=fail");
    struct peer *joiner = change(brain, 1);
    brain_wait(brain, 1000);
    brain_proposed_all(brain, 1);
    assert_int_equal(brain_count(brain, 0, ORDER_CHANGE), 0);
    peer_assert_error(joiner, STEPD_FAILED_PRECONDITION, "rank 0 (worker 'w0') was silent");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, brain_setup, brain_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(change__added__is_proposed_to_all_two_versions_ahead),
        TEST(change__all_have_agreed__is_made_at_that_version),
        TEST(change__one_shard_is_ahead__is_proposed_again_two_versions_later),
        TEST(change__outrun_again_and_again__is_given_more_and_more_room),
        TEST(change__answer_to_an_older_proposal__decides_nothing),
        TEST(change__not_answered__is_proposed_again),
        TEST(change__behind_another__is_proposed_when_that_is_made),
        TEST(change__of_a_job_that_has_failed__is_made_no_more),
    };
    return cmocka_run_group_tests_name("control/changes", tests, NULL, NULL);
}
