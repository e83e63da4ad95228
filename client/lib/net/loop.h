/* SPDX-License-Identifier: Apache-2.0
 *
 * The client's own thread: one libuv loop that drives the links, sends heartbeats, and works off
 * the letters that the callers' threads post. Everything the core consists of (pending requests,
 * exchange, links) belongs to this thread alone.
 *
 *     callers: stepd_loop_post(letter) ... stepd_mailbox_await(flag)
 *     loop:    letter->deliver(loop, letter) ... stepd_mailbox_raise(flag)
 */
#ifndef CLIENT_LIB_NET_LOOP_H
#define CLIENT_LIB_NET_LOOP_H

#include <stdint.h>

#include <stepd/status.h>

#include "client/lib/core/exchange.h"
#include "client/lib/net/mailbox.h"

struct stepd_loop;

/* Starts the thread. *ret_loop: caller frees with stepd_loop_destroy. RESOURCE_EXHAUSTED. */
enum stepd_status stepd_loop_create(struct stepd_loop **ret_loop,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Fails everything under way with CANCELLED, closes the links and ends the thread. Letters that
 * are posted meanwhile are not delivered. NULL is fine. Returns NULL. */
struct stepd_loop *stepd_loop_destroy(struct stepd_loop *loop);

/* Any thread. */
void stepd_loop_post(struct stepd_loop *loop, struct stepd_letter *letter);
struct stepd_mailbox *stepd_loop_mailbox(struct stepd_loop *loop);

/* ---- In the loop's thread: for letters ------------------------------------------------------- */

struct stepd_pending *stepd_loop_pending(struct stepd_loop *loop);

/* NULL until it was given. */
struct stepd_exchange *stepd_loop_exchange(struct stepd_loop *loop);

/* Gives the loop its exchange (borrowed until destroy has returned), and sets its port. */
void stepd_loop_use_exchange(struct stepd_loop *loop, struct stepd_exchange *exchange);

/* Hands an operation to the exchange. */
void stepd_loop_start_operation(struct stepd_loop *loop, struct stepd_operation *operation);

/* Opens the link to a shard (0: control) over a connected socket, and takes ownership of the
 * socket whatever comes of it. An older link to the same shard is closed. */
enum stepd_status stepd_loop_open_link(struct stepd_loop *loop, uint32_t shard, int fd, bool local,
                                       const char *peer,
                                       struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Closes the link to a shard, if there is one; its requests fail with `error`. */
void stepd_loop_close_link(struct stepd_loop *loop, uint32_t shard,
                           const struct stepd_error *error);

/* Takes ownership on success. UNAVAILABLE: there is no such link any more, and why. */
enum stepd_status stepd_loop_send(struct stepd_loop *loop, uint32_t shard,
                                  struct stepd_outgoing *outgoing,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

/* From now on a heartbeat goes to control every so often. */
void stepd_loop_beat_every(struct stepd_loop *loop, uint32_t ms);

#endif
