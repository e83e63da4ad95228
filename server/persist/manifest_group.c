/* SPDX-License-Identifier: Apache-2.0
 *
 * A group in the words of the config file: its settings stand beside its keys, and so do those of
 * its schedule and its phases. Which settings there are is not known here: those that group_init
 * does not know, it refuses.
 */
#include "server/persist/manifest_internal.h"

#include "proto/error.h"

/* ---- Writing --------------------------------------------------------------------------------- */

static json_t *of_values(const struct stepd_setting *setting)
{
    json_t *const list = json_array();
    for (size_t i = 0; i < setting->values; i++) {
        if (json_array_append_new(list, manifest_of_double(setting->value[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *of_setting(const struct stepd_setting *setting)
{
    if (setting->word[0] != '\0')
        return json_string(setting->word);
    return setting->values == 1 ? manifest_of_double(setting->value[0]) : of_values(setting);
}

bool manifest_add_settings(json_t *object, const struct stepd_settings *settings)
{
    bool added = true;
    for (size_t i = 0; i < settings->count && added; i++)
        added =
            json_object_set_new(object, settings->at[i].name, of_setting(&settings->at[i])) == 0;
    return added;
}

/* An object with these settings too. Takes ownership of it; NULL: no memory. */
static json_t *with_settings(json_t *object, const struct stepd_settings *settings)
{
    if (object != NULL && manifest_add_settings(object, settings))
        return object;
    json_decref(object);
    return NULL;
}

static json_t *of_schedule(const struct stepd_group *def)
{
    json_t *const parts = json_array();
    bool added = parts != NULL;
    for (size_t i = 0; i < def->schedule_parts && added; i++) {
        const struct stepd_schedule_part *const part = &def->schedule_part[i];
        added = json_array_append_new(parts, with_settings(json_pack("{s:s}", "kind", part->kind),
                                                           &part->settings)) == 0;
    }
    json_t *const schedule =
        with_settings(json_pack("{s:s}", "kind", def->schedule), &def->schedule_settings);
    if (added && def->schedule_parts > 0)
        added = json_object_set(schedule, "schedules", parts) == 0;
    json_decref(parts);
    if (added)
        return schedule;
    json_decref(schedule);
    return NULL;
}

static json_t *of_phases(const struct stepd_group *def)
{
    json_t *const phases = json_array();
    bool added = phases != NULL;
    for (size_t i = 0; i < def->phases && added; i++) {
        const struct stepd_phase *const phase = &def->phase[i];
        json_t *const made = json_pack("{s:o, s:s}", "from", manifest_of_u64(phase->from),
                                       "optimizer", phase->optimizer);
        added = json_array_append_new(phases, with_settings(made, &phase->settings)) == 0;
    }
    if (added)
        return phases;
    json_decref(phases);
    return NULL;
}

static json_t *of_ndim(const struct stepd_group *def)
{
    json_t *const list = json_array();
    bool added = list != NULL;
    for (size_t i = 0; i < def->ndim.count && added; i++)
        added = json_array_append_new(list, json_integer(def->ndim.at[i])) == 0;
    if (added)
        return list;
    json_decref(list);
    return NULL;
}

bool manifest_add_group(json_t *object, const struct group *group, struct stepd_arena *arena)
{
    struct stepd_group def;
    if (object == NULL || definition_of_group(group, arena, &def) != STEPD_OK)
        return false;
    bool added =
        def.name[0] == '\0' || json_object_set_new(object, "name", json_string(def.name)) == 0;
    added = added && json_object_set_new(object, "match", json_string(def.match)) == 0;
    if (def.ndim.count > 0)
        added = added && json_object_set_new(object, "ndim", of_ndim(&def)) == 0;
    if (def.frozen)
        added = added && json_object_set_new(object, "frozen", json_true()) == 0;
    added = added && json_object_set_new(object, "optimizer", json_string(def.optimizer)) == 0 &&
            manifest_add_settings(object, &def.settings) &&
            json_object_set_new(object, "schedule", of_schedule(&def)) == 0;
    if (def.phases > 0)
        added = added && json_object_set_new(object, "phases", of_phases(&def)) == 0;
    return added;
}

/* ---- Settings -------------------------------------------------------------------------------- */

/* Numbers, one or a list of them. */
static bool take_values(const json_t *json, struct stepd_arena *arena,
                        struct stepd_setting *setting, struct manifest_object *object)
{
    const size_t values = json_is_array(json) ? json_array_size(json) : 1;
    if (values > STEPD_VALUES_MAX)
        return false;
    double *const value = stepd_arena_calloc(arena, values, sizeof *value);
    if (value == NULL) {
        manifest_object_no_memory(object);
        return true;
    }
    for (size_t i = 0; i < values; i++) {
        const json_t *const one = json_is_array(json) ? json_array_get(json, i) : json;
        if (!json_is_number(one))
            return false;
        value[i] = json_number_value(one);
    }
    setting->values = values;
    setting->value = value;
    return true;
}

static void take_setting(struct manifest_object *object, const char *name, const json_t *json,
                         struct stepd_arena *arena, struct stepd_setting *ret_setting)
{
    *ret_setting = (struct stepd_setting){.name = name, .word = ""};
    bool read = true;
    if (json_is_string(json)) {
        read = manifest_is_name(json, STEPD_NAME_MAX_BYTES);
        ret_setting->word = json_string_value(json);
    } else {
        read = take_values(json, arena, ret_setting, object);
    }
    if (!read)
        manifest_object_fail(object, name, "must be a number, a list of at most %u, or a word",
                             STEPD_VALUES_MAX);
}

struct stepd_settings manifest_take_settings(struct manifest_object *object,
                                             struct stepd_arena *arena)
{
    struct stepd_setting *const at = stepd_arena_calloc(arena, STEPD_SETTINGS_MAX, sizeof *at);
    struct stepd_settings settings = {.at = at};
    const json_t *value = NULL;
    if (at == NULL) {
        manifest_object_no_memory(object);
        return settings;
    }
    for (const char *name = manifest_take_rest(object, STEPD_NAME_MAX_BYTES, &value); name != NULL;
         name = manifest_take_rest(object, STEPD_NAME_MAX_BYTES, &value)) {
        if (settings.count == STEPD_SETTINGS_MAX)
            manifest_object_fail(object, name, "is a setting beyond the %u that there may be",
                                 STEPD_SETTINGS_MAX);
        else
            take_setting(object, name, value, arena, &at[settings.count++]);
    }
    return settings;
}

/* ---- Groups ---------------------------------------------------------------------------------- */

/* A list under a key, whose values become elements of so many bytes. */
struct list_key {
    const char *name;
    size_t most;
    size_t size;
    enum stepd_status (*read)(const json_t *json, struct stepd_arena *arena, void *element,
                              struct stepd_error *reterr);
};

static enum stepd_status read_part(const json_t *json, struct stepd_arena *arena, void *element,
                                   struct stepd_error *reterr)
{
    struct stepd_schedule_part *const part = element;
    struct manifest_object object;
    manifest_object_begin(&object, json, reterr);
    part->kind = manifest_take_name(&object, "kind", STEPD_NAME_MAX_BYTES);
    part->settings = manifest_take_settings(&object, arena);
    return manifest_object_end(&object);
}

static enum stepd_status read_phase(const json_t *json, struct stepd_arena *arena, void *element,
                                    struct stepd_error *reterr)
{
    struct stepd_phase *const phase = element;
    struct manifest_object object;
    manifest_object_begin(&object, json, reterr);
    phase->from = manifest_take_u64(&object, "from");
    phase->optimizer = manifest_take_name(&object, "optimizer", STEPD_NAME_MAX_BYTES);
    phase->settings = manifest_take_settings(&object, arena);
    return manifest_object_end(&object);
}

static const struct list_key schedules_key = {.name = "schedules",
                                              .most = STEPD_SCHEDULE_PARTS_MAX,
                                              .size = sizeof(struct stepd_schedule_part),
                                              .read = read_part};

static const struct list_key phases_key = {.name = "phases",
                                           .most = GROUP_PHASES_MAX,
                                           .size = sizeof(struct stepd_phase),
                                           .read = read_phase};

/* Elements in the arena; NULL: the object has failed. */
static void *take_list(struct manifest_object *object, const struct list_key *key,
                       struct stepd_arena *arena, size_t *ret_count)
{
    const json_t *const list = manifest_take_list(object, key->name, key->most);
    const size_t count = json_array_size(list);
    char *const elements = stepd_arena_calloc(arena, count, key->size);
    if (elements == NULL) {
        manifest_object_no_memory(object);
        return NULL;
    }
    for (size_t i = 0; i < count && object->status == STEPD_OK; i++) {
        object->status =
            key->read(json_array_get(list, i), arena, elements + i * key->size, object->reterr);
        if (object->status != STEPD_OK)
            (void)stepd_fail_in(object->reterr, object->status, "%s[%zu]", key->name, i);
    }
    *ret_count = count;
    return elements;
}

static enum stepd_status read_schedule(const json_t *json, struct stepd_arena *arena,
                                       struct stepd_group *def, struct stepd_error *reterr)
{
    struct manifest_object object;
    manifest_object_begin(&object, json, reterr);
    def->schedule = manifest_take_name(&object, "kind", STEPD_NAME_MAX_BYTES);
    if (manifest_object_has(&object, schedules_key.name))
        def->schedule_part = take_list(&object, &schedules_key, arena, &def->schedule_parts);
    def->schedule_settings = manifest_take_settings(&object, arena);
    return manifest_object_end(&object);
}

static void take_schedule(struct manifest_object *object, struct stepd_arena *arena,
                          struct stepd_group *def)
{
    const json_t *const json = manifest_take(object, "schedule");
    if (object->status != STEPD_OK)
        return;
    object->status = read_schedule(json, arena, def, object->reterr);
    if (object->status != STEPD_OK)
        (void)stepd_fail_in(object->reterr, object->status, "schedule");
}

static struct stepd_u32s take_ndim(struct manifest_object *object, struct stepd_arena *arena)
{
    const json_t *const list = manifest_take_list(object, "ndim", STEPD_DIMS_MAX + 1);
    const size_t count = json_array_size(list);
    uint32_t *const at = stepd_arena_calloc(arena, count, sizeof *at);
    if (at == NULL)
        manifest_object_no_memory(object);
    for (size_t i = 0; i < count && at != NULL; i++) {
        uint64_t dims = 0;
        if (!manifest_read_u64(json_array_get(list, i), &dims) || dims > STEPD_DIMS_MAX)
            manifest_object_fail(object, "ndim", "must be a list of whole numbers from 0 to %u",
                                 STEPD_DIMS_MAX);
        at[i] = (uint32_t)dims;
    }
    return (struct stepd_u32s){.count = count, .at = at};
}

struct stepd_group manifest_take_group(struct manifest_object *object, struct stepd_arena *arena)
{
    struct stepd_group def = {.name = ""};
    if (manifest_object_has(object, "name"))
        def.name = manifest_take_name(object, "name", STEPD_NAME_MAX_BYTES);
    def.match = manifest_take_name(object, "match", STEPD_NAME_MAX_BYTES);
    if (manifest_object_has(object, "ndim"))
        def.ndim = take_ndim(object, arena);
    if (manifest_object_has(object, "frozen"))
        def.frozen = manifest_take_bool(object, "frozen");
    def.optimizer = manifest_take_name(object, "optimizer", STEPD_NAME_MAX_BYTES);
    take_schedule(object, arena, &def);
    if (manifest_object_has(object, phases_key.name))
        def.phase = take_list(object, &phases_key, arena, &def.phases);
    def.settings = manifest_take_settings(object, arena);
    return def;
}
