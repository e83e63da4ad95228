/* SPDX-License-Identifier: Apache-2.0
 *
 * All the links of a client, in the loop's thread: what the keeper (core/keeper.h) decides is done
 * here with sockets. An attempt is a dial, a link over the socket that comes of it, and a Hello on
 * it; whoever owns the loop says where to, what the Hello says, and what becomes of the Welcome.
 */
#ifndef CLIENT_LIB_NET_LINKS_H
#define CLIENT_LIB_NET_LINKS_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include <stepd/client.h>

#include "client/lib/core/exchange.h"
#include "client/lib/core/keeper.h"
#include "client/lib/core/outgoing.h"
#include "client/lib/core/pending.h"
#include "proto/message.h"

struct stepd_links;

/* All in the loop's thread. */
struct stepd_greeter {
    void *self;
    /* Where a shard (0: control) listens; borrowed until the next call. */
    const char *(*address)(void *self, uint32_t shard);
    /* The Hello; what it points to is borrowed until the next call. */
    struct stepd_message (*hello)(void *self, uint32_t shard, enum stepd_greeting how);
    /* The Welcome (borrowed until return). first: of this link, in this incarnation of the job. A
     * failure ends the attempt. */
    enum stepd_status (*welcome)(void *self, uint32_t shard, const struct stepd_welcome *welcome,
                                 bool first, struct stepd_error *reterr);
    /* As in keeper.h; ends in stepd_links_laid_out. */
    void (*roll_back)(void *self, const struct stepd_error *error);
    void (*tell)(void *self, const struct stepd_event *event);
};

struct stepd_links_options {
    uv_loop_t *uv;
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

/* Closes all links and ends all attempts: fails what is under way, and who waits. The handles of
 * the loop close behind it. */
void stepd_links_stop(struct stepd_links *links, const struct stepd_error *error);

/* After the loop has ended. NULL is fine. Returns NULL. */
struct stepd_links *stepd_links_destroy(struct stepd_links *links);

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
