/* SPDX-License-Identifier: Apache-2.0
 *
 * What hangs together in a client. Three kinds of fields, by who may touch them:
 *
 *   - fixed once stepd_connect has returned: read by any thread;
 *   - published: written by the loop's thread and read by any, through atomics;
 *   - of the loop's thread: reached through letters only (net/loop.h).
 *
 * What is shared and changes, the list of operations and the barrier that was left, has a mutex.
 */
#ifndef CLIENT_LIB_CLIENT_H
#define CLIENT_LIB_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/client.h>

#include "client/lib/core/brain.h"
#include "client/lib/core/layout.h"
#include "client/lib/core/operation.h"
#include "client/lib/net/loop.h"
#include "client/lib/net/mailbox.h"
#include "proto/message.h"

/* A barrier that somebody stopped waiting at, and that the server still waits at for it. */
struct stepd_left_barrier {
    uint64_t sequence; /* 0: none */
    char name[STEPD_BARRIER_NAME_MAX_BYTES + 1];
};

/* An operation, as the caller knows it. */
struct stepd_op {
    struct stepd_mail letter;
    struct stepd_operation operation;
    struct stepd_client *client; /* borrowed */
    atomic_bool done;
    struct stepd_op *prev, *next; /* in the client's list */
};

struct stepd_client {
    /* Fixed. */
    struct stepd_loop *loop;   /* owned */
    char *address;             /* owned; as the caller gave it */
    char *job;                 /* owned; "" for an observer without one */
    char *worker;              /* owned */
    char *token;               /* owned; "": none */
    struct stepd_trust *trust; /* owned; NULL: no TLS */
    enum stepd_dtype push_dtype, pull_dtype;
    uint32_t connect_timeout_ms;
    void (*on_event)(void *event_user, const struct stepd_event *event); /* NULL: nobody asks */
    void *event_user;
    bool (*interrupted)(void *event_user); /* NULL: nobody is */

    /* Of the loop's thread; of its `self` the first part is fixed. */
    struct stepd_brain brain;
    struct stepd_home *home; /* owned; the newest */

    /* Published. */
    _Atomic size_t frame_max_bytes; /* that the server accepts */
    _Atomic uint32_t shards;
    _Atomic uint32_t world;
    _Atomic uint64_t barriers; /* that its threads have come to */
    atomic_bool rolled_back;   /* since the tensors were defined: they may be defined again */
    _Atomic(const struct stepd_layout_table *) layout; /* of `home`; NULL: not known yet */

    struct stepd_rooms *rooms; /* owned; of the loop's thread: what was lent */

    pthread_mutex_t ops_mutex;
    struct stepd_op *ops; /* owned: those that have not been waited for */
    struct stepd_left_barrier left_barrier;
};

/* What the brain tells the client: hello.c. */
struct stepd_brain_hooks stepd_hooks_of(struct stepd_client *client);

/* Has the links to these shards (0: control) made, all at the same time, and waits until they
 * stand: until until_ms (stepd_clock_ms), then UNAVAILABLE. Fails as the server says, for the first
 * in the list that cannot be had; RESOURCE_EXHAUSTED without memory. */
enum stepd_status stepd_open(struct stepd_client *client, const uint32_t *shards, size_t count,
                             uint64_t until_ms, struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Frees what was lent; the loop has ended. NULL is fine. Returns NULL. */
struct stepd_rooms *stepd_rooms_destroy(struct stepd_rooms *rooms);

/* The layout if it is known, or NULL. Any thread. */
const struct stepd_layout_table *stepd_client_layout(const struct stepd_client *client);

#endif
