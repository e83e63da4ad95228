/* SPDX-License-Identifier: Apache-2.0
 *
 * A group's map, with what stands in it: a schedule, which may be made of others, and phases. Each
 * is a table of keys for reader_map(); what is in no table is a setting, carried as it is, for the
 * optimizer or the schedule to judge. The job's defaults are a group's map without what only one
 * group can say.
 */
#include "server/config/groups.h"

#include <inttypes.h>
#include <string.h>

/* ---- Schedules ------------------------------------------------------------------------------- */

static enum stepd_status read_kind(const struct reader *reader, const struct document_node *node,
                                   void *owner)
{
    struct stepd_group *const group = owner;
    return reader_name(reader, node, &group->schedule);
}

static enum stepd_status read_part_kind(const struct reader *reader,
                                        const struct document_node *node, void *owner)
{
    struct stepd_schedule_part *const part = owner;
    return reader_name(reader, node, &part->kind);
}

static enum stepd_status read_part(const struct reader *reader, const struct document_node *node,
                                   struct stepd_schedule_part *part)
{
    static const struct reader_key keys[] = {
        {.name = "kind", .required = true, .read = read_part_kind},
    };
    static const struct reader_keys known = {.count = sizeof keys / sizeof keys[0], .at = keys};
    const enum stepd_status status = reader_require_kind(reader, node, DOCUMENT_MAP);
    return status != STEPD_OK ? status : reader_map(reader, node, &known, part, &part->settings);
}

/* The schedules that one is made of. */
static enum stepd_status read_parts(const struct reader *reader, const struct document_node *list,
                                    void *owner)
{
    struct stepd_group *const group = owner;
    enum stepd_status status = reader_require_kind(reader, list, DOCUMENT_LIST);
    if (status != STEPD_OK)
        return status;
    if (list->count == 0 || list->count > STEPD_SCHEDULE_PARTS_MAX)
        return reader_fail(reader, list->line, "schedules must be 1 to %u",
                           STEPD_SCHEDULE_PARTS_MAX);
    struct stepd_schedule_part *const parts =
        stepd_arena_calloc(reader->arena, list->count, sizeof *parts);
    if (parts == NULL)
        return reader_fail_memory(reader);
    size_t count = 0;
    for (const struct document_node *node = list->first; node != NULL; node = node->next) {
        status = read_part(reader, node, &parts[count++]);
        if (status != STEPD_OK)
            return status;
    }
    group->schedule_parts = count;
    group->schedule_part = parts;
    return STEPD_OK;
}

static const struct reader_key schedule_keys[] = {
    {.name = "kind", .required = false, .read = read_kind},
    {.name = "schedules", .required = false, .read = read_parts},
};

const struct reader_keys groups_schedule_keys = {
    .count = sizeof schedule_keys / sizeof schedule_keys[0], .at = schedule_keys};

static enum stepd_status read_schedule_map(const struct reader *reader,
                                           const struct document_node *node, bool kind_required,
                                           struct stepd_group *group)
{
    enum stepd_status status = reader_require_kind(reader, node, DOCUMENT_MAP);
    if (status != STEPD_OK)
        return status;
    status = reader_map(reader, node, &groups_schedule_keys, group, &group->schedule_settings);
    if (status == STEPD_OK && kind_required && group->schedule[0] == '\0')
        return reader_fail(reader, node->line, "the key 'kind' is missing");
    return status;
}

static enum stepd_status read_schedule(const struct reader *reader,
                                       const struct document_node *node, void *owner)
{
    return read_schedule_map(reader, node, true, owner);
}

/* Settings alone go over those of the defaults' schedule, which groups_check() asks for. */
static enum stepd_status read_group_schedule(const struct reader *reader,
                                             const struct document_node *node, void *owner)
{
    const bool settings_alone = node->count > 0 && document_find(node, "schedules") == NULL;
    return read_schedule_map(reader, node, !settings_alone, owner);
}

