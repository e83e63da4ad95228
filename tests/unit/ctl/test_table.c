/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables and numbers for people.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/ctl/table.h"

static void name_cell(const json_t *row, char *text, size_t size)
{
    (void)snprintf(text, size, "%s", json_string_value(json_object_get(row, "name")));
}

static void age_cell(const json_t *row, char *text, size_t size)
{
    (void)snprintf(text, size, "%lld", (long long)json_integer_value(json_object_get(row, "age")));
}

static const struct table_column columns[] = {
    {.header = "NAME", .cell = name_cell},
    {.header = "AGE", .cell = age_cell},
};

static void assert_table(json_t *rows, const char *expected)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *const out = open_memstream(&text, &bytes);
    assert_non_null(out);
    assert_non_null(rows);
    table_print(out, 2, columns, 2, rows);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, expected);
    free(text);
    json_decref(rows);
}

static void table__with_rows__is_as_wide_as_its_cells(void **state)
{
    (void)state;
    assert_table(json_pack("[{s:s,s:i},{s:s,s:i}]", "name", "Guglielmo", "age", 7, "name", "Jo",
                           "age", 12345),
                 "  NAME       AGE\n"
                 "  Guglielmo  7\n"
                 "  Jo         12345\n");
}

static void table__without_rows__is_its_header(void **state)
{
    (void)state;
    assert_table(json_array(), "  NAME  AGE\n");
}

static void bytes__of_any_size__have_a_fitting_unit(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},
        {1023, "1023 B"},
        {1024, "1.0 KiB"},
        {1536, "1.5 KiB"},
        {3 << 20, "3.0 MiB"},
        {5ULL << 30, "5.0 GiB"},
        {1ULL << 40, "1.0 TiB"},
        {1ULL << 52, "4096.0 TiB"},
    };

    char text[32];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        table_bytes(cases[i].bytes, text, sizeof text);
        assert_string_equal(text, cases[i].text);
    }
}

static void duration__of_any_length__has_fitting_units(void **state)
{
    static const struct {
        uint64_t ms;
        const char *text;
    } cases[] = {
        {0, "0.0 s"},         {999, "0.9 s"},         {59999, "59.9 s"},
        {60000, "1 min 0 s"}, {3725000, "1 h 2 min"}, {172800000, "2 d 0 h"},
    };

    char text[32];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        table_duration(cases[i].ms, text, sizeof text);
        assert_string_equal(text, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table__with_rows__is_as_wide_as_its_cells),
        cmocka_unit_test(table__without_rows__is_its_header),
        cmocka_unit_test(bytes__of_any_size__have_a_fitting_unit),
        cmocka_unit_test(duration__of_any_length__has_fitting_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
