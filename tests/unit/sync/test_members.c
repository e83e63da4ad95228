/* SPDX-License-Identifier: Apache-2.0
 *
 * Members are intervals of versions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/sync/members.h"

static void members__without_any__know_and_include_nobody(void **state)
{
    (void)state;
    struct members members = {.ranks = 0};
    assert_false(members_know(&members, 0));
    assert_false(members_include(&members, 0, 0));
    assert_false(members_include(&members, UINT32_MAX, 0));
    members_deinit(&members);
}

static void members_include__of_an_interval__holds_its_start_and_not_its_end(void **state)
{
    (void)state;
    struct members members = {.ranks = 0};
    assert_int_equal(members_set(&members, 2, 3, 5), STEPD_OK);
    assert_false(members_include(&members, 2, 2));
    assert_true(members_include(&members, 2, 3));
    assert_true(members_include(&members, 2, 4));
    assert_false(members_include(&members, 2, 5));
    assert_true(members_know(&members, 2));
    members_deinit(&members);
}

static void members_set__of_a_high_rank__makes_no_member_of_those_below(void **state)
{
    (void)state;
    struct members members = {.ranks = 0};
    assert_int_equal(members_set(&members, 3, 0, UINT64_MAX), STEPD_OK);
    assert_int_equal(members.ranks, 4);
    for (uint32_t rank = 0; rank < 3; rank++) {
        assert_false(members_know(&members, rank));
        assert_false(members_include(&members, rank, 0));
    }
    assert_true(members_include(&members, 3, UINT64_MAX - 1));
    members_deinit(&members);
}

static void members_set__again__replaces_the_interval(void **state)
{
    (void)state;
    struct members members = {.ranks = 0};
    assert_int_equal(members_set(&members, 0, 0, UINT64_MAX), STEPD_OK);
    assert_int_equal(members_set(&members, 0, 0, 7), STEPD_OK);
    assert_true(members_include(&members, 0, 6));
    assert_false(members_include(&members, 0, 7));
    members_deinit(&members);
}

static void members_know__of_an_empty_interval__says_no(void **state)
{
    (void)state;
    struct members members = {.ranks = 0};
    assert_int_equal(members_set(&members, 0, 4, 4), STEPD_OK);
    assert_false(members_know(&members, 0));
    assert_false(members_include(&members, 0, 4));
    members_deinit(&members);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members__without_any__know_and_include_nobody),
        cmocka_unit_test(members_include__of_an_interval__holds_its_start_and_not_its_end),
        cmocka_unit_test(members_set__of_a_high_rank__makes_no_member_of_those_below),
        cmocka_unit_test(members_set__again__replaces_the_interval),
        cmocka_unit_test(members_know__of_an_empty_interval__says_no),
    };
    return cmocka_run_group_tests_name("sync/members", tests, NULL, NULL);
}
