/* SPDX-License-Identifier: Apache-2.0
 *
 * A connection to control or to a shard: bytes on their way up, in real frames or none, which
 * arrive in whatever portions; and replies on their way down, whose weights stay where they are
 * until they are read, as in a socket that nobody empties. Weights that change meanwhile are seen.
 */
#ifndef TESTS_FUZZ_PEER_H
#define TESTS_FUZZ_PEER_H

#include "tests/fuzz/brains.h"
#include "tests/sim/bytes.h"

struct reply;

/* A reply is read. Message and payload are borrowed until return. */
typedef void peer_read_fn(void *owner, const struct stepd_message *message, const uint8_t *payload,
                          size_t payload_bytes);

struct peer {
    struct brains *brains; /* borrowed */
    uint32_t host;         /* BRAINS_CONTROL, or a shard */
    peer_read_fn *on_read; /* NULL: nobody looks */
    void *owner;
    void *conn; /* NULL: its host has lost it */
    bool held;
    struct bytes up;
    size_t arrived; /* bytes of up */
    size_t taken;   /* of these, what its host has taken */
    size_t payload_left;
    struct reply *replies; /* owned; the first to be read */
    struct reply **replies_end;
    size_t unread;      /* bytes of their payloads */
    bool choked;        /* they are too many: it takes no more weights */
    bool gives_way;     /* to steps */
    bool cut;           /* it has, and is to be closed */
    struct peer *next;  /* of those of its brains */
    uint8_t *gradients; /* owned; memory that it shares with its shard; NULL: none */
    size_t gradients_bytes;
};

/* A connection that was closed may be opened again. */
void peer_open(struct peer *peer, struct brains *brains, uint32_t host);
/* It is lost, with all on its way. One that is closed, or zeroed, is fine. */
void peer_close(struct peer *peer);

void peer_send_bytes(struct peer *peer, const void *bytes, size_t n);
/* A frame. A message that cannot be encoded is not sent. */
void peer_send(struct peer *peer, const struct stepd_message *message, const void *payload,
               size_t payload_bytes);

/* At most n bytes arrive. */
void peer_carry(struct peer *peer, size_t n);

/* At most n replies are read. */
void peer_read(struct peer *peer, size_t n);

/* Closes the peers that have been cut. False: there are none. */
bool peers_close_cut(struct brains *brains);

/* ---- For brains.c ---------------------------------------------------------------------------- */

/* Zeroed pages. */
uint8_t *peer_pages(size_t bytes);

void peer_on_reply(struct peer *peer, const struct stepd_message *message,
                   const struct core_piece *piece, size_t pieces);
void peer_on_hang_up(struct peer *peer);
void peer_on_hold(struct peer *peer, bool hold);
const uint8_t *peer_on_lend(struct peer *peer, size_t gradients_bytes);

/* References to the weights that wait to be read by peers that give way; and has
 * peers_close_cut() close these, whose number it returns. */
size_t peers_in_the_way(const struct brains *brains, const struct weights *weights);
size_t peers_cut(const struct brains *brains, const struct weights *weights);

#endif
