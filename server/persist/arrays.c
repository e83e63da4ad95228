/* SPDX-License-Identifier: Apache-2.0
 *
 * The map from a job's state to the arrays of its checkpoint.
 *
 *     places      the parts of all slices, each with its slice's state, sorted by tensor and offset
 *     stretches   for each key that an array can have (a view, a slot's name, a rank): the places
 *                 of a tensor, one behind the other, that have it
 *     arrays      one for each stretch, with a piece for each of its places
 *
 * The stretches are gone through twice: to count them, and to make arrays of them. All arrays of a
 * tensor lie together in a file, and tensors in the order of their definition.
 */
#include "server/persist/arrays.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/persist/arrays_internal.h"

/* A part of a slice. */
struct place {
    struct part part;
    bool first;  /* of its slice */
    uint32_t at; /* its first element in the slice */
    const struct slice_state *state;
    const struct optimizer *optimizer; /* NULL: no slots */
    const struct optim_hyper *hyper;
    uint64_t slot_at[OPTIMIZER_SLOTS_MAX]; /* TENSOR scope: where its own floats of a slot begin */
};

struct map {
    const struct job *job;
    struct place *place; /* owned */
    size_t places;
    const char **slot_name; /* owned; those of a tensor that have been mapped */
    size_t slot_names;
    bool portion; /* of the slices that are there; else all must be */
    bool counts;  /* what there will be, first of all */
    size_t array_count[ARRAYS_FILES];
    size_t piece_count[ARRAYS_FILES];
    struct arrays *arrays;
};

static enum stepd_status no_memory(const struct job *job, struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to list the arrays of job '%s'",
                      job->name);
}

/* ---- Places ---------------------------------------------------------------------------------- */

enum stepd_status arrays_phase(const struct job *job, uint32_t slice,
                               const struct slice_state *state, const struct phase **ret_phase,
                               struct stepd_error *reterr)
{
    const struct group *const group = state->changed != NULL
                                          ? &state->changed->group
                                          : &job->group[job->layout.slice[slice].group];
    char name[JOB_SLICE_NAME_BYTES];
    if (state->phase >= group->phases) {
        job_slice_name(job, slice, name, sizeof name);
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "%s is in phase %zu, and its group '%s' has %zu phases", name,
                          state->phase + 1, group->name, group->phases);
    }
    *ret_phase = group->frozen ? NULL : &group->phase[state->phase];
    return STEPD_OK;
}

static const struct slice_state *find_state(const struct job_state *const *share, size_t shares,
                                            size_t slice)
{
    for (size_t i = 0; i < shares; i++)
        if (share[i]->slice[slice].taken)
            return &share[i]->slice[slice];
    return NULL;
}

/* Where the floats of the next part begin, in the slots that lie part after part. */
static void step_over(const struct job *job, struct place *place, uint64_t *slot_at)
{
    const struct optimizer *const optimizer = place->optimizer;
    const struct optim_shape shape = job_tensor_shape(&job->tensor[place->part.tensor]);
    if (optimizer == NULL || optimizer->scope != OPTIM_SCOPE_TENSOR)
        return;
    memcpy(place->slot_at, slot_at, sizeof place->slot_at);
    for (size_t k = 0; k < optimizer_slots(optimizer); k++)
        slot_at[k] += optimizer_slot_floats(optimizer, k, place->hyper, 1, &shape);
}

static enum stepd_status add_slice(struct map *map, uint32_t slice, const struct slice_state *state,
                                   struct stepd_error *reterr)
{
    const struct slice_plan *const plan = &map->job->layout.slice[slice];
    uint64_t slot_at[OPTIMIZER_SLOTS_MAX] = {0};
    uint32_t at = 0;
    const struct phase *phase = NULL;
    const enum stepd_status status = arrays_phase(map->job, slice, state, &phase, reterr);
    for (uint32_t i = 0; i < plan->parts && status == STEPD_OK; i++) {
        struct place *const place = &map->place[map->places++];
        *place = (struct place){
            .part = map->job->layout.part[plan->first_part + i],
            .first = i == 0,
            .at = at,
            .state = state,
            .optimizer = phase == NULL ? NULL : phase->optimizer,
            .hyper = phase == NULL ? NULL : &phase->hyper,
        };
        step_over(map->job, place, slot_at);
        at += place->part.elements;
    }
    return status;
}

