/* SPDX-License-Identifier: Apache-2.0
 *
 * Where there is no memory for a snapshot or a restore, whoever wanted it is told so, nothing is
 * left behind, and the next attempt succeeds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shard_shares.h"
#include "tests/lib/scarcity.h"

static const uint64_t clocks[2] = {5, 5};

static struct brain *start(void)
{
    const struct control_options options = brain_options();
    struct brain *brain = brain_create(&options);
    for (int32_t rank = 1; rank >= 0; rank--) {
        struct peer *peer = peer_join(brain, hello_worker("j", rank));
        if (rank == 0)
            shares_define(peer, STEPD_SYNC, 2);
    }
    return brain;
}

static void control_snapshot__without_memory__says_so(void **state)
{
    (void)state;
    struct brain *brain = start();
    enum stepd_status status = STEPD_RESOURCE_EXHAUSTED;
    size_t allowed = 0;
    for (; status == STEPD_RESOURCE_EXHAUSTED; allowed++) {
        struct stepd_error error = {.code = STEPD_OK};
        scarcity_after(allowed);
        status = control_snapshot(brain->control, "j", brain->now_ms, &error);
        scarcity_after(SCARCITY_NEVER);
        assert_int_equal(error.code, status);
    }
    assert_int_equal(status, STEPD_OK);
    assert_int_equal(allowed, 7); /* the snapshot, its name, two orders and their names; one more */
    assert_int_equal(brain_count(brain, 0, ORDER_SNAPSHOT), 1);
    brain_destroy(brain);
}

/* The last shard's answer, which makes it whole, may allocate so often. True: it was whole. */
static bool finish(struct brain *brain, size_t allowed)
{
    struct job_state *share[BRAIN_SHARDS];
    assert_int_equal(control_snapshot(brain->control, "j", brain->now_ms, NULL), STEPD_OK);
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        share[shard] = shares_make(brain, shard, 0, clocks);
    shares_give(brain, 0, share[0]);
    struct notice *last = notice_create(NOTICE_SNAPSHOT, "j");
    assert_non_null(last);
    last->shard = 1;
    last->query = brain_newest(brain, 1, ORDER_SNAPSHOT)->query;
    last->state = share[1];
    brain->snapshots = 0;
    scarcity_after(allowed);
    control_on_notice(brain->control, last, brain->now_ms);
    scarcity_after(SCARCITY_NEVER);
    assert_int_equal(brain->snapshots, 1);
    const bool whole = brain->snapshot != NULL;
    assert_int_equal(brain->snapshot_error.code, whole ? STEPD_OK : STEPD_RESOURCE_EXHAUSTED);
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        (void)job_state_unref(share[shard]);
    return whole;
}

static void snapshot__that_there_is_no_memory_to_finish__is_over(void **state)
{
    (void)state;
    struct brain *brain = start();
    size_t allowed = 0;
    while (!finish(brain, allowed)) {
        assert_int_equal(brain_count(brain, 0, ORDER_SNAPSHOT_END), ++allowed);
        brain_wait(brain, 100);
    }
    assert_int_equal(allowed, 4); /* the list of shares, of members, and their names */
    brain_destroy(brain);
}

static void end__that_there_is_no_memory_to_tell__is_told_at_the_next_tick(void **state)
{
    (void)state;
    struct brain *brain = start();
    assert_true(finish(brain, SCARCITY_NEVER));
    scarcity_after(0);
    control_snapshot_end(brain->control, brain->snapshot, brain->now_ms);
    scarcity_after(SCARCITY_NEVER);
    assert_int_equal(brain_count(brain, 1, ORDER_SNAPSHOT_END), 0);
    brain_wait(brain, 100);
    assert_int_equal(brain_count(brain, 1, ORDER_SNAPSHOT_END), 1);
    brain_destroy(brain);
}

static void attempt__that_there_is_no_memory_to_repeat__is_over(void **state)
{
    (void)state;
    struct brain *brain = start();
    size_t allowed = 0;
    for (bool asked = false; !asked; allowed++) {
        assert_int_equal(control_snapshot(brain->control, "j", brain->now_ms, NULL), STEPD_OK);
        struct notice *late = notice_create(NOTICE_SNAPSHOT, "j");
        assert_non_null(late);
        late->query = brain_newest(brain, 0, ORDER_SNAPSHOT)->query;
        late->error.code = STEPD_OUT_OF_RANGE;
        brain->snapshots = 0;
        scarcity_after(allowed);
        control_on_notice(brain->control, late, brain->now_ms);
        scarcity_after(SCARCITY_NEVER);
        asked = brain->snapshots == 0;
        if (!asked)
            assert_int_equal(brain->snapshot_error.code, STEPD_RESOURCE_EXHAUSTED);
        brain_wait(brain, 100);
    }
    assert_int_equal(allowed, 9);
    brain_destroy(brain);
}

static void job_snapshot_copy__without_memory__says_so(void **state)
{
    (void)state;
    struct brain *brain = start();
    assert_true(finish(brain, SCARCITY_NEVER));
    enum stepd_status status = STEPD_RESOURCE_EXHAUSTED;
    size_t allowed = 0;
    for (; status == STEPD_RESOURCE_EXHAUSTED; allowed++) {
        struct job_snapshot copy = {.job = NULL};
        scarcity_after(allowed);
        status = job_snapshot_copy(brain->snapshot, &copy);
        scarcity_after(SCARCITY_NEVER);
        job_snapshot_deinit(&copy);
    }
    assert_int_equal(status, STEPD_OK);
    assert_int_equal(allowed, 4);
    brain_destroy(brain);
}

