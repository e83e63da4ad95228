/* SPDX-License-Identifier: Apache-2.0
 *
 * Control's side of the links to the other daemons, and its reigns: one begins when all of them
 * have joined, and ends when one is lost.
 *
 *     GATHERING --all have joined--> REIGNING --one is lost--> ENDING --daemons_gather--> GATHERING
 *
 * While it reigns, orders to shards of other daemons and notices from there go through letters,
 * which arrive in order and once, whatever becomes of connections in between.
 */
#ifndef NET_DAEMONS_H
#define NET_DAEMONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include <stepd/status.h>

#include "proto/message.h"
#include "server/base/log.h"
#include "server/control/control.h"
#include "server/net/caller.h"

struct access_grant;
struct daemons;
struct peer_note;

struct daemons_io {
    void *owner;

    /* May this daemon join, and may it stay? As control_admits_daemon, control_daemon_came and
     * control_keeps_daemon. */
    enum stepd_status (*admits)(void *owner, const struct control_caller *caller,
                                const struct stepd_join *join,
                                const struct access_grant **ret_grant, struct stepd_error *reterr);
    void (*came)(void *owner, size_t place, const struct access_grant *grant);
    enum stepd_status (*keeps)(void *owner, size_t place, struct stepd_error *reterr);

    /* A reign begins: all orders from now on are of it. The addresses of all shards, "" for those
     * of this daemon, are borrowed until the next reign begins. */
    void (*begun)(void *owner, uint32_t shards, const char *const *address);

    /* It has ended: why, borrowed until return. No notice of it comes any more. daemons_gather
     * follows, when nobody reads anything of it. */
    void (*ended)(void *owner, const struct stepd_error *why);

    /* Of a shard of another daemon. Takes ownership. */
    void (*notice)(void *owner, struct notice *notice);

    /* A note of the daemon of this place. Borrowed until return. */
    void (*note)(void *owner, size_t place, const struct peer_note *note);

    /* More orders have arrived. */
    void (*settled)(void *owner);

    /* The definition that a notice must fit; NULL: there is no such job. */
    struct job *(*job)(void *owner, const char *name);

    /* A daemon has been let in at the door, and is no stranger any more. */
    void (*known)(void *owner);

    /* A socket that was served is gone, which had been let in or not. */
    void (*gone)(void *owner, bool known);
};

/* Texts are borrowed as long as the daemons. */
struct daemons_options {
    uv_loop_t *uv;
    const struct log *log; /* may be NULL */
    const char *version;
    uint32_t shards; /* of this daemon */
    size_t count;    /* daemons in all, this one, the first, among them */
    const char *const *address;
    bool tls;     /* workers reach all of them by it */
    bool by_host; /* nobody else says who is a daemon: its certificate must hold for its host */
    uint32_t lease_ms;
    uint32_t write_timeout_ms;
    uint32_t read_timeout_ms;
    size_t frame_max_bytes;
    const char *probe; /* that a daemon must see in its folder of checkpoints; "": none */
    uint64_t seed;     /* a random number: reigns count from there */
    struct daemons_io io;
};

/* NULL: no memory. The caller frees with daemons_destroy. */
struct daemons *daemons_create(const struct daemons_options *options);

/* All connections must be gone. NULL is fine. Returns NULL. */
struct daemons *daemons_destroy(struct daemons *daemons);

/* Somebody has said Join at the door. Takes ownership; io.gone follows. */
void daemons_serve(struct daemons *daemons, struct caller *caller);

/* Nothing of the reign that has ended is read any more. */
void daemons_gather(struct daemons *daemons);

bool daemons_reigns(const struct daemons *daemons);

/* Brings an order to a shard of another daemon. Takes ownership. */
void daemons_order(struct daemons *daemons, uint32_t shard, struct order *order);

/* The daemon of this place cannot serve: it is hung up on, and refused for this reason until
 * another process has its place. Borrowed until return. */
void daemons_reject(struct daemons *daemons, size_t place, const struct stepd_error *why);

/* Has the daemon of this place said that it is to end? */
bool daemons_leaves(const struct daemons *daemons, size_t place);

/* Tells another daemon something. Borrowed until return. False: there is no link to it. */
bool daemons_tell(struct daemons *daemons, size_t place, const struct peer_note *note);

/* As io.ordered, io.arrived and io.daemons of control.h. */
uint64_t daemons_ordered(const struct daemons *daemons);
uint64_t daemons_arrived(const struct daemons *daemons);
size_t daemons_list(const struct daemons *daemons, struct stepd_daemon_status *daemon, size_t room);

/* Whom a reign waits for, for clients; "" while it reigns. Borrowed as long as the daemons, whose
 * text changes. */
const char *daemons_missing(const struct daemons *daemons);

/* Does it wait for others to begin a reign? For whom: as roster_list_missing. */
bool daemons_waits(const struct daemons *daemons, char *text, size_t size);

void daemons_tick(struct daemons *daemons, uint64_t now_ms);

/* Hangs up on all, and serves nobody any more. */
void daemons_cut(struct daemons *daemons);

/* Connections that are not gone. */
size_t daemons_connections(const struct daemons *daemons);

#endif
