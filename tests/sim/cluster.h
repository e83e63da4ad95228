/* SPDX-License-Identifier: Apache-2.0
 *
 * The simulation: control, shards, workers and the connections between them, in virtual time, one
 * event after another, each chosen by the seed.
 */
#ifndef TESTS_SIM_CLUSTER_H
#define TESTS_SIM_CLUSTER_H

#include "tests/sim/plan.h"

/* What a run has seen, to tell that it was no idle one. */
struct cluster_story {
    uint64_t events;
    uint64_t connections;
    uint64_t breaks;
    uint64_t resumes;
    uint64_t requests;
    uint64_t hash; /* of the weights at the end */
};

/*
 * Runs the plan to its end: every worker has taken its steps and pulled the final weights, and
 * nothing is left behind in any shard. Ends the test, with the seed, where a promise is broken.
 */
void cluster_run(const struct plan *plan, struct cluster_story *ret_story);

#endif
