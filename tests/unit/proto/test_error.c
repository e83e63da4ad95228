/* SPDX-License-Identifier: Apache-2.0
 *
 * Error texts: what is written, where it is cut, and that a cut leaves valid UTF-8.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "proto/utf8.h"

static void fail__any_code__is_written_and_returned(void **state)
{
    (void)state;
    struct stepd_error error;
    assert_int_equal(stepd_fail(&error, STEPD_NOT_FOUND, "job '%s', rank %d", "mnist", 3),
                     STEPD_NOT_FOUND);
    assert_int_equal(error.code, STEPD_NOT_FOUND);
    assert_string_equal(error.text, "job 'mnist', rank 3");
}

static void fail__without_an_error__returns_the_code(void **state)
{
    (void)state;
    assert_int_equal(stepd_fail(NULL, STEPD_ABORTED, "%d", 1), STEPD_ABORTED);
    assert_int_equal(stepd_fail_in(NULL, STEPD_ABORTED, "%d", 1), STEPD_ABORTED);
}

static void fail__longest_text_that_fits__is_whole(void **state)
{
    (void)state;
    char text[STEPD_ERROR_TEXT_BYTES];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    struct stepd_error error;
    (void)stepd_fail(&error, STEPD_INTERNAL, "%s", text);
    assert_string_equal(error.text, text);
}

static void fail__cut_within_a_character__drops_it_whole(void **state)
{
    (void)state;
    static const char *const characters[] = {"\u00e4", "\u6f22", "\U0001F600"};
    for (size_t i = 0; i < sizeof characters / sizeof characters[0]; i++) {
        for (size_t lead = 0; lead < 8; lead++) {
            char text[2 * STEPD_ERROR_TEXT_BYTES] = "";
            memset(text, 'x', lead);
            const size_t bytes = strlen(characters[i]);
            for (size_t at = lead; at < STEPD_ERROR_TEXT_BYTES + 10; at += bytes)
                memcpy(text + at, characters[i], bytes);
            struct stepd_error error;
            (void)stepd_fail(&error, STEPD_INTERNAL, "%s", text);
            const size_t length = strlen(error.text);
            assert_true(stepd_utf8_printable((const uint8_t *)error.text, length));
            assert_in_range(length, STEPD_ERROR_TEXT_BYTES - 5, STEPD_ERROR_TEXT_BYTES - 1);
            assert_memory_equal(error.text, text, length);
        }
    }
}

static void fail_in__an_error_on_its_way_up__gets_a_prefix(void **state)
{
    (void)state;
    struct stepd_error error;
    (void)stepd_fail(&error, STEPD_NOT_FOUND, "no key 'lr'");
    assert_int_equal(stepd_fail_in(&error, STEPD_INVALID_ARGUMENT, "group %d", 2),
                     STEPD_INVALID_ARGUMENT);
    assert_int_equal(error.code, STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "group 2: no key 'lr'");
}

static void status_name__every_number__has_one(void **state)
{
    (void)state;
    assert_string_equal(stepd_status_name(STEPD_ROLLED_BACK), "ROLLED_BACK");
    assert_string_equal(stepd_status_text(STEPD_ROLLED_BACK), "rolled back");
    assert_string_equal(stepd_status_name((enum stepd_status)18), "UNKNOWN");
    assert_string_equal(stepd_status_text((enum stepd_status)18), "unknown error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fail__any_code__is_written_and_returned),
        cmocka_unit_test(fail__without_an_error__returns_the_code),
        cmocka_unit_test(fail__longest_text_that_fits__is_whole),
        cmocka_unit_test(fail__cut_within_a_character__drops_it_whole),
        cmocka_unit_test(fail_in__an_error_on_its_way_up__gets_a_prefix),
        cmocka_unit_test(status_name__every_number__has_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
