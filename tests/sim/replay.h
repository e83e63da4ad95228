/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a plan must lead, computed without a core: every view of the weights of every slice at
 * every version of an ordered job, and the weights at the first and last of any other.
 */
#ifndef TESTS_SIM_REPLAY_H
#define TESTS_SIM_REPLAY_H

#include "tests/sim/plan.h"

struct replay;

/* The plan is borrowed until replay_destroy; what its run leads through is counted there. */
struct replay *replay_create(const struct plan *plan);
struct replay *replay_destroy(struct replay *replay);

/* What a pull of a view gets. NULL: the replay does not know that version. */
const float *replay_weights(const struct replay *replay, uint64_t version, enum stepd_view view,
                            uint32_t slice);

/* Does the slice's group keep a view of its own under this name, or one that always is there? */
bool replay_keeps(const struct replay *replay, enum stepd_view view, uint32_t slice);

/* What made a version: the optimizer's name, and the schedule's. */
const char *replay_optimizer(const struct replay *replay, uint64_t version, uint32_t slice);
const char *replay_schedule(const struct replay *replay, uint32_t slice);

/* Is an update made of what a rank pushes with this clock? In a sync job, of what all push. */
bool replay_is_update(const struct replay *replay, uint32_t rank, uint64_t clock, uint32_t slice);

#endif
