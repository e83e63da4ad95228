/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests that have been sent and are not finished, by their id.
 *
 * A request is embedded (as its first member) in whatever knows what the reply means: a call
 * (client/lib/call.h) or a transfer of slices (transfer.h). It is finished when two things have
 * happened, in either order: its reply has ended, and its own bytes have left. Until both, the
 * caller's arrays may still be read from; a server that answers too early must not make us send
 * freed memory.
 *
 *     add ---> (replies) ---> end ---\
 *         \--> (socket)  ---> written --> on_end, once
 *
 * A link that is lost may be made again (keeper.h). Until then what was not answered on it, and
 * what comes up for it, is held: it leaves the table and waits in a queue, in the order in which it
 * was sent first, and goes out again in that order under new ids.
 *
 *     table --suspend--> held --resume--> table
 *
 * All of it belongs to the loop's thread.
 */
#ifndef CLIENT_LIB_CORE_PENDING_H
#define CLIENT_LIB_CORE_PENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "proto/message.h"

/* A run of elements in a reply's payload, and where it goes. */
struct stepd_piece {
    float *to; /* room for `elements` floats; NULL: nobody wants them */
    size_t elements;
    enum stepd_dtype dtype; /* as they travel */
};

struct stepd_request;

struct stepd_request_kind {
    /* A frame of the reply has come; message is borrowed until on_frame_end. A failure is the
     * server's breach of the protocol and ends the connection. */
    enum stepd_status (*on_reply)(struct stepd_request *request, const struct stepd_message *reply,
                                  size_t payload_bytes, struct stepd_error *reterr);
    /* The next run of the frame's payload; false after the last one. NULL: there is none. */
    bool (*next_piece)(struct stepd_request *request, struct stepd_piece *ret_piece);
    /* The frame's payload has arrived whole, and `last` says whether the reply has ended. */
    void (*on_frame_end)(struct stepd_request *request);
    /* The request's own bytes have left, and the reply has not ended. NULL: of no interest. */
    void (*on_written)(struct stepd_request *request);
    /* It is over and out of the table; error is NULL when it ended well. Frees the request. */
    void (*on_end)(struct stepd_request *request, const struct stepd_error *error);
    /* The link is lost, and nothing is read from or written to any array on its behalf. Forgets
     * what was half here of a reply. True: it is held and goes out again. False, or NULL: it ends.
     */
    bool (*on_lost)(struct stepd_request *request);
    /* It is no longer held: enters it in the table again and sends it. With on_lost only. */
    void (*send)(struct stepd_request *request);
    bool greets; /* a Hello: its reply is no sign that the link does its work */
};

struct stepd_request {
    const struct stepd_request_kind *kind;
    uint64_t id;    /* 0: not in the table */
    uint32_t shard; /* of the link that it went out on */
    bool written;   /* nothing of the caller's is read any more */
    bool ended;     /* the reply has ended */
    bool failed;    /* ... with `error` */
    struct stepd_error error;
    uint64_t expires_ms;        /* until then it is worth an answer; 0: for ever */
    struct stepd_request *next; /* in its bucket, or in the queue */
};

#define STEPD_PENDING_BUCKETS 256u

struct stepd_pending {
    struct stepd_request *bucket[STEPD_PENDING_BUCKETS];
    size_t count; /* in the table */
    uint64_t newest_id;
    struct stepd_request *held; /* of all links, oldest first */
};

/* Gives the request a new id and enters it. The table does not own it. */
void stepd_pending_add(struct stepd_pending *pending, uint32_t shard,
                       struct stepd_request *request);

/* Takes it out of the table or the queue; nobody is told. Fine for a request that is in neither. */
void stepd_pending_remove(struct stepd_pending *pending, struct stepd_request *request);

/* The request of this id on this shard's link, or NULL. */
struct stepd_request *stepd_pending_find(struct stepd_pending *pending, uint32_t shard,
                                         uint64_t id);

/* The bytes of this request have left. Fine for one that is over. */
void stepd_pending_written(struct stepd_pending *pending, uint32_t shard, uint64_t id);

/* The reply has ended; error (borrowed until return) is NULL when it ended well. A request that is
 * held ends too. */
void stepd_pending_end(struct stepd_pending *pending, struct stepd_request *request,
                       const struct stepd_error *error);

/* The link is closed, and nothing is read from or written to any array on its behalf: ends all
 * of its requests with this error, and those that are held for it. */
void stepd_pending_fail(struct stepd_pending *pending, uint32_t shard,
                        const struct stepd_error *error);

/* Is a request of this link in the table or held? */
bool stepd_pending_any(const struct stepd_pending *pending, uint32_t shard);

/* Holds a request that is not in the table until this shard's link stands. */
void stepd_pending_hold(struct stepd_pending *pending, uint32_t shard,
                        struct stepd_request *request);

/* The link is lost, and will be made again: holds all of its requests that let themselves be sent
 * again, and ends the others with this error. Nothing is held for a link that stands. */
void stepd_pending_suspend(struct stepd_pending *pending, uint32_t shard,
                           const struct stepd_error *error);

/* The link stands: sends what is held for it. */
void stepd_pending_resume(struct stepd_pending *pending, uint32_t shard);

/* A request whose time was up at that moment, or NULL: expired while it was held, or overdue
 * because it was sent and the server, which keeps the same time, has not answered it. */
struct stepd_request *stepd_pending_expired(const struct stepd_pending *pending, uint64_t now_ms);
struct stepd_request *stepd_pending_overdue(const struct stepd_pending *pending, uint64_t at_ms);

#endif
