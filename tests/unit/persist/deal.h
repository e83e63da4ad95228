/* SPDX-License-Identifier: Apache-2.0
 *
 * A state's slices dealt out, as daemons hold them: states that have some of them and own none, to
 * be read while the one that they come from stands. Needs CMocka's includes before it.
 */
#ifndef TESTS_UNIT_PERSIST_DEAL_H
#define TESTS_UNIT_PERSIST_DEAL_H

#include <stdbool.h>

#include "server/model/job_state.h"

/* A state with those slices that `takes` says. The caller ends with deal_end. */
struct job_state *deal(const struct job_state *const *share, size_t shares,
                       bool (*takes)(const struct job *job, size_t slice, uint32_t hand,
                                     uint32_t hands),
                       uint32_t hand, uint32_t hands);

/* Returns NULL. */
struct job_state *deal_end(struct job_state *state);

/* Slices in turns, and those of a shard. */
bool deal_in_turns(const struct job *job, size_t slice, uint32_t hand, uint32_t hands);
bool deal_by_shard(const struct job *job, size_t slice, uint32_t hand, uint32_t hands);

#endif
