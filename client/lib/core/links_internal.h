/* SPDX-License-Identifier: Apache-2.0
 *
 * What the two halves of the links share: the links as a whole (links.c), and an attempt at one
 * (links_attempt.c).
 */
#ifndef CLIENT_LIB_CORE_LINKS_INTERNAL_H
#define CLIENT_LIB_CORE_LINKS_INTERNAL_H

#include "client/lib/core/greeting.h"
#include "client/lib/core/links.h"

/* What is known of a link that somebody has wanted. */
struct spot {
    struct stepd_greeting_request greeting;
    enum stepd_greeting how; /* of the attempt */
    bool connected;
    bool stands;             /* ... and was welcomed */
    bool met;                /* it has stood in this incarnation */
    bool unmapped;           /* there was no room to map the memory that came with its Welcome */
    bool unshared;           /* for which reason its Hellos ask for none any more */
    uint64_t received;       /* bytes, at the last heartbeat */
    struct stepd_error gone; /* why it is no more */
};

struct stepd_links {
    struct stepd_links_options options;
    struct stepd_keeper keeper;
    struct stepd_exchange *exchange; /* borrowed; NULL until it was given */
    struct spot **spot;              /* owned, as what it points to; by shard */
    size_t spots;
    struct stepd_opening *openings; /* borrowed */
    bool stopping;
};

uint64_t links_now_ms(const struct stepd_links *links);

/* After everything that the keeper was told: looks for who can go on. */
void links_settle(struct stepd_links *links);

/* NULL: nobody has wanted this link. */
struct spot *links_spot(const struct stepd_links *links, uint32_t shard);

/* NULL: no memory. */
struct spot *links_make_spot(struct stepd_links *links, uint32_t shard);

/* Ends the connection or the attempt at one without a word. */
void links_hang_up(struct stepd_links *links, uint32_t shard);

#endif
