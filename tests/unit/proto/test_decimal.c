/* SPDX-License-Identifier: Apache-2.0
 *
 * Which texts are numbers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/decimal.h"

static void read__a_decimal__is_its_number(void **state)
{
    static const struct {
        const char *text;
        double number;
    } cases[] = {{"-1.5e3", -1500}, {".5", 0.5}, {"+2.", 2}, {"1E-2", 0.01}, {"0", 0}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double number = 7;
        assert_true(stepd_decimal_read(cases[i].text, strlen(cases[i].text), &number));
        assert_true(number == cases[i].number);
    }
}

static void read__anything_else__is_refused(void **state)
{
    static const char *const texts[] = {"",   " 1",     "1 ",  "x",    "1x",      "1,5", "--1",
                                        "1e", "e",      ".",   "0x10", "inf",     "nan", "1e999",
                                        "-",  "-0X1p3", "1\n", "\t1",  "infinity"};
    double number = 7;
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_false(stepd_decimal_read(texts[i], strlen(texts[i]), &number));
    assert_true(number == 7);
}

static void read__bytes_behind_the_length__are_not_its_own(void **state)
{
    double number = 7;
    (void)state;
    assert_true(stepd_decimal_read("12,5", 2, &number));
    assert_true(number == 12);
    assert_false(stepd_decimal_read("125", 2, &number)); /* a number is not cut in two */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read__a_decimal__is_its_number),
        cmocka_unit_test(read__anything_else__is_refused),
        cmocka_unit_test(read__bytes_behind_the_length__are_not_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
