/* SPDX-License-Identifier: Apache-2.0
 *
 * `init_from: PATH`, or `init_from: {file: PATH, match: GLOB or [GLOB, ...], ...}`.
 */
#include "server/config/init_from.h"

#include <string.h>

#include "proto/utf8.h"
#include "server/config/value.h"

static enum stepd_status read_text(const struct reader *reader, const struct document_node *node,
                                   size_t most, const char **ret_text)
{
    const enum stepd_status status = reader_require_kind(reader, node, DOCUMENT_SCALAR);
    if (status != STEPD_OK)
        return status;
    const size_t bytes = strlen(node->text);
    if (bytes == 0 || bytes > most || !stepd_utf8_printable((const uint8_t *)node->text, bytes))
        return reader_fail(reader, node->line,
                           "%s must be 1 to %zu bytes without control characters",
                           node->key == NULL ? "a glob" : node->key, most);
    *ret_text = node->text;
    return STEPD_OK;
}

static enum stepd_status read_file(const struct reader *reader, const struct document_node *node,
                                   void *owner)
{
    struct config_init_from *const init_from = owner;
    return read_text(reader, node, VALUE_PATH_MAX_BYTES, &init_from->file);
}

/* One glob, or a list of them. */
static enum stepd_status read_globs(const struct reader *reader, const struct document_node *node,
                                    struct naming_globs *ret_globs)
{
    const bool list = node->kind == DOCUMENT_LIST;
    const size_t count = list ? node->count : 1;
    const struct document_node *at = list ? node->first : node;
    if (count == 0)
        return reader_fail(reader, node->line, "%s has no glob; give one, or leave the key out",
                           node->key);
    const char **const globs = stepd_arena_calloc(reader->arena, count, sizeof *globs);
    if (globs == NULL)
        return reader_fail_memory(reader);
    for (size_t i = 0; i < count; i++, at = at->next) {
        const enum stepd_status status = read_text(reader, at, STEPD_NAME_MAX_BYTES, &globs[i]);
        if (status != STEPD_OK)
            return status;
    }
    *ret_globs = (struct naming_globs){.count = count, .at = globs};
    return STEPD_OK;
}

static enum stepd_status read_match(const struct reader *reader, const struct document_node *node,
                                    void *owner)
{
    struct config_init_from *const init_from = owner;
    return read_globs(reader, node, &init_from->naming.match);
}

static enum stepd_status read_except(const struct reader *reader, const struct document_node *node,
                                     void *owner)
{
    struct config_init_from *const init_from = owner;
    return read_globs(reader, node, &init_from->naming.except);
}

static enum stepd_status read_remove_prefix(const struct reader *reader,
                                            const struct document_node *node, void *owner)
{
    struct config_init_from *const init_from = owner;
    return read_text(reader, node, STEPD_NAME_MAX_BYTES, &init_from->naming.remove_prefix);
}

static enum stepd_status read_add_prefix(const struct reader *reader,
                                         const struct document_node *node, void *owner)
{
    struct config_init_from *const init_from = owner;
    return read_text(reader, node, STEPD_NAME_MAX_BYTES, &init_from->naming.add_prefix);
}

static const struct reader_key keys[] = {
    {.name = "file", .required = true, .read = read_file},
    {.name = "match", .required = false, .read = read_match},
    {.name = "except", .required = false, .read = read_except},
    {.name = "remove_prefix", .required = false, .read = read_remove_prefix},
    {.name = "add_prefix", .required = false, .read = read_add_prefix},
};

const struct reader_keys init_from_keys = {.count = sizeof keys / sizeof keys[0], .at = keys};

enum stepd_status init_from_read(const struct reader *reader, const struct document_node *node,
                                 struct config_init_from *ret_init_from)
{
    ret_init_from->line = node->line;
    if (node->kind == DOCUMENT_SCALAR)
        return read_file(reader, node, ret_init_from);
    const enum stepd_status status = reader_require_kind(reader, node, DOCUMENT_MAP);
    if (status != STEPD_OK)
        return status;
    return reader_map(reader, node, &init_from_keys, ret_init_from, /* settings= */ NULL);
}

/* ---- Comparing ------------------------------------------------------------------------------- */

static bool same_globs(const struct naming_globs *a, const struct naming_globs *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; i < a->count && same; i++)
        same = strcmp(a->at[i], b->at[i]) == 0;
    return same;
}

bool config_same_init_from(const struct config_init_from *a, const struct config_init_from *b)
{
    return strcmp(a->file, b->file) == 0 && same_globs(&a->naming.match, &b->naming.match) &&
           same_globs(&a->naming.except, &b->naming.except) &&
           strcmp(a->naming.remove_prefix, b->naming.remove_prefix) == 0 &&
           strcmp(a->naming.add_prefix, b->naming.add_prefix) == 0;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static void write_globs(const struct naming_globs *globs, const char *key, FILE *stream)
{
    for (size_t i = 0; i < globs->count; i++) {
        (void)(i == 0 ? fprintf(stream, "      %s: [", key) : fputs(", ", stream));
        value_write_text(globs->at[i], stream);
    }
    (void)fputs(globs->count > 0 ? "]\n" : "", stream);
}

static void write_text(const char *text, const char *key, FILE *stream)
{
    if (text[0] == '\0')
        return;
    (void)fprintf(stream, "      %s: ", key);
    value_write_text(text, stream);
    (void)fputc('\n', stream);
}

void init_from_write(const struct config_init_from *init_from, FILE *stream)
{
    if (init_from->file[0] == '\0')
        return;
    (void)fputs("    init_from:\n", stream);
    write_text(init_from->file, "file", stream);
    write_globs(&init_from->naming.match, "match", stream);
    write_globs(&init_from->naming.except, "except", stream);
    write_text(init_from->naming.remove_prefix, "remove_prefix", stream);
    write_text(init_from->naming.add_prefix, "add_prefix", stream);
}
