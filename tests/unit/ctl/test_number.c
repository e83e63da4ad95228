/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers from texts, and texts that are read back as the same number.
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/ctl/number.h"

static void parse__what_is_no_number__is_refused(void **state)
{
    static const char *const texts[] = {"",    " 1",  "1 ",   "x",   "1x",
                                        "1,5", "--1", "0x10", "inf", "nan"};
    double number = 7;
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_false(number_parse(texts[i], &number));
    assert_true(number == 7);
}

static void parse__any_notation__is_read(void **state)
{
    double number = 0;
    (void)state;
    assert_true(number_parse("-1.5e3", &number));
    assert_true(number == -1500);
    assert_true(number_parse(".5", &number));
    assert_true(number == 0.5);
}

static void parse_any__words_that_programs_print__are_read(void **state)
{
    double number = 0;
    (void)state;
    assert_true(number_parse_any("-1.5e3", &number));
    assert_true(number == -1500);
    assert_true(number_parse_any("-Inf", &number));
    assert_true(number == -INFINITY);
    assert_true(number_parse_any("-nan", &number));
    assert_true(isnan(number));
    number = 7;
    assert_false(number_parse_any("infinite", &number));
    assert_false(number_parse_any("--inf", &number));
    assert_false(number_parse_any("0x1", &number));
    assert_true(number == 7);
}

static void parse_whole__what_is_none_or_out_of_range__is_refused(void **state)
{
    static const char *const texts[] = {
        "", "0", "11", "-1", "+5", " 5", "5 ", "5.0", "x", "5x", "18446744073709551621"};
    uint64_t number = 7;
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_false(number_parse_whole(texts[i], 1, 10, &number));
    assert_false(number_parse_whole("18446744073709551616", 0, UINT64_MAX, &number));
    assert_int_equal(number, 7);
}

static void parse_whole__ends_of_the_range__are_read(void **state)
{
    uint64_t number = 0;
    (void)state;
    assert_true(number_parse_whole("1", 1, 10, &number));
    assert_int_equal(number, 1);
    assert_true(number_parse_whole("10", 1, 10, &number));
    assert_int_equal(number, 10);
}

static void shortest__any_number__is_read_back_as_itself(void **state)
{
    static const double numbers[] = {0,       0.1,     1.0 / 3, 2.0 / 3, 1e-8,      5e-324,
                                     DBL_MIN, DBL_MAX, 1e22,    0.3,     1e15 + 0.5};
    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        char text[NUMBER_BYTES];
        number_shortest(numbers[i], text);
        assert_true(strtod(text, NULL) == numbers[i]);
    }
}

static void shortest__of_a_round_number__has_no_more_digits(void **state)
{
    char text[NUMBER_BYTES];
    (void)state;
    number_shortest(0.1, text);
    assert_string_equal(text, "0.1");
    number_shortest(1e-8, text);
    assert_string_equal(text, "1e-08");
    number_shortest(3, text);
    assert_string_equal(text, "3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse__what_is_no_number__is_refused),
        cmocka_unit_test(parse__any_notation__is_read),
        cmocka_unit_test(parse_any__words_that_programs_print__are_read),
        cmocka_unit_test(parse_whole__what_is_none_or_out_of_range__is_refused),
        cmocka_unit_test(parse_whole__ends_of_the_range__are_read),
        cmocka_unit_test(shortest__any_number__is_read_back_as_itself),
        cmocka_unit_test(shortest__of_a_round_number__has_no_more_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
