/* SPDX-License-Identifier: Apache-2.0
 *
 * How threads of the daemon talk: each has a mailbox on its loop, anybody may post a letter, and
 * letters are delivered on the loop's thread in the order they were posted. Nothing else is shared
 * between threads.
 */
#ifndef NET_MAILBOX_H
#define NET_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include <stepd/status.h>

#include "server/model/order.h"
#include "server/net/caller.h"

enum letter_kind {
    /* to a shard */
    LETTER_ORDER,  /* order: control decided */
    LETTER_CALLER, /* caller: serve this connection */
    /* to the main thread */
    LETTER_NOTICE,  /* notice: a shard tells control */
    LETTER_KNOWN,   /* one stranger fewer: it was let in */
    LETTER_GONE,    /* known: one connection fewer, which had been let in or not */
    LETTER_WRITTEN, /* written: a checkpoint, or not */
    LETTER_TOLD,    /* told: something of whoever owns the server */
    LETTER_ENDED,   /* shard: its thread does nothing any more and can be joined */
    /* to both */
    LETTER_BEAT,  /* does your loop still turn? Back: shard's does */
    LETTER_DRAIN, /* finish what was said, close, end */
    LETTER_CUT,   /* close and end now */
    LETTER_LOST,  /* there was no memory to keep a letter: the daemon cannot go on */
};

struct server_written;

/* What somebody beside the server has done on another thread. */
struct told {
    void (*take)(void *owner, void *what); /* takes ownership of it */
    void (*drop)(void *what);              /* likewise, where nobody takes it */
    void *owner;
    void *what;
};

struct letter {
    enum letter_kind kind;
    uint32_t from; /* NOTICE: the shard, counted in this daemon; 0 first */

    union { /* owned by the letter until it is delivered */
        struct order *order;
        struct notice *notice;
        struct caller *caller;
        struct server_written *written;
        struct told told;
        uint32_t shard;
        bool known;
    };
};

/* Letters of the kinds ENDED, DRAIN and CUT that a mailbox takes even without memory, between two
 * deliveries: an ENDED of every shard that there may be, and stops. */
#define MAILBOX_RESERVED 128u

struct mailbox {
    uv_async_t async;
    uv_mutex_t mutex;      /* guards what follows */
    struct letter *letter; /* owned; posted and not yet delivered */
    size_t letters;
    size_t room;
    bool lost;
    bool closed;
    /* of the loop's thread alone */
    struct letter *spare; /* owned; where `letter` goes on after a delivery */
    size_t spare_room;
    void (*deliver)(void *owner, const struct letter *letter);
    void *owner;
};

/*
 * deliver is called on the loop's thread and takes ownership of what the letter carries. The
 * mailbox must not move. RESOURCE_EXHAUSTED: no memory, threads' objects or descriptors; nothing is
 * left behind then. The loop's thread, or before it starts.
 */
enum stepd_status mailbox_init(struct mailbox *mailbox, uv_loop_t *loop,
                               void (*deliver)(void *owner, const struct letter *letter),
                               void *owner) STEPD_MUST_CHECK;

/*
 * Takes ownership of what the letter carries, in every case: a closed mailbox throws it away, and
 * one without memory delivers LETTER_LOST instead, unless it is one of the MAILBOX_RESERVED. Any
 * thread, until mailbox_deinit.
 */
void mailbox_post(struct mailbox *mailbox, struct letter letter);

/* No letter is delivered from now on. The loop must run once more before mailbox_deinit. */
void mailbox_close(struct mailbox *mailbox);

/* After mailbox_close, when nobody posts any more: throws away what was not delivered. */
void mailbox_deinit(struct mailbox *mailbox);

#endif
