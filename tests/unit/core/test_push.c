/* SPDX-License-Identifier: Apache-2.0
 *
 * Pushes and steps through a shard's core: what counts, what does not, and what is answered.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/shard.h"

static const uint64_t four[] = {4};
static const float ones[4] = {1, 1, 1, 1};
static const float threes[4] = {3, 3, 3, 3};

/* One tensor of four weights that start at 10; lr 1, so a step subtracts the mean gradient. */
static struct shard_job small_job(enum stepd_mode mode, uint32_t workers)
{
    static struct stepd_tensor_def tensor;
    tensor = shard_tensor("w", four, 1, 10.0);
    return (struct shard_job){
        .mode = mode, .workers = workers, .lr = 1.0, .tensors = 1, .tensor = &tensor};
}

static struct shard_push one_push(uint64_t id, uint64_t clock, uint64_t base, const float *grad)
{
    return (struct shard_push){.id = id,
                               .clock = clock,
                               .base_version = base,
                               .examples = 1,
                               .slices = 1,
                               .grad = grad,
                               .values = 4};
}

static void setup(struct shard *shard, enum stepd_mode mode, uint32_t workers)
{
    const struct shard_job job = small_job(mode, workers);
    shard_setup(shard, &job);
    for (uint32_t rank = 0; rank < workers; rank++)
        shard_connect(shard, rank, rank);
}

static float weight(struct shard *shard)
{
    shard_pull(shard, 0, 999, 0, 1);
    const struct shard_reply *reply = shard_last(shard, 0);
    assert_int_equal(reply->values, 4);
    return reply->value[0];
}

static void push__by_one_worker__is_applied(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 1);
    const struct shard_push push = one_push(7, 1, 0, ones);
    shard_push(&shard, 0, &push);
    const struct shard_reply *reply = shard_last(&shard, 0);
    assert_int_equal(reply->request_id, 7);
    assert_int_equal(reply->outcome[0], STEPD_APPLIED);
    assert_int_equal(reply->version[0], 1);
    assert_true(reply->last);
    assert_true(weight(&shard) == 9.0F);
    shard_teardown(&shard);
}

static void push__of_first_of_two__waits_for_the_second(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 2);
    const size_t before = shard.peer[0].replies;
    const struct shard_push first = one_push(7, 1, 0, ones);
    shard_push(&shard, 0, &first);
    assert_int_equal(shard.peer[0].replies, before);
    const struct shard_push second = one_push(8, 1, 0, threes);
    shard_push(&shard, 1, &second);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_APPLIED);
    assert_int_equal(shard_last(&shard, 1)->outcome[0], STEPD_APPLIED);
    assert_true(weight(&shard) == 8.0F); /* 10 - (1 + 3) / 2 */
    shard_teardown(&shard);
}

static void push__weighted_by_examples__takes_the_weighted_mean(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 2);
    struct shard_push push = one_push(7, 1, 0, ones);
    push.examples = 3;
    shard_push(&shard, 0, &push);
    push = one_push(8, 1, 0, threes);
    push.examples = 1;
    shard_push(&shard, 1, &push);
    assert_true(weight(&shard) == 8.5F); /* 10 - (3/4 * 1 + 1/4 * 3) */
    shard_teardown(&shard);
}

static void push__twice_by_the_same_rank__is_answered_twice_and_counted_once(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 2);
    struct shard_push push = one_push(7, 1, 0, ones);
    shard_push(&shard, 0, &push);
    push.id = 8;
    shard_push(&shard, 0, &push);
    shard_query(&shard);
    assert_int_equal(shard.answer_max, 0); /* two pushes of one worker close nothing */
    assert_int_equal(shard.waited_for, 2); /* rank 1 */
    const struct shard_push other = one_push(9, 1, 0, threes);
    shard_push(&shard, 1, &other);
    const struct shard_peer *peer = &shard.peer[0];
    const struct shard_reply *a = &peer->reply[peer->replies - 2];
    const struct shard_reply *b = &peer->reply[peer->replies - 1];
    assert_int_equal(a->request_id + b->request_id, 15);
    const enum stepd_outcome of_7 = a->request_id == 7 ? a->outcome[0] : b->outcome[0];
    const enum stepd_outcome of_8 = a->request_id == 8 ? a->outcome[0] : b->outcome[0];
    assert_int_equal(of_7, STEPD_APPLIED);
    assert_int_equal(of_8, STEPD_DUPLICATE);
    assert_true(weight(&shard) == 8.0F);
    shard_teardown(&shard);
}

