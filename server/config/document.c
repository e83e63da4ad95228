/* SPDX-License-Identifier: Apache-2.0
 *
 * Built on libyaml, the parser that libcyaml wraps, and not on libcyaml itself, which was tried
 * first. libcyaml 1.3 loads a file into C structs by a schema of fixed keys, and there a config
 * file needs more in three places: it names an unknown key but gives the line of the token before
 * it; it keeps no line of what it did accept, so "shards: 99 is above 64" could not say where; and
 * a group's hyperparameters are whatever its optimizer knows, which no fixed list of keys can hold.
 *
 * The events of libyaml come one by one, and the tree is built on an explicit stack: a file of a
 * million brackets is refused at the eleventh and never recursed into. Keys are compared with all
 * others of their map, so the number of entries is bounded too.
 *
 * Failure modes: bytes that are no UTF-8 or no YAML (libyaml's own words and its line), an anchor
 * or an alias (one line of which could stand for a million), a tag, a directive, a second document,
 * a key that is a list or stands twice, and the arena's cap. Nothing but the arena outlives a
 * failure.
 */
#include "server/config/document.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "proto/error.h"
#include "server/base/text.h"

#define SHOWN_BYTES 48u /* of a key in an error text */

/* Globs begin so, and whoever wrote one does not know that YAML means something by it. */
#define QUOTE_HINT "write the value out, or in quotes if it is a text that begins with "

/* The tree so far. open[depth - 1] is the list or map that the next node belongs to. */
struct builder {
    const char *name;
    struct stepd_arena *arena;
    struct stepd_error *reterr;
    struct document_node *root;
    struct document_node *open[DOCUMENT_DEPTH_MAX];
    size_t depth;
    size_t documents;
    const char *key; /* read, and waiting for its value */
    size_t key_line;
};

const char *document_kind_name(enum document_kind kind)
{
    switch (kind) {
    case DOCUMENT_NULL: return "nothing";
    case DOCUMENT_SCALAR: return "a plain value";
    case DOCUMENT_LIST: return "a list";
    case DOCUMENT_MAP: return "a map of keys and values";
    }
    return "unknown";
}

enum stepd_status document_fail(const char *name, size_t line, struct stepd_error *reterr,
                                const char *fmt, ...)
{
    char text[STEPD_ERROR_TEXT_BYTES];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "%s:%zu: %s", name, line, text);
}

const struct document_node *document_find(const struct document_node *map, const char *key)
{
    if (map == NULL || map->kind != DOCUMENT_MAP)
        return NULL;
    for (const struct document_node *node = map->first; node != NULL; node = node->next) {
        if (strcmp(node->key, key) == 0)
            return node;
    }
    return NULL;
}

static size_t line_of(const yaml_event_t *event)
{
    return event->start_mark.line + 1;
}

static enum stepd_status out_of_memory(const struct builder *builder)
{
    return stepd_fail(builder->reterr, STEPD_RESOURCE_EXHAUSTED,
                      "%s: too large, or no memory to read it", builder->name);
}

/* Hangs a node into what is open, under the key that waits for it. */
static enum stepd_status add(struct builder *builder, const struct document_node *wanted)
{
    struct document_node *const node = stepd_arena_alloc(builder->arena, sizeof *node);
    if (node == NULL)
        return out_of_memory(builder);
    *node = *wanted;
    node->key = builder->key;
    if (node->key != NULL)
        node->line = builder->key_line;
    builder->key = NULL;
    if (node->kind == DOCUMENT_LIST || node->kind == DOCUMENT_MAP) {
        if (builder->depth == DOCUMENT_DEPTH_MAX)
            return document_fail(builder->name, wanted->line, builder->reterr,
                                 "lists and maps stand more than %u deep", DOCUMENT_DEPTH_MAX);
        builder->open[builder->depth] = node;
    }
    if (builder->depth == 0) {
        builder->root = node;
    } else {
        struct document_node *const parent = builder->open[builder->depth - 1];
        if (++parent->count > DOCUMENT_ENTRIES_MAX)
            return document_fail(builder->name, wanted->line, builder->reterr,
                                 "more than %u entries", DOCUMENT_ENTRIES_MAX);
        if (parent->last == NULL)
            parent->first = node;
        else
            parent->last->next = node;
        parent->last = node;
    }
    if (node->kind == DOCUMENT_LIST || node->kind == DOCUMENT_MAP)
        builder->depth++;
    return STEPD_OK;
}

