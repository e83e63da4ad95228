/* SPDX-License-Identifier: Apache-2.0
 *
 * UTF-8, against a reference that decodes: every code point, and every sequence of two bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/utf8.h"

/* Encodes as the pattern of bits would have it, valid or not. */
static size_t encode(uint32_t point, size_t length, uint8_t *bytes)
{
    static const uint8_t lead[] = {0x00, 0x00, 0xC0, 0xE0, 0xF0};
    for (size_t i = length; i-- > 1; point >>= 6)
        bytes[i] = (uint8_t)(0x80u | (point & 0x3Fu));
    bytes[0] = (uint8_t)(lead[length] | point);
    return length;
}

static size_t shortest(uint32_t point)
{
    if (point < 0x80)
        return 1;
    if (point < 0x800)
        return 2;
    return point < 0x10000 ? 3 : 4;
}

static void utf8__every_code_point__passes_unless_control_or_surrogate(void **state)
{
    (void)state;
    for (uint32_t point = 0; point < 0x1FFFFF; point++) {
        uint8_t bytes[4];
        const size_t n = encode(point, shortest(point), bytes);
        const int control = point < 0x20 || (point >= 0x7F && point < 0xA0);
        const int none = (point >= 0xD800 && point < 0xE000) || point > 0x10FFFF;
        if (stepd_utf8_printable(bytes, n) != (!control && !none))
            fail_msg("code point U+%04X", point);
    }
}

static void utf8__overlong_forms__are_refused(void **state)
{
    (void)state;
    for (uint32_t point = 0; point < 0x10000; point++) {
        for (size_t length = shortest(point) + 1; length <= 4; length++) {
            uint8_t bytes[4];
            assert_false(stepd_utf8_printable(bytes, encode(point, length, bytes)));
        }
    }
}

static void utf8__cut_characters__are_refused(void **state)
{
    (void)state;
    static const uint32_t points[] = {0xE4, 0x6F22, 0x1F600};
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        uint8_t bytes[4];
        const size_t n = encode(points[i], shortest(points[i]), bytes);
        for (size_t cut = 1; cut < n; cut++) {
            assert_false(stepd_utf8_printable(bytes, cut));
            assert_false(stepd_utf8_printable(bytes + cut, n - cut));
        }
    }
}

static void utf8__bad_byte_anywhere__is_refused(void **state)
{
    (void)state;
    static const uint8_t text[] = "fc1.w\xC3\xA4ight";
    for (size_t at = 0; at < sizeof text - 1; at++) {
        uint8_t copy[sizeof text];
        for (size_t i = 0; i < sizeof text; i++)
            copy[i] = text[i];
        assert_true(stepd_utf8_printable(copy, sizeof text - 1));
        copy[at] = 0xFF;
        assert_false(stepd_utf8_printable(copy, sizeof text - 1));
    }
}

static void utf8__nothing__passes(void **state)
{
    (void)state;
    assert_true(stepd_utf8_printable(NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8__every_code_point__passes_unless_control_or_surrogate),
        cmocka_unit_test(utf8__overlong_forms__are_refused),
        cmocka_unit_test(utf8__cut_characters__are_refused),
        cmocka_unit_test(utf8__bad_byte_anywhere__is_refused),
        cmocka_unit_test(utf8__nothing__passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
