/* SPDX-License-Identifier: Apache-2.0
 *
 * What is not on the wire: what a decoder takes it for, and what an encoder leaves out because
 * nothing says the same.
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

static struct stepd_arena arena;

static int set_up(void **state)
{
    (void)state;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    stepd_arena_deinit(&arena);
    return 0;
}

/* Decodes a header, which must be fine. */
static struct stepd_message decode(const uint8_t *header, size_t n)
{
    struct stepd_message message;
    struct stepd_error error;
    if (stepd_message_decode(header, n, &arena, &message, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    return message;
}

#define DECODE(...) decode((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void assert_encodes_to(const struct stepd_message *message, const uint8_t *header, size_t n)
{
    uint8_t *head = NULL;
    size_t head_bytes;
    struct stepd_frame_head frame;
    assert_int_equal(stepd_message_encode(message, 0, &arena, &head, &head_bytes, NULL), STEPD_OK);
    assert_int_equal(stepd_frame_parse(head, head_bytes, STEPD_FRAME_MAX_BYTES, &frame, NULL),
                     STEPD_FRAME_HEAD);
    assert_int_equal(frame.header_bytes, n);
    assert_memory_equal(head + frame.header_at, header, n);
    free(head);
}

#define ASSERT_ENCODES_TO(message, ...)                                                            \
    assert_encodes_to(message, (const uint8_t[]){__VA_ARGS__},                                     \
                      sizeof((const uint8_t[]){__VA_ARGS__}))

/* ---- Groups ---------------------------------------------------------------------------------- */

static void group__of_which_nothing_is_said__has_empty_texts_and_lists(void **state)
{
    (void)state;
    const struct stepd_message m = DECODE(0x22, 0x02, 0x1A, 0x00); /* define_job { groups {} } */
    assert_int_equal(m.body.define_job.groups, 1);
    const struct stepd_group *const group = &m.body.define_job.group[0];
    assert_string_equal(group->name, "");
    assert_string_equal(group->match, "");
    assert_string_equal(group->optimizer, "");
    assert_string_equal(group->schedule, "");
    assert_int_equal(group->settings.count, 0);
    assert_int_equal(group->schedule_settings.count, 0);
    assert_int_equal(group->schedule_parts, 0);
    assert_int_equal(group->ndim.count, 0);
    assert_int_equal(group->phases, 0);
    assert_false(group->frozen);
}

static void setting__without_a_word__has_the_empty_one(void **state)
{
    (void)state;
    /* define_job { groups { settings { name: "a" values: 0.5 } } } */
    const struct stepd_message m = DECODE(0x22, 0x11, 0x1A, 0x0F, 0x22, 0x0D, 0x0A, 0x01, 'a', 0x12,
                                          0x08, 0, 0, 0, 0, 0, 0, 0xE0, 0x3F);
    const struct stepd_settings settings = m.body.define_job.group[0].settings;
    assert_int_equal(settings.count, 1);
    assert_string_equal(settings.at[0].word, "");
    assert_int_equal(settings.at[0].values, 1);
    assert_true(settings.at[0].value[0] == 0.5);
}

static void setting__with_a_word__has_no_values(void **state)
{
    (void)state;
    /* define_job { groups { settings { name: "a" word: "b" } } } */
    const struct stepd_message m =
        DECODE(0x22, 0x0A, 0x1A, 0x08, 0x22, 0x06, 0x0A, 0x01, 'a', 0x1A, 0x01, 'b');
    const struct stepd_settings settings = m.body.define_job.group[0].settings;
    assert_string_equal(settings.at[0].word, "b");
    assert_int_equal(settings.at[0].values, 0);
}

static void assert_says_nothing(const struct stepd_group *defaults)
{
    assert_string_equal(defaults->name, "");
    assert_string_equal(defaults->match, "");
    assert_string_equal(defaults->optimizer, "");
    assert_string_equal(defaults->schedule, "");
    assert_int_equal(defaults->settings.count, 0);
    assert_int_equal(defaults->schedule_parts, 0);
    assert_int_equal(defaults->phases, 0);
}

static void job__without_defaults__starts_from_nothing(void **state)
{
    (void)state;
    const struct stepd_message m = DECODE(0x22, 0x00);
    assert_says_nothing(&m.body.define_job.defaults);
}

static void job__with_empty_defaults__starts_from_nothing(void **state)
{
    (void)state;
    const struct stepd_message m = DECODE(0x22, 0x02, 0x32, 0x00);
    assert_says_nothing(&m.body.define_job.defaults);
}

static void job__defaults_that_say_nothing__are_not_sent(void **state)
{
    (void)state;
    const struct stepd_message job = {
        .kind = STEPD_MESSAGE_DEFINE_JOB,
        .body.define_job = {.workers = 1, .defaults = {.name = "", .optimizer = ""}}};
    ASSERT_ENCODES_TO(&job, 0x22, 0x02, 0x10, 0x01);
}

/* ---- Losses ---------------------------------------------------------------------------------- */

/* push { slices: 0 base_versions: 0 } */
#define PUSH_BYTES 0x1A, 0x01, 0x00, 0x22, 0x01, 0x00

static void push__without_a_loss__has_none(void **state)
{
    (void)state;
    const struct stepd_message m = DECODE(0x5A, 0x06, PUSH_BYTES);
    assert_false(m.body.push.has_loss);
}

static void push__with_a_loss_of_nothing__has_one_of_0(void **state)
{
    (void)state;
    const struct stepd_message m = DECODE(0x5A, 0x08, PUSH_BYTES, 0x42, 0x00);
    assert_true(m.body.push.has_loss);
    assert_true(m.body.push.loss == 0);
}

static void push__with_a_loss_of_0__sends_it(void **state)
{
    (void)state;
    const uint32_t slice = 0;
    const uint64_t base = 0;
    const struct stepd_message push = {
        .kind = STEPD_MESSAGE_PUSH,
        .body.push = {
            .slices = {1, &slice}, .base_versions = {1, &base}, .has_loss = true, .loss_scale = 1}};
    ASSERT_ENCODES_TO(&push, 0x5A, 0x08, PUSH_BYTES, 0x42, 0x00);
}

static void push__without_a_loss_scale__has_one_of_1(void **state)
{
    (void)state;
    const struct stepd_message absent = DECODE(0x5A, 0x06, PUSH_BYTES);
    assert_true(absent.body.push.loss_scale == 1);
    const struct stepd_message zero =
        DECODE(0x5A, 0x0F, PUSH_BYTES, 0x49, 0, 0, 0, 0, 0, 0, 0, 0x80); /* -0.0 */
    assert_true(zero.body.push.loss_scale == 1);
}

static void push__with_a_loss_scale_of_1__does_not_send_it(void **state)
{
    (void)state;
    const uint32_t slice = 0;
    const uint64_t base = 0;
    const struct stepd_message push = {
        .kind = STEPD_MESSAGE_PUSH,
        .body.push = {
            .slices = {1, &slice}, .base_versions = {1, &base}, .loss = 0.5, .loss_scale = 1}};
    ASSERT_ENCODES_TO(&push, 0x5A, 0x06, PUSH_BYTES);
}

/* ---- Views and extras ------------------------------------------------------------------------ */

static void pull__without_a_view__wants_that_of_training(void **state)
{
    (void)state;
    const struct stepd_message m = DECODE(0x62, 0x03, 0x12, 0x01, 0x00);
    assert_int_equal(m.body.pull.view, STEPD_TRAINING);
}

static void step__without_a_view__wants_that_of_training(void **state)
{
    (void)state;
    const struct stepd_message m = DECODE(0x6A, 0x08, 0x0A, 0x06, PUSH_BYTES);
    assert_int_equal(m.body.step.pull_view, STEPD_TRAINING);
}

static void layout__without_extras__has_none(void **state)
{
    (void)state;
    const struct stepd_message m = DECODE(0x4A, 0x00);
    assert_int_equal(m.body.layout.slice_extras.count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(group__of_which_nothing_is_said__has_empty_texts_and_lists),
        TEST(setting__without_a_word__has_the_empty_one),
        TEST(setting__with_a_word__has_no_values),
        TEST(job__without_defaults__starts_from_nothing),
        TEST(job__with_empty_defaults__starts_from_nothing),
        TEST(job__defaults_that_say_nothing__are_not_sent),
        TEST(push__without_a_loss__has_none),
        TEST(push__with_a_loss_of_nothing__has_one_of_0),
        TEST(push__with_a_loss_of_0__sends_it),
        TEST(push__without_a_loss_scale__has_one_of_1),
        TEST(push__with_a_loss_scale_of_1__does_not_send_it),
        TEST(pull__without_a_view__wants_that_of_training),
        TEST(step__without_a_view__wants_that_of_training),
        TEST(layout__without_extras__has_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
