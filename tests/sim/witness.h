/* SPDX-License-Identifier: Apache-2.0
 *
 * Looks at the shards after every event, and holds what they did against what the job was promised:
 *
 *     a version is made of pushes that never counted before, and of those that the mode allows: all
 *     members, or all but so many, or so many examples, or one push alone
 *     no gradient is staler than the bound, and none is late where that is not allowed
 *     versions go up one by one
 *     no worker gets weights while another is farther behind than the bound
 *     what a push is answered with is what became of it, and stays so
 *
 * It reads who contributed from the slices' records, because answers may be lost, and has the
 * replay make the same version of these pushes; the weights that workers pull are held against
 * that.
 */
#ifndef TESTS_SIM_WITNESS_H
#define TESTS_SIM_WITNESS_H

#include "server/control/snapshot.h"
#include "server/core/core.h"
#include "tests/sim/replay.h"

struct witness;

/* What a worker was told of a push. */
struct witness_answer {
    uint32_t rank;
    uint64_t clock;
    uint32_t slice;
    enum stepd_outcome outcome;
    uint64_t version;
    bool with_weights; /* the version is that of the weights */
};

/* The plan and the replay are borrowed until witness_destroy. */
struct witness *witness_create(const struct plan *plan, struct replay *replay);
struct witness *witness_destroy(struct witness *witness);

/*
 * The job goes back to a snapshot, of what this witness has seen. A witness of what comes of that,
 * with a replay that has been created only (borrowed), which is brought to the snapshot's versions
 * by the rounds that led there. What was counted later counts no more.
 */
struct witness *witness_go_back(const struct witness *before, const struct job_snapshot *snapshot,
                                const struct job_state *state, struct replay *replay);

/* Something has happened to a shard. */
void witness_look(struct witness *witness, uint32_t shard, const struct core *core);

/* A shard reports that all its slices of a step that is made whole are full. */
void witness_ready(struct witness *witness, uint32_t shard, const struct core *core);

/* A shard sends a worker weights of a slice. Before it is looked at. */
void witness_weights(struct witness *witness, uint32_t rank, uint32_t slice);

/* A worker learns what became of its push. */
void witness_answer(struct witness *witness, const struct witness_answer *answer);

/* The version that a push counted for; 0: none. */
uint64_t witness_counted(const struct witness *witness, uint32_t rank, uint64_t clock,
                         uint32_t slice);

/* A worker is told that its job is halted. */
void witness_halted(const struct witness *witness, const char *text);

/* A worker says that it takes no more steps: others need not wait for it. */
void witness_leave(struct witness *witness, uint32_t rank, uint64_t last_clock);

#endif
