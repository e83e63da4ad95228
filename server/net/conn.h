/* SPDX-License-Identifier: Apache-2.0
 *
 * One connection on one loop: bytes from the socket become messages for a handler, and the
 * handler's replies become bytes. It knows frames and nothing of what they mean.
 *
 * From the handler's side (all on the loop's thread):
 *
 *     opened                              -> its own name for the connection, `user`
 *     message(user, ...)                  for each frame
 *     window(user), filled(user, n)       until the frame's payload has been taken
 *     taken(user)                         when replies that had piled up have left
 *     closed(user)                        unless the handler hung up itself (conn_finish)
 *     release(owner, weights)             for each piece of a reply, sent or not
 *
 * A handler answers with conn_reply() whenever it likes between opened and closed, from inside
 * these calls too. conn_reply(), conn_hold() and conn_finish() call nothing of the handler's.
 *
 * What goes wrong costs the peer its connection and nobody else anything: a frame or message that
 * cannot be read is answered by Error{request_id 0}, and so is a frame whose rest does not come for
 * read_timeout_ms, or that takes longer than that and a second for each MiB; a peer that takes
 * longer for a reply than write_timeout_ms and a second for each MiB of it, and of what was before
 * it, is cut off, and so is one that is silent for idle_timeout_ms; one whose replies pile up is
 * not read from until it takes them, and one that is refused more than refusals_max_per_s not
 * before the next tick.
 */
#ifndef NET_CONN_H
#define NET_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include <stepd/status.h>

#include "proto/arena.h"
#include "proto/message.h"
#include "server/base/limit.h"
#include "server/base/log.h"
#include "server/base/log_limit.h"
#include "server/core/io.h"
#include "server/net/caller.h"
#include "server/net/shared_memory.h"

/* Replies of one connection that wait for its socket, unless the loop's owner wants another bound:
 * reading stops above it, and goes on below a quarter. On a shard they are references to weights
 * and not copies; control, whose replies are copies and whose peers may be many, wants a share. */
#define CONN_QUEUE_HIGH_BYTES         (16u << 20)
#define CONN_QUEUE_HIGH_CONTROL_SHARE 32u

struct conn;

struct conn_handler {
    /* NULL: no memory. */
    void *(*opened)(void *owner, struct conn *conn, uint64_t now_ms);

    /* A frame's header, and how many payload bytes follow. The message is borrowed until return.
     * Not OK: *reterr is answered with Error{request_id 0}, then closed() comes. */
    enum stepd_status (*message)(void *user, const struct stepd_message *message,
                                 uint64_t payload_bytes, uint64_t now_ms,
                                 struct stepd_error *reterr);

    /* Where the next payload bytes go, as core_window and core_filled say it. */
    uint8_t *(*window)(void *user, size_t *ret_room);
    void (*filled)(void *user, size_t n, uint64_t now_ms);

    /* The connection is gone for the handler. */
    void (*closed)(void *user, uint64_t now_ms);

    /* The peer takes its replies again (conn_takes). NULL: nobody wants to know. */
    void (*taken)(void *user, uint64_t now_ms);

    /* A reply's piece was sent, or will never be. */
    void (*release)(void *owner, struct weights *weights, uint64_t now_ms);

    /* A caller has been let in: its Welcome or Joined was replied. From inside conn_reply(). NULL:
     * nobody wants to know. */
    void (*known)(void *owner);

    /* A caller's socket has been closed and its memory freed, who had been let in or not; the last
     * thing heard of it. */
    void (*gone)(void *owner, bool known);
};

/* What the connections of one loop share. */
struct conn_loop {
    uv_loop_t *uv;         /* borrowed */
    const struct log *log; /* borrowed */
    const struct conn_handler *handler;
    void *owner; /* the handler's */
    size_t frame_max_bytes;
    size_t queue_high_bytes;
    uint32_t write_timeout_ms;
    uint32_t read_timeout_ms;
    uint32_t idle_timeout_ms;
    uint32_t refusals_max; /* in a tick */
    struct limits *limits;
    struct log_limit closed; /* what strangers can make the log say */
    struct log_limit refused;

    struct conn *first; /* linked by conn.next; owned */
    size_t count;
    uint64_t reads;             /* that have brought bytes */
    bool freed;                 /* a connection is held no more, and not read from yet */
    bool cuts;                  /* a connection was cut, and not closed yet */
    struct conn_write *written; /* owned; replies that have left through TLS, with theirs */
    struct weights **spent;     /* owned; references of replies that have left, or failed */
    size_t spents;
    size_t spent_room;
    struct stepd_arena decode; /* one message at a time lives in each */
    struct stepd_arena encode;
    uint8_t *receive;   /* owned; where small reads go */
    uint8_t *encrypted; /* owned; where those of TLS go: what they mean, into `receive` */
    uv_buf_t *buf;      /* owned; scratch for one write */
    size_t bufs;
};

