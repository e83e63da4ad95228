/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists of changes that are to come, and what is taken out of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/model/group_change.h"

/* Of groups 0 to groups - 1. */
static struct group_changes *make(uint64_t version, size_t groups)
{
    struct group_changes *changes = group_changes_create(groups);
    assert_non_null(changes);
    changes->version = version;
    for (uint32_t i = 0; i < groups; i++) {
        struct shared_group *shared = calloc(1, sizeof *shared);
        assert_non_null(shared);
        shared->refs = 1;
        changes->change[i] = (struct group_change){.index = i, .group = shared};
    }
    return changes;
}

static void call_off__of_what_is_later__takes_out_these_groups_alone(void **state)
{
    (void)state;
    struct group_changes *list = make(70, 2);
    struct group_changes *change = make(12, 1);
    group_changes_call_off(&list, change);
    assert_int_equal(list->count, 1);
    assert_int_equal(list->change[0].index, 1);
    assert_null(group_changes_find(list, 0));
    (void)group_changes_destroy(list);
    (void)group_changes_destroy(change);
}

static void call_off__of_all_that_a_change_is_about__takes_it_out_of_the_list(void **state)
{
    (void)state;
    struct group_changes *list = make(12, 1);
    struct group_changes *change = make(12, 1);
    list->next = make(70, 1);
    group_changes_call_off(&list, change);
    assert_int_equal(list->version, 12);
    assert_int_equal(list->count, 1);
    assert_null(list->next);
    (void)group_changes_destroy(list);
    (void)group_changes_destroy(change);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(call_off__of_what_is_later__takes_out_these_groups_alone),
        cmocka_unit_test(call_off__of_all_that_a_change_is_about__takes_it_out_of_the_list),
    };
    return cmocka_run_group_tests_name("model/group_changes", tests, NULL, NULL);
}
