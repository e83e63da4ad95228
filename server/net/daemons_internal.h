/* SPDX-License-Identifier: Apache-2.0
 *
 * What daemons.c (who has joined, reigns), daemons_tick.c (what time does to them),
 * daemons_letters.c (what is said meanwhile) and daemons_list.c (what is said of them) share.
 */
#ifndef NET_DAEMONS_INTERNAL_H
#define NET_DAEMONS_INTERNAL_H

#include "server/base/log_limit.h"
#include "server/net/daemons.h"
#include "server/net/peer_conn.h"
#include "server/peer/roster.h"

enum daemons_state {
    DAEMONS_GATHERING,
    DAEMONS_REIGNING,
    DAEMONS_ENDING,
    DAEMONS_CLOSED, /* this daemon ends */
};

/* An order on its way to another daemon. */
struct sent_order {
    uint64_t number;   /* of all that were sent to others */
    uint64_t sequence; /* of the last piece of its letter */
};

/* A state that a shard of another daemon has lent, as far as it was sent. */
struct remote_share {
    struct remote_share *next;
    uint32_t shard;
    uint64_t query;
    struct job_state *state; /* a reference */
};

/* Another daemon. */
struct daemon_link {
    struct peer_conn *conn; /* NULL: there is none; GATHERING: that waits for Joined */
    struct peer_link *link; /* owned */
    uint8_t instance[PEER_INSTANCE_BYTES];
    struct stepd_error rejected; /* why this instance is refused; code OK: it is not */
    uint64_t away_ms;            /* since when there is no connection */
    bool warned;                 /* of the clock of this instance */
    bool broken;                 /* a letter could not be sent: the next tick ends the reign */
    struct sent_order *sent;     /* owned; a ring of those that have not arrived */
    size_t first;
    size_t count;
    size_t room;
};

struct daemons {
    struct daemons_options options;
    struct peer_conns *conns; /* owned */
    enum daemons_state state;
    uint64_t reign;
    struct roster roster;
    struct log_limit refused;   /* what strangers can make the log say */
    struct daemon_link *link;   /* owned; options.count of them, the first of which is unused */
    uint64_t say_ms;            /* GATHERING: when who has come is told next that others have not */
    uint64_t log_ms;            /* GATHERING: when the log is told next; 0: not yet known */
    uint64_t ordered;           /* orders sent to other daemons */
    const char **shard_address; /* owned list; of the reign */
    struct remote_share *share; /* owned */
};

/* ---- daemons.c ------------------------------------------------------------------------------- */

void daemons_begin_if_whole(struct daemons *daemons);

/* Hangs up on a daemon, which will join again. */
void daemons_drop(struct daemons *daemons, size_t place, const struct stepd_error *why);

/* The connection of a daemon is gone. */
void daemons_closed(struct daemons *daemons, struct peer_conn *conn, const struct stepd_error *why);

/* The daemon is lost, and with it the reign. */
void daemons_lose(struct daemons *daemons, size_t place, const struct stepd_error *why);

/* ---- daemons_letters.c ----------------------------------------------------------------------- */

/* A letter of the daemon of this place. Errors as peer_conns_io.letter. */
enum stepd_status daemons_letter(struct daemons *daemons, size_t place, const uint8_t *bytes,
                                 size_t n, struct stepd_error *reterr);

/* The other end has seen more: forgets what has arrived. */
void daemons_note_arrived(struct daemon_link *link);

/* A reign has ended: forgets what of it was on the way or lent. */
void daemons_forget_letters(struct daemons *daemons);

#endif
