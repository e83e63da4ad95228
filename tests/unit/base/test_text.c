/* SPDX-License-Identifier: Apache-2.0
 *
 * Quoting: what stands for itself, what is escaped, and where a long text is cut.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/base/text.h"

static void quote__any_bytes__come_out_harmless(void **state)
{
    (void)state;

    static const struct {
        const char *text;
        const char *quoted;
    } rows[] = {
        {"", "\"\""},
        {"worker 3", "\"worker 3\""},
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"a\nb\tc\rd", "\"a\\nb\\tc\\x0dd\""},
        {"\x1B[2J\x7F", "\"\\x1b[2J\\x7f\""},
        {"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80", "\"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80\""},
        {"\xC2\x85", "\"\\xc2\\x85\""},          /* a C1 control */
        {"\xC0\x80", "\"\\xc0\\x80\""},          /* overlong */
        {"\xED\xA0\x80", "\"\\xed\\xa0\\x80\""}, /* a surrogate */
        {"a\xE2\x82", "\"a\\xe2\\x82\""},        /* cut off */
        {"\xFF\xC3\xA4", "\"\\xff\xC3\xA4\""},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char quoted[64];
        const size_t n = text_quote(rows[i].text, strlen(rows[i].text), quoted, sizeof quoted);
        assert_string_equal(quoted, rows[i].quoted);
        assert_int_equal(n, strlen(rows[i].quoted));
    }
}

static void quote__nul_within__is_escaped(void **state)
{
    (void)state;
    char quoted[16];
    (void)text_quote("a\0b", 3, quoted, sizeof quoted);
    assert_string_equal(quoted, "\"a\\x00b\"");
}

static void quote__worst_text__fits_the_stated_buffer(void **state)
{
    (void)state;
    char quoted[TEXT_QUOTED_BYTES(4)];
    assert_int_equal(text_quote("\x01\x02\x03\x04", 4, quoted, sizeof quoted), sizeof quoted - 1);
    assert_string_equal(quoted, "\"\\x01\\x02\\x03\\x04\"");
}

static void quote__too_long__is_cut_at_a_character(void **state)
{
    (void)state;
    char quoted[16];
    (void)text_quote("abcdefghijklm", 13, quoted, sizeof quoted);
    assert_string_equal(quoted, "\"abcdefghijklm\"");
    (void)text_quote("abcdefghijklmn", 14, quoted, sizeof quoted);
    assert_string_equal(quoted, "\"abcdefghij...\"");
    (void)text_quote("abcdefghi\xC3\xA4klmn", 15, quoted, sizeof quoted);
    assert_string_equal(quoted, "\"abcdefghi...\"");
    (void)text_quote("abcdefgh\nklmnop", 15, quoted, sizeof quoted);
    assert_string_equal(quoted, "\"abcdefgh\\n...\"");
}

static void quote__least_buffer__holds_the_dots(void **state)
{
    (void)state;
    char quoted[TEXT_QUOTED_LEAST_BYTES];
    (void)text_quote("abcd", 4, quoted, sizeof quoted);
    assert_string_equal(quoted, "\"...\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quote__any_bytes__come_out_harmless),
        cmocka_unit_test(quote__nul_within__is_escaped),
        cmocka_unit_test(quote__worst_text__fits_the_stated_buffer),
        cmocka_unit_test(quote__too_long__is_cut_at_a_character),
        cmocka_unit_test(quote__least_buffer__holds_the_dots),
    };
    return cmocka_run_group_tests_name("base_text", tests, NULL, NULL);
}
