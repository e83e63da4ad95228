/* SPDX-License-Identifier: Apache-2.0
 *
 * The bare program: what a push, a pull or a step costs by itself, over a plain socket between two
 * processes. It has the slices of stepd (1 MiB) and its pipelining, AdamW's streams through memory
 * (weights, two slots, the gradient) and neither frames nor checks.
 */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "tests/bench/peer.h"

/* What is asked over a wire. */
enum bare_work {
    BARE_PUSH,     /* send a gradient, which is worked in slice by slice; get a few bytes */
    BARE_PULL,     /* send a few bytes; get the weights */
    BARE_STEP,     /* send a gradient, and meanwhile get each slice's new weights */
    BARE_KEEP,     /* as a push, and the gradient is only kept */
    BARE_RAW_PUSH, /* as a push, and nothing is done with the gradient */
    BARE_RAW_STEP, /* as a step, the same */
};

/* Of the peer. */
struct bare_plan {
    size_t bytes;                /* of the weights, and so of a gradient */
    const enum bare_work *works; /* by wire */
};

/* The far side, a peer_serve_fn whose plan is a bare_plan. One wire at a time has its turn. */
void bare_serve(const struct wire *wire, size_t wires, const void *plan);

/* The near side. grad, weights: arrays of `bytes`. UNAVAILABLE: the peer is gone. */
enum stepd_status bare_ask(const struct wire *wire, enum bare_work work, const void *grad,
                           void *weights, size_t bytes,
                           struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
