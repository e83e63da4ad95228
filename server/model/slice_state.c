/* SPDX-License-Identifier: Apache-2.0
 *
 * Taking a slice's state, and making a slice of it. Slots are taken one behind the other, without
 * the padding between them in the slice.
 */
#include "server/model/slice_state.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"

/* ---- Taking ---------------------------------------------------------------------------------- */

static void free_ranks(struct slice_state *state)
{
    for (size_t i = 0; i < state->ranks; i++)
        free(state->by_rank[i].backup);
    free(state->by_rank);
}

/* A place for each rank, and one for its backup where `backups` says so. */
static enum stepd_status make_ranks(struct slice_state *state, size_t ranks, bool backups)
{
    state->by_rank = calloc(ranks, sizeof *state->by_rank);
    if (state->by_rank == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    for (; state->ranks < ranks; state->ranks++) {
        struct rank_state *rank = &state->by_rank[state->ranks];
        if (!backups)
            continue;
        rank->backup = malloc(state->elements * sizeof *rank->backup);
        if (rank->backup == NULL)
            return STEPD_RESOURCE_EXHAUSTED;
    }
    return STEPD_OK;
}

/* None of a length of 0. */
static enum stepd_status make_arrays(struct slice_state *state, size_t floats, size_t scalars)
{
    state->memory = floats > 0 ? malloc(floats * sizeof *state->memory) : NULL;
    state->scalars_memory = scalars > 0 ? malloc(scalars * sizeof *state->scalars_memory) : NULL;
    const bool made =
        (state->memory != NULL || floats == 0) && (state->scalars_memory != NULL || scalars == 0);
    return made ? STEPD_OK : STEPD_RESOURCE_EXHAUSTED;
}

enum stepd_status slice_state_init(struct slice_state *state, struct slice *slice, float *room)
{
    *state = (struct slice_state){.elements = slice->plan->elements};
    const bool backups = slice->by_rank[0].backup != NULL;
    const size_t floats = room == NULL ? slice->slots_floats : 0;
    enum stepd_status status = make_arrays(state, floats, slice->scalars);
    if (status == STEPD_OK)
        status = make_ranks(state, slice->ranks, backups);
    if (status == STEPD_OK)
        status = slice_pin(slice, room == NULL ? NULL : room + slice->slots_floats);
    if (status != STEPD_OK) {
        slice_state_deinit(state);
        return status;
    }
    state->pinned = slice;
    if (room != NULL) {
        state->memory = room;
        state->in_room = true;
    }
    return STEPD_OK;
}

/* Weights that rank 0 has still to send are received into the buffer itself: it must not be held.
 */
static void take_views(struct slice_state *state, const struct slice *slice)
{
    for (int v = 0; v < STEPD_VIEWS && slice->valued; v++) {
        struct weights *current = slice->view[v].current;
        if (current == NULL)
            continue;
        state->held[v] = weights_ref(current);
        state->view[v] = current->values;
    }
}

/* Of the phase that it is in; a frozen slice has none. */
static size_t scalars_of(const struct slice *slice)
{
    if (slice->scalars == 0)
        return 0;
    const struct optimizer *optimizer = slice->phase->optimizer;
    return optimizer->scalars * (optimizer->scope == OPTIM_SCOPE_TENSOR ? slice->shapes : 1);
}

static void take_scalars(struct slice_state *state, const struct slice *slice)
{
    state->scalars = scalars_of(slice);
    state->scalar = state->scalars_memory;
    for (size_t i = 0; i < state->scalars; i++)
        state->scalars_memory[i] = slice->scalar[i];
}

static void keep_slots(struct slice_state *state, const struct slice *slice)
{
    float *at = state->memory;
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++) {
        if (slice->slot[k] == NULL)
            continue;
        const uint64_t floats = job_slot_floats(slice->job, slice->plan, slice->phase, k);
        memcpy(at, slice->slot[k], (size_t)floats * sizeof *at);
        state->slot[k] = at;
        state->slot_floats[k] = floats;
        at += floats;
    }
}

static void take_ranks(struct slice_state *state, const struct slice *slice)
{
    for (size_t i = 0; i < state->ranks; i++) {
        const struct slice_rank *from = &slice->by_rank[i];
        struct rank_state *to = &state->by_rank[i];
        to->record = from->record;
        to->backup_version = from->backup_version;
    }
}

static void keep_backups(struct slice_state *state, const struct slice *slice)
{
    for (size_t i = 0; i < state->ranks; i++) {
        float *const to = state->by_rank[i].backup;
        if (to != NULL)
            memcpy(to, slice->by_rank[i].backup, state->elements * sizeof *to);
    }
}

