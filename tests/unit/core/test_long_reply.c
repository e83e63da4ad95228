/* SPDX-License-Identifier: Apache-2.0
 *
 * A reply about more slices than one header can list goes out in several frames, each of which can
 * be encoded; the last one, and no other, is marked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/lib/shard.h"

enum { SLICES = 20000, SLICE = 256 };

static uint32_t slice_at[SLICES];

struct outside {
    size_t slices;
    size_t frames;
    size_t last;
};

static void on_reply(void *watcher, const struct stepd_message *message)
{
    struct outside *outside = watcher;
    struct stepd_arena arena;
    uint8_t *head = NULL;
    size_t head_bytes = 0;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    assert_int_equal(stepd_message_encode(message, 0, &arena, &head, &head_bytes, NULL), STEPD_OK);
    free(head);
    stepd_arena_deinit(&arena);
    assert_int_equal(message->kind, STEPD_MESSAGE_RESULT);
    outside->slices += message->body.result.slices.count;
    outside->last += message->body.result.last;
    outside->frames++;
}

static void reply__about_20000_slices__goes_out_in_frames_that_can_be_encoded(void **state)
{
    (void)state;
    struct shard shard;
    const uint64_t shape[] = {SLICES, SLICE};
    const struct stepd_tensor_def tensor = shard_tensor("w", shape, 2, 0.0);
    const struct shard_job job = {
        .workers = 1, .lr = 1.0, .slice_elements = SLICE, .tensors = 1, .tensor = &tensor};
    struct outside outside = {.slices = 0};
    shard_setup(&shard, &job);
    shard_connect(&shard, 0, 0);
    shard.watch = on_reply;
    shard.watcher = &outside;
    for (uint32_t i = 0; i < SLICES; i++)
        slice_at[i] = i;
    const uint64_t base_version = 0;
    const struct stepd_message push = {
        .request_id = 7,
        .kind = STEPD_MESSAGE_PUSH,
        .body.push = {.incarnation = 1,
                      .clock = 1,
                      .slices = {.count = SLICES, .at = slice_at},
                      .base_versions = {.count = 1, .at = &base_version}},
    };
    assert_int_equal(shard_send(&shard, 0, &push, NULL, 0, 0, NULL), STEPD_OK);
    assert_int_equal(outside.slices, SLICES);
    assert_true(outside.frames > 1);
    assert_int_equal(outside.last, 1);
    shard_teardown(&shard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reply__about_20000_slices__goes_out_in_frames_that_can_be_encoded),
    };
    return cmocka_run_group_tests_name("core/long_reply", tests, NULL, NULL);
}