static int compare_places(const void *a, const void *b)
{
    const struct part *const left = &((const struct place *)a)->part;
    const struct part *const right = &((const struct place *)b)->part;
    if (left->tensor != right->tensor)
        return left->tensor < right->tensor ? -1 : 1;
    return (left->offset > right->offset) - (left->offset < right->offset);
}

static enum stepd_status find_places(struct map *map, const struct job_state *const *share,
                                     size_t shares, struct stepd_error *reterr)
{
    const struct job *const job = map->job;
    map->place = calloc(job->layout.parts, sizeof *map->place);
    map->slot_name = calloc(optimizer_count() * OPTIMIZER_SLOTS_MAX, sizeof *map->slot_name);
    if (map->place == NULL || map->slot_name == NULL)
        return no_memory(job, reterr);
    for (uint32_t i = 0; i < job->layout.slices; i++) {
        const struct slice_state *const state = find_state(share, shares, i);
        char name[JOB_SLICE_NAME_BYTES];
        if (state == NULL && map->portion)
            continue;
        if (state == NULL) {
            job_slice_name(job, i, name, sizeof name);
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "no share of the state of job '%s' has %s", job->name, name);
        }
        const enum stepd_status status = add_slice(map, i, state, reterr);
        if (status != STEPD_OK)
            return status;
    }
    qsort(map->place, map->places, sizeof *map->place, compare_places);
    return STEPD_OK;
}

/* ---- What a place has ------------------------------------------------------------------------ */

/* A run of floats in a slice's state. */
struct run {
    const float *from;
    uint64_t floats;
    bool by_element; /* a float for each element */
};

static struct run elements_of(const struct place *place, const float *array)
{
    if (array == NULL)
        return (struct run){.from = NULL};
    return (struct run){
        .from = array + place->at, .floats = place->part.elements, .by_element = true};
}

static struct run slot_of(const struct job *job, const struct place *place, const char *name)
{
    const struct optimizer *const optimizer = place->optimizer;
    size_t k = 0;
    const size_t slots = optimizer == NULL ? 0 : optimizer_slots(optimizer);
    while (k < slots && strcmp(optimizer->slot[k].name, name) != 0)
        k++;
    if (k == slots || place->state->slot[k] == NULL)
        return (struct run){.from = NULL};
    const float *const slot = place->state->slot[k];
    if (optimizer->slot[k].floats == NULL)
        return elements_of(place, slot);
    if (optimizer->scope == OPTIM_SCOPE_GROUP)
        return (struct run){.from = slot,
                            .floats = place->first ? place->state->slot_floats[k] : 0};
    const struct optim_shape shape = job_tensor_shape(&job->tensor[place->part.tensor]);
    return (struct run){.from = slot + place->slot_at[k],
                        .floats = optimizer_slot_floats(optimizer, k, place->hyper, 1, &shape)};
}

static struct run backup_of(const struct place *place, size_t rank)
{
    const struct slice_state *const state = place->state;
    const bool pulled = rank < state->ranks && state->by_rank[rank].backup_version != UINT64_MAX;
    return elements_of(place, pulled ? state->by_rank[rank].backup : NULL);
}

/* No floats: the place has no such thing. */
static struct run run_of(const struct map *map, const struct place *place,
                         const struct array_key *key)
{
    if (!place->state->valued)
        return (struct run){.from = NULL};
    switch (key->kind) {
    case KEY_VIEW: return elements_of(place, place->state->view[key->view]);
    case KEY_SLOT: return slot_of(map->job, place, key->slot);
    case KEY_BACKUP: return backup_of(place, key->rank);
    }
    return (struct run){.from = NULL};
}

/* ---- Arrays ---------------------------------------------------------------------------------- */

static void add_piece(const struct map *map, const struct place *place, const struct array_key *key,
                      struct array *array)
{
    const struct slice_state *const state = place->state;
    const struct run run = run_of(map, place, key);
    float *const base = key->kind == KEY_BACKUP ? state->by_rank[key->rank].backup : state->memory;
    array->piece[array->pieces++] = (struct array_piece){
        .first = array->floats,
        .floats = run.floats,
        .from = run.from,
        .into = state->pinned != NULL ? NULL : base + (run.from - base),
    };
    array->floats += run.floats;
}

