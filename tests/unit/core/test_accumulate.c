/* SPDX-License-Identifier: Apache-2.0
 *
 * Several pushes of each worker that make one step, through a shard's core: what a push is
 * answered, and what the step is made of.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/core/accumulate.h"

static const float ones[4] = {1, 1, 1, 1};
static const float threes[4] = {3, 3, 3, 3};
static const float nans[4] = {1, NAN, 1, 1};
static const double two = 2.0;
static const double three = 3.0;
static const double ten = 10.0;

static void push(struct shard *shard, uint32_t rank, uint64_t clock, uint64_t base,
                 const float *grad)
{
    accumulate_push(shard, rank, clock, base, 1, grad);
}

/* The rank's newest answer: an outcome, with weights of this version and value. */
static void assert_answered(const struct shard *shard, uint32_t rank, enum stepd_outcome outcome,
                            uint64_t version, float weight)
{
    const struct shard_reply *reply = shard_last(shard, rank);
    assert_int_equal(reply->kind, STEPD_MESSAGE_RESULT);
    assert_int_equal(reply->outcome[0], outcome);
    assert_int_equal(reply->version[0], version);
    assert_true(reply->value[0] == weight);
}

/* ---- accumulate ------------------------------------------------------------------------------ */

static void step__that_is_not_the_last__is_answered_at_once_with_the_old_version(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting accumulate = accumulate_number("accumulate", &three);
    accumulate_setup(&shard, 2, &accumulate, 1);
    push(&shard, 0, 1, 0, ones);
    assert_answered(&shard, 0, STEPD_ACCUMULATED, 0, 10.0F);
    push(&shard, 0, 2, 0, ones);
    assert_answered(&shard, 0, STEPD_ACCUMULATED, 0, 10.0F);
    shard_teardown(&shard);
}

static void accumulate__with_the_last_push_of_the_last_member__makes_one_step_of_all(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting accumulate = accumulate_number("accumulate", &two);
    accumulate_setup(&shard, 2, &accumulate, 1);
    accumulate_push(&shard, 0, 1, 0, 1, ones);
    accumulate_push(&shard, 1, 1, 0, 3, threes);
    accumulate_push(&shard, 1, 2, 0, 2, ones);
    const size_t before = shard.peer[1].replies;
    accumulate_push(&shard, 0, 2, 0, 2, threes);
    assert_answered(&shard, 0, STEPD_APPLIED, 1, 7.75F); /* 10 - (1 + 9 + 2 + 6) / 8 */
    assert_int_equal(shard.peer[1].replies, before + 1);
    assert_answered(&shard, 1, STEPD_APPLIED, 1, 7.75F);
    push(&shard, 0, 3, 1, ones); /* and so on */
    assert_answered(&shard, 0, STEPD_ACCUMULATED, 1, 7.75F);
    shard_teardown(&shard);
}

static void push__sent_again_while_its_step_is_open__counts_once(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting accumulate = accumulate_number("accumulate", &two);
    accumulate_setup(&shard, 1, &accumulate, 1);
    push(&shard, 0, 1, 0, ones);
    push(&shard, 0, 1, 0, threes);
    assert_answered(&shard, 0, STEPD_DUPLICATE, 0, 10.0F);
    push(&shard, 0, 2, 0, ones);
    assert_answered(&shard, 0, STEPD_APPLIED, 1, 9.0F);
    shard_teardown(&shard);
}

static void push__sent_again_after_its_step__names_the_version_that_it_made(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting accumulate = accumulate_number("accumulate", &two);
    accumulate_setup(&shard, 1, &accumulate, 1);
    for (uint64_t clock = 1; clock <= 5; clock++)
        push(&shard, 0, clock, (clock - 1) / 2, ones);
    const uint64_t made[] = {1, 1, 2, 2};
    for (uint64_t clock = 1; clock <= 4; clock++) {
        const struct shard_push again = {.id = 9,
                                         .clock = clock,
                                         .base_version = made[clock - 1] - 1,
                                         .examples = 1,
                                         .slices = 1,
                                         .grad = threes,
                                         .values = 4};
        shard_push(&shard, 0, &again);
        assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_DUPLICATE);
        assert_int_equal(shard_last(&shard, 0)->version[0], made[clock - 1]);
    }
    shard_teardown(&shard);
}

