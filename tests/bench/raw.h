/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker without libstepd: a socket, and the frames that go over it. So one thread drives
 * hundreds of them, and an idle one is nothing but its socket.
 */
#ifndef BENCH_RAW_H
#define BENCH_RAW_H

#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "proto/arena.h"
#include "proto/message.h"

/* Frames that are longer are beyond what this is for. */
#define RAW_FRAME_MAX_BYTES 4096u

/* The request that a Hello is; later ones take other numbers. */
#define RAW_HELLO_ID 1u

struct raw {
    int fd;       /* not connected where it is below 1, so {0} is fine */
    size_t count; /* bytes received and not taken yet */
    uint8_t bytes[RAW_FRAME_MAX_BYTES];
};

/* Sends a frame. UNAVAILABLE: the server has closed. RESOURCE_EXHAUSTED: no memory. */
enum stepd_status raw_send(struct raw *raw, const struct stepd_message *message,
                           const void *payload, size_t payload_bytes,
                           struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * Waits for a frame, decodes its header into the arena, which is reset, and drops its payload.
 * UNAVAILABLE: the server has closed. What the server says in an Error is returned as a failure;
 * INTERNAL: a message of another kind than this one.
 */
enum stepd_status raw_receive(struct raw *raw, enum stepd_message_kind kind,
                              struct stepd_arena *arena, struct stepd_message *ret_message,
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The connections of a worker. {0} is fine. */
struct raw_worker {
    struct raw control;
    struct raw shard;
    uint64_t incarnation; /* of its job */
};

/* Connects to "unix:/path" or "a.b.c.d:port", says Hello to control as a worker of any rank, and
 * with the session that it got to shard 1. The arena is for the messages. worker: ended with
 * raw_leave, also after a failure. UNAVAILABLE: no connection; else as the calls above. */
enum stepd_status raw_join(const char *address, const char *job, struct stepd_arena *arena,
                           struct raw_worker *worker, struct stepd_error *reterr) STEPD_MUST_CHECK;

void raw_leave(struct raw_worker *worker);

#endif