static bool expects_key(const struct builder *builder)
{
    return builder->depth > 0 && builder->open[builder->depth - 1]->kind == DOCUMENT_MAP &&
           builder->key == NULL;
}

static enum stepd_status take_key(struct builder *builder, const char *key, size_t line)
{
    const struct document_node *const twin = document_find(builder->open[builder->depth - 1], key);
    if (twin != NULL) {
        char shown[SHOWN_BYTES];
        (void)text_quote(key, strlen(key), shown, sizeof shown);
        return document_fail(builder->name, line, builder->reterr,
                             "key %s stands twice, first in line %zu", shown, twin->line);
    }
    builder->key = key;
    builder->key_line = line;
    return STEPD_OK;
}

static bool is_null(const yaml_event_t *event)
{
    const char *const text = (const char *)event->data.scalar.value;
    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

/* What may stand in front of a value. */
static enum stepd_status refuse_properties(const struct builder *builder, size_t line,
                                           const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (tag != NULL)
        return document_fail(builder->name, line, builder->reterr,
                             "tags (!...) are not understood here");
    if (anchor != NULL)
        return document_fail(builder->name, line, builder->reterr,
                             "anchors (&name) are not understood here: " QUOTE_HINT "&");
    return STEPD_OK;
}

static enum stepd_status on_scalar(struct builder *builder, const yaml_event_t *event)
{
    const size_t length = event->data.scalar.length;
    const char *const value = (const char *)event->data.scalar.value;
    const size_t line = line_of(event);
    if (memchr(value, '\0', length) != NULL)
        return document_fail(builder->name, line, builder->reterr, "a text contains a NUL");
    const enum stepd_status status =
        refuse_properties(builder, line, event->data.scalar.anchor, event->data.scalar.tag);
    if (status != STEPD_OK)
        return status;
    char *const text = stepd_arena_alloc(builder->arena, length + 1);
    if (text == NULL)
        return out_of_memory(builder);
    memcpy(text, value, length + 1);
    if (expects_key(builder))
        return take_key(builder, text, line);
    const bool null = is_null(event);
    return add(builder, &(struct document_node){
                            .kind = null ? DOCUMENT_NULL : DOCUMENT_SCALAR,
                            .line = line,
                            .text = null ? NULL : text,
                        });
}

static enum stepd_status on_open(struct builder *builder, const yaml_event_t *event,
                                 enum document_kind kind)
{
    const bool list = kind == DOCUMENT_LIST;
    const enum stepd_status status = refuse_properties(
        builder, line_of(event),
        list ? event->data.sequence_start.anchor : event->data.mapping_start.anchor,
        list ? event->data.sequence_start.tag : event->data.mapping_start.tag);
    if (status != STEPD_OK)
        return status;
    if (expects_key(builder))
        return document_fail(builder->name, line_of(event), builder->reterr,
                             "a key must be a plain word, not %s", document_kind_name(kind));
    return add(builder, &(struct document_node){.kind = kind, .line = line_of(event)});
}

static enum stepd_status on_event(struct builder *builder, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++builder->documents > 1)
            return document_fail(builder->name, line_of(event), builder->reterr,
                                 "a second document begins; the file must be one");
        return STEPD_OK;
    case YAML_ALIAS_EVENT:
        return document_fail(builder->name, line_of(event), builder->reterr,
                             "aliases (*name) are not understood here: " QUOTE_HINT "*");
    case YAML_SCALAR_EVENT: return on_scalar(builder, event);
    case YAML_SEQUENCE_START_EVENT: return on_open(builder, event, DOCUMENT_LIST);
    case YAML_MAPPING_START_EVENT: return on_open(builder, event, DOCUMENT_MAP);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: builder->depth--; return STEPD_OK;
    default: return STEPD_OK;
    }
}

