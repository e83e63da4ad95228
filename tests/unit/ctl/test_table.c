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

static const struct table_column by_key[] = {
    {.header = "NAME", .key = "name"},
    {.header = "AGE", .key = "age"},
    {.header = "SIZE", .key = "size"},
    {.header = "NOTE", .key = "note"},
};

/* Takes the rows over; the caller frees what is returned. */
static char *print_by_key(json_t *rows, unsigned indent, unsigned width)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *const out = open_memstream(&text, &bytes);
    assert_non_null(out);
    assert_non_null(rows);
    table_print_within(out, indent, by_key, 4, rows, width);
    assert_int_equal(fclose(out), 0);
    json_decref(rows);
    return text;
}

static void table__column_without_a_function__shows_what_is_under_its_key(void **state)
{
    (void)state;
    char *const text = print_by_key(
        json_pack("[{s:s,s:i,s:f,s:s}]", "name", "Jo", "age", 7, "size", 1.25, "note", "x"), 0, 0);
    assert_string_equal(text, "NAME  AGE  SIZE  NOTE\n"
                              "Jo    7    1.25  x\n");
    free(text);
}

static void table__line_whose_last_cells_are_empty__ends_without_blanks(void **state)
{
    (void)state;
    char *const text = print_by_key(json_pack("[{s:s,s:n}]", "name", "Jo", "age"), 2, 0);
    assert_string_equal(text, "  NAME  AGE  SIZE  NOTE\n"
                              "  Jo\n");
    free(text);
}

static void table__cells_of_many_bytes__are_as_wide_as_their_characters(void **state)
{
    (void)state;
    char *const text = print_by_key(
        json_pack("[{s:s,s:i},{s:s,s:i}]", "name", "Jürgen", "age", 7, "name", "Jo", "age", 8), 0,
        0);
    assert_string_equal(text, "NAME    AGE  SIZE  NOTE\n"
                              "Jürgen  7\n"
                              "Jo      8\n");
    free(text);
}

static void table__last_cell_beyond_the_width__goes_on_below_itself(void **state)
{
    (void)state;
    char *const text = print_by_key(
        json_pack("[{s:s,s:s}]", "name", "Jo", "note", "one two three seventeen"), 0, 26);
    assert_string_equal(text, "NAME  AGE  SIZE  NOTE\n"
                              "Jo               one two\n"
                              "                 three\n"
                              "                 seventeen\n");
    free(text);
}

static void table__last_cell_within_the_width_or_of_any__is_one_line(void **state)
{
    (void)state;
    for (unsigned width = 0; width <= 28; width += 28) {
        char *const text =
            print_by_key(json_pack("[{s:s,s:s}]", "name", "Jo", "note", "one two six"), 0, width);
        assert_string_equal(text, "NAME  AGE  SIZE  NOTE\n"
                                  "Jo               one two six\n");
        free(text);
    }
}

static void table__word_beyond_the_width__stands_whole(void **state)
{
    (void)state;
    char *const text =
        print_by_key(json_pack("[{s:s,s:s}]", "name", "Jo", "note", "seventeen two"), 0, 20);
    assert_string_equal(text, "NAME  AGE  SIZE  NOTE\n"
                              "Jo               seventeen\n"
                              "                 two\n");
    free(text);
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
        cmocka_unit_test(table__column_without_a_function__shows_what_is_under_its_key),
        cmocka_unit_test(table__line_whose_last_cells_are_empty__ends_without_blanks),
        cmocka_unit_test(table__cells_of_many_bytes__are_as_wide_as_their_characters),
        cmocka_unit_test(table__last_cell_beyond_the_width__goes_on_below_itself),
        cmocka_unit_test(table__last_cell_within_the_width_or_of_any__is_one_line),
        cmocka_unit_test(table__word_beyond_the_width__stands_whole),
        cmocka_unit_test(bytes__of_any_size__have_a_fitting_unit),
        cmocka_unit_test(duration__of_any_length__has_fitting_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
