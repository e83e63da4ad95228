/* SPDX-License-Identifier: Apache-2.0
 *
 * The unit of a limit is how its name ends: connections_max is a number, frame_max_bytes are bytes.
 */
#include "client/ctl/limits.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "client/ctl/table.h"

static uint64_t number(const json_t *limit, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(limit, key));
}

static const char *name_of(const json_t *limit)
{
    const char *const name = json_string_value(json_object_get(limit, "name"));
    return name == NULL ? "" : name;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text);
    const size_t of_end = strlen(end);
    return n >= of_end && strcmp(text + n - of_end, end) == 0;
}

static void amount(const json_t *limit, const char *key, char *text, size_t size)
{
    const uint64_t value = number(limit, key);
    if (ends_with(name_of(limit), "_bytes"))
        table_bytes(value, text, size);
    else if (ends_with(name_of(limit), "_ms"))
        table_duration(value, text, size);
    else
        (void)snprintf(text, size, "%llu", (unsigned long long)value);
}

static void max_cell(const json_t *row, char *text, size_t size)
{
    amount(row, "max", text, size);
}

/* Nothing of what each connection or job has for itself. */
static void used_cell(const json_t *row, char *text, size_t size)
{
    text[0] = '\0';
    if (number(row, "used") > 0)
        amount(row, "used", text, size);
}

static void refused_cell(const json_t *row, char *text, size_t size)
{
    (void)snprintf(text, size, "%llu", (unsigned long long)number(row, "refused"));
}

void limits_print(const json_t *limits)
{
    static const struct table_column columns[] = {
        {.header = "LIMIT", .key = "name"},
        {.header = "USED", .cell = used_cell},
        {.header = "MAX", .cell = max_cell},
        {.header = "REFUSED", .cell = refused_cell},
    };
    (void)printf("\n");
    table_print(stdout, 2, columns, sizeof columns / sizeof columns[0], limits);
}

void limits_print_met(const json_t *limits)
{
    const char *before = "limits met: ";
    for (size_t i = 0; i < json_array_size(limits); i++) {
        const json_t *const limit = json_array_get(limits, i);
        const unsigned long long refused = number(limit, "refused");
        if (refused == 0)
            continue;
        (void)printf("%s%s %llu time%s", before, name_of(limit), refused, refused == 1 ? "" : "s");
        before = ", ";
    }
    if (before[0] == ',')
        (void)printf(" (stepctl status --limits)\n");
}
