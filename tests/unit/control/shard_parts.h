/* SPDX-License-Identifier: Apache-2.0
 *
 * Shards as control meets them when a snapshot is taken: each has a part of a job's state, or a
 * reason not to.
 */
#ifndef TESTS_UNIT_CONTROL_SHARD_PARTS_H
#define TESTS_UNIT_CONTROL_SHARD_PARTS_H

#include "brain_fixture.h"
#include "server/control/snapshot.h"

enum { PARTS_ELEMENTS = 131072 }; /* of the tensor: two slices, one for each shard */

/* A worker defines job "j" of the tensor above, and the shards open it. */
void parts_define(struct peer *peer, enum stepd_mode mode, uint32_t workers);

/* A part at a version, in which ranks 0 and 1 have counted these clocks; caller frees with
 * job_state_unref. */
struct job_state *parts_make(const struct brain *brain, uint32_t shard, uint64_t version,
                             const uint64_t clock[2]);

/* Answers the newest ORDER_SNAPSHOT of a shard: with a part, which is borrowed, or that it cannot.
 */
void parts_give(struct brain *brain, uint32_t shard, const struct job_state *part);
void parts_refuse(struct brain *brain, uint32_t shard, enum stepd_status code, uint64_t newest);

/* All of a snapshot: begun, answered, copied and ended. */
struct parts_taken {
    struct job_snapshot snapshot;
    struct job_state *state;
};

struct parts_taken parts_take(struct brain *brain, uint64_t version, const uint64_t clock[2]);
void parts_taken_deinit(struct parts_taken *taken);

#endif
