/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages there and back, at the limits of size, and with every allocation failing in turn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/frame.h"
#include "proto/message.h"
#include "tests/unit/proto/samples.h"

/* The n-th call of malloc from now fails, and all after it; SIZE_MAX: none. */
static size_t mallocs_left = SIZE_MAX;

/* The linker's --wrap wants these names. NOLINTBEGIN(bugprone-*,cert-*,readability-*) */
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
    if (mallocs_left == 0)
        return NULL;
    if (mallocs_left != SIZE_MAX)
        mallocs_left--;
    return __real_malloc(size);
}
/* NOLINTEND(bugprone-*,cert-*,readability-*) */

static struct stepd_arena arena;

static int set_up(void **state)
{
    (void)state;
    mallocs_left = SIZE_MAX;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    stepd_arena_deinit(&arena);
    return 0;
}

/* Encodes and looks at what came out. Caller frees with free(). */
static uint8_t *encode(const struct stepd_message *message, size_t payload,
                       struct stepd_frame_head *ret_head)
{
    uint8_t *bytes = NULL;
    size_t n;
    struct stepd_error error = {.code = STEPD_OK};
    if (stepd_message_encode(message, payload, &arena, &bytes, &n, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    assert_int_equal(stepd_frame_parse(bytes, n, STEPD_FRAME_MAX_BYTES, ret_head, NULL),
                     STEPD_FRAME_HEAD);
    assert_int_equal(ret_head->payload_at, n);
    assert_int_equal(ret_head->payload_bytes, payload);
    return bytes;
}

static void message__every_kind__comes_back_and_encodes_to_the_same_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES_COUNT; i++) {
        const struct stepd_message *sample = sample_message(sample_kinds[i]);
        struct stepd_frame_head head;
        uint8_t *bytes = encode(sample, i, &head);
        struct stepd_message decoded;
        struct stepd_error error;
        if (stepd_message_decode(bytes + head.header_at, head.header_bytes, &arena, &decoded,
                                 &error) != STEPD_OK)
            fail_msg("%s", error.text);
        assert_int_equal(decoded.kind, sample->kind);
        assert_true(decoded.request_id == sample->request_id);
        struct stepd_frame_head again_head;
        uint8_t *again = encode(&decoded, i, &again_head);
        assert_int_equal(again_head.payload_at, head.payload_at);
        assert_memory_equal(again, bytes, head.payload_at);
        free(again);
        free(bytes);
    }
}

static void message__every_field_absent__comes_back_empty(void **state)
{
    (void)state;
    static const uint8_t hello[] = {0x12, 0x00};
    struct stepd_message m;
    assert_int_equal(stepd_message_decode(hello, sizeof hello, &arena, &m, NULL), STEPD_OK);
    assert_int_equal(m.kind, STEPD_MESSAGE_HELLO);
    assert_true(m.request_id == 0 && m.body.hello.rank == 0 && m.body.hello.session.count == 0);
    assert_string_equal(m.body.hello.job, "");
    assert_string_equal(m.body.hello.worker, "");
}

static void message__a_missing_text_when_encoding__is_the_empty_one(void **state)
{
    (void)state;
    const struct stepd_message hello = {.kind = STEPD_MESSAGE_HELLO, .request_id = 1};
    struct stepd_frame_head head;
    uint8_t *bytes = encode(&hello, 0, &head);
    static const uint8_t wanted[] = {0x06, 0x0A, 0x04, 0x08, 0x01, 0x12, 0x00};
    assert_int_equal(head.payload_at, sizeof wanted);
    assert_memory_equal(bytes, wanted, sizeof wanted);
    free(bytes);
}

static void message__names_of_the_kinds__are_those_of_the_oneof(void **state)
{
    (void)state;
    assert_string_equal(stepd_message_name(STEPD_MESSAGE_DEFINE_JOB), "define_job");
    assert_string_equal(stepd_message_name(STEPD_MESSAGE_ERROR), "error");
    assert_string_equal(stepd_message_name((enum stepd_message_kind)99), "unknown");
}

