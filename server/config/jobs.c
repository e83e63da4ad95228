/* SPDX-License-Identifier: Apache-2.0
 *
 * From the list of jobs down: jobs_read -> read_job -> read_groups -> read_group -> read_schedule,
 * each a table of keys for reader_map(). Names are read before the rest of their map, wherever they
 * stand in it, so that every error can say which job and group it means.
 *
 * The first error ends the reading, and what was read until then dies with the config's arena.
 * Checked here is what needs no optimizer: names, ranges, and that nothing stands twice.
 */
#include "server/config/jobs.h"

#include <inttypes.h>
#include <string.h>

#include "proto/error.h"
#include "server/base/nearest.h"
#include "server/config/reader.h"
#include "server/config/value.h"

/* The modes by their names in the file. */
static const char *const mode_names[] = {
    [STEPD_SYNC] = "sync",
    [STEPD_ASYNC] = "async",
};

#define MODES (sizeof mode_names / sizeof mode_names[0])

/* The value under the key "name", where a later reader_name() will find it in order; else NULL. */
static const char *name_of(const struct document_node *map)
{
    const struct document_node *const node = document_find(map, "name");
    return node == NULL ? NULL : node->text;
}

static enum stepd_status read_group_name(const struct reader *reader,
                                         const struct document_node *node, void *owner)
{
    struct stepd_group *const group = owner;
    return reader_name(reader, node, &group->name);
}

static enum stepd_status read_match(const struct reader *reader, const struct document_node *node,
                                    void *owner)
{
    struct stepd_group *const group = owner;
    return reader_name(reader, node, &group->match);
}

static enum stepd_status read_optimizer(const struct reader *reader,
                                        const struct document_node *node, void *owner)
{
    struct stepd_group *const group = owner;
    return reader_name(reader, node, &group->optimizer);
}

static enum stepd_status read_kind(const struct reader *reader, const struct document_node *node,
                                   void *owner)
{
    struct stepd_group *const group = owner;
    return reader_name(reader, node, &group->schedule);
}

static enum stepd_status read_schedule(const struct reader *reader,
                                       const struct document_node *node, void *owner)
{
    static const struct reader_key keys[] = {
        {.name = "kind", .required = true, .read = read_kind},
    };
    static const struct reader_keys known = {.count = sizeof keys / sizeof keys[0], .at = keys};
    struct stepd_group *const group = owner;
    const enum stepd_status status = reader_require_kind(reader, node, DOCUMENT_MAP);
    if (status != STEPD_OK)
        return status;
    return reader_map(reader, node, &known, group, &group->schedule_settings);
}

static enum stepd_status read_group(const struct reader *in_job, const struct document_node *node,
                                    struct stepd_group *group)
{
    static const struct reader_key keys[] = {
        {.name = "name", .required = true, .read = read_group_name},
        {.name = "match", .required = true, .read = read_match},
        {.name = "optimizer", .required = true, .read = read_optimizer},
        {.name = "schedule", .required = false, .read = read_schedule},
    };
    static const struct reader_keys known = {.count = sizeof keys / sizeof keys[0], .at = keys};
    struct reader reader = *in_job;
    const enum stepd_status status = reader_require_kind(in_job, node, DOCUMENT_MAP);
    if (status != STEPD_OK)
        return status;
    reader.group = name_of(node);
    group->schedule = "";
    return reader_map(&reader, node, &known, group, &group->settings);
}

