/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages that are made field by field (compose.h), as a client or a server says them: most of
 * what they have gets past the decoder, where a mutated header seldom does. The properties are
 * those of fuzz_message.
 */
#include "proto/frame.h"
#include "tests/fuzz/compose.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const uint32_t slices[] = {0, 1};
    const struct known known = {
        .request_id = 1,
        .shard = 1,
        .has_session = true,
        .incarnation = 1,
        .clock = 1,
        .slices = {.count = 2, .at = slices},
        .job = {"mnist", ""},
        .jobs = 2,
        .token = {"stepd_token"},
        .tokens = 1,
    };
    struct taker taker = {.at = bytes, .left = n};
    struct stepd_message message;
    struct stepd_arena arena;
    uint8_t *frame = NULL;
    size_t frame_bytes = 0;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    compose_request(&taker, &known, &arena, &message);
    if (stepd_message_encode(&message, 0, &arena, &frame, &frame_bytes, NULL) == STEPD_OK) {
        struct stepd_frame_head head;
        FUZZ_CHECK(stepd_frame_parse(frame, frame_bytes, STEPD_FRAME_MAX_BYTES, &head, NULL) ==
                   STEPD_FRAME_HEAD);
        fuzz_message(frame + head.header_at, head.header_bytes);
        free(frame);
    }
    stepd_arena_deinit(&arena);
    return 0;
}
