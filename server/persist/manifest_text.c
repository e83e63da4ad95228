/* SPDX-License-Identifier: Apache-2.0
 *
 * The text of a manifest as it grows, line by line. Only one line's values are in memory as JSON at
 * a time: a job of many slices takes no more than the text itself.
 */
#include <stdlib.h>
#include <string.h>

#include "server/persist/manifest.h"
#include "server/persist/manifest_json.h"

enum { ROOM_LEAST = 4096 };

/* False: there is no room for n bytes and a NUL. */
static bool make_room(struct manifest_text *text, size_t n)
{
    if (text->length + n > MANIFEST_MAX_BYTES) {
        text->full = true;
        return false;
    }
    size_t room = text->room > 0 ? text->room : ROOM_LEAST;
    while (room <= text->length + n)
        room *= 2;
    if (room == text->room)
        return true;
    char *const at = realloc(text->at, room);
    if (at == NULL)
        return false;
    text->at = at;
    text->room = room;
    return true;
}

void manifest_text_put(struct manifest_text *text, const char *bytes, size_t n)
{
    text->failed = text->failed || !make_room(text, n);
    if (text->failed)
        return;
    memcpy(text->at + text->length, bytes, n);
    text->length += n;
    text->at[text->length] = '\0';
}

static int put_piece(const char *bytes, size_t n, void *owner)
{
    struct manifest_text *const text = owner;
    manifest_text_put(text, bytes, n);
    return text->failed ? -1 : 0;
}

static void put_json(struct manifest_text *text, const json_t *value)
{
    const size_t flags = JSON_ENCODE_ANY | JSON_REAL_PRECISION(17);
    text->failed = text->failed || json_dump_callback(value, put_piece, text, flags) != 0;
}

static void put_line(struct manifest_text *text, const char *key)
{
    if (text->inside)
        manifest_text_put(text, ",", 1);
    if (text->length > 0)
        manifest_text_put(text, "\n", 1);
    for (unsigned i = 0; i < text->depth; i++)
        manifest_text_put(text, "  ", 2);
    if (key != NULL) {
        json_t *const name = json_string(key);
        put_json(text, name);
        json_decref(name);
        manifest_text_put(text, ": ", 2);
    }
    text->inside = true;
}

void manifest_text_open(struct manifest_text *text, const char *key, char bracket)
{
    put_line(text, key);
    manifest_text_put(text, &bracket, 1);
    text->depth++;
    text->inside = false;
}

void manifest_text_close(struct manifest_text *text, char bracket)
{
    const bool inside = text->inside;
    text->depth--;
    text->inside = false;
    if (inside)
        put_line(text, /* key= */ NULL);
    manifest_text_put(text, &bracket, 1);
    text->inside = true;
}

void manifest_text_value(struct manifest_text *text, const char *key, json_t *value)
{
    put_line(text, key);
    put_json(text, value);
    json_decref(value);
}

void manifest_text_pairs(struct manifest_text *text, json_t *object)
{
    const char *key = NULL;
    json_t *value = NULL;
    text->failed = text->failed || object == NULL;
    json_object_foreach(object, key, value)
    {
        manifest_text_value(text, key, json_incref(value));
    }
    json_decref(object);
}
