/* SPDX-License-Identifier: Apache-2.0
 *
 * A daemon without its body: control and two shards, the queues of orders and notices between them,
 * and a clock, all moved by whoever holds it. Frames come and go through peers (peer.h).
 *
 * Jobs whose names begin with "f" begin with weights that somebody goes for, who finds those of the
 * first tensor, or none.
 */
#ifndef TESTS_FUZZ_BRAINS_H
#define TESTS_FUZZ_BRAINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/limit.h"
#include "server/control/control.h"
#include "server/core/core.h"
#include "tests/lib/random.h"

enum { BRAINS_SHARDS = 2, BRAINS_HOSTS = 3, BRAINS_CONTROL = BRAINS_SHARDS, BRAINS_TASKS_MAX = 16 };

#define BRAINS_WAIT_MAX_MS  60000u
#define BRAINS_LEASE_MS     10000u
#define BRAINS_TICK_MOST_MS 5000u
#define BRAINS_SLICE_LENGTH 8u /* elements, where a job does not say */
#define BRAINS_MEMORY_BYTES (UINT64_C(1) << 20)
#define BRAINS_OLD_BYTES    512u                /* for old versions: of a few slices */
#define BRAINS_UNIX_S       INT64_C(1800000000) /* 2027-01-15T08:00:00Z: when a clock is at 0 */

struct letter;

/* What control has asked its body for. */
struct task {
    enum task_kind { TASK_CHECKPOINT, TASK_SNAPSHOT, TASK_FETCH } kind;
    const struct job_snapshot *snapshot; /* borrowed from control */
    uint64_t step;
    struct job *job; /* FETCH: a reference */
    uint64_t attempt;
};

struct brains {
    struct core *core[BRAINS_SHARDS]; /* owned */
    struct control *control;          /* owned */
    struct peer *peers;               /* borrowed: those that are open, and those with replies */
    struct limits limits;
    uint64_t now_ms;
    struct random random; /* of sessions: told to nobody but those whose they are */
    bool shares_memory;   /* as with workers on the daemon's host */

    struct queue {
        struct letter *first; /* owned; the first to come */
        struct letter **end;
    } queue[BRAINS_HOSTS];

    struct task task[BRAINS_TASKS_MAX]; /* the oldest first */
    size_t tasks;
};

void brains_init(struct brains *brains, uint64_t seed, bool shares_memory);
/* All peers are closed. Checks that nobody keeps anything of anybody who is gone. */
void brains_deinit(struct brains *brains);

/* Delivers a host's first order or notice. False: there is none. */
bool brains_deliver(struct brains *brains, uint32_t host);
/* Delivers all, and what comes of it. */
void brains_settle(struct brains *brains);
/* The same, and the shards do what they do when there is nothing else. */
void brains_rest(struct brains *brains);

/* At most BRAINS_TICK_MOST_MS pass. */
void brains_tick(struct brains *brains, uint64_t ms);

/* Does the oldest task, well or not. False: there is none. */
bool brains_do_task(struct brains *brains, bool well);

#endif
