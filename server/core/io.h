/* SPDX-License-Identifier: Apache-2.0
 *
 * The table through which a shard's brain acts on the world. The daemon fills it with sockets and
 * queues, a test or stepd-train --local with plain arrays. Functions are called from within core_*
 * functions, on the caller's thread; they must not call back into the core.
 */
#ifndef CORE_IO_H
#define CORE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/message.h"
#include "server/model/order.h"
#include "server/model/weights.h"

/* A run of payload bytes that lies in a version of some weights. */
struct core_piece {
    struct weights *weights; /* a reference: give it back with core_release when sent */
    const uint8_t *bytes;
    size_t count;
};

/* Memory that workers on this host see too. Beyond `at` and `bytes` it is its maker's. */
struct core_memory {
    uint8_t *at; /* on a page's begin */
    size_t bytes;
};

struct core_io {
    void *owner;

    /*
     * Sends one reply and its payload to a peer. The message is borrowed until return (encode it
     * now); the pieces' array too, but each piece's reference is the receiver's from now on.
     */
    void (*reply)(void *owner, void *peer, const struct stepd_message *message,
                  const struct core_piece *piece, size_t pieces);

    /*
     * The core has forgotten this peer's connection: flush what was replied, then close. The core
     * calls nothing with this peer again, and core_close must not be called for it.
     */
    void (*hang_up)(void *owner, void *peer);

    /*
     * Brings nothing more of a peer's bytes to the core, or (hold false) brings them on, behind
     * what it runs now. They wait where they are, so that a peer that sends more fills its own
     * socket. Never called where only one peer pushes: NULL will do there.
     */
    void (*hold)(void *owner, void *peer, bool hold);

    /*
     * Does a peer take its replies? False: too much of them is unsent, and the core answers nothing
     * with weights until core_on_taken(). NULL: all do.
     */
    bool (*takes)(void *owner, void *peer);

    /* Nobody waits for this peer: it gives way where versions that it is being sent are in the way
     * of a step. As does whoever the core has forgotten. Never called where NULL. */
    void (*give_way)(void *owner, void *peer);

    /* How many references to these weights are on their way to peers that give way; and closes the
     * connections of these, whatever was replied. The references come back through core_release,
     * not from within this call. Returns how many it closes. NULL: nobody gives way. */
    size_t (*in_the_way)(void *owner, const struct weights *weights);
    size_t (*cut)(void *owner, const struct weights *weights);

    /* Takes ownership of the notice and brings it to control. */
    void (*notify)(void *owner, struct notice *notice);

    /* Memory of zeros for weights that workers on this host may read. NULL: there can be no such
     * workers, or there is no memory; and so where the function is NULL. */
    struct core_memory *(*share)(void *owner, size_t bytes);
    void (*unshare)(void *owner, struct core_memory *memory);

    /*
     * Lets a peer read the weights, and gives it so many bytes to write its gradients into, all of
     * which goes to it with the next reply. Returns where the gradients will lie, good until the
     * peer's connection is closed or hung up. NULL: it is on another host, or there is no memory.
     */
    const uint8_t *(*lend)(void *owner, void *peer, struct core_memory *weights,
                           size_t gradients_bytes);
};

#endif
