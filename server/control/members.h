/* SPDX-License-Identifier: Apache-2.0
 *
 * The ranks of a job. A member is made when a rank first joins and lives as long as its job's
 * entry; the session that holds the rank may be replaced by a later worker's.
 *
 *     PRESENT <--> LOST      its lease ran out; it was heard again
 *        |  \       |        (a new worker may take the rank of a LOST one, which is PRESENT then)
 *        |   <--+   |
 *        v      |   v
 *        LEFT --+<---        said Leave; taken again where the job still takes ranks
 */
#ifndef CONTROL_MEMBERS_H
#define CONTROL_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/control/jobs.h"

struct control_member {
    uint32_t rank;
    enum stepd_member_state state;   /* changed by control_member_move only */
    struct control_session *session; /* never NULL; who holds the rank */
    uint64_t last_clock;             /* of its last push; UINT64_MAX: it has not left */
    bool untold;                     /* the shards do not know its interval yet */
    uint64_t reported_clock;         /* of its newest report, with loss and examples */
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

/* How many have joined and not left. */
size_t control_members_staying(const struct control_job *job);

/* Finds those whose lease has run out. */
void control_members_on_tick(const struct control *control, struct control_job *job);

#endif
