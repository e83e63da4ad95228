/* SPDX-License-Identifier: Apache-2.0
 *
 * The table through which a shard's brain acts on the world. The daemon fills it with sockets and
 * queues, a test or stepd-train --local with plain arrays. Functions are called from within core_*
 * functions, on the caller's thread; they must not call back into the core.
 */
#ifndef CORE_IO_H
#define CORE_IO_H

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

    /* Takes ownership of the notice and brings it to control. */
    void (*notify)(void *owner, struct notice *notice);
};

#endif
