/* SPDX-License-Identifier: Apache-2.0
 *
 * A process that serves the far ends of wires: what stepd is measured against lives in one, as
 * stepd does.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <stddef.h>
#include <sys/types.h>

#include <stepd/status.h>

#include "tests/bench/wire.h"

struct peer {
    pid_t pid; /* 0: none */
};

/* What a peer does with its wires, of which it has the far ends: until the other side closes them.
 * plan: the caller's. */
typedef void peer_serve_fn(const struct wire *wire, size_t wires, const void *plan);

/*
 * Forks the peer, which takes the far ends over. To be called before libstepd opens connections,
 * which the peer would hold open. Ended with peer_stop. UNAVAILABLE: no process.
 */
enum stepd_status peer_start(struct wire *wire, size_t wires, peer_serve_fn *serve,
                             const void *plan, struct peer *ret_peer,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Closes the wires, upon which the peer ends, and waits for that. {0} is fine, for all. */
void peer_stop(struct peer *peer, struct wire *wire, size_t wires);

#endif
