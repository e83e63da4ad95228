/* SPDX-License-Identifier: Apache-2.0
 *
 * How control gets a snapshot from its shards, and what it adds to it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "shard_shares.h"

static const uint64_t clocks[2] = {5, 5};

/* A job of two workers that runs; *ret_peers are ranks 0 and 1. */
static void start(struct brain *brain, enum stepd_mode mode, struct peer **ret_peers)
{
    ret_peers[0] = peer_join(brain, hello_worker("j", 0));
    ret_peers[1] = peer_join(brain, hello_worker("j", 1));
    shares_define(ret_peers[0], mode, 2);
}

static enum stepd_status begin(struct brain *brain, struct stepd_error *reterr)
{
    return control_snapshot(brain->control, "j", brain->now_ms, reterr);
}

static void assert_not_begun(struct brain *brain, enum stepd_status code, const char *words)
{
    struct stepd_error error = {.text = ""};
    assert_int_equal(begin(brain, &error), code);
    if (strstr(error.text, words) == NULL)
        fail_msg("'%s' is not in: %s", words, error.text);
}

static void assert_told(const struct brain *brain, enum stepd_status code, const char *words)
{
    assert_int_equal(brain->snapshots, 1);
    assert_null(brain->snapshot);
    assert_int_equal(brain->snapshot_error.code, code);
    if (strstr(brain->snapshot_error.text, words) == NULL)
        fail_msg("'%s' is not in: %s", words, brain->snapshot_error.text);
}

/* ---- Beginning ------------------------------------------------------------------------------- */

static void snapshot__of_a_sync_job__is_ordered_at_a_version(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start(brain, STEPD_SYNC, peer);
    assert_int_equal(begin(brain, NULL), STEPD_OK);
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        assert_int_equal(brain_newest(brain, shard, ORDER_SNAPSHOT)->version, 0);
}

static void snapshot__of_an_async_job__is_ordered_as_it_stands(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start(brain, STEPD_ASYNC, peer);
    assert_int_equal(begin(brain, NULL), STEPD_OK);
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        assert_true(brain_newest(brain, shard, ORDER_SNAPSHOT)->version == JOB_STATE_AS_IT_STANDS);
}

static void snapshot__of_an_unknown_job__is_refused(void **state)
{
    assert_not_begun(*state, STEPD_NOT_FOUND, "there is no job 'j'");
}

static void snapshot__of_a_job_that_is_not_open__is_refused(void **state)
{
    struct brain *brain = *state;
    (void)peer_join(brain, hello_worker("j", 0));
    assert_not_begun(brain, STEPD_FAILED_PRECONDITION, "is not open on the shards yet");
}

static void snapshot__of_a_job_that_has_failed__is_refused(void **state)
{
    struct brain *brain = *state;
    const struct stepd_setting settings[] = {{.name = "on_loss", .word = "fail"}};
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    struct stepd_message job = define_job(STEPD_SYNC, 1);
    job.body.define_job.settings = (struct stepd_settings){.count = 1, .at = settings};
    peer_request(peer, job);
    peer_request(peer, define_tensor(SHARES_ELEMENTS));
    brain_opened_all(brain, "j");
    brain_wait(brain, BRAIN_LEASE_MS);
    assert_not_begun(brain, STEPD_FAILED_PRECONDITION, "job 'j'");
}

static void snapshot__beside_another__is_refused(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start(brain, STEPD_SYNC, peer);
    assert_int_equal(begin(brain, NULL), STEPD_OK);
    assert_not_begun(brain, STEPD_FAILED_PRECONDITION, "is under way");
}

/* ---- Attempts -------------------------------------------------------------------------------- */

static void snapshot__that_came_too_late__is_called_off_on_all_shards(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start(brain, STEPD_SYNC, peer);
    assert_int_equal(begin(brain, NULL), STEPD_OK);
    const uint64_t number = brain_newest(brain, 0, ORDER_SNAPSHOT)->query;
    shares_refuse(brain, 0, STEPD_OUT_OF_RANGE, 7);
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        assert_int_equal(brain_newest(brain, shard, ORDER_SNAPSHOT_END)->query, number);
}

static void snapshot__that_came_too_late__is_ordered_further_and_further_ahead(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start(brain, STEPD_SYNC, peer);
    assert_int_equal(begin(brain, NULL), STEPD_OK);
    const uint64_t ahead[] = {0, 1, 3, 7};
    for (uint64_t i = 0; i < 4; i++) {
        shares_refuse(brain, i % 2, STEPD_OUT_OF_RANGE, 100 * i);
        for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
            assert_int_equal(brain_newest(brain, shard, ORDER_SNAPSHOT)->version,
                             100 * i + ahead[i]);
    }
}

