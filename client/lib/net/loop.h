/* SPDX-License-Identifier: Apache-2.0
 *
 * The client's own thread: one libuv loop that drives the links, sends heartbeats, and works off
 * the letters that the callers' threads post. The client's brain belongs to this thread alone.
 *
 *     callers: stepd_loop_post(letter) ... stepd_mailbox_await(flag)
 *     loop:    letter->deliver(loop, letter) ... stepd_mailbox_raise(flag)
 */
#ifndef CLIENT_LIB_NET_LOOP_H
#define CLIENT_LIB_NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include <stepd/status.h>

#include "client/lib/core/brain.h"
#include "client/lib/net/mailbox.h"

struct stepd_loop;

/* Starts the thread, in which the brain (borrowed until stepd_loop_destroy) gets its links.
 * reconnect_timeout_ms: their budget. *ret_loop: caller frees with stepd_loop_destroy.
 * RESOURCE_EXHAUSTED. */
enum stepd_status stepd_loop_create(struct stepd_brain *brain, uint32_t reconnect_timeout_ms,
                                    struct stepd_loop **ret_loop,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Fails everything under way with CANCELLED, closes the links and ends the thread. Letters that
 * are posted meanwhile are not delivered. NULL is fine. Returns NULL. */
struct stepd_loop *stepd_loop_destroy(struct stepd_loop *loop);

/* Any thread. */
void stepd_loop_post(struct stepd_loop *loop, struct stepd_letter *letter);
struct stepd_mailbox *stepd_loop_mailbox(struct stepd_loop *loop);

/* ---- In the loop's thread: for letters ------------------------------------------------------- */

struct stepd_brain *stepd_loop_brain(struct stepd_loop *loop);

/* From now on a heartbeat goes to control every so often. */
void stepd_loop_beat_every(struct stepd_loop *loop, uint32_t ms);

#endif
