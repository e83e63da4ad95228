/* SPDX-License-Identifier: Apache-2.0
 *
 * Checkpoints that nobody asks for: when the next one is tried, where one came to nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "shard_shares.h"

/* A job of two workers, which runs. */
static struct brain *start(void **state)
{
    struct brain *const brain = *state;
    struct peer *const worker = peer_join(brain, hello_worker("j", 0));
    (void)peer_join(brain, hello_worker("j", 1));
    shares_define(worker, STEPD_SYNC, 2);
    return brain;
}

/* The shards take the one that is due at a version, and what comes of it: failure, or NULL. */
static void take_and_write(struct brain *brain, uint64_t version, const char *failure)
{
    static const uint64_t clocks[2] = {7, 7};
    struct job_state *share[BRAIN_SHARDS];
    struct control_written written = {.name = "step-00000001", .step = version, .bytes = 1};
    const size_t before = brain->checkpoints;
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++) {
        share[shard] = shares_make(brain, shard, version, clocks);
        shares_give(brain, shard, share[shard]);
    }
    assert_int_equal(brain->checkpoints, before + 1);
    if (failure != NULL)
        (void)stepd_fail(&written.error, STEPD_UNAVAILABLE, "%s", failure);
    control_checkpoint_written(brain->control, brain->checkpoint, &written, brain->now_ms);
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        (void)job_state_unref(share[shard]);
}

static size_t failures_logged(const struct brain *brain)
{
    size_t count = 0;
    const char *at = brain->log;
    while ((at = strstr(at, "checkpoint_failed")) != NULL) {
        at++;
        count++;
    }
    return count;
}

static void due_each_10_steps__that_is_not_written__is_tried_when_next_due(void **state)
{
    struct brain *const brain = start(state);
    brain->control->options.checkpoint_every_steps = 10;
    for (uint64_t step = 10; step <= 30; step += 10) {
        brain_wait(brain, 1);
        assert_int_equal(brain_newest(brain, 0, ORDER_SNAPSHOT)->version, step);
        take_and_write(brain, step, step < 30 ? "the disk is full" : NULL);
    }
    assert_int_equal(failures_logged(brain), 2);
    assert_non_null(strstr(brain->log, "name=step-00000001"));
}

static void due_each_second__that_is_not_written__is_tried_when_next_due(void **state)
{
    struct brain *const brain = start(state);
    brain->control->options.checkpoint_every_ms = 1000;
    brain_wait(brain, 1); /* the second begins */
    for (size_t count = 1; count <= 3; count++) {
        brain_wait(brain, 1000);
        take_and_write(brain, 7, "the disk is full");
        assert_int_equal(failures_logged(brain), count);
    }
}

/* For want of memory: nothing says when there will be some. */
static void due__that_is_not_taken__is_not_tried_at_each_tick(void **state)
{
    struct brain *const brain = start(state);
    brain->control->options.checkpoint_every_steps = 10;
    brain_wait(brain, 1);
    shares_refuse(brain, 0, STEPD_RESOURCE_EXHAUSTED, 0);
    assert_int_equal(failures_logged(brain), 1);
    const size_t before = brain_count(brain, 0, ORDER_SNAPSHOT);
    brain_wait(brain, 1);
    assert_int_equal(brain_count(brain, 0, ORDER_SNAPSHOT), before);
    brain_wait(brain, 10000);
    assert_int_equal(brain_count(brain, 0, ORDER_SNAPSHOT), before + 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, brain_setup_keeping, brain_teardown)
    const struct CMUnitTest tests[] = {
        TEST(due_each_10_steps__that_is_not_written__is_tried_when_next_due),
        TEST(due_each_second__that_is_not_written__is_tried_when_next_due),
        TEST(due__that_is_not_taken__is_not_tried_at_each_tick),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
