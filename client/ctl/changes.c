/* SPDX-License-Identifier: Apache-2.0
 *
 * stepctl changes: what was changed about the groups of a job while it ran.
 */
#include "client/ctl/changes.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "client/ctl/ask.h"
#include "client/ctl/ctl.h"
#include "client/ctl/table.h"

static int print_help(void)
{
    (void)printf(
        "usage: stepctl changes --job JOB [--json]\n"
        "\n"
        "Shows what was changed about a job while it ran: when, by whom, which group, from\n"
        "what to what, and the version that the first step with it started from. The last\n"
        "256 are kept. See also 'stepctl change' and 'stepctl groups'.\n"
        "\n"
        "options:\n"
        "  --job JOB         the job\n"
        "  --json            one JSON object, for programs\n"
        "  --server ADDRESS  as for stepctl itself\n"
        "  --help            this text\n");
    return CTL_OK;
}

/* ---- Printing -------------------------------------------------------------------------------- */

static long long number(const json_t *row, const char *key)
{
    return (long long)json_integer_value(json_object_get(row, key));
}

static void age_cell(const json_t *row, char *text, size_t size)
{
    char age[32];
    table_duration((uint64_t)number(row, "age_ms"), age, sizeof age);
    (void)snprintf(text, size, "%s ago", age);
}

static void number_cell(const json_t *row, char *text, size_t size)
{
    (void)snprintf(text, size, "%lld", number(row, "number"));
}

/* "120", or in a mode without common versions "118-121". */
static void version_cell(const json_t *row, char *text, size_t size)
{
    const long long first = number(row, "version");
    const long long last = number(row, "version_last");
    if (first == last)
        (void)snprintf(text, size, "%lld", first);
    else
        (void)snprintf(text, size, "%lld-%lld", first, last);
}

static const struct table_column columns[] = {
    {.header = "CHANGE", .cell = number_cell},
    {.header = "VERSION", .cell = version_cell},
    {.header = "GROUP", .key = "group"},
    {.header = "WHAT", .key = "name"},
    {.header = "FROM", .key = "from"},
    {.header = "TO", .key = "to"},
    {.header = "BY", .key = "by"},
    {.header = "WHEN", .cell = age_cell},
};

/* One row for each difference. NULL: no memory. */
static json_t *rows_of(const json_t *changes)
{
    json_t *const rows = json_array();
    size_t i;
    json_t *record;
    json_array_foreach(json_object_get(changes, "changes"), i, record)
    {
        size_t k;
        json_t *difference;
        json_array_foreach(json_object_get(record, "differences"), k, difference)
        {
            json_t *const row = json_copy(record);
            (void)json_object_update(row, difference);
            (void)json_array_append_new(rows, row);
        }
    }
    return rows;
}

void changes_print(const json_t *changes)
{
    json_t *const rows = rows_of(changes);
    const long long forgotten = number(changes, "forgotten");
    if (json_array_size(rows) > 0)
        table_print(stdout, 0, columns, sizeof columns / sizeof columns[0], rows);
    if (forgotten > 0)
        (void)printf("%lld older records are not kept any more\n", forgotten);
    json_decref(rows);
}

/* ---- The command ----------------------------------------------------------------------------- */

static void print(const char *job, const json_t *changes)
{
    if (json_array_size(json_object_get(changes, "changes")) == 0)
        (void)printf("job '%s' has not been changed\n", job);
    else
        changes_print(changes);
}

int changes_run(const struct ctl_options *ctl, int argc, char **argv)
{
    const struct ctl_job_command command = {
        .name = "changes", .help = print_help, .ask = ask_changes, .print = print};
    return ctl_run_of_job(&command, ctl, argc, argv);
}
