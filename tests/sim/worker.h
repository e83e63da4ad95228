/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker of the simulation. It pulls the first weights (rank 0 assigns what is to be assigned
 * before), takes the plan's steps, and at last pulls the final version. What it has to ask it asks
 * in any order, in any grouping of slices, by step or by push and pull; what was lost it asks again
 * with the same clock; and at times it repeats itself without need, or pulls any view of anything.
 *
 *     JOIN --> ASSIGN (rank 0) --> FIRST --> STEP, clock 1 --> ... --> STEP, clock n --> FINAL -->
 * DONE
 *
 * Each arrow is taken when every slice is settled: where each version is made of all workers'
 * pushes, not before each view of this version has been pulled that it falls to this worker to
 * pull. No version can be passed over, since a worker that has not gone on holds up the next one.
 * Whatever comes back is held against the replay, and shown to the witness.
 */
#ifndef TESTS_SIM_WORKER_H
#define TESTS_SIM_WORKER_H

#include "tests/lib/random.h"
#include "tests/sim/enrol.h"
#include "tests/sim/replay.h"
#include "tests/sim/witness.h"

enum { WORKER_SLICES_MAX = 64 };

enum worker_phase {
    WORKER_JOIN,
    WORKER_ASSIGN,
    WORKER_FIRST,
    WORKER_STEP,
    WORKER_FINAL,
    WORKER_DONE,
};

/* What a worker knows of a slice, in this phase and of this clock. */
struct holding {
    uint32_t asked;   /* requests under way */
    bool pushed;      /* the push is settled */
    uint32_t pulled;  /* bit set of the views that are here */
    bool repaired;    /* the push was refused for a NaN, and is sent again without */
    uint64_t made;    /* version that the push is answered with */
    uint64_t applied; /* bit set of the clocks of which an answer said so */
    uint64_t version; /* of weights */
    float weights[PLAN_FLOATS_MAX];
    uint64_t next_version;
    float next[PLAN_FLOATS_MAX]; /* of the view for training */
};

/* What all workers share; borrowed. */
struct worker_world {
    const struct plan *plan;
    struct witness *witness;
    const struct replay *replay;
    struct random *random;
};

struct worker {
    const struct plan *plan;
    struct witness *witness;
    const struct replay *replay;
    struct random *random;
    uint32_t rank;
    struct enrolment enrolment;
    enum worker_phase phase;
    uint64_t clock;
    uint32_t timeouts;                  /* of this clock */
    uint64_t requests;                  /* made so far */
    struct link *link[PLAN_SHARDS_MAX]; /* borrowed from the cluster; NULL: none */
    struct question *questions;         /* owned; under way */
    struct holding slice[WORKER_SLICES_MAX];
};

/* A new process; `replaces`: in place of one that has died. */
void worker_init(struct worker *worker, const struct worker_world *world, uint32_t rank,
                 bool replaces);
void worker_deinit(struct worker *worker);

/* Does it know its session and the layout, so that it can speak to shards? */
bool worker_is_in(const struct worker *worker);

/* Takes a new connection to a shard into use and says Hello. */
void worker_connect(struct worker *worker, uint32_t shard, struct link *link);
/* The connection is lost: what was asked there must be asked again. */
void worker_disconnect(struct worker *worker, uint32_t shard);

/* Says something to control, to which it is connected. */
void worker_ask_control(struct worker *worker);

/* Asks something of a shard to which it is connected, if there is something to ask. */
void worker_ask(struct worker *worker, uint32_t shard);

/* What the worker lacks, in words; false: nothing. */
bool worker_explain(const struct worker *worker, char *text, size_t size);

/* For link_create; the owner is a struct worker. */
void worker_on_frame(void *owner, struct link *link, const struct stepd_message *message,
                     const uint8_t *payload, size_t payload_bytes);
void worker_on_control(void *owner, struct link *link, const struct stepd_message *message,
                       const uint8_t *payload, size_t payload_bytes);

#endif
