/* SPDX-License-Identifier: Apache-2.0
 *
 * Ranges: what is in one, and the sentence about what is not.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/base/range.h"

static void assert_refused(const struct range *range, double value, const char *text)
{
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(range_check(range, "x", value, &error), STEPD_INVALID_ARGUMENT);
    assert_int_equal(error.code, STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, text);
}

static void range_check__of_both_ends__takes_them(void **state)
{
    (void)state;
    const struct range range = {.least = -1.0, .most = 2.0};
    assert_int_equal(range_check(&range, "x", -1.0, NULL), STEPD_OK);
    assert_int_equal(range_check(&range, "x", 2.0, NULL), STEPD_OK);
    assert_refused(&range, 2.5, "x must be in [-1, 2], and 2.5 is not");
    assert_refused(&range, -1.5, "x must be in [-1, 2], and -1.5 is not");
}

static void range_check__of_open_ends__refuses_them(void **state)
{
    (void)state;
    const struct range range = {.most = 1.0, .least_open = true, .most_open = true};
    assert_int_equal(range_check(&range, "x", 0.5, NULL), STEPD_OK);
    assert_refused(&range, 0.0, "x must be in (0, 1), and 0 is not");
    assert_refused(&range, 1.0, "x must be in (0, 1), and 1 is not");
}

static void range_check__of_whole_numbers__refuses_parts(void **state)
{
    (void)state;
    const struct range range = {.most = 9.0, .whole = true};
    assert_int_equal(range_check(&range, "x", 9.0, NULL), STEPD_OK);
    assert_refused(&range, 1.5, "x must be a whole number in [0, 9], and 1.5 is not");
}

static void range_check__of_no_number__refuses_it(void **state)
{
    (void)state;
    const struct range range = {.least = -INFINITY, .most = INFINITY};
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(range_check(&range, "x", NAN, &error), STEPD_INVALID_ARGUMENT);
    assert_int_equal(range_check(&range, "x", INFINITY, &error), STEPD_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(range_check__of_both_ends__takes_them),
        cmocka_unit_test(range_check__of_open_ends__refuses_them),
        cmocka_unit_test(range_check__of_whole_numbers__refuses_parts),
        cmocka_unit_test(range_check__of_no_number__refuses_it),
    };
    return cmocka_run_group_tests_name("base/range", tests, NULL, NULL);
}
