/* SPDX-License-Identifier: Apache-2.0
 *
 * A manifest that was read, cut into other slices. The arrays are a tensor's and not a slice's, so
 * they can be read into any cut; what a slice says beside them (versions, records, phases) goes to
 * each slice that has some of its elements. A slice that is made of several takes it from all of
 * them, which must say the same. In sync mode they do; slices that are stepped one by one are
 * mostly at different versions, and then no cut but the saved one, or a finer one, can say so.
 *
 *     places   the parts of the saved slices, sorted by tensor and offset
 *     slices   of the other cut, each from the places that it covers
 *
 * Nothing of the manifest is changed before all of it stands.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/model/group_fits.h"
#include "server/persist/arrays_internal.h"
#include "server/persist/manifest_slice.h"

/* A part of a saved slice. */
struct place {
    struct part part;
    uint32_t slice;
    uint32_t index; /* of the part in it */
};

struct recut {
    const struct manifest *from;
    struct place *place; /* owned */
    struct job_state *to;
    struct manifest_slice *slice; /* owned; of `to` */
};

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to cut slices anew");
}

/* ---- Places ---------------------------------------------------------------------------------- */

static int compare_parts(const void *a, const void *b)
{
    const struct part *const left = &((const struct place *)a)->part;
    const struct part *const right = &((const struct place *)b)->part;
    if (left->tensor != right->tensor)
        return left->tensor < right->tensor ? -1 : 1;
    return (left->offset > right->offset) - (left->offset < right->offset);
}

static enum stepd_status find_places(struct recut *recut, struct stepd_error *reterr)
{
    const struct layout *const layout = &recut->from->state->job->layout;
    size_t places = 0;
    recut->place = calloc(layout->parts, sizeof *recut->place);
    if (recut->place == NULL)
        return no_memory(reterr);
    for (uint32_t i = 0; i < layout->slices; i++) {
        const struct slice_plan *const plan = &layout->slice[i];
        for (uint32_t k = 0; k < plan->parts; k++)
            recut->place[places++] =
                (struct place){.part = layout->part[plan->first_part + k], .slice = i, .index = k};
    }
    qsort(recut->place, places, sizeof *recut->place, compare_parts);
    return STEPD_OK;
}

/* The place that has the first element of a part: each element is in one. */
static const struct place *place_of(const struct recut *recut, const struct part *part)
{
    size_t low = 0;
    size_t high = recut->from->state->job->layout.parts;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        const struct place *const place = &recut->place[middle];
        const bool beyond = place->part.tensor != part->tensor ? place->part.tensor > part->tensor
                                                               : place->part.offset > part->offset;
        if (beyond)
            high = middle;
        else
            low = middle;
    }
    return &recut->place[low];
}

/* ---- A slice --------------------------------------------------------------------------------- */

/* NULL: its group is frozen. */
static enum stepd_status find_optimizer(const struct recut *recut, uint32_t slice,
                                        const struct optimizer **ret_optimizer,
                                        struct stepd_error *reterr)
{
    const struct job_state *const state = recut->from->state;
    const struct phase *phase = NULL;
    const enum stepd_status status =
        arrays_phase(state->job, slice, &state->slice[slice], &phase, reterr);
    if (status == STEPD_OK)
        *ret_optimizer = phase == NULL ? NULL : phase->optimizer;
    return status;
}

/* Must slices say the same of a key that are to be one? Which slots there are follows from the
 * phase and the tensors; scalars may be the tensors' too. */
static bool is_asked(const struct manifest_slice_key *key, bool scalars)
{
    return strcmp(key->name, "slots") != 0 && (scalars || strcmp(key->name, "scalars") != 0);
}

/* Do two saved slices say the same, but for what is of their tensors? */
static bool says_same(const struct recut *recut, uint32_t a, uint32_t b, bool scalars)
{
    const struct slice_state *const slice = recut->from->state->slice;
    const struct manifest_slice *const has = recut->from->slice;
    bool same = memcmp(has[a].view, has[b].view, sizeof has[a].view) == 0 &&
                has[a].backups == has[b].backups;
    for (size_t i = 0; i < MANIFEST_SLICE_KEYS && same; i++) {
        const struct manifest_slice_key *const key = &manifest_slice_key[i];
        same = !is_asked(key, scalars) || key->same(key, &slice[a], &slice[b]);
    }
    return same;
}

