/* SPDX-License-Identifier: Apache-2.0
 *
 * Columns of a picture, whether there are more steps or fewer.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/ctl/series.h"
#include "tests/unit/ctl/making.h"

/* The series of a schedule's learning rate from 1. */
static struct series make(const char *schedule, uint64_t steps, size_t columns)
{
    struct course course = making_course(schedule, 1);
    struct series series = {.columns = 0};
    assert_int_equal(series_init(&course, SERIES_LR, steps, columns, &series, NULL), STEPD_OK);
    assert_int_equal(series.columns, columns);
    course_deinit(&course);
    return series;
}

static void columns__fewer_than_steps__hold_all_of_theirs(void **state)
{
    (void)state;
    struct series series = make("lambda:steps=0,8,factors=0,8", 8, 2);
    const struct series_column *const first = &series.column[0];
    assert_true(first->any && first->rises);
    assert_true(first->first == 0 && first->last == 3);
    assert_true(first->least == 0 && first->most == 3);
    assert_true(series.column[1].first == 4 && series.column[1].last == 7);
    series_deinit(&series);
}

static void columns__more_than_steps__repeat_them(void **state)
{
    (void)state;
    struct series series = make("lambda:steps=0,2,factors=1,3", 2, 6);
    for (size_t i = 0; i < 6; i++)
        assert_true(series.column[i].first == (i < 3 ? 1 : 2));
    series_deinit(&series);
}

static void column__that_falls__does_not_rise(void **state)
{
    (void)state;
    struct series series = make("lambda:steps=0,8,factors=8,0", 8, 1);
    assert_false(series.column[0].rises);
    assert_true(series.column[0].most == 8 && series.column[0].least == 1);
    series_deinit(&series);
}

static void column__that_falls_and_then_rises_higher__rises(void **state)
{
    (void)state;
    struct series series = make("lambda:steps=0,4,8,factors=4,1,9", 9, 1);
    assert_true(series.column[0].rises);
    assert_true(series.column[0].least == 1 && series.column[0].most == 9);
    series_deinit(&series);
}

/* Its samples are spread, and its ends among them. */
static void column__of_very_many_steps__has_its_first_and_last(void **state)
{
    (void)state;
    const double last = 9999999;
    struct series series = make("lambda:steps=0,9999999,factors=0,1", 10000000, 2);
    assert_true(series.column[0].first == 0);
    assert_true(fabs(series.column[0].last - 4999999 / last) < 1e-12);
    assert_true(fabs(series.column[1].first - 5000000 / last) < 1e-12);
    assert_true(series.column[1].most == 1);
    series_deinit(&series);
}

static void momentum__that_is_not_known__is_no_value(void **state)
{
    (void)state;
    struct course course = making_course("cosine:t_max=5", 1);
    struct series series = {.columns = 0};
    double least = INFINITY;
    double most = -INFINITY;
    assert_int_equal(series_init(&course, SERIES_MOMENTUM, 5, 3, &series, NULL), STEPD_OK);
    assert_false(series.column[0].any);
    series_range(&series, &least, &most);
    assert_true(least == INFINITY && most == -INFINITY);
    series_deinit(&series);
    course_deinit(&course);
}

static void range__of_a_series__is_widened(void **state)
{
    (void)state;
    struct series series = make("lambda:steps=0,8,factors=1,9", 8, 4);
    double least = 3;
    double most = 5;
    series_range(&series, &least, &most);
    assert_true(least == 1 && most == 8);
    series_deinit(&series);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns__fewer_than_steps__hold_all_of_theirs),
        cmocka_unit_test(columns__more_than_steps__repeat_them),
        cmocka_unit_test(column__that_falls__does_not_rise),
        cmocka_unit_test(column__that_falls_and_then_rises_higher__rises),
        cmocka_unit_test(column__of_very_many_steps__has_its_first_and_last),
        cmocka_unit_test(momentum__that_is_not_known__is_no_value),
        cmocka_unit_test(range__of_a_series__is_widened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
