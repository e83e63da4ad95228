/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames that wait to be written on a link, in the order in which they will be: what has the higher
 * priority goes first, and what has the same goes in the order in which it was given. The socket
 * gets little ahead of what it has written, so that a frame of high priority that is given late
 * still passes those that wait here; a frame that is being written is not interrupted.
 *
 *     add ---> (waits) ---> take ---> (the socket) ---> written
 *
 * A server takes the pushes of a slice in the order of their clocks. So whatever its priority, a
 * push passes none of an older clock; those of one step have the same clock and no slice in common.
 *
 * Items are embedded in what waits. No memory, no socket; one thread.
 */
#ifndef CLIENT_LIB_CORE_SENDQUEUE_H
#define CLIENT_LIB_CORE_SENDQUEUE_H

#include <stddef.h>
#include <stdint.h>

/* What the socket may have beside a frame that it was given first: small frames leave in one loop's
 * turn, and large ones one by one. */
#define STEPD_SENDQUEUE_AHEAD_BYTES ((size_t)1 << 20)

struct stepd_sendqueue_item {
    struct stepd_sendqueue_item *next; /* of the queue */
    int32_t priority;
    uint64_t clock; /* of a push or step; 0: of none */
    size_t bytes;
};

/* Begins as all 0. */
struct stepd_sendqueue {
    struct stepd_sendqueue_item *first; /* borrowed until they are taken */
    size_t flying;                      /* bytes that were taken and are not written */
};

/* Puts an item in its place. */
void stepd_sendqueue_add(struct stepd_sendqueue *queue, struct stepd_sendqueue_item *item);

/* The next item that is to be given to the socket; NULL: none yet. To be called until it is NULL
 * whenever an item was added or written. */
struct stepd_sendqueue_item *stepd_sendqueue_take(struct stepd_sendqueue *queue);

/* An item of so many bytes that was taken has been written. */
void stepd_sendqueue_written(struct stepd_sendqueue *queue, size_t bytes);

/* The first item, whatever the socket has, when the link is no more; NULL: the queue is empty. */
struct stepd_sendqueue_item *stepd_sendqueue_drop(struct stepd_sendqueue *queue);

#endif
