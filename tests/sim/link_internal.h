/* SPDX-License-Identifier: Apache-2.0
 *
 * What link.c (bytes) and link_unread.c (who does not read them) share.
 */
#ifndef TESTS_SIM_LINK_INTERNAL_H
#define TESTS_SIM_LINK_INTERNAL_H

#include "tests/sim/bytes.h"
#include "tests/sim/link.h"

enum { LINK_REQUESTS_MAX = 4096 };

/* Bytes on their way down. */
struct run {
    struct run *next;
    uint8_t *head;           /* owned; or NULL */
    struct weights *weights; /* a reference; or NULL */
    const uint8_t *bytes;
    size_t count;
};

/* A request that has reached the core. */
struct asked {
    uint64_t id;
    uint64_t deadline_ms;
    bool whole; /* its payload is in */
    bool ended;
};

struct link {
    struct host *host;
    struct link *next; /* of the host's */
    uint32_t rank;
    link_frame_fn *on_frame; /* exactly one of the two */
    link_bytes_fn *on_bytes;
    void *owner;
    bool posted; /* its turn to be opened has not come */
    bool broken; /* before that */
    void *conn;  /* NULL: the host has lost it, or has not got it */
    bool worker_lost;
    bool deaf;
    uint64_t read_ms; /* when it read last, or had nothing to read */

    struct bytes up;
    size_t arrived; /* bytes of up */
    size_t taken;   /* of these, what the core has taken */
    size_t payload_left;
    bool held;      /* the core takes nothing now */
    bool choked;    /* too many of its replies are unsent */
    bool gives_way; /* to steps */
    bool cut;       /* it has */
    bool closing;   /* what is on its way is being given back */

    struct run *runs; /* first to go */
    struct run **runs_end;
    struct bytes down; /* arrived, and not yet a whole frame */

    size_t requests;
    struct asked asked[LINK_REQUESTS_MAX];
};

/* Something was replied, or taken by the worker. */
void link_note_reply(struct link *link);
void link_note_taken(struct link *link);

#endif
