/* SPDX-License-Identifier: Apache-2.0
 *
 * Two trees of JSON are walked at once. What stands in a list is found by its name, its rank or its
 * group where each in both lists has one of its own, so that a group that comes first in one of
 * them and second in the other is compared with itself; else by its place.
 */
#include "client/ctl/diff_manifest.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/table.h"
#include "proto/error.h"
#include "server/base/text.h"
#include "server/disk/load.h"
#include "server/persist/manifest.h"

#define PATH_BYTES 512u
#define CELL_BYTES 48u /* of a value for people; a longer one is cut */
#define ROWS_SHOWN 40u
#define DEPTH_MAX  16u /* of a manifest's nesting; what is deeper is never left out */

/* A place in both trees, on the way to a value. */
struct place {
    const struct place *above; /* NULL: the whole */
    const char *key;
};

/* ---- Walking --------------------------------------------------------------------------------- */

/* Is it what a pattern names, or within it? A star stands for any key; depth keys, from the top. */
static bool is_within(const char *const *key, size_t depth, const char *pattern)
{
    for (size_t i = 0; i < depth; i++) {
        const size_t length = strcspn(pattern, ".");
        if (pattern[0] != '*' && (strlen(key[i]) != length || memcmp(key[i], pattern, length) != 0))
            return false;
        if (pattern[length] == '\0')
            return true;
        pattern += length + 1;
    }
    return false;
}

/* What says only when and by whom a checkpoint was made: it differs between two runs that made the
 * same of the same. */
static bool is_passing(const struct place *place)
{
    static const char *const patterns[] = {
        "snapshot.incarnation",
        "snapshot.taken_ms",
        "members.*.worker",
        "members.*.session",
        "members.*.client",
        "members.*.former",
        "members.*.epoch",
        "members.*.reported_clock",
        "members.*.loss",
        "history.trail.*.at_ms",
        "history.trail.*.by",
        "slices.by_group.*.ranks.*.results",
        "slices.each.*.ranks.*.results",
    };
    const char *key[DEPTH_MAX];
    size_t depth = 0, at;
    for (const struct place *above = place; above->key != NULL; above = above->above)
        depth++;
    if (depth > DEPTH_MAX)
        return false;
    for (at = depth; at > 0; place = place->above)
        key[--at] = place->key;
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        if (is_within(key, depth, patterns[i]))
            return true;
    }
    return false;
}

static void add_row(struct diff_rows *rows, const struct place *place, const json_t *a,
                    const json_t *b)
{
    char text[PATH_BYTES] = "";
    size_t at = sizeof text - 1;
    if (!rows->all && is_passing(place)) {
        rows->left_out++;
        return;
    }
    for (; place->key != NULL; place = place->above) {
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
        rows->list, json_pack("{s:s, s:o, s:o}", "what", text + at, "a", none_a, "b", none_b));
}

/* By what an element of a list is known; NULL: by its place. The group of a change is none: there
 * may be many of one. */
static const char *name_of(const json_t *element, char *text, size_t size)
{
    const json_t *const name = json_object_get(element, "name");
    const json_t *const rank = json_object_get(element, "rank");
    if (json_is_string(name))
        return json_string_value(name);
    if (!json_is_integer(rank))
        return json_string_value(json_object_get(element, "group"));
    (void)stepd_format(text, size, "%lld", (long long)json_integer_value(rank));
    return text;
}

/* The elements of a list by their names, or by their places; NULL: they have no names, or not each
 * of its own. */
static json_t *keyed(const json_t *list, bool by_name)
{
    json_t *const object = json_object();
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *const element = json_array_get(list, i);
        char text[24];
        (void)stepd_format(text, sizeof text, "%zu", i);
        const char *const key = by_name ? name_of(element, text, sizeof text) : text;
        if (key == NULL || json_object_get(object, key) != NULL) {
            json_decref(object);
            return NULL;
        }
        (void)json_object_set(object, key, element);
    }
    return object;
}

/* As deep as a manifest is nested, which has been read and held to its form.
 * NOLINTBEGIN(misc-no-recursion) */

static void walk(struct diff_rows *rows, const struct place *place, const json_t *a,
                 const json_t *b);

