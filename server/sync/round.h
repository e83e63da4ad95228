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
 *
 * Where several pushes of a rank make its contribution, one that counts and is not enough goes on:
 *
 *     COUNTED --go_on--> GATHERING --begin--> RECEIVING --count--> COUNTED      one push more
 *                            |                    +--drop--> GATHERING
 *                            +--settle--> ABSENT     its update was made without more of it
 *
 * Its pushes are added up as they come, in units of the first that brought examples, whose weight
 * is 1: pushes of as many examples each are simply added.
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
    CONTRIBUTION_GATHERING, /* it counts as far as it has come, and more of it is to come */
};

struct contribution {
    enum contribution_state state;
    uint64_t pushes;       /* that count in it */
    uint64_t clock;        /* of the newest of them; of the one that is received, where none does */
    uint64_t base_version; /* the gradient was computed at it */
    uint64_t examples;     /* 0: present, with no gradient */
    uint64_t unit;         /* examples of the push that the sum is in units of */
    float *grad; /* the core's, in staging; whoever closes the round may change it. NULL: no
                  * gradient came, or it was added to the slice's sum on arrival */
    uint64_t loss_examples; /* behind the loss; 0: it is not known */
    double loss;            /* mean over them */
};

struct round {
    size_t ranks;
    struct contribution *of_rank; /* owned */
    size_t counted;               /* ranks that are COUNTED */
    size_t present;               /* ranks of which a push counts */
    uint64_t examples;            /* of all that counts */
    uint64_t turn_examples;       /* of these, since round_go_on_all */
};

/* A zeroed struct is a round without contributions. */
void round_deinit(struct round *round);

/* Makes room for a rank. RESOURCE_EXHAUSTED: no memory. */
enum stepd_status round_admit(struct round *round, uint32_t rank) STEPD_MUST_CHECK;

/* The moves above; the rank was admitted, and is in the state that the move starts from. Clocks of
 * one contribution rise by one. grad: of the contribution's first push with examples; else the sum
 * of all of them, in its units. */
void round_begin(struct round *round, uint32_t rank, uint64_t clock, uint64_t base_version);
void round_count(struct round *round, uint32_t rank, uint64_t examples, float *grad);
void round_drop(struct round *round, uint32_t rank);

/* A rank's contribution; an absent one for a rank that was never admitted. */
struct contribution round_of(const struct round *round, uint32_t rank);

/* The rank's next push comes on top. */
void round_go_on(struct round *round, uint32_t rank);
/* And so of all ranks that count. */
void round_go_on_all(struct round *round);

/* What a push of so many examples is multiplied by before it is added to what its rank's
 * contribution has; 1 of the first. */
float round_share(const struct contribution *contribution, uint64_t examples);

/* The loss that came with the newest push of a contribution that counts, the mean over so many
 * examples; of none it says nothing. */
void round_note_loss(struct round *round, uint32_t rank, uint64_t examples, double loss);

/* The contribution is out of the round: settled, or retracted. What is RECEIVING stays so. */
void round_settle(struct round *round, uint32_t rank);
void round_retract(struct round *round, uint32_t rank);

/* The weight of a contribution in the mean: (float)((double)unit / total). */
float round_weight(const struct round *round, const struct contribution *contribution);

/* The mean of the losses that have come, each with its share of their examples, summed in rank
 * order; NAN where none has. */
double round_loss(const struct round *round);

#endif
