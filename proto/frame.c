/* SPDX-License-Identifier: Apache-2.0
 *
 * The frame codec. Reading goes front to back with a cursor: the length of the frame, the tag and
 * length of the header, the header itself, and, if the frame goes on, the tag and length of the
 * payload, which must then fill the frame exactly. Each length is checked against its cap and
 * against the length around it before anything behind it is looked at, so a lie is refused with
 * the first byte that proves it and no reader ever waits for bytes of a frame that is bad already.
 *
 * Lengths must be varints in their shortest form, of at most five bytes. Every stock library
 * writes them so, and then each frame has exactly one spelling.
 *
 * A stranger who speaks HTTP or TLS to this port is told so: to this parser an HTTP method is a
 * length of some 70 bytes followed by a wrong tag, and a TLS hello one of 22.
 */
#include "proto/frame.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "proto/error.h"

#define TAG_HEADER       0x0Au /* field 1, length-delimited */
#define TAG_PAYLOAD      0x12u /* field 2, length-delimited */
#define VARINT_MAX_BYTES 5u

struct cursor {
    const uint8_t *bytes;
    size_t n;
    size_t at;
    struct stepd_error *reterr;
};

static enum stepd_frame_progress refuse(const struct cursor *in, const char *text)
{
    (void)stepd_fail(in->reterr, STEPD_INVALID_ARGUMENT, "bad frame: %s", text);
    return STEPD_FRAME_BAD;
}

static enum stepd_frame_progress refuse_size(const struct cursor *in, const char *what,
                                             uint64_t size, size_t cap)
{
    (void)stepd_fail(in->reterr, STEPD_RESOURCE_EXHAUSTED,
                     "%s of %llu bytes is above the limit of %zu bytes", what,
                     (unsigned long long)size, cap);
    return STEPD_FRAME_BAD;
}

/* Do the bytes, as far as they are there, begin like this? */
static bool begins_with(const struct cursor *in, const char *start)
{
    const size_t length = strlen(start);
    return memcmp(in->bytes, start, in->n < length ? in->n : length) == 0;
}

/* The second byte of the connection or frame was no header's tag: say who this may be. */
static enum stepd_frame_progress refuse_stranger(const struct cursor *in)
{
    static const char *const methods[] = {"GET ",     "HEAD ",  "POST ",  "PUT ", "DELETE ",
                                          "OPTIONS ", "PATCH ", "TRACE ", "PRI ", "CONNECT "};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (begins_with(in, methods[i]))
            return refuse(in, "this is HTTP, but this port speaks the stepd protocol");
    }
    if (begins_with(in, "\x16\x03"))
        return refuse(in, "this is TLS, but this port speaks the stepd protocol without TLS; "
                          "leave tls: out of the address");
    if (in->bytes[in->at] == TAG_PAYLOAD)
        return refuse(in, "the payload comes before the header");
    return refuse(in, "it does not begin with the field 'header'");
}

/* Reads a varint of at most five bytes in its shortest form, before `end`. HEAD means "done". */
static enum stepd_frame_progress read_length(struct cursor *in, uint64_t end, uint64_t *ret_length)
{
    uint64_t length = 0;
    for (unsigned i = 0; i < VARINT_MAX_BYTES; i++) {
        if (in->at + i >= end)
            return refuse(in, "it ends within a length");
        if (in->at + i >= in->n)
            return STEPD_FRAME_NEED_MORE;
        const uint8_t byte = in->bytes[in->at + i];
        length |= (uint64_t)(byte & 0x7Fu) << 7 * i;
        if ((byte & 0x80u) != 0)
            continue;
        if (byte == 0 && i > 0)
            return refuse(in, "a length is not written in its shortest form");
        in->at += i + 1;
        *ret_length = length;
        return STEPD_FRAME_HEAD;
    }
    return refuse(in, "a length has more than five bytes");
}

/* Reads tag, length and bytes of the header; it must end at or before `end`. */
static enum stepd_frame_progress read_header(struct cursor *in, uint64_t end,
                                             struct stepd_frame_head *head)
{
    if (in->at >= in->n)
        return STEPD_FRAME_NEED_MORE;
    if (in->bytes[in->at] != TAG_HEADER)
        return refuse_stranger(in);
    in->at++;
    uint64_t length;
    const enum stepd_frame_progress progress = read_length(in, end, &length);
    if (progress != STEPD_FRAME_HEAD)
        return progress;
    if (length > STEPD_HEADER_MAX_BYTES)
        return refuse_size(in, "a header", length, STEPD_HEADER_MAX_BYTES);
    if (in->at + length > end)
        return refuse(in, "the header is longer than the frame");
    head->header_at = in->at;
    head->header_bytes = (size_t)length;
    if (length > in->n - in->at)
        return STEPD_FRAME_NEED_MORE;
    in->at += (size_t)length;
    return STEPD_FRAME_HEAD;
}

