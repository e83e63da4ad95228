/* SPDX-License-Identifier: Apache-2.0
 *
 * What hangs together in a client. Three kinds of fields, by who may touch them:
 *
 *   - fixed once stepd_connect has returned: read by any thread;
 *   - published: written once and then only read; the atomic pointer or number is the gate;
 *   - of the loop's thread: reached through letters only (net/loop.h).
 *
 * The list of operations is the one thing that is shared and changes; it has its own mutex.
 */
#ifndef CLIENT_LIB_CLIENT_H
#define CLIENT_LIB_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/client.h>

#include "client/lib/call.h"
#include "client/lib/core/exchange.h"
#include "client/lib/core/layout.h"
#include "client/lib/core/operation.h"
#include "client/lib/net/loop.h"
#include "proto/message.h"

/* An operation, as the caller knows it. */
struct stepd_op {
    struct stepd_letter letter;
    struct stepd_operation operation;
    struct stepd_client *client; /* borrowed */
    atomic_bool done;
    struct stepd_op *prev, *next; /* in the client's list */
};

struct stepd_client {
    /* Fixed. */
    struct stepd_loop *loop; /* owned */
    char *address;           /* owned; as the caller gave it */
    char *job;               /* owned; "" for an observer without one */
    char *worker;            /* owned */
    char *token;             /* owned; "": none */
    bool observer;
    enum stepd_dtype push_dtype, pull_dtype;
    uint32_t lease_ms;
    uint32_t connect_timeout_ms;
    uint8_t session[STEPD_SESSION_BYTES];
    int32_t rank;         /* -1 only until the server has given one */
    uint64_t clock;       /* that control has seen of this rank */
    char **shard_address; /* owned, as its strings; "": the address that was dialled */
    size_t shards;
    size_t frame_max_bytes; /* of the server */

    /* Published. */
    _Atomic uint32_t world;
    _Atomic(struct stepd_layout_table *) layout; /* owned; NULL: not known yet */
    struct stepd_layout_table table;             /* what `layout` points to, once it does */
    struct stepd_exchange exchange;              /* of the loop's thread from then on */

    pthread_mutex_t ops_mutex;
    struct stepd_op *ops; /* owned: those that have not been waited for */
};

/* Opens the link to a shard (0: control) and says hello; on_welcome is called with the Welcome.
 * While nobody answers it is tried again until until_ms (stepd_clock_ms); then UNAVAILABLE. */
enum stepd_status stepd_hello(struct stepd_client *client, uint32_t shard, uint64_t until_ms,
                              stepd_reply_function *on_welcome, void *user,
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The layout if it is known, or NULL. Any thread. */
const struct stepd_layout_table *stepd_client_layout(const struct stepd_client *client);

#endif
