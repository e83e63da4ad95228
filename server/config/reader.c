/* SPDX-License-Identifier: Apache-2.0
 *
 * A map is read by a table of the keys that it knows. What is in no table may still be a setting: a
 * name with a number, a list of them or a word, since only an optimizer or a schedule knows which
 * settings it has. Those are carried as they are and checked later, by whoever knows. A setting
 * that is spelt almost like a key of the table, which does not stand in the map, was meant to be
 * that key, and is answered so.
 */
#include "server/config/reader.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/error.h"
#include "proto/utf8.h"
#include "server/base/nearest.h"
#include "server/base/text.h"
#include "server/config/config.h"
#include "server/config/value.h"

const char *reader_show(const char *text, struct reader_shown *shown)
{
    (void)text_quote(text, strlen(text), shown->text, sizeof shown->text);
    return shown->text;
}

enum stepd_status reader_fail(const struct reader *reader, size_t line, const char *fmt, ...)
{
    struct reader_shown job;
    struct reader_shown group;
    char text[STEPD_ERROR_TEXT_BYTES];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (reader->job == NULL)
        return document_fail(reader->file, line, reader->reterr, "%s", text);
    if (reader->group == NULL)
        return document_fail(reader->file, line, reader->reterr, "job %s: %s",
                             reader_show(reader->job, &job), text);
    return document_fail(reader->file, line, reader->reterr, "job %s: group %s: %s",
                         reader_show(reader->job, &job), reader_show(reader->group, &group), text);
}

enum stepd_status reader_fail_memory(const struct reader *reader)
{
    return stepd_fail(reader->reterr, STEPD_RESOURCE_EXHAUSTED,
                      "%s: too large, or no memory to read it", reader->file);
}

enum stepd_status reader_require_kind(const struct reader *reader, const struct document_node *node,
                                      enum document_kind kind)
{
    if (node->kind == kind)
        return STEPD_OK;
    struct reader_shown shown;
    const char *const what = node->key == NULL ? "an entry" : reader_show(node->key, &shown);
    return reader_fail(reader, node->line, "%s is %s and must be %s", what,
                       document_kind_name(node->kind), document_kind_name(kind));
}

enum stepd_status reader_name(const struct reader *reader, const struct document_node *node,
                              const char **ret_name)
{
    const enum stepd_status status = reader_require_kind(reader, node, DOCUMENT_SCALAR);
    if (status != STEPD_OK)
        return status;
    const size_t bytes = strlen(node->text);
    if (bytes == 0 || bytes > STEPD_NAME_MAX_BYTES ||
        !stepd_utf8_printable((const uint8_t *)node->text, bytes))
        return reader_fail(reader, node->line,
                           "%s must be 1 to %u bytes without control characters", node->key,
                           STEPD_NAME_MAX_BYTES);
    *ret_name = node->text;
    return STEPD_OK;
}

enum stepd_status reader_whole(const struct reader *reader, const struct document_node *node,
                               uint64_t least, uint64_t most, uint64_t *ret_value)
{
    struct reader_shown shown;
    uint64_t value = 0;
    const enum stepd_status status = reader_require_kind(reader, node, DOCUMENT_SCALAR);
    if (status != STEPD_OK)
        return status;
    if (!value_read_whole(node->text, &value) || value < least || value > most)
        return reader_fail(reader, node->line,
                           "%s: %s is not a whole number from %" PRIu64 " to %" PRIu64, node->key,
                           reader_show(node->text, &shown), least, most);
    *ret_value = value;
    return STEPD_OK;
}

enum stepd_status reader_whole_u32(const struct reader *reader, const struct document_node *node,
                                   uint32_t least, uint32_t most, uint32_t *ret_value)
{
    uint64_t value = 0;
    const enum stepd_status status = reader_whole(reader, node, least, most, &value);
    if (status == STEPD_OK)
        *ret_value = (uint32_t)value;
    return status;
}

