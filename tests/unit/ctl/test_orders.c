/* SPDX-License-Identifier: Apache-2.0
 *
 * What one launcher tells another, there and back; and words for a shell.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/ctl/orders.h"
#include "client/ctl/quote.h"

/* Writes bytes into a pipe, closes its end, and reads orders. *ret_left: bytes behind them. */
static enum stepd_status read_bytes(const char *bytes, size_t count, struct orders *ret_orders,
                                    size_t *ret_left, struct stepd_error *error)
{
    int ends[2];
    char left[64];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], bytes, count), count);
    assert_int_equal(close(ends[1]), 0);
    const enum stepd_status status = orders_read(ends[0], ret_orders, error);
    const ssize_t n = read(ends[0], left, sizeof left);
    assert_true(n >= 0);
    *ret_left = (size_t)n;
    assert_int_equal(close(ends[0]), 0);
    return status;
}

/* Orders with everything in them, and two letters behind them; *ret_count is without these. */
static char *encode(size_t *ret_count)
{
    static char program[] = "train", words[] = "it's two\nwords", empty[] = "";
    static char first[] = "STEPD_TOKEN=x", second[] = "ODD= =";
    static char *command[] = {program, words, empty, NULL};
    static char *setting[] = {first, second, NULL};
    const struct orders orders = {
        .first = 4, .workers = 2, .world = 8, .folder = "/home/me", .command = command};
    char *bytes = NULL;
    assert_int_equal(orders_encode(&orders, setting, &bytes, ret_count, NULL), STEPD_OK);
    char *const longer = realloc(bytes, *ret_count + 2);
    assert_non_null(longer);
    memcpy(longer + *ret_count, "TI", 2);
    return longer;
}

static void orders__there_and_back__are_the_same(void **state)
{
    size_t count, left;
    struct orders orders;
    char *const bytes = encode(&count);
    (void)state;
    assert_int_equal(read_bytes(bytes, count + 2, &orders, &left, NULL), STEPD_OK);
    assert_int_equal(left, 2);
    assert_int_equal(orders.first, 4);
    assert_int_equal(orders.workers, 2);
    assert_int_equal(orders.world, 8);
    assert_string_equal(orders.folder, "/home/me");
    assert_int_equal(orders.settings, 2);
    assert_string_equal(orders.setting[0], "STEPD_TOKEN=x");
    assert_string_equal(orders.setting[1], "ODD= =");
    assert_string_equal(orders.command[0], "train");
    assert_string_equal(orders.command[1], "it's two\nwords");
    assert_string_equal(orders.command[2], "");
    assert_null(orders.command[3]);
    orders_deinit(&orders);
    free(bytes);
}

static void orders__cut_anywhere__are_none(void **state)
{
    size_t count, left;
    char *const bytes = encode(&count);
    (void)state;
    for (size_t n = 0; n < count; n++) {
        struct orders orders;
        struct stepd_error error;
        assert_int_equal(read_bytes(bytes, n, &orders, &left, &error), STEPD_UNAVAILABLE);
        assert_non_null(strstr(error.text, "cut short"));
    }
    free(bytes);
}

/* Everything that has a byte changed is read or refused; the sanitizers look on. */
static void orders__with_any_byte_changed__are_read_or_refused(void **state)
{
    size_t count, left, refused = 0;
    char *const bytes = encode(&count);
    (void)state;
    for (size_t i = 0; i < count; i++) {
        struct orders orders;
        const char kept = bytes[i];
        bytes[i] = kept == '\0' ? '7' : '\0';
        if (read_bytes(bytes, count, &orders, &left, NULL) == STEPD_OK)
            orders_deinit(&orders);
        else
            refused++;
        bytes[i] = kept;
    }
    assert_true(refused > 20); /* the version alone */
    free(bytes);
}

static void orders__of_places_that_cannot_be__are_refused(void **state)
{
    static const char *const places[] = {"f8\0n1\0w8\0", "f7\0n2\0w8\0", "f0\0n0\0w8\0",
                                         "f0\0n1\0w9999\0", "fx\0n1\0w8\0"};
    char bytes[128];
    size_t left;
    struct stepd_error error;
    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct orders orders;
        char *at = bytes;
        memcpy(at, "stepctl-launch/1", 17);
        at += 17;
        for (size_t n = 0, strings = 0; strings < 3; n++) {
            *at++ = places[i][n];
            strings += places[i][n] == '\0';
        }
        memcpy(at, "atrue\0.", 8);
        at += 8;
        assert_int_equal(read_bytes(bytes, (size_t)(at - bytes), &orders, &left, &error),
                         STEPD_INVALID_ARGUMENT);
        assert_non_null(strstr(error.text, "no sense"));
    }
}

static void assert_quoted(const char *word, const char *quoted)
{
    char *const text = quote_word(word);
    assert_non_null(text);
    assert_string_equal(text, quoted);
    free(text);
}

static void word__for_a_shell__is_quoted_where_it_must(void **state)
{
    (void)state;
    assert_quoted("stepd-train", "stepd-train");
    assert_quoted("/opt/a+b_c:1,2@3%4.5", "/opt/a+b_c:1,2@3%4.5");
    assert_quoted("", "''");
    assert_quoted("two words", "'two words'");
    assert_quoted("it's", "'it'\\''s'");
    assert_quoted("''", "''\\'''\\'''");
    assert_quoted("$HOME`id`;\n\\", "'$HOME`id`;\n\\'");
    assert_quoted("~", "'~'");
    assert_quoted("a=b", "'a=b'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orders__there_and_back__are_the_same),
        cmocka_unit_test(orders__cut_anywhere__are_none),
        cmocka_unit_test(orders__with_any_byte_changed__are_read_or_refused),
        cmocka_unit_test(orders__of_places_that_cannot_be__are_refused),
        cmocka_unit_test(word__for_a_shell__is_quoted_where_it_must),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
