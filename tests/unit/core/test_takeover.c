/* SPDX-License-Identifier: Apache-2.0
 *
 * Steps that a worker has sent in part: what its rounds, its successor and control make of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/shard.h"

enum { SLICES = 2, SLICE = 256 };

static const float grad[SLICES * SLICE] = {1};
static const uint32_t second[] = {1};

/* Two slices of a tensor, and two workers. */
static void setup(struct shard *shard, enum stepd_mode mode)
{
    const uint64_t shape[] = {SLICES, SLICE};
    const struct stepd_tensor_def tensor = shard_tensor("w", shape, 2, 0.0);
    static const double one = 1.0;
    static const struct stepd_setting staleness = {
        .name = "staleness", .values = 1, .value = &one, .word = ""};
    const struct shard_job job = {.mode = mode,
                                  .settings = {.count = mode == STEPD_BOUNDED, .at = &staleness},
                                  .workers = 2,
                                  .lr = 1.0,
                                  .slice_elements = SLICE,
                                  .tensors = 1,
                                  .tensor = &tensor};
    shard_setup(shard, &job);
    shard_connect(shard, 0, 0);
    shard_connect(shard, 1, 1);
}

/* A push of all slices, or of the first or second one alone. */
static struct shard_push push_of(size_t slices, const uint32_t *slice, uint64_t clock)
{
    return (struct shard_push){.id = 7,
                               .clock = clock,
                               .base_version = clock - 1,
                               .examples = 1,
                               .slices = slices,
                               .slice = slice,
                               .grad = grad,
                               .values = slices * SLICE};
}

static void leave__after_half_a_step__holds_nobody_up(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC);
    const struct shard_push half = push_of(1, NULL, 1);
    shard_push(&shard, 1, &half);
    const struct shard_push whole = push_of(SLICES, NULL, 1);
    shard_push(&shard, 0, &whole);
    assert_false(shard_last(&shard, 0)->last); /* slice 1 waits for rank 1 */
    shard_member(&shard, 1, 0, 1);
    assert_false(shard_last(&shard, 0)->last); /* its push may still be on the way */
    shard_close(&shard, 1);
    assert_true(shard_last(&shard, 0)->last); /* and now it cannot */
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_APPLIED);
    shard_teardown(&shard);
}

static void leave__of_a_closed_connection__holds_nobody_up(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC);
    shard_close(&shard, 1);
    const struct shard_push whole = push_of(SLICES, NULL, 1);
    shard_push(&shard, 0, &whole);
    shard_member(&shard, 1, 0, 1);
    assert_true(shard_last(&shard, 0)->last);
    shard_teardown(&shard);
}

static void clock__of_half_a_step__is_the_lowest_that_counted(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_ASYNC);
    struct shard_push push = push_of(SLICES, NULL, 1);
    shard_push(&shard, 1, &push);
    push = push_of(1, NULL, 2);
    shard_push(&shard, 1, &push);
    shard.now_ms += 250;
    core_on_tick(shard.core, shard.now_ms);
    assert_int_equal(shard.heard, 2);
    assert_int_equal(shard.heard_clock[shard.heard_rank[0] == 1 ? 0 : 1], 1);
    shard_close(&shard, 1);
    shard_connect(&shard, 1, 1);
    assert_int_equal(shard_last(&shard, 1)->welcome.clock, 1);
    shard_teardown(&shard);
}

/* So that it is made again: others wait for a push of every slice. */
static void assert_first_step_begins_again(enum stepd_mode mode)
{
    struct shard shard;
    setup(&shard, mode);
    const struct shard_push half = push_of(1, NULL, 1);
    shard_push(&shard, 1, &half);
    shard_close(&shard, 1);
    shard_connect(&shard, 1, 1);
    assert_int_equal(shard_last(&shard, 1)->welcome.clock, 0);
    shard_teardown(&shard);
}

static void clock__of_half_a_first_step_in_sync__is_none(void **state)
{
    (void)state;
    assert_first_step_begins_again(STEPD_SYNC);
}

static void clock__of_half_a_first_step_in_bounded__is_none(void **state)
{
    (void)state;
    assert_first_step_begins_again(STEPD_BOUNDED);
}