struct conn_loop_options {
    uv_loop_t *uv;                      /* borrowed while the conn_loop lives */
    const struct log *log;              /* likewise; may be NULL */
    const struct conn_handler *handler; /* likewise */
    void *owner;                        /* given to the handler */
    size_t frame_max_bytes;             /* largest frame that is read */
    size_t queue_high_bytes;            /* of unsent replies; 0: CONN_QUEUE_HIGH_BYTES */
    uint32_t write_timeout_ms;
    uint32_t read_timeout_ms;
    uint32_t idle_timeout_ms;    /* 0: a connection may be silent for ever */
    uint32_t refusals_max_per_s; /* 0: any number */
    struct limits *limits;       /* where it counts; borrowed likewise; may be NULL */
};

/* RESOURCE_EXHAUSTED: no memory; *loop is zeroed then. The caller frees with conn_loop_deinit. */
enum stepd_status conn_loop_init(struct conn_loop *loop,
                                 const struct conn_loop_options *options) STEPD_MUST_CHECK;

/* All connections must be gone (count is 0). Leaves it zeroed; a zeroed one is fine. */
void conn_loop_deinit(struct conn_loop *loop);

/* Gives back what replies held that have left. To be called behind whatever may have made the
 * handler reply; what the connections bring settles itself, and the tick does what was forgotten.
 */
void conn_loop_settle(struct conn_loop *loop);

/* Time has passed: unread replies and farewells run out. Every CONN_TICK_MS or so. */
#define CONN_TICK_MS 100u
void conn_loop_tick(struct conn_loop *loop, uint64_t now_ms);

/* Closes connections that were cut, and reads on from those that are held no more. Before the loop
 * sleeps, and not from inside the handler. */
void conn_loop_go_on(struct conn_loop *loop);

/* Says goodbye to all: what was replied is flushed, then they close. */
void conn_loop_drain(struct conn_loop *loop);

/* Says goodbye to all with this error, as conn_refuse does. */
void conn_loop_end(struct conn_loop *loop, const struct stepd_error *why);

/* Closes all, whatever was replied. */
void conn_loop_cut(struct conn_loop *loop);

/* Serves a caller. Takes ownership of it; gone() follows in every case. */
void conn_open(struct conn_loop *loop, struct caller *caller);

/* Answers a caller with Error{request_id 0} and closes. Takes ownership; gone() follows. */
void conn_refuse(struct conn_loop *loop, struct caller *caller, const struct stepd_error *error);

/* Closes the stranger who has been told why for longest, and has only not read it yet. False: there
 * is none. */
bool conn_loop_drop_stranger(struct conn_loop *loop);

/*
 * Sends a reply: a message, and as its payload the pieces. The message is borrowed until return;
 * each piece's reference is the connection's from now on, and comes back through release(). A reply
 * that cannot be sent (no memory, a header over the limit) costs the connection.
 */
void conn_reply(struct conn *conn, const struct stepd_message *message,
                const struct core_piece *piece, size_t pieces);

/*
 * Lends the peer of a Unix socket weights to read, and memory to write its gradients into: both go
 * to it with the next reply, which must be the first, and have no pieces. Returns where the
 * gradients will lie, good until closed() or conn_finish(). NULL: the peer is on another host, or
 * there is no memory, or none left in the budget (borrowed as long as the connection). Once for a
 * connection.
 */
const uint8_t *conn_lend(struct conn *conn, const struct shared_memory *weights,
                         size_t gradients_bytes, struct shared_budget *budget);

/* Bytes of replies that have not left. */
size_t conn_queue_bytes(const struct conn *conn);

/* Is there room for more of them? False, from when they are more than queue_high_bytes until they
 * are less than a quarter: then taken() comes. */
bool conn_takes(const struct conn *conn);

/* From now on the connection gives way to who needs what is on its way to the peer (below). One
 * that the handler does not know any more does so by itself. */
void conn_give_way(struct conn *conn);

/* How many references to these weights are on their way over connections that give way. */
size_t conn_loop_in_the_way(const struct conn_loop *loop, const struct weights *weights);

/* Closes these connections, at the loop's next turn, whatever was replied: what they hold comes
 * back through release() then. Returns how many it closes. From inside the handler too. */
size_t conn_loop_cut_readers(struct conn_loop *loop, const struct weights *weights);

/* From now on nothing more of the peer's bytes comes to the handler (hold), or it does again, after
 * conn_loop_go_on(). */
void conn_hold(struct conn *conn, bool hold);

/* The handler has forgotten the connection: flush what was replied, then close. */
void conn_finish(struct conn *conn);

/* The peer's address, for the log. Borrowed as long as the connection. */
const char *conn_peer(const struct conn *conn);

/* The name in the certificate that it has shown, or "" (tls.h). Likewise. */
const char *conn_certificate(const struct conn *conn);

/* From within `closed`: what has ended it, NULL where the peer has. Borrowed until return. */
const char *conn_why(const struct conn *conn);

/* As tls_holds_for; false without TLS. */
bool conn_holds_for(const struct conn *conn, const char *host);

#endif
