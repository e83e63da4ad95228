/* SPDX-License-Identifier: Apache-2.0
 *
 * The properties of messages. See fuzz.h.
 */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <string.h>

#include "proto/frame.h"
#include "proto/message.h"

/* For a message decoded and encoded again, both in one arena. */
#define SCRATCH_BYTES ((size_t)2 * STEPD_ARENA_MESSAGE_MAX_BYTES)

_Noreturn void fuzz_failed(const char *file, int line, const char *condition)
{
    (void)fprintf(stderr, "%s:%d: %s does not hold\n", file, line, condition);
    abort();
}

/* An encoded header, as it stands in its frame. */
struct encoded {
    uint8_t *frame; /* owned */
    size_t frame_bytes;
    struct stepd_frame_head head;
};

/* False where the message takes more than a header may, which only a decoded list can. */
static int encode(const struct stepd_message *message, struct stepd_arena *arena,
                  struct encoded *ret_encoded)
{
    struct stepd_error error;
    const enum stepd_status status = stepd_message_encode(message, 0, arena, &ret_encoded->frame,
                                                          &ret_encoded->frame_bytes, &error);
    FUZZ_CHECK(status == STEPD_OK || status == STEPD_RESOURCE_EXHAUSTED);
    if (status != STEPD_OK)
        return 0;
    FUZZ_CHECK(stepd_frame_parse(ret_encoded->frame, ret_encoded->frame_bytes,
                                 STEPD_FRAME_MAX_BYTES, &ret_encoded->head,
                                 &error) == STEPD_FRAME_HEAD);
    FUZZ_CHECK(ret_encoded->head.payload_at == ret_encoded->frame_bytes);
    return 1;
}

static void check_again(const struct encoded *first)
{
    struct stepd_arena arena;
    stepd_arena_init(&arena, SCRATCH_BYTES);
    struct stepd_message message;
    FUZZ_CHECK(stepd_message_decode(first->frame + first->head.header_at, first->head.header_bytes,
                                    &arena, &message, NULL) == STEPD_OK);
    struct encoded second;
    FUZZ_CHECK(encode(&message, &arena, &second));
    FUZZ_CHECK(second.frame_bytes == first->frame_bytes);
    FUZZ_CHECK(memcmp(second.frame, first->frame, first->frame_bytes) == 0);
    free(second.frame);
    stepd_arena_deinit(&arena);
}

void fuzz_message(const uint8_t *header, size_t n)
{
    struct stepd_arena arena;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    struct stepd_message message;
    struct stepd_error error = {.text = ""};
    if (stepd_message_decode(header, n, &arena, &message, &error) == STEPD_OK) {
        struct stepd_arena scratch;
        stepd_arena_init(&scratch, SCRATCH_BYTES);
        struct encoded first;
        if (encode(&message, &scratch, &first)) {
            check_again(&first);
            free(first.frame);
        }
        stepd_arena_deinit(&scratch);
    } else {
        FUZZ_CHECK(error.code != STEPD_OK && error.text[0] != '\0');
    }
    stepd_arena_deinit(&arena);
}
