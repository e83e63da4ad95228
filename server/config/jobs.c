/* SPDX-License-Identifier: Apache-2.0
 *
 * From the list of jobs down: jobs_read -> read_job -> groups_read, each a table of keys for
 * reader_map(). Names are read before the rest of their map, wherever they stand in it, so that
 * every error can say which job and group it means.
 *
 * The first error ends the reading, and what was read until then dies with the config's arena.
 * Checked here is what needs no optimizer: names, ranges, and that nothing stands twice.
 */
#include "server/config/jobs.h"

#include <inttypes.h>
#include <string.h>

#include "proto/error.h"
#include "proto/mode.h"
#include "server/base/nearest.h"
#include "server/config/groups.h"
#include "server/config/init_from.h"
#include "server/config/reader.h"
#include "server/config/value.h"

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
    if (stepd_mode_find(node->text, &job->definition.mode))
        return STEPD_OK;
    nearest_init(&nearest, node->text);
    for (unsigned i = 0; i < STEPD_MODES; i++)
        nearest_offer(&nearest, stepd_mode_name((enum stepd_mode)i));
    return reader_fail(reader, node->line, "unknown mode %s: %s", reader_show(node->text, &shown),
                       nearest_hint(&nearest));
}

/* "2..8": both numbers. False: it is not of this form. */
static bool read_range(const char *text, uint64_t *ret_least, uint64_t *ret_most)
{
    const char *const dots = strstr(text, "..");
    char least[16];
    if (dots == NULL || (size_t)(dots - text) >= sizeof least)
        return false;
    memcpy(least, text, (size_t)(dots - text));
    least[dots - text] = '\0';
    return value_read_whole(least, ret_least) && value_read_whole(dots + 2, ret_most);
}

/* How many workers, or from how many to how many. */
static enum stepd_status read_workers(const struct reader *reader, const struct document_node *node,
                                      void *owner)
{
    struct config_job *const job = owner;
    struct reader_shown shown;
    uint64_t least = 0;
    uint64_t most = 0;
    const enum stepd_status status = reader_require_kind(reader, node, DOCUMENT_SCALAR);
    if (status != STEPD_OK)
        return status;
    if (!read_range(node->text, &least, &most))
        return reader_whole_u32(reader, node, 1, STEPD_WORKERS_MAX, &job->definition.workers);
    if (least < 1 || least > most || most > STEPD_WORKERS_MAX)
        return reader_fail(reader, node->line,
                           "%s: %s is not a range such as 2..8, between 1 and %u", node->key,
                           reader_show(node->text, &shown), STEPD_WORKERS_MAX);
    job->workers_min = (uint32_t)least;
    job->definition.workers = (uint32_t)most;
    return STEPD_OK;
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
    return reader_whole_u32(reader, node, CONFIG_SLICE_ELEMENTS_LEAST, CONFIG_SLICE_ELEMENTS_MOST,
                            &job->definition.slice_elements);
}

static enum stepd_status read_defaults(const struct reader *reader,
                                       const struct document_node *node, void *owner)
{
    struct config_job *const job = owner;
    struct reader in_defaults = *reader;
    in_defaults.part = node->line;
    job->defaults_line = node->line;
    return groups_read_defaults(&in_defaults, node, &job->definition.defaults);
}

static enum stepd_status read_groups(const struct reader *reader, const struct document_node *node,
                                     void *owner)
{
    return groups_read(reader, node, owner);
}

static enum stepd_status read_init_from(const struct reader *reader,
                                        const struct document_node *node, void *owner)
{
    struct config_job *const job = owner;
    return init_from_read(reader, node, &job->init_from);
}

static const struct reader_key keys[] = {
    {.name = "name", .required = true, .read = read_job_name},
    {.name = "mode", .required = false, .read = read_mode},
    {.name = "workers", .required = true, .read = read_workers},
    {.name = "strict", .required = false, .read = read_strict},
    {.name = "slice_elements", .required = false, .read = read_slice_elements},
    {.name = "init_from", .required = false, .read = read_init_from},
    {.name = "defaults", .required = false, .read = read_defaults},
    {.name = "groups", .required = true, .read = read_groups},
};

