/* SPDX-License-Identifier: Apache-2.0
 *
 * Which pushes an open round holds, and which a closed one was made of, as the slice's records
 * tell.
 */
#ifndef TESTS_SIM_ROUNDS_H
#define TESTS_SIM_ROUNDS_H

#include "server/core/core_internal.h"
#include "tests/sim/pushes.h"

bool rounds_has(const struct push_round *round, uint32_t rank, uint64_t clock);

uint64_t rounds_pushes(const struct push_round *round, uint32_t rank);

/* Pushes of one worker that a round is made of. */
uint64_t rounds_turns(const struct plan *plan, const struct push_round *round);

/* Brings what was known of the open round up to what counts in it now, in the order of arrival. */
void rounds_look_at_open(struct push_round *open, const struct core_slice *slice);

/* What a version was made of: those that had been seen in the open round, in their order, which are
 * taken out of it; then who came with the event. */
void rounds_gather(const struct plan *plan, const struct core_slice *slice, uint64_t version,
                   struct push_round *open, struct push_round *ret_round);

/* What the rank's record says of a push that counted for a version; of one that it has no room for
 * any more, what it says of the oldest. False: it did not count for it. */
bool rounds_find_entry(const struct core_slice *slice, const struct push_part *part,
                       uint64_t version, struct record_entry *ret_entry);

#endif
