/* SPDX-License-Identifier: Apache-2.0
 *
 * What connections lead to: a shard's core, or control; each with a queue, as the daemon's threads
 * have one. Orders, notices and new connections come through the queues in their order, and as late
 * as the simulation likes.
 */
#ifndef TESTS_SIM_HOST_H
#define TESTS_SIM_HOST_H

#include "server/base/limit.h"
#include "server/control/control.h"
#include "server/core/core.h"
#include "tests/lib/random.h"
#include "tests/sim/witness.h"

struct link;
struct snapshots;

struct host {
    const struct plan *plan;
    struct witness *witness;
    const uint64_t *now_ms;
    uint32_t shard;              /* index; of control as many as there are shards */
    struct core *core;           /* owned; NULL of control */
    struct control *control;     /* owned; NULL of a shard */
    struct random ids;           /* control's: of sessions */
    struct snapshots *snapshots; /* control's; borrowed; NULL: none are taken */
    bool dead;                   /* of what it does nobody hears */
    struct limits limits;        /* of a shard: memory for old versions, now and then none */
    struct link *links;          /* borrowed; linked by link_next */
    struct host *all;            /* borrowed: the shards, and control behind them */
    struct letter *letters;      /* owned; the first to come */
    struct letter **letters_end;
};

/* Makes hosts for all shards, and one for control behind them. All pointers are borrowed until
 * hosts_deinit. */
void hosts_init(struct host *all, const struct plan *plan, struct witness *witness,
                const uint64_t *now_ms);
/* All links are gone. */
void hosts_deinit(struct host *all, const struct plan *plan);

/*
 * The daemon dies, with all that it knows; and begins again, with nothing, `life` being another
 * number each time. In between the links are to crash (links_crash). What the shards do from then
 * on is for this witness to see.
 */
void hosts_kill(struct host *all, const struct plan *plan);
void hosts_restart(struct host *all, const struct plan *plan, struct witness *witness,
                   uint64_t life);

/* Nobody is connected to this shard any more: it keeps no request, and of no gradient a part.
 * known: all slices have the plan's last version. */
void host_check_end(const struct host *host, bool known);

/* Does this control know that a rank has left the job? */
bool host_has_left(const struct host *control, uint32_t rank);

/* Takes the first letter of the queue; a shard without any uses the idle moment. False: there was
 * nothing to do. */
bool host_deliver(struct host *host);
void host_tick(struct host *host);

/* ---- For link.c ------------------------------------------------------------------------------ */

/* A link is to be opened when its turn comes. */
void host_post_link(struct host *host, struct link *link);

/* A connection of either kind; conn is what host_open gave. */
void *host_open(const struct host *host, struct link *link);
enum stepd_status host_message(const struct host *host, void *conn,
                               const struct stepd_message *message, uint64_t payload_bytes,
                               struct stepd_error *reterr);
uint8_t *host_window(const struct host *host, void *conn, size_t *ret_room);
void host_filled(const struct host *host, void *conn, size_t n);
void host_close(const struct host *host, void *conn);
void host_release(const struct host *host, struct weights *weights);
void host_taken(const struct host *host, void *conn);

#endif
