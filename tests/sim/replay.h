/* SPDX-License-Identifier: Apache-2.0
 *
 * What the weights must be, computed without a core: told which pushes a round of a slice was made
 * of, the replay makes the same version, in every view, and keeps them all.
 */
#ifndef TESTS_SIM_REPLAY_H
#define TESTS_SIM_REPLAY_H

#include "tests/sim/pushes.h"

struct replay;

/* The plan is borrowed until replay_destroy; what its run leads through is counted there. */
struct replay *replay_create(const struct plan *plan);
struct replay *replay_destroy(struct replay *replay);

/* What becomes of a round beyond its pushes: decided for the whole job. */
struct replay_verdict {
    bool skips;
    const float *factor; /* by tensor; NULL: 1 */
};

/* The next version of a slice is made of this round. */
void replay_close(struct replay *replay, uint32_t slice, const struct push_round *round,
                  const struct replay_verdict *verdict);

/* The mean that a round would be stepped by; false: there are no examples, or the slice is frozen.
 * What is not finite in a push stays in it. */
bool replay_mean(const struct replay *replay, uint32_t slice, const struct push_round *round,
                 float *ret_floats);

uint64_t replay_version(const struct replay *replay, uint32_t slice);

/* Is a version an update? */
bool replay_is_update(const struct replay *replay, uint64_t version, uint32_t slice);

/* What a pull of a view gets. NULL: there is no such version. */
const float *replay_weights(const struct replay *replay, uint64_t version, enum stepd_view view,
                            uint32_t slice);

/* Does the slice's group keep a view of its own under this name, or one that always is there? */
bool replay_keeps(const struct replay *replay, enum stepd_view view, uint32_t slice);

/* How the slice's group was read. */
const struct reading *replay_reading(const struct replay *replay, uint32_t slice);

/* What made a version: the optimizer's name, and the schedule's. */
const char *replay_optimizer(const struct replay *replay, uint64_t version, uint32_t slice);
const char *replay_schedule(const struct replay *replay, uint32_t slice);

/* A number for all weights as they are now. */
uint64_t replay_hash(const struct replay *replay);

#endif