enum stepd_status reader_switch(const struct reader *reader, const struct document_node *node,
                                bool *ret_value)
{
    struct reader_shown shown;
    const enum stepd_status status = reader_require_kind(reader, node, DOCUMENT_SCALAR);
    if (status != STEPD_OK || value_read_switch(node->text, ret_value))
        return status;
    return reader_fail(reader, node->line, "%s: %s is not true or false", node->key,
                       reader_show(node->text, &shown));
}

/* Searches the key of a node among the known ones. */
static void search_key(const struct document_node *node, const struct reader_keys *keys,
                       struct nearest *ret_nearest)
{
    nearest_init(ret_nearest, node->key);
    for (size_t i = 0; i < keys->count; i++)
        nearest_offer(ret_nearest, keys->at[i].name);
}

static enum stepd_status fail_unknown(const struct reader *reader, const struct document_node *node,
                                      const struct reader_keys *keys)
{
    struct reader_shown shown;
    struct nearest nearest;
    search_key(node, keys, &nearest);
    return reader_fail(reader, node->line, "unknown key %s: %s", reader_show(node->key, &shown),
                       nearest_hint(&nearest));
}

const char *reader_name_in(const struct document_node *map)
{
    const struct document_node *const node = document_find(map, "name");
    return node == NULL ? NULL : node->text;
}

/* Where a map or list belongs that stands among settings. NULL: nowhere that is known. */
static const char *place_of(const char *key)
{
    static const struct {
        const char *key;
        const char *place;
    } places[] = {
        {"schedule", "to a group or to the defaults"},
        {"schedules", "to a group's schedule that is made of others, and those are not"},
        {"phases", "to a group"},
    };

    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (strcmp(key, places[i].key) == 0)
            return places[i].place;
    }
    return NULL;
}

/* What a setting that is neither number nor word is answered with. */
static enum stepd_status fail_setting(const struct reader *reader, const struct document_node *node)
{
    struct reader_shown shown;
    if (node->kind == DOCUMENT_SCALAR)
        return reader_fail(reader, node->line, "%s: %s is not a number and not a word", node->key,
                           reader_show(node->text, &shown));
    const char *const place = place_of(node->key);
    if (place != NULL)
        return reader_fail(reader, node->line, "%s does not belong here, but %s", node->key, place);
    return reader_fail(reader, node->line,
                       "%s must be a number, a word or a list of 1 to %u numbers", node->key,
                       STEPD_VALUES_MAX);
}

static bool read_number(const struct document_node *node, double *ret_value)
{
    return node->kind == DOCUMENT_SCALAR && value_read_number(node->text, ret_value);
}

/* Names of settings, and words that are their values, look like those that optimizers and schedules
 * have. Capitals are for T_max, which PyTorch writes so. */
static bool is_word(const char *text)
{
    const size_t bytes = strlen(text);
    return bytes > 0 && bytes <= STEPD_NAME_MAX_BYTES &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == bytes;
}

/* A setting is taken for a misspelt key up to this distance. */
#define SLIP_MOST 2u

#define LONG_KEY_BYTES 6u

/* A word that is no number that was meant and not quite written, such as 0x1. */
static bool is_value_word(const struct document_node *node)
{
    return node->kind == DOCUMENT_SCALAR && is_word(node->text) &&
           (node->text[0] < '0' || node->text[0] > '9');
}

/* `worker: 4` is a slip for workers where those do not stand in the map, and so is what is one
 * letter off a long key where that does; `preset: lecture` is none for phases, nor `form: polyak`
 * for from. */
static bool is_slip(const struct document_node *node, const struct document_node *map,
                    const struct reader_keys *keys)
{
    struct nearest nearest;
    search_key(node, keys, &nearest);
    return nearest.name != NULL &&
           (document_find(map, nearest.name) == NULL
                ? nearest.distance <= SLIP_MOST
                : nearest.distance == 1 && strlen(nearest.name) >= LONG_KEY_BYTES);
}