void slice_state_take(struct slice_state *state)
{
    const struct slice *slice = state->pinned;
    assert(slice != NULL && !state->taken);
    state->version = slice->version;
    state->t = slice->t;
    state->valued = slice->valued;
    state->schedule_state = slice->schedule_state;
    state->swa_count = slice->swa_count;
    state->changed = slice->changed == NULL ? NULL : shared_group_ref(slice->changed);
    state->change = slice->change;
    state->phase = (size_t)(slice->phase - slice->group->phase);
    state->phase_began = slice->phase_began;
    take_views(state, slice);
    take_scalars(state, slice);
    take_ranks(state, slice);
    state->taken = true;
}

void slice_state_keep(struct slice_state *state)
{
    const struct slice *slice = state->pinned;
    assert(state->taken && !state->kept && state->phase_began == slice->phase_began);
    keep_slots(state, slice);
    keep_backups(state, slice);
    state->kept = true;
}

void slice_state_deinit(struct slice_state *state)
{
    for (int v = 0; v < STEPD_VIEWS; v++) {
        if (state->held[v] != NULL)
            weights_unref(state->held[v]);
    }
    if (state->pinned != NULL)
        slice_unpin(state->pinned);
    free_ranks(state);
    (void)shared_group_unref(state->changed);
    if (!state->in_room)
        free(state->memory);
    free(state->scalars_memory);
    *state = (struct slice_state){.taken = false};
}

/* ---- Copying --------------------------------------------------------------------------------- */

static const float *copy_floats(const float *from, size_t floats, float **at)
{
    if (from == NULL)
        return NULL;
    float *const to = *at;
    memcpy(to, from, floats * sizeof *to);
    *at += floats;
    return to;
}

static void copy_arrays(const struct slice_state *state, struct slice_state *copy)
{
    float *at = copy->memory;
    for (int v = 0; v < STEPD_VIEWS; v++)
        copy->view[v] = copy_floats(state->view[v], state->elements, &at);
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++)
        copy->slot[k] = copy_floats(state->slot[k], (size_t)state->slot_floats[k], &at);
    copy->scalar = copy->scalars_memory;
    for (size_t i = 0; i < state->scalars; i++)
        copy->scalars_memory[i] = state->scalar[i];
    for (size_t i = 0; i < state->ranks; i++) {
        struct rank_state *rank = &copy->by_rank[i];
        float *const backup = rank->backup;
        *rank = state->by_rank[i];
        rank->backup = backup;
        if (backup != NULL)
            memcpy(backup, state->by_rank[i].backup, state->elements * sizeof *backup);
    }
}

enum stepd_status slice_state_copy(const struct slice_state *state, struct slice_state *ret_copy)
{
    assert(state->taken && (state->kept || state->pinned == NULL));
    struct slice_state copy = *state;
    copy.pinned = NULL;
    copy.in_room = false;
    copy.changed = state->changed == NULL ? NULL : shared_group_ref(state->changed);
    copy.ranks = 0;
    copy.by_rank = NULL;
    size_t floats = 0;
    for (int v = 0; v < STEPD_VIEWS; v++) {
        copy.held[v] = NULL;
        floats += state->view[v] == NULL ? 0 : state->elements;
    }
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++)
        floats += (size_t)state->slot_floats[k];
    enum stepd_status status = make_arrays(&copy, floats, state->scalars);
    if (status == STEPD_OK)
        status = make_ranks(&copy, state->ranks, state->by_rank[0].backup != NULL);
    if (status != STEPD_OK) {
        slice_state_deinit(&copy);
        return status;
    }
    copy_arrays(state, &copy);
    *ret_copy = copy;
    return STEPD_OK;
}

/* ---- Going back ------------------------------------------------------------------------------ */

/* A state that somebody has read from bytes may be of anything. */
static enum stepd_status differs(const struct slice *slice, const char *what, uint64_t has,
                                 uint64_t wanted, struct stepd_error *reterr)
{
    char name[JOB_SLICE_NAME_BYTES];
    job_slice_name(slice->job, slice->index, name, sizeof name);
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "the state of %s has %" PRIu64 " %s, and the job needs %" PRIu64
                      "; it is of another job, or of another definition of it",
                      name, has, what, wanted);
}