/* What the places [first, end) have of a key, of which none is without it. */
struct stretch {
    const struct place *first;
    const struct place *end;
    bool whole;   /* all of the tensor */
    bool weights; /* as they are */
    bool marked;  /* by its first element: not all, or it could not be told from a stretch */
    enum arrays_file file;
};

static struct stretch stretch_of(const struct map *map, const struct place *first,
                                 const struct place *end, const struct array_key *key)
{
    const struct part *const last = &end[-1].part;
    const bool weights = key->kind == KEY_VIEW && key->view == STEPD_EVALUATION;
    const struct tensor *const tensor = &map->job->tensor[last->tensor];
    const bool whole = first->part.offset == 0 && last->offset + last->elements == tensor->elements;
    return (struct stretch){
        .first = first,
        .end = end,
        .whole = whole,
        .weights = weights,
        .marked = !whole || (weights && map->portion && arrays_name_is_marked(tensor->name)),
        .file = weights && (whole || map->portion) ? ARRAYS_MODEL : ARRAYS_OPTIMIZER,
    };
}

/* The list has room for it. */
static enum stepd_status add_array(const struct map *map, const struct stretch *stretch,
                                   const struct array_key *key, struct stepd_error *reterr)
{
    const struct part *const part = &stretch->first->part;
    const struct tensor *const tensor = &map->job->tensor[part->tensor];
    const bool by_element = run_of(map, stretch->first, key).by_element;
    const bool shaped = !stretch->marked && by_element;
    struct arrays_list *const list = &map->arrays->file[stretch->file];
    struct array array = {
        .name = arrays_name_make(tensor->name, key, stretch->file, stretch->marked, part->offset),
        .weights = stretch->weights,
        .from = part->offset,
        .of = by_element ? tensor : NULL,
        .begin = list->bytes,
        .piece = list->count == 0
                     ? list->piece
                     : list->array[list->count - 1].piece + list->array[list->count - 1].pieces,
    };
    if (array.name == NULL)
        return no_memory(map->job, reterr);
    array.base_bytes = stretch->weights  ? strlen(tensor->name)
                       : stretch->marked ? (size_t)(strrchr(array.name, '@') - array.name)
                                         : strlen(array.name);
    for (const struct place *place = stretch->first; place < stretch->end; place++)
        add_piece(map, place, key, &array);
    array.dims = shaped ? tensor->dims : 1;
    array.shape[0] = array.floats;
    if (shaped)
        memcpy(array.shape, tensor->shape, sizeof array.shape);
    list->array[list->count++] = array;
    list->bytes += array.floats * sizeof(float);
    return STEPD_OK;
}

static enum stepd_status add_stretch(struct map *map, const struct place *first,
                                     const struct place *end, const struct array_key *key,
                                     struct stepd_error *reterr)
{
    const struct stretch stretch = stretch_of(map, first, end, key);
    if (!map->counts)
        return add_array(map, &stretch, key, reterr);
    map->array_count[stretch.file]++;
    map->piece_count[stretch.file] += (size_t)(end - first);
    return STEPD_OK;
}

/* Do a tensor's places [first, at] lie without a hole? */
static bool follows(const struct place *first, const struct place *at)
{
    return at == first || at->part.offset == at[-1].part.offset + at[-1].part.elements;
}

/* The arrays of a key: one for each stretch of a tensor's places that have it. */
static enum stepd_status add_key(struct map *map, const struct place *first,
                                 const struct place *end, struct array_key key,
                                 struct stepd_error *reterr)
{
    enum stepd_status status = STEPD_OK;
    while (first < end && status == STEPD_OK) {
        const struct place *stop = first;
        while (stop < end && follows(first, stop) && run_of(map, stop, &key).floats > 0)
            stop++;
        if (stop > first)
            status = add_stretch(map, first, stop, &key, reterr);
        first = stop + (stop == first);
    }
    return status;
}

static bool is_mapped(const struct map *map, const char *slot)
{
    for (size_t i = 0; i < map->slot_names; i++)
        if (strcmp(map->slot_name[i], slot) == 0)
            return true;
    return false;
}

