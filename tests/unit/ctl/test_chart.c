/* SPDX-License-Identifier: Apache-2.0
 *
 * Charts of characters: where the line is, what stands at the axes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/ctl/chart.h"

/* The chart of values as text, which the caller frees. */
static char *draw(const double *value, size_t steps, unsigned columns, bool utf8)
{
    const struct chart chart = {
        .title = "t", .columns = columns, .rows = 4, .utf8 = utf8, .steps = steps, .value = value};
    char *text = NULL;
    size_t bytes = 0;
    FILE *const out = open_memstream(&text, &bytes);
    assert_non_null(out);
    assert_true(chart_print(&chart, out));
    assert_int_equal(fclose(out), 0);
    return text;
}

static void chart__of_a_rising_line__goes_from_lower_left_to_upper_right(void **state)
{
    (void)state;
    double value[29];
    for (size_t i = 0; i < 29; i++)
        value[i] = (double)i;
    char *const text = draw(value, 29, 40, false);
    assert_string_equal(text, "t\n"
                              "       28 |                        *****\n"
                              "          |               *********\n"
                              "          |     **********\n"
                              "        0 |*****\n"
                              "           0            14       step 28\n");
    free(text);
}

static void chart__of_a_jump__joins_its_ends(void **state)
{
    (void)state;
    const double value[] = {3, 3, 3, 0, 0, 0};
    char *const text = draw(value, 6, 41, false);
    assert_non_null(strstr(text, "        3 |***************\n"));
    assert_non_null(strstr(text, "          |               *\n"));
    assert_non_null(strstr(text, "        0 |               ***************\n"));
    free(text);
}

static void chart__of_braille__is_utf8_and_as_wide(void **state)
{
    (void)state;
    const double value[] = {1, 1};
    char *const text = draw(value, 2, 40, true);
    size_t cells = 0;
    for (const char *at = text; (at = strstr(at, "\xE2\xA0\x89")) != NULL; at++)
        cells++; /* the two uppermost dots */
    assert_int_equal(cells, 29);
    free(text);
}

static void chart__of_zeros_and_of_one_step__is_drawn(void **state)
{
    (void)state;
    const double value[] = {0};
    char *const text = draw(value, 1, 40, false);
    assert_non_null(strstr(text, "        0 |*****************************\n"));
    assert_non_null(strstr(text, "        1 |\n"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chart__of_a_rising_line__goes_from_lower_left_to_upper_right),
        cmocka_unit_test(chart__of_a_jump__joins_its_ends),
        cmocka_unit_test(chart__of_braille__is_utf8_and_as_wide),
        cmocka_unit_test(chart__of_zeros_and_of_one_step__is_drawn),
    };
    return cmocka_run_group_tests_name("ctl/chart", tests, NULL, NULL);
}
