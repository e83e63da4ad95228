/* SPDX-License-Identifier: Apache-2.0
 *
 * The links of a client on a test bench: time is a number, connections are readers that the test
 * feeds, and what the links do is written down in words, "connect 0; hello 0 new; close 1".
 */
#ifndef TESTS_UNIT_CLIENT_LINKS_RIG_H
#define TESTS_UNIT_CLIENT_LINKS_RIG_H

#include "client/lib/core/brain.h"
#include "client/lib/core/links.h"
#include "client/lib/core/reader.h"

enum { LINKS_RIG_SHARDS = 2 };

struct links_rig {
    struct stepd_pending *pending; /* borrowed */
    struct stepd_links *links;
    uint64_t now_ms;
    uint64_t wake_ms;
    bool no_memory;        /* nothing can be sent */
    bool shares;           /* the client asks for memory */
    bool asked;            /* ... as did the newest Hello */
    enum stepd_status map; /* what becomes of memory that has come */
    bool open[LINKS_RIG_SHARDS + 1];
    struct stepd_reader reader[LINKS_RIG_SHARDS + 1];
    uint64_t sent_id[LINKS_RIG_SHARDS + 1]; /* of the newest frame */
    uint64_t sent_clock;                    /* of the newest Leave */
    enum stepd_status welcome;              /* what becomes of a Welcome */
    bool first;                             /* as the newest Welcome was said to be */
    char log[512];                          /* since the last links_did */
    char done[512];
};

/* Time is 1000. */
void links_rig_setup(struct links_rig *rig);
/* The same, with the links of this brain. */
void links_rig_setup_of(struct links_rig *rig, struct stepd_brain *brain);
void links_rig_teardown(struct links_rig *rig);

/* What the links have done since the last call. */
const char *links_did(struct links_rig *rig);

/* A link is wanted; opening notes what becomes of it: on_done writes "done SHARD STATUS". */
void links_rig_want(struct links_rig *rig, struct stepd_opening *opening, uint32_t shard);

/* The attempt leads to a connection; and fails. */
void links_rig_connect(struct links_rig *rig, uint32_t shard);
void links_rig_break(struct links_rig *rig, uint32_t shard);

/* Answers the newest frame of this link; the status is what the reader makes of it. */
enum stepd_status links_rig_answer(struct links_rig *rig, uint32_t shard,
                                   struct stepd_message message);
void links_rig_welcome(struct links_rig *rig, uint32_t shard);
/* One that ends the attempt, unless it is OK. */
void links_rig_welcome_as(struct links_rig *rig, uint32_t shard, enum stepd_status expected);
void links_rig_welcome_to(struct links_rig *rig, uint32_t shard, uint64_t incarnation);

/* This link stands, and nothing is in the log. */
void links_rig_stand(struct links_rig *rig, uint32_t shard);

/* Time goes to when the links want to be woken. */
void links_rig_wake(struct links_rig *rig);

#endif