static enum stepd_status check_views(const struct slice *slice, const struct slice_state *state,
                                     struct stepd_error *reterr)
{
    const bool weights = state->view[STEPD_EVALUATION] != NULL;
    if (weights != state->valued)
        return differs(slice, "versions of the weights", weights, state->valued, reterr);
    for (int v = 0; v < STEPD_VIEWS; v++) {
        if (state->view[v] != NULL && slice->view[v].buffer[0].values == NULL)
            return differs(slice, "views that its group does not keep", 1, 0, reterr);
    }
    return STEPD_OK;
}

/* In the phase that the slice has entered. */
static enum stepd_status check_slots(const struct slice *slice, const struct slice_state *state,
                                     struct stepd_error *reterr)
{
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++) {
        const uint64_t floats =
            slice->slot[k] == NULL ? 0 : job_slot_floats(slice->job, slice->plan, slice->phase, k);
        const uint64_t has = state->slot[k] == NULL ? 0 : state->slot_floats[k];
        if (has != floats)
            return differs(slice, "floats in a slot of its optimizer", has, floats, reterr);
    }
    if (state->scalars != scalars_of(slice))
        return differs(slice, "scalars of its optimizer", state->scalars, scalars_of(slice),
                       reterr);
    return STEPD_OK;
}

static enum stepd_status check_ranks(const struct slice *slice, const struct slice_state *state,
                                     struct stepd_error *reterr)
{
    if (state->ranks != slice->ranks)
        return differs(slice, "ranks", state->ranks, slice->ranks, reterr);
    for (size_t i = 0; i < state->ranks; i++) {
        const bool has = state->by_rank[i].backup != NULL;
        const bool wanted = slice->by_rank[i].backup != NULL;
        if (has != wanted)
            return differs(slice, "backups of a rank's weights", has, wanted, reterr);
    }
    return STEPD_OK;
}

static enum stepd_status check(struct slice *slice, const struct slice_state *state,
                               struct stepd_error *reterr)
{
    if (!state->taken)
        return differs(slice, "slices", 0, 1, reterr);
    if (state->elements != slice->plan->elements)
        return differs(slice, "elements", state->elements, slice->plan->elements, reterr);
    if (state->changed != NULL)
        slice_regroup(slice, state->changed, state->change);
    if (state->phase >= slice->group->phases)
        return differs(slice, "phases behind it", state->phase, slice->group->phases - 1, reterr);
    if (state->t > state->version)
        return differs(slice, "updates, more than versions", state->t, state->version, reterr);
    if (state->phase_began > state->t)
        return differs(slice, "updates before its phase", state->phase_began, state->t, reterr);
    slice_enter(slice, slice->group->phase[state->phase].from);
    enum stepd_status status = check_views(slice, state, reterr);
    if (status == STEPD_OK)
        status = check_slots(slice, state, reterr);
    return status != STEPD_OK ? status : check_ranks(slice, state, reterr);
}

static void restore_views(struct slice *slice, const struct slice_state *state)
{
    for (int v = 0; v < STEPD_VIEWS; v++) {
        struct published *view = &slice->view[v];
        if (state->view[v] == NULL)
            continue;
        if (view->current == NULL)
            view->current = weights_ref(&view->buffer[0]);
        memcpy(view->current->values, state->view[v], state->elements * sizeof(float));
        weights_published(view->current, state->version);
    }
}

static void restore_slots(struct slice *slice, const struct slice_state *state)
{
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++) {
        if (state->slot[k] != NULL)
            memcpy(slice->slot[k], state->slot[k], (size_t)state->slot_floats[k] * sizeof(float));
    }
    for (size_t i = 0; i < state->scalars; i++)
        slice->scalar[i] = state->scalar[i];
}

static void restore_ranks(struct slice *slice, const struct slice_state *state)
{
    for (size_t i = 0; i < state->ranks; i++) {
        struct slice_rank *rank = &slice->by_rank[i];
        rank->record = state->by_rank[i].record;
        rank->backup_version = state->by_rank[i].backup_version;
        if (rank->backup != NULL)
            memcpy(rank->backup, state->by_rank[i].backup, state->elements * sizeof(float));
    }
}

enum stepd_status slice_restore(struct slice *slice, const struct slice_state *state,
                                struct stepd_error *reterr)
{
    const enum stepd_status status = check(slice, state, reterr);
    if (status != STEPD_OK)
        return status;
    slice->version = state->version;
    slice->t = state->t;
    slice->valued = state->valued;
    slice->schedule_state = state->schedule_state;
    slice->swa_count = state->swa_count;
    slice->phase_began = state->phase_began;
    restore_views(slice, state);
    restore_slots(slice, state);
    restore_ranks(slice, state);
    return STEPD_OK;
}