static void push__that_leaves_a_gap_in_a_step__is_refused(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting accumulate = accumulate_number("accumulate", &three);
    accumulate_setup(&shard, 1, &accumulate, 1);
    push(&shard, 0, 1, 0, ones);
    push(&shard, 0, 3, 0, ones);
    assert_string_equal(shard_last(&shard, 0)->text,
                        "w: clock 3 leaves a gap; the next of rank 0 is 2");
    shard_teardown(&shard);
}

static void push__cut_short_in_mid_step__leaves_what_was_there(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting accumulate = accumulate_number("accumulate", &two);
    accumulate_setup(&shard, 1, &accumulate, 1);
    push(&shard, 0, 1, 0, threes);
    static const uint32_t slice0 = 0;
    static const uint64_t base = 0;
    const struct stepd_message half = {.request_id = 2,
                                       .kind = STEPD_MESSAGE_PUSH,
                                       .body.push = {.incarnation = shard.job->incarnation,
                                                     .clock = 2,
                                                     .slices = {.count = 1, .at = &slice0},
                                                     .base_versions = {.count = 1, .at = &base},
                                                     .examples = 1,
                                                     .loss_scale = 1.0}};
    assert_int_equal(shard_send(&shard, 0, &half, ones, 7, sizeof ones, NULL), STEPD_OK);
    shard_close(&shard, 0);
    shard_connect(&shard, 1, 0);
    assert_int_equal(shard_last(&shard, 1)->welcome.clock, 1);
    push(&shard, 1, 2, 0, ones);
    assert_answered(&shard, 1, STEPD_APPLIED, 1, 8.0F);
    shard_teardown(&shard);
}

static void push__with_a_nan_in_mid_step__may_be_repaired(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting accumulate = accumulate_number("accumulate", &two);
    accumulate_setup(&shard, 1, &accumulate, 1);
    push(&shard, 0, 1, 0, threes);
    push(&shard, 0, 2, 0, nans);
    assert_int_equal(shard_last(&shard, 0)->code, STEPD_INVALID_ARGUMENT);
    push(&shard, 0, 2, 0, ones);
    assert_answered(&shard, 0, STEPD_APPLIED, 1, 8.0F);
    shard_teardown(&shard);
}

static void nan__in_one_of_several_pushes__skips_the_step(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting settings[] = {accumulate_number("accumulate", &two),
                                             accumulate_word("nonfinite", "skip")};
    accumulate_setup(&shard, 1, settings, 2);
    push(&shard, 0, 1, 0, nans);
    assert_answered(&shard, 0, STEPD_ACCUMULATED, 0, 10.0F);
    push(&shard, 0, 2, 0, ones);
    assert_non_null(shard.ready);
    assert_int_equal(shard.ready->error.code, STEPD_INVALID_ARGUMENT);
    shard_teardown(&shard);
}

static void empty_pushes__of_a_step__count_as_pushes_and_weigh_nothing(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting accumulate = accumulate_number("accumulate", &three);
    accumulate_setup(&shard, 1, &accumulate, 1);
    accumulate_push(&shard, 0, 1, 0, 0, NULL);
    accumulate_push(&shard, 0, 2, 0, 4, threes);
    accumulate_push(&shard, 0, 3, 0, 0, NULL);
    assert_answered(&shard, 0, STEPD_APPLIED, 1, 7.0F);
    for (uint64_t clock = 4; clock <= 6; clock++)
        accumulate_push(&shard, 0, clock, 1, 0, NULL);
    assert_answered(&shard, 0, STEPD_SKIPPED, 2, 7.0F);
    shard_teardown(&shard);
}

