/* SPDX-License-Identifier: Apache-2.0
 *
 * The versions of all views and the slots of a slice lie in its job's block, one after the other,
 * each array on a cache line of its own.
 */
#include "server/model/slice.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/model/initial.h"

static void zero(size_t n, float *floats)
{
    for (size_t i = 0; i < n; i++)
        floats[i] = 0.0F;
}

static float *allocate(size_t floats)
{
    float *memory = aligned_alloc(JOB_LINE_BYTES, floats * sizeof(float));
    if (memory != NULL)
        zero(floats, memory);
    return memory;
}

/* ---- Making ---------------------------------------------------------------------------------- */

static enum stepd_status make_shapes(struct slice *slice)
{
    const struct slice_plan *plan = slice->plan;
    const bool whole = group_scope(slice->group) != OPTIM_SCOPE_ELEMENT;
    slice->shapes = whole ? plan->parts : 1;
    slice->shape = calloc(slice->shapes, sizeof *slice->shape);
    if (slice->shape == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    slice->shape[0].elements = plan->elements;
    for (uint32_t i = 0; whole && i < plan->parts; i++) {
        const struct part *part = &slice->job->layout.part[plan->first_part + i];
        slice->shape[i] = job_tensor_shape(&slice->job->tensor[part->tensor]);
    }
    return STEPD_OK;
}

/* Lays the arrays out in the job's block: each view's versions, unless they have their places, then
 * the slots. */
static enum stepd_status lay_out(struct slice *slice, const struct slice_size *size, float *memory,
                                 const struct slice_places *places)
{
    float *at = memory;
    for (int v = 0; v < STEPD_VIEWS; v++) {
        for (size_t i = 0; i < size->buffers[v]; i++) {
            float *const values = places == NULL ? at : places->version[v][i];
            weights_init(&slice->view[v].buffer[i], slice, values, slice->plan->elements);
            at += places == NULL ? size->buffer : 0;
        }
    }
    slice->slots = at;
    slice->slots_floats = (size_t)size->slots;
    slice->scalars = (size_t)size->scalars;
    slice->scalar = calloc(slice->scalars, sizeof *slice->scalar);
    return slice->scalar == NULL ? STEPD_RESOURCE_EXHAUSTED : STEPD_OK;
}

static void fill_first_weights(struct slice *slice)
{
    const struct layout *layout = &slice->job->layout;
    struct published *weights = &slice->view[STEPD_EVALUATION];
    weights->current = weights_ref(&weights->buffer[0]);
    float *values = weights->current->values;
    slice->valued = true;
    for (uint32_t i = 0; i < slice->plan->parts; i++) {
        const struct part *part = &layout->part[slice->plan->first_part + i];
        const struct stepd_init *init = &slice->job->tensor[part->tensor].init;
        initial_values(init, part->tensor, part->offset, part->elements, values);
        values += part->elements;
        if (init->kind == STEPD_INIT_VALUES)
            slice->valued = false;
    }
}

/* Copies what there is into place. Returns of how many parts there is none. */
static uint32_t copy_first(const struct slice *slice, const struct first_weights *first)
{
    float *values = slice->view[STEPD_EVALUATION].current->values;
    uint32_t without = 0;
    for (uint32_t i = 0; i < slice->plan->parts; i++) {
        const struct part *part = &slice->job->layout.part[slice->plan->first_part + i];
        const float *const from = first->values[part->tensor];
        if (from != NULL)
            memcpy(values, from + part->offset, part->elements * sizeof *values);
        without += from == NULL;
        values += part->elements;
    }
    return without;
}

void slice_begin_with(struct slice *slice, struct first_weights *first)
{
    const uint32_t without = copy_first(slice, first);
    if (slice->valued || without == slice->plan->parts)
        return;
    slice->valued = without == 0; /* all parts of a slice are assigned, or none */
    slice->first = slice->valued ? NULL : first_weights_ref(first);
}

void slice_assigned(struct slice *slice)
{
    if (slice->first != NULL)
        (void)copy_first(slice, slice->first);
    slice->first = first_weights_unref(slice->first);
    slice->valued = true;
}

/* An array of so many floats, or none of 0. False: no memory. */
static bool make_array(uint64_t floats, float **ret_array)
{
    *ret_array = floats > 0 ? allocate((size_t)floats) : NULL;
    return floats == 0 || *ret_array != NULL;
}

static enum stepd_status make_ranks(struct slice *slice, const struct slice_size *size,
                                    size_t ranks)
{
    slice->by_rank = calloc(ranks, sizeof *slice->by_rank);
    if (slice->by_rank == NULL || !make_array(size->sum, &slice->sum))
        return STEPD_RESOURCE_EXHAUSTED;
    for (; slice->ranks < ranks; slice->ranks++) {
        struct slice_rank *rank = &slice->by_rank[slice->ranks];
        rank->backup_version = UINT64_MAX;
        if (!make_array(size->backup, &rank->backup))
            return STEPD_RESOURCE_EXHAUSTED;
    }
    return STEPD_OK;
}

enum stepd_status slice_init_at(struct slice *slice, const struct job *job, uint32_t index,
                                float *memory, const struct slice_places *places)
{
    const struct slice_plan *plan = &job->layout.slice[index];
    *slice =
        (struct slice){.job = job, .index = index, .plan = plan, .group = &job->group[plan->group]};
    const struct slice_size size = job_slice_size(job, plan);
    enum stepd_status status = make_shapes(slice);
    if (status == STEPD_OK)
        status = lay_out(slice, &size, memory, places);
    if (status != STEPD_OK)
        return status;
    fill_first_weights(slice);
    slice_enter(slice, 0);
    return make_ranks(slice, &size, job->workers);
}

enum stepd_status slice_init(struct slice *slice, const struct job *job, uint32_t index,
                             float *memory)
{
    return slice_init_at(slice, job, index, memory, /* places= */ NULL);
}

static void set_current(struct published *view, struct weights *next)
{
    if (next == view->current)
        return;
    if (view->current != NULL)
        weights_unref(view->current);
    view->current = next == NULL ? NULL : weights_ref(next);
}

void slice_deinit(struct slice *slice)
{
    for (size_t i = 0; i < slice->ranks; i++)
        free(slice->by_rank[i].backup);
    free(slice->by_rank);
    free(slice->sum);
    for (int v = 0; v < STEPD_VIEWS; v++)
        set_current(&slice->view[v], NULL);
    (void)slice_free_annexes(slice);
    for (int v = 0; v < STEPD_VIEWS; v++) {
        for (size_t i = 0; i < SLICE_BUFFERS; i++)
            weights_deinit(&slice->view[v].buffer[i]);
    }
    if (slice->owns_spare)
        free(slice->spare);
    free(slice->scalar);
    free(slice->shape);
    (void)shared_group_unref(slice->changed);
    (void)first_weights_unref(slice->first);
    *slice = (struct slice){.job = NULL};
}

/* ---- Phases ---------------------------------------------------------------------------------- */

void slice_enter(struct slice *slice, uint64_t clock)
{
    const struct phase *phase = group_phase(slice->group, clock);
    if (phase == slice->phase)
        return;
    slice->phase = phase;
    slice->phase_began = slice->t;
    zero(slice->slots_floats, slice->slots);
    for (size_t i = 0; i < slice->scalars; i++)
        slice->scalar[i] = 0.0;
    float *at = slice->slots;
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++) {
        const bool has = !slice->group->frozen && k < optimizer_slots(phase->optimizer);
        const uint64_t floats = has ? job_slot_floats(slice->job, slice->plan, phase, k) : 0;
        slice->slot[k] = floats > 0 ? at : NULL;
        at += job_padded(floats);
    }
    set_current(&slice->view[STEPD_TRAINING], NULL);
}