static enum stepd_status read_groups(const struct reader *reader, const struct document_node *list,
                                     void *owner)
{
    struct config_job *const job = owner;
    enum stepd_status status = reader_require_kind(reader, list, DOCUMENT_LIST);
    if (status != STEPD_OK)
        return status;
    if (list->count == 0 || list->count > STEPD_GROUPS_MAX)
        return reader_fail(reader, list->line, "groups must be 1 to %u", STEPD_GROUPS_MAX);
    struct stepd_group *const groups =
        stepd_arena_calloc(reader->arena, list->count, sizeof *groups);
    size_t *const lines = stepd_arena_calloc(reader->arena, list->count, sizeof *lines);
    if (groups == NULL || lines == NULL)
        return reader_fail_memory(reader);
    size_t count = 0;
    for (const struct document_node *node = list->first; node != NULL; node = node->next) {
        struct reader_shown shown;
        lines[count] = node->line;
        status = read_group(reader, node, &groups[count]);
        if (status != STEPD_OK)
            return status;
        for (size_t i = 0; i < count; i++) {
            if (strcmp(groups[i].name, groups[count].name) == 0)
                return reader_fail(reader, node->line,
                                   "the group %s stands twice, first in line %zu",
                                   reader_show(groups[i].name, &shown), lines[i]);
        }
        count++;
    }
    job->definition.groups = count;
    job->definition.group = groups;
    job->group_line = lines;
    return STEPD_OK;
}

static enum stepd_status read_job_name(const struct reader *reader,
                                       const struct document_node *node, void *owner)
{
    struct config_job *const job = owner;
    return reader_name(reader, node, &job->name);
}

static enum stepd_status read_mode(const struct reader *reader, const struct document_node *node,
                                   void *owner)
{
    struct config_job *const job = owner;
    struct nearest nearest;
    struct reader_shown shown;
    const enum stepd_status status = reader_require_kind(reader, node, DOCUMENT_SCALAR);
    if (status != STEPD_OK)
        return status;
    nearest_init(&nearest, node->text);
    for (size_t i = 0; i < MODES; i++) {
        if (strcmp(mode_names[i], node->text) == 0) {
            job->definition.mode = (enum stepd_mode)i;
            return STEPD_OK;
        }
        nearest_offer(&nearest, mode_names[i]);
    }
    return reader_fail(reader, node->line, "unknown mode %s: %s", reader_show(node->text, &shown),
                       nearest_hint(&nearest));
}

static enum stepd_status read_workers(const struct reader *reader, const struct document_node *node,
                                      void *owner)
{
    struct config_job *const job = owner;
    return reader_whole(reader, node, 1, STEPD_WORKERS_MAX, &job->definition.workers);
}

static enum stepd_status read_strict(const struct reader *reader, const struct document_node *node,
                                     void *owner)
{
    struct config_job *const job = owner;
    return reader_switch(reader, node, &job->definition.strict);
}

static enum stepd_status read_slice_elements(const struct reader *reader,
                                             const struct document_node *node, void *owner)
{
    struct config_job *const job = owner;
    return reader_whole(reader, node, CONFIG_SLICE_ELEMENTS_LEAST, CONFIG_SLICE_ELEMENTS_MOST,
                        &job->definition.slice_elements);
}

static enum stepd_status read_job(const struct reader *in_file, const struct document_node *node,
                                  struct config_job *job)
{
    static const struct reader_key keys[] = {
        {.name = "name", .required = true, .read = read_job_name},
        {.name = "mode", .required = false, .read = read_mode},
        {.name = "workers", .required = true, .read = read_workers},
        {.name = "strict", .required = false, .read = read_strict},
        {.name = "slice_elements", .required = false, .read = read_slice_elements},
        {.name = "groups", .required = true, .read = read_groups},
    };
    static const struct reader_keys known = {.count = sizeof keys / sizeof keys[0], .at = keys};
    struct reader reader = *in_file;
    const enum stepd_status status = reader_require_kind(in_file, node, DOCUMENT_MAP);
    if (status != STEPD_OK)
        return status;
    reader.job = name_of(node);
    *job = (struct config_job){
        .line = node->line,
        .definition = {.mode = STEPD_SYNC, .strict = true},
    };
    return reader_map(&reader, node, &known, job, NULL);
}

