/* SPDX-License-Identifier: Apache-2.0
 *
 * The link between two daemons, which survives its connections: letters arrive once and in order,
 * however often the connection between them breaks and is made anew.
 *
 *              begin        down         lease over
 *     EMPTY ----------> UP ------> DOWN -----------> LOST
 *       ^               ^           |                 |
 *       |               +-----------+                 |
 *       |                   go_on                     |
 *       +------------------ clear --------------------+
 *
 * Both ends have one, of the same code. Whoever dials (a member daemon) says Join with its
 * instance, the reign that it knows and the sequence that it expects; control answers Joined. Each
 * end asks peer_link_meet what that means, and then begins anew or goes on:
 *
 *     MEET_FIRST   nothing was known here: peer_link_begin
 *     MEET_ON      the same instance and reign: peer_link_go_on, which sends again what is not
 *                  seen. So too where the member has not heard of the reign that control has begun
 *                  with it, because the connection broke before
 *     MEET_OTHER   another process, or one that has forgotten this reign. Control: the daemon that
 *                  had a part in this reign is lost, so a reign must begin. Member: another reign
 *                  has begun, so its shards forget everything; then peer_link_begin
 *     MEET_TAKEN   control: another process, and the connection of the first one lives: refuse it
 *     MEET_BROKEN  they cannot go on, though they should; the text says why. Control: as OTHER.
 *                  Member: its shards forget everything, peer_link_clear, and it joins again
 *
 * A letter travels in pieces of at most PEER_PIECE_MAX_BYTES, each a frame with a sequence number
 * from 1 on and, beside it, up to which number this end has seen all. What the other end has not
 * seen is kept. A frame with sequence 0 carries nothing: it says what was seen, and that we live.
 *
 * Time is an argument, and whoever owns the link owns its connection: peer_link_next says what to
 * write, peer_link_receive takes what was read.
 */
#ifndef PEER_LINK_H
#define PEER_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "proto/frame.h"
#include "proto/message.h"
#include "server/peer/letter.h"

#define PEER_INSTANCE_BYTES 16u

/* Fits the smallest frame that a daemon may be set to take. */
#define PEER_PIECE_MAX_BYTES (STEPD_FRAME_LEAST_BYTES / 2u - 64u)

#define PEER_LEASE_MS_DEFAULT  60000u
#define PEER_PING_MS_DEFAULT   1000u
#define PEER_SILENT_MS_DEFAULT 10000u
#define PEER_KEPT_MAX_BYTES    ((size_t)1 << 30)

struct peer_link_options {
    bool dials;              /* this end says Join: a member daemon's */
    bool tells_at_once;      /* ... and what has come: the other end waits to hear of it */
    uint64_t lease_ms;       /* nothing has come for so long: the other daemon is lost */
    uint64_t ping_ms;        /* something is sent at least this often; at least 1 */
    uint64_t silent_ms;      /* a connection on which nothing has come for so long is given up */
    size_t kept_max_bytes;   /* of letters that the other end has not seen */
    size_t letter_max_bytes; /* of one that comes in; PEER_LETTER_MAX_BYTES, but for tests */
};

enum peer_link_state {
    PEER_LINK_EMPTY, /* no other end is known */
    PEER_LINK_UP,    /* there is a connection */
    PEER_LINK_DOWN,  /* there is none, and the lease runs, from what came last */
    PEER_LINK_LOST, /* the lease is over, too much was kept, or what came is of no use: nothing more
                     * goes or comes */
};

enum peer_meet {
    PEER_MEET_FIRST,
    PEER_MEET_ON,
    PEER_MEET_OTHER,
    PEER_MEET_TAKEN,
    PEER_MEET_BROKEN,
};

/* What the other end has said of itself in Join or Joined. */
struct peer_terms {
    uint8_t instance[PEER_INSTANCE_BYTES]; /* the member's, on both ends */
    uint64_t reign;                        /* 0: it knows none */
    uint64_t expects;                      /* the sequence of the next piece */
};

struct peer_link;

/* NULL: no memory. Caller frees with peer_link_destroy. */
struct peer_link *peer_link_create(const struct peer_link_options *options);
/* NULL is fine. Returns NULL. */
struct peer_link *peer_link_destroy(struct peer_link *link);

