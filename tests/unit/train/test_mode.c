/* SPDX-License-Identifier: Apache-2.0
 *
 * Modes in words: what is read is what is written again, and every mistake is named.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/train/mode.h"

static struct train_mode mode;
static struct stepd_error error;

static int setup(void **state)
{
    (void)state;
    mode = (struct train_mode){.mode = STEPD_SYNC};
    return 0;
}

/* Reads a text of `length` bytes. */
static void expect_mode(const char *text, size_t length, const char *expected)
{
    char written[TRAIN_MODE_TEXT_BYTES];
    if (train_mode_read(text, length, &mode, &error) != STEPD_OK)
        fail_msg("'%s' is refused: %s", text, error.text);
    train_mode_format(&mode, written, sizeof written);
    assert_string_equal(written, expected);
}

static void train_mode_read__mode_alone__has_no_settings(void **state)
{
    (void)state;
    expect_mode("async", 5, "async");
    assert_int_equal(mode.mode, STEPD_ASYNC);
    assert_int_equal(mode.settings.count, 0);
}

static void train_mode_read__settings__follow_the_mode(void **state)
{
    static const char text[] = "  sync\tbackup=1   late=apply ";
    (void)state;
    expect_mode(text, sizeof text - 1, "sync backup=1 late=apply");
    assert_int_equal(mode.mode, STEPD_SYNC);
}

static void train_mode_read__part_of_a_list__ends_where_it_was_told(void **state)
{
    (void)state;
    expect_mode("bounded staleness=8,async", 19, "bounded staleness=8");
    expect_mode("async staleness=9", 5, "async staleness=8");
}

static void train_mode_read__what_stood_there__stays_unless_it_is_set_anew(void **state)
{
    static const char text[] = "bounded staleness=4";
    (void)state;
    assert_int_equal(params_set("staleness", 2, &mode.settings, &error), STEPD_OK);
    assert_int_equal(params_set("staleness_max", 9, &mode.settings, &error), STEPD_OK);
    expect_mode(text, sizeof text - 1, "bounded staleness=4 staleness_max=9");
}

static void train_mode_read__mistake__is_refused_and_named(void **state)
{
    static const struct {
        const char *text;
        const char *says;
    } cases[] = {
        {"", "'' is not a mode: expected sync, async or bounded"},
        {"  ", "'' is not a mode"},
        {"maybe", "'maybe' is not a mode"},
        {"synchronously_and_more", "'synchronously_and_more' is not a mode"},
        {"staleness=4", "'staleness=4' is not a mode"},
        {"bounded staleness", "'staleness': expected NAME=VALUE"},
        {"bounded staleness= staleness_max=3", "'staleness=': expected a number"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (train_mode_read(cases[i].text, strlen(cases[i].text), &mode, &error) !=
            STEPD_INVALID_ARGUMENT)
            fail_msg("'%s' is taken", cases[i].text);
        if (strstr(error.text, cases[i].says) == NULL)
            fail_msg("'%s' says: %s", cases[i].text, error.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(train_mode_read__mode_alone__has_no_settings, setup),
        cmocka_unit_test_setup(train_mode_read__settings__follow_the_mode, setup),
        cmocka_unit_test_setup(train_mode_read__part_of_a_list__ends_where_it_was_told, setup),
        cmocka_unit_test_setup(train_mode_read__what_stood_there__stays_unless_it_is_set_anew,
                               setup),
        cmocka_unit_test_setup(train_mode_read__mistake__is_refused_and_named, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