/* A push of so many slices, all of index 1. */
static enum stepd_status encode_push(uint32_t count, size_t *ret_header, struct stepd_error *reterr)
{
    uint32_t *slices = malloc(count * sizeof *slices);
    for (uint32_t i = 0; i < count; i++)
        slices[i] = 1;
    const uint64_t base = 1;
    const struct stepd_message push = {
        .kind = STEPD_MESSAGE_PUSH,
        .body.push = {.slices = {.count = count, .at = slices},
                      .base_versions = {.count = 1, .at = &base}},
    };
    uint8_t *bytes = NULL;
    size_t n;
    const enum stepd_status status = stepd_message_encode(&push, 0, &arena, &bytes, &n, reterr);
    struct stepd_frame_head head = {0};
    if (status == STEPD_OK) {
        assert_int_equal(stepd_frame_parse(bytes, n, STEPD_FRAME_MAX_BYTES, &head, NULL),
                         STEPD_FRAME_HEAD);
        struct stepd_message m;
        assert_int_equal(
            stepd_message_decode(bytes + head.header_at, head.header_bytes, &arena, &m, NULL),
            STEPD_OK);
        assert_int_equal(m.body.push.slices.count, count);
    }
    *ret_header = head.header_bytes;
    free(bytes);
    free(slices);
    return status;
}

static void message__largest_header__is_encoded_and_one_more_byte_refused(void **state)
{
    (void)state;
    struct stepd_error error;
    size_t header;
    assert_int_equal(encode_push(STEPD_HEADER_MAX_BYTES - 11, &header, &error), STEPD_OK);
    assert_int_equal(header, STEPD_HEADER_MAX_BYTES);
    assert_int_equal(encode_push(STEPD_HEADER_MAX_BYTES - 10, &header, &error),
                     STEPD_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(error.text, "65536"));
}

/* Pages as full as an honest definer may make them must fit the arena of whoever reads them. */
static void message__a_full_page_of_small_tensors__fits_the_arena(void **state)
{
    (void)state;

    enum { TENSORS = 4600 };

    static const uint64_t shape[] = {7};
    char(*names)[8] = calloc(TENSORS, sizeof *names);
    struct stepd_tensor_def *tensors = calloc(TENSORS, sizeof *tensors);
    for (size_t i = 0; i < TENSORS; i++) {
        (void)snprintf(names[i], sizeof names[i], "t%zu", i);
        tensors[i] = (struct stepd_tensor_def){.name = names[i], .dims = 1, .shape = shape};
    }
    const struct stepd_message page = {
        .kind = STEPD_MESSAGE_DEFINE_TENSORS,
        .body.define_tensors = {.tensors = TENSORS, .tensor = tensors},
    };
    struct stepd_frame_head head;
    uint8_t *bytes = encode(&page, 0, &head);
    assert_in_range(head.header_bytes, 60000, STEPD_HEADER_MAX_BYTES);
    stepd_arena_reset(&arena);
    struct stepd_message m;
    assert_int_equal(
        stepd_message_decode(bytes + head.header_at, head.header_bytes, &arena, &m, NULL),
        STEPD_OK);
    assert_int_equal(m.body.define_tensors.tensors, TENSORS);
    free(bytes);
    free(tensors);
    free(names);
}

