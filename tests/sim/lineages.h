/* SPDX-License-Identifier: Apache-2.0
 *
 * What the job has been in each of its incarnations: a witness and a replay of each. A client may
 * still hold weights of one that is over, and must hold them for what they were.
 *
 * A daemon that has lost all begins with incarnation 1 again. So a lineage is numbered from where
 * its daemon began: `base` and the incarnation.
 */
#ifndef TESTS_SIM_LINEAGES_H
#define TESTS_SIM_LINEAGES_H

#include "tests/sim/snapshots.h"
#include "tests/sim/witness.h"

enum { LINEAGES_MAX = 16 };

struct lineages {
    const struct plan *plan;
    uint64_t base;                             /* of the newest */
    uint64_t newest;                           /* number, from 1 */
    struct replay *replay[LINEAGES_MAX + 1];   /* owned */
    struct witness *witness[LINEAGES_MAX + 1]; /* owned */
};

void lineages_init(struct lineages *lineages, const struct plan *plan);
void lineages_deinit(struct lineages *lineages);

/* The job has gone back to a snapshot, under this incarnation, which there has not been. */
void lineages_go_back(struct lineages *lineages, const struct snapshots_kept *snapshot,
                      uint64_t incarnation);

/* The job is lost, and will be begun anew. */
void lineages_begin_anew(struct lineages *lineages);

/* Of a number that there has been; else the test ends. */
const struct replay *lineages_replay(const struct lineages *lineages, uint64_t number);
const struct witness *lineages_witness(const struct lineages *lineages, uint64_t number);

#endif
