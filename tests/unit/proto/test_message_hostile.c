/* SPDX-License-Identifier: Apache-2.0
 *
 * Headers that no honest encoder writes: built byte by byte, they try to crash the decoder, to make
 * it slow, or to make it take memory out of all proportion.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/frame.h"
#include "proto/message.h"
#include "tests/unit/proto/samples.h"

/* A header under construction; large enough for the largest. */
struct hostile {
    uint8_t bytes[STEPD_HEADER_MAX_BYTES];
    size_t n;
};

static struct hostile header;
static struct stepd_arena arena;

static int set_up(void **state)
{
    (void)state;
    header.n = 0;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    stepd_arena_deinit(&arena);
    return 0;
}

static void put(const void *bytes, size_t n)
{
    assert_true(n <= sizeof header.bytes - header.n);
    memcpy(header.bytes + header.n, bytes, n);
    header.n += n;
}

#define PUT(...) put((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* Fills the header up with copies of a few bytes. */
static void fill(const void *bytes, size_t n)
{
    while (sizeof header.bytes - header.n >= n)
        put(bytes, n);
}

/* Decodes a copy that has exactly the header's size, so that a sanitizer sees a read beyond it. */
static enum stepd_status decode(struct stepd_message *ret_message, struct stepd_error *reterr)
{
    uint8_t *copy = malloc(header.n + (header.n == 0));
    memcpy(copy, header.bytes, header.n);
    const enum stepd_status status =
        stepd_message_decode(copy, header.n, &arena, ret_message, reterr);
    free(copy);
    return status;
}

static void assert_refused(enum stepd_status code, const char *text)
{
    struct stepd_message message;
    struct stepd_error error = {.text = ""};
    assert_int_equal(decode(&message, &error), code);
    assert_int_equal(error.code, code);
    if (strstr(error.text, text) == NULL)
        fail_msg("'%s' does not say '%s'", error.text, text);
}

static void header__without_a_body__is_refused(void **state)
{
    (void)state;
    assert_refused(STEPD_INVALID_ARGUMENT, "no body");
    PUT(0x08, 0x01);
    assert_refused(STEPD_INVALID_ARGUMENT, "no body");
}

static void header__with_a_body_of_tomorrow__is_refused_with_its_number(void **state)
{
    (void)state;
    PUT(0x08, 0x01, 0xBA, 0x06, 0x01, 0x00); /* field 103 */
    assert_refused(STEPD_INVALID_ARGUMENT, "103");
}

static void header__with_two_bodies__is_refused(void **state)
{
    (void)state;
    PUT(0x82, 0x01, 0x00, 0x92, 0x01, 0x00); /* heartbeat, ack */
    assert_refused(STEPD_INVALID_ARGUMENT, "a second body, 'ack'");
    header.n = 3;
    PUT(0x82, 0x01, 0x00); /* heartbeat twice */
    assert_refused(STEPD_INVALID_ARGUMENT, "a second body, 'heartbeat'");
}

static void header__with_a_field_of_tomorrow__is_read_all_the_same(void **state)
{
    (void)state;
    PUT(0x82, 0x01, 0x00, 0xB8, 0x06, 0x07, 0xBD, 0x06, 1, 2, 3, 4, 0xB9, 0x06, 1, 2, 3, 4, 5, 6, 7,
        8);
    struct stepd_message m;
    assert_int_equal(decode(&m, NULL), STEPD_OK);
    assert_int_equal(m.kind, STEPD_MESSAGE_HEARTBEAT);
}

static void step__push_given_again_and_again__is_refused_before_any_allocation(void **state)
{
    (void)state;
    PUT(0x6A, 0xFC, 0xFF, 0x03); /* step, of all the rest */
    fill((const uint8_t[]){0x0A, 0x02, 0x08, 0x01}, 4);
    assert_refused(STEPD_INVALID_ARGUMENT, "Step.push: given more than once");
    assert_int_equal(arena.used, 0);
}

static void tensor__init_given_twice__is_refused_before_any_allocation(void **state)
{
    (void)state;
    PUT(0x32, 0x06, 0x12, 0x04, 0x1A, 0x00, 0x1A, 0x00);
    assert_refused(STEPD_INVALID_ARGUMENT, "Tensor.init: given more than once");
    assert_int_equal(arena.used, 0);
}

static void push__loss_given_twice__is_refused_before_any_allocation(void **state)
{
    (void)state;
    PUT(0x5A, 0x04, 0x42, 0x00, 0x42, 0x00);
    assert_refused(STEPD_INVALID_ARGUMENT, "Push.loss: given more than once");
    assert_int_equal(arena.used, 0);
}

