/* SPDX-License-Identifier: Apache-2.0
 *
 * What one connection receives: bytes -> frames -> the requests they answer.
 *
 *     while the socket has bytes:
 *         stepd_reader_window(reader, &room)      where to put them
 *         n = read(socket, room.at, room.bytes)
 *         stepd_reader_advance(reader, n)         heads are decoded, payloads fall into place
 *
 * Small things are collected in a stash of 128 KiB, which always has room for a whole head. A
 * large run of payload is read straight into the caller's array: the window is then that array.
 * Elements of 16 bits are read to the end of the array and widened in place, so no payload is
 * ever copied through a buffer of its own size.
 *
 * A reply that nobody waits for (its call has given up) is read and dropped. Any breach of the
 * protocol makes advance fail; the connection is then of no more use.
 */
#ifndef CLIENT_LIB_CORE_READER_H
#define CLIENT_LIB_CORE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "client/lib/core/pending.h"
#include "proto/arena.h"

struct stepd_reader {
    struct stepd_pending *pending; /* borrowed */
    uint32_t shard;
    struct stepd_arena arena; /* of the message that is being worked off */
    uint8_t *stash;           /* owned */
    size_t start, end;        /* the unread bytes in it */
    bool direct;              /* the last window was the piece, not the stash */
    bool was_direct;          /* and so was that of the last bytes that came */
    uint64_t answers;         /* frames that belonged to a request other than a Hello */

    /* The frame whose payload is arriving. */
    struct stepd_message message;  /* points into the arena */
    size_t payload_left;           /* bytes */
    struct stepd_request *request; /* whom it answers; NULL: drop it */
    struct stepd_piece piece;      /* the run that is arriving */
    size_t piece_at;               /* bytes of it that are here */
    size_t piece_bytes;            /* bytes of it in all; 0: there is none */
};

struct stepd_room {
    uint8_t *at;
    size_t bytes; /* at least 1 */
};

/* RESOURCE_EXHAUSTED: no memory; deinit is fine nevertheless. */
enum stepd_status stepd_reader_init(struct stepd_reader *reader, struct stepd_pending *pending,
                                    uint32_t shard) STEPD_MUST_CHECK;

void stepd_reader_deinit(struct stepd_reader *reader);

/* Where the next bytes of the stream belong. Holds until the next advance. */
void stepd_reader_window(struct stepd_reader *reader, struct stepd_room *ret_room);

/* The first n bytes of the window have been filled. INTERNAL, INVALID_ARGUMENT,
 * RESOURCE_EXHAUSTED: the server broke the protocol. Others: the server ended the connection with
 * this error. */
enum stepd_status stepd_reader_advance(struct stepd_reader *reader, size_t n,
                                       struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
