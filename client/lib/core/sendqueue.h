/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames that wait to be written on a link, in the order in which they will be: what has the higher
 * priority goes first, and what has the same goes in the order in which it was given. The socket
 * gets one at a time, so that a frame of high priority that is given late still passes those that
 * wait here; a frame that is being written is not interrupted.
 *
 * A server takes the pushes of a slice in the order of their clocks. So whatever its priority, a
 * push passes none of an older clock; those of one step have the same clock and no slice in common.
 *
 * Items are embedded in what waits. No memory, no socket; one thread.
 */
#ifndef CLIENT_LIB_CORE_SENDQUEUE_H
#define CLIENT_LIB_CORE_SENDQUEUE_H

#include <stdint.h>

struct stepd_sendqueue_item {
    struct stepd_sendqueue_item *next; /* of the queue */
    int32_t priority;
    uint64_t clock; /* of a push or step; 0: of none */
};

/* Begins as all 0. */
struct stepd_sendqueue {
    struct stepd_sendqueue_item *first; /* borrowed until they are taken */
};

/* Puts an item in its place. */
void stepd_sendqueue_add(struct stepd_sendqueue *queue, struct stepd_sendqueue_item *item);

/* The item that is to be written next, which leaves the queue; NULL: it is empty. */
struct stepd_sendqueue_item *stepd_sendqueue_take(struct stepd_sendqueue *queue);

#endif
