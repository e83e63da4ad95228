/* SPDX-License-Identifier: Apache-2.0
 *
 * The front door of the daemon: it listens, accepts as many as there is room for, reads each
 * caller's first frame, which must be a Hello, and hands the socket, with all that was read, to
 * control or to the shard that the Hello names. It lives on the main thread's loop.
 *
 * A caller who has not said Hello has cost one socket and hello_max_bytes, for hello_timeout_ms at
 * most; where TLS is spoken also that, and handshake_max_bytes.
 *
 * Until it has been let in, by a Welcome, a caller is a stranger, and of these there are
 * unauthenticated_max at most, so that they never take the places of those who were let in. Where
 * one more comes, the one that has been there longest has to go, unless it has only just
 * come: then the next waits in the system's backlog. So a stranger who says nothing keeps
 * out nobody who has something to say.
 */
#ifndef NET_DOOR_H
#define NET_DOOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

#include <stepd/status.h>

#include "server/base/log.h"
#include "server/net/caller.h"

/* How long a stranger may stay whoever else comes, in milliseconds. Workers that are started
 * together come together: each must have the time to be heard. Where it is as full for longer, this
 * is no such start, and each gets the time in which one that is near can say what it wants. */
#define DOOR_GRACE_MS       250u
#define DOOR_FLOOD_MS       1000u
#define DOOR_FLOOD_GRACE_MS 25u

struct door;
struct limits;
struct tls_server;

/* What is served behind a door. Shards are numbered over all daemons, 1 first, as a Hello does. */
struct door_shards {
    uint32_t first; /* the lowest that is served here, besides control; 0: none is yet */
    uint32_t count;
};

struct door_options {
    uv_loop_t *uv;         /* borrowed while the door lives */
    const struct log *log; /* likewise; may be NULL */
    struct door_shards shards;
    uint32_t connections_max; /* in all, strangers and those who were let in */
    uint32_t reserved;        /* beside these, for daemons that join */
    uint32_t unauthenticated_max;
    uint32_t hello_timeout_ms;
    uint32_t hello_max_bytes;
    uint32_t handshake_max_bytes;
    struct limits *limits;      /* where it counts; borrowed while the door lives; may be NULL */
    struct tls_server *tls;     /* of the TCP port; borrowed while the door lives; NULL: plain */
    const char *tcp_congestion; /* see socket.h; borrowed while the door lives */

    void *owner;

    /* Serve this caller. Takes ownership; door_gone() says when it is over. */
    void (*admit)(void *owner, uint32_t shard, struct caller *caller);

    /* This caller says Join, a daemon. Likewise. NULL: there are no others. */
    void (*join)(void *owner, struct caller *caller);

    /* Tell this caller the error (borrowed until return), and close. Likewise. */
    void (*refuse)(void *owner, struct caller *caller, const struct stepd_error *error);

    /* Close a stranger who has been told an error and lingers. False: there is none. May be NULL:
     * there never is. */
    bool (*make_room)(void *owner);
};

/* A door that is shut. options are copied. NULL: no memory. The caller frees with door_destroy. */
struct door *door_create(const struct door_options *options);

/*
 * Opens it, once: listens on a TCP address, and on a Unix socket unless unix_path is "".
 * UNAVAILABLE: an address is taken or cannot be had; the text names it and the remedy.
 */
enum stepd_status door_listen(struct door *door, const struct sockaddr *address,
                              const char *unix_path, struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The TCP address that it listens on, as host:port, and its port. Borrowed as long as the door. */
const char *door_address(const struct door *door);
uint16_t door_port(const struct door *door);

/* Other shards are served from now on. */
void door_serve(struct door *door, const struct door_shards *shards);

/* A caller has been let in: it is no stranger any more. */
void door_known(struct door *door);

/* A caller is gone, who had been let in or not: there is room for another. */
void door_gone(struct door *door, bool known);

/* Time has passed: callers who say nothing run out of it. Every 100 ms or so. */
void door_tick(struct door *door, uint64_t now_ms);

/* Listens no more, and drops the callers who had not said Hello. NULL is fine. */
void door_close(struct door *door);

/* After door_close, and after the loop has run out of its handles. NULL is fine. Returns NULL. */
struct door *door_destroy(struct door *door);

#endif
