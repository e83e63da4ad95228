/* SPDX-License-Identifier: Apache-2.0
 *
 * Dates: against the C library's calendar, and texts that are none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "server/access/date.h"

#define DAY_S INT64_C(86400)

static void date__of_each_day_to_2400__is_the_c_library_s(void **state)
{
    (void)state;
    for (int64_t day = 0; day < 157054; day++) {
        const time_t unix_s = (time_t)(day * DAY_S + day % DAY_S);
        struct tm parts;
        char expected[DATE_TEXT_BYTES];
        char text[DATE_TEXT_BYTES];
        int64_t read = -1;
        assert_non_null(gmtime_r(&unix_s, &parts));
        assert_int_not_equal(strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%SZ", &parts), 0);
        date_write(unix_s, text);
        if (strcmp(text, expected) != 0 || !date_read(text, &read) || read != unix_s)
            fail_msg("%s, not %s, read as %lld", text, expected, (long long)read);
    }
}

static void date__without_time__is_the_day_s_first_second(void **state)
{
    (void)state;
    int64_t read = 0;
    assert_true(date_read("2000-03-01", &read));
    assert_int_equal(read, 951868800);
}

static void date__that_is_none__is_not_read(void **state)
{
    static const char *const texts[] = {
        "",
        "never",
        "2027-1-31",
        "2027-01-31 ",
        " 2027-01-31",
        "2027-02-29",
        "2027-04-31",
        "2027-00-10",
        "2027-13-01",
        "2027-01-00",
        "1969-12-31",
        "2027-01-31T24:00:00Z",
        "2027-01-31T23:60:00Z",
        "2027-01-31T23:59:60Z",
        "2027-01-31T12:00:00",
        "2027-01-31T12:00:00+01:00",
        "20270131",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int64_t read = 7;
        if (date_read(texts[i], &read) || read != 7)
            fail_msg("'%s' was read", texts[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(date__of_each_day_to_2400__is_the_c_library_s),
        cmocka_unit_test(date__without_time__is_the_day_s_first_second),
        cmocka_unit_test(date__that_is_none__is_not_read),
    };
    return cmocka_run_group_tests_name("access_date", tests, NULL, NULL);
}