static void push__resent_after_the_round__is_a_duplicate_with_its_version(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 1);
    for (uint64_t clock = 1; clock <= 3; clock++) {
        const struct shard_push push = one_push(clock, clock, clock - 1, ones);
        shard_push(&shard, 0, &push);
    }
    const struct shard_push again = one_push(9, 2, 1, ones);
    shard_push(&shard, 0, &again);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_DUPLICATE);
    assert_int_equal(shard_last(&shard, 0)->version[0], 2);
    assert_true(weight(&shard) == 7.0F);
    shard_teardown(&shard);
}

static void push__with_a_gap_in_the_clock__is_refused(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 1);
    const struct shard_push push = one_push(7, 3, 0, ones);
    shard_push(&shard, 0, &push);
    const struct shard_reply *reply = shard_last(&shard, 0);
    assert_int_equal(reply->code, STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(reply->text, "gap"));
    assert_true(weight(&shard) == 10.0F);
    shard_teardown(&shard);
}

static void push__with_a_base_version_of_the_future__is_refused(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 1);
    const struct shard_push push = one_push(7, 1, 5, ones);
    shard_push(&shard, 0, &push);
    assert_int_equal(shard_last(&shard, 0)->code, STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(shard_last(&shard, 0)->text, "base version 5 does not exist"));
    shard_teardown(&shard);
}

static void push__with_an_old_base_version__is_dropped_as_late(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 1);
    struct shard_push push = one_push(7, 1, 0, ones);
    shard_push(&shard, 0, &push);
    push = one_push(8, 2, 0, ones);
    shard_push(&shard, 0, &push);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_LATE_DROPPED);
    assert_true(weight(&shard) == 9.0F);
    shard_teardown(&shard);
}

static void push__with_nan_at_any_place__is_refused_and_names_it(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 1);
    for (size_t i = 0; i < 4; i++) {
        float grad[4] = {1, 1, 1, 1};
        grad[i] = i % 2 == 0 ? NAN : INFINITY;
        const struct shard_push push = one_push(7 + i, 1, 0, grad);
        shard_push(&shard, 0, &push);
        const struct shard_reply *reply = shard_last(&shard, 0);
        char element[32];
        (void)snprintf(element, sizeof element, "element %zu", i);
        assert_int_equal(reply->code, STEPD_INVALID_ARGUMENT);
        assert_non_null(strstr(reply->text, "tensor 'w'"));
        assert_non_null(strstr(reply->text, element));
    }
    assert_true(weight(&shard) == 10.0F);
    const struct shard_push repaired = one_push(20, 1, 0, ones); /* the same clock, again */
    shard_push(&shard, 0, &repaired);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_APPLIED);
    assert_true(weight(&shard) == 9.0F);
    shard_teardown(&shard);
}

static void push__empty_beside_another__counts_as_presence_only(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 2);
    const struct shard_push empty = {.id = 7, .clock = 1, .slices = 1};
    shard_push(&shard, 0, &empty);
    const struct shard_push push = one_push(8, 1, 0, threes);
    shard_push(&shard, 1, &push);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_APPLIED);
    assert_true(weight(&shard) == 7.0F);
    shard_teardown(&shard);
}

static void push__empty_from_all__raises_the_version_and_skips(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 1);
    const struct shard_push empty = {.id = 7, .clock = 1, .slices = 1};
    shard_push(&shard, 0, &empty);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_SKIPPED);
    assert_int_equal(shard_last(&shard, 0)->version[0], 1);
    assert_true(weight(&shard) == 10.0F);
    shard_teardown(&shard);
}

