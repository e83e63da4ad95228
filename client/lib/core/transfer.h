/* SPDX-License-Identifier: Apache-2.0
 *
 * A transfer: one Push, Pull or Step message with as many parcels as go together (same shard,
 * clock and options, a few MiB), and the reply to it. The reply comes in any number of frames,
 * each with some of the slices; weights fall straight into the callers' arrays.
 *
 * Where the link is down the transfer is held, and sent when the link stands: with the clock and
 * the base versions that it had, and without the slices that were answered before.
 */
#ifndef CLIENT_LIB_CORE_TRANSFER_H
#define CLIENT_LIB_CORE_TRANSFER_H

#include "client/lib/core/exchange.h"

struct stepd_transfer {
    struct stepd_request request; /* first: the table of pending requests knows it as this */
    struct stepd_exchange *exchange;
    uint32_t shard;
    bool pulls;                   /* weights come back */
    bool delayed;                 /* it was held */
    bool placed;                  /* its gradients lie in memory that the shard shares */
    uint64_t clock;               /* of all its parcels; 0: a pull */
    int32_t priority;             /* the highest of theirs */
    struct stepd_parcel **parcel; /* owned, and the parcels until they are settled (NULL then) */
    uint32_t *slice;              /* owned; sorted when it is sent */
    uint64_t *base;               /* owned; the versions that the gradients were computed at */
    size_t count, room;
    uint64_t elements;
    size_t unanswered;
    struct stepd_result reply; /* the frame that is arriving; lists lie in the reader's arena */
    size_t reply_slice;        /* which of its slices the next piece belongs to */
    uint32_t reply_part;       /* ... and which part */
};

/* What becomes of the reply: transfer_reply.c. */
extern const struct stepd_request_kind stepd_transfer_kind;

/* An empty transfer to this shard for parcels like this one. NULL: no memory. */
struct stepd_transfer *stepd_transfer_create(struct stepd_exchange *exchange, uint32_t shard,
                                             const struct stepd_parcel *like);

/* Does the parcel go together with what is in the transfer, and is there room? */
bool stepd_transfer_fits(const struct stepd_transfer *transfer, const struct stepd_parcel *parcel);

/* Takes ownership on success. RESOURCE_EXHAUSTED: no memory. */
enum stepd_status stepd_transfer_add(struct stepd_transfer *transfer,
                                     struct stepd_parcel *parcel) STEPD_MUST_CHECK;

/* Sends it, now or when its link stands. Whatever comes of it, its parcels will be settled and the
 * transfer freed. */
void stepd_transfer_send(struct stepd_transfer *transfer);

/* The same of one that is in neither the table nor the queue, but has been sent or held before. */
void stepd_transfer_send_again(struct stepd_request *request);

/* The parcel of this slice, of a transfer that has been sent; NULL when there is none, or it is
 * settled. */
struct stepd_parcel *stepd_transfer_parcel(const struct stepd_transfer *transfer, uint32_t slice);

#endif
