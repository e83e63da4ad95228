/* SPDX-License-Identifier: Apache-2.0
 *
 * stepctl list: which checkpoints there are, as their manifests say. Their arrays are not read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "client/ctl/ctl.h"
#include "client/ctl/shelves.h"
#include "client/ctl/table.h"
#include "proto/error.h"
#include "proto/mode.h"
#include "server/disk/load.h"

static const char help[] =
    "usage: stepctl list DIR [JOB] [--json]\n"
    "\n"
    "Shows the checkpoints in a folder that a daemon keeps them in, or in that of one job.\n"
    "A daemon may be at work there. What a checkpoint says of itself is read and held to what\n"
    "files there are, and their arrays are not: 'stepctl verify' reads all.\n"
    "\n"
    "options:\n"
    "  --json            one JSON object, for programs\n"
    "  --help            this text\n";

/* ---- Reading --------------------------------------------------------------------------------- */

static void add_manifest(json_t *row, int folder, const struct manifest *manifest)
{
    const struct job_snapshot *const snapshot = &manifest->snapshot;
    const struct load_extent extent = load_extent_of(folder, manifest);
    json_t *const more = json_pack(
        "{s:s, s:I, s:s, s:i, s:I, s:I, s:I, s:I, s:s}", "job", snapshot->job->name, "incarnation",
        (json_int_t)snapshot->incarnation, "mode", stepd_mode_name(snapshot->job->consistency.mode),
        "workers", (int)snapshot->job->workers, "tensors", (json_int_t)snapshot->job->tensors,
        "elements", (json_int_t)snapshot->job->elements, "bytes", (json_int_t)extent.bytes, "age_s",
        (json_int_t)(extent.age_ms / 1000), "stepd", manifest->stepd);
    (void)json_object_update(row, more);
    json_decref(more);
}

struct rows {
    json_t *list;
    const char *path; /* that was asked for */
};

/* A manifest that cannot be read says no job: the folder that it is in is called like it. */
static void add_folder(json_t *row, const char *path, const struct shelves_checkpoint *found)
{
    char *const whole = found->job[0] == '\0' ? realpath(path, NULL) : NULL;
    char *last = whole == NULL ? NULL : strrchr(whole, '/');
    if (last != NULL && strcmp(found->name, path) == 0) { /* the path is the checkpoint itself */
        *last = '\0';
        last = strrchr(whole, '/');
    }
    (void)json_object_set_new(row, "job", json_string(last == NULL ? found->job : last + 1));
    free(whole);
}

static void add(void *owner, const struct shelves_checkpoint *found)
{
    const struct rows *const rows = owner;
    struct stepd_error error = found->error;
    struct manifest manifest;
    json_t *const row =
        json_pack("{s:s, s:s, s:s}", "folder", found->job, "name", found->name, "problem", "");
    if (found->folder >= 0 && load_manifest(found->folder, &manifest, &error) == STEPD_OK) {
        add_manifest(row, found->folder, &manifest);
        if (load_check_files(found->folder, &manifest, &error) != STEPD_OK)
            (void)json_object_set_new(row, "problem", json_string(error.text));
        manifest_deinit(&manifest);
    } else {
        add_folder(row, rows->path, found);
        (void)json_object_set_new(row, "problem", json_string(error.text));
    }
    (void)json_array_append_new(rows->list, row);
}

/* ---- Printing -------------------------------------------------------------------------------- */

static void incarnation_cell(const json_t *row, char *text, size_t size)
{
    const json_t *const incarnation = json_object_get(row, "incarnation");
    if (incarnation != NULL)
        (void)snprintf(text, size, "%lld", (long long)json_integer_value(incarnation));
}

static void bytes_cell(const json_t *row, char *text, size_t size)
{
    const json_t *const bytes = json_object_get(row, "bytes");
    if (bytes != NULL)
        table_bytes((uint64_t)json_integer_value(bytes), text, size);
}

static void age_cell(const json_t *row, char *text, size_t size)
{
    const json_t *const age = json_object_get(row, "age_s");
    char duration[32];
    if (age == NULL)
        return;
    table_duration((uint64_t)json_integer_value(age) * 1000, duration, sizeof duration);
    (void)snprintf(text, size, "%s ago", duration);
}

static const struct table_column columns[] = {
    {.header = "JOB", .key = "job"},         {.header = "CHECKPOINT", .key = "name"},
    {.header = "MODE", .key = "mode"},       {.header = "INCARNATION", .cell = incarnation_cell},
    {.header = "SIZE", .cell = bytes_cell},  {.header = "WRITTEN", .cell = age_cell},
    {.header = "PROBLEM", .key = "problem"},
};

int list_run(const struct ctl_options *ctl, int argc, char **argv)
{
    (void)ctl;
    const struct ctl_words words = {
        .command = "list", .help = help, .first = "DIR", .least = 1, .most = 2};
    bool as_json = false;
    const int exit_code = ctl_read_words(&words, argc, argv, &as_json);
    if (exit_code >= 0)
        return exit_code;
    struct stepd_error error;
    json_t *const list = json_pack("{s:[]}", "checkpoints");
    struct rows rows = {.list = json_object_get(list, "checkpoints"), .path = argv[optind]};
    const struct shelves shelves = {.path = argv[optind],
                                    .job = optind + 1 < argc ? argv[optind + 1] : NULL,
                                    .visit = add,
                                    .owner = &rows};
    const enum stepd_status status = shelves_visit(&shelves, &error);
    if (status == STEPD_OK && as_json) {
        (void)json_dumpf(list, stdout, JSON_INDENT(2));
        (void)printf("\n");
    } else if (status == STEPD_OK) {
        table_print(stdout, 0, columns, sizeof columns / sizeof columns[0], rows.list);
    }
    json_decref(list);
    return status == STEPD_OK ? CTL_OK : ctl_fail("list", &error);
}
