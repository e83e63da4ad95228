/* SPDX-License-Identifier: Apache-2.0
 *
 * What hangs together in a client. Three kinds of fields, by who may touch them:
 *
 *   - fixed once stepd_connect has returned: read by any thread;
 *   - published: written by the loop's thread and read by any, through atomics;
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

#include "client/lib/core/exchange.h"
#include "client/lib/core/layout.h"
#include "client/lib/core/operation.h"
#include "client/lib/net/loop.h"
#include "client/lib/net/mailbox.h"
#include "proto/message.h"

/* An operation, as the caller knows it. */
struct stepd_op {
    struct stepd_letter letter;
    struct stepd_operation operation;
    struct stepd_client *client; /* borrowed */
    atomic_bool done;
    struct stepd_op *prev, *next; /* in the client's list */
};

/* What a client knows of its job once the job is defined: the layout, and an exchange for it. There
 * is a new one each time that the client has defined its tensors; the older layouts stay for who
 * holds views of their tensors. */
struct stepd_home {
    struct stepd_layout_table table;
    struct stepd_exchange exchange; /* of the loop's thread */
    struct stepd_home *older;       /* owned */
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
    uint8_t id[STEPD_CLIENT_BYTES];                                      /* random */
    void (*on_event)(void *event_user, const struct stepd_event *event); /* NULL: nobody asks */
    void *event_user;
    int32_t rank; /* -1 only until the server has given one */

    /* Of the loop's thread. */
    uint8_t session[STEPD_SESSION_BYTES];
    uint64_t clock;       /* that control has seen of this rank */
    uint32_t wait_max_ms; /* of the server; 0: it does not say */
    char **shard_address; /* owned, as its strings; "": the address that was dialled */
    size_t addresses;
    struct stepd_home *home; /* owned; that the loop works with; NULL: none */

    /* Published. */
    _Atomic size_t frame_max_bytes; /* that the server accepts */
    _Atomic uint32_t shards;
    _Atomic uint32_t world;
    atomic_bool rolled_back; /* since the tensors were defined: they may be defined again */
    _Atomic(const struct stepd_layout_table *) layout; /* of `home`; NULL: not known yet */

    pthread_mutex_t ops_mutex;
    struct stepd_op *ops; /* owned: those that have not been waited for */
};

/* What the loop asks of the client: hello.c. */
struct stepd_greeter stepd_greeter_of(struct stepd_client *client);

/* Has the link to a shard (0: control) made, and waits until it stands: until until_ms
 * (stepd_clock_ms), then UNAVAILABLE. Fails as the server says. */
enum stepd_status stepd_open(struct stepd_client *client, uint32_t shard, uint64_t until_ms,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

/* In the loop's thread: asks whether the job's layout is still the one of the client's home, and
 * tells the links. */
void stepd_look_again(struct stepd_client *client);

/* Frees a home and those before it; NULL is fine. Returns NULL. */
struct stepd_home *stepd_home_destroy(struct stepd_home *home);

/* The layout if it is known, or NULL. Any thread. */
const struct stepd_layout_table *stepd_client_layout(const struct stepd_client *client);

#endif