static enum stepd_status differ(const struct recut *recut, uint32_t a, uint32_t b,
                                struct stepd_error *reterr)
{
    char one[JOB_SLICE_NAME_BYTES];
    char other[JOB_SLICE_NAME_BYTES];
    job_slice_name(recut->from->state->job, a, one, sizeof one);
    job_slice_name(recut->from->state->job, b, other, sizeof other);
    return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                      "%s and %s are at different points and cannot be one slice", one, other);
}

/* All saved slices that a new one has elements of say what the first of them does. */
static enum stepd_status check_same(const struct recut *recut, const struct slice_plan *plan,
                                    uint32_t first, bool scalars, struct stepd_error *reterr)
{
    const struct layout *const layout = &recut->to->job->layout;
    uint32_t last = first; /* packed tensors are mostly of one slice */
    for (uint32_t i = 0; i < plan->parts; i++) {
        const struct part *const part = &layout->part[plan->first_part + i];
        const uint64_t end = part->offset + part->elements;
        for (const struct place *at = place_of(recut, part); at->part.offset < end; at++) {
            if (at->slice != last && !says_same(recut, first, at->slice, scalars))
                return differ(recut, first, at->slice, reterr);
            last = at->slice;
            if (at->part.offset + at->part.elements >= end)
                break;
        }
    }
    return STEPD_OK;
}

static enum stepd_status copy_ranks(const struct slice_state *from, struct slice_state *to,
                                    struct stepd_error *reterr)
{
    to->by_rank = calloc(from->ranks, sizeof *to->by_rank);
    if (to->by_rank == NULL)
        return no_memory(reterr);
    to->ranks = from->ranks;
    for (size_t i = 0; i < to->ranks; i++)
        to->by_rank[i] = (struct rank_state){.record = from->by_rank[i].record,
                                             .backup_version = from->by_rank[i].backup_version};
    return STEPD_OK;
}

/* One set of all of the slice, or one for each of its tensors, which are whole in it. */
static enum stepd_status copy_scalars(const struct recut *recut, const struct slice_plan *plan,
                                      const struct slice_state *first, size_t by_part,
                                      struct slice_state *to, struct stepd_error *reterr)
{
    const struct layout *const layout = &recut->to->job->layout;
    to->scalars = by_part > 0 ? by_part * plan->parts : first->scalars;
    if (to->scalars == 0)
        return STEPD_OK;
    to->scalars_memory = calloc(to->scalars, sizeof *to->scalars_memory);
    if (to->scalars_memory == NULL)
        return no_memory(reterr);
    to->scalar = to->scalars_memory;
    if (by_part == 0)
        memcpy(to->scalars_memory, first->scalar, to->scalars * sizeof *first->scalar);
    for (uint32_t i = 0; i < plan->parts && by_part > 0; i++) {
        const struct place *const place = place_of(recut, &layout->part[plan->first_part + i]);
        const struct slice_state *const from = &recut->from->state->slice[place->slice];
        if (from->scalars < by_part * (place->index + 1))
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "a slice has too few scalars");
        memcpy(to->scalars_memory + i * by_part, from->scalar + place->index * by_part,
               by_part * sizeof *from->scalar);
    }
    return STEPD_OK;
}

