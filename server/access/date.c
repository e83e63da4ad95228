/* SPDX-License-Identifier: Apache-2.0
 *
 * Days are counted in years that begin in March, so that the leap day is a year's last: see Howard
 * Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil and civil_from_days.
 */
#include "server/access/date.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define DAY_S        INT64_C(86400)
#define ERA_DAYS     146097 /* 400 years */
#define DAYS_TO_1970 719468 /* from 0000-03-01 */

struct civil {
    int64_t year;
    int64_t month; /* 1 to 12 */
    int64_t day;   /* 1 to 31 */
};

static int64_t days_of(struct civil date)
{
    const int64_t year = date.year - (date.month <= 2);
    const int64_t era = year / 400;
    const int64_t of_era = year - era * 400;
    const int64_t of_year = (153 * (date.month + (date.month > 2 ? -3 : 9)) + 2) / 5 + date.day - 1;
    return era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - DAYS_TO_1970;
}

static struct civil civil_of(int64_t days)
{
    const int64_t since = days + DAYS_TO_1970;
    const int64_t era = since / ERA_DAYS;
    const int64_t day_of_era = since - era * ERA_DAYS;
    const int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    const int64_t day_of_year =
        day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int64_t month = (5 * day_of_year + 2) / 153; /* 0: March */
    return (struct civil){
        .year = era * 400 + year_of_era + (month >= 10),
        .month = month < 10 ? month + 3 : month - 9,
        .day = day_of_year - (153 * month + 2) / 5 + 1,
    };
}

/* The text with digits where the pattern has a 0, and all else as it stands there. */
static bool looks_like(const char *text, const char *pattern)
{
    for (; *pattern != '\0'; text++, pattern++) {
        if (*pattern == '0' ? *text < '0' || *text > '9' : *text != *pattern)
            return false;
    }
    return *text == '\0';
}

static int64_t number(const char *digits, size_t n)
{
    int64_t value = 0;
    for (size_t i = 0; i < n; i++)
        value = value * 10 + (digits[i] - '0');
    return value;
}

bool date_read(const char *text, int64_t *ret_unix_s)
{
    const bool with_time = looks_like(text, "0000-00-00T00:00:00Z");
    if (!with_time && !looks_like(text, "0000-00-00"))
        return false;
    const struct civil date = {
        .year = number(text, 4), .month = number(text + 5, 2), .day = number(text + 8, 2)};
    const int64_t hour = with_time ? number(text + 11, 2) : 0;
    const int64_t minute = with_time ? number(text + 14, 2) : 0;
    const int64_t second = with_time ? number(text + 17, 2) : 0;
    if (date.year < 1970 || date.month < 1 || date.month > 12 || date.day < 1 || hour > 23 ||
        minute > 59 || second > 59)
        return false;
    const int64_t days = days_of(date);
    const struct civil same = civil_of(days); /* February 30 comes back as March 2 */
    if (same.day != date.day || same.month != date.month)
        return false;
    *ret_unix_s = days * DAY_S + hour * 3600 + minute * 60 + second;
    return true;
}

void date_write(int64_t unix_s, char ret_text[DATE_TEXT_BYTES])
{
    assert(unix_s >= 0);
    const struct civil date = civil_of(unix_s / DAY_S);
    const int64_t second = unix_s % DAY_S;
    char text[64];
    (void)snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02dZ", (int)date.year,
                   (int)date.month, (int)date.day, (int)(second / 3600), (int)(second / 60 % 60),
                   (int)(second % 60));
    memcpy(ret_text, text, DATE_TEXT_BYTES);
    ret_text[DATE_TEXT_BYTES - 1] = '\0';
}