static void answer__to_an_attempt_that_is_over__changes_nothing(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start(brain, STEPD_SYNC, peer);
    assert_int_equal(begin(brain, NULL), STEPD_OK);
    struct job_state *share = shares_make(brain, 1, 0, clocks);
    struct notice *late = notice_create(NOTICE_SNAPSHOT, "j");
    assert_non_null(late);
    late->shard = 1;
    late->query = brain_newest(brain, 1, ORDER_SNAPSHOT)->query;
    late->state = share;
    shares_refuse(brain, 0, STEPD_OUT_OF_RANGE, 7);
    control_on_notice(brain->control, late, brain->now_ms);
    struct job_state *right = shares_make(brain, 0, 7, clocks);
    shares_give(brain, 0, right);
    assert_int_equal(brain->snapshots, 0); /* shard 1 has not answered yet */
    (void)job_state_unref(share);
    (void)job_state_unref(right);
}

static void snapshot__that_a_shard_refuses__is_over(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start(brain, STEPD_SYNC, peer);
    assert_int_equal(begin(brain, NULL), STEPD_OK);
    shares_refuse(brain, 1, STEPD_RESOURCE_EXHAUSTED, 0);
    assert_told(brain, STEPD_RESOURCE_EXHAUSTED, "shard 1 cannot");
    assert_int_equal(brain_count(brain, 0, ORDER_SNAPSHOT_END), 1);
    assert_int_equal(begin(brain, NULL), STEPD_OK);
}

static void snapshot__that_takes_too_long__says_who_is_missing(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start(brain, STEPD_SYNC, peer);
    assert_int_equal(begin(brain, NULL), STEPD_OK);
    struct job_state *share = shares_make(brain, 0, 0, clocks);
    shares_give(brain, 0, share);
    brain_wait(brain, BRAIN_WAIT_MAX_MS - 1);
    assert_int_equal(brain->snapshots, 0);
    brain_wait(brain, 1);
    assert_told(brain, STEPD_DEADLINE_EXCEEDED,
                "no snapshot of job 'j' yet: 1 of 2 shards have slices that have not "
                "closed version 0");
    assert_int_equal(brain_count(brain, 0, ORDER_SNAPSHOT_END), 1);
    (void)job_state_unref(share);
}

/* ---- What is in it --------------------------------------------------------------------------- */

static void snapshot__when_all_shards_have_answered__has_their_parts(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start(brain, STEPD_SYNC, peer);
    assert_int_equal(begin(brain, NULL), STEPD_OK);
    struct job_state *share[BRAIN_SHARDS];
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++) {
        share[shard] = shares_make(brain, shard, 0, clocks);
        shares_give(brain, shard, share[shard]);
    }
    assert_non_null(brain->snapshot);
    assert_int_equal(brain->snapshot->shares, BRAIN_SHARDS);
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        assert_ptr_equal(brain->snapshot->share[shard], share[shard]);
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        (void)job_state_unref(share[shard]);
}

static void snapshot__of_a_running_job__has_members_and_their_sessions(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start(brain, STEPD_SYNC, peer);
    peer_request(peer[1],
                 (struct stepd_message){.kind = STEPD_MESSAGE_REPORT,
                                        .body.report = {.clock = 4, .loss = 0.5, .examples = 64}});
    struct peer *again = peer_join(brain, hello_resume(peer[1]));
    struct shares_taken taken = shares_take(brain, 5, clocks);
    assert_true(taken.snapshot.started);
    assert_int_equal(taken.snapshot.incarnation, 1);
    assert_string_equal(taken.snapshot.job->name, "j");
    assert_int_equal(taken.snapshot.members, 2);
    const struct member_snapshot *member = &taken.snapshot.member[1];
    assert_int_equal(member->rank, 1);
    assert_string_equal(member->worker, "w1");
    assert_memory_equal(member->session, again->session, STEPD_SESSION_BYTES);
    assert_int_equal(member->epoch, 2);
    assert_int_equal(member->lease_ms, BRAIN_LEASE_MS);
    assert_false(member->left);
    assert_int_equal(member->reported_clock, 4);
    assert_true(member->loss == 0.5);
    assert_int_equal(member->examples, 64);
    shares_taken_deinit(&taken);
}

static void snapshot__of_a_job_that_waits_for_workers__has_not_started(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 1));
    shares_define(peer, STEPD_SYNC, 2);
    struct shares_taken taken = shares_take(brain, 0, clocks);
    assert_false(taken.snapshot.started);
    assert_int_equal(taken.snapshot.members, 1);
    assert_int_equal(taken.snapshot.member[0].rank, 1);
    shares_taken_deinit(&taken);
}

static void member__that_left_at_a_version_up_to_the_snapshots__has_left(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start(brain, STEPD_SYNC, peer);
    peer_request(peer[1], leave_at(5));
    const uint64_t counted[2] = {5, 4}; /* the round closed without what it never sent */
    struct shares_taken taken = shares_take(brain, 5, counted);
    assert_true(taken.snapshot.member[1].left);
    assert_int_equal(taken.snapshot.member[1].last_clock, 5);
    shares_taken_deinit(&taken);
}

