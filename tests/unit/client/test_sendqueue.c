/* SPDX-License-Identifier: Apache-2.0
 *
 * The order in which frames leave on a link.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/lib/core/sendqueue.h"

enum { ITEMS = 4 };

static struct stepd_sendqueue queue;
static struct stepd_sendqueue_item item[ITEMS];

static int setup(void **state)
{
    (void)state;
    queue = (struct stepd_sendqueue){.first = NULL};
    memset(item, 0, sizeof item);
    return 0;
}

/* Adds items of these priorities and clocks, in this order, and says in which they leave: "0213".
 */
static void assert_leave(const int32_t priority[ITEMS], const uint64_t clock[ITEMS],
                         const char *order)
{
    char left[ITEMS + 1] = "";
    for (size_t i = 0; i < ITEMS; i++) {
        item[i].priority = priority[i];
        item[i].clock = clock[i];
        stepd_sendqueue_add(&queue, &item[i]);
    }
    for (size_t i = 0; i < ITEMS; i++) {
        const struct stepd_sendqueue_item *const next = stepd_sendqueue_take(&queue);
        assert_non_null(next);
        left[i] = (char)('0' + (next - item));
    }
    assert_null(stepd_sendqueue_take(&queue));
    assert_string_equal(left, order);
}

static void items__of_one_priority__leave_in_their_order(void **state)
{
    (void)state;
    assert_leave((const int32_t[]){3, 3, 3, 3}, (const uint64_t[]){1, 0, 2, 1}, "0123");
}

static void items__of_higher_priority__leave_first(void **state)
{
    (void)state;
    assert_leave((const int32_t[]){-1, 0, 7, 3}, (const uint64_t[]){5, 5, 5, 5}, "2310");
}

static void push__of_a_later_clock__passes_no_older_one(void **state)
{
    (void)state;
    assert_leave((const int32_t[]){1, 0, 8, 9}, (const uint64_t[]){5, 5, 6, 5}, "3012");
}

static void pull__passes_a_push_of_lower_priority(void **state)
{
    (void)state;
    assert_leave((const int32_t[]){1, 2, 1, 1}, (const uint64_t[]){5, 0, 0, 4}, "1023");
}

/* Item 1 stays behind item 0, so item 2 may not turn them round by passing one of them. */
static void push__of_an_older_clock__passes_what_a_later_one_must_not(void **state)
{
    (void)state;
    assert_leave((const int32_t[]){0, 5, 6, 7}, (const uint64_t[]){5, 6, 5, 6}, "2031");
}

static void item__that_comes_late__passes_those_that_still_wait(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++)
        stepd_sendqueue_add(&queue, &item[i]);
    assert_ptr_equal(stepd_sendqueue_take(&queue), &item[0]);
    item[2].priority = 1;
    stepd_sendqueue_add(&queue, &item[2]);
    assert_ptr_equal(stepd_sendqueue_take(&queue), &item[2]);
    assert_ptr_equal(stepd_sendqueue_take(&queue), &item[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(items__of_one_priority__leave_in_their_order, setup),
        cmocka_unit_test_setup(items__of_higher_priority__leave_first, setup),
        cmocka_unit_test_setup(push__of_a_later_clock__passes_no_older_one, setup),
        cmocka_unit_test_setup(pull__passes_a_push_of_lower_priority, setup),
        cmocka_unit_test_setup(push__of_an_older_clock__passes_what_a_later_one_must_not, setup),
        cmocka_unit_test_setup(item__that_comes_late__passes_those_that_still_wait, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
