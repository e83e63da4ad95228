/* SPDX-License-Identifier: Apache-2.0
 *
 * A stream of frames, as a peer would send it: parse, decode, encode again. What must hold for any
 * bytes whatever:
 *
 *   - parsing the same bytes cut short asks for more, or refuses them with the same words;
 *   - a head that parses lies within the bytes, within its caps, and adds up;
 *   - a message that decodes can be encoded, and decodes from that to something that encodes to the
 *     same bytes (the bytes of the input may be others: lists that are not packed, zeros written
 *     out, unknown fields).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/frame.h"
#include "proto/message.h"
#include "tests/fuzz/fuzz.h"

/* The cap of the fuzzed connection: less than libFuzzer's inputs may grow to. */
#define FRAME_MAX_BYTES (96u << 10)

/* A cut of the frame's beginning must not be read as something else. */
static void check_cut(const uint8_t *bytes, size_t n, size_t cut, enum stepd_frame_progress whole)
{
    /* A copy of just that size, so that a sanitizer sees a read beyond it. */
    uint8_t *copy = malloc(cut + (cut == 0));
    if (copy == NULL)
        return;
    memcpy(copy, bytes, cut);
    struct stepd_frame_head head;
    const enum stepd_frame_progress progress =
        stepd_frame_parse(copy, cut, FRAME_MAX_BYTES, &head, NULL);
    free(copy);
    FUZZ_CHECK(progress == STEPD_FRAME_NEED_MORE || progress == whole);
    FUZZ_CHECK(progress != STEPD_FRAME_HEAD || cut == n || head.payload_at <= cut);
}

static void check_head(const struct stepd_frame_head *head, size_t n)
{
    FUZZ_CHECK(head->header_bytes <= STEPD_HEADER_MAX_BYTES);
    FUZZ_CHECK(head->header_at + head->header_bytes <= head->payload_at);
    FUZZ_CHECK(head->payload_at <= n);
    FUZZ_CHECK(stepd_frame_bytes(head->header_bytes, head->payload_bytes) <= FRAME_MAX_BYTES);
}

/* Takes the first frame of the stream. Returns its length, or 0 where the stream ends. */
static size_t take_frame(const uint8_t *bytes, size_t n)
{
    struct stepd_frame_head head = {0};
    struct stepd_error error = {.code = STEPD_OK};
    const enum stepd_frame_progress progress =
        stepd_frame_parse(bytes, n, FRAME_MAX_BYTES, &head, &error);
    check_cut(bytes, n, n / 2, progress);
    check_cut(bytes, n, n > 0 ? n - 1 : 0, progress);
    if (progress == STEPD_FRAME_BAD)
        FUZZ_CHECK(error.code != STEPD_OK && error.text[0] != '\0');
    if (progress != STEPD_FRAME_HEAD)
        return 0;
    check_head(&head, n);
    fuzz_message(bytes + head.header_at, head.header_bytes);
    return head.payload_bytes <= n - head.payload_at ? head.payload_at + head.payload_bytes : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    size_t at = 0;
    while (at < n) {
        const size_t taken = take_frame(bytes + at, n - at);
        if (taken == 0)
            break;
        at += taken;
    }
    return 0;
}
