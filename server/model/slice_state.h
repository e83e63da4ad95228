/* SPDX-License-Identifier: Apache-2.0
 *
 * A slice as of one instant: all that the steps that follow depend on, so that a slice that is made
 * from it goes on to the same bits as the one that it was taken of.
 *
 *     slice_state_init   allocates, and pins the slice: nothing that follows can fail
 *     slice_state_take   the instant
 *     slice_state_keep   before the slice's slots or backups change: these as of the instant
 *     ...                reading it, on any thread; the slice is stepped meanwhile
 *     slice_state_deinit gives back what is held; on the slice's thread
 *
 * Weights are immutable by version, so a state that is taken refers to the slice's own buffers and
 * copies none of them. Slots, scalars, backups and records are changed in place by what follows;
 * these are copied: what is small at the instant, the arrays as late as the next step, so that
 * states of many slices can be taken at one instant without the time that their arrays take. A copy
 * of a state (slice_state_copy) refers to nothing.
 *
 * What is not in it, because it is in no weights yet: the gradients of the open round, whether they
 * are in staging or in the sum. Their clocks are not in the records either, so that their senders,
 * who are told which clocks are, send them again: nothing counts twice, and nothing is lost.
 */
#ifndef MODEL_SLICE_STATE_H
#define MODEL_SLICE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "server/model/slice.h"

/* What a slice remembers of one rank. */
struct rank_state {
    struct record record;    /* of its pushes that count, and of those that were turned away */
    uint64_t backup_version; /* of the weights below; UINT64_MAX: it has pulled none */
    float *backup;           /* owned; `elements` floats; NULL: the job keeps none */
};

struct slice_state {
    bool taken; /* the rest holds; else this slice is not part of what was taken */
    bool kept;  /* slots and backups too; says nothing where no slice is pinned */
    uint32_t elements;

    uint64_t version;
    uint64_t t;
    bool valued; /* false: there are no weights yet, and so no views */
    struct schedule_state schedule_state;
    uint64_t swa_count;

    struct shared_group
        *changed;    /* a reference: what its group has become; NULL: as it was defined */
    uint64_t change; /* number of that change; 0: as above */

    size_t phase; /* index in that group's: whose state is in slots and scalars */
    uint64_t phase_began;

    /* By view, `elements` floats each; NULL: not made yet. */
    const float *view[STEPD_VIEWS];

    /* By slot of the phase's optimizer, in its order, slot_floats[k] of them; NULL: it has it not.
     * TENSOR scope: part after part. */
    const float *slot[OPTIMIZER_SLOTS_MAX];
    uint64_t slot_floats[OPTIMIZER_SLOTS_MAX];
    size_t scalars;       /* of the phase; TENSOR scope: part after part */
    const double *scalar; /* `scalars` of them; may be NULL where there are none */

    size_t ranks;               /* the job's number of workers */
    struct rank_state *by_rank; /* owned */

    /* Where these lie. */
    struct slice *pinned;              /* borrowed: whose state it is; NULL of a copy */
    struct weights *held[STEPD_VIEWS]; /* references into it */
    float *memory;                     /* owned: the slots; of a copy the views too */
    bool in_room;                      /* that is the slice's room instead, and borrowed */
    double *scalars_memory;            /* owned */
};

/* Makes room for the state of a slice, and pins it. room: job_state_room of it, on a cache line,
 * borrowed as long as the slice lives and the same each time; NULL: memory of its own.
 * RESOURCE_EXHAUSTED: no memory, and nothing has changed. The slice must outlive the state. The
 * caller frees with slice_state_deinit. */
enum stepd_status slice_state_init(struct slice_state *state, struct slice *slice,
                                   float *room) STEPD_MUST_CHECK;

/* Takes the state of its slice as it is now, once, but for the floats of slots and backups. Between
 * two entries into the core, or right after a round has closed. */
void slice_state_take(struct slice_state *state);

/* Copies these, once, while they are still as they were when it was taken: before the slice's next
 * step, the next phase of it, and the next pull of weights that are backed up. */
void slice_state_keep(struct slice_state *state);

/* A copy of a state that was kept, which refers to nothing. RESOURCE_EXHAUSTED: no memory. The
 * caller frees with slice_state_deinit. */
enum stepd_status slice_state_copy(const struct slice_state *state,
                                   struct slice_state *ret_copy) STEPD_MUST_CHECK;

/* A zeroed state is fine. */
void slice_state_deinit(struct slice_state *state);

/*
 * Brings a slice that slice_init has just made to a state that was taken. Its job says the same as
 * that of the state but for the incarnation; what its group has become fits the job (group_fits.h).
 * INVALID_ARGUMENT: the state does not fit the slice; the text says what of it. The slice is of no
 * use then.
 */
enum stepd_status slice_restore(struct slice *slice, const struct slice_state *state,
                                struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
