/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing the bytes of a letter:
 *
 *     whole numbers   seven bits a byte, the lowest first; the top bit says that more follow
 *     doubles, floats their bits, the lowest byte first
 *     texts           their length and 1, and their bytes; 0: there is none
 *     lists           how many, and each
 *
 * A failure sticks: whoever writes asks once, at the end.
 */
#ifndef PEER_WRITER_H
#define PEER_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "server/peer/letter.h"

/* A zeroed one is empty. */
struct peer_writer {
    uint8_t *at; /* owned */
    size_t n;
    size_t room;
    enum stepd_status status; /* RESOURCE_EXHAUSTED: no memory; OUT_OF_RANGE: too long */
};

void peer_put(struct peer_writer *writer, const void *bytes, size_t n);
void peer_put_number(struct peer_writer *writer, uint64_t number);
void peer_put_double(struct peer_writer *writer, double number);
void peer_put_float(struct peer_writer *writer, float number);
/* NULL: none. */
void peer_put_text(struct peer_writer *writer, const char *text);
/* How many, and each. */
void peer_put_u32s(struct peer_writer *writer, const uint32_t *number, size_t count);
void peer_put_error(struct peer_writer *writer, const struct stepd_error *error);
void peer_put_opaque(struct peer_writer *writer, const struct peer_opaque *opaque);

/*
 * What was written, as a letter; the writer is empty then. RESOURCE_EXHAUSTED: something has
 * failed; the text begins with what the letter is, and says what to do where it is too long.
 * *ret_bytes: the caller gives the reference back.
 */
enum stepd_status peer_writer_end(struct peer_writer *writer, const char *what,
                                  struct peer_bytes **ret_bytes,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Throws away what was written. */
void peer_writer_deinit(struct peer_writer *writer);

#endif
