/* SPDX-License-Identifier: Apache-2.0
 *
 * What deputy.c (attempts, links, letters) and deputy_joining.c (a Join that is not answered yet)
 * share.
 */
#ifndef NET_DEPUTY_INTERNAL_H
#define NET_DEPUTY_INTERNAL_H

#include <stdatomic.h>

#include "server/net/deputy.h"
#include "server/net/peer_conn.h"

#define DEPUTY_REST_FIRST_MS 100u

/* The same is said again: nothing else says why nothing happens. */
#define DEPUTY_LOG_AGAIN_MS 60000u

enum deputy_state {
    DEPUTY_RESTING,
    DEPUTY_DIALLING,
    DEPUTY_JOINING,
    DEPUTY_JOINED,
    DEPUTY_CLOSED,
};

struct deputy {
    struct deputy_options options;
    struct peer_conns *conns; /* owned */
    struct peer_link *link;   /* owned */
    struct peer_conn *conn;   /* NULL: there is none */
    enum deputy_state state;
    uint64_t reign;
    uint32_t first;
    uint64_t next_ms; /* RESTING: of the next attempt */
    uint32_t rest_ms;
    bool waits;        /* JOINING: control's daemon has said that it does, for others */
    uint64_t log_ms;   /* the log is told the same again from then on */
    uint64_t heard_ms; /* JOINING: of the last word of control's daemon */
    bool dialling;     /* another thread does */
    atomic_bool stop;  /* it is of no use */
    bool had_reign;
    bool owes_reset;            /* the shards do not know yet that they have none any more */
    bool broken;                /* a letter could not be sent: the link begins anew */
    struct stepd_error trouble; /* that the log was told of; code OK: none */
};

/* ---- deputy.c -------------------------------------------------------------------------------- */

/* Tells the log why there is no link, unless it knows. Borrowed until return. */
void deputy_note_trouble(struct deputy *deputy, const struct stepd_error *why);

/* There is no connection: the next attempt comes after a while. */
void deputy_rest(struct deputy *deputy);

/* ---- deputy_joining.c ------------------------------------------------------------------------ */

/* As peer_conns_io.waits. */
void deputy_on_waits(void *owner, struct peer_conn *conn);

/* Time has passed. */
void deputy_tick_joining(struct deputy *deputy, uint64_t now_ms);

#endif
