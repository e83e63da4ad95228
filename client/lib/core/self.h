/* SPDX-License-Identifier: Apache-2.0
 *
 * Who a client is to the server: what its Hello says, and what the Welcome of control has told it.
 */
#ifndef CLIENT_LIB_CORE_SELF_H
#define CLIENT_LIB_CORE_SELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/lib/core/keeper.h"
#include "proto/message.h"

struct stepd_self {
    /* Set before the first Hello; what is pointed to is borrowed. */
    const char *address; /* of control, as the caller gave it */
    const char *job;     /* "" for an observer without one */
    const char *worker;
    const char *token; /* "": none */
    bool observer;
    bool shares_memory; /* with servers on this host, where it can */
    uint32_t lease_ms;  /* that it asks for */
    uint8_t id[STEPD_CLIENT_BYTES];
    int32_t rank; /* -1 only until the server has given one */

    /* As the newest Welcome says. */
    uint8_t session[STEPD_SESSION_BYTES];
    uint64_t clock;       /* that control has seen of this rank */
    uint32_t beat_ms;     /* from one heartbeat to the next; 0: none are wanted */
    uint32_t wait_max_ms; /* of the server; 0: it does not say */
    size_t frame_max_bytes;
    uint32_t world;
    char **shard_address; /* owned, as its strings; "": the address of control */
    size_t shards;
};

void stepd_self_deinit(struct stepd_self *self);

/* Where a shard (0: control) listens; borrowed until the next Welcome. */
const char *stepd_self_address(const struct stepd_self *self, uint32_t shard);

/* Does it share memory with this shard, if the shard is for it? */
bool stepd_self_shares(const struct stepd_self *self, uint32_t shard);

/* The Hello; what it points to is borrowed from self. */
struct stepd_message stepd_self_hello(const struct stepd_self *self, uint32_t shard,
                                      enum stepd_greeting how);

/* The largest frame that whoever says this Welcome accepts. */
size_t stepd_self_frame_max(const struct stepd_welcome *welcome);

/* Takes what control's Welcome (borrowed until return) says. INTERNAL: it contradicts what was said
 * before, or breaks the protocol. RESOURCE_EXHAUSTED: no memory. */
enum stepd_status stepd_self_welcome(struct stepd_self *self, const struct stepd_welcome *welcome,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
