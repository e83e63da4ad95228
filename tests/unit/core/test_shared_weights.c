/* SPDX-License-Identifier: Apache-2.0
 *
 * Weights that workers read where they stand: who is told of them, how long they stand, and that
 * nobody who reads holds up a step.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/core/shared.h"

enum { OBSERVER = 9 };

static void give_up(struct shard *shard, uint32_t rank)
{
    struct order order = {.kind = ORDER_GIVE_UP, .job_name = shard->job->name, .rank = rank};
    (void)strcpy(order.error.text, "it was silent");
    order.error.code = STEPD_UNAVAILABLE;
    shard_give(shard, &order);
}

/* The place of the first slice in the newest reply; it must have one. */
static uint64_t place_of(const struct shard *shard, size_t peer)
{
    (void)shard_placed(shard, shard_last(shard, peer), 0);
    return shard_last(shard, peer)->place[0];
}

static void pull(struct shard *shard, size_t peer)
{
    shard_pull(shard, peer, 900, 0, SHARED_SLICES);
    assert_int_equal(shard_last(shard, peer)->kind, STEPD_MESSAGE_RESULT);
    assert_int_equal(shard_last(shard, peer)->slices, SHARED_SLICES);
}

static void assert_payload(struct shard *shard, size_t peer)
{
    assert_int_equal(shard_last(shard, peer)->places, 0);
    assert_int_equal(shard_last(shard, peer)->values, SHARED_ELEMENTS);
    (void)shard;
}

/* ---- Who is told ----------------------------------------------------------------------------- */

static void step__of_a_member__is_told_where_its_weights_are(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = shared_job(1);
    shared_setup(&shard, &job);
    shared_step(&shard, 0, 1, 2.0F);
    const struct shard_reply *const reply = shard_last(&shard, 0);
    assert_int_equal(reply->places, SHARED_SLICES);
    assert_int_equal(reply->version[0], 1);
    for (size_t slice = 0; slice < SHARED_SLICES; slice++) {
        for (size_t i = 0; i < SHARED_SLICE; i++)
            assert_true(shard_placed(&shard, reply, slice)[i] ==
                        8.0F - (float)(slice * SHARED_SLICE + i) / 8.0F);
    }
    shard_teardown(&shard);
}

/* Gradients are shared all the same. */
static void assert_weights_travel(const struct shard_job *job)
{
    struct shard shard;
    shared_setup(&shard, job);
    pull(&shard, 0);
    assert_payload(&shard, 0);
    for (size_t peer = 0; peer < job->workers; peer++)
        shared_step(&shard, peer, 1, 1.0F);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_APPLIED);
    assert_payload(&shard, 0);
    shard_teardown(&shard);
}

static void weights__in_the_other_modes__travel(void **state)
{
    (void)state;
    const double one = 1.0;
    const struct stepd_setting staleness = {
        .name = "staleness", .values = 1, .value = &one, .word = ""};
    struct shard_job job = shared_job(1);
    job.mode = STEPD_ASYNC;
    assert_weights_travel(&job);
    job.mode = STEPD_BOUNDED;
    job.settings = (struct stepd_settings){.count = 1, .at = &staleness};
    assert_weights_travel(&job);
}

static void weights__where_a_round_closes_without_some__travel(void **state)
{
    (void)state;
    const double one = 1.0, two = 2.0;
    const struct stepd_setting backup = {.name = "backup", .values = 1, .value = &one, .word = ""};
    const struct stepd_setting close = {
        .name = "close_examples", .values = 1, .value = &two, .word = ""};
    struct shard_job job = shared_job(2);
    job.settings = (struct stepd_settings){.count = 1, .at = &backup};
    assert_weights_travel(&job);
    job.settings = (struct stepd_settings){.count = 1, .at = &close};
    assert_weights_travel(&job);
}

static void weights__in_16_bits__travel(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = shared_job(1);
    shared_setup(&shard, &job);
    struct shard_push push = shared_push(1);
    push.step = true;
    push.pull_dtype = STEPD_F16;
    shard_push(&shard, 0, &push);
    assert_int_equal(shard_last(&shard, 0)->places, 0);
    assert_int_equal(shard_last(&shard, 0)->bytes, SHARED_ELEMENTS * 2);
    shard_teardown(&shard);
}