static void job__defaults_given_twice__is_refused_before_any_allocation(void **state)
{
    (void)state;
    PUT(0x22, 0x04, 0x32, 0x00, 0x32, 0x00);
    assert_refused(STEPD_INVALID_ARGUMENT, "DefineJob.defaults: given more than once");
    assert_int_equal(arena.used, 0);
}

static void step__without_a_push__is_refused(void **state)
{
    (void)state;
    PUT(0x6A, 0x00);
    assert_refused(STEPD_INVALID_ARGUMENT, "step.push: missing");
}

static void name__with_a_nul__is_refused(void **state)
{
    (void)state;
    PUT(0x12, 0x05, 0x1A, 0x03, 'a', 0x00, 'b');
    assert_refused(STEPD_INVALID_ARGUMENT, "hello.job: not UTF-8, or with a NUL");
}

static void header__of_empty_sub_messages__runs_into_the_cap(void **state)
{
    (void)state;
    PUT(0x32, 0xFC, 0xFF, 0x03); /* define_tensors, of all the rest */
    fill((const uint8_t[]){0x12, 0x00}, 2);
    assert_refused(STEPD_RESOURCE_EXHAUSTED, "smaller pages");
    assert_true(arena.used <= STEPD_ARENA_MESSAGE_MAX_BYTES);
}

/* Counts are checked after the unpacking, which must not cost more than the cap until then. */
static void group__of_empty_settings_parts_and_phases__is_refused_within_the_cap(void **state)
{
    (void)state;
    static const uint8_t fields[] = {0x22, 0x32, 0x3A, 0x52};
    for (size_t i = 0; i < sizeof fields; i++) {
        header.n = 0;
        stepd_arena_reset(&arena);
        PUT(0x22, 0xFC, 0xFF, 0x03, 0x1A, 0xF8, 0xFF, 0x03); /* define_job, one group: the rest */
        fill((const uint8_t[]){fields[i], 0x00}, 2);
        struct stepd_message m;
        assert_int_equal(decode(&m, NULL), STEPD_RESOURCE_EXHAUSTED);
        assert_true(arena.used <= STEPD_ARENA_MESSAGE_MAX_BYTES);
    }
}

static void header__of_unknown_fields__runs_into_the_cap(void **state)
{
    (void)state;
    PUT(0x82, 0x01, 0x00);
    fill((const uint8_t[]){0xB8, 0x06, 0x07}, 3);
    struct stepd_message m;
    const enum stepd_status status = decode(&m, NULL);
    assert_true(status == STEPD_OK || status == STEPD_RESOURCE_EXHAUSTED);
    assert_true(arena.used <= STEPD_ARENA_MESSAGE_MAX_BYTES);
}

static void header__nested_deeper_than_any_message__is_refused(void **state)
{
    (void)state;
    for (size_t left = 60000; left > 200; left -= 4) {
        const size_t inner = left - 4;
        PUT(0x12, (uint8_t)(0x80u | (inner & 0x7Fu)), (uint8_t)(0x80u | (inner >> 7 & 0x7Fu)),
            (uint8_t)(inner >> 14));
    }
    struct stepd_message m;
    assert_int_equal(decode(&m, NULL), STEPD_INVALID_ARGUMENT);
}

static void header__of_other_wire_types__is_refused(void **state)
{
    (void)state;
    for (uint8_t type = 0; type < 8; type++) {
        header.n = 0;
        PUT((uint8_t)(2u << 3 | type), 0x00); /* hello, as something else than a message */
        struct stepd_message m;
        assert_int_equal(decode(&m, NULL), type == 2 ? STEPD_OK : STEPD_INVALID_ARGUMENT);
    }
}

static void header__with_broken_tags_and_varints__is_refused(void **state)
{
    (void)state;
    static const uint8_t broken[][12] = {
        {0x00, 0x00},                                                 /* field 0 */
        {0x02, 0x00},                                                 /* field 0, with a length */
        {0x08},                                                       /* no value */
        {0x08, 0x80},                                                 /* half a value */
        {0x12, 0x05, 0x08, 0x01},                                     /* longer than the header */
        {0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F}, /* 2^63 bytes */
        {0x12, 0x02, 0x1A, 0x01}, /* a name beyond its message */
        {0x12, 0x01, 0x08},       /* a value beyond it */
        {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01}, /* a tag of 64 bits */
        {0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01}, /* 11 bytes */
        {0x15, 0x00, 0x00}, /* 32 bits in two bytes */
        {0x11, 0x00, 0x00}, /* 64 bits in two bytes */
    };
    static const size_t sizes[] = {2, 2, 1, 2, 4, 10, 4, 3, 10, 12, 3, 3};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        header.n = 0;
        put(broken[i], sizes[i]);
        struct stepd_message m;
        assert_int_equal(decode(&m, NULL), STEPD_INVALID_ARGUMENT);
    }
}

