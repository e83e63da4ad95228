/* SPDX-License-Identifier: Apache-2.0
 *
 * Members: from a version, up to a clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/sync/members.h"

static void members__of_nobody__know_nobody(void **state)
{
    (void)state;
    struct members members = {.ranks = 0};
    assert_false(members_know(&members, 0));
    assert_false(members_admit(&members, 0, 0, 1));
    assert_false(members_owe(&members, UINT32_MAX, 0, 0));
    members_gone(&members, 3);
    members_deinit(&members);
}

static void members__before_their_first_version__neither_count_nor_owe(void **state)
{
    (void)state;
    struct members members = {.ranks = 0};
    assert_int_equal(
        members_set(&members, 2, &(struct interval){.from = 3, .last_clock = UINT64_MAX}),
        STEPD_OK);
    assert_false(members_admit(&members, 2, 2, 1));
    assert_false(members_owe(&members, 2, 2, 0));
    assert_true(members_admit(&members, 2, 3, 1));
    assert_true(members_owe(&members, 2, 3, 0));
    members_deinit(&members);
}

static void members__that_have_left__owe_up_to_their_last_clock(void **state)
{
    (void)state;
    struct members members = {.ranks = 0};
    assert_int_equal(
        members_set(&members, 0, &(struct interval){.from = 0, .last_clock = UINT64_MAX}),
        STEPD_OK);
    assert_int_equal(members_set(&members, 0, &(struct interval){.from = 0, .last_clock = 7}),
                     STEPD_OK);
    assert_true(members_owe(&members, 0, 90, 6));
    assert_false(members_owe(&members, 0, 90, 7));
    assert_true(members_admit(&members, 0, 90, 7));
    assert_false(members_admit(&members, 0, 90, 8));
    members_deinit(&members);
}

static void members_set__of_a_high_rank__makes_no_member_of_those_below(void **state)
{
    (void)state;
    struct members members = {.ranks = 0};
    assert_int_equal(
        members_set(&members, 3, &(struct interval){.from = 0, .last_clock = UINT64_MAX}),
        STEPD_OK);
    for (uint32_t rank = 0; rank < 3; rank++) {
        assert_false(members_know(&members, rank));
        assert_false(members_admit(&members, rank, 0, 1));
        assert_false(members_owe(&members, rank, 0, 0));
    }
    assert_true(members_know(&members, 3));
    members_deinit(&members);
}

static void members_know__of_who_left_without_a_push__says_no(void **state)
{
    (void)state;
    struct members members = {.ranks = 0};
    assert_int_equal(members_set(&members, 0, &(struct interval){.from = 0, .last_clock = 0}),
                     STEPD_OK);
    assert_false(members_know(&members, 0));
    assert_false(members_owe(&members, 0, 0, 0));
    members_deinit(&members);
}

static void members_gone__of_who_has_left__ends_what_it_owes(void **state)
{
    (void)state;
    struct members members = {.ranks = 0};
    assert_int_equal(members_set(&members, 0, &(struct interval){.from = 0, .last_clock = 7}),
                     STEPD_OK);
    assert_int_equal(
        members_set(&members, 1, &(struct interval){.from = 0, .last_clock = UINT64_MAX}),
        STEPD_OK);
    members_gone(&members, 0);
    members_gone(&members, 1);
    assert_false(members_owe(&members, 0, 4, 4));
    assert_true(members_owe(&members, 1, 4, 4));
    members_deinit(&members);
}

static void members_gone__of_who_is_no_member_yet__is_nothing(void **state)
{
    (void)state;
    struct members members = {.ranks = 0};
    assert_int_equal(members_reserve(&members, 2), STEPD_OK);
    members_gone(&members, 1);
    assert_false(members.member[1].gone);
    members_deinit(&members);
}

static void members_that_go_on_from_a_clock__owe_nothing_up_to_it(void **state)
{
    (void)state;
    struct members members = {.ranks = 0};
    const struct interval joiner = {.from = 7, .clock = 7, .last_clock = 7};
    assert_int_equal(members_set(&members, 0, &joiner), STEPD_OK);
    assert_false(members_owe(&members, 0, 7, 0)); /* it left without a push */
    const struct interval stays = {.from = 7, .clock = 7, .last_clock = 8};
    assert_int_equal(members_set(&members, 0, &stays), STEPD_OK);
    assert_true(members_owe(&members, 0, 7, 0));
    assert_int_equal(members_clock(&members, 0, 3), 7);
    assert_int_equal(members_clock(&members, 0, 8), 8);
    assert_int_equal(members_clock(&members, 1, 3), 3);
    members_deinit(&members);
}

static void members_give_up__a_rank__is_none_until_it_is_set_again(void **state)
{
    (void)state;
    struct members members = {.ranks = 0};
    const struct interval interval = {.last_clock = UINT64_MAX};
    members_give_up(&members, 0);
    assert_int_equal(members_set(&members, 0, &interval), STEPD_OK);
    members_give_up(&members, 0);
    assert_false(members_owe(&members, 0, 5, 4));
    assert_false(members_admit(&members, 0, 5, 5));
    assert_false(members_know(&members, 0));
    assert_int_equal(members_set(&members, 0, &interval), STEPD_OK);
    assert_true(members_owe(&members, 0, 5, 4));
    members_deinit(&members);
}

static void members_await__who_is_a_member_later__says_so_up_to_then(void **state)
{
    (void)state;
    struct members members = {.ranks = 0};
    const struct interval interval = {.from = 7, .clock = 7, .last_clock = UINT64_MAX};
    assert_int_equal(members_set(&members, 2, &interval), STEPD_OK);
    assert_true(members_await(&members, 2, 6));
    assert_false(members_await(&members, 2, 7));
    assert_false(members_await(&members, 1, 6));
    assert_true(members_await_any(&members, 6));
    members_give_up(&members, 2);
    assert_false(members_await_any(&members, 6));
    members_deinit(&members);
}

static void members_reserve__room__is_of_nobody(void **state)
{
    (void)state;
    struct members members = {.ranks = 0};
    assert_int_equal(members_reserve(&members, 3), STEPD_OK);
    assert_int_equal(members.ranks, 3);
    assert_false(members_know(&members, 2));
    members_deinit(&members);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members__of_nobody__know_nobody),
        cmocka_unit_test(members__before_their_first_version__neither_count_nor_owe),
        cmocka_unit_test(members__that_have_left__owe_up_to_their_last_clock),
        cmocka_unit_test(members_set__of_a_high_rank__makes_no_member_of_those_below),
        cmocka_unit_test(members_know__of_who_left_without_a_push__says_no),
        cmocka_unit_test(members_gone__of_who_has_left__ends_what_it_owes),
        cmocka_unit_test(members_gone__of_who_is_no_member_yet__is_nothing),
        cmocka_unit_test(members_that_go_on_from_a_clock__owe_nothing_up_to_it),
        cmocka_unit_test(members_give_up__a_rank__is_none_until_it_is_set_again),
        cmocka_unit_test(members_await__who_is_a_member_later__says_so_up_to_then),
        cmocka_unit_test(members_reserve__room__is_of_nobody),
    };
    return cmocka_run_group_tests_name("sync/members", tests, NULL, NULL);
}
