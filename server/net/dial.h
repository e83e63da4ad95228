/* SPDX-License-Identifier: Apache-2.0
 *
 * A connection to another daemon, made by one of libuv's own threads: the resolver and a handshake
 * may take their time.
 *
 *     dial_start    on the loop's thread
 *     done          on the loop's thread again, once: RESOLVE_SLICE_MS or so after `stop` was set,
 *                   whatever the resolver or the other end do, or do not
 */
#ifndef NET_DIAL_H
#define NET_DIAL_H

#include <stdatomic.h>
#include <stdint.h>
#include <uv.h>

#include <stepd/status.h>

#include "server/net/caller.h"
#include "server/net/tls.h"

/* How long is waited for each; 0: as long as between daemons that work. */
struct dial_limits {
    uint32_t lookup_ms;    /* the resolver */
    uint32_t connect_ms;   /* each address */
    uint32_t handshake_ms; /* of TLS, in all */
};

struct dial_options {
    uv_loop_t *uv;                /* borrowed until done */
    const char *address;          /* "host:port" or "[v6]:port"; this and the next until return */
    const struct tls_client *tls; /* NULL: none is spoken */
    const char *tcp_congestion;   /* see socket.h; this and the next until done */
    const atomic_bool *stop;      /* nobody wants it any more, once set */
    struct dial_limits limits;
    void *owner;

    /* Takes ownership of the caller; NULL: error (borrowed until return) says why there is none. */
    void (*done)(void *owner, struct caller *caller, const struct stepd_error *error);
};

/* RESOURCE_EXHAUSTED: no memory; done is not called. options are copied. */
enum stepd_status dial_start(const struct dial_options *options) STEPD_MUST_CHECK;

#endif
