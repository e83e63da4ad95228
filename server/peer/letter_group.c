/* SPDX-License-Identifier: Apache-2.0
 *
 * Groups travel as the definitions that they come to (definition.h), so that the other end makes
 * them the way they were made first, with every check. What a change has made of a group may have
 * more phases than a definition.
 */
#include <stdlib.h>

#include "server/model/definition.h"
#include "server/peer/letter_internal.h"

/* ---- Settings -------------------------------------------------------------------------------- */

static void put_setting(struct peer_writer *writer, const struct stepd_setting *setting)
{
    peer_put_text(writer, setting->name);
    peer_put_text(writer, setting->word);
    peer_put_number(writer, setting->values);
    for (size_t i = 0; i < setting->values; i++)
        peer_put_double(writer, setting->value[i]);
}

static struct stepd_setting take_setting(struct peer_reader *reader)
{
    const char *const name = peer_take_some_text(reader, "setting", STEPD_NAME_MAX_BYTES);
    const char *const word = peer_take_some_text(reader, name, STEPD_NAME_MAX_BYTES);
    const size_t values = peer_take_count(reader, name, STEPD_VALUES_MAX, sizeof(double));
    double *const value = peer_reader_array(reader, values, sizeof *value);
    for (size_t i = 0; value != NULL && i < values; i++)
        value[i] = peer_take_double(reader, name);
    return (struct stepd_setting){
        .name = name, .values = value == NULL ? 0 : values, .value = value, .word = word};
}

void peer_put_settings(struct peer_writer *writer, const struct stepd_settings *settings)
{
    peer_put_number(writer, settings->count);
    for (size_t i = 0; i < settings->count; i++)
        put_setting(writer, &settings->at[i]);
}

struct stepd_settings peer_take_settings(struct peer_reader *reader, const char *field)
{
    const size_t count = peer_take_count(reader, field, STEPD_SETTINGS_MAX, 3);
    struct stepd_setting *const setting = peer_reader_array(reader, count, sizeof *setting);
    for (size_t i = 0; setting != NULL && i < count; i++)
        setting[i] = take_setting(reader);
    return (struct stepd_settings){.count = setting == NULL ? 0 : count, .at = setting};
}

/* ---- Groups ---------------------------------------------------------------------------------- */

static void put_schedule(struct peer_writer *writer, const struct stepd_group *group)
{
    peer_put_text(writer, group->schedule);
    peer_put_settings(writer, &group->schedule_settings);
    peer_put_number(writer, group->schedule_parts);
    for (size_t i = 0; i < group->schedule_parts; i++) {
        peer_put_text(writer, group->schedule_part[i].kind);
        peer_put_settings(writer, &group->schedule_part[i].settings);
    }
}

static void put_phases(struct peer_writer *writer, const struct stepd_group *group)
{
    peer_put_number(writer, group->phases);
    for (size_t i = 0; i < group->phases; i++) {
        peer_put_number(writer, group->phase[i].from);
        peer_put_text(writer, group->phase[i].optimizer);
        peer_put_settings(writer, &group->phase[i].settings);
    }
}

void peer_put_group(struct peer_writer *writer, const struct stepd_group *group)
{
    peer_put_text(writer, group->name);
    peer_put_text(writer, group->match);
    peer_put_u32s(writer, group->ndim.at, group->ndim.count);
    peer_put_number(writer, group->frozen);
    peer_put_text(writer, group->optimizer);
    peer_put_settings(writer, &group->settings);
    put_schedule(writer, group);
    put_phases(writer, group);
}

static struct stepd_u32s take_ndim(struct peer_reader *reader)
{
    const size_t count = peer_take_count(reader, "ndim", STEPD_DIMS_MAX + 1, 1);
    uint32_t *const ndim = peer_reader_array(reader, count, sizeof *ndim);
    for (size_t i = 0; ndim != NULL && i < count; i++)
        ndim[i] = peer_take_u32(reader, "ndim", STEPD_DIMS_MAX);
    return (struct stepd_u32s){.count = ndim == NULL ? 0 : count, .at = ndim};
}

static void take_schedule(struct peer_reader *reader, struct stepd_group *group)
{
    group->schedule = peer_take_some_text(reader, "schedule", STEPD_NAME_MAX_BYTES);
    group->schedule_settings = peer_take_settings(reader, "settings of the schedule");
    const size_t count = peer_take_count(reader, "schedules", STEPD_SCHEDULE_PARTS_MAX, 2);
    struct stepd_schedule_part *const part = peer_reader_array(reader, count, sizeof *part);
    for (size_t i = 0; part != NULL && i < count; i++) {
        part[i].kind = peer_take_some_text(reader, "schedule", STEPD_NAME_MAX_BYTES);
        part[i].settings = peer_take_settings(reader, "settings of the schedule");
    }
    group->schedule_parts = part == NULL ? 0 : count;
    group->schedule_part = part;
}