static void push__cut_at_every_byte__leaves_nothing_behind(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < sizeof ones; cut++) {
        struct shard shard;
        setup(&shard, STEPD_SYNC, 1);
        const uint32_t slice = 0;
        const uint64_t base = 0;
        const struct stepd_message message = {
            .request_id = 7,
            .kind = STEPD_MESSAGE_PUSH,
            .body.push = {.incarnation = 1,
                          .clock = 1,
                          .slices = {.count = 1, .at = &slice},
                          .base_versions = {.count = 1, .at = &base},
                          .examples = 1},
        };
        assert_int_equal(shard_send(&shard, 0, &message, threes, cut, sizeof ones, NULL), STEPD_OK);
        shard_close(&shard, 0);
        shard_connect(&shard, 0, 0);
        assert_true(weight(&shard) == 10.0F);
        const struct shard_push again = one_push(8, 1, 0, ones);
        shard_push(&shard, 0, &again);
        assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_APPLIED);
        assert_true(weight(&shard) == 9.0F);
        shard_teardown(&shard);
    }
}

static void push__with_another_length__is_refused_and_read_to_its_end(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 1);
    struct shard_push push = one_push(7, 1, 0, ones);
    push.values = 3;
    shard_push(&shard, 0, &push);
    assert_int_equal(shard_last(&shard, 0)->code, STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(shard_last(&shard, 0)->text, "16 bytes of f32"));
    push = one_push(8, 1, 0, ones);
    shard_push(&shard, 0, &push); /* the connection goes on */
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_APPLIED);
    shard_teardown(&shard);
}

static void push__of_unknown_or_repeated_slices__is_refused(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 1);
    const uint32_t unknown[] = {1};
    struct shard_push push = one_push(7, 1, 0, ones);
    push.slice = unknown;
    shard_push(&shard, 0, &push);
    assert_non_null(strstr(shard_last(&shard, 0)->text, "no slice 1"));
    const uint32_t repeated[] = {0, 0};
    push.slice = repeated;
    push.slices = 2;
    shard_push(&shard, 0, &push);
    assert_non_null(strstr(shard_last(&shard, 0)->text, "listed twice"));
    shard_teardown(&shard);
}

static void push__by_a_rank_that_left__is_fenced(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 2);
    shard_member(&shard, 1, 0, 0);
    const struct shard_push push = one_push(7, 1, 0, ones);
    shard_push(&shard, 1, &push);
    assert_int_equal(shard_last(&shard, 1)->outcome[0], STEPD_FENCED);
    shard_teardown(&shard);
}

static void round__when_the_rank_it_lacks_leaves__closes(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 2);
    const struct shard_push push = one_push(7, 1, 0, ones);
    shard_push(&shard, 0, &push);
    shard_member(&shard, 1, 0, 0);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_APPLIED);
    assert_true(weight(&shard) == 9.0F);
    shard_teardown(&shard);
}

static void round__before_the_job_starts__does_not_close(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = small_job(STEPD_SYNC, 2);
    shard_open_job(&shard, &job);
    shard_session(&shard, 0, 1, false);
    shard_member(&shard, 0, 0, UINT64_MAX);
    shard_connect(&shard, 0, 0);
    const struct shard_push push = one_push(7, 1, 0, ones);
    shard_push(&shard, 0, &push);
    assert_int_equal(shard_last(&shard, 0)->kind, STEPD_MESSAGE_WELCOME);
    shard.now_ms += 10001;
    core_on_tick(shard.core, shard.now_ms);
    assert_int_equal(shard_last(&shard, 0)->code, STEPD_DEADLINE_EXCEEDED);
    assert_non_null(strstr(shard_last(&shard, 0)->text, "1 of 2 workers"));
    shard_teardown(&shard);
}

static void push__past_its_deadline__names_the_rank_it_waits_for(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 3);
    struct shard_push push = one_push(7, 1, 0, ones);
    push.deadline_ms = 500;
    shard_push(&shard, 0, &push);
    shard.now_ms += 499;
    core_on_tick(shard.core, shard.now_ms);
    assert_int_equal(shard_last(&shard, 0)->kind, STEPD_MESSAGE_WELCOME);
    shard.now_ms += 1;
    core_on_tick(shard.core, shard.now_ms);
    const struct shard_reply *reply = shard_last(&shard, 0);
    assert_int_equal(reply->code, STEPD_DEADLINE_EXCEEDED);
    assert_non_null(strstr(reply->text, "waiting for rank 1 (worker 'tester'"));
    assert_non_null(strstr(reply->text, "and 1 more"));
    assert_int_equal(reply->waited_for, 2);
    assert_int_equal(reply->waited[0], 1);
    assert_int_equal(reply->waited[1], 2);
    /* What was counted stays counted: only the answer was given up. */
    push = one_push(8, 1, 0, ones);
    shard_push(&shard, 1, &push);
    shard_push(&shard, 2, &push);
    assert_true(weight(&shard) == 9.0F);
    shard_teardown(&shard);
}