static void leave__in_mid_step__makes_it_of_what_was_pushed(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting accumulate = accumulate_number("accumulate", &three);
    accumulate_setup(&shard, 2, &accumulate, 1);
    for (uint64_t clock = 1; clock <= 3; clock++)
        push(&shard, 0, clock, 0, ones);
    push(&shard, 1, 1, 0, threes);
    shard_member(&shard, 1, 0, 1);
    assert_answered(&shard, 0, STEPD_APPLIED, 1, 8.5F); /* 10 - (1 + 1 + 1 + 3) / 4 */
    shard_teardown(&shard);
}

static void wait__for_the_rest_of_a_step__names_who_owes_it(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting accumulate = accumulate_number("accumulate", &two);
    accumulate_setup(&shard, 2, &accumulate, 1);
    push(&shard, 1, 1, 0, ones);
    shard_query(&shard);
    assert_int_equal(shard.waited_for, 3);
    push(&shard, 1, 2, 0, ones);
    shard_query(&shard);
    assert_int_equal(shard.waited_for, 1);
    shard_teardown(&shard);
}

static void arrival__of_several_pushes__adds_them_all(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting settings[] = {accumulate_number("accumulate", &two),
                                             accumulate_word("reduction", "arrival")};
    accumulate_setup(&shard, 1, settings, 2);
    accumulate_push(&shard, 0, 1, 0, 3, ones);
    accumulate_push(&shard, 0, 2, 0, 1, threes);
    assert_answered(&shard, 0, STEPD_APPLIED, 1, 8.5F);
    shard_teardown(&shard);
}

/* ---- accumulate_examples --------------------------------------------------------------------- */

static void turn__that_does_not_reach_the_examples__is_answered_when_it_is_whole(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting examples = accumulate_number("accumulate_examples", &ten);
    accumulate_setup(&shard, 2, &examples, 1);
    const size_t before = shard.peer[0].replies;
    accumulate_push(&shard, 0, 1, 0, 8, ones);
    assert_int_equal(shard.peer[0].replies, before); /* it is not known yet whether it closes */
    accumulate_push(&shard, 1, 1, 0, 1, ones);
    assert_answered(&shard, 0, STEPD_ACCUMULATED, 0, 10.0F);
    assert_answered(&shard, 1, STEPD_ACCUMULATED, 0, 10.0F);
    shard_teardown(&shard);
}

static void turn__that_reaches_the_examples__makes_the_step_when_it_is_whole(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting examples = accumulate_number("accumulate_examples", &ten);
    accumulate_setup(&shard, 2, &examples, 1);
    accumulate_push(&shard, 0, 1, 0, 2, ones);
    accumulate_push(&shard, 1, 1, 0, 2, ones);
    const size_t before = shard.peer[0].replies;
    accumulate_push(&shard, 0, 2, 0, 6, ones); /* 10 are there, and rank 1 has yet to say */
    assert_int_equal(shard.peer[0].replies, before);
    accumulate_push(&shard, 1, 2, 0, 2, threes);
    assert_answered(&shard, 0, STEPD_APPLIED, 1, 10.0F - 16.0F / 12.0F);
    accumulate_push(&shard, 0, 3, 1, 10, ones);
    accumulate_push(&shard, 1, 3, 1, 0, NULL);
    assert_int_equal(shard_last(&shard, 0)->version[0], 2);
    shard_teardown(&shard);
}

static void turn__without_examples__makes_the_step_of_what_there_is(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting examples = accumulate_number("accumulate_examples", &ten);
    accumulate_setup(&shard, 2, &examples, 1);
    accumulate_push(&shard, 0, 1, 0, 2, ones);
    accumulate_push(&shard, 1, 1, 0, 2, threes);
    accumulate_push(&shard, 0, 2, 0, 0, NULL);
    accumulate_push(&shard, 1, 2, 0, 0, NULL);
    assert_answered(&shard, 1, STEPD_APPLIED, 1, 8.0F);
    shard_teardown(&shard);
}

