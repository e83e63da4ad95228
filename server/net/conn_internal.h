/* SPDX-License-Identifier: Apache-2.0
 *
 * What conn.c (life), conn_read.c (bytes to messages) and conn_write.c (replies to bytes) share.
 *
 *     OPEN ----------> FLUSHING ----------> LINGERING
 *       |  goodbye        |  all written       |  peer's end, or LINGER_MS later
 *       |                 |  and FIN sent      v
 *       +-----------------+---------------> CLOSED        (memory freed in the close callback)
 *          broken socket, timeout, cut
 *
 * The farewell is long because a socket that is closed while bytes lie unread in it sends a reset,
 * and a reset makes the peer's kernel forget what it had received and the peer not read yet: the
 * very Error that says why. So the input is read and dropped until the peer has seen the end.
 *
 * Memory: libuv runs all write callbacks and the shutdown's before the close callback, so that one
 * is the last to need the struct, and whoever has ended a connection may still look at its state.
 */
#ifndef NET_CONN_INTERNAL_H
#define NET_CONN_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "server/net/conn.h"
#include "server/net/tls.h"

/* Bytes of a long frame or reply that a peer must send or take in a second, 1 MiB, beyond the
 * timeout. */
#define CONN_RATE_LEAST_BYTES_PER_S (UINT64_C(1) << 20)

#define CONN_RECEIVE_BYTES 65536u /* libuv reads fastest, and fairly, in pieces of this size */

enum conn_state {
    CONN_OPEN,
    CONN_FLUSHING,
    CONN_LINGERING,
    CONN_CLOSED,
};

/* Bytes of our own, `at` of them used up. */
struct conn_bytes {
    uint8_t *bytes; /* owned */
    size_t at;
    size_t count;
    size_t room;
};

struct conn {
    const char *why; /* of conn_drop, while `closed` is told; NULL: nothing is known */

    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;

    struct conn_loop *loop;
    struct conn *prev;
    struct conn *next;
    enum conn_state state;
    void *user;     /* the handler's; NULL: it does not know us (any more) */
    bool doomed;    /* a reply was lost: the next tick closes */
    bool gives_way; /* to who needs what is on its way to the peer */
    bool cut;       /* it has: the loop's next turn closes */
    bool known;     /* it was let in */
    char peer[ADDRESS_TEXT_BYTES];

    /* Reading */
    bool reading;            /* libuv has been told to read */
    bool choked;             /* too many replies unread: read nothing */
    bool held;               /* the handler takes nothing now: the same */
    bool tiring;             /* it was refused too often since the last tick: the same */
    uint32_t refusals;       /* since then */
    bool ended;              /* the peer will send nothing more */
    struct conn_bytes head;  /* the beginning of a frame whose head has been cut */
    struct conn_bytes stash; /* received and not looked at yet */
    uint64_t payload_left;   /* of the frame whose head was read last */
    const uint8_t *direct;   /* the handler's window that libuv reads into, if it does */
    bool was_direct;         /* the last bytes of a payload went into one */
    uint64_t reads;          /* that brought bytes, since the beginning */
    uint64_t reads_seen;     /* of them when the tick last saw more, or none missing */
    uint64_t reads_seen_ms;  /* and when that was */
    uint64_t frames;         /* whose heads were whole, since the beginning */
    uint64_t part_bytes;     /* of the payload of the last of them */
    uint64_t part_seen;      /* the head or payload that the tick last saw missing something, */
    uint64_t part_ms;        /* for how long it has been read, */
    uint64_t part_seen_ms;   /* and when that was */
    uint64_t heard;          /* reads when the tick last saw more */
    uint64_t heard_ms;       /* and when that was */

    /* Writing */
    struct conn_write *oldest; /* that libuv has not called back, linked by .next */
    struct conn_write *newest;
    uv_shutdown_t shutdown;
    uint64_t linger_until_ms;

    struct conn_loan *loan; /* owned; NULL: the peer shares no memory with us */

