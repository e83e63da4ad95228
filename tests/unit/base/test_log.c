/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines of the log: their shape, their quoting, their bounds, and that threads do not mix them.
 */
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/base/log.h"

#define THREADS 4u
#define EVENTS  500u

/* A log that writes into memory. */
struct capture {
    struct log log;
    FILE *stream;
    char *text;
    size_t bytes;
};

static void capture_begin(struct capture *capture, enum log_level least)
{
    *capture = (struct capture){.text = NULL};
    capture->stream = open_memstream(&capture->text, &capture->bytes);
    assert_non_null(capture->stream);
    log_init(&capture->log, capture->stream, least);
}

/* Ends the capture and compares what stands behind the time of its only line. */
static void assert_line(struct capture *capture, const char *wanted)
{
    assert_int_equal(fclose(capture->stream), 0);
    const char *const fields = strchr(capture->text, ' ');
    assert_non_null(fields);
    assert_string_equal(fields + 1, wanted);
    free(capture->text);
}

static void event__with_fields__is_one_line_of_logfmt(void **state)
{
    (void)state;
    struct capture capture;
    capture_begin(&capture, LOG_INFO);
    log_event(&capture.log, LOG_INFO, "ready", "listen=%s shards=%u mode=sync", "[::1]:7070", 2u);
    assert_line(&capture, "level=info event=ready listen=[::1]:7070 shards=2 mode=sync\n");
}

static void event__without_fields__is_a_line(void **state)
{
    (void)state;
    struct capture capture;
    capture_begin(&capture, LOG_DEBUG);
    log_event(&capture.log, LOG_ERROR, "drained", NULL);
    assert_line(&capture, "level=error event=drained\n");
}

static void event__any__begins_with_the_time_in_utc(void **state)
{
    (void)state;
    static const char shape[] = "ts=0000-00-00T00:00:00.000Z level=warn event=x\n";
    struct capture capture;
    capture_begin(&capture, LOG_INFO);
    log_event(&capture.log, LOG_WARN, "x", NULL);
    assert_int_equal(fclose(capture.stream), 0);
    assert_int_equal(capture.bytes, sizeof shape - 1);
    for (size_t i = 0; i < capture.bytes; i++) {
        if (shape[i] == '0')
            assert_in_range(capture.text[i], '0', '9');
        else
            assert_int_equal(capture.text[i], shape[i]);
    }
    free(capture.text);
}

static void event__below_the_level_or_without_a_log__is_not_written(void **state)
{
    (void)state;
    struct capture capture;
    capture_begin(&capture, LOG_WARN);
    log_event(&capture.log, LOG_DEBUG, "x", NULL);
    log_event(&capture.log, LOG_INFO, "x", NULL);
    log_event(NULL, LOG_ERROR, "x", NULL);
    assert_int_equal(fclose(capture.stream), 0);
    assert_int_equal(capture.bytes, 0);
    free(capture.text);
}

static void event__every_conversion__is_written_as_printf_would(void **state)
{
    (void)state;
    struct capture capture;
    capture_begin(&capture, LOG_INFO);
    log_event(&capture.log, LOG_INFO, "x", "a=%d b=%ld c=%lld d=%zd f=%i", -1, -2L, LLONG_MIN,
              (ssize_t)-4, INT32_MIN);
    assert_line(&capture, "level=info event=x a=-1 b=-2 c=-9223372036854775808 d=-4 "
                          "f=-2147483648\n");
    capture_begin(&capture, LOG_INFO);
    log_event(&capture.log, LOG_INFO, "x", "a=%u b=%lu c=%llu d=%zu f=%x g=%" PRIu64, UINT32_MAX,
              2UL, 3ULL, SIZE_MAX, 255u, UINT64_MAX);
    assert_line(&capture, "level=info event=x a=4294967295 b=2 c=3 d=18446744073709551615 f=ff "
                          "g=18446744073709551615\n");
    capture_begin(&capture, LOG_INFO);
    log_event(&capture.log, LOG_INFO, "x", "a=%g b=%.3f c=%.2e d=%.*g e=%.2s f=%.*s", 0.5, 1.0 / 3,
              1e-10, 3, 1234.5, "abc", 1, "xyz");
    assert_line(&capture, "level=info event=x a=0.5 b=0.333 c=1.00e-10 d=1.23e+03 e=ab f=x\n");
}

static void event__value_of_a_peer__cannot_leave_its_field(void **state)
{
    const char *const absent = *state; /* NULL, which the compiler must not see */
    struct capture capture;
    capture_begin(&capture, LOG_INFO);
    log_event(&capture.log, LOG_INFO, "x", "a=%s b=%s c=%s d=%s e=%s f=%s g=%s", "two words", "",
              "k=v", "q\"\\", "l\nlevel=error", "\x1B[2J", absent);
    assert_line(&capture, "level=info event=x a=\"two words\" b=\"\" c=\"k=v\" d=\"q\\\"\\\\\" "
                          "e=\"l\\nlevel=error\" f=\"\\x1b[2J\" g=null\n");
}