/* Slots that several places of a tensor have under one name are mapped once. */
static enum stepd_status add_slots(struct map *map, const struct place *first,
                                   const struct place *end, struct stepd_error *reterr)
{
    enum stepd_status status = STEPD_OK;
    map->slot_names = 0;
    for (const struct place *place = first; place < end; place++) {
        const struct optimizer *const optimizer = place->optimizer;
        if (optimizer == NULL || (place > first && optimizer == place[-1].optimizer))
            continue;
        for (size_t k = 0; k < optimizer_slots(optimizer) && status == STEPD_OK; k++) {
            const char *const slot = optimizer->slot[k].name;
            if (is_mapped(map, slot))
                continue;
            map->slot_name[map->slot_names++] = slot;
            status = add_key(map, first, end, (struct array_key){.kind = KEY_SLOT, .slot = slot},
                             reterr);
        }
    }
    return status;
}

static enum stepd_status add_tensor(struct map *map, const struct place *first,
                                    const struct place *end, struct stepd_error *reterr)
{
    static const enum stepd_view view[] = {STEPD_EVALUATION, STEPD_TRAINING, STEPD_EMA, STEPD_SWA};
    enum stepd_status status = STEPD_OK;
    for (size_t v = 0; v < STEPD_VIEWS && status == STEPD_OK; v++)
        status =
            add_key(map, first, end, (struct array_key){.kind = KEY_VIEW, .view = view[v]}, reterr);
    if (status == STEPD_OK)
        status = add_slots(map, first, end, reterr);
    for (size_t r = 0; r < first->state->ranks && status == STEPD_OK; r++)
        status =
            add_key(map, first, end, (struct array_key){.kind = KEY_BACKUP, .rank = r}, reterr);
    return status;
}

static enum stepd_status add_tensors(struct map *map, struct stepd_error *reterr)
{
    const struct place *const end = map->place + map->places;
    enum stepd_status status = STEPD_OK;
    for (const struct place *first = map->place; first < end && status == STEPD_OK;) {
        const struct place *stop = first;
        while (stop < end && stop->part.tensor == first->part.tensor)
            stop++;
        status = add_tensor(map, first, stop, reterr);
        first = stop;
    }
    return status;
}

static enum stepd_status make_lists(struct map *map, struct stepd_error *reterr)
{
    for (size_t f = 0; f < ARRAYS_FILES; f++) {
        struct arrays_list *const list = &map->arrays->file[f];
        list->array = calloc(map->array_count[f] + 1, sizeof *list->array);
        list->piece = calloc(map->piece_count[f] + 1, sizeof *list->piece);
        if (list->array == NULL || list->piece == NULL)
            return no_memory(map->job, reterr);
    }
    return STEPD_OK;
}

static enum stepd_status create(const struct job_state *const *share, size_t shares, bool portion,
                                struct arrays **ret_arrays, struct stepd_error *reterr)
{
    assert(shares > 0);
    struct map map = {.job = share[0]->job,
                      .arrays = calloc(1, sizeof *map.arrays),
                      .portion = portion,
                      .counts = true};
    if (map.arrays == NULL)
        return no_memory(map.job, reterr);
    enum stepd_status status = find_places(&map, share, shares, reterr);
    if (status == STEPD_OK)
        status = add_tensors(&map, reterr);
    if (status == STEPD_OK)
        status = make_lists(&map, reterr);
    map.counts = false;
    if (status == STEPD_OK)
        status = add_tensors(&map, reterr);
    free(map.place);
    free(map.slot_name);
    if (status != STEPD_OK) {
        (void)arrays_destroy(map.arrays);
        return status;
    }
    *ret_arrays = map.arrays;
    return STEPD_OK;
}

enum stepd_status arrays_create(const struct job_state *const *share, size_t shares,
                                struct arrays **ret_arrays, struct stepd_error *reterr)
{
    return create(share, shares, /* portion= */ false, ret_arrays, reterr);
}

enum stepd_status arrays_create_portion(const struct job_state *const *share, size_t shares,
                                        struct arrays **ret_arrays, struct stepd_error *reterr)
{
    return create(share, shares, /* portion= */ true, ret_arrays, reterr);
}

struct arrays *arrays_destroy(struct arrays *arrays)
{
    for (size_t f = 0; f < ARRAYS_FILES && arrays != NULL; f++) {
        for (size_t i = 0; i < arrays->file[f].count; i++)
            free(arrays->file[f].array[i].name);
        free(arrays->file[f].array);
        free(arrays->file[f].piece);
    }
    free(arrays);
    return NULL;
}