/* Reads tag and length of the payload, which must end at `end`; nothing at all is no payload. */
static enum stepd_frame_progress read_payload(struct cursor *in, uint64_t end,
                                              struct stepd_frame_head *head)
{
    uint64_t length = 0;
    if (in->at < end) {
        if (in->at >= in->n)
            return STEPD_FRAME_NEED_MORE;
        if (in->bytes[in->at] == TAG_HEADER)
            return refuse(in, "the header comes twice");
        if (in->bytes[in->at] != TAG_PAYLOAD)
            return refuse(in, "behind the header there is something else than the payload");
        in->at++;
        const enum stepd_frame_progress progress = read_length(in, end, &length);
        if (progress != STEPD_FRAME_HEAD)
            return progress;
    }
    if (in->at + length != end)
        return refuse(in, "the lengths of header and payload do not add up to the frame's");
    head->payload_at = in->at;
    head->payload_bytes = (size_t)length;
    return STEPD_FRAME_HEAD;
}

enum stepd_frame_progress stepd_frame_parse(const uint8_t *bytes, size_t n, size_t frame_max_bytes,
                                            struct stepd_frame_head *ret_head,
                                            struct stepd_error *reterr)
{
    struct cursor in = {.bytes = bytes, .n = n, .reterr = reterr};
    struct stepd_frame_head head = {0};
    uint64_t total;
    enum stepd_frame_progress progress = read_length(&in, UINT64_MAX, &total);
    if (progress != STEPD_FRAME_HEAD)
        return progress;
    if (total > frame_max_bytes)
        return refuse_size(&in, "a frame", total, frame_max_bytes);
    if (total == 0)
        return refuse(&in, "it is empty; a frame has at least a header");
    const uint64_t end = in.at + total;
    progress = read_header(&in, end, &head);
    if (progress != STEPD_FRAME_HEAD)
        return progress;
    progress = read_payload(&in, end, &head);
    if (progress == STEPD_FRAME_HEAD)
        *ret_head = head;
    return progress;
}

static size_t varint_bytes(size_t value)
{
    size_t bytes = 1;
    while (value >= 0x80u) {
        value >>= 7;
        bytes++;
    }
    return bytes;
}

static size_t write_varint(size_t value, uint8_t *at)
{
    size_t n = 0;
    while (value >= 0x80u) {
        at[n++] = (uint8_t)(value | 0x80u);
        value >>= 7;
    }
    at[n++] = (uint8_t)value;
    return n;
}

size_t stepd_frame_bytes(size_t header_bytes, size_t payload_bytes)
{
    const size_t header = 1 + varint_bytes(header_bytes) + header_bytes;
    if (payload_bytes == 0)
        return header;
    return header + 1 + varint_bytes(payload_bytes) + payload_bytes;
}

size_t stepd_frame_payload_max(size_t frame_max_bytes)
{
    if (frame_max_bytes <= STEPD_FRAME_HEAD_MAX_BYTES)
        return 0;
    return frame_max_bytes - STEPD_FRAME_HEAD_MAX_BYTES;
}

size_t stepd_frame_head_bytes(size_t header_bytes, size_t payload_bytes)
{
    const size_t frame = stepd_frame_bytes(header_bytes, payload_bytes);
    return varint_bytes(frame) + frame - payload_bytes;
}

size_t stepd_frame_write_before(size_t header_bytes, size_t payload_bytes, uint8_t *before)
{
    const size_t frame = stepd_frame_bytes(header_bytes, payload_bytes);
    assert(header_bytes <= STEPD_HEADER_MAX_BYTES && frame <= UINT32_MAX);
    size_t n = write_varint(frame, before);
    before[n++] = TAG_HEADER;
    return n + write_varint(header_bytes, before + n);
}

size_t stepd_frame_write_after(size_t payload_bytes, uint8_t *after)
{
    if (payload_bytes == 0)
        return 0;
    after[0] = TAG_PAYLOAD;
    return 1 + write_varint(payload_bytes, after + 1);
}