void slice_regroup(struct slice *slice, struct shared_group *changed, uint64_t number)
{
    struct shared_group *const before = slice->changed;
    slice->changed = shared_group_ref(changed);
    slice->change = number;
    slice->group = &changed->group;
    (void)shared_group_unref(before);
}

void slice_change(struct slice *slice, const struct group_change *change, uint64_t number,
                  uint64_t clock)
{
    const struct phase before = *slice->phase;
    const struct phase *const phase = group_phase(&change->group->group, clock);
    slice_regroup(slice, change->group, number);
    if (change->new_schedule)
        slice->schedule_state = (struct schedule_state){.seen = false};
    if (!change->fresh && phase->from == before.from && phase->optimizer == before.optimizer)
        slice->phase = phase; /* the same phase, with other settings: its state goes on */
    else
        slice_enter(slice, clock);
}

void slice_back_up(struct slice *slice, uint32_t rank)
{
    struct slice_rank *of_rank = &slice->by_rank[rank];
    if (of_rank->backup == NULL)
        return;
    memcpy(of_rank->backup, slice_view(slice, STEPD_TRAINING)->values,
           slice->plan->elements * sizeof(float));
    of_rank->backup_version = slice->version;
}

struct weights *slice_view(struct slice *slice, enum stepd_view view)
{
    struct weights *made = slice->view[view].current;
    return made != NULL ? made : slice->view[STEPD_EVALUATION].current;
}

