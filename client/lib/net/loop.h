/* SPDX-License-Identifier: Apache-2.0
 *
 * The client's loop: it drives the links, sends heartbeats, and works off the letters that the
 * callers' threads post. One thread at a time runs it, a caller that waits or the client's own:
 * that one is the loop's thread, and the client's brain belongs to it alone.
 *
 *     callers: stepd_loop_ask(letter, flag), or stepd_loop_post(letter) ... stepd_loop_await(flag)
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
struct stepd_trust;

/* Starts the own thread. The brain (borrowed until stepd_loop_destroy) gets its links.
 * reconnect_timeout_ms: their budget. busy_poll_us: how long a caller that waits looks for work
 * before it sleeps. *ret_loop: caller frees with stepd_loop_destroy. RESOURCE_EXHAUSTED. */
enum stepd_status stepd_loop_create(struct stepd_brain *brain, uint32_t reconnect_timeout_ms,
                                    uint32_t busy_poll_us, struct stepd_loop **ret_loop,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Whom connections by TLS trust (borrowed until stepd_loop_destroy). Before the first letter. */
void stepd_loop_trust(struct stepd_loop *loop, const struct stepd_trust *trust);

/* Fails everything under way with CANCELLED, closes the links and ends the thread. Letters that
 * are posted meanwhile are not delivered. NULL is fine. Returns NULL. */
struct stepd_loop *stepd_loop_destroy(struct stepd_loop *loop);

/* Posts a letter; the caller goes on. Any thread, like the next four. */
void stepd_loop_post(struct stepd_loop *loop, struct stepd_mail *letter);

/* The same, but the own thread is left asleep: the caller is about to wait. */
void stepd_loop_leave(struct stepd_loop *loop, struct stepd_mail *letter);

/* Waits for a flag, until until_ms (stepd_clock_ms) at most, or for ever (0). Returns the flag. */
bool stepd_loop_await(struct stepd_loop *loop, const atomic_bool *flag, uint64_t until_ms);

/* Posts a letter and waits for the flag that it leads to. */
bool stepd_loop_ask(struct stepd_loop *loop, struct stepd_mail *letter, const atomic_bool *flag,
                    uint64_t until_ms);

struct stepd_mailbox *stepd_loop_mailbox(struct stepd_loop *loop);

/* ---- In the thread that runs it: for letters ------------------------------------------------- */

struct stepd_brain *stepd_loop_brain(struct stepd_loop *loop);

/* From now on a heartbeat goes to control every so often. */
void stepd_loop_beat_every(struct stepd_loop *loop, uint32_t ms);

#endif
