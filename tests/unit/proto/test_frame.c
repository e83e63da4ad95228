/* SPDX-License-Identifier: Apache-2.0
 *
 * The frame codec: writing and parsing back, every cut, every lie about a length, and strangers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/frame.h"

#define CAP STEPD_FRAME_MAX_BYTES

/* Sizes around every length of a varint, up to the header's cap. */
static const size_t header_sizes[] = {0,   1,     2,     126,   127,   128,
                                      129, 16383, 16384, 16385, 65535, STEPD_HEADER_MAX_BYTES};
static const size_t payload_sizes[] = {
    0, 1, 127, 128, 16383, 16384, 2097151, 2097152, (32u << 20) + 1, (63u << 20)};

/* Writes the head of a frame whose header is all 0x55. Caller frees with free(). */
static uint8_t *write_head(size_t header, size_t payload, size_t *ret_n)
{
    uint8_t *head = malloc(STEPD_FRAME_HEAD_MAX_BYTES);
    size_t n = stepd_frame_write_before(header, payload, head);
    assert_in_range(n, 3, STEPD_FRAME_BEFORE_MAX_BYTES);
    memset(head + n, 0x55, header);
    n += header;
    const size_t after = stepd_frame_write_after(payload, head + n);
    assert_in_range(after, 0, STEPD_FRAME_AFTER_MAX_BYTES);
    *ret_n = n + after;
    return head;
}

static void assert_bad(const uint8_t *bytes, size_t n, enum stepd_status code, const char *text)
{
    struct stepd_frame_head head = {.payload_at = 4711};
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(stepd_frame_parse(bytes, n, CAP, &head, &error), STEPD_FRAME_BAD);
    assert_int_equal(error.code, code);
    if (strstr(error.text, text) == NULL)
        fail_msg("'%s' does not say '%s'", error.text, text);
    assert_int_equal(head.payload_at, 4711);
    assert_int_equal(stepd_frame_parse(bytes, n, CAP, &head, NULL), STEPD_FRAME_BAD);
}

#define ASSERT_INVALID(text, ...)                                                                  \
    assert_bad((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}),             \
               STEPD_INVALID_ARGUMENT, text)
#define ASSERT_TOO_LARGE(text, ...)                                                                \
    assert_bad((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}),             \
               STEPD_RESOURCE_EXHAUSTED, text)

static void frame__all_sizes__are_read_back(void **state)
{
    (void)state;
    for (size_t h = 0; h < sizeof header_sizes / sizeof header_sizes[0]; h++) {
        for (size_t p = 0; p < sizeof payload_sizes / sizeof payload_sizes[0]; p++) {
            size_t n;
            uint8_t *bytes = write_head(header_sizes[h], payload_sizes[p], &n);
            struct stepd_frame_head head;
            assert_int_equal(n, stepd_frame_head_bytes(header_sizes[h], payload_sizes[p]));
            assert_int_equal(stepd_frame_parse(bytes, n, CAP, &head, NULL), STEPD_FRAME_HEAD);
            assert_int_equal(head.header_bytes, header_sizes[h]);
            assert_int_equal(head.payload_bytes, payload_sizes[p]);
            assert_int_equal(head.payload_at, n);
            if (header_sizes[h] > 0)
                assert_int_equal(bytes[head.header_at], 0x55);
            free(bytes);
        }
    }
}

static void frame__every_header_size__is_read_back(void **state)
{
    (void)state;
    uint8_t *bytes = malloc(STEPD_FRAME_HEAD_MAX_BYTES);
    memset(bytes, 0x55, STEPD_FRAME_HEAD_MAX_BYTES);
    for (size_t size = 0; size <= STEPD_HEADER_MAX_BYTES; size++) {
        struct stepd_frame_head head;
        const size_t at = stepd_frame_write_before(size, 0, bytes);
        assert_int_equal(stepd_frame_parse(bytes, at + size, CAP, &head, NULL), STEPD_FRAME_HEAD);
        assert_int_equal(head.header_at, at);
        assert_int_equal(head.header_bytes, size);
        assert_int_equal(head.payload_bytes, 0);
        memset(bytes, 0x55, STEPD_FRAME_BEFORE_MAX_BYTES);
    }
    free(bytes);
}

/* The copy has exactly the size of the cut, so that a sanitizer sees a read beyond it. */
static void frame__cut_at_every_offset__needs_more(void **state)
{
    (void)state;
    static const size_t sizes[][2] = {{0, 0}, {5, 0}, {0, 3}, {200, 70000}, {20000, 3000000}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t n;
        uint8_t *bytes = write_head(sizes[i][0], sizes[i][1], &n);
        for (size_t cut = 0; cut < n; cut++) {
            uint8_t *copy = malloc(cut + (cut == 0));
            memcpy(copy, bytes, cut);
            struct stepd_frame_head head;
            assert_int_equal(stepd_frame_parse(copy, cut, CAP, &head, NULL), STEPD_FRAME_NEED_MORE);
            free(copy);
        }
        free(bytes);
    }
}

static void frame__more_bytes_than_the_head__are_left_alone(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x04, 0x0A, 0x02, 0x08, 0x01, 0xFF, 0xFF};
    struct stepd_frame_head head;
    assert_int_equal(stepd_frame_parse(bytes, sizeof bytes, CAP, &head, NULL), STEPD_FRAME_HEAD);
    assert_int_equal(head.header_at, 3);
    assert_int_equal(head.payload_at, 5);
    assert_int_equal(head.payload_bytes, 0);
}

