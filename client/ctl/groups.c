/* SPDX-License-Identifier: Apache-2.0
 *
 * stepctl groups: which tensor is trained how. The learning rate is the one that the next update
 * will use, schedule and all.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "client/ctl/ask.h"
#include "client/ctl/ctl.h"
#include "client/ctl/table.h"

static int print_help(void)
{
    (void)printf("usage: stepctl groups --job JOB [--json]\n"
                 "\n"
                 "Shows for each tensor of a job its shape, group, optimizer and schedule, its\n"
                 "learning rate before the schedule and in its next update, its weight decay and\n"
                 "version, and whether this is from the job's definition or from a change\n"
                 "('stepctl changes').\n"
                 "\n"
                 "options:\n"
                 "  --job JOB         the job\n"
                 "  --json            one JSON object, for programs\n"
                 "  --server ADDRESS  as for stepctl itself\n"
                 "  --help            this text\n");
    return CTL_OK;
}

static void copy_string(const json_t *row, const char *key, char *text, size_t size)
{
    const char *const value = json_string_value(json_object_get(row, key));
    (void)snprintf(text, size, "%s", value == NULL ? "" : value);
}

static void tensor_cell(const json_t *row, char *text, size_t size)
{
    copy_string(row, "tensor", text, size);
}

/* "1000x784"; "scalar". */
static void shape_cell(const json_t *row, char *text, size_t size)
{
    const json_t *const shape = json_object_get(row, "shape");
    size_t at = 0;
    if (json_array_size(shape) == 0)
        (void)snprintf(text, size, "scalar");
    for (size_t i = 0; i < json_array_size(shape) && at < size; i++) {
        const long long n = json_integer_value(json_array_get(shape, i));
        at += (size_t)snprintf(text + at, size - at, "%s%lld", i > 0 ? "x" : "", n);
    }
}

static void group_cell(const json_t *row, char *text, size_t size)
{
    copy_string(row, "group", text, size);
}

static void optimizer_cell(const json_t *row, char *text, size_t size)
{
    copy_string(row, "optimizer", text, size);
}

static void schedule_cell(const json_t *row, char *text, size_t size)
{
    copy_string(row, "schedule", text, size);
}

static void lr_cell(const json_t *row, char *text, size_t size)
{
    (void)snprintf(text, size, "%.6g", json_number_value(json_object_get(row, "lr")));
}

static void decay_cell(const json_t *row, char *text, size_t size)
{
    (void)snprintf(text, size, "%.6g", json_number_value(json_object_get(row, "weight_decay")));
}

static void version_cell(const json_t *row, char *text, size_t size)
{
    (void)snprintf(text, size, "%lld",
                   (long long)json_integer_value(json_object_get(row, "version")));
}

static void base_lr_cell(const json_t *row, char *text, size_t size)
{
    (void)snprintf(text, size, "%.6g", json_number_value(json_object_get(row, "base_lr")));
}

/* Where its settings come from: "definition", or "change 3 at 120". */
static void origin_cell(const json_t *row, char *text, size_t size)
{
    const long long change = (long long)json_integer_value(json_object_get(row, "change"));
    const long long version = (long long)json_integer_value(json_object_get(row, "change_version"));
    if (change == 0)
        (void)snprintf(text, size, "definition");
    else if (version == 0)
        (void)snprintf(text, size, "change %lld", change);
    else
        (void)snprintf(text, size, "change %lld at %lld", change, version);
}

static const struct table_column columns[] = {
    {.header = "TENSOR", .cell = tensor_cell},
    {.header = "SHAPE", .cell = shape_cell},
    {.header = "GROUP", .cell = group_cell},
    {.header = "OPTIMIZER", .cell = optimizer_cell},
    {.header = "SCHEDULE", .cell = schedule_cell},
    {.header = "BASE LR", .cell = base_lr_cell},
    {.header = "LR", .cell = lr_cell},
    {.header = "WEIGHT DECAY", .cell = decay_cell},
    {.header = "VERSION", .cell = version_cell},
    {.header = "FROM", .cell = origin_cell},
};

static void print(const char *job, const json_t *groups)
{
    (void)job;
    table_print(stdout, 0, columns, sizeof columns / sizeof columns[0],
                json_object_get(groups, "tensors"));
}

int groups_run(const struct ctl_options *ctl, int argc, char **argv)
{
    const struct ctl_job_command command = {
        .name = "groups", .help = print_help, .ask = ask_groups, .print = print};
    return ctl_run_of_job(&command, ctl, argc, argv);
}