/* ---- Room for a snapshot --------------------------------------------------------------------- */

static bool is_stepped_into(const struct published *view)
{
    return view->buffer[1].values != NULL;
}

static enum stepd_status make_spare(struct slice *slice, float *room)
{
    const size_t stride = (size_t)job_padded(slice->plan->elements);
    size_t arrays = 0;
    for (int v = 0; v < STEPD_VIEWS; v++)
        arrays += is_stepped_into(&slice->view[v]);
    if (arrays == 0)
        return STEPD_OK;
    /* Not touched yet: a step writes a version whole, and all spares at once would take long. */
    slice->owns_spare = room == NULL;
    slice->spare =
        room != NULL ? room : aligned_alloc(JOB_LINE_BYTES, stride * arrays * sizeof *slice->spare);
    if (slice->spare == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    float *at = slice->spare;
    for (int v = 0; v < STEPD_VIEWS; v++) {
        if (!is_stepped_into(&slice->view[v]))
            continue;
        weights_init(&slice->view[v].buffer[SLICE_BUFFERS - 1], slice, at, slice->plan->elements);
        at += stride;
    }
    return STEPD_OK;
}

/* The spare room goes when no snapshot needs it, and neither slice nor reader is in it. */
static void trim(struct slice *slice)
{
    if (slice->pinned || slice->spare == NULL)
        return;
    for (int v = 0; v < STEPD_VIEWS; v++) {
        if (slice->view[v].buffer[SLICE_BUFFERS - 1].refs > 0)
            return;
    }
    for (int v = 0; v < STEPD_VIEWS; v++)
        weights_deinit(&slice->view[v].buffer[SLICE_BUFFERS - 1]);
    if (slice->owns_spare)
        free(slice->spare);
    slice->spare = NULL;
}

enum stepd_status slice_pin(struct slice *slice, float *room)
{
    assert(!slice->pinned);
    /* What an earlier snapshot has left, and no step has relieved yet, will do. */
    const enum stepd_status status = slice->spare == NULL ? make_spare(slice, room) : STEPD_OK;
    slice->pinned = status == STEPD_OK;
    return status;
}

void slice_unpin(struct slice *slice)
{
    slice->pinned = false;
    trim(slice);
}

/* ---- Publishing ------------------------------------------------------------------------------ */

/* What stays as it is, is of the new version too. */
static void renumber(struct slice *slice, enum stepd_view view)
{
    if (slice->view[view].current != NULL)
        slice->view[view].current->version = slice->version;
}

void slice_publish(struct slice *slice, const struct slice_room *room)
{
    slice->version++;
    slice->t++;
    slice->swa_count += room->view[STEPD_SWA] != NULL;
    for (int v = 0; v < STEPD_VIEWS; v++) {
        if (room->view[v] == NULL) {
            renumber(slice, (enum stepd_view)v);
            continue;
        }
        set_current(&slice->view[v], room->view[v]);
        weights_published(room->view[v], slice->version);
    }
    trim(slice);
}

void slice_publish_same(struct slice *slice)
{
    slice->version++;
    for (int v = 0; v < STEPD_VIEWS; v++)
        renumber(slice, (enum stepd_view)v);
}