/* The length would take the reader back to where it began. */
static void field__whose_length_wraps_around__is_refused(void **state)
{
    (void)state;
    PUT(0xBA, 0x06, 0xF4, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01); /* 2^64 - 12 */
    assert_refused(STEPD_INVALID_ARGUMENT, "at byte 12");
}

static void packed_list__of_half_a_number__is_refused(void **state)
{
    (void)state;
    PUT(0x5A, 0x03, 0x1A, 0x01, 0x80); /* push.slices */
    assert_refused(STEPD_INVALID_ARGUMENT, "no protobuf");
}

/* proto3 readers must take both. */
static void unpacked_list__of_numbers__is_read(void **state)
{
    (void)state;
    PUT(0x62, 0x06, 0x10, 0x07, 0x10, 0x09, 0x10, 0x08); /* pull.slices */
    struct stepd_message m;
    assert_int_equal(decode(&m, NULL), STEPD_OK);
    assert_int_equal(m.body.pull.slices.count, 3);
    assert_int_equal(m.body.pull.slices.at[1], 9);
}

/* Puts the header of a sample under construction. */
static void put_sample(enum stepd_message_kind kind)
{
    uint8_t *bytes = NULL;
    size_t n;
    struct stepd_frame_head head;
    assert_int_equal(stepd_message_encode(sample_message(kind), 0, &arena, &bytes, &n, NULL),
                     STEPD_OK);
    assert_int_equal(stepd_frame_parse(bytes, n, STEPD_FRAME_MAX_BYTES, &head, NULL),
                     STEPD_FRAME_HEAD);
    put(bytes + head.header_at, head.header_bytes);
    free(bytes);
}

static void message__cut_at_every_offset__is_refused_or_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES_COUNT; i++) {
        header.n = 0;
        put_sample(sample_kinds[i]);
        for (const size_t n = header.n; header.n > 0; header.n--) {
            stepd_arena_reset(&arena);
            struct stepd_message m;
            const enum stepd_status status = decode(&m, NULL);
            assert_int_equal(status, header.n == n ? STEPD_OK : STEPD_INVALID_ARGUMENT);
        }
    }
}

static void message__with_any_byte_changed__crashes_nothing(void **state)
{
    (void)state;
    size_t tried = 0;
    for (size_t i = 0; i < SAMPLES_COUNT; i++) {
        header.n = 0;
        put_sample(sample_kinds[i]);
        for (size_t at = 0; at < header.n; at++) {
            const uint8_t was = header.bytes[at];
            for (unsigned bit = 0; bit < 8; bit++, tried++) {
                header.bytes[at] = (uint8_t)(was ^ 1u << bit);
                stepd_arena_reset(&arena);
                struct stepd_message m;
                struct stepd_error error = {.text = ""};
                if (decode(&m, &error) != STEPD_OK)
                    assert_true(error.text[0] != '\0');
            }
            header.bytes[at] = was;
        }
    }
    print_message("%zu mutations\n", tried);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(header__without_a_body__is_refused),
        TEST(header__with_a_body_of_tomorrow__is_refused_with_its_number),
        TEST(header__with_two_bodies__is_refused),
        TEST(header__with_a_field_of_tomorrow__is_read_all_the_same),
        TEST(step__push_given_again_and_again__is_refused_before_any_allocation),
        TEST(tensor__init_given_twice__is_refused_before_any_allocation),
        TEST(push__loss_given_twice__is_refused_before_any_allocation),
        TEST(job__defaults_given_twice__is_refused_before_any_allocation),
        TEST(step__without_a_push__is_refused),
        TEST(name__with_a_nul__is_refused),
        TEST(header__of_empty_sub_messages__runs_into_the_cap),
        TEST(group__of_empty_settings_parts_and_phases__is_refused_within_the_cap),
        TEST(header__of_unknown_fields__runs_into_the_cap),
        TEST(header__nested_deeper_than_any_message__is_refused),
        TEST(header__of_other_wire_types__is_refused),
        TEST(header__with_broken_tags_and_varints__is_refused),
        TEST(field__whose_length_wraps_around__is_refused),
        TEST(packed_list__of_half_a_number__is_refused),
        TEST(unpacked_list__of_numbers__is_read),
        TEST(message__cut_at_every_offset__is_refused_or_whole),
        TEST(message__with_any_byte_changed__crashes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
