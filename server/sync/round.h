/* SPDX-License-Identifier: Apache-2.0
 *
 * A round: the collecting of gradients for the next version of one unit (a slice). It closes on
 * identity, not on counts: it knows who has contributed, and a rank that contributes twice counts
 * once. Contributions are kept apart until the round closes, so that the sum can be taken in rank
 * order with weights that only the last one settles.
 *
 *     ABSENT --begin--> RECEIVING --count--> COUNTED --settle--> ABSENT     its update was made
 *                           |               |
 *                           |               +--retract--> ABSENT     a step that must be whole
 *                           |                                        goes without this rank
 *                           +--drop--> ABSENT     the sender died, or the gradient is refused
 */
#ifndef SYNC_ROUND_H
#define SYNC_ROUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

enum contribution_state {
    CONTRIBUTION_ABSENT,
    CONTRIBUTION_RECEIVING,
    CONTRIBUTION_COUNTED,
};

struct contribution {
    enum contribution_state state;
    uint64_t clock;
    uint64_t base_version; /* the gradient was computed at it */
    uint64_t examples;     /* 0: present, with no gradient */
    float *grad; /* borrowed from the rank's staging; whoever closes the round may change it. NULL:
                  * it was added to the slice's sum on arrival */
    bool has_loss;
    double loss; /* mean over the examples */
};

struct round {
    size_t ranks;
    struct contribution *of_rank; /* owned */
    size_t counted;
    uint64_t examples; /* of all that counted */
};

/* A zeroed struct is a round without contributions. */
void round_deinit(struct round *round);

/* Makes room for a rank. RESOURCE_EXHAUSTED: no memory. */
enum stepd_status round_admit(struct round *round, uint32_t rank) STEPD_MUST_CHECK;

/* The moves above; the rank was admitted, and is in the state that the move starts from. */
void round_begin(struct round *round, uint32_t rank, uint64_t clock, uint64_t base_version);
void round_count(struct round *round, uint32_t rank, uint64_t examples, float *grad);
void round_drop(struct round *round, uint32_t rank);

/* A rank's contribution; an absent one for a rank that was never admitted. */
struct contribution round_of(const struct round *round, uint32_t rank);

/* The loss that came with a contribution that counts. */
void round_note_loss(struct round *round, uint32_t rank, double loss);

/* The contribution is out of the round: settled, or retracted. */
void round_settle(struct round *round, uint32_t rank);
void round_retract(struct round *round, uint32_t rank);

/* The weight of a contribution in the mean: (float)((double)examples / total). */
float round_weight(const struct round *round, const struct contribution *contribution);

/* The mean of the losses that have come, each with its share of their examples, summed in rank
 * order; NAN where none has. */
double round_loss(const struct round *round);

#endif
