/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines of one kind: the first are written, the rest are counted and told of once.
 */
#include "server/base/log_limit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/base/limit.h"

enum {
    BEGIN_MS = 1000,
    LEFT_OUT = 32,
};

static void log_limit__first_few__are_allowed(void **state)
{
    struct log_limit limit = {.event = "x"};
    (void)state;
    for (size_t i = 0; i < LOG_LIMIT_LINES; i++)
        assert_true(log_limit_allows(&limit, BEGIN_MS));
    assert_false(log_limit_allows(&limit, BEGIN_MS + LOG_LIMIT_MS - 1));
}

/* What the log says at the end of a stretch in which so many lines were left out; caller frees. */
static char *summary(size_t left_out)
{
    static char *text;
    static size_t bytes;
    struct log log;
    struct log_limit limit = {.event = "login_refused"};
    FILE *const stream = open_memstream(&text, &bytes);
    assert_non_null(stream);
    log_init(&log, stream, LOG_INFO);
    for (size_t i = 0; i < LOG_LIMIT_LINES + left_out; i++)
        (void)log_limit_allows(&limit, BEGIN_MS);
    log_limit_tick(&limit, &log, BEGIN_MS + LOG_LIMIT_MS - 1);
    assert_int_equal(fflush(stream), 0);
    assert_int_equal(bytes, 0);
    log_limit_tick(&limit, &log, BEGIN_MS + LOG_LIMIT_MS);
    log_limit_tick(&limit, &log, BEGIN_MS + 2 * LOG_LIMIT_MS);
    assert_true(log_limit_allows(&limit, BEGIN_MS + 2 * LOG_LIMIT_MS));
    assert_int_equal(fclose(stream), 0);
    return text;
}

static void log_limit__others__are_told_of_once_when_the_stretch_is_over(void **state)
{
    (void)state;
    char *const text = summary(LEFT_OUT);
    const char *const line =
        strstr(text, "event=lines_left_out of=login_refused count=32 seconds=10\n");
    assert_non_null(line);
    assert_int_equal(strchr(text, '\n')[1], '\0'); /* the only one */
    free(text);
}

static void log_limit__none_left_out__says_nothing(void **state)
{
    (void)state;
    char *const text = summary(0);
    assert_string_equal(text, "");
    free(text);
}

static void limit__without_counters__counts_nothing(void **state)
{
    (void)state;
    limit_refused(NULL, LIMIT_JOBS);
    limit_set(NULL, LIMIT_JOBS, 1);
    assert_string_equal(limit_key(LIMIT_JOBS), "jobs_max");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_limit__first_few__are_allowed),
        cmocka_unit_test(log_limit__others__are_told_of_once_when_the_stretch_is_over),
        cmocka_unit_test(log_limit__none_left_out__says_nothing),
        cmocka_unit_test(limit__without_counters__counts_nothing),
    };
    return cmocka_run_group_tests_name("log_limit", tests, NULL, NULL);
}
