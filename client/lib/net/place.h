/* SPDX-License-Identifier: Apache-2.0
 *
 * A place for a link: a link that stands, an attempt at one, or neither. An attempt is a dial, a
 * link over the socket that comes of it, and a Hello on it.
 *
 *     try -> dial -> link, Hello -> Welcome -> opened ... lost
 *              \------- failed <------/
 */
#ifndef CLIENT_LIB_NET_PLACE_H
#define CLIENT_LIB_NET_PLACE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include <stepd/status.h>

#include "client/lib/core/keeper.h"
#include "client/lib/core/pending.h"
#include "client/lib/net/dial.h"
#include "client/lib/net/link.h"
#include "proto/message.h"

/* What a place asks and tells. None of it is called from within stepd_place_try. */
struct stepd_place_owner {
    void *self;
    /* Where a shard (0: control) listens; borrowed until the next call. */
    const char *(*address)(void *self, uint32_t shard);
    /* The Hello; what it points to is borrowed until the next call. */
    struct stepd_message (*hello)(void *self, uint32_t shard, enum stepd_greeting how);
    /* The Welcome (borrowed until return). A failure ends the attempt. */
    enum stepd_status (*welcome)(void *self, uint32_t shard, const struct stepd_welcome *welcome,
                                 struct stepd_error *reterr);
    void (*opened)(void *self, uint32_t shard, uint64_t incarnation);
    void (*failed)(void *self, uint32_t shard, const struct stepd_error *error);
    void (*lost)(void *self, uint32_t shard, const struct stepd_error *error);
    /* Something other than the Hello was answered. */
    void (*answered)(void *self, uint32_t shard);
};

/* A Hello on its way. */
struct stepd_greeting_request {
    struct stepd_request request; /* first; id 0: none is under way */
    struct stepd_place *place;
    uint64_t incarnation; /* of the Welcome */
};

struct stepd_place {
    const struct stepd_place_owner *owner; /* borrowed */
    uv_loop_t *uv;
    struct stepd_pending *pending; /* borrowed */
    uint32_t shard;
    enum stepd_greeting how;
    struct stepd_dial *dial; /* owned */
    struct stepd_link *link; /* owned */
    bool stands;             /* the link has been welcomed */
    struct stepd_greeting_request greeting;
};

/* Begins an attempt. Nothing may stand or be under way. Without memory nothing comes of it. */
void stepd_place_try(struct stepd_place *place, enum stepd_greeting how);

/* Ends whatever there is without a word; its requests are the caller's to end. */
void stepd_place_close(struct stepd_place *place);

#endif
