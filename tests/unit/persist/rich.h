/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshots that nobody has taken, with something in every field: jobs as the simulation draws
 * them, and whatever state, members and history such a job can have. All of it comes from a seed.
 */
#ifndef TESTS_UNIT_PERSIST_RICH_H
#define TESTS_UNIT_PERSIST_RICH_H

#include "server/persist/manifest.h"

struct rich {
    struct job_snapshot snapshot; /* owned */
    struct job_state *state;      /* a reference; whole */
    struct manifest_sums sums;    /* owned */
};

struct rich rich_make(uint64_t seed, enum stepd_mode mode);
void rich_free(struct rich *rich);

/* The same of a small job: one group of Adam, three tensors, two workers, nothing else. */
struct rich rich_make_small(void);

#endif