/* A number, or a list of them. */
static enum stepd_status read_numbers(const struct reader *reader, const struct document_node *node,
                                      struct stepd_setting *ret_setting)
{
    const bool list = node->kind == DOCUMENT_LIST;
    const struct document_node *at = list ? node->first : node;
    const size_t count = list ? node->count : 1;
    if (count == 0 || count > STEPD_VALUES_MAX)
        return fail_setting(reader, node);
    double *const values = stepd_arena_calloc(reader->arena, count, sizeof *values);
    if (values == NULL)
        return reader_fail_memory(reader);
    for (size_t i = 0; i < count; i++, at = at->next) {
        if (!read_number(at, &values[i]))
            return fail_setting(reader, node);
    }
    *ret_setting = (struct stepd_setting){
        .name = node->key, .values = count, .value = values, .word = "", .list = list};
    return STEPD_OK;
}

/* Whoever knows the settings says what is wrong with one; then its line is looked for. */
static enum stepd_status note_line(const struct reader *reader, const struct document_node *node)
{
    struct config_setting_line *const at = stepd_arena_calloc(reader->arena, 1, sizeof *at);
    if (at == NULL)
        return reader_fail_memory(reader);
    *at = (struct config_setting_line){
        .next = *reader->settings, .name = node->key, .part = reader->part, .line = node->line};
    *reader->settings = at;
    return STEPD_OK;
}

static enum stepd_status read_setting(const struct reader *reader, const struct document_node *node,
                                      const struct document_node *map,
                                      const struct reader_keys *keys,
                                      struct stepd_setting *ret_setting)
{
    double number = 0.0;
    if (!is_word(node->key) || is_slip(node, map, keys))
        return fail_unknown(reader, node, keys);
    const enum stepd_status status = note_line(reader, node);
    if (status != STEPD_OK)
        return status;
    if (!is_value_word(node) || read_number(node, &number))
        return read_numbers(reader, node, ret_setting);
    *ret_setting = (struct stepd_setting){.name = node->key, .word = node->text};
    return STEPD_OK;
}

static const struct reader_key *find_key(const struct reader_keys *keys, const char *name)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (strcmp(keys->at[i].name, name) == 0)
            return &keys->at[i];
    }
    return NULL;
}

/* A map as it is read. Settings go to list, which has room; NULL: a map that has none. */
struct entries {
    const struct document_node *map;
    const struct reader_keys *keys;
    struct stepd_setting *list;
    size_t settings;
};

static enum stepd_status read_entry(const struct reader *reader, const struct document_node *node,
                                    struct entries *entries)
{
    if (entries->list == NULL)
        return fail_unknown(reader, node, entries->keys);
    if (entries->settings == STEPD_SETTINGS_MAX)
        return reader_fail(reader, node->line, "more than %u settings", STEPD_SETTINGS_MAX);
    const enum stepd_status status =
        read_setting(reader, node, entries->map, entries->keys, &entries->list[entries->settings]);
    entries->settings += status == STEPD_OK ? 1 : 0;
    return status;
}

enum stepd_status reader_map(const struct reader *reader, const struct document_node *map,
                             const struct reader_keys *keys, void *owner,
                             struct stepd_settings *settings)
{
    struct entries entries = {.map = map, .keys = keys};
    if (settings != NULL) {
        const size_t room = map->count < STEPD_SETTINGS_MAX ? map->count : STEPD_SETTINGS_MAX;
        entries.list = stepd_arena_calloc(reader->arena, room, sizeof *entries.list);
        if (entries.list == NULL)
            return reader_fail_memory(reader);
    }
    for (const struct document_node *node = map->first; node != NULL; node = node->next) {
        const struct reader_key *const key = find_key(keys, node->key);
        const enum stepd_status status =
            key != NULL ? key->read(reader, node, owner) : read_entry(reader, node, &entries);
        if (status != STEPD_OK)
            return status;
    }
    for (size_t i = 0; i < keys->count; i++) {
        if (keys->at[i].required && document_find(map, keys->at[i].name) == NULL)
            return reader_fail(reader, map->line, "the key '%s' is missing", keys->at[i].name);
    }
    if (settings != NULL)
        *settings = (struct stepd_settings){.count = entries.settings, .at = entries.list};
    return STEPD_OK;
}
