/* SPDX-License-Identifier: Apache-2.0
 *
 * What two manifests say otherwise: nothing of it is lost, and what says only when and by whom a
 * checkpoint was made is in nobody's way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "client/ctl/diff_manifest.h"

/* The rows as one text, "what: a, b" each, in the order of their finding. */
static void expect_rows(const char *a, const char *b, bool all, const char *expected)
{
    char text[1024] = "";
    json_t *const tree_a = json_loads(a, 0, NULL);
    json_t *const tree_b = json_loads(b, 0, NULL);
    struct diff_rows rows = {.list = json_array(), .all = all};
    assert_non_null(tree_a);
    assert_non_null(tree_b);
    diff_trees(tree_a, tree_b, &rows);
    for (size_t i = 0; i < json_array_size(rows.list); i++) {
        const json_t *const row = json_array_get(rows.list, i);
        json_t *const both =
            json_pack("[O, O]", json_object_get(row, "a"), json_object_get(row, "b"));
        char *const values = json_dumps(both, JSON_COMPACT);
        const size_t length = strlen(text);
        (void)snprintf(text + length, sizeof text - length, "%s%s%s", i == 0 ? "" : " ",
                       json_string_value(json_object_get(row, "what")), values);
        free(values);
        json_decref(both);
    }
    assert_string_equal(text, expected);
    json_decref(tree_a);
    json_decref(tree_b);
    json_decref(rows.list);
}

#define TRAIL(first, second, third)                                                                \
    "{\"history\":{\"trail\":[{\"group\":0,\"version\":" #first                                    \
    "},{\"group\":1,\"version\":" #second "},{\"group\":1,\"version\":" #third "}]}}"

static void trail__with_changes_of_one_group__loses_none(void **state)
{
    (void)state;
    expect_rows(TRAIL(1, 2, 3), TRAIL(1, 2, 9), false, "history.trail.2.version[3,9]");
    expect_rows(TRAIL(1, 2, 3), TRAIL(1, 8, 9), false,
                "history.trail.1.version[2,8] history.trail.2.version[3,9]");
}

static void list__with_a_name_twice__is_compared_by_place(void **state)
{
    (void)state;
    expect_rows("[{\"rank\":1,\"x\":1},{\"rank\":1,\"x\":2},{\"rank\":0,\"x\":3}]",
                "[{\"rank\":1,\"x\":4},{\"rank\":1,\"x\":5},{\"rank\":0,\"x\":6}]", false,
                "0.x[1,4] 1.x[2,5] 2.x[3,6]");
    /* Where one of them alone has names of their own, the other decides. */
    expect_rows("[{\"name\":\"1\",\"x\":1},{\"name\":\"0\",\"x\":2}]",
                "[{\"name\":\"1\",\"x\":1},{\"x\":3}]", false, "1.name[\"0\",null] 1.x[2,3]");
}

static void list__with_names__is_compared_by_name(void **state)
{
    (void)state;
    expect_rows("[{\"name\":\"a\",\"x\":1},{\"name\":\"b\",\"x\":2}]",
                "[{\"name\":\"b\",\"x\":2},{\"name\":\"a\",\"x\":3}]", false, "a.x[1,3]");
    expect_rows("[{\"group\":\"a\",\"x\":1},{\"group\":\"b\",\"x\":2}]",
                "[{\"group\":\"b\",\"x\":2}]", false, "a[{\"group\":\"a\",\"x\":1},null]");
}

static const char *const one =
    "{\"snapshot\":{\"taken_ms\":1,\"version\":3},"
    "\"members\":[{\"rank\":0,\"worker\":\"host:1\",\"loss\":0.5,\"last_clock\":3}],"
    "\"slices\":{\"by_group\":[{\"group\":\"results\",\"t\":3,"
    "\"ranks\":[{\"rank\":0,\"clock\":3,\"results\":[[1,1,\"applied\"]]}]}]}}";
static const char *const other =
    "{\"snapshot\":{\"taken_ms\":2,\"version\":4},"
    "\"members\":[{\"rank\":0,\"worker\":\"host:2\",\"loss\":0.25,\"last_clock\":4}],"
    "\"slices\":{\"by_group\":[{\"group\":\"results\",\"t\":4,"
    "\"ranks\":[{\"rank\":0,\"clock\":4,\"results\":[[2,2,\"applied\"]]}]}]}}";

static void values__of_when_and_whom__are_left_out_and_counted(void **state)
{
    (void)state;
    struct diff_rows rows = {.list = json_array()};
    json_t *const a = json_loads(one, 0, NULL), *const b = json_loads(other, 0, NULL);
    diff_trees(a, b, &rows);
    assert_int_equal(rows.left_out, 5);
    assert_int_equal(json_array_size(rows.list), 4);
    json_decref(a);
    json_decref(b);
    json_decref(rows.list);
    expect_rows(one, other, false,
                "snapshot.version[3,4] members.0.last_clock[3,4] slices.by_group.results.t[3,4] "
                "slices.by_group.results.ranks.0.clock[3,4]");
}

static void values__of_when_and_whom__are_there_where_all_are_wanted(void **state)
{
    (void)state;
    expect_rows("{\"snapshot\":{\"taken_ms\":1}}", "{\"snapshot\":{\"taken_ms\":2}}", true,
                "snapshot.taken_ms[1,2]");
}

static void member__that_one_has_alone__is_not_left_out(void **state)
{
    (void)state;
    expect_rows("{\"members\":[]}", "{\"members\":[{\"rank\":2,\"worker\":\"w\"}]}", false,
                "members.2[null,{\"rank\":2,\"worker\":\"w\"}]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trail__with_changes_of_one_group__loses_none),
        cmocka_unit_test(list__with_a_name_twice__is_compared_by_place),
        cmocka_unit_test(list__with_names__is_compared_by_name),
        cmocka_unit_test(values__of_when_and_whom__are_left_out_and_counted),
        cmocka_unit_test(values__of_when_and_whom__are_there_where_all_are_wanted),
        cmocka_unit_test(member__that_one_has_alone__is_not_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