static void walk_objects(struct diff_rows *rows, const struct place *place, json_t *a, json_t *b)
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

static void walk_lists(struct diff_rows *rows, const struct place *place, const json_t *a,
                       const json_t *b)
{
    json_t *by_key_a = keyed(a, /* by_name= */ true);
    json_t *by_key_b = keyed(b, /* by_name= */ true);
    if (by_key_a == NULL || by_key_b == NULL) {
        json_decref(by_key_a);
        json_decref(by_key_b);
        by_key_a = keyed(a, /* by_name= */ false);
        by_key_b = keyed(b, /* by_name= */ false);
    }
    walk_objects(rows, place, by_key_a, by_key_b);
    json_decref(by_key_a);
    json_decref(by_key_b);
}

static void walk(struct diff_rows *rows, const struct place *place, const json_t *a,
                 const json_t *b)
{
    if (a != NULL && b != NULL && json_equal(a, b))
        return;
    if (json_is_object(a) && json_is_object(b)) {
        walk_objects(rows, place, (json_t *)(uintptr_t)a, (json_t *)(uintptr_t)b);
    } else if (json_is_array(a) && json_is_array(b)) {
        walk_lists(rows, place, a, b);
    } else {
        add_row(rows, place, a, b);
    }
}

/* NOLINTEND(misc-no-recursion) */

void diff_trees(const json_t *a, const json_t *b, struct diff_rows *rows)
{
    const struct place whole = {.above = NULL};
    walk(rows, &whole, a, b);
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* The text of a manifest as it stands there, once it is known to be one. */
static enum stepd_status make_tree(const char *text, size_t length, json_t **ret_tree,
                                   struct stepd_error *reterr)
{
    static const char *const follow[] = {"version", "files", "arrays", "checksum"};
    struct manifest manifest;
    const enum stepd_status status = manifest_parse(text, length, &manifest, reterr);
    if (status != STEPD_OK)
        return status;
    manifest_deinit(&manifest);
    json_t *const tree = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
    if (tree == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "%s: no memory to read it",
                          MANIFEST_FILE);
    for (size_t i = 0; i < sizeof follow / sizeof follow[0]; i++)
        (void)json_object_del(tree, follow[i]);
    *ret_tree = tree;
    return STEPD_OK;
}

static enum stepd_status read_tree(int folder, const char *path, json_t **ret_tree,
                                   struct stepd_error *reterr)
{
    char *text = NULL;
    size_t length = 0;
    enum stepd_status status = load_manifest_text(folder, &text, &length, reterr);
    if (status == STEPD_OK)
        status = make_tree(text, length, ret_tree, reterr);
    free(text);
    return status == STEPD_OK ? STEPD_OK : stepd_fail_in(reterr, status, "%s", path);
}

enum stepd_status diff_manifests(int folder_a, const char *path_a, int folder_b, const char *path_b,
                                 struct diff_rows *rows, struct stepd_error *reterr)
{
    json_t *a = NULL, *b = NULL;
    enum stepd_status status = read_tree(folder_a, path_a, &a, reterr);
    if (status == STEPD_OK)
        status = read_tree(folder_b, path_b, &b, reterr);
    if (status == STEPD_OK)
        diff_trees(a, b, rows);
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

void diff_manifests_print(const struct diff_rows *rows)
{
    static const struct table_column columns[] = {
        {.header = "MANIFEST", .key = "what"},
        {.header = "A", .cell = a_cell},
        {.header = "B", .cell = b_cell},
    };
    const size_t count = json_array_size(rows->list);
    json_t *const shown = json_array();
    for (size_t i = 0; i < count && (rows->all || i < ROWS_SHOWN); i++)
        (void)json_array_append(shown, json_array_get(rows->list, i));
    if (count > 0)
        table_print(stdout, 0, columns, sizeof columns / sizeof columns[0], shown);
    if (count > json_array_size(shown))
        (void)printf("... and %zu more, which --all shows\n", count - json_array_size(shown));
    json_decref(shown);
    if (count > 0)
        (void)printf("%zu values of the manifests differ\n", count);
    else
        (void)printf("the manifests say the same\n");
    if (rows->left_out > 0)
        (void)printf("%zu more say only when and by whom it was made: --all shows them\n",
                     rows->left_out);
}
