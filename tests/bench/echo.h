/* SPDX-License-Identifier: Apache-2.0
 *
 * A bare echo through libuv, which is what a round trip costs by itself: on the far side a process
 * that writes back what it reads, on the near side one thread that writes, and runs its loop until
 * the answer is there, as libstepd does.
 */
#ifndef BENCH_ECHO_H
#define BENCH_ECHO_H

#include <stdbool.h>
#include <stddef.h>

#include <stepd/status.h>

#include "tests/bench/wire.h"

struct echo;

struct echo_plan {
    unsigned poll_us; /* looks for what comes so long before it sleeps */
};

/* The far side: a peer_serve_fn for one wire, whose plan is an echo_plan. */
void echo_serve(const struct wire *wire, size_t wires, const void *plan);

/* The near side, over a connection to the far one, whose descriptor stays the caller's, to be
 * closed after echo_close. polls: without sleeping. *ret_echo: caller frees with echo_close.
 * RESOURCE_EXHAUSTED: no loop or no memory. */
enum stepd_status echo_open(int fd, bool polls, struct echo **ret_echo,
                            struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Sends bytes and receives as many. UNAVAILABLE: the far side is gone. */
enum stepd_status echo_ask(struct echo *echo, const void *send, void *receive, size_t bytes,
                           struct stepd_error *reterr) STEPD_MUST_CHECK;

/* NULL is fine. Returns NULL. */
struct echo *echo_close(struct echo *echo);

#endif
