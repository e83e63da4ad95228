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
    assert_int_equal(members_set(&members, 2, 3, UINT64_MAX), STEPD_OK);
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
    assert_int_equal(members_set(&members, 0, 0, UINT64_MAX), STEPD_OK);
    assert_int_equal(members_set(&members, 0, 0, 7), STEPD_OK);
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
    assert_int_equal(members_set(&members, 3, 0, UINT64_MAX), STEPD_OK);
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
    assert_int_equal(members_set(&members, 0, 0, 0), STEPD_OK);
    assert_false(members_know(&members, 0));
    assert_false(members_owe(&members, 0, 0, 0));
    members_deinit(&members);
}

static void members_gone__of_who_has_left__ends_what_it_owes(void **state)
{
    (void)state;
    struct members members = {.ranks = 0};
    assert_int_equal(members_set(&members, 0, 0, 7), STEPD_OK);
    assert_int_equal(members_set(&members, 1, 0, UINT64_MAX), STEPD_OK);
    members_gone(&members, 0);
    members_gone(&members, 1);
    assert_false(members_owe(&members, 0, 4, 4));
    assert_true(members_owe(&members, 1, 4, 4));
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
    };
    return cmocka_run_group_tests_name("sync/members", tests, NULL, NULL);
}
