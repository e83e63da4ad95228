/* SPDX-License-Identifier: Apache-2.0
 *
 * The record of a rank's pushes: it remembers the last few clocks, and only those.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/model/record.h"

static void record__without_a_push__finds_nothing(void **state)
{
    (void)state;
    const struct record record = {.clock = 0};
    struct record_entry entry = {.clock = 7};
    assert_false(record_find(&record, 0, &entry));
    assert_false(record_find(&record, 1, &entry));
    assert_false(record_find(&record, RECORD_DEPTH, &entry));
    assert_int_equal(entry.clock, 7); /* untouched */
}

static void record__after_a_push__tells_what_became_of_it(void **state)
{
    (void)state;
    struct record record = {.clock = 0};
    record_note(&record, 1, STEPD_LATE_DROPPED, 5);
    struct record_entry entry = {.clock = 0};
    assert_int_equal(record.clock, 1);
    assert_true(record_find(&record, 1, &entry));
    assert_int_equal(entry.outcome, STEPD_LATE_DROPPED);
    assert_int_equal(entry.version, 5);
}

static void record__after_many_pushes__remembers_the_last_few(void **state)
{
    (void)state;
    struct record record = {.clock = 0};
    const uint64_t last = 3 * RECORD_DEPTH + 2;
    for (uint64_t clock = 1; clock <= last; clock++)
        record_note(&record, clock, STEPD_APPLIED, clock + 100);
    assert_int_equal(record.clock, last);
    struct record_entry entry = {.clock = 0};
    for (uint64_t clock = last - RECORD_DEPTH + 1; clock <= last; clock++) {
        assert_true(record_find(&record, clock, &entry));
        assert_int_equal(entry.version, clock + 100);
    }
    assert_false(record_find(&record, last - RECORD_DEPTH, &entry));
    assert_false(record_find(&record, last + 1, &entry));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record__without_a_push__finds_nothing),
        cmocka_unit_test(record__after_a_push__tells_what_became_of_it),
        cmocka_unit_test(record__after_many_pushes__remembers_the_last_few),
    };
    return cmocka_run_group_tests_name("model/record", tests, NULL, NULL);
}
