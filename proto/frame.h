/* SPDX-License-Identifier: Apache-2.0
 *
 * The frame codec: pure functions on bytes. A frame is a varint length and then a protobuf message
 * Frame { Header header = 1; bytes payload = 2; }, read here by hand so that the payload is never
 * copied: everything in front of the payload's first byte is the frame's head, and the payload
 * streams behind it.
 *
 *     varint total | 0x0A varint header_len header | 0x12 varint payload_len payload
 *                                                    (absent when the payload is empty)
 *
 * A reader collects bytes until stepd_frame_parse has a whole head, hands the header to
 * proto/message, and then takes payload_bytes from the stream to wherever they belong. There is no
 * state: a parse that needs more is simply repeated with more bytes, and costs a few varints.
 */
#ifndef PROTO_FRAME_H
#define PROTO_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>
#include <stepd/types.h>

/* Longest head: length, tag and length and bytes of the header, tag and length of the payload. */
#define STEPD_FRAME_HEAD_MAX_BYTES (5u + 1u + 3u + STEPD_HEADER_MAX_BYTES + 1u + 5u)

/* What parse found. Offsets count from the first byte of the frame. */
struct stepd_frame_head {
    size_t header_at;     /* first byte of the encoded Header */
    size_t header_bytes;  /* its length; at most STEPD_HEADER_MAX_BYTES */
    size_t payload_at;    /* first byte of the payload: the length of the head */
    size_t payload_bytes; /* 0 if there is none */
};

enum stepd_frame_progress {
    STEPD_FRAME_NEED_MORE, /* bytes is the beginning of a frame; give more */
    STEPD_FRAME_HEAD,      /* *ret_head is filled in */
    STEPD_FRAME_BAD,       /* this is no frame of ours; *reterr says what it looks like */
};

/*
 * Reads a frame's head from the n bytes at `bytes` (borrowed until return). frame_max_bytes caps
 * the whole frame without its length prefix; the cap is checked before more is asked for.
 * STEPD_FRAME_BAD with RESOURCE_EXHAUSTED: over a cap (the text states it); with
 * INVALID_ARGUMENT: fields in another order, unknown fields, a length that contradicts another,
 * an overlong varint, or the first bytes of HTTP or TLS, which the text then names. Pure.
 */
enum stepd_frame_progress stepd_frame_parse(const uint8_t *bytes, size_t n, size_t frame_max_bytes,
                                            struct stepd_frame_head *ret_head,
                                            struct stepd_error *reterr);

/*
 * Bytes that a head takes for a header of this size and a payload of this size, header included.
 */
size_t stepd_frame_head_bytes(size_t header_bytes, size_t payload_bytes);

/*
 * Bytes of the head that stand in front of the header, and behind it. A writer reserves the first,
 * encodes the header, and adds the second; the payload follows from wherever it lies.
 * `before` holds STEPD_FRAME_BEFORE_MAX_BYTES, `after` STEPD_FRAME_AFTER_MAX_BYTES.
 */
#define STEPD_FRAME_BEFORE_MAX_BYTES 9u
#define STEPD_FRAME_AFTER_MAX_BYTES  6u
size_t stepd_frame_write_before(size_t header_bytes, size_t payload_bytes, uint8_t *before);
size_t stepd_frame_write_after(size_t payload_bytes, uint8_t *after);

/* The whole frame without its length prefix, which is what caps are about. */
size_t stepd_frame_bytes(size_t header_bytes, size_t payload_bytes);

/* The largest payload that a frame under this cap carries, whatever its header. 0: none at all. */
size_t stepd_frame_payload_max(size_t frame_max_bytes);

#endif