/* Steps are made without it. */
static void weights__for_a_rank_that_is_no_member__travel(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = shared_job(2);
    shard_open_job(&shard, &job);
    shard_session(&shard, 0, 1, false);
    shard_member(&shard, 0, 0, UINT64_MAX);
    shard_session(&shard, 1, 1, false);
    shard_start(&shard);
    shard_connect(&shard, 0, 0);
    shard_connect(&shard, 1, 1);
    pull(&shard, 1);
    assert_payload(&shard, 1);
    pull(&shard, 0);
    (void)place_of(&shard, 0);
    shard_teardown(&shard);
}

static void weights__for_a_rank_beyond_the_job__travel(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = shared_job(1);
    shared_setup(&shard, &job);
    shard_session(&shard, 7, 1, false);
    shard_connect(&shard, 7, 7);
    pull(&shard, 7);
    assert_payload(&shard, 7);
    shard_teardown(&shard);
}

static void weights__for_a_rank_that_has_left__travel(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = shared_job(2);
    shared_setup(&shard, &job);
    for (size_t peer = 0; peer < 2; peer++)
        shared_step(&shard, peer, 1, 1.0F);
    shard_member(&shard, 1, 0, 1);
    pull(&shard, 1);
    assert_payload(&shard, 1);
    shard_teardown(&shard);
}

/* The round that it has contributed to can close without another word of it. */
static void weights__for_a_rank_whose_push_counts__travel(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = shared_job(2);
    shared_setup(&shard, &job);
    shared_step(&shard, 0, 1, 1.0F);
    pull(&shard, 0);
    assert_payload(&shard, 0);
    shard_teardown(&shard);
}

/* ---- How long they stand --------------------------------------------------------------------- */

/* Nobody reads: the next step is made in place. */
static void place__when_all_have_pushed__is_stepped_in(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = shared_job(2);
    shared_setup(&shard, &job);
    pull(&shard, 0);
    pull(&shard, 1);
    pull(&shard, 1); /* instead of what it had */
    const uint64_t first = place_of(&shard, 0);
    for (uint64_t clock = 1; clock <= 3; clock++) {
        shared_step(&shard, 0, clock, 1.0F);
        shared_step(&shard, 1, clock, 1.0F);
        assert_int_equal(place_of(&shard, 0), first);
        assert_int_equal(place_of(&shard, 1), first);
    }
    shard_teardown(&shard);
}

/* It is given up, and reads on. */
static void place__that_a_lost_rank_reads__stands(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = shared_job(2);
    shared_setup(&shard, &job);
    pull(&shard, 0);
    pull(&shard, 1);
    const struct shard_reply *const read = shard_last(&shard, 1);
    const uint64_t first = place_of(&shard, 1);
    give_up(&shard, 1);
    for (uint64_t clock = 1; clock <= 3; clock++) {
        shared_step(&shard, 0, clock, 1.0F);
        assert_int_equal(shard_last(&shard, 0)->version[0], clock);
        assert_int_not_equal(place_of(&shard, 0), first);
        assert_true(*shard_placed(&shard, read, 0) == 10.0F);
    }
    shard_teardown(&shard);
}

static void place__of_a_connection_that_has_ended__is_free(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = shared_job(2);
    shared_setup(&shard, &job);
    pull(&shard, 0);
    pull(&shard, 1);
    const uint64_t first = place_of(&shard, 0);
    shard_close(&shard, 1);
    give_up(&shard, 1);
    shared_step(&shard, 0, 1, 1.0F);
    assert_int_equal(place_of(&shard, 0), first);
    shard_teardown(&shard);
}

static void place__of_a_connection_that_was_replaced__is_free(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = shared_job(1);
    shared_setup(&shard, &job);
    pull(&shard, 0);
    const uint64_t first = place_of(&shard, 0);
    shard_session(&shard, 0, 2, false);
    shard_connect(&shard, 1, 0);
    shared_step(&shard, 1, 1, 1.0F);
    assert_int_equal(place_of(&shard, 1), first);
    shard_teardown(&shard);
}

