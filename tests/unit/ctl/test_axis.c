/* SPDX-License-Identifier: Apache-2.0
 *
 * Round numbers on axes.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/ctl/axis.h"

static void assert_axis(double least, double most, const char *const *labels)
{
    const struct axis axis = axis_fit(least, most, 5);
    unsigned count = 0;
    while (labels[count] != NULL)
        count++;
    assert_int_equal(axis_ticks(&axis), count);
    for (unsigned i = 0; i < count; i++) {
        char label[AXIS_LABEL_BYTES];
        axis_label(&axis, i, label);
        assert_string_equal(label, labels[i]);
    }
}

#define LABELS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void round__of_any_span__is_1_2_or_5(void **state)
{
    (void)state;
    assert_true(fabs(axis_round(100, 10) - 10) < 1e-9);
    assert_true(fabs(axis_round(1000, 5) - 200) < 1e-9);
    assert_true(fabs(axis_round(0.25, 5) - 0.05) < 1e-9);
    assert_true(fabs(axis_round(90, 10) - 10) < 1e-9);
}

static void fit__values_far_from_each_other__begin_at_0(void **state)
{
    (void)state;
    assert_axis(0.001, 0.1, LABELS("0", "0.02", "0.04", "0.06", "0.08", "0.1"));
}

static void fit__values_close_to_each_other__are_cut_out(void **state)
{
    (void)state;
    assert_axis(0.85, 0.95, LABELS("0.84", "0.86", "0.88", "0.9", "0.92", "0.94", "0.96"));
}

static void fit__one_value__has_room_above(void **state)
{
    (void)state;
    assert_axis(0.1, 0.1, LABELS("0", "0.02", "0.04", "0.06", "0.08", "0.1", "0.12"));
}

static void fit__nothing_but_0__is_up_to_1(void **state)
{
    (void)state;
    assert_axis(0, 0, LABELS("0", "0.2", "0.4", "0.6", "0.8", "1"));
}

static void fit__no_values__is_up_to_1(void **state)
{
    (void)state;
    assert_axis(INFINITY, -INFINITY, LABELS("0", "0.2", "0.4", "0.6", "0.8", "1"));
}

static void share__of_the_ends__is_0_and_1(void **state)
{
    (void)state;
    const struct axis axis = axis_fit(0.85, 0.95, 5);
    assert_true(axis_share(&axis, axis.least) == 0);
    assert_true(axis_share(&axis, axis.most) == 1);
    assert_true(fabs(axis_share(&axis, 0.9) - 0.5) < 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round__of_any_span__is_1_2_or_5),
        cmocka_unit_test(fit__values_far_from_each_other__begin_at_0),
        cmocka_unit_test(fit__values_close_to_each_other__are_cut_out),
        cmocka_unit_test(fit__one_value__has_room_above),
        cmocka_unit_test(fit__nothing_but_0__is_up_to_1),
        cmocka_unit_test(fit__no_values__is_up_to_1),
        cmocka_unit_test(share__of_the_ends__is_0_and_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