/* ---- Phases ---------------------------------------------------------------------------------- */

static enum stepd_status read_from(const struct reader *reader, const struct document_node *node,
                                   void *owner)
{
    struct stepd_phase *const phase = owner;
    return reader_whole(reader, node, 1, UINT64_MAX, &phase->from);
}

static enum stepd_status read_phase_optimizer(const struct reader *reader,
                                              const struct document_node *node, void *owner)
{
    struct stepd_phase *const phase = owner;
    return reader_name(reader, node, &phase->optimizer);
}

static const struct reader_key phase_keys[] = {
    {.name = "from", .required = true, .read = read_from},
    {.name = "optimizer", .required = true, .read = read_phase_optimizer},
};

const struct reader_keys groups_phase_keys = {.count = sizeof phase_keys / sizeof phase_keys[0],
                                              .at = phase_keys};

static enum stepd_status read_phase(const struct reader *reader, const struct document_node *node,
                                    struct stepd_phase *phase)
{
    const enum stepd_status status = reader_require_kind(reader, node, DOCUMENT_MAP);
    return status != STEPD_OK
               ? status
               : reader_map(reader, node, &groups_phase_keys, phase, &phase->settings);
}

static enum stepd_status read_phases(const struct reader *reader, const struct document_node *list,
                                     void *owner)
{
    struct stepd_group *const group = owner;
    enum stepd_status status = reader_require_kind(reader, list, DOCUMENT_LIST);
    if (status != STEPD_OK)
        return status;
    if (list->count > STEPD_PHASES_MAX)
        return reader_fail(reader, list->line, "phases must be at most %u", STEPD_PHASES_MAX);
    struct stepd_phase *const phases =
        stepd_arena_calloc(reader->arena, list->count, sizeof *phases);
    if (phases == NULL)
        return reader_fail_memory(reader);
    uint64_t before = 0;
    size_t count = 0;
    for (const struct document_node *node = list->first; node != NULL; node = node->next) {
        status = read_phase(reader, node, &phases[count]);
        if (status != STEPD_OK)
            return status;
        if (phases[count].from <= before)
            return reader_fail(reader, node->line,
                               "a phase from %" PRIu64 " cannot follow one from %" PRIu64,
                               phases[count].from, before);
        before = phases[count++].from;
    }
    group->phases = count;
    group->phase = phases;
    return STEPD_OK;
}

/* ---- Groups ---------------------------------------------------------------------------------- */

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

static enum stepd_status read_frozen(const struct reader *reader, const struct document_node *node,
                                     void *owner)
{
    struct stepd_group *const group = owner;
    return reader_switch(reader, node, &group->frozen);
}

/* A number of dimensions, or a list of them. */
static enum stepd_status read_ndim(const struct reader *reader, const struct document_node *node,
                                   void *owner)
{
    struct stepd_group *const group = owner;
    const bool list = node->kind == DOCUMENT_LIST;
    const struct document_node *at = list ? node->first : node;
    uint32_t *const ndim = stepd_arena_calloc(reader->arena, STEPD_DIMS_MAX + 1, sizeof *ndim);
    bool seen[STEPD_DIMS_MAX + 1] = {false};
    size_t count = 0;
    if (ndim == NULL)
        return reader_fail_memory(reader);
    if (list && node->count == 0)
        return reader_fail(reader, node->line, "ndim is an empty list; leave it out for any");
    for (; at != NULL; at = list ? at->next : NULL) {
        uint32_t dims = 0;
        struct document_node named = *at;
        named.key = node->key;
        const enum stepd_status status = reader_whole_u32(reader, &named, 0, STEPD_DIMS_MAX, &dims);
        if (status != STEPD_OK)
            return status;
        if (seen[dims])
            return reader_fail(reader, at->line, "ndim names %" PRIu32 " twice", dims);
        seen[dims] = true;
        ndim[count++] = dims;
    }
    group->ndim = (struct stepd_u32s){.count = count, .at = ndim};
    return STEPD_OK;
}