/* Both versions are read by ranks that nobody waits for. */
static void step__with_both_versions_read_by_lost_ranks__is_made(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = shared_job(3);
    shared_setup(&shard, &job);
    pull(&shard, 1);
    give_up(&shard, 1);
    shared_step(&shard, 0, 1, 1.0F);
    shared_step(&shard, 2, 1, 1.0F);
    assert_int_not_equal(place_of(&shard, 2), shard.peer[1].reply[1].place[0]);
    give_up(&shard, 2);
    for (uint64_t clock = 2; clock <= 4; clock++) {
        shared_step(&shard, 0, clock, 1.0F);
        assert_int_equal(shard_last(&shard, 0)->version[1], clock);
        assert_int_equal(shard_last(&shard, 0)->outcome[1], STEPD_APPLIED);
    }
    assert_true(*shard_placed(&shard, shard_last(&shard, 0), 0) == 6.0F);
    shard_teardown(&shard);
}

static void job__closed_while_ranks_read__is_freed(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = shared_job(2);
    shared_setup(&shard, &job);
    pull(&shard, 0);
    pull(&shard, 1);
    shard_order(&shard, ORDER_JOB_CLOSE);
    assert_null(shard.memory.at);
    shard_close(&shard, 0); /* whose references are gone already */
    shard_teardown(&shard);
}

/* A reply that is still on its way keeps the memory. */
static void job__closed_while_a_reply_travels__is_freed_behind_it(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = shared_job(1);
    shared_setup(&shard, &job);
    shard_session(&shard, OBSERVER, 1, true);
    shard_connect(&shard, OBSERVER, OBSERVER);
    pull(&shard, 0);
    shard.hold = true;
    pull(&shard, OBSERVER);
    shard_order(&shard, ORDER_JOB_CLOSE);
    assert_non_null(shard.memory.at);
    shard_release(&shard);
    assert_null(shard.memory.at);
    shard_teardown(&shard);
}

/* The room that a snapshot makes is the daemon's own. */
static void weights__in_a_snapshots_room__travel(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = shared_job(1);
    shared_setup(&shard, &job);
    shard_session(&shard, OBSERVER, 1, true);
    shard_connect(&shard, OBSERVER, OBSERVER);
    shard_snapshot(&shard, 0);
    shared_step(&shard, 0, 1, 1.0F);
    (void)place_of(&shard, 0);
    shard.hold = true;
    pull(&shard, OBSERVER); /* both versions are read now */
    shared_step(&shard, 0, 2, 1.0F);
    assert_int_equal(shard_last(&shard, 0)->version[0], 2);
    assert_payload(&shard, 0);
    assert_true(shard_last(&shard, 0)->value[0] == 8.0F);
    shard.hold = false;
    shard_release(&shard);
    shard_snapshot_end(&shard);
    shared_step(&shard, 0, 3, 1.0F);
    assert_true(*shard_placed(&shard, shard_last(&shard, 0), 0) == 7.0F);
    shard_teardown(&shard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(step__of_a_member__is_told_where_its_weights_are),
        cmocka_unit_test(weights__in_the_other_modes__travel),
        cmocka_unit_test(weights__where_a_round_closes_without_some__travel),
        cmocka_unit_test(weights__in_16_bits__travel),
        cmocka_unit_test(weights__for_a_rank_that_is_no_member__travel),
        cmocka_unit_test(weights__for_a_rank_beyond_the_job__travel),
        cmocka_unit_test(weights__for_a_rank_that_has_left__travel),
        cmocka_unit_test(weights__for_a_rank_whose_push_counts__travel),
        cmocka_unit_test(place__when_all_have_pushed__is_stepped_in),
        cmocka_unit_test(place__that_a_lost_rank_reads__stands),
        cmocka_unit_test(place__of_a_connection_that_has_ended__is_free),
        cmocka_unit_test(place__of_a_connection_that_was_replaced__is_free),
        cmocka_unit_test(step__with_both_versions_read_by_lost_ranks__is_made),
        cmocka_unit_test(job__closed_while_ranks_read__is_freed),
        cmocka_unit_test(job__closed_while_a_reply_travels__is_freed_behind_it),
        cmocka_unit_test(weights__in_a_snapshots_room__travel),
    };
    return cmocka_run_group_tests_name("core/shared_weights", tests, NULL, NULL);
}
