/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections between daemons on the main thread's loop: a Join or Joined first, Letters from then
 * on. Each carries one link of server/peer/link.h as long as it lasts; the link outlives it.
 *
 *     peer_conns_serve    a socket, dialled or let in at the door
 *     io.greeted          Join, Joined or Error has come
 *     peer_conn_carry     both have agreed: it carries this link now
 *     io.letter           for each letter that has come over the link
 *     io.closed           it is gone, and its link, where it has one, is down
 */
#ifndef NET_PEER_CONN_H
#define NET_PEER_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include <stepd/status.h>

#include "proto/message.h"
#include "server/net/conn.h"
#include "server/peer/link.h"

struct peer_conn;

struct peer_conns_io {
    void *owner;

    /* There is one more. user: what whoever served it has named it by, or NULL. */
    void (*opened)(void *owner, struct peer_conn *conn);

    /* A message that is no Letter, borrowed until return. Not OK: *reterr is answered, and the
     * connection ends; so it does by peer_conn_end. */
    enum stepd_status (*greeted)(void *owner, struct peer_conn *conn,
                                 const struct stepd_message *message, uint64_t now_ms,
                                 struct stepd_error *reterr);

    /* A letter, borrowed until return. Not OK: likewise, and the link is LOST. */
    enum stepd_status (*letter)(void *owner, struct peer_conn *conn, const uint8_t *bytes, size_t n,
                                uint64_t now_ms, struct stepd_error *reterr);

    /* Before it carries a link, a Letter without a number has come: whoever was asked to be joined
     * is there, and waits for others. NULL: nobody says that here. */
    void (*waits)(void *owner, struct peer_conn *conn);

    /* The other end has seen more of what was posted. */
    void (*progressed)(void *owner, struct peer_conn *conn);

    /* It is gone; conn is of no use from now on. Not said of what peer_conn_end has ended. why:
     * borrowed until return. */
    void (*closed)(void *owner, struct peer_conn *conn, const struct stepd_error *why);

    /* It was let in: Joined was said to it. NULL: nobody wants to know. */
    void (*known)(void *owner);

    /* The last that is heard of a socket that was served, and let in or not. */
    void (*gone)(void *owner, bool known);
};

struct peer_conns_options {
    uv_loop_t *uv;         /* borrowed while the connections live */
    const struct log *log; /* likewise; may be NULL */
    size_t frame_max_bytes;
    uint32_t write_timeout_ms;
    uint32_t read_timeout_ms;
    struct peer_conns_io io;
};

struct peer_conns;

/* NULL: no memory. The caller frees with peer_conns_destroy. */
struct peer_conns *peer_conns_create(const struct peer_conns_options *options);

/* All must be gone. NULL is fine. Returns NULL. */
struct peer_conns *peer_conns_destroy(struct peer_conns *conns);

/* Serves a socket. Takes ownership; gone follows in every case. */
void peer_conns_serve(struct peer_conns *conns, struct caller *caller);

/* How many are not gone. */
size_t peer_conns_count(const struct peer_conns *conns);

/* Time has passed. Every 100 ms or so. */
void peer_conns_tick(struct peer_conns *conns, uint64_t now_ms);

/* Closes all; io.closed is not said. */
void peer_conns_cut(struct peer_conns *conns);

/* Sends a message that is no Letter. Borrowed until return. */
void peer_conn_say(struct peer_conn *conn, const struct stepd_message *message);

/* Carries the link from now on, which outlives the connection or is taken away by it. */
void peer_conn_carry(struct peer_conn *conn, struct peer_link *link);

/* Writes what the link has to say, as far as the socket takes it. */
void peer_conn_pump(struct peer_conn *conn);

/* Says why, unless that is NULL, and hangs up; its link, if it has one, is down. conn is of no use
 * from now on. */
void peer_conn_end(struct peer_conn *conn, const struct stepd_error *why);

/* The peer's address and the name in its certificate, for the log and the list of who may come in.
 * Borrowed as long as the connection. */
const char *peer_conn_address(const struct peer_conn *conn);
const char *peer_conn_certificate(const struct peer_conn *conn);

/* Has it shown a certificate for this host? */
bool peer_conn_holds_for(const struct peer_conn *conn, const char *host);

#endif
