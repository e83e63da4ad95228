/* SPDX-License-Identifier: Apache-2.0
 *
 * Losses from a file.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

#include "client/ctl/losses.h"
#include "tests/unit/ctl/making.h"

static enum stepd_status read_text(const char *text, struct losses *ret_losses,
                                   struct stepd_error *reterr)
{
    char path[MAKING_PATH_BYTES];
    making_file(text, path);
    const enum stepd_status status = losses_read(path, ret_losses, reterr);
    (void)unlink(path);
    return status;
}

static void assert_refused(const char *text, const char *says)
{
    struct losses losses = {.count = 7};
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(read_text(text, &losses, &error), STEPD_FAILED_PRECONDITION);
    making_assert_holds(error.text, says);
    assert_int_equal(losses.count, 7); /* untouched */
}

static void read__numbers__are_taken_line_by_line(void **state)
{
    (void)state;
    struct losses losses = {.count = 0};
    assert_int_equal(read_text("0.5\n  1e3 \r\n\n-2\nnan\n7", &losses, NULL), STEPD_OK);
    assert_int_equal(losses.count, 5);
    assert_true(losses.at[0] == 0.5 && losses.at[1] == 1000 && losses.at[2] == -2);
    assert_true(isnan(losses.at[3]) && losses.at[4] == 7);
    losses_deinit(&losses);
}

static void read__empty_file__has_none(void **state)
{
    (void)state;
    struct losses losses = {.count = 7};
    assert_int_equal(read_text("", &losses, NULL), STEPD_OK);
    assert_int_equal(losses.count, 0);
    losses_deinit(&losses);
}

static void read__many__are_all_taken(void **state)
{
    (void)state;

    enum { COUNT = 5000 };

    char *const text = malloc(2 * COUNT + 1);
    struct losses losses = {.count = 0};
    assert_non_null(text);
    for (size_t i = 0; i < COUNT; i++)
        memcpy(text + 2 * i, i % 2 == 0 ? "1\n" : "2\n", 3);
    assert_int_equal(read_text(text, &losses, NULL), STEPD_OK);
    assert_int_equal(losses.count, COUNT);
    for (size_t i = 0; i < COUNT; i++)
        assert_true(losses.at[i] == (i % 2 == 0 ? 1 : 2));
    losses_deinit(&losses);
    free(text);
}

static void read__line_that_is_no_number__is_named(void **state)
{
    (void)state;
    assert_refused("1\n\n2 3\n", ":3: \"2 3\" is no number");
}

/* Cut where the buffer ends, it would be two numbers. */
static void read__line_too_long__is_refused(void **state)
{
    char text[400];
    (void)state;
    memset(text, '1', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_refused(text, ":1: the line is too long");
}

static void read__file_that_is_not_there__says_so(void **state)
{
    (void)state;
    struct losses losses = {.count = 0};
    struct stepd_error error;
    assert_int_equal(losses_read("/nonexistent/losses", &losses, &error),
                     STEPD_FAILED_PRECONDITION);
    assert_string_equal(error.text, "cannot read /nonexistent/losses: No such file or directory");
}

static void read__folder__says_so(void **state)
{
    (void)state;
    struct losses losses = {.count = 0};
    struct stepd_error error;
    assert_int_equal(losses_read("/", &losses, &error), STEPD_FAILED_PRECONDITION);
    assert_string_equal(error.text, "cannot read /: Is a directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read__numbers__are_taken_line_by_line),
        cmocka_unit_test(read__empty_file__has_none),
        cmocka_unit_test(read__many__are_all_taken),
        cmocka_unit_test(read__line_that_is_no_number__is_named),
        cmocka_unit_test(read__line_too_long__is_refused),
        cmocka_unit_test(read__file_that_is_not_there__says_so),
        cmocka_unit_test(read__folder__says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