static void step__in_sync__returns_the_new_weights(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 2);
    struct shard_push push = one_push(7, 1, 0, ones);
    push.step = true;
    shard_push(&shard, 0, &push);
    push.grad = threes;
    shard_push(&shard, 1, &push);
    for (size_t peer = 0; peer < 2; peer++) {
        const struct shard_reply *reply = shard_last(&shard, peer);
        assert_int_equal(reply->values, 4);
        assert_true(reply->value[3] == 8.0F);
        assert_true(reply->last);
    }
    shard_teardown(&shard);
}

static void push__in_async__is_applied_on_arrival_whatever_its_base(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_ASYNC, 2);
    struct shard_push push = one_push(7, 1, 0, ones);
    shard_push(&shard, 0, &push);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_APPLIED);
    push = one_push(8, 1, 0, threes);
    shard_push(&shard, 1, &push);
    assert_int_equal(shard_last(&shard, 1)->outcome[0], STEPD_APPLIED);
    assert_int_equal(shard_last(&shard, 1)->version[0], 2);
    assert_true(weight(&shard) == 6.0F);
    shard_teardown(&shard);
}

static void step__while_readers_hold_both_versions__waits_and_tears_no_pull(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_ASYNC, 1);
    shard.hold = true;
    shard_pull(&shard, 0, 2, 0, 1); /* holds version 0 */
    struct shard_push push = one_push(7, 1, 0, ones);
    shard_push(&shard, 0, &push); /* writes version 1 into the other buffer */
    shard_pull(&shard, 0, 3, 1, 1);
    push = one_push(8, 2, 1, ones);
    shard_push(&shard, 0, &push);
    assert_int_equal(shard_last(&shard, 0)->request_id, 3); /* not answered */
    assert_true(shard.held_piece[0]->values[0] == 10.0F);
    assert_true(shard.held_piece[1]->values[0] == 9.0F);
    shard.hold = false;
    shard_release(&shard);
    assert_int_equal(shard_last(&shard, 0)->request_id, 8);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_APPLIED);
    assert_true(weight(&shard) == 8.0F);
    shard_teardown(&shard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(push__by_one_worker__is_applied),
        cmocka_unit_test(push__of_first_of_two__waits_for_the_second),
        cmocka_unit_test(push__weighted_by_examples__takes_the_weighted_mean),
        cmocka_unit_test(push__twice_by_the_same_rank__is_answered_twice_and_counted_once),
        cmocka_unit_test(push__resent_after_the_round__is_a_duplicate_with_its_version),
        cmocka_unit_test(push__with_a_gap_in_the_clock__is_refused),
        cmocka_unit_test(push__with_a_base_version_of_the_future__is_refused),
        cmocka_unit_test(push__with_an_old_base_version__is_dropped_as_late),
        cmocka_unit_test(push__with_nan_at_any_place__is_refused_and_names_it),
        cmocka_unit_test(push__empty_beside_another__counts_as_presence_only),
        cmocka_unit_test(push__empty_from_all__raises_the_version_and_skips),
        cmocka_unit_test(push__cut_at_every_byte__leaves_nothing_behind),
        cmocka_unit_test(push__with_another_length__is_refused_and_read_to_its_end),
        cmocka_unit_test(push__of_unknown_or_repeated_slices__is_refused),
        cmocka_unit_test(push__by_a_rank_that_left__is_fenced),
        cmocka_unit_test(round__when_the_rank_it_lacks_leaves__closes),
        cmocka_unit_test(round__before_the_job_starts__does_not_close),
        cmocka_unit_test(push__past_its_deadline__names_the_rank_it_waits_for),
        cmocka_unit_test(step__in_sync__returns_the_new_weights),
        cmocka_unit_test(push__in_async__is_applied_on_arrival_whatever_its_base),
        cmocka_unit_test(step__while_readers_hold_both_versions__waits_and_tears_no_pull),
    };
    return cmocka_run_group_tests_name("core/push", tests, NULL, NULL);
}
