/* SPDX-License-Identifier: Apache-2.0
 *
 * lambda: a table of points in place of PyTorch's function.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/schedule/make.h"

static struct schedule points(const char *interpolate)
{
    struct schedule schedule = make("lambda");
    give_list(&schedule, "steps", LIST_OF(1.0, 3.0, 4.0));
    give_list(&schedule, "factors", LIST_OF(0.5, 1.0, 0.25));
    give_word(&schedule, "interpolate", interpolate);
    return schedule;
}

static void lambda__linear__is_on_the_lines_between_points(void **state)
{
    (void)state;
    struct schedule schedule = points("linear");
    assert_rates(&schedule, LIST_OF(0.5, 0.5, 0.75, 1.0, 0.25, 0.25));
    schedule_deinit(&schedule);
}

static void lambda__hold__keeps_each_factor_until_the_next(void **state)
{
    (void)state;
    struct schedule schedule = points("hold");
    assert_rates(&schedule, LIST_OF(0.5, 0.5, 0.5, 1.0, 0.25, 0.25));
    assert_true(schedule_lr(&schedule, 1.0, UINT64_MAX) == 0.25);
    schedule_deinit(&schedule);
}

static void lambda__not_a_table__is_refused(void **state)
{
    (void)state;
    struct schedule schedule = points("hold");
    give_list(&schedule, "factors", LIST_OF(1.0, 2.0));
    refuse_check(&schedule, "schedule lambda has 3 steps and 2 factors; each step needs one");
    give_list(&schedule, "steps", LIST_OF(5.0, 5.0));
    refuse_check(&schedule, "'steps' of schedule lambda must rise, and 5 comes after 5");
    schedule_deinit(&schedule);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lambda__linear__is_on_the_lines_between_points),
        cmocka_unit_test(lambda__hold__keeps_each_factor_until_the_next),
        cmocka_unit_test(lambda__not_a_table__is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