static const struct reader_key group_keys[] = {
    {.name = "name", .required = true, .read = read_group_name},
    {.name = "match", .required = false, .read = read_match},
    {.name = "ndim", .required = false, .read = read_ndim},
    {.name = "optimizer", .required = false, .read = read_optimizer},
    {.name = "frozen", .required = false, .read = read_frozen},
    {.name = "schedule", .required = false, .read = read_group_schedule},
    {.name = "phases", .required = false, .read = read_phases},
};

const struct reader_keys groups_keys = {.count = sizeof group_keys / sizeof group_keys[0],
                                        .at = group_keys};

static enum stepd_status read_group(const struct reader *in_job, const struct document_node *node,
                                    size_t index, struct stepd_group *group)
{
    struct reader reader = *in_job;
    const enum stepd_status status = reader_require_kind(in_job, node, DOCUMENT_MAP);
    if (status != STEPD_OK)
        return status;
    if (document_find(node, "name") == NULL)
        return reader_fail(in_job, node->line, "groups[%zu]: the key 'name' is missing", index);
    reader.group = reader_name_in(node);
    reader.part = node->line;
    *group = (struct stepd_group)GROUPS_NOTHING;
    group->match = "*";
    return reader_map(&reader, node, &groups_keys, group, &group->settings);
}

enum stepd_status groups_read(const struct reader *reader, const struct document_node *list,
                              struct config_job *job)
{
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
        status = read_group(reader, node, count, &groups[count]);
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

enum stepd_status groups_check(const struct reader *in_job, const struct config_job *job)
{
    const struct stepd_group *const defaults = &job->definition.defaults;
    const bool optimizer = defaults->optimizer[0] != '\0';
    const bool schedule = defaults->schedule[0] != '\0';
    for (size_t i = 0; i < job->definition.groups; i++) {
        const struct stepd_group *const group = &job->definition.group[i];
        struct reader reader = *in_job;
        reader.group = group->name;
        if (group->optimizer[0] == '\0' && !optimizer && !group->frozen)
            return reader_fail(&reader, job->group_line[i],
                               "the key 'optimizer' is missing, and the job has no defaults with "
                               "one");
        if (group->schedule[0] == '\0' && !schedule && group->schedule_settings.count > 0)
            return reader_fail(&reader, job->group_line[i],
                               "the key 'kind' is missing in schedule, and the job has no "
                               "defaults with one");
    }
    return STEPD_OK;
}

/* ---- Defaults -------------------------------------------------------------------------------- */

/* A key that says something of one group. */
static enum stepd_status refuse_own(const struct reader *reader, const struct document_node *node,
                                    void *owner)
{
    (void)owner;
    return reader_fail(reader, node->line, "%s belongs to a group, not to the defaults of all",
                       node->key);
}

enum stepd_status groups_read_defaults(const struct reader *reader,
                                       const struct document_node *node,
                                       struct stepd_group *ret_defaults)
{
    static const struct reader_key keys[] = {
        {.name = "optimizer", .required = false, .read = read_optimizer},
        {.name = "schedule", .required = false, .read = read_schedule},
        {.name = "name", .required = false, .read = refuse_own},
        {.name = "match", .required = false, .read = refuse_own},
        {.name = "ndim", .required = false, .read = refuse_own},
        {.name = "frozen", .required = false, .read = refuse_own},
        {.name = "phases", .required = false, .read = refuse_own},
    };
    static const struct reader_keys known = {.count = sizeof keys / sizeof keys[0], .at = keys};
    const enum stepd_status status = reader_require_kind(reader, node, DOCUMENT_MAP);
    if (status != STEPD_OK)
        return status;
    return reader_map(reader, node, &known, ret_defaults, &ret_defaults->settings);
}