enum peer_link_state peer_link_state(const struct peer_link *link);
/* For Join and Joined: 0 on an empty link, and the sequence of the next piece that is to come. */
uint64_t peer_link_reign(const struct peer_link *link);
uint64_t peer_link_expects(const struct peer_link *link);
/* The sequence of the last piece that was posted, and up to which the other end has seen all. */
uint64_t peer_link_posted(const struct peer_link *link);
uint64_t peer_link_seen(const struct peer_link *link);
/* Bytes that letters take which wait to be seen. */
size_t peer_link_kept(const struct peer_link *link);

/* What another daemon's terms mean for this link, which stays as it is. reterr: for TAKEN and
 * BROKEN, why. */
enum peer_meet peer_link_meet(const struct peer_link *link, const struct peer_terms *terms,
                              struct stepd_error *reterr);

/* Forgets everything, letters not seen among it. */
void peer_link_clear(struct peer_link *link);

/* The same, and begins anew over a connection: with this instance, in this reign. */
void peer_link_begin(struct peer_link *link, const uint8_t instance[PEER_INSTANCE_BYTES],
                     uint64_t reign, uint64_t now_ms);

/* After MEET_ON of these terms: a connection has taken the place of the one before, from which
 * nothing may be received any more. */
void peer_link_go_on(struct peer_link *link, const struct peer_terms *terms, uint64_t now_ms);

/* The connection is gone. Of a link that is not up: nothing happens. */
void peer_link_down(struct peer_link *link, uint64_t now_ms);

/* A letter that has come cannot be used, and will not come again: the link is LOST. Of an EMPTY
 * one: nothing happens. */
void peer_link_break(struct peer_link *link);

/*
 * Gives the link a letter to carry. Takes ownership of the reference, in every case.
 * RESOURCE_EXHAUSTED: no memory, or more would be kept than may be: the link is LOST, and the text
 * says why. UNAVAILABLE: the link is EMPTY or LOST; the letter is thrown away.
 */
enum stepd_status peer_link_post(struct peer_link *link, struct peer_bytes *letter,
                                 struct stepd_error *reterr) STEPD_MUST_CHECK;

/* A frame to write. */
struct peer_frame {
    struct stepd_letter head;
    struct peer_bytes *letter; /* a reference: to be given back when it is written or never will be.
                                * NULL: there is no payload */
    const uint8_t *at;         /* the payload, in it */
    size_t n;
};

/* The next frame to write, behind those before. False: none is due. To be asked behind every other
 * call, as long as the connection takes more. */
bool peer_link_next(struct peer_link *link, uint64_t now_ms, struct peer_frame *ret_frame);

/* Bytes of a frame have come in, if not all: the other end lives. */
void peer_link_heard(struct peer_link *link, uint64_t now_ms);

/* A whole letter that has come in; n 0: none has, or not all of it. */
struct peer_received {
    const uint8_t *at; /* borrowed: from the payload that was given, or from `letter` */
    size_t n;
    struct peer_bytes *letter; /* NULL, or a reference: to be given back */
};

/*
 * Takes a frame that came over the connection: its head and payload, borrowed until return. What
 * was seen before is dropped. INVALID_ARGUMENT: a gap, or what cannot be; the text says what: the
 * connection is to be closed and the link is LOST. RESOURCE_EXHAUSTED: no memory; likewise.
 */
enum stepd_status peer_link_receive(struct peer_link *link, const struct stepd_letter *head,
                                    const struct peer_opaque *payload, uint64_t now_ms,
                                    struct peer_received *ret_received,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

enum peer_due {
    PEER_DUE_NOTHING,
    PEER_DUE_CLOSE, /* nothing has come for silent_ms: close the connection; the link is DOWN */
    PEER_DUE_LOST,  /* the lease is over; the link is LOST. Said once */
};

/* Time has passed. reterr: for CLOSE and LOST, why, in words for the log and for clients. */
enum peer_due peer_link_on_tick(struct peer_link *link, uint64_t now_ms,
                                struct stepd_error *reterr);

#endif
