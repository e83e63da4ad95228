/* SPDX-License-Identifier: Apache-2.0
 *
 * Shards as control meets them when a snapshot is taken: each has a share of a job's state, or a
 * reason not to.
 */
#ifndef TESTS_UNIT_CONTROL_SHARD_SHARES_H
#define TESTS_UNIT_CONTROL_SHARD_SHARES_H

#include "brain_fixture.h"
#include "server/control/snapshot.h"

enum { SHARES_ELEMENTS = 131072 }; /* of the tensor: two slices, one for each shard */

/* A worker defines job "j" of the tensor above, and the shards open it. */
void shares_define(struct peer *peer, enum stepd_mode mode, uint32_t workers);
void shares_define_with(struct peer *peer, enum stepd_mode mode, uint32_t workers,
                        const char *settings);

/* Asks to change the groups of the job at a version; 0: at the earliest. */
void shares_ask_change(struct peer *peer, const char *settings, uint64_t at);
/* At the earliest, dropping what was to come. */
void shares_ask_change_and_drop(struct peer *peer, const char *settings);
/* As the first, and all shards agree, being at version 1. */
void shares_change(struct peer *peer, const char *settings, uint64_t at);

/* A share at a version, in which ranks 0 and 1 have counted these clocks; caller frees with
 * job_state_unref. */
struct job_state *shares_make(const struct brain *brain, uint32_t shard, uint64_t version,
                              const uint64_t clock[2]);

/* Answers the newest ORDER_SNAPSHOT of a shard: with a share, which is borrowed, or that it cannot.
 */
void shares_give(struct brain *brain, uint32_t shard, const struct job_state *share);
void shares_refuse(struct brain *brain, uint32_t shard, enum stepd_status code, uint64_t newest);

/* All of a snapshot: begun, answered, copied and ended. Or all but its beginning. */
struct shares_taken {
    struct job_snapshot snapshot;
    struct job_state *state;
};

struct shares_taken shares_take(struct brain *brain, uint64_t version, const uint64_t clock[2]);
struct shares_taken shares_finish(struct brain *brain, uint64_t version, const uint64_t clock[2]);
void shares_taken_deinit(struct shares_taken *taken);

#endif
