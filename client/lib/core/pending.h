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
 * All of it belongs to the client's own thread.
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
};

struct stepd_request {
    const struct stepd_request_kind *kind;
    uint64_t id;    /* 0: not in the table */
    uint32_t shard; /* of the link that it went out on */
    bool written;   /* nothing of the caller's is read any more */
    bool ended;     /* the reply has ended */
    bool failed;    /* ... with `error` */
    struct stepd_error error;
    struct stepd_request *next; /* in its bucket */
};

#define STEPD_PENDING_BUCKETS 256u

struct stepd_pending {
    struct stepd_request *bucket[STEPD_PENDING_BUCKETS];
    uint64_t newest_id;
};

/* Gives the request a new id and enters it. The table does not own it. */
void stepd_pending_add(struct stepd_pending *pending, uint32_t shard,
                       struct stepd_request *request);

/* Takes it out again; nobody is told. Fine for a request that is not in. */
void stepd_pending_remove(struct stepd_pending *pending, struct stepd_request *request);

/* The request of this id on this shard's link, or NULL. */
struct stepd_request *stepd_pending_find(struct stepd_pending *pending, uint32_t shard,
                                         uint64_t id);

/* The bytes of this request have left. Fine for one that is over. */
void stepd_pending_written(struct stepd_pending *pending, uint32_t shard, uint64_t id);

/* The reply has ended; error (borrowed until return) is NULL when it ended well. */
void stepd_pending_end(struct stepd_pending *pending, struct stepd_request *request,
                       const struct stepd_error *error);

/* The link is closed, and nothing is read from or written to any array on its behalf: ends all
 * of its requests with this error. */
void stepd_pending_fail(struct stepd_pending *pending, uint32_t shard,
                        const struct stepd_error *error);

#endif