static void member__that_left_beyond_the_snapshots_version__has_not_left_yet(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start(brain, STEPD_SYNC, peer);
    peer_request(peer[1], leave_at(6));
    struct shares_taken taken = shares_take(brain, 5, clocks);
    assert_false(taken.snapshot.member[1].left);
    assert_true(taken.snapshot.member[1].last_clock == UINT64_MAX);
    shares_taken_deinit(&taken);
}

static void member__whose_clocks_are_ahead_of_versions__has_left_by_what_was_counted(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    const uint64_t counted[2] = {10, 10};
    start(brain, STEPD_SYNC, peer);
    peer_request(peer[0], leave_at(11));
    peer_request(peer[1], leave_at(10));
    struct shares_taken taken = shares_take(brain, 5, counted);
    assert_false(taken.snapshot.member[0].left);
    assert_true(taken.snapshot.member[1].left);
    shares_taken_deinit(&taken);
}

static void member__of_an_async_job__has_left_by_what_was_counted(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    const uint64_t counted[2] = {4, 6};
    start(brain, STEPD_ASYNC, peer);
    peer_request(peer[0], leave_at(5));
    peer_request(peer[1], leave_at(6));
    struct shares_taken taken = shares_take(brain, JOB_STATE_AS_IT_STANDS, counted);
    assert_false(taken.snapshot.member[0].left);
    assert_true(taken.snapshot.member[1].left);
    shares_taken_deinit(&taken);
}

/* ---- Its end --------------------------------------------------------------------------------- */

static void snapshot__that_nobody_reads_any_more__is_given_back_to_all_shards(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start(brain, STEPD_SYNC, peer);
    struct shares_taken taken = shares_take(brain, 0, clocks);
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        assert_int_equal(brain_newest(brain, shard, ORDER_SNAPSHOT_END)->query,
                         brain_newest(brain, shard, ORDER_SNAPSHOT)->query);
    assert_int_equal(begin(brain, NULL), STEPD_OK);
    shares_taken_deinit(&taken);
}

/* All workers of the job leave, and another one begins anew. */
static void drop_job(struct brain *brain, struct peer **peer)
{
    peer_request(peer[0], leave_at(0));
    peer_request(peer[1], leave_at(0));
    (void)peer_join(brain, hello_worker("j", 0));
}

static void snapshot__of_a_job_that_is_dropped_meanwhile__is_called_off(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start(brain, STEPD_SYNC, peer);
    assert_int_equal(begin(brain, NULL), STEPD_OK);
    drop_job(brain, peer);
    assert_told(brain, STEPD_ABORTED, "job 'j' was dropped before its snapshot was whole");
}

static void snapshot__of_a_job_that_was_dropped__can_still_be_read(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[2];
    start(brain, STEPD_SYNC, peer);
    assert_int_equal(begin(brain, NULL), STEPD_OK);
    struct job_state *share[BRAIN_SHARDS];
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++) {
        share[shard] = shares_make(brain, shard, 0, clocks);
        shares_give(brain, shard, share[shard]);
    }
    drop_job(brain, peer);
    assert_int_equal(brain_count(brain, 0, ORDER_SNAPSHOT_END), 0);
    assert_string_equal(brain->snapshot->member[1].worker, "w1");
    control_snapshot_end(brain->control, brain->snapshot, brain->now_ms);
    assert_int_equal(brain_count(brain, 0, ORDER_SNAPSHOT_END), 1);
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        (void)job_state_unref(share[shard]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, brain_setup, brain_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(snapshot__of_a_sync_job__is_ordered_at_a_version),
        TEST(snapshot__of_an_async_job__is_ordered_as_it_stands),
        TEST(snapshot__of_an_unknown_job__is_refused),
        TEST(snapshot__of_a_job_that_is_not_open__is_refused),
        TEST(snapshot__of_a_job_that_has_failed__is_refused),
        TEST(snapshot__beside_another__is_refused),
        TEST(snapshot__that_came_too_late__is_called_off_on_all_shards),
        TEST(snapshot__that_came_too_late__is_ordered_further_and_further_ahead),
        TEST(answer__to_an_attempt_that_is_over__changes_nothing),
        TEST(snapshot__that_a_shard_refuses__is_over),
        TEST(snapshot__that_takes_too_long__says_who_is_missing),
        TEST(snapshot__when_all_shards_have_answered__has_their_parts),
        TEST(snapshot__of_a_running_job__has_members_and_their_sessions),
        TEST(snapshot__of_a_job_that_waits_for_workers__has_not_started),
        TEST(member__that_left_at_a_version_up_to_the_snapshots__has_left),
        TEST(member__that_left_beyond_the_snapshots_version__has_not_left_yet),
        TEST(member__whose_clocks_are_ahead_of_versions__has_left_by_what_was_counted),
        TEST(member__of_an_async_job__has_left_by_what_was_counted),
        TEST(snapshot__that_nobody_reads_any_more__is_given_back_to_all_shards),
        TEST(snapshot__of_a_job_that_is_dropped_meanwhile__is_called_off),
        TEST(snapshot__of_a_job_that_was_dropped__can_still_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