static void successor__in_async__is_told_what_had_counted_and_goes_on(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_ASYNC);
    const struct shard_push half = push_of(1, NULL, 1);
    shard_push(&shard, 1, &half);
    struct shard_push push = push_of(SLICES, NULL, 2); /* Welcome's clock is 1 */
    push.base_version = 0;
    shard_push(&shard, 1, &push);
    assert_int_equal(shard_last(&shard, 1)->kind, STEPD_MESSAGE_RESULT);
    assert_int_equal(shard_last(&shard, 1)->outcome[0], STEPD_APPLIED);
    assert_true(shard_last(&shard, 1)->last);
    shard_teardown(&shard);
}

/* As after several steps of which each was broken off before it came to the second slice. */
static void successor__in_async__goes_on_from_its_welcome_wherever_it_is(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_ASYNC);
    for (uint64_t clock = 1; clock <= 3; clock++) {
        const struct shard_push half = push_of(1, NULL, clock);
        shard_push(&shard, 1, &half);
    }
    shard_close(&shard, 1);
    shard_connect(&shard, 1, 1);
    assert_int_equal(shard_last(&shard, 1)->welcome.clock, 3);
    struct shard_push push = push_of(1, second, 4);
    push.base_version = 0;
    shard_push(&shard, 1, &push);
    assert_int_equal(shard_last(&shard, 1)->kind, STEPD_MESSAGE_RESULT);
    assert_int_equal(shard_last(&shard, 1)->outcome[0], STEPD_APPLIED);
    shard_teardown(&shard);
}

static void successor__in_async__beyond_its_welcome__leaves_a_gap(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_ASYNC);
    const struct shard_push half = push_of(1, NULL, 1);
    shard_push(&shard, 1, &half);
    struct shard_push push = push_of(1, second, 3);
    push.base_version = 0;
    shard_push(&shard, 1, &push);
    assert_int_equal(shard_last(&shard, 1)->code, STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(shard_last(&shard, 1)->text, "clock 3 leaves a gap"));
    shard_teardown(&shard);
}

static void successor__in_sync__repeats_the_step_and_closes_it(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC);
    const struct shard_push half = push_of(1, NULL, 1);
    shard_push(&shard, 1, &half);
    const struct shard_push whole = push_of(SLICES, NULL, 1);
    shard_push(&shard, 0, &whole);
    shard_close(&shard, 1);
    shard_connect(&shard, 1, 1);
    shard_push(&shard, 1, &whole); /* slice 0 is at version 1 already */
    const struct shard_reply *reply = shard_last(&shard, 1);
    assert_true(reply->last);
    assert_int_equal(reply->outcome[0], STEPD_APPLIED);
    assert_int_equal(reply->slice[0], second[0]);
    assert_int_equal(shard.peer[1].reply[shard.peer[1].replies - 2].outcome[0], STEPD_DUPLICATE);
    shard_query(&shard);
    assert_int_equal(shard.answer_min, 1);
    assert_int_equal(shard.answer_max, 1);
    shard_teardown(&shard);
}

static void push__in_async_after_leaving__is_fenced(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_ASYNC);
    const struct shard_push last = push_of(SLICES, NULL, 1);
    const struct shard_push after = push_of(SLICES, NULL, 2);
    shard_member(&shard, 1, 0, 1);
    shard_push(&shard, 1, &last);
    assert_int_equal(shard_last(&shard, 1)->outcome[0], STEPD_APPLIED);
    shard_push(&shard, 1, &after);
    assert_int_equal(shard_last(&shard, 1)->outcome[0], STEPD_FENCED);
    shard_teardown(&shard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leave__after_half_a_step__holds_nobody_up),
        cmocka_unit_test(leave__of_a_closed_connection__holds_nobody_up),
        cmocka_unit_test(clock__of_half_a_step__is_the_lowest_that_counted),
        cmocka_unit_test(clock__of_half_a_first_step_in_sync__is_none),
        cmocka_unit_test(clock__of_half_a_first_step_in_bounded__is_none),
        cmocka_unit_test(successor__in_async__is_told_what_had_counted_and_goes_on),
        cmocka_unit_test(successor__in_async__goes_on_from_its_welcome_wherever_it_is),
        cmocka_unit_test(successor__in_async__beyond_its_welcome__leaves_a_gap),
        cmocka_unit_test(successor__in_sync__repeats_the_step_and_closes_it),
        cmocka_unit_test(push__in_async_after_leaving__is_fenced),
    };
    return cmocka_run_group_tests_name("core/takeover", tests, NULL, NULL);
}
