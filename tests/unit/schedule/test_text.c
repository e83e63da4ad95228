/* SPDX-License-Identifier: Apache-2.0
 *
 * Schedules and numbers in words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/schedule/schedule.h"

static void number_text__of_any__is_the_shortest_that_tells_it(void **state)
{
    (void)state;

    static const struct {
        double number;
        const char *text;
    } rows[] = {
        {0.1, "0.1"},   {1e-300, "1e-300"}, {1.0 / 3.0, "0.3333333333333333"},
        {1e6, "1e+06"}, {0, "0"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[SCHEDULE_NUMBER_BYTES];
        schedule_number_text(rows[i].number, text);
        assert_string_equal(text, rows[i].text);
    }
}

static void assert_text(const struct schedule *schedule, size_t size, const char *right)
{
    char text[96];
    schedule_text(schedule, text, size);
    assert_string_equal(text, right);
}

static void text__of_a_schedule__names_what_is_not_at_its_default(void **state)
{
    (void)state;
    struct schedule schedule;
    const double many[] = {1, 2, 3, 4, 5};
    const double half = 0.5;
    assert_int_equal(schedule_init("multistep", &schedule, NULL), STEPD_OK);
    assert_text(&schedule, 96, "multistep");
    assert_int_equal(schedule_set(&schedule, "milestones", 5, many, NULL), STEPD_OK);
    assert_int_equal(schedule_set(&schedule, "gamma", 1, &half, NULL), STEPD_OK);
    assert_text(&schedule, 96, "multistep milestones=1,2,3,4,... gamma=0.5");
    assert_text(&schedule, 14, "multistep mil");
    schedule_deinit(&schedule);
}

static void text__of_a_schedule_of_parts__names_them(void **state)
{
    (void)state;
    struct schedule schedule;
    struct schedule part;
    assert_int_equal(schedule_init("chained", &schedule, NULL), STEPD_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(schedule_init("constant", &part, NULL), STEPD_OK);
        assert_int_equal(schedule_add(&schedule, &part, NULL), STEPD_OK);
    }
    assert_text(&schedule, 96, "chained of constant, constant");
    schedule_deinit(&schedule);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(number_text__of_any__is_the_shortest_that_tells_it),
        cmocka_unit_test(text__of_a_schedule__names_what_is_not_at_its_default),
        cmocka_unit_test(text__of_a_schedule_of_parts__names_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
