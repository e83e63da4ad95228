/* SPDX-License-Identifier: Apache-2.0
 *
 * All of a client that decides, and belongs to the loop's thread: who it is (self.h), its links
 * (links.h), the requests that are under way on them (pending.h), and the job that it works for,
 * whose exchange (exchange.h) turns operations into requests.
 *
 *     body: connects, reads, writes, wakes  <-- links --> brain --> hooks: what the client
 * publishes
 *
 * It sees no socket, clock, thread or source of randomness.
 */
#ifndef CLIENT_LIB_CORE_BRAIN_H
#define CLIENT_LIB_CORE_BRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "client/lib/core/exchange.h"
#include "client/lib/core/layout.h"
#include "client/lib/core/links.h"
#include "client/lib/core/operation.h"
#include "client/lib/core/pending.h"
#include "client/lib/core/self.h"

/* What a client knows of its job once the job is defined: the layout, and an exchange for it. There
 * is a new one each time that the client has defined its tensors; the older layouts stay for who
 * holds views of their tensors. */
struct stepd_home {
    struct stepd_layout_table table;
    struct stepd_exchange exchange;
    struct stepd_home *older; /* owned */
};

struct stepd_brain_hooks {
    void *owner;
    /* A Welcome was taken: self is as it says, or the exchange is. */
    void (*welcomed)(void *owner);
    /* The server has gone back, and what was under way is about to fail with ROLLED_BACK: once, or
     * more often, for each time. */
    void (*rolled_back)(void *owner);
    void (*tell)(void *owner, const struct stepd_event *event);
};

struct stepd_brain {
    struct stepd_brain_hooks hooks;
    struct stepd_self self;
    struct stepd_pending pending;
    struct stepd_links *links; /* borrowed: the body makes them, of stepd_brain_links */
    struct stepd_home *home;   /* borrowed: that it works with; NULL: none */
    uint64_t moves;            /* to another home, or back */
};

/* Options for links of this brain, but for their io. */
struct stepd_links_options stepd_brain_links(struct stepd_brain *brain, uint32_t budget_ms);

/* Nothing may be under way. */
void stepd_brain_deinit(struct stepd_brain *brain);

/* ---- Homes ----------------------------------------------------------------------------------- */

/* A home whose layout is yet to be filled. NULL: no memory. Caller frees with stepd_home_destroy.
 */
struct stepd_home *stepd_home_create(void);

/* Its layout is sealed: makes the exchange. RESOURCE_EXHAUSTED: no memory. */
enum stepd_status stepd_home_furnish(struct stepd_home *home, struct stepd_brain *brain,
                                     enum stepd_dtype push_dtype, enum stepd_dtype pull_dtype,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Frees a home and those before it; NULL is fine. Returns NULL. */
struct stepd_home *stepd_home_destroy(struct stepd_home *home);

/* Works with this home (borrowed until the next one) from now on; NULL: with none. back: it is one
 * that does not hold any more. */
void stepd_brain_move(struct stepd_brain *brain, struct stepd_home *home, bool back);

/* ---- Working --------------------------------------------------------------------------------- */

/* Works an operation off; there must be a home. */
void stepd_brain_start(struct stepd_brain *brain, struct stepd_operation *operation,
                       uint64_t now_ms);

/* The highest clock that was pushed, or that control knows of: what a Leave names. */
uint64_t stepd_brain_clock(const struct stepd_brain *brain);

/* Is there anything that may have waited for too long one day? Then stepd_brain_tick is to be
 * called now and then. */
bool stepd_brain_waits(const struct stepd_brain *brain);

/* Time has passed: fails what has waited for too long, for others, for a link or for an answer. */
void stepd_brain_tick(struct stepd_brain *brain, uint64_t now_ms);

/* It is time for a heartbeat: every self.beat_ms. */
void stepd_brain_beat(struct stepd_brain *brain);

/* The client is about to close: tells a server that can be reached that this worker ends, unless it
 * has left, so that its rank need not wait for its lease. */
void stepd_brain_end(struct stepd_brain *brain);

/* After the job went back: asks whether its layout is still the one of the home, and tells the
 * links: look_again.c. */
void stepd_brain_look_again(struct stepd_brain *brain);

#endif
