/* SPDX-License-Identifier: Apache-2.0
 *
 * A slice as its shard holds it: the weights and the other views that its group keeps, two buffers
 * for the versions of each; the optimizer's slots and scalars; and for each rank a record, and
 * where a gradient of it is being received.
 *
 * A step writes version v+1 of a view into the buffer of v itself when nobody else holds that, and
 * into the other buffer when that is free. When readers still hold both, the step waits until one
 * is given back, or the slice is given an annex: memory for a version more, which goes as soon as
 * nobody reads it and the slice has moved back into a buffer. How many of these there may be is for
 * who asks for them to say.
 *
 * Only EVALUATION, the weights, is there from the start. Every other view is the weights
 * themselves, the very same buffer, until a step makes it: the point that is looked ahead to is w
 * while there is no momentum yet, and an average of nothing begins with what there is. A view that
 * is never made takes no memory.
 *
 *     view        made by a step                                       until then, and if never
 *     EVALUATION  each                                                 -
 *     TRAINING    each, of an optimizer that looks ahead; the weights  the weights
 *                 again when a phase begins
 *     EMA         each, where ema_decay is set                         the weights
 *     SWA         the swa_start-th, and then each swa_every-th         the weights
 *
 * Slots belong to a phase: the next one begins with zeros, in the same memory, which is as large as
 * the largest phase needs. A frozen slice is never stepped: it has one buffer of weights, and no
 * slots.
 *
 * A snapshot (slice_state.h) holds the versions that it has taken for as long as it likes, and must
 * not hold a step up: a slice that is pinned has a third buffer of each view that steps make, in
 * room that its job has for it from the start, or in its own.
 *
 * All memory but that is there and touched when slice_init is over: the versions and slots lie in a
 * block of the job's, the rest is the slice's own. Belongs to one shard's thread.
 */
#ifndef MODEL_SLICE_H
#define MODEL_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/model/first_weights.h"
#include "server/model/group_change.h"
#include "server/model/record.h"
#include "server/model/weights.h"

struct slice_rank {
    float *staging; /* where its push is being received, plan->elements + plan->extra floats: taken
                     * from the job's staging (staging.h), and given back there; NULL: nowhere */
    struct record record;
    float *backup; /* owned; plan->elements floats: the weights that this rank pulled last, where
                    * its delay is to be compensated; else NULL */
    uint64_t backup_version; /* of these; UINT64_MAX: it has pulled none */
    struct weights *reads;   /* a reference: what it reads where it lies; NULL: nothing */
};

/* Of one slice, for each of them is looked at with every step. */
#define SLICE_ANNEXES_MOST 16u

/* A version beside those in the buffers. */
struct annex {
    struct weights weights;
    struct annex *next;
};

/* A view and its two versions; while the slice is pinned, three. */
#define SLICE_BUFFERS 3u

struct published {
    struct weights buffer[SLICE_BUFFERS]; /* values are NULL where the slice never makes the view;
                                           * the last one's, where there is no spare */
    struct annex *annexes;                /* owned; with values, which each owns */
    struct weights *current; /* one of all these; the slice holds a reference. NULL: the weights */
};

/* Where the next step writes version + 1, by view; NULL where it makes none of that view. */
struct slice_room {
    struct weights *view[STEPD_VIEWS];
};

struct slice {
    const struct job *job; /* borrowed: the shard holds a reference */
    uint32_t index;        /* in the job's layout */
    const struct slice_plan *plan;
    const struct group *group;    /* the job's, or what has taken its place */
    struct shared_group *changed; /* a reference: that; NULL: the group is as it was defined */
    uint64_t change;              /* number of the change that it came with; 0: as above */

    uint64_t version;            /* rounds (sync) or updates (async) that have closed */
    uint64_t t;                  /* updates that were applied */
    bool valued;                 /* the first weights are there */
    struct first_weights *first; /* a reference: those that a worker's must not replace, as long as
                                  * these are not there; NULL: there are none */
    struct schedule_state schedule_state;

    const struct phase *phase; /* whose state is in slots and scalars: that of the next step */
    uint64_t phase_began;      /* t when it began; the optimizer's own t counts from there */
    float *slot[OPTIMIZER_SLOTS_MAX]; /* each padded to cache lines; NULL: the phase has it not.
                                       * TENSOR scope: part after part, each part's own floats */
    double *scalar;                   /* owned; TENSOR scope: part after part */

    /* What its parts look like to an optimizer that sees whole tensors; in a group without such
     * an optimizer the slice is one shape without dimensions. */
    size_t shapes;
    struct optim_shape *shape; /* owned; borrows the job's shapes */

    struct published view[STEPD_VIEWS];
    uint64_t swa_count; /* weights that the view SWA is the mean of */
    size_t annexes;     /* of all views */
    float *slots;       /* in the job's block, behind the values of the buffers that stand there */
    size_t slots_floats;
    size_t scalars;
    bool pinned;  /* a snapshot holds versions, or will */
    float *spare; /* the third buffers of all views that are made; NULL: there are none */
    bool owns_spare;
    float *sum; /* owned; as long as staging: the open round's gradients, each times its examples,
                 * where they are added up as they arrive; the mean that waits for a gate; else
                 * NULL */