/* The line of a byte: libyaml's reader, which runs ahead of its scanner, reports only the byte. */
static size_t line_at(const char *bytes, size_t n, size_t offset)
{
    size_t line = 1;
    for (size_t i = 0; i < n && i < offset; i++)
        line += bytes[i] == '\n';
    return line;
}

/* Does a line of libyaml's begin behind these bytes? */
static bool ends_line(const char *bytes, size_t n)
{
    static const char *const breaks[] = {"\n", "\r", "\xC2\x85", "\xE2\x80\xA8", "\xE2\x80\xA9"};
    for (size_t i = 0; i < sizeof breaks / sizeof breaks[0]; i++) {
        const size_t length = strlen(breaks[i]);
        if (n >= length && memcmp(bytes + n - length, breaks[i], length) == 0)
            return true;
    }
    return n == 0;
}

/* libyaml compares each directive with all others before it gives its first event: a file of 1 MiB
 * took 11 s. None is of use here. */
static enum stepd_status refuse_directives(const struct builder *builder, const char *bytes,
                                           size_t n)
{
    const char *at = n > 0 ? memchr(bytes, '%', n) : NULL;
    while (at != NULL) {
        const size_t offset = (size_t)(at - bytes);
        if (ends_line(bytes, offset))
            return document_fail(builder->name, line_at(bytes, n, offset), builder->reterr,
                                 "directives (lines that begin with %%) are not understood here");
        at = memchr(at + 1, '%', n - offset - 1);
    }
    return STEPD_OK;
}

static enum stepd_status on_error(const struct builder *builder, const yaml_parser_t *parser,
                                  const char *bytes, size_t n)
{
    const char *const problem = parser->problem != NULL ? parser->problem : "no YAML";
    if (parser->error == YAML_MEMORY_ERROR)
        return out_of_memory(builder);
    if (parser->error == YAML_READER_ERROR)
        return document_fail(builder->name, line_at(bytes, n, parser->problem_offset),
                             builder->reterr, "%s: the file must be UTF-8 text", problem);
    const size_t line = parser->problem_mark.line + 1;
    const char *const where = parser->context != NULL ? parser->context : "";
    const char *const space = parser->context != NULL ? ", " : "";
    if (strstr(where, "alias") != NULL)
        return document_fail(builder->name, line, builder->reterr,
                             "an alias (*name) without a name: " QUOTE_HINT "*");
    return document_fail(builder->name, line, builder->reterr, "%s%s%s", where, space, problem);
}

enum stepd_status document_parse(const char *name, const char *bytes, size_t n,
                                 struct stepd_arena *arena, const struct document_node **ret_root,
                                 struct stepd_error *reterr)
{
    struct builder builder = {.name = name, .arena = arena, .reterr = reterr};
    yaml_parser_t parser;
    /* Told the encoding, libyaml takes no UTF-16, but neither does it skip a mark in front. */
    const size_t mark = n >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    bytes += mark;
    n -= mark;
    enum stepd_status status = refuse_directives(&builder, bytes, n);
    if (status != STEPD_OK)
        return status;
    if (yaml_parser_initialize(&parser) == 0)
        return out_of_memory(&builder);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)bytes, n);

    bool more = true;
    while (status == STEPD_OK && more) {
        yaml_event_t event;
        if (yaml_parser_parse(&parser, &event) == 0) {
            status = on_error(&builder, &parser, bytes, n);
            break;
        }
        status = on_event(&builder, &event);
        more = event.type != YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (status == STEPD_OK)
        *ret_root =
            builder.root != NULL && builder.root->kind != DOCUMENT_NULL ? builder.root : NULL;
    return status;
}
