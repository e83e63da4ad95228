/* SPDX-License-Identifier: Apache-2.0
 *
 * A round's moves, and what it counts.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/sync/round.h"

static float grad[2] = {1, 2};

static struct round round_for(uint32_t ranks)
{
    struct round round = {.ranks = 0};
    assert_int_equal(round_admit(&round, ranks - 1), STEPD_OK);
    return round;
}

static void contribute(struct round *round, uint32_t rank, uint64_t clock, uint64_t examples)
{
    round_begin(round, rank, clock, 0);
    round_count(round, rank, examples, grad);
}

static void round_of__of_a_rank_never_admitted__is_absent(void **state)
{
    (void)state;
    const struct round round = {.ranks = 0};
    assert_int_equal(round_of(&round, 0).state, CONTRIBUTION_ABSENT);
    assert_int_equal(round_of(&round, UINT32_MAX).state, CONTRIBUTION_ABSENT);
}

static void round_begin__of_a_rank__counts_nothing_yet(void **state)
{
    (void)state;
    struct round round = round_for(2);
    round_begin(&round, 1, 9, 0);
    assert_int_equal(round_of(&round, 1).state, CONTRIBUTION_RECEIVING);
    assert_int_equal(round_of(&round, 1).clock, 9);
    assert_int_equal(round.counted, 0);
    assert_int_equal(round.examples, 0);
    round_deinit(&round);
}

static void round_count__of_ranks__adds_them_and_their_examples(void **state)
{
    (void)state;
    struct round round = round_for(3);
    contribute(&round, 2, 4, 30);
    contribute(&round, 0, 5, 0);
    assert_int_equal(round.counted, 2);
    assert_int_equal(round.examples, 30);
    assert_int_equal(round_of(&round, 2).state, CONTRIBUTION_COUNTED);
    assert_int_equal(round_of(&round, 2).clock, 4);
    assert_int_equal(round_of(&round, 2).examples, 30);
    assert_ptr_equal(round_of(&round, 2).grad, grad);
    assert_int_equal(round_of(&round, 1).state, CONTRIBUTION_ABSENT);
    round_deinit(&round);
}

static void round_drop__of_a_half_received_one__leaves_nothing(void **state)
{
    (void)state;
    struct round round = round_for(2);
    contribute(&round, 0, 1, 8);
    round_begin(&round, 1, 1, 0);
    round_drop(&round, 1);
    assert_int_equal(round_of(&round, 1).state, CONTRIBUTION_ABSENT);
    assert_int_equal(round.counted, 1);
    assert_int_equal(round.examples, 8);
    contribute(&round, 1, 1, 2); /* and it may come again */
    assert_int_equal(round.examples, 10);
    round_deinit(&round);
}

static void round_settle__of_one__takes_only_that_out(void **state)
{
    (void)state;
    struct round round = round_for(2);
    contribute(&round, 0, 1, 8);
    contribute(&round, 1, 1, 2);
    round_settle(&round, 0);
    assert_int_equal(round_of(&round, 0).state, CONTRIBUTION_ABSENT);
    assert_int_equal(round_of(&round, 1).state, CONTRIBUTION_COUNTED);
    assert_int_equal(round.counted, 1);
    assert_int_equal(round.examples, 2);
    round_deinit(&round);
}

static void round_admit__of_a_further_rank__keeps_the_contributions(void **state)
{
    (void)state;
    struct round round = round_for(1);
    contribute(&round, 0, 7, 8);
    assert_int_equal(round_admit(&round, 5), STEPD_OK);
    assert_int_equal(round_admit(&round, 2), STEPD_OK);
    assert_int_equal(round.ranks, 6);
    assert_int_equal(round_of(&round, 0).clock, 7);
    assert_int_equal(round_of(&round, 5).state, CONTRIBUTION_ABSENT);
    round_deinit(&round);
}

static void round_weight__of_contributions__is_their_share_of_the_examples(void **state)
{
    (void)state;
    struct round round = round_for(3);
    contribute(&round, 0, 1, 1);
    contribute(&round, 1, 1, 2);
    contribute(&round, 2, 1, 0);
    const struct contribution third = round_of(&round, 0);
    const struct contribution rest = round_of(&round, 1);
    const struct contribution none = round_of(&round, 2);
    assert_true(round_weight(&round, &third) == (float)(1.0 / 3.0));
    assert_true(round_weight(&round, &rest) == (float)(2.0 / 3.0));
    assert_true(round_weight(&round, &none) == 0.0F);
    round_deinit(&round);
}

static void round_weight__of_the_only_one_with_examples__is_exactly_one(void **state)
{
    (void)state;
    struct round round = round_for(2);
    contribute(&round, 0, 1, 0);
    contribute(&round, 1, 1, (UINT64_C(1) << 30) - 1);
    const struct contribution only = round_of(&round, 1);
    assert_true(round_weight(&round, &only) == 1.0F);
    round_deinit(&round);
}

static void round_loss__of_some_that_tell_it__is_their_mean(void **state)
{
    (void)state;
    struct round round = round_for(4);
    assert_true(isnan(round_loss(&round)));
    contribute(&round, 0, 1, 3);
    round_note_loss(&round, 0, 3, 2.0);
    contribute(&round, 1, 1, 5); /* tells none */
    contribute(&round, 2, 1, 0);
    round_note_loss(&round, 2, 0, 1e9); /* of no examples */
    contribute(&round, 3, 1, 1);
    round_note_loss(&round, 3, 1, 6.0);
    assert_true(round_loss(&round) == 3.0 / 4.0 * 2.0 + 1.0 / 4.0 * 6.0);
    round_deinit(&round);
}