static enum stepd_status cut_slice(const struct recut *recut, uint32_t index,
                                   struct stepd_error *reterr)
{
    const struct layout *const layout = &recut->to->job->layout;
    const struct slice_plan *const plan = &layout->slice[index];
    const uint32_t first = place_of(recut, &layout->part[plan->first_part])->slice;
    const struct slice_state *const from = &recut->from->state->slice[first];
    struct slice_state *const to = &recut->to->slice[index];
    const struct optimizer *optimizer = NULL;
    enum stepd_status status = find_optimizer(recut, first, &optimizer, reterr);
    if (status != STEPD_OK)
        return status;
    const bool by_tensor = optimizer != NULL && optimizer->scope == OPTIM_SCOPE_TENSOR;
    status = check_same(recut, plan, first, !by_tensor, reterr);
    if (status != STEPD_OK)
        return status;
    *to = (struct slice_state){
        .taken = true,
        .elements = plan->elements,
        .version = from->version,
        .t = from->t,
        .valued = from->valued,
        .schedule_state = from->schedule_state,
        .swa_count = from->swa_count,
        .changed = from->changed == NULL ? NULL : shared_group_ref(from->changed),
        .change = from->change,
        .phase = from->phase,
        .phase_began = from->phase_began,
    };
    recut->slice[index] = recut->from->slice[first];
    status = copy_ranks(from, to, reterr);
    if (status != STEPD_OK)
        return status;
    return copy_scalars(recut, plan, from, by_tensor ? optimizer->scalars : 0, to, reterr);
}

/* ---- All of them ----------------------------------------------------------------------------- */

/* The same job with slices of another size. */
static enum stepd_status make_job(const struct job *job, uint32_t slice_elements,
                                  struct job **ret_job, struct stepd_error *reterr)
{
    struct job_draft *draft = NULL;
    enum stepd_status status = job_draft_of(job, slice_elements, &draft, reterr);
    if (status != STEPD_OK)
        return status;
    job_draft_set_spare(draft, job->spare);
    status = job_draft_seal(draft, job->incarnation, job->shards, ret_job, reterr);
    (void)job_draft_destroy(draft);
    if (status == STEPD_OK && (*ret_job)->layout.slices > MANIFEST_RECORDS_MAX / job->workers) {
        *ret_job = job_unref(*ret_job);
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "there would be more slices with records of %u workers each than can be "
                          "read",
                          job->workers);
    }
    return status;
}

/* Can what its groups had become, and are to, be made on these slices? */
static enum stepd_status check_groups(const struct recut *recut, struct stepd_error *reterr)
{
    const struct job *const job = recut->to->job;
    const struct slice_state *const slice = recut->to->slice;
    enum stepd_status status = control_history_check(&recut->from->snapshot.history, job, reterr);
    for (size_t i = 0; i < job->layout.slices && status == STEPD_OK; i++) {
        if (i == 0 || slice[i].changed != slice[i - 1].changed)
            status = group_fits_restored(job, job->layout.slice[i].group, slice[i].changed, reterr);
    }
    return status;
}

static enum stepd_status cut_all(struct recut *recut, struct stepd_error *reterr)
{
    enum stepd_status status = find_places(recut, reterr);
    for (uint32_t i = 0; i < recut->to->job->layout.slices && status == STEPD_OK; i++)
        status = cut_slice(recut, i, reterr);
    return status == STEPD_OK ? check_groups(recut, reterr) : status;
}

/* The manifest is of the other cut from now on. */
static void replace(struct manifest *manifest, struct recut *recut)
{
    recut->to->halted = manifest->state->halted;
    (void)job_state_unref(manifest->state);
    (void)job_unref(manifest->snapshot.job);
    free(manifest->slice);
    manifest->state = recut->to;
    manifest->snapshot.job = job_ref(recut->to->job);
    manifest->slice = recut->slice;
}

enum stepd_status manifest_recut(struct manifest *manifest, uint32_t slice_elements,
                                 struct stepd_error *reterr)
{
    struct job *job = NULL;
    struct recut recut = {.from = manifest};
    enum stepd_status status = make_job(manifest->state->job, slice_elements, &job, reterr);
    if (status != STEPD_OK)
        return status;
    recut.slice = calloc(job->layout.slices, sizeof *recut.slice);
    if (recut.slice == NULL ||
        job_state_create(job, manifest->state->version, &recut.to) != STEPD_OK) {
        free(recut.slice);
        (void)job_unref(job);
        return no_memory(reterr);
    }
    status = cut_all(&recut, reterr);
    if (status == STEPD_OK) {
        replace(manifest, &recut);
    } else {
        (void)job_state_unref(recut.to);
        free(recut.slice);
    }
    free(recut.place);
    (void)job_unref(job);
    return status;
}
