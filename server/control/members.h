/* SPDX-License-Identifier: Apache-2.0
 *
 * The ranks of a job. A member is made when a rank first joins and lives as long as its job's
 * entry; the session that holds the rank may be replaced by a later worker's.
 *
 *     JOINING --> PRESENT <--> LOST --> GIVEN_UP
 *        ^          | ^                    |
 *        |          v |                    |
 *        +-------- LEFT <------ (LOST)     |
 *        +---------------------------------+
 *
 * - JOINING: all shards have to agree from which version on it is a member (changes.h): of a sync
 *   job that runs; in any other it is PRESENT at once.
 * - LOST: its lease ran out. It is PRESENT again when it is heard of, or when another worker takes
 *   its rank.
 * - LEFT: said Leave. Another worker may take the rank where the job takes ranks back.
 * - GIVEN_UP: it was lost, and the job goes on without it (loss.h): whatever it sends is refused,
 *   and its rank is free.
 */
#ifndef CONTROL_MEMBERS_H
#define CONTROL_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/control/jobs.h"

/* A worker that has lost its rank to another one, so that it can be told when it comes back. */
struct control_former {
    bool known;
    uint8_t session[STEPD_SESSION_BYTES];
    struct stepd_error why;
};

struct control_member {
    uint32_t rank;
    enum stepd_member_state state;   /* changed by control_member_move only */
    struct control_session *session; /* never NULL; who holds the rank */
    uint64_t from;                   /* first version that it is a member for */
    uint64_t from_clock;             /* that it goes on from */
    uint64_t last_clock;             /* of its last push; UINT64_MAX: it has not left */
    uint64_t until;               /* GIVEN_UP: first version that is made without it everywhere */
    bool untold;                  /* the shards do not know its interval yet, or JOINING: that it
                                   * is to be one */
    bool kept;                    /* LOST: the log says why it is not given up */
    struct stepd_error given_up;  /* GIVEN_UP: what it is told */
    struct control_former former; /* who held the rank before */
    uint64_t reported_clock;      /* of its newest report, with loss and examples */
    double loss;
    uint64_t examples;
    size_t shards;
    uint64_t counted[]; /* by shard: lowest clock it counted over the slices that this rank has
                         * pushed there, as it said last; 0: it has pushed none */
};

/* NULL: this rank never joined. */
struct control_member *control_member_find(const struct control_job *job, uint32_t rank);

/* Makes a rank below STEPD_WORKERS_MAX that never joined a member, PRESENT, from version 0 on.
 * NULL: no memory. */
struct control_member *control_member_create(const struct control *control, struct control_job *job,
                                             uint32_t rank, struct control_session *session);

/* The lowest clock that a shard has counted of this member, over the slices that it has pushed; 0:
 * none, or of a sync job that the first step has come to some shards only. From there whoever holds
 * the rank goes on without a gap: slices that are ahead call it a duplicate. */
uint64_t control_member_clock(const struct control_member *member);

/* The one place that changes a member's state; logs a change. No change is fine. */
void control_member_move(const struct control *control, struct control_member *member,
                         enum stepd_member_state state);

/* The member of this rank was heard of now. */
void control_member_heard(const struct control *control, struct control_member *member);

/* Neither LEFT nor GIVEN_UP. */
bool control_member_stays(const struct control_member *member);

/* Proposes a JOINING member's first version. RESOURCE_EXHAUSTED: no memory. */
enum stepd_status control_member_propose(struct control *control, struct control_job *job,
                                         const struct control_member *member) STEPD_MUST_CHECK;

/* All shards have agreed on it. */
void control_member_admitted(struct control *control, struct control_job *job, uint32_t rank,
                             uint64_t version);

/* A shard says from which versions on it goes without a rank that was given up. */
void control_member_without(const struct control *control, const struct control_job *job,
                            const struct notice *notice);

/* What a session that is known no more is to be told, where its rank has passed to another worker;
 * else NULL. session has STEPD_SESSION_BYTES bytes. */
const struct stepd_error *control_members_former(const struct control *control,
                                                 const uint8_t *session);

/* How many have joined and not left, or been given up. */
size_t control_members_staying(const struct control_job *job);

/* Finds those whose lease has run out. */
void control_members_on_tick(const struct control *control, struct control_job *job);

#endif