static void round_loss__of_the_next_round__is_not_that_of_the_last(void **state)
{
    (void)state;
    struct round round = round_for(1);
    contribute(&round, 0, 1, 3);
    round_note_loss(&round, 0, 3, 2.0);
    round_settle(&round, 0);
    assert_true(isnan(round_loss(&round)));
    contribute(&round, 0, 2, 3);
    assert_true(isnan(round_loss(&round)));
    round_deinit(&round);
}

static void round_go_on__of_one__waits_for_its_next_push(void **state)
{
    (void)state;
    struct round round = round_for(2);
    contribute(&round, 0, 7, 8);
    round_go_on(&round, 0);
    assert_int_equal(round_of(&round, 0).state, CONTRIBUTION_GATHERING);
    assert_int_equal(round.counted, 0);
    assert_int_equal(round.present, 1);
    contribute(&round, 0, 8, 4);
    assert_int_equal(round_of(&round, 0).clock, 8);
    assert_int_equal(round_of(&round, 0).pushes, 2);
    assert_int_equal(round_of(&round, 0).examples, 12);
    assert_int_equal(round.counted, 1);
    assert_int_equal(round.present, 1);
    assert_int_equal(round.examples, 12);
    round_deinit(&round);
}

static void round_drop__of_a_later_push__leaves_those_before(void **state)
{
    (void)state;
    struct round round = round_for(1);
    contribute(&round, 0, 7, 8);
    round_go_on(&round, 0);
    round_begin(&round, 0, 8, 0);
    round_drop(&round, 0);
    assert_int_equal(round_of(&round, 0).state, CONTRIBUTION_GATHERING);
    assert_int_equal(round_of(&round, 0).clock, 7);
    assert_int_equal(round.examples, 8);
    round_deinit(&round);
}

static void round_settle__while_a_later_push_comes_in__begins_anew_with_it(void **state)
{
    (void)state;
    struct round round = round_for(1);
    contribute(&round, 0, 7, 8);
    round_go_on(&round, 0);
    round_begin(&round, 0, 8, 3);
    round_settle(&round, 0);
    assert_int_equal(round_of(&round, 0).state, CONTRIBUTION_RECEIVING);
    assert_int_equal(round_of(&round, 0).pushes, 0);
    assert_int_equal(round.present, 0);
    assert_int_equal(round.examples, 0);
    round_count(&round, 0, 2, grad);
    assert_int_equal(round_of(&round, 0).clock, 8);
    assert_int_equal(round_of(&round, 0).base_version, 3);
    assert_int_equal(round_of(&round, 0).unit, 2);
    round_deinit(&round);
}

static void round_share__of_later_pushes__is_in_units_of_the_first_with_examples(void **state)
{
    (void)state;
    struct round round = round_for(2);
    contribute(&round, 0, 1, 0);
    round_go_on(&round, 0);
    contribute(&round, 0, 2, 4);
    const struct contribution of_four = round_of(&round, 0);
    assert_true(round_share(&of_four, 4) == 1.0F);
    assert_true(round_share(&of_four, 6) == 1.5F);
    round_go_on(&round, 0);
    contribute(&round, 0, 3, 6);
    contribute(&round, 1, 1, 6);
    const struct contribution of_ten = round_of(&round, 0);
    assert_true(round_weight(&round, &of_ten) == 0.25F); /* of a sum that counts fours */
    round_deinit(&round);
}

static void round_loss__of_several_pushes_of_a_rank__is_their_mean(void **state)
{
    (void)state;
    struct round round = round_for(1);
    contribute(&round, 0, 1, 1);
    round_note_loss(&round, 0, 1, 2.0);
    round_go_on(&round, 0);
    contribute(&round, 0, 2, 5); /* tells none */
    round_go_on(&round, 0);
    contribute(&round, 0, 3, 3);
    round_note_loss(&round, 0, 3, 6.0);
    assert_true(round_loss(&round) == 5.0);
    round_deinit(&round);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_of__of_a_rank_never_admitted__is_absent),
        cmocka_unit_test(round_begin__of_a_rank__counts_nothing_yet),
        cmocka_unit_test(round_count__of_ranks__adds_them_and_their_examples),
        cmocka_unit_test(round_drop__of_a_half_received_one__leaves_nothing),
        cmocka_unit_test(round_settle__of_one__takes_only_that_out),
        cmocka_unit_test(round_go_on__of_one__waits_for_its_next_push),
        cmocka_unit_test(round_drop__of_a_later_push__leaves_those_before),
        cmocka_unit_test(round_settle__while_a_later_push_comes_in__begins_anew_with_it),
        cmocka_unit_test(round_share__of_later_pushes__is_in_units_of_the_first_with_examples),
        cmocka_unit_test(round_loss__of_several_pushes_of_a_rank__is_their_mean),
        cmocka_unit_test(round_admit__of_a_further_rank__keeps_the_contributions),
        cmocka_unit_test(round_weight__of_contributions__is_their_share_of_the_examples),
        cmocka_unit_test(round_weight__of_the_only_one_with_examples__is_exactly_one),
        cmocka_unit_test(round_loss__of_some_that_tell_it__is_their_mean),
        cmocka_unit_test(round_loss__of_the_next_round__is_not_that_of_the_last),
    };
    return cmocka_run_group_tests_name("sync/round", tests, NULL, NULL);
}