const struct reader_keys jobs_keys = {.count = sizeof keys / sizeof keys[0], .at = keys};

/* The lower end of a range of workers becomes the setting that the wire knows. */
static enum stepd_status add_workers_min(const struct reader *reader, struct config_job *job)
{
    const struct stepd_settings *const old = &job->definition.settings;
    struct stepd_setting *const list =
        stepd_arena_calloc(reader->arena, old->count + 1, sizeof *list);
    double *const value = stepd_arena_calloc(reader->arena, 1, sizeof *value);
    if (list == NULL || value == NULL)
        return reader_fail_memory(reader);
    if (old->count == STEPD_SETTINGS_MAX)
        return reader_fail(reader, job->line, "more than %u settings", STEPD_SETTINGS_MAX);
    for (size_t i = 0; i < old->count; i++)
        list[i] = old->at[i];
    *value = job->workers_min;
    list[old->count] =
        (struct stepd_setting){.name = "workers_min", .values = 1, .value = value, .word = ""};
    job->definition.settings = (struct stepd_settings){.count = old->count + 1, .at = list};
    return STEPD_OK;
}

static enum stepd_status read_job(const struct reader *in_file, const struct document_node *node,
                                  struct config_job *job)
{
    struct reader reader = *in_file;
    enum stepd_status status = reader_require_kind(in_file, node, DOCUMENT_MAP);
    if (status != STEPD_OK)
        return status;
    reader.job = reader_name_in(node);
    reader.part = node->line;
    *job = (struct config_job){
        .line = node->line,
        .definition = {.mode = STEPD_SYNC, .strict = true, .defaults = GROUPS_NOTHING},
        .init_from = INIT_FROM_NOTHING,
    };
    status = reader_map(&reader, node, &jobs_keys, job, &job->definition.settings);
    if (status == STEPD_OK && job->workers_min != 0)
        status = add_workers_min(&reader, job);
    return status != STEPD_OK ? status : groups_check(&reader, job);
}

enum stepd_status jobs_read(const char *name, const struct document_node *list,
                            struct config *config, struct stepd_error *reterr)
{
    const struct reader reader = {
        .file = name, .arena = &config->arena, .reterr = reterr, .settings = &config->settings};
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

static void write_job(const struct config_job *job, bool lines, FILE *stream)
{
    const struct stepd_define_job *const definition = &job->definition;
    (void)fputs("  - name: ", stream);
    value_write_text(job->name, stream);
    if (lines)
        (void)fprintf(stream, "  # file, line %zu", job->line);
    (void)fprintf(stream, "\n    mode: %s\n", stepd_mode_name(definition->mode));
    (void)fprintf(stream, "    workers: %" PRIu32 "\n", definition->workers);
    (void)fprintf(stream, "    strict: %s\n", definition->strict ? "true" : "false");
    if (definition->slice_elements != 0)
        (void)fprintf(stream, "    slice_elements: %" PRIu32 "\n", definition->slice_elements);
    init_from_write(&job->init_from, stream);
    for (size_t i = 0; i < definition->settings.count; i++) {
        const struct stepd_settings one = {.count = 1, .at = &definition->settings.at[i]};
        groups_write_settings(&one, "    ", stream);
        (void)fputc('\n', stream);
    }
    groups_write_defaults(&definition->defaults, stream);
    groups_write(job, lines, stream);
}

void jobs_write(const struct config *config, bool lines, FILE *stream)
{
    (void)fputs(config->jobs == 0 ? "jobs: []\n" : "jobs:\n", stream);
    for (size_t i = 0; i < config->jobs; i++)
        write_job(&config->job[i], lines, stream);
}