static void take_phases(struct peer_reader *reader, size_t most, struct stepd_group *group)
{
    const size_t count = peer_take_count(reader, "phases", most, 3);
    struct stepd_phase *const phase = peer_reader_array(reader, count, sizeof *phase);
    for (size_t i = 0; phase != NULL && i < count; i++) {
        phase[i].from = peer_take_number(reader, "phase", UINT64_MAX);
        phase[i].optimizer = peer_take_some_text(reader, "optimizer", STEPD_NAME_MAX_BYTES);
        phase[i].settings = peer_take_settings(reader, "settings of the phase");
    }
    group->phases = phase == NULL ? 0 : count;
    group->phase = phase;
}

struct stepd_group peer_take_group(struct peer_reader *reader, size_t phases)
{
    struct stepd_group group = {
        .name = peer_take_some_text(reader, "group", STEPD_NAME_MAX_BYTES),
        .match = peer_take_some_text(reader, "match", STEPD_NAME_MAX_BYTES),
    };
    group.ndim = take_ndim(reader);
    group.frozen = peer_take_bool(reader, "frozen");
    group.optimizer = peer_take_some_text(reader, "optimizer", STEPD_NAME_MAX_BYTES);
    group.settings = peer_take_settings(reader, "settings of the group");
    take_schedule(reader, &group);
    take_phases(reader, phases, &group);
    return group;
}

/* ---- Changes --------------------------------------------------------------------------------- */

static void put_shared(struct peer_writer *writer, const struct shared_group *shared)
{
    struct stepd_arena arena;
    struct stepd_group def;
    stepd_arena_init(&arena, SIZE_MAX);
    peer_put_number(writer, shared->group.phase[0].from);
    if (definition_of_group(&shared->group, &arena, &def) == STEPD_OK)
        peer_put_group(writer, &def);
    else
        writer->status = STEPD_RESOURCE_EXHAUSTED;
    stepd_arena_deinit(&arena);
}

void peer_put_changes(struct peer_writer *writer, const struct group_changes *changes)
{
    peer_put_number(writer, changes != NULL);
    if (changes == NULL)
        return;
    peer_put_number(writer, changes->number);
    peer_put_number(writer, changes->version);
    peer_put_number(writer, changes->count);
    for (size_t i = 0; i < changes->count; i++) {
        peer_put_number(writer, changes->change[i].index);
        peer_put_number(writer, changes->change[i].fresh);
        peer_put_number(writer, changes->change[i].new_schedule);
        put_shared(writer, changes->change[i].group);
    }
}

static struct shared_group *take_shared(struct peer_reader *reader)
{
    const uint64_t from = peer_take_number(reader, "first phase", UINT64_MAX);
    const struct stepd_group def = peer_take_group(reader, GROUP_PHASES_MAX);
    struct shared_group *const shared = peer_reader_own_array(reader, 1, sizeof *shared);
    if (shared == NULL)
        return NULL;
    reader->status = group_init_changed(&def, from, &shared->group, reader->reterr);
    if (reader->status != STEPD_OK) {
        free(shared);
        return NULL;
    }
    shared->refs = 1;
    return shared;
}

struct group_changes *peer_take_changes(struct peer_reader *reader)
{
    if (!peer_take_bool(reader, "changes"))
        return NULL;
    const uint64_t number = peer_take_number(reader, "number of the changes", UINT64_MAX);
    const uint64_t version = peer_take_number(reader, "version of the changes", UINT64_MAX);
    const size_t count = peer_take_count(reader, "changes", STEPD_GROUPS_MAX, 4);
    struct group_changes *const changes =
        reader->status == STEPD_OK ? group_changes_create(count) : NULL;
    if (changes == NULL) {
        peer_reader_no_memory(reader);
        return NULL;
    }
    changes->number = number;
    changes->version = version;
    for (size_t i = 0; i < count; i++) {
        struct group_change *const change = &changes->change[i];
        change->index = peer_take_u32(reader, "group", STEPD_GROUPS_MAX - 1);
        change->fresh = peer_take_bool(reader, "fresh");
        change->new_schedule = peer_take_bool(reader, "new schedule");
        change->group = take_shared(reader);
    }
    return reader->status == STEPD_OK ? changes : group_changes_destroy(changes);
}