    size_t ranks;               /* the job's number of workers */
    struct slice_rank *by_rank; /* owned */
};

/*
 * Allocates, computes the first weights, and enters the first phase. The slice stays without values
 * (valued is false) where a tensor in it has STEPD_INIT_VALUES. It must not move afterwards.
 * memory: job_block_floats of it, zero, on a cache line, borrowed until slice_deinit.
 * RESOURCE_EXHAUSTED: no memory. The caller frees with slice_deinit.
 */
enum stepd_status slice_init(struct slice *slice, const struct job *job, uint32_t index,
                             float *memory) STEPD_MUST_CHECK;

/* Versions of a view that steps take turns with. */
#define SLICE_VERSIONS 2u

/* Where the versions of each view stand, of zeros; NULL where there are none. Borrowed as long as
 * the slice lives. */
struct slice_places {
    float *version[STEPD_VIEWS][SLICE_VERSIONS];
};

/* The same, with the versions in places of their own: memory is for the slots. places NULL: as
 * above. */
enum stepd_status slice_init_at(struct slice *slice, const struct job *job, uint32_t index,
                                float *memory, const struct slice_places *places) STEPD_MUST_CHECK;

/* A slice that was just made begins with these, where there are any for its tensors; with its own
 * where there are not. */
void slice_begin_with(struct slice *slice, struct first_weights *first);

/* A worker's first weights are in the buffer of EVALUATION now, for all of its tensors. */
void slice_assigned(struct slice *slice);

/* A zeroed or half-initialised slice is fine. */
void slice_deinit(struct slice *slice);

/* Floats that a push brings: the gradient, and what its optimizer wants behind it. */
static inline size_t slice_push_floats(const struct slice *slice)
{
    return (size_t)slice->plan->elements + slice->plan->extra;
}

/* What a pull of this view gets now. */
struct weights *slice_view(struct slice *slice, enum stepd_view view);

/* A rank has pulled the view STEPD_TRAINING: keeps it, where its delay is to be compensated. */
void slice_back_up(struct slice *slice, uint32_t rank);

/* Finds a buffer for each view that the next step will make. False while readers hold both buffers
 * of one of them. Not for a frozen slice. */
bool slice_find_room(struct slice *slice, struct slice_room *ret_room);

/* Bytes of an annex for each view that slice_find_room finds no buffer for, with what 16-bit
 * encodings of them may take. 0: it finds all. */
size_t slice_annex_bytes(struct slice *slice);

/* Makes these annexes, which slice_find_room then finds. RESOURCE_EXHAUSTED: no memory, or there
 * are SLICE_ANNEXES_MOST; there is no more than before. */
enum stepd_status slice_add_annexes(struct slice *slice) STEPD_MUST_CHECK;

/* Frees the annexes that nobody reads and that are not the newest version. Returns their bytes, as
 * slice_annex_bytes counts them. */
size_t slice_free_annexes(struct slice *slice);

/* Bytes of those that there are, counted so. */
size_t slice_annexes_bytes(const struct slice *slice);

/* Does the next step make this view, without a buffer that it could be made in? */
bool slice_lacks_room(struct slice *slice, enum stepd_view view);

/* The i-th of the buffers and annexes of a view that somebody holds a reference to; NULL: there are
 * no more. Borrowed until it is given back. */
struct weights *slice_held(struct slice *slice, enum stepd_view view, size_t i);

/* An update was applied: what stands in room, from slice_find_room, is version + 1. */
void slice_publish(struct slice *slice, const struct slice_room *room);

/* version + 1 is the same weights: a round closed without an update. */
void slice_publish_same(struct slice *slice);

/* A snapshot will hold one version of each view for a while: makes room for one more, or takes
 * this, which has a buffer for each view that steps make, is borrowed as long as the slice lives,
 * and is the same each time; NULL: its own. For a slice that is not pinned. RESOURCE_EXHAUSTED: no
 * memory, and it is not. */
enum stepd_status slice_pin(struct slice *slice, float *room) STEPD_MUST_CHECK;

/* The snapshot holds nothing any more. The room goes as soon as no weights stand in it. */
void slice_unpin(struct slice *slice);

/* Another group takes the place of the slice's, before the step at this clock; see
 * group_change.h. The slice takes a reference. */
void slice_change(struct slice *slice, const struct group_change *change, uint64_t number,
                  uint64_t clock);

/* The same, of a slice that goes on from where it had that group already: no phase begins. */
void slice_regroup(struct slice *slice, struct shared_group *changed, uint64_t number);

/* The step of the schedule's clock that comes next. Where another phase begins with it, its slots
 * and scalars are 0, and what the last phase looked ahead to is gone. */
void slice_enter(struct slice *slice, uint64_t clock);

#endif