    /* TLS: conn_tls.c */
    struct tls *tls;     /* owned; NULL: the socket's bytes are what is meant */
    size_t unencrypted;  /* bytes of replies that wait */
    uv_write_t flying;   /* what the socket has not taken of those that do not */
    uint8_t *flight;     /* owned; its bytes; NULL: none */
    size_t flight_bytes; /* of them */
    bool ending;         /* the farewell comes behind all that waits */
};

/* A reply on its way, of which the socket has not taken all at once. */
struct conn_write {
    uv_write_t request;
    struct conn *conn;
    struct conn_write *next; /* the reply behind it */
    uint64_t since_ms;       /* when it was replied, */
    uint64_t ahead;          /* and how many bytes waited then, with its own */
    uint64_t bytes;          /* of head and pieces */
    uint8_t *head;           /* owned; malloc's */
    size_t head_bytes;
    size_t encrypted; /* of the bytes, where they go through TLS */
    size_t pieces;
    struct core_piece held[]; /* a reference each */
};

/* ---- conn.c ---------------------------------------------------------------------------------- */

uint64_t conn_now(const struct conn *conn);

/* Closes at once. `why` is for the log; NULL: not worth a line. */
void conn_drop(struct conn *conn, const char *why);

/* Answers Error{request_id 0} and says goodbye. Not from inside the handler. */
void conn_fail(struct conn *conn, const struct stepd_error *error);

/* The peer will send nothing more: flush what was replied, then close. */
void conn_on_end(struct conn *conn);

/* Shuts our side of the socket behind all that libuv was given, for the peer to see the end. */
void conn_shut(struct conn *conn);

/* ---- conn_tls.c ------------------------------------------------------------------------------ */

/* Bytes have come from the socket. */
void conn_tls_received(struct conn *conn, const uint8_t *bytes, size_t n);

/* Reads on in what has come before, as long as the handler takes input. */
void conn_tls_read_on(struct conn *conn);

/* Sends what waits as far as the socket takes it, replies of the list among it. */
void conn_tls_flush(struct conn *conn);

/* Says goodbye behind all that waits; conn_shut() follows. */
void conn_tls_end(struct conn *conn);

/* The connection is gone. What waits is put on the loop's list of replies that have left. */
void conn_tls_deinit(struct conn *conn);

/* ---- conn_read.c ----------------------------------------------------------------------------- */

/* Does the handler want to hear more now? */
bool conn_takes_input(const struct conn *conn);

/* Where the next bytes that are meant go, and that n of them are there. */
uv_buf_t conn_place(struct conn *conn);
void conn_received(struct conn *conn, const uint8_t *bytes, size_t n);

/* Keeps bytes to look at later; nothing may be kept yet. False: no memory. */
bool conn_stash(struct conn *conn, const uint8_t *bytes, size_t n);

/* Looks at what is stashed, then reads on, where nothing speaks against it. */
void conn_read_on(struct conn *conn);
void conn_read_stop(struct conn *conn);

/* Has nothing come for read_timeout_ms, with the rest of a frame missing, or has what came taken
 * too long? */
bool conn_read_stuck(struct conn *conn, uint64_t now_ms);

/* Has nothing been heard for idle_timeout_ms, and nothing been on its way to the peer? */
bool conn_is_idle(struct conn *conn, uint64_t now_ms);

/* ---- conn_lend.c ----------------------------------------------------------------------------- */

/* Is there memory that goes with the next reply? */
bool conn_has_loan_to_send(const struct conn *conn);

/* Sends the head of a reply, and the memory with it. False: it could not be sent. */
bool conn_send_loan(struct conn *conn, const uint8_t *head, size_t bytes);

/* The connection ends; NULL is fine. Returns NULL. */
struct conn_loan *conn_loan_destroy(struct conn_loan *loan);

/* ---- conn_write.c ---------------------------------------------------------------------------- */

/* Replies have left: reads on where there were too many. */
void conn_after_write(struct conn *conn);

/* Has the oldest reply been on its way for so long that the connection should be given up? */
bool conn_write_stuck(const struct conn *conn, uint64_t now_ms);

/* Reserves what conn_write.c needs of a loop. False: no memory. */
bool conn_write_init(struct conn_loop *loop);

#endif