static void event__long_value__is_cut_and_closed(void **state)
{
    (void)state;
    char value[2 * LOG_VALUE_MAX_BYTES];
    char wanted[2 * LOG_VALUE_MAX_BYTES];
    struct capture capture;
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    const int kept = (int)LOG_VALUE_MAX_BYTES - 6; /* quotes, dots and the NUL */
    (void)snprintf(wanted, sizeof wanted, "level=info event=x a=\"%.*s...\" b=1\n", kept, value);
    capture_begin(&capture, LOG_INFO);
    log_event(&capture.log, LOG_INFO, "x", "a=%s b=%d", value, 1);
    assert_line(&capture, wanted);
}

static void event__long_line__leaves_whole_fields_out_and_says_so(void **state)
{
    (void)state;
    char value[500];
    struct capture capture;
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    capture_begin(&capture, LOG_INFO);
    log_event(&capture.log, LOG_INFO, "x", "a=%s b=%s c=%s d=%s e=%s f=%s", value, value, value,
              value, value, "short");
    assert_int_equal(fclose(capture.stream), 0);
    assert_in_range(capture.bytes, 1, LOG_LINE_MAX_BYTES);
    assert_string_equal(capture.text + capture.bytes - strlen("vv cut=true\n"), "vv cut=true\n");
    assert_null(strstr(capture.text, " e="));
    assert_null(strstr(capture.text, " f="));
    free(capture.text);
}

static void event__line_of_every_length__is_never_too_long(void **state)
{
    (void)state;
    char value[LOG_VALUE_MAX_BYTES];
    memset(value, 'v', sizeof value);
    for (int n = 0; n < (int)sizeof value; n++) {
        struct capture capture;
        capture_begin(&capture, LOG_INFO);
        log_event(&capture.log, LOG_INFO, "x", "a=%.*s b=%.*s c=%.*s d=%.*s e=1", 500, value, 500,
                  value, 500, value, n, value);
        assert_int_equal(fclose(capture.stream), 0);
        assert_in_range(capture.bytes, 1, LOG_LINE_MAX_BYTES);
        assert_int_equal(capture.text[capture.bytes - 1], '\n');
        free(capture.text);
    }
}

static void facts__given__stand_in_the_line_as_they_are(void **state)
{
    (void)state;
    struct capture capture;
    capture_begin(&capture, LOG_INFO);
    log_facts(&capture.log, LOG_DEBUG, "y", "job=mnist");
    log_facts(NULL, LOG_ERROR, "y", "job=mnist");
    log_facts(&capture.log, LOG_INFO, "x", "job=\"a b\" rank=3");
    assert_line(&capture, "level=info event=x job=\"a b\" rank=3\n");
}

static void facts__too_long__are_left_out_and_the_line_says_so(void **state)
{
    (void)state;
    static char facts[LOG_LINE_MAX_BYTES];
    struct capture capture;
    (void)snprintf(facts, sizeof facts, "a=%0*d", (int)sizeof facts - 3, 0);
    capture_begin(&capture, LOG_INFO);
    log_facts(&capture.log, LOG_INFO, "x", facts);
    assert_line(&capture, "level=info event=x cut=true\n");
}

static void *write_events(void *argument)
{
    const struct log *const log = argument;
    for (unsigned i = 0; i < EVENTS; i++)
        log_event(log, LOG_INFO, "x", "i=%u text=%s", i, "some words to write");
    return NULL;
}

static void event__of_several_threads__stays_whole(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    struct log log;
    char line[LOG_LINE_MAX_BYTES];
    size_t lines = 0;
    FILE *const file = tmpfile();
    assert_non_null(file);
    assert_int_equal(setvbuf(file, NULL, _IONBF, 0), 0);
    log_init(&log, file, LOG_INFO);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_events, &log), 0);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    rewind(file);
    while (fgets(line, sizeof line, file) != NULL) {
        static const char end[] = " text=\"some words to write\"\n";
        const size_t n = strlen(line);
        assert_true(n > sizeof end && strncmp(line, "ts=", 3) == 0);
        assert_string_equal(line + n - (sizeof end - 1), end);
        lines++;
    }
    assert_int_equal(lines, THREADS * EVENTS);
    assert_int_equal(fclose(file), 0);
}

static void level__by_name__is_found_or_not(void **state)
{
    (void)state;
    enum log_level level = LOG_WARN;
    for (enum log_level each = LOG_DEBUG; each <= LOG_ERROR; each++) {
        assert_true(log_level_find(log_level_name(each), &level));
        assert_int_equal(level, each);
    }
    assert_false(log_level_find("INFO", &level));
    assert_int_equal(level, LOG_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(event__with_fields__is_one_line_of_logfmt),
        cmocka_unit_test(event__without_fields__is_a_line),
        cmocka_unit_test(event__any__begins_with_the_time_in_utc),
        cmocka_unit_test(event__below_the_level_or_without_a_log__is_not_written),
        cmocka_unit_test(event__every_conversion__is_written_as_printf_would),
        cmocka_unit_test(event__value_of_a_peer__cannot_leave_its_field),
        cmocka_unit_test(event__long_value__is_cut_and_closed),
        cmocka_unit_test(event__long_line__leaves_whole_fields_out_and_says_so),
        cmocka_unit_test(event__line_of_every_length__is_never_too_long),
        cmocka_unit_test(facts__given__stand_in_the_line_as_they_are),
        cmocka_unit_test(facts__too_long__are_left_out_and_the_line_says_so),
        cmocka_unit_test(event__of_several_threads__stays_whole),
        cmocka_unit_test(level__by_name__is_found_or_not),
    };
    return cmocka_run_group_tests_name("base_log", tests, NULL, NULL);
}
