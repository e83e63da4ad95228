/* SPDX-License-Identifier: Apache-2.0
 *
 * A schedule in words, for people.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/error.h"
#include "server/schedule/schedule_internal.h"

/* 17 digits tell any two doubles apart. */
enum { DIGITS_LEAST = 6, DIGITS_MOST = 17, LIST_SHOWN = 4 };

void schedule_number_text(double number, char ret_text[SCHEDULE_NUMBER_BYTES])
{
    int digits = DIGITS_LEAST;
    do
        (void)snprintf(ret_text, SCHEDULE_NUMBER_BYTES, "%.*g", digits, number);
    while (strtod(ret_text, NULL) != number && digits++ < DIGITS_MOST);
}

static size_t write_list(const struct schedule_list *list, char *text, size_t size)
{
    size_t at = 0;
    for (size_t i = 0; i < list->count && i < LIST_SHOWN; i++) {
        char number[SCHEDULE_NUMBER_BYTES];
        schedule_number_text(list->at[i], number);
        at += stepd_format(text + at, size - at, "%s%s", i > 0 ? "," : "", number);
    }
    if (list->count > LIST_SHOWN)
        at += stepd_format(text + at, size - at, ",...");
    return at;
}

static size_t write_param(const struct schedule_param_spec *spec, const struct schedule *schedule,
                          char *text, size_t size)
{
    const void *const field = (const char *)schedule->params + spec->offset;
    if (spec->type == SCHEDULE_LIST) {
        const struct schedule_list *const list = field;
        if (list->count == 0)
            return 0;
        const size_t at = stepd_format(text, size, " %s=", spec->name);
        return at + write_list(list, text + at, size - at);
    }
    const double value = *(const double *)field;
    if (value == spec->fallback || isnan(value))
        return 0;
    if (spec->type == SCHEDULE_WORD)
        return stepd_format(text, size, " %s=%s", spec->name, spec->word[(size_t)value]);
    char number[SCHEDULE_NUMBER_BYTES];
    schedule_number_text(value, number);
    return stepd_format(text, size, " %s=%s", spec->name, number);
}

static size_t write_one(const struct schedule *schedule, char *text, size_t size)
{
    size_t at = stepd_format(text, size, "%s", schedule->kind->name);
    for (size_t i = 0; i < schedule->kind->params; i++)
        at += write_param(&schedule->kind->param[i], schedule, text + at, size - at);
    return at;
}

void schedule_text(const struct schedule *schedule, char *text, size_t size)
{
    size_t at = write_one(schedule, text, size);
    for (size_t i = 0; i < schedule->parts; i++) {
        at += stepd_format(text + at, size - at, "%s", i == 0 ? " of " : ", ");
        at += write_one(&schedule->part[i], text + at, size - at);
    }
}