enum stepd_status jobs_read(const char *name, const struct document_node *list,
                            struct config *config, struct stepd_error *reterr)
{
    const struct reader reader = {.file = name, .arena = &config->arena, .reterr = reterr};
    enum stepd_status status = reader_require_kind(&reader, list, DOCUMENT_LIST);
    if (status != STEPD_OK)
        return status;
    if (list->count > CONFIG_JOBS_MAX)
        return reader_fail(&reader, list->line, "more than %u jobs", CONFIG_JOBS_MAX);
    struct config_job *const jobs = stepd_arena_calloc(reader.arena, list->count, sizeof *jobs);
    if (jobs == NULL)
        return reader_fail_memory(&reader);
    size_t count = 0;
    for (const struct document_node *node = list->first; node != NULL; node = node->next) {
        struct reader_shown shown;
        status = read_job(&reader, node, &jobs[count]);
        if (status != STEPD_OK)
            return status;
        for (size_t i = 0; i < count; i++) {
            if (strcmp(jobs[i].name, jobs[count].name) == 0)
                return reader_fail(&reader, node->line,
                                   "the job %s stands twice, first in line %zu",
                                   reader_show(jobs[i].name, &shown), jobs[i].line);
        }
        count++;
    }
    config->jobs = count;
    config->job = jobs;
    return STEPD_OK;
}

static void write_settings(const struct stepd_settings *settings, const char *before, FILE *stream)
{
    for (size_t i = 0; i < settings->count; i++) {
        const struct stepd_setting *const setting = &settings->at[i];
        const bool list = setting->values != 1;
        (void)fprintf(stream, "%s%s: %s", before, setting->name, list ? "[" : "");
        for (size_t j = 0; j < setting->values; j++) {
            (void)fputs(j > 0 ? ", " : "", stream);
            value_write_number(setting->value[j], stream);
        }
        (void)fputs(list ? "]" : "", stream);
    }
}

/* Where a job or group stands; 0: that is not to be said. */
static void write_line(size_t line, FILE *stream)
{
    if (line > 0)
        (void)fprintf(stream, "  # file, line %zu", line);
}

static void write_group(const struct stepd_group *group, size_t line, FILE *stream)
{
    (void)fputs("      - name: ", stream);
    value_write_text(group->name, stream);
    write_line(line, stream);
    (void)fputs("\n        match: ", stream);
    value_write_text(group->match, stream);
    (void)fputs("\n        optimizer: ", stream);
    value_write_text(group->optimizer, stream);
    write_settings(&group->settings, "\n        ", stream);
    if (group->schedule[0] != '\0') {
        (void)fputs("\n        schedule: {kind: ", stream);
        value_write_text(group->schedule, stream);
        write_settings(&group->schedule_settings, ", ", stream);
        (void)fputc('}', stream);
    }
    (void)fputc('\n', stream);
}

static void write_job(const struct config_job *job, bool lines, FILE *stream)
{
    const struct stepd_define_job *const definition = &job->definition;
    (void)fputs("  - name: ", stream);
    value_write_text(job->name, stream);
    write_line(lines ? job->line : 0, stream);
    (void)fprintf(stream, "\n    mode: %s\n", mode_names[definition->mode]);
    (void)fprintf(stream, "    workers: %" PRIu32 "\n", definition->workers);
    (void)fprintf(stream, "    strict: %s\n", definition->strict ? "true" : "false");
    if (definition->slice_elements != 0)
        (void)fprintf(stream, "    slice_elements: %" PRIu32 "\n", definition->slice_elements);
    (void)fputs("    groups:\n", stream);
    for (size_t i = 0; i < definition->groups; i++)
        write_group(&definition->group[i], lines ? job->group_line[i] : 0, stream);
}

void jobs_write(const struct config *config, bool lines, FILE *stream)
{
    (void)fputs(config->jobs == 0 ? "jobs: []\n" : "jobs:\n", stream);
    for (size_t i = 0; i < config->jobs; i++)
        write_job(&config->job[i], lines, stream);
}
