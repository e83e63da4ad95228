/* SPDX-License-Identifier: Apache-2.0
 *
 * A brain with a body: control and real shards that train a job "j" of one tensor in two slices,
 * with two workers whose gradients depend on rank, clock and slice alone.
 */
#ifndef TESTS_UNIT_CONTROL_BODY_H
#define TESTS_UNIT_CONTROL_BODY_H

#include "server/core/core.h"
#include "shard_shares.h"

enum { RANKS = 2, SLICES = 2, ELEMENTS = SHARES_ELEMENTS / SLICES, STEPS = 6, HELD_MAX = 8 };

/* What a rank was answered last, by a shard. */
struct answer {
    struct core_conn *conn;
    uint64_t incarnation; /* of a Welcome */
    uint64_t clock;
    enum stepd_status code; /* OK, or of an error */
    enum stepd_outcome outcome;
    uint64_t version;
};

struct body;

/* Whose replies and notices these are. */
struct outside {
    struct body *body;
    uint32_t shard;
};

/* A daemon: the brain's orders go to cores, and their notices come back. It must not move. */
struct body {
    struct brain *brain;
    struct core *core[BRAIN_SHARDS];
    struct outside outside[BRAIN_SHARDS]; /* as cores know it */
    uint32_t shards;
    size_t fed; /* orders */
    const struct job *job;
    struct peer *worker[RANKS];
    struct answer answer[RANKS][BRAIN_SHARDS];
    float *weights; /* owned; that were pulled last */
    size_t held;

    struct {
        struct core *core;
        struct weights *weights;
    } piece[HELD_MAX];
};

void body_init(struct body *body, uint32_t shards);
/* As a crash would, but for what it would leak. */
void body_deinit(struct body *body);

/* Brings what is under way between the parts to its place. */
void body_settle(struct body *body);

/* Two workers that have defined a job and can push. */
void body_start(struct body *body);
void body_start_with(struct body *body, const char *settings);

void body_push_slice(struct body *body, size_t rank, uint32_t slice, uint64_t clock,
                     uint64_t incarnation);
/* All pushes with these clocks. */
void body_train(struct body *body, uint64_t from, uint64_t to);
/* All weights. */
void body_pull(struct body *body);

void body_begin_snapshot(struct body *body);
/* Copies the snapshot that is whole, which is over then, in place of an older one. */
void body_keep_snapshot(struct body *body, struct shares_taken *taken);
/* Control and shards are gone; new ones, so many of them, go on from a snapshot. */
void body_restart(struct body *body, struct shares_taken *taken, uint32_t shards);
/* The same, and both workers resume. */
void body_crash(struct body *body, struct shares_taken *taken, uint32_t shards);

/* A rank's worker is welcomed, and connects to the shards. */
void body_join(struct body *body, size_t rank, struct stepd_message hello);

/* The weights after all steps of a job that nothing happened to; caller frees. */
float *body_train_undisturbed(void);

#endif
