/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a plan must lead, computed without a core: the weights of every slice at every version of a
 * sync job, and at the first and last of an async one.
 */
#ifndef TESTS_SIM_REPLAY_H
#define TESTS_SIM_REPLAY_H

#include "tests/sim/plan.h"

struct replay;

/* The plan is borrowed until replay_destroy. */
struct replay *replay_create(const struct plan *plan);
struct replay *replay_destroy(struct replay *replay);

/* The weights of a slice at a version. NULL: the replay does not know it. */
const float *replay_weights(const struct replay *replay, uint64_t version, uint32_t slice);

/* Examples behind a sync job's step to this version, of all workers. */
uint64_t replay_examples(const struct plan *plan, uint64_t version);

#endif