/* Whoever takes the rank over cannot know whether clock 2 makes the step: it pushes that again. */
static void takeover__in_mid_turn__goes_on_with_the_push_that_has_no_answer(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting examples = accumulate_number("accumulate_examples", &ten);
    accumulate_setup(&shard, 2, &examples, 1);
    accumulate_push(&shard, 0, 1, 0, 2, ones);
    accumulate_push(&shard, 1, 1, 0, 2, ones);
    accumulate_push(&shard, 0, 2, 0, 2, ones);
    shard_session(&shard, 0, 2, /* observer= */ false);
    shard_connect(&shard, 5, 0);
    assert_int_equal(shard_last(&shard, 5)->welcome.clock, 1);
    accumulate_push(&shard, 5, 2, 0, 2, ones);
    accumulate_push(&shard, 1, 2, 0, 2, ones);
    assert_answered(&shard, 5, STEPD_DUPLICATE, 0, 10.0F);
    accumulate_push(&shard, 5, 3, 0, 2, ones);
    accumulate_push(&shard, 1, 3, 0, 0, NULL);
    assert_answered(&shard, 5, STEPD_APPLIED, 1, 9.0F);
    shard_teardown(&shard);
}

static void leave__of_all_in_mid_step__makes_it_of_what_was_pushed(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_setting examples = accumulate_number("accumulate_examples", &ten);
    accumulate_setup(&shard, 2, &examples, 1);
    shard_session(&shard, 15, 1, /* observer= */ true);
    shard_connect(&shard, 15, 15);
    accumulate_push(&shard, 0, 1, 0, 2, ones);
    accumulate_push(&shard, 1, 1, 0, 2, threes);
    shard_member(&shard, 0, 0, 1);
    shard_pull(&shard, 15, 9, 0, 1);
    assert_int_equal(shard_last(&shard, 15)->version[0], 0);
    shard_member(&shard, 1, 0, 1);
    shard_pull(&shard, 15, 9, 0, 1);
    assert_int_equal(shard_last(&shard, 15)->version[0], 1);
    assert_true(shard_last(&shard, 15)->value[0] == 8.0F);
    shard_teardown(&shard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(step__that_is_not_the_last__is_answered_at_once_with_the_old_version),
        cmocka_unit_test(accumulate__with_the_last_push_of_the_last_member__makes_one_step_of_all),
        cmocka_unit_test(push__sent_again_while_its_step_is_open__counts_once),
        cmocka_unit_test(push__sent_again_after_its_step__names_the_version_that_it_made),
        cmocka_unit_test(push__that_leaves_a_gap_in_a_step__is_refused),
        cmocka_unit_test(push__cut_short_in_mid_step__leaves_what_was_there),
        cmocka_unit_test(push__with_a_nan_in_mid_step__may_be_repaired),
        cmocka_unit_test(nan__in_one_of_several_pushes__skips_the_step),
        cmocka_unit_test(empty_pushes__of_a_step__count_as_pushes_and_weigh_nothing),
        cmocka_unit_test(leave__in_mid_step__makes_it_of_what_was_pushed),
        cmocka_unit_test(wait__for_the_rest_of_a_step__names_who_owes_it),
        cmocka_unit_test(arrival__of_several_pushes__adds_them_all),
        cmocka_unit_test(turn__that_does_not_reach_the_examples__is_answered_when_it_is_whole),
        cmocka_unit_test(turn__that_reaches_the_examples__makes_the_step_when_it_is_whole),
        cmocka_unit_test(turn__without_examples__makes_the_step_of_what_there_is),
        cmocka_unit_test(takeover__in_mid_turn__goes_on_with_the_push_that_has_no_answer),
        cmocka_unit_test(leave__of_all_in_mid_step__makes_it_of_what_was_pushed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