/* The same of groups: as many settings as a header holds, in all the places that settings have. */
static void message__a_full_definition_of_groups__fits_the_arena(void **state)
{
    (void)state;

    enum { SETTINGS = 12, GROUPS = 64 };

    static const double value = 0.5;
    static struct stepd_setting setting[SETTINGS];
    static struct stepd_group group[GROUPS];
    for (size_t i = 0; i < SETTINGS; i++)
        setting[i] = (struct stepd_setting){.name = "lr", .values = 1, .value = &value};
    const struct stepd_settings settings = {.count = SETTINGS, .at = setting};
    const struct stepd_phase phase = {.from = 1, .optimizer = "sgd", .settings = settings};
    const struct stepd_schedule_part part = {.kind = "step", .settings = settings};
    for (size_t i = 0; i < GROUPS; i++)
        group[i] = (struct stepd_group){.settings = settings,
                                        .schedule_settings = settings,
                                        .schedule_parts = 1,
                                        .schedule_part = &part,
                                        .phases = 1,
                                        .phase = &phase};
    const struct stepd_message job = {
        .kind = STEPD_MESSAGE_DEFINE_JOB,
        .body.define_job = {.groups = GROUPS, .group = group, .defaults = {.settings = settings}},
    };
    struct stepd_frame_head head;
    uint8_t *bytes = encode(&job, 0, &head);
    assert_in_range(head.header_bytes, 50000, STEPD_HEADER_MAX_BYTES);
    stepd_arena_reset(&arena);
    struct stepd_message m;
    assert_int_equal(
        stepd_message_decode(bytes + head.header_at, head.header_bytes, &arena, &m, NULL),
        STEPD_OK);
    assert_int_equal(m.body.define_job.groups, GROUPS);
    free(bytes);
}

/* Raises the arena's cap until each kind can be encoded and decoded in it. */
static void message__any_cap_of_the_arena__works_or_says_resource_exhausted(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES_COUNT; i++) {
        struct stepd_frame_head head;
        uint8_t *bytes = encode(sample_message(sample_kinds[i]), 0, &head);
        enum stepd_status encoded = STEPD_INTERNAL;
        enum stepd_status decoded = STEPD_INTERNAL;
        for (size_t cap = 0; encoded != STEPD_OK || decoded != STEPD_OK; cap += 16) {
            struct stepd_arena small;
            stepd_arena_init(&small, cap);
            uint8_t *again = NULL;
            size_t n;
            struct stepd_message m;
            encoded =
                stepd_message_encode(sample_message(sample_kinds[i]), 0, &small, &again, &n, NULL);
            assert_true(encoded == STEPD_OK || encoded == STEPD_RESOURCE_EXHAUSTED);
            free(again);
            stepd_arena_reset(&small);
            decoded =
                stepd_message_decode(bytes + head.header_at, head.header_bytes, &small, &m, NULL);
            assert_true(decoded == STEPD_OK || decoded == STEPD_RESOURCE_EXHAUSTED);
            assert_true(cap > 0 || decoded == STEPD_RESOURCE_EXHAUSTED);
            stepd_arena_deinit(&small);
        }
        free(bytes);
    }
}

static void message__any_malloc_failing__says_resource_exhausted(void **state)
{
    (void)state;
    const struct stepd_message *sample = sample_message(STEPD_MESSAGE_LAYOUT);
    enum stepd_status status = STEPD_RESOURCE_EXHAUSTED;
    size_t failures = 0;
    for (; status == STEPD_RESOURCE_EXHAUSTED; failures++) {
        stepd_arena_deinit(&arena);
        mallocs_left = failures;
        uint8_t *bytes = NULL;
        size_t n;
        status = stepd_message_encode(sample, 0, &arena, &bytes, &n, NULL);
        mallocs_left = SIZE_MAX;
        free(bytes);
    }
    assert_int_equal(status, STEPD_OK);
    assert_int_equal(failures, 3); /* without the arena's block, without the head, with both */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(message__every_kind__comes_back_and_encodes_to_the_same_bytes),
        TEST(message__every_field_absent__comes_back_empty),
        TEST(message__a_missing_text_when_encoding__is_the_empty_one),
        TEST(message__names_of_the_kinds__are_those_of_the_oneof),
        TEST(message__largest_header__is_encoded_and_one_more_byte_refused),
        TEST(message__a_full_page_of_small_tensors__fits_the_arena),
        TEST(message__a_full_definition_of_groups__fits_the_arena),
        TEST(message__any_cap_of_the_arena__works_or_says_resource_exhausted),
        TEST(message__any_malloc_failing__says_resource_exhausted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
