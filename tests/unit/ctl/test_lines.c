/* SPDX-License-Identifier: Apache-2.0
 *
 * Output cut into lines, whatever pieces it comes in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/ctl/lines.h"

/* What was handed on: each line in brackets, or in angles if it is to be replaced. */
struct taken {
    char text[256];
    size_t longest;
    size_t lines;
};

static void take(void *user, const char *line, size_t bytes, bool live)
{
    struct taken *const taken = user;
    const size_t at = strlen(taken->text);
    if (bytes > taken->longest)
        taken->longest = bytes;
    taken->lines++;
    if (bytes < 64)
        (void)snprintf(taken->text + at, sizeof taken->text - at, live ? "<%.*s>" : "[%.*s]",
                       (int)bytes, line);
}

/* Feeds the text in pieces of this size. */
static void assert_lines(const char *text, size_t piece, const char *expected)
{
    struct taken taken = {.lines = 0};
    struct lines lines;
    assert_true(lines_init(&lines, &taken, take));
    for (size_t at = 0; at < strlen(text); at += piece)
        lines_feed(&lines, text + at, strnlen(text + at, piece));
    lines_finish(&lines);
    lines_deinit(&lines);
    assert_string_equal(taken.text, expected);
}

static void lines__in_pieces_of_any_size__are_the_same(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 24; piece++)
        assert_lines("one\ntwo\n\nthree\n", piece, "[one][two][][three]");
}

static void last_line__without_an_end__is_handed_on_at_the_end(void **state)
{
    (void)state;
    assert_lines("one\ntwo", 3, "[one][two]");
    assert_lines("", 1, "");
}

static void carriage_return__before_a_newline__is_part_of_the_end(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 12; piece++)
        assert_lines("one\r\ntwo\r\n", piece, "[one][two]");
}

static void carriage_return__between_texts__makes_a_live_line(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 24; piece++) {
        assert_lines("10%\r20%\r30%\n", piece, "<10%><20%>[30%]");
        assert_lines("\r10%\r20%\n", piece, "<10%>[20%]");
        assert_lines("10%\r\r20%\r", piece, "<10%>[20%]");
    }
}

static void line__longer_than_the_limit__is_cut(void **state)
{
    enum { BYTES = 2 * LINES_MAX_BYTES + 10 };

    char *const text = malloc(BYTES);
    struct taken taken = {.lines = 0};
    struct lines lines;
    (void)state;
    assert_non_null(text);
    memset(text, 'x', BYTES);
    assert_true(lines_init(&lines, &taken, take));
    lines_feed(&lines, text, BYTES);
    lines_feed(&lines, "\n", 1);
    lines_deinit(&lines);
    free(text);
    assert_int_equal(taken.lines, 3);
    assert_int_equal(taken.longest, LINES_MAX_BYTES);
    assert_string_equal(taken.text, "[xxxxxxxxxx]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines__in_pieces_of_any_size__are_the_same),
        cmocka_unit_test(last_line__without_an_end__is_handed_on_at_the_end),
        cmocka_unit_test(carriage_return__before_a_newline__is_part_of_the_end),
        cmocka_unit_test(carriage_return__between_texts__makes_a_live_line),
        cmocka_unit_test(line__longer_than_the_limit__is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
