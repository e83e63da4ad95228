/* SPDX-License-Identifier: Apache-2.0
 *
 * All the links of a client. What the keeper (keeper.h) decides becomes of them is done here: an
 * attempt is a connection, and a Hello on it; when that was answered with a Welcome, the link
 * stands, and what was held for it goes out. The client says where to, what the Hello says, and
 * what becomes of the Welcome.
 *
 *     connect -> connected, Hello -> Welcome: it stands ... broke
 *         \-------- broke --------/
 *
 * The connections themselves are made, written to and read from behind a small table of functions:
 * no socket, clock, thread or source of randomness is seen here. All calls come from the loop's
 * thread.
 */
#ifndef CLIENT_LIB_CORE_LINKS_H
#define CLIENT_LIB_CORE_LINKS_H

#include <stdbool.h>
#include <stdint.h>

#include <stepd/client.h>

#include "client/lib/core/exchange.h"
#include "client/lib/core/keeper.h"
#include "client/lib/core/outgoing.h"
#include "client/lib/core/pending.h"
#include "proto/message.h"

struct stepd_links;

/* What has the connections. At most one of each shard (0: control) at a time. */
struct stepd_links_io {
    void *owner;
    uint64_t (*now_ms)(void *owner);
    /* A number from 0 to most. */
    uint32_t (*random)(void *owner, uint32_t most);
    /* Begins to connect to stepd_links_address; ends in stepd_links_connected, or in
     * stepd_links_broke as the connection does later, unless closed. Neither is called from within.
     * Without memory nothing comes of it. */
    void (*connect)(void *owner, uint32_t shard);
    /* Ends the connection, or the attempt at one, if there is either. On return nothing is read
     * from or written to any array on its behalf; what is in the table is the caller's to end. */
    void (*close)(void *owner, uint32_t shard);
    /* Queues a frame. Takes ownership on success. RESOURCE_EXHAUSTED: no memory. (A connection that
     * does not take it is lost later.) */
    enum stepd_status (*send)(void *owner, uint32_t shard, struct stepd_outgoing *outgoing,
                              struct stepd_error *reterr);
    /* Maps the memory that has come with this Welcome over this connection, in place of what came
     * over one before. Read and written until other memory takes its place, or the links are
     * stopped: also while the connection is lost. INTERNAL: it is no such memory.
     * RESOURCE_EXHAUSTED: it did not come, or there is no room for it; another connection is made
     * then, over which all goes by the socket. */
    enum stepd_status (*map)(void *owner, uint32_t shard, const struct stepd_welcome *welcome,
                             struct stepd_shared *ret_shared, struct stepd_error *reterr);
    /* Bytes that have come so far over this connection. */
    uint64_t (*received)(void *owner, uint32_t shard);
    /* stepd_links_tick is due then, and no longer when it was before; UINT64_MAX: never. */
    void (*wake_at)(void *owner, uint64_t ms);
};

/* The client. */
struct stepd_greeter {
    void *self;
    /* Where a shard (0: control) listens; borrowed until the next call. */
    const char *(*address)(void *self, uint32_t shard);
    /* The Hello; what it points to is borrowed until the next call. */
    struct stepd_message (*hello)(void *self, uint32_t shard, enum stepd_greeting how);
    /* The Welcome, and the memory that came with it (borrowed until return). first: of this link,
     * in this incarnation of the job. A failure ends the attempt. */
    enum stepd_status (*welcome)(void *self, uint32_t shard, const struct stepd_welcome *welcome,
                                 const struct stepd_shared *shared, bool first,
                                 struct stepd_error *reterr);
    /* The server has gone back. Comes before anything fails because of it, since who waits for that
     * goes on at once; roll_back follows. */
    void (*gone_back)(void *self);
    /* As in keeper.h; ends in stepd_links_laid_out. */
    void (*roll_back)(void *self, const struct stepd_error *error);
    void (*tell)(void *self, const struct stepd_event *event);
};

struct stepd_links_options {
    struct stepd_links_io io;
    struct stepd_pending *pending; /* borrowed */
    struct stepd_greeter greeter;
    bool observer;
    uint32_t budget_ms; /* of the keeper */
};

