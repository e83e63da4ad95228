/* SPDX-License-Identifier: Apache-2.0
 *
 * Two trees of JSON are walked at once. What stands in a list is found by its name, its rank or its
 * group where it has one, so that a group that comes first in one of them and second in the other
 * is compared with itself; else by its place.
 */
#include "client/ctl/diff_manifest.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/ctl/table.h"
#include "proto/error.h"
#include "server/base/text.h"
#include "server/disk/load.h"

#define PATH_BYTES 512u
#define CELL_BYTES 48u /* of a value for people; a longer one is cut */
#define ROWS_SHOWN 40u

/* A place in both trees, on the way to a value. */
struct place {
    const struct place *above; /* NULL: the whole */
    const char *key;
};

/* ---- Walking --------------------------------------------------------------------------------- */

static void add_row(json_t *rows, const struct place *place, const json_t *a, const json_t *b)
{
    char text[PATH_BYTES] = "";
    size_t at = sizeof text - 1;
    for (; place != NULL && place->key != NULL; place = place->above) {
        const size_t length = strlen(place->key);
        const bool inner = at < sizeof text - 1;
        if (length + inner > at)
            break;
        if (inner)
            text[--at] = '.';
        at -= length;
        memcpy(text + at, place->key, length);
    }
    json_t *const none_a = a == NULL ? json_null() : json_incref((json_t *)(uintptr_t)a);
    json_t *const none_b = b == NULL ? json_null() : json_incref((json_t *)(uintptr_t)b);
    (void)json_array_append_new(
        rows, json_pack("{s:s, s:o, s:o}", "what", text + at, "a", none_a, "b", none_b));
}

/* By what an element of a list is known; NULL: by its place. */
static const char *name_of(const json_t *element, char *text, size_t size)
{
    static const char *const keys[] = {"name", "rank", "group"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const json_t *const name = json_object_get(element, keys[i]);
        if (json_is_string(name))
            return json_string_value(name);
        if (json_is_integer(name)) {
            (void)stepd_format(text, size, "%lld", (long long)json_integer_value(name));
            return text;
        }
    }
    return NULL;
}

static json_t *keyed(const json_t *list)
{
    json_t *const object = json_object();
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *const element = json_array_get(list, i);
        char text[24];
        const char *name = name_of(element, text, sizeof text);
        if (name == NULL || json_object_get(object, name) != NULL) {
            (void)stepd_format(text, sizeof text, "%zu", i);
            name = text;
        }
        (void)json_object_set(object, name, element);
    }
    return object;
}

/* As deep as a manifest is nested, which has been read and held to its form.
 * NOLINTBEGIN(misc-no-recursion) */

static void walk(json_t *rows, const struct place *place, const json_t *a, const json_t *b);

static void walk_objects(json_t *rows, const struct place *place, json_t *a, json_t *b)
{
    const char *key;
    json_t *value;
    json_object_foreach(a, key, value)
    {
        const struct place inner = {.above = place, .key = key};
        walk(rows, &inner, value, json_object_get(b, key));
    }
    json_object_foreach(b, key, value)
    {
        const struct place inner = {.above = place, .key = key};
        if (json_object_get(a, key) == NULL)
            walk(rows, &inner, NULL, value);
    }
}

static void walk(json_t *rows, const struct place *place, const json_t *a, const json_t *b)
{
    if (a != NULL && b != NULL && json_equal(a, b))
        return;
    if (json_is_object(a) && json_is_object(b)) {
        walk_objects(rows, place, (json_t *)(uintptr_t)a, (json_t *)(uintptr_t)b);
    } else if (json_is_array(a) && json_is_array(b)) {
        json_t *const by_key_a = keyed(a);
        json_t *const by_key_b = keyed(b);
        walk_objects(rows, place, by_key_a, by_key_b);
        json_decref(by_key_a);
        json_decref(by_key_b);
    } else {
        add_row(rows, place, a, b);
    }
}

/* NOLINTEND(misc-no-recursion) */

/* ---- Reading --------------------------------------------------------------------------------- */

/* The manifest as it stands in its file, once it is known to be one. */
static enum stepd_status read_tree(int folder, const char *path, json_t **ret_tree,
                                   struct stepd_error *reterr)
{
    struct manifest manifest;
    const enum stepd_status status = load_manifest(folder, &manifest, reterr);
    if (status != STEPD_OK)
        return stepd_fail_in(reterr, status, "%s", path);
    manifest_deinit(&manifest);
    const int file = openat(folder, MANIFEST_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    json_t *const tree = file < 0 ? NULL : json_loadfd(file, JSON_REJECT_DUPLICATES, NULL);
    if (file >= 0)
        (void)close(file);
    if (tree == NULL)
        return stepd_fail(reterr, STEPD_UNAVAILABLE, "%s/%s: it has changed while it was read",
                          path, MANIFEST_FILE);
    static const char *const follow[] = {"files", "arrays", "checksum"};
    for (size_t i = 0; i < sizeof follow / sizeof follow[0]; i++)
        (void)json_object_del(tree, follow[i]);
    *ret_tree = tree;
    return STEPD_OK;
}

enum stepd_status diff_manifests(int folder_a, const char *path_a, int folder_b, const char *path_b,
                                 json_t *rows, struct stepd_error *reterr)
{
    json_t *a = NULL, *b = NULL;
    enum stepd_status status = read_tree(folder_a, path_a, &a, reterr);
    if (status == STEPD_OK)
        status = read_tree(folder_b, path_b, &b, reterr);
    if (status == STEPD_OK) {
        const struct place whole = {.above = NULL};
        walk(rows, &whole, a, b);
    }
    json_decref(a);
    json_decref(b);
    return status;
}

/* ---- Printing -------------------------------------------------------------------------------- */

static void value_cell(const json_t *row, const char *key, char *text, size_t size)
{
    char *const dumped =
        json_dumps(json_object_get(row, key),
                   JSON_COMPACT | JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(9));
    const size_t most = size < CELL_BYTES ? size : CELL_BYTES;
    if (dumped == NULL)
        (void)stepd_format(text, size, "?");
    else if (strlen(dumped) < most)
        (void)stepd_format(text, size, "%s", dumped);
    else
        (void)stepd_format(text, size, "%.*s...", (int)most - 4, dumped);
    free(dumped);
}

static void a_cell(const json_t *row, char *text, size_t size)
{
    value_cell(row, "a", text, size);
}

static void b_cell(const json_t *row, char *text, size_t size)
{
    value_cell(row, "b", text, size);
}

void diff_manifests_print(const json_t *rows)
{
    static const struct table_column columns[] = {
        {.header = "MANIFEST", .key = "what"},
        {.header = "A", .cell = a_cell},
        {.header = "B", .cell = b_cell},
    };
    const size_t count = json_array_size(rows);
    if (count == 0) {
        (void)printf("the manifests say the same\n");
        return;
    }
    json_t *const shown = json_array();
    for (size_t i = 0; i < count && i < ROWS_SHOWN; i++)
        (void)json_array_append(shown, json_array_get(rows, i));
    table_print(stdout, 0, columns, sizeof columns / sizeof columns[0], shown);
    json_decref(shown);
    if (count > ROWS_SHOWN)
        (void)printf("... and %zu more, which --json shows\n", count - ROWS_SHOWN);
    (void)printf("%zu values of the manifests differ\n", count);
}