/* Some libraries write an empty payload out. */
static void frame__explicitly_empty_payload__is_none(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x06, 0x0A, 0x02, 0x08, 0x01, 0x12, 0x00};
    struct stepd_frame_head head;
    assert_int_equal(stepd_frame_parse(bytes, sizeof bytes, CAP, &head, NULL), STEPD_FRAME_HEAD);
    assert_int_equal(head.payload_at, 7);
    assert_int_equal(head.payload_bytes, 0);
}

static void frame__fields_in_another_order__are_refused(void **state)
{
    (void)state;
    ASSERT_INVALID("empty", 0x00);
    ASSERT_INVALID("payload comes before", 0x07, 0x12);
    ASSERT_INVALID("'header'", 0x07, 0x08);
    ASSERT_INVALID("'header'", 0x07, 0x1A);
    ASSERT_INVALID("twice", 0x08, 0x0A, 0x02, 0x08, 0x01, 0x0A);
    ASSERT_INVALID("something else", 0x08, 0x0A, 0x02, 0x08, 0x01, 0x18);
}

static void frame__lengths_that_contradict__are_refused(void **state)
{
    (void)state;
    ASSERT_INVALID("longer than the frame", 0x04, 0x0A, 0x03);
    ASSERT_INVALID("do not add up", 0x07, 0x0A, 0x02, 0x08, 0x01, 0x12, 0x00);
    ASSERT_INVALID("do not add up", 0x07, 0x0A, 0x02, 0x08, 0x01, 0x12, 0x02);
    ASSERT_INVALID("within a length", 0x05, 0x0A, 0x02, 0x08, 0x01, 0x12);
    ASSERT_INVALID("within a length", 0x01, 0x0A);
    ASSERT_INVALID("within a length", 0x02, 0x0A, 0x82);
}

static void frame__lengths_in_a_longer_form__are_refused(void **state)
{
    (void)state;
    ASSERT_INVALID("shortest", 0x84, 0x00);
    ASSERT_INVALID("shortest", 0x05, 0x0A, 0x82, 0x00);
    ASSERT_INVALID("shortest", 0x08, 0x0A, 0x02, 0x08, 0x01, 0x12, 0x81, 0x00);
    ASSERT_INVALID("five bytes", 0x80, 0x80, 0x80, 0x80, 0x80);
    ASSERT_INVALID("five bytes", 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01);
}

static void frame__above_a_cap__is_refused_before_its_bytes(void **state)
{
    (void)state;
    ASSERT_TOO_LARGE("67108864", 0x81, 0x80, 0x80, 0x20);
    ASSERT_TOO_LARGE("4294967295", 0xFF, 0xFF, 0xFF, 0xFF, 0x0F);
    ASSERT_TOO_LARGE("65536", 0x80, 0x80, 0x08, 0x0A, 0x81, 0x80, 0x04);
    static const uint8_t at_cap[] = {0x80, 0x80, 0x80, 0x20};
    struct stepd_frame_head head;
    assert_int_equal(stepd_frame_parse(at_cap, 4, CAP, &head, NULL), STEPD_FRAME_NEED_MORE);
    assert_int_equal(stepd_frame_parse(at_cap, 4, CAP - 1, &head, NULL), STEPD_FRAME_BAD);
}

static void frame__a_stranger__is_told_who_it_is(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "GET / HTTP/1.1\r\n", "POST /x HTTP/1.1\r\n", "HEAD / ",  "PUT /",
        "OPTIONS * ",         "PRI * HTTP/2.0\r\n",   "DELETE /", "CONNECT a:1"};
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        for (size_t n = 2; n <= strlen(requests[i]); n++)
            assert_bad((const uint8_t *)requests[i], n, STEPD_INVALID_ARGUMENT, "HTTP");
    }
    ASSERT_INVALID("TLS", 0x16, 0x03);
    ASSERT_INVALID("TLS", 0x16, 0x03, 0x01, 0x02, 0x00, 0x01);
    ASSERT_INVALID("'header'", 'G', 'X');
}

static void frame__largest_payload__fits_with_the_longest_header(void **state)
{
    (void)state;
    const size_t payload_bytes = stepd_frame_payload_max(CAP);
    assert_in_range(stepd_frame_bytes(STEPD_HEADER_MAX_BYTES, payload_bytes), CAP - 16, CAP);
    assert_int_equal(stepd_frame_payload_max(STEPD_FRAME_HEAD_MAX_BYTES + 1), 1);
    assert_int_equal(stepd_frame_payload_max(STEPD_FRAME_HEAD_MAX_BYTES), 0);
    assert_int_equal(stepd_frame_payload_max(0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frame__all_sizes__are_read_back),
        cmocka_unit_test(frame__every_header_size__is_read_back),
        cmocka_unit_test(frame__cut_at_every_offset__needs_more),
        cmocka_unit_test(frame__more_bytes_than_the_head__are_left_alone),
        cmocka_unit_test(frame__explicitly_empty_payload__is_none),
        cmocka_unit_test(frame__fields_in_another_order__are_refused),
        cmocka_unit_test(frame__lengths_that_contradict__are_refused),
        cmocka_unit_test(frame__lengths_in_a_longer_form__are_refused),
        cmocka_unit_test(frame__above_a_cap__is_refused_before_its_bytes),
        cmocka_unit_test(frame__a_stranger__is_told_who_it_is),
        cmocka_unit_test(frame__largest_payload__fits_with_the_longest_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
