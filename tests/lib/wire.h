/* SPDX-License-Identifier: Apache-2.0
 *
 * A client that sends what the test says, right or wrong, byte by byte, and reads the frames that
 * come back. It blocks, and gives up (failing the test) after WIRE_PATIENCE_S.
 */
#ifndef TESTS_LIB_WIRE_H
#define TESTS_LIB_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/arena.h"
#include "proto/message.h"

enum { WIRE_PATIENCE_S = 60, WIRE_ROOM_BYTES = 1 << 20 };

struct wire {
    int fd; /* -1: not connected */
    size_t count;
    uint8_t bytes[WIRE_ROOM_BYTES]; /* received and not consumed yet */
    struct stepd_arena arena;
    /* The frame that was received last, until the next. */
    struct stepd_message message;
    size_t frame_bytes;
    const uint8_t *payload;
    size_t payload_bytes;
};

/* Connects to a port of loopback, or to a Unix socket. */
struct wire *wire_connect(uint16_t port);
struct wire *wire_connect_unix(const char *path);

/* NULL is fine. */
void wire_close(struct wire *wire);

/* Sends bytes as they are. False: the server has closed. */
bool wire_write(struct wire *wire, const void *bytes, size_t n);

/* Sends a frame. */
void wire_send(struct wire *wire, const struct stepd_message *message, const void *payload,
               size_t payload_bytes);

/* Sends no more; what the server has to say can still be read. */
void wire_shut(struct wire *wire);

/* Receives a frame into wire->message. False: the server has closed instead. */
bool wire_receive_or_end(struct wire *wire);

/* Receives a frame; it must come. */
const struct stepd_message *wire_receive(struct wire *wire);

/* Receives an Error and compares its code, and a fragment of its text. */
void wire_expect_error(struct wire *wire, enum stepd_status code, const char *fragment);

/* Nothing but the end may come, and no reset. */
void wire_expect_end(struct wire *wire);

#endif