/* How long after its deadline a request must be answered; and where control is lost, so that there
 * may be nobody any more to answer it. */
#define STEPD_LINKS_OVERDUE_MS      5000u
#define STEPD_LINKS_OVERDUE_LOST_MS 1000u

/* Somebody who waits until a link stands; embedded in what waits. */
struct stepd_opening {
    struct stepd_opening *next;
    uint32_t shard;
    struct stepd_error error; /* code OK: it stands */
    void (*on_done)(struct stepd_opening *opening);
};

/* *ret_links: caller frees with stepd_links_destroy. RESOURCE_EXHAUSTED. */
enum stepd_status stepd_links_create(const struct stepd_links_options *options,
                                     struct stepd_links **ret_links) STEPD_MUST_CHECK;

/* Closes all links and ends all attempts: fails what is under way, and who waits. Nothing is woken
 * from then on. */
void stepd_links_stop(struct stepd_links *links, const struct stepd_error *error);

/* After stop. NULL is fine. Returns NULL. */
struct stepd_links *stepd_links_destroy(struct stepd_links *links);

/* ---- For io ---------------------------------------------------------------------------------- */

/* Where a shard (0: control) listens; borrowed until the next call. */
const char *stepd_links_address(const struct stepd_links *links, uint32_t shard);

/* The connection stands; the Hello goes out over it. */
void stepd_links_connected(struct stepd_links *links, uint32_t shard);

/* There is no connection, or none any more: `error` says where to, and why. It is closed. */
void stepd_links_broke(struct stepd_links *links, uint32_t shard, const struct stepd_error *error);

/* Requests other than the Hello were answered over it. */
void stepd_links_answered(struct stepd_links *links, uint32_t shard);

/* It is time. */
void stepd_links_tick(struct stepd_links *links);

/* ---- For the client -------------------------------------------------------------------------- */

/* Has a link made (if it does not stand), and calls opening->on_done (borrowed until then) when it
 * stands, or when it is given up. */
void stepd_links_open(struct stepd_links *links, struct stepd_opening *opening);

/* Whoever waits waits no longer: on_done is called, with UNAVAILABLE and what is wrong. Fine for an
 * opening that is done. */
void stepd_links_stop_waiting(struct stepd_links *links, struct stepd_opening *opening);

/* Takes ownership on success. UNAVAILABLE, or how the keeper gave up: there is no such link. */
enum stepd_status stepd_links_send(struct stepd_links *links, uint32_t shard,
                                   struct stepd_outgoing *outgoing,
                                   struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Is it being made, so that what is for it is to be held? A link that was lost when nobody needed
 * it is made again by this. */
bool stepd_links_hold(struct stepd_links *links, uint32_t shard);

/* Why a link does not stand: see stepd_keeper_explain. */
void stepd_links_explain(const struct stepd_links *links, uint32_t shard,
                         struct stepd_error *ret_error);

/* One of the two, as it is now. */
uint32_t stepd_links_overdue_ms(const struct stepd_links *links);

/* The server has not answered in time on this link: it is lost. */
void stepd_links_overdue(struct stepd_links *links, uint32_t shard);

/* It is time for a heartbeat: true if it is to be sent. */
bool stepd_links_beat(struct stepd_links *links);

/* Does control's link stand, for a worker that has not left? */
bool stepd_links_stand(const struct stepd_links *links);

/* NULL until it was given. */
struct stepd_exchange *stepd_links_exchange(struct stepd_links *links);

/* Gives the links their exchange (borrowed until the next one is given, or they are destroyed), and
 * sets its port. Shards' links of an older one are closed, and what that has under way fails with
 * ROLLED_BACK. NULL: none. gone: what is sent to shards fails with this until their links have been
 * opened; NULL: no matter. */
void stepd_links_use_exchange(struct stepd_links *links, struct stepd_exchange *exchange,
                              const struct stepd_error *gone);

/* What the keeper is to know: see keeper.h. */
void stepd_links_laid_out(struct stepd_links *links, uint64_t incarnation,
                          const struct stepd_error *error);
void stepd_links_rolled_back(struct stepd_links *links);
void stepd_links_leaving(struct stepd_links *links);
void stepd_links_left(struct stepd_links *links);

#endif
