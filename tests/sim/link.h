/* SPDX-License-Identifier: Apache-2.0
 *
 * A connection between a worker and a shard or control: bytes on their way in both directions, in
 * real frames, delivered in whatever portions the simulation chooses. Either end may lose it at any
 * byte without the other knowing.
 *
 * The way down holds references to weights and copies from them only when the bytes arrive, as a
 * socket would: weights that change under a reader are seen.
 *
 * A link also watches over the core's promises: that every request ends, and ends once.
 */
#ifndef TESTS_SIM_LINK_H
#define TESTS_SIM_LINK_H

#include "tests/sim/host.h"

struct link;

/* A frame has reached the worker. Message and payload are borrowed until return. */
typedef void link_frame_fn(void *owner, struct link *link, const struct stepd_message *message,
                           const uint8_t *payload, size_t payload_bytes);

/* Bytes have reached the worker, which reads frames by itself. Borrowed until return. */
typedef void link_bytes_fn(void *owner, struct link *link, const uint8_t *bytes, size_t n);

/* Opens a connection of a rank, when its turn comes; the function is called with `owner`. Freed
 * with link_destroy. */
struct link *link_create(struct host *host, uint32_t rank, link_frame_fn *on_frame, void *owner);
struct link *link_create_raw(struct host *host, uint32_t rank, link_bytes_fn *on_bytes,
                             void *owner);
/* Both ends must have lost it. Returns NULL. */
struct link *link_destroy(struct link *link);

/* The worker sends a frame: its bytes are on their way. */
void link_send(struct link *link, const struct stepd_message *message, const void *payload,
               size_t payload_bytes);
/* The same of any bytes. */
void link_send_bytes(struct link *link, const void *bytes, size_t n);

/* At most n bytes arrive. False: there were none. */
bool link_carry_up(struct link *link, size_t n);
bool link_carry_down(struct link *link, size_t n);

/* The worker reads nothing any more; the daemon's end breaks when it has not got rid of anything
 * for its write timeout. */
void link_deafen(struct link *link);

/* The shard's end breaks: bytes that have not arrived are lost in both directions. */
void link_break_shard(struct link *link);
/* The worker's end breaks: it hears nothing more; what it sent may arrive yet. */
void link_break_worker(struct link *link);

/*
 * The daemon has died (hosts_kill), and its end of all links with it: what had not arrived there is
 * lost, and of what was on its way down each worker gets as many bytes as chance will have, or
 * none. What a link had been answered and asked is forgotten.
 */
void links_crash(struct link *const *link, size_t links, struct random *random);

/* Has the shard's end broken (or hung up), and is there nothing left to arrive at the worker? */
bool link_is_at_end(const struct link *link);
bool link_shard_has_lost(const struct link *link);
bool link_worker_has_lost(const struct link *link);

/* Time has passed: ends the test if a request should have ended by now. */
void link_tick(struct link *link);

/* ---- For host.c ------------------------------------------------------------------------------ */

uint32_t link_rank(const struct link *link);
void link_open(struct link *link);
void link_reply(struct link *link, const struct stepd_message *message,
                const struct core_piece *piece, size_t pieces);
void link_hang_up(struct link *link);
void link_hold(struct link *link, bool hold);
bool link_takes(const struct link *link);
void link_give_way(struct link *link);
/* References to these weights on their way down, where the link gives way. */
size_t link_in_the_way(const struct link *link, const struct weights *weights);
/* It is to be closed, as links_close_cut does. False: it was cut before. */
bool link_cut(struct link *link);
bool links_close_cut(struct link *links);
/* The next link of the same host. */
struct link *link_next(const struct link *link);

#endif
