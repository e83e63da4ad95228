/* SPDX-License-Identifier: Apache-2.0
 *
 * What the environment says of the terminal. The tests' stdout may be one, so only what holds
 * either way is looked at.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/ctl/terminal.h"

static void assert_columns(const char *variable, unsigned columns)
{
    assert_int_equal(setenv("COLUMNS", variable, 1), 0);
    assert_int_equal(terminal_columns(80), columns);
    assert_int_equal(unsetenv("COLUMNS"), 0);
}

static void columns__of_the_variable__count(void **state)
{
    (void)state;
    assert_columns("120", 120);
}

static void columns__beyond_the_bounds__are_the_bounds(void **state)
{
    (void)state;
    assert_columns("5", TERMINAL_COLUMNS_LEAST);
    assert_columns("100000", TERMINAL_COLUMNS_MOST);
}

static void columns__of_a_variable_that_is_no_number__do_not_count(void **state)
{
    (void)state;
    const unsigned without = terminal_columns(80);
    assert_columns("wide", without);
    assert_columns("0", without);
}

static void utf8__of_the_locale__is_known(void **state)
{
    (void)state;
    assert_int_equal(setenv("LC_ALL", "C.UTF-8", 1), 0);
    assert_true(terminal_is_utf8());
    assert_int_equal(setenv("LC_ALL", "C", 1), 0);
    assert_false(terminal_is_utf8());
}

static void colours__that_are_forbidden__are_none(void **state)
{
    (void)state;
    assert_int_equal(setenv("NO_COLOR", "1", 1), 0);
    assert_false(terminal_has_colours());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns__of_the_variable__count),
        cmocka_unit_test(columns__beyond_the_bounds__are_the_bounds),
        cmocka_unit_test(columns__of_a_variable_that_is_no_number__do_not_count),
        cmocka_unit_test(utf8__of_the_locale__is_known),
        cmocka_unit_test(colours__that_are_forbidden__are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
