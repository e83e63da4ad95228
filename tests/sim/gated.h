/* SPDX-License-Identifier: Apache-2.0
 *
 * Steps that are made of all slices together, or by none: what each shard has reported, and what
 * has to come of it. A round may take nothing more once it was reported.
 */
#ifndef TESTS_SIM_GATED_H
#define TESTS_SIM_GATED_H

#include "tests/sim/replay.h"

enum { GATED_SLICES_MAX = 64 };

struct gated {
    const struct plan *plan;
    const struct replay *replay;
    bool on;

    struct {
        uint64_t version; /* that it was reported for; 0: none */
        struct push_round round;
    } report[GATED_SLICES_MAX];

    uint64_t decided; /* version */
    struct replay_verdict verdict;
    float factor[DEFINITION_TENSORS_MAX];
};

/* plan and replay are borrowed. */
void gated_init(struct gated *gated, const struct plan *plan, const struct replay *replay);

/* Is a slice closed together with all others? */
bool gated_holds(const struct gated *gated, uint32_t slice);

/* A slice is reported with this round for a version. */
void gated_report(struct gated *gated, uint32_t slice, uint64_t version,
                  const struct push_round *round);

/* A slice has this version, of this round: what must have become of it. Borrowed until the next
 * version. Ends the test if the step had not been reported, or otherwise. */
const struct replay_verdict *gated_decide(struct gated *gated, uint32_t slice, uint64_t version,
                                          const struct push_round *round);

/* Is all that makes a version finite? Ends the test if a slice had not been reported for it. */
bool gated_is_finite(const struct gated *gated, uint64_t version);

#endif
