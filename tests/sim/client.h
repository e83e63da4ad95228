/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker's process with the real brain of libstepd, and a body of the simulation's: its links go
 * over link.h's connections, as bytes, in whatever portions the simulation chooses, and time comes
 * from outside. What is sent stays in the caller's arrays until its bytes leave, as with sockets.
 */
#ifndef TESTS_SIM_CLIENT_H
#define TESTS_SIM_CLIENT_H

#include "client/lib/core/brain.h"
#include "tests/lib/random.h"
#include "tests/sim/host.h"
#include "tests/sim/link.h"

struct wire;

/* Where processes live; borrowed by all of them. */
struct client_world {
    const struct plan *plan;
    struct host *host; /* the shards, and control behind them */
    struct random *random;
    uint64_t now_ms;
    bool down;     /* the daemon is not there */
    uint64_t base; /* of the job's lineages at this daemon: lineages.h */
    void *owner;
    /* A connection was made, which is the owner's. False: there is no room for one. */
    bool (*linked)(void *owner, struct link *link);
};

struct client {
    struct client_world *world;
    uint32_t rank;
    struct stepd_brain brain;
    uint64_t wake_ms; /* of the links */
    uint64_t tick_ms; /* of the brain */
    uint64_t beat_ms;
    bool connecting[PLAN_SHARDS_MAX + 1];   /* by Hello.shard */
    struct wire *wire[PLAN_SHARDS_MAX + 1]; /* owned; NULL: no connection */
    uint64_t base;                          /* of the daemon that it has read from last */
    unsigned rollbacks;                     /* that it was told of */
    bool ended;                             /* the links were given up */
};

/* A new process for a rank. Its brain has nothing to do yet. */
void client_init(struct client *client, struct client_world *world, uint32_t rank);

/* The process dies: what is under way fails with CANCELLED, and what it had sent may arrive yet. */
void client_deinit(struct client *client);

/* Does something that is due: connects, writes some bytes, wakes its links, sends a heartbeat. */
void client_act(struct client *client);

/* The daemon's end of a connection has broken, and all bytes that will come have come. False: the
 * connection is of another process. */
bool client_on_end(struct client *client, const struct link *link);

#endif
