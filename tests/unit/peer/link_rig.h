/* SPDX-License-Identifier: Apache-2.0
 *
 * Two daemons and what is between them, in virtual time: control (end 0), a member (end 1) that
 * dials it, and connections that carry the bytes of real frames and may die behind any of them.
 * An end that writes to a dead connection learns of it later, or only from the next one.
 *
 * A letter says of which reign it is, and the how manieth of its direction; each that arrives must
 * be the next one of the reign that its receiver is in. What else happens comes from the seed.
 */
#ifndef TESTS_UNIT_PEER_LINK_RIG_H
#define TESTS_UNIT_PEER_LINK_RIG_H

#include "proto/arena.h"
#include "server/peer/link.h"
#include "tests/lib/random.h"

/* Bytes on their way to an end. */
struct rig_pipe {
    uint8_t *at; /* owned */
    size_t n;
    size_t room;
    size_t arrived;
    size_t taken;
};

struct rig_end {
    struct peer_link *link; /* owned */
    uint64_t conn;          /* the number of the connection that it has; 0: none */
    bool joined;            /* Join and Joined have passed on it, as far as this end knows */
    uint64_t posted;        /* letters, in this reign */
    uint64_t got;
    uint64_t got_reign;
};

struct rig {
    uint64_t seed;
    struct random random;
    struct stepd_arena arena;
    struct peer_link_options options;
    uint64_t now_ms;
    struct rig_end end[2];
    struct rig_pipe to[2];
    uint64_t conn; /* the newest */
    bool alive;    /* it carries bytes */
    uint64_t reign;
    uint64_t instance;
    uint64_t reigns; /* that have begun because one was lost, or seemed to be */
    uint64_t reconnects;
    uint64_t went_on; /* of them, to go on with the link */
    uint64_t delivered;
};

void rig_init(struct rig *rig, uint64_t seed, const struct peer_link_options *options);
void rig_deinit(struct rig *rig);

/* Each does something, or nothing where it cannot. */
void rig_post(struct rig *rig, size_t end, size_t bytes);
void rig_write(struct rig *rig, size_t end, size_t frames);
void rig_arrive(struct rig *rig, size_t end, size_t bytes);
void rig_dial(struct rig *rig);
void rig_cut(struct rig *rig);
void rig_notice_cut(struct rig *rig, size_t end);
void rig_pass(struct rig *rig, uint64_t ms);
/* A new process takes the place of an end's. */
void rig_restart(struct rig *rig, size_t end);

/* Connects, and lets everything arrive that was posted. */
void rig_settle(struct rig *rig);

#endif