static void snapshot__of_a_changed_job_without_memory_to_finish__is_over(void **state)
{
    (void)state;
    struct brain *brain = start();
    shares_change(peer_join(brain, hello_observer("j")), "lr=0.25", 70);
    size_t allowed = 0;
    while (!finish(brain, allowed)) {
        allowed++;
        brain_wait(brain, 100);
    }
    assert_int_equal(allowed, 7); /* beside those above: the groups, what is to come, the record */
    brain_destroy(brain);
}

/* A job on its way from a snapshot, which all shards have opened; control may allocate so often
 * when it hears so. */
static struct brain *restore(struct shares_taken *taken, size_t allowed)
{
    const struct control_options options = brain_options();
    struct brain *brain = brain_create(&options);
    assert_int_equal(
        control_restore(brain->control, &taken->snapshot, taken->state, brain->now_ms, NULL),
        STEPD_OK);
    brain_opened(brain, 0, "j", STEPD_OK);
    struct notice *last = notice_create(NOTICE_JOB_OPENED, "j");
    assert_non_null(last);
    last->shard = 1;
    last->query = brain_newest(brain, 1, ORDER_JOB_OPEN)->query;
    scarcity_after(allowed);
    control_on_notice(brain->control, last, brain->now_ms);
    scarcity_after(SCARCITY_NEVER);
    return brain;
}

enum { TELLING = 8 }; /* allocations that telling of a change takes, or a few more */

static void change__that_there_is_no_memory_to_tell__is_told_before_the_job_starts(void **state)
{
    (void)state;
    struct brain *old = start();
    shares_change(peer_join(old, hello_observer("j")), "lr=0.25", 70);
    struct shares_taken taken = shares_take(old, 5, clocks);
    for (size_t allowed = 0; allowed < TELLING; allowed++) {
        struct brain *brain = restore(&taken, allowed);
        brain_wait(brain, 100);
        assert_int_equal(brain_count(brain, 0, ORDER_CHANGE), 1);
        assert_int_equal(brain_count(brain, 0, ORDER_JOB_START), 1);
        assert_true(brain_place(brain, ORDER_CHANGE) < brain_place(brain, ORDER_JOB_START));
        brain_destroy(brain);
    }
    shares_taken_deinit(&taken);
    brain_destroy(old);
}

static void change__that_there_is_no_memory_to_tell__is_told_before_a_later_one(void **state)
{
    (void)state;
    struct brain *old = start();
    shares_change(peer_join(old, hello_observer("j")), "lr=0.25", 70);
    struct shares_taken taken = shares_take(old, 5, clocks);
    for (size_t allowed = 0; allowed < TELLING; allowed++) {
        struct brain *brain = restore(&taken, allowed);
        shares_change(peer_join(brain, hello_observer("j")), "lr=0.125", 70);
        assert_int_equal(brain_count(brain, 0, ORDER_CHANGE), 2);
        assert_int_equal(brain_newest(brain, 0, ORDER_CHANGE)->groups->number, 2);
        brain_destroy(brain);
    }
    shares_taken_deinit(&taken);
    brain_destroy(old);
}

static void control_restore__without_memory__leaves_no_trace(void **state)
{
    (void)state;
    struct brain *old = start();
    shares_change(peer_join(old, hello_observer("j")), "lr=0.25", 70);
    struct shares_taken taken = shares_take(old, 5, clocks);
    const struct control_options options = brain_options();
    struct brain *brain = brain_create(&options);
    enum stepd_status status = STEPD_RESOURCE_EXHAUSTED;
    size_t allowed = 0;
    for (; status == STEPD_RESOURCE_EXHAUSTED; allowed++) {
        struct stepd_error error = {.code = STEPD_OK};
        scarcity_after(allowed);
        status =
            control_restore(brain->control, &taken.snapshot, taken.state, brain->now_ms, &error);
        scarcity_after(SCARCITY_NEVER);
        assert_int_equal(error.code, status);
        assert_int_equal(taken.snapshot.incarnation, status == STEPD_OK ? 2 : 1);
    }
    assert_int_equal(status, STEPD_OK);
    assert_true(allowed > 30);
    brain_opened_all(brain, "j");
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_START), 1);
    assert_int_equal(brain_count(brain, 0, ORDER_CHANGE), 1);
    shares_taken_deinit(&taken);
    brain_destroy(brain);
    brain_destroy(old);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_snapshot__without_memory__says_so),
        cmocka_unit_test(snapshot__that_there_is_no_memory_to_finish__is_over),
        cmocka_unit_test(end__that_there_is_no_memory_to_tell__is_told_at_the_next_tick),
        cmocka_unit_test(attempt__that_there_is_no_memory_to_repeat__is_over),
        cmocka_unit_test(job_snapshot_copy__without_memory__says_so),
        cmocka_unit_test(snapshot__of_a_changed_job_without_memory_to_finish__is_over),
        cmocka_unit_test(change__that_there_is_no_memory_to_tell__is_told_before_the_job_starts),
        cmocka_unit_test(change__that_there_is_no_memory_to_tell__is_told_before_a_later_one),
        cmocka_unit_test(control_restore__without_memory__leaves_no_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
