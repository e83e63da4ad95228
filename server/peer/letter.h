/* SPDX-License-Identifier: Apache-2.0
 *
 * What daemons that serve one job say to each other, as bytes: orders of control to the shards of a
 * member daemon, notices of those shards, and notes that daemons give each other about themselves.
 *
 *     pack      an order, notice or note -> one letter: bytes that link.h carries
 *     unpack    the bytes of a letter    -> the very same, each number bit for bit
 *     fits      does what was unpacked go with the job that it is about?
 *
 * Both ends are of one version (Join says which), so a letter is written field by field, without
 * room for fields that only one end knows; writer.h has the alphabet. Still nothing of it is
 * trusted: every count is checked against the bytes that are there before memory is taken, every
 * text is printable, and a job is made the way a client's definition is.
 *
 * What is not in it: the state that slices go on from, and first weights that come from elsewhere.
 * An order says where both are to be found (order.h: checkpoint, first_elsewhere). The state that a
 * shard lends out goes beside its notice, as bytes that somebody else has made of it.
 */
#ifndef PEER_LETTER_H
#define PEER_LETTER_H

#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "server/model/order.h"

/* The longest letter. */
#define PEER_LETTER_MAX_BYTES ((size_t)512 << 20)

/* Bytes that the queue of a link, what is being written, and whoever made them share; of one
 * thread, so the count is not atomic. */
struct peer_bytes {
    unsigned refs;
    size_t n;
    uint8_t *at; /* owned; NULL: none */
};

struct peer_bytes *peer_bytes_ref(struct peer_bytes *bytes);
/* NULL is fine. Returns NULL. */
struct peer_bytes *peer_bytes_unref(struct peer_bytes *bytes);

/* Bytes that whoever has packed them understands. */
struct peer_opaque {
    size_t n;
    const uint8_t *at;
};

enum peer_note_kind {
    PEER_NOTE_PROBED,  /* of a member: it has looked for control's probe; see error */
    PEER_NOTE_LEAVING, /* of a member: it is to end, and waits for RELEASED */
    PEER_NOTE_RELEASED,
    PEER_NOTE_WRITE,   /* of control: write your part of a checkpoint; number to answer with */
    PEER_NOTE_WRITTEN, /* of a member: it is on disk; see error */
    PEER_NOTE_DISCARD, /* of control: nothing more becomes of the checkpoint of that number */
};

/* What daemons tell each other beside orders and notices. Beyond number and error only those who
 * send and take a kind know what is in it. */
struct peer_note {
    enum peer_note_kind kind;
    uint64_t number;
    const char *text; /* printable; at most PEER_NOTE_TEXT_BYTES */
    struct peer_opaque bytes;
    struct stepd_error error; /* code OK: none */
};

#define PEER_NOTE_TEXT_BYTES 1024u

enum peer_letter_kind {
    PEER_ORDER = 1,
    PEER_NOTICE = 2,
    PEER_NOTE = 3,
};

/* An unpacked letter. */
struct peer_letter {
    enum peer_letter_kind kind;
    uint32_t shard;           /* ORDER: the first that it goes to, counted over all daemons */
    uint32_t shards;          /* and how many; at least 1 */
    struct order *order;      /* owned; ORDER */
    struct notice *notice;    /* owned; NOTICE; its shard is counted over all daemons */
    size_t sums;              /* NOTICE: how many notice->sum has */
    struct peer_opaque share; /* NOTICE_SNAPSHOT: borrowed from the bytes of the letter */
    struct peer_note note; /* NOTE: borrowed from the letter, its bytes from the letter's bytes */
    char *text;            /* owned; the note's */
};

/*
 * Packs an order to the shards from `shard` on. order->state and order->first are not looked at:
 * checkpoint and first_elsewhere travel. RESOURCE_EXHAUSTED: no memory, or longer than a letter may
 * be; the text says which, and the job. *ret_bytes: the caller gives the reference back with
 * peer_bytes_unref.
 */
enum stepd_status peer_order_pack(const struct order *order, uint32_t shard, uint32_t shards,
                                  struct peer_bytes **ret_bytes,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

/* A notice of notice->shard. sums: how many notice->sum has (gate_blocks). notice->state is not
 * looked at: share (NULL: none) is what travels of it. Errors and result as above. */
enum stepd_status peer_notice_pack(const struct notice *notice, size_t sums,
                                   const struct peer_opaque *share, struct peer_bytes **ret_bytes,
                                   struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Likewise. */
enum stepd_status peer_note_pack(const struct peer_note *note, struct peer_bytes **ret_bytes,
                                 struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * INVALID_ARGUMENT: this is no letter of ours; the text says what is wrong with which field.
 * RESOURCE_EXHAUSTED: no memory. A job in it is checked as a definition is (job.h), with the same
 * errors. *ret_letter: caller frees with peer_letter_deinit; it borrows from `bytes`.
 */
enum stepd_status peer_letter_unpack(const uint8_t *bytes, size_t n, struct peer_letter *ret_letter,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

/* A zeroed letter is fine. order and notice may have been taken out (NULL). */
void peer_letter_deinit(struct peer_letter *letter);

#endif
