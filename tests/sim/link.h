/* SPDX-License-Identifier: Apache-2.0
 *
 * A connection between a worker and a shard's core: bytes on their way in both directions, in real
 * frames, delivered in whatever portions the simulation chooses. Either end may lose it at any byte
 * without the other knowing.
 *
 * The way down holds references to weights and copies from them only when the bytes arrive, as a
 * socket would: weights that change under a reader are seen.
 *
 * A link also watches over the core's promises: that every request ends, and ends once.
 */
#ifndef TESTS_SIM_LINK_H
#define TESTS_SIM_LINK_H

#include "server/core/core.h"
#include "tests/sim/witness.h"

/* A shard's core and what it says to control. */
struct host {
    const struct plan *plan;
    struct witness *witness;
    const uint64_t *now_ms;
    uint32_t index;
    struct core *core;         /* owned */
    struct stepd_error opened; /* what NOTICE_JOB_OPENED said */
    uint64_t slices;           /* NOTICE_ANSWER */
    uint64_t version_min;
    uint64_t version_max;
    uint64_t parked;
    uint64_t waited_for; /* number of ranks */
};

/* plan, witness and now_ms are borrowed. */
void host_init(struct host *host, const struct plan *plan, struct witness *witness, uint32_t index,
               const uint64_t *now_ms);
/* Control says something to the shard. */
void host_order(struct host *host, struct order *order);
void host_tick(struct host *host);
/* All links are gone. */
void host_deinit(struct host *host);

struct link;

/* A frame has reached the worker. Message and payload are borrowed until return. */
typedef void link_frame_fn(void *owner, struct link *link, const struct stepd_message *message,
                           const uint8_t *payload, size_t payload_bytes);

/* Opens a connection of a rank; on_frame is called with `owner`. Freed with link_destroy. */
struct link *link_create(struct host *host, uint32_t rank, link_frame_fn *on_frame, void *owner);
/* Both ends must have lost it. Returns NULL. */
struct link *link_destroy(struct link *link);

/* The worker sends a frame: its bytes are on their way. */
void link_send(struct link *link, const struct stepd_message *message, const void *payload,
               size_t payload_bytes);

/* At most n bytes arrive. False: there were none. */
bool link_carry_up(struct link *link, size_t n);
bool link_carry_down(struct link *link, size_t n);

/* The shard's end breaks: bytes that have not arrived are lost in both directions. */
void link_break_shard(struct link *link);
/* The worker's end breaks: it hears nothing more; what it sent may arrive yet. */
void link_break_worker(struct link *link);

/* Has the shard's end broken (or hung up), and is there nothing left to arrive at the worker? */
bool link_is_at_end(const struct link *link);
bool link_shard_has_lost(const struct link *link);
bool link_worker_has_lost(const struct link *link);

/* Has the shard taken a first message from it? */
bool link_has_arrived(const struct link *link);

/* Ends the test if a request should have ended by now. */
void link_check_deadlines(const struct link *link);

#endif
