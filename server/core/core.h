/* SPDX-License-Identifier: Apache-2.0
 *
 * A shard's brain. It owns the shard's slices, knows the sessions that may speak to them, takes
 * pushes, pulls and steps, and decides when a round closes. It sees no socket, no clock, no
 * thread and no file: it is called with messages, bytes and the time, and acts through core_io.
 *
 * A connection, from the caller's side:
 *
 *     conn = core_open(core, peer, now)
 *     for each frame:
 *         core_on_message(conn, message, payload_bytes, now)   // the header
 *         while payload is left:
 *             core_window(conn, &room)  -> where its next bytes go
 *             core_filled(conn, n, now)
 *     core_close(conn, now)
 *
 * The first message must be a Hello that names a session; everything else is refused. A failure
 * that concerns one request is answered with an Error, and its payload is read and dropped; the
 * connection goes on. core_on_message fails only when the connection cannot go on.
 *
 * All functions of one core are called from one thread. `now_ms` is a monotonic time in
 * milliseconds that never goes back.
 */
#ifndef CORE_CORE_H
#define CORE_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/io.h"
#include "server/optim/kernels.h"

struct core;
struct core_conn;

/* Requests that may wait on one connection, where nobody says otherwise. */
#define CORE_REQUESTS_MAX (1u << 14)

struct limits;

struct core_options {
    uint32_t shard;           /* this shard's index, 0 first */
    enum optim_isa isa;       /* kernels to use */
    uint32_t wait_max_ms;     /* longest deadline of a parked request */
    uint32_t frame_max_bytes; /* largest frame to send, unless the peer wants smaller ones */
    uint32_t requests_max;    /* that may wait on one connection; 0: CORE_REQUESTS_MAX */
    struct limits *limits;    /* borrowed while the core lives: where it counts, and what there is
                               * for old versions; may be NULL: nothing is */
};

/* io and options are copied. RESOURCE_EXHAUSTED. *ret_core: caller frees with core_destroy. */
enum stepd_status core_create(const struct core_options *options, const struct core_io *io,
                              struct core **ret_core) STEPD_MUST_CHECK;

/* All connections must be closed and all pieces released. NULL is fine. Returns NULL. */
struct core *core_destroy(struct core *core);

/* A connection was handed over; peer is the caller's name for it in core_io. NULL: no memory. */
struct core_conn *core_open(struct core *core, void *peer, uint64_t now_ms);

/* The connection is gone. What it was in the middle of sending leaves nothing behind. */
void core_close(struct core_conn *conn, uint64_t now_ms);

/*
 * A frame's header, and how many payload bytes will follow. message is borrowed until return.
 * Not OK: answer Error{request_id 0} with *reterr, then core_close and close the socket.
 */
enum stepd_status core_on_message(struct core_conn *conn, const struct stepd_message *message,
                                  uint64_t payload_bytes, uint64_t now_ms,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * Where the next payload bytes go: *ret_room bytes (at least 1 while payload is left) at the
 * address returned, good until core_filled. NULL: they are not wanted; read and drop *ret_room
 * bytes and report them with core_filled all the same. Not while the peer is held (core_io.hold).
 */
uint8_t *core_window(struct core_conn *conn, size_t *ret_room);

/* n bytes of the window (n <= *ret_room) were filled or dropped. */
void core_filled(struct core_conn *conn, size_t n, uint64_t now_ms);

/* The peer takes its replies again (core_io.takes). */
void core_on_taken(struct core_conn *conn, uint64_t now_ms);

/* Control says something. Takes ownership of the order. */
void core_on_order(struct core *core, struct order *order, uint64_t now_ms);

/* A reply's piece was sent, or will never be. */
void core_release(struct core *core, struct weights *weights, uint64_t now_ms);

/* Time has passed: deadlines run out, control hears who is alive. Every 100 ms or so. */
void core_on_tick(struct core *core, uint64_t now_ms);

/* Is there something to do that nobody waits for, and that takes longer the later it is done? */
bool core_owes(const struct core *core);

/* The caller has nothing else to do just now: does some of it, at most a copy of what one slice
 * keeps beside its weights. False: there was nothing. */
bool core_on_idle(struct core *core);

#endif
