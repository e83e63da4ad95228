/* SPDX-License-Identifier: Apache-2.0
 *
 * The simulation of recovery: control, shards, and workers with the real client's brain, in virtual
 * time, where not only connections and workers die but the daemon does, and comes back from a
 * snapshot. One event after another, each chosen by the seed.
 */
#ifndef TESTS_SIM_RECOVERY_H
#define TESTS_SIM_RECOVERY_H

#include "tests/sim/plan.h"

/* What a run has seen, to tell that it was no idle one. */
struct recovery_story {
    uint64_t events;
    uint64_t connections;
    uint64_t breaks;    /* of connections */
    uint64_t deaths;    /* of workers */
    uint64_t crashes;   /* of the daemon */
    uint64_t lost;      /* of the job with it */
    uint64_t snapshots; /* kept */
    uint64_t rollbacks; /* that workers were told of */
    uint64_t rings;     /* of workers that wait for each other */
    uint64_t hash;      /* of the weights at the end */
};

/* Does the simulation take this plan? Not one whose pushes may come too late, end the job, or
 * change nothing. */
bool recovery_takes(const struct plan *plan);

/*
 * Runs the plan to its end: every worker has taken its steps, pulled the final weights and left.
 * Ends the test, with the seed, where a promise is broken.
 */
void recovery_run(const struct plan *plan, struct recovery_story *ret_story);

#endif
