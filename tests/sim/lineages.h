/* SPDX-License-Identifier: Apache-2.0
 *
 * What the job has been in each of its incarnations: a witness and a replay of each. A client may
 * still hold weights of one that is over, and must hold them for what they were.
 */
#ifndef TESTS_SIM_LINEAGES_H
#define TESTS_SIM_LINEAGES_H

#include "tests/sim/snapshots.h"
#include "tests/sim/witness.h"

enum { LINEAGES_MAX = 16 };

struct lineages {
    const struct plan *plan;
    uint64_t newest;                           /* incarnation, from 1 */
    struct replay *replay[LINEAGES_MAX + 1];   /* owned */
    struct witness *witness[LINEAGES_MAX + 1]; /* owned */
};

void lineages_init(struct lineages *lineages, const struct plan *plan);
void lineages_deinit(struct lineages *lineages);

/* The job has gone back to a snapshot, under this incarnation, which there has not been. */
void lineages_go_back(struct lineages *lineages, const struct snapshots_kept *snapshot,
                      uint64_t incarnation);

/* Of an incarnation that there has been; else the test ends. */
const struct replay *lineages_replay(const struct lineages *lineages, uint64_t incarnation);
const struct witness *lineages_witness(const struct lineages *lineages, uint64_t incarnation);

#endif
