/* SPDX-License-Identifier: Apache-2.0
 *
 * A link: one connection to control (shard 0) or to a shard, in the loop's thread. What it
 * receives goes through a reader to the pending requests; what it sends comes from the callers'
 * arrays. It reads at all times, also while it writes: neither end can block the other.
 *
 * A link that fails tells its owner once (on_lost) and closes. When on_lost is called, nothing is
 * read from or written to any caller's array any more.
 */
#ifndef CLIENT_LIB_NET_LINK_H
#define CLIENT_LIB_NET_LINK_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include <stepd/status.h>

#include "client/lib/core/outgoing.h"
#include "client/lib/core/pending.h"
#include "client/lib/net/tls.h"

struct stepd_link;

struct stepd_link_options {
    int fd;                /* a connected socket */
    struct stepd_tls *tls; /* through which all bytes go, on that socket; NULL: none */
    bool shares;           /* it is a Unix socket, over which memory may come */
    uint32_t shard;
    const char *peer; /* for people: "127.0.0.1:7070"; copied */
    struct stepd_pending *pending;
    void *owner;
    void (*on_lost)(void *owner, uint32_t shard, const struct stepd_error *error);
    /* Requests other than the Hello were answered. */
    void (*on_answer)(void *owner, uint32_t shard);
};

/* Takes ownership of the socket and the TLS, whatever comes of it. RESOURCE_EXHAUSTED, INTERNAL. */
enum stepd_status stepd_link_open(uv_loop_t *uv, const struct stepd_link_options *options,
                                  struct stepd_link **ret_link,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Queues a frame. Takes ownership on success. RESOURCE_EXHAUSTED: no memory. (A connection that
 * does not take it is lost later.) */
enum stepd_status stepd_link_send(struct stepd_link *link, struct stepd_outgoing *outgoing,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Bytes that have come so far. */
uint64_t stepd_link_received(const struct stepd_link *link);

/* Descriptors of memory that came and have not been taken; the caller closes them. At most
 * STEPD_LINK_DESCRIPTORS; with others than that there are none. */
#define STEPD_LINK_DESCRIPTORS 2u
bool stepd_link_take_descriptors(struct stepd_link *link, int ret_fd[STEPD_LINK_DESCRIPTORS]);

/* Closes without on_lost; the link frees itself. Returns NULL. */
struct stepd_link *stepd_link_close(struct stepd_link *link);

#endif
