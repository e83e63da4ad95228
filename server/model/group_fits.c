/* SPDX-License-Identifier: Apache-2.0
 *
 * What a job has been given is what its definition asks for: the slots of its hungriest phase, the
 * views of its groups, slices cut for its widest scope. Each question below is about one of these.
 */
#include "server/model/group_fits.h"

#include <inttypes.h>

#include "proto/error.h"

/* ---- The treatment --------------------------------------------------------------------------- */

static enum stepd_status check_treatment(const struct group_fit *fit, struct stepd_error *reterr)
{
    const struct treatment *const now = &fit->now->treatment;
    const struct treatment *const later = &fit->later->treatment;
    if (now->clip_norm != later->clip_norm && !job_clips_by_norm(fit->job))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "clip_norm needs the norms of all steps, and the job was given no memory "
                          "and no order of steps for them: define it with a clip_norm in any "
                          "group, or with clip_global_norm, however large, and clip_norm can "
                          "change while it runs; now clip_value can");
    if ((now->ema_decay > 0.0) != (later->ema_decay > 0.0))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "whether there is an average (ema_decay) is decided when the job is "
                          "defined; of one that there is, the decay can change to another above 0");
    if (now->swa != later->swa)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "whether there is a running mean (swa_start, swa_every) is decided when "
                          "the job is defined");
    return STEPD_OK;
}

/* ---- The phase that goes on ------------------------------------------------------------------ */

static bool same_slots(const struct job *job, const struct slice_plan *slice, const struct phase *a,
                       const struct phase *b)
{
    bool same = true;
    for (size_t k = 0; k < optimizer_slots(a->optimizer); k++)
        same = same && job_slot_floats(job, slice, a, k) == job_slot_floats(job, slice, b, k);
    return same;
}

/* The state stays as it is, so it must be the state of the new settings too. */
static enum stepd_status check_state(const struct group_fit *fit, const struct slice_plan *slice,
                                     struct stepd_error *reterr)
{
    const struct phase *now = &fit->now->phase[fit->current];
    const struct phase *later = &fit->later->phase[fit->current];
    if (same_slots(fit->job, slice, now, later) &&
        phase_looks_ahead(now) == phase_looks_ahead(later))
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "these settings change what state %s keeps; name it as the optimizer too, so "
                      "that it begins anew",
                      now->optimizer->name);
}

/* ---- Phases that begin ----------------------------------------------------------------------- */

static const char *scope_text(enum optim_scope scope)
{
    return scope == OPTIM_SCOPE_GROUP ? "a whole group at once" : "whole tensors";
}

static enum stepd_status check_scope(const struct group_fit *fit, const struct phase *phase,
                                     struct stepd_error *reterr)
{
    const enum optim_scope scope = phase->optimizer->scope;
    if (scope <= group_scope(&fit->job->group[fit->index]))
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "%s must see %s, and the job's slices are cut for optimizers that need not; "
                      "define it as one of the group's phases",
                      phase->optimizer->name, scope_text(scope));
}

static enum stepd_status check_shapes(const struct group_fit *fit, const struct slice_plan *slice,
                                      const struct phase *phase, struct stepd_error *reterr)
{
    const struct optimizer *optimizer = phase->optimizer;
    struct optim_shape shape[LAYOUT_PACK_PARTS_MAX];
    const size_t tensors = optimizer->scope == OPTIM_SCOPE_GROUP ? slice->parts : 1;
    if (optimizer->scope == OPTIM_SCOPE_ELEMENT || optimizer->check_shape == NULL)
        return STEPD_OK;
    job_slice_shapes(fit->job, slice, shape);
    for (size_t i = 0; i < slice->parts; i += tensors) {
        const enum stepd_status status =
            optimizer->check_shape(&phase->hyper, tensors, &shape[i], reterr);
        if (status != STEPD_OK)
            return status;
    }
    return STEPD_OK;
}

/* More of something than the job was given. */
static enum stepd_status check_memory(const struct group_fit *fit, const struct slice_plan *slice,
                                      const struct phase *phase, struct stepd_error *reterr)
{
    const struct job *job = fit->job;
    struct phase one = *phase;
    const struct group alone = {.phases = 1, .phase = &one};
    const struct slice_size has = job_slice_size(job, slice);
    const struct slice_size wants = job_slice_size_of(job, slice, &alone);
    const char *const name = phase->optimizer->name;
    const uint64_t extra =
        phase->optimizer->extra == NULL ? 0 : phase->optimizer->extra(slice->elements);
    if (extra > slice->extra)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "%s wants a Hessian in every push, which the job's layout has no place "
                          "for; define it as one of the group's phases",
                          name);
    if (wants.buffers[STEPD_TRAINING] > has.buffers[STEPD_TRAINING])
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "%s looks ahead, and the job has no memory for the weights there; define "
                          "it as one of the group's phases",
                          name);
    if (wants.slots > has.slots || wants.scalars > has.scalars)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "%s keeps %" PRIu64 " KiB of state for each %" PRIu64
                          " KiB of weights, and the job was given %" PRIu64
                          "; define it as one of the group's phases, so that there is room for it",
                          name, (wants.slots * sizeof(float) + 1023) / 1024,
                          ((uint64_t)slice->elements * sizeof(float) + 1023) / 1024,
                          (has.slots * sizeof(float) + 1023) / 1024);
    if (job_scratch_floats(job, slice, &alone) >
        job_scratch_floats(job, slice, &job->group[fit->index]))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "%s needs room to compute in that the shards have not set aside; define "
                          "it as one of the group's phases",
                          name);
    return STEPD_OK;
}

static enum stepd_status check_slice(const struct group_fit *fit, const struct slice_plan *slice,
                                     struct stepd_error *reterr)
{
    enum stepd_status status = fit->fresh ? STEPD_OK : check_state(fit, slice, reterr);
    for (size_t i = fit->current; i < fit->later->phases && status == STEPD_OK; i++) {
        const struct phase *phase = &fit->later->phase[i];
        status = check_scope(fit, phase, reterr);
        if (status == STEPD_OK)
            status = check_shapes(fit, slice, phase, reterr);
        if (status == STEPD_OK)
            status = check_memory(fit, slice, phase, reterr);
    }
    return status;
}

enum stepd_status group_fits(const struct group_fit *fit, struct stepd_error *reterr)
{
    const struct layout *layout = &fit->job->layout;
    enum stepd_status status = check_treatment(fit, reterr);
    for (size_t i = 0; i < layout->slices && status == STEPD_OK; i++) {
        if (layout->slice[i].group == fit->index)
            status = check_slice(fit, &layout->slice[i], reterr);
    }
    return status;
}

enum stepd_status group_fits_restored(const struct job *job, uint32_t index,
                                      const struct shared_group *changed,
                                      struct stepd_error *reterr)
{
    if (changed == NULL)
        return STEPD_OK;
    const struct group *const defined = &job->group[index];
    const struct group_fit fit = {
        .job = job, .index = index, .now = defined, .later = &changed->group, .fresh = true};
    enum stepd_status status = group_same_tensors(defined, &changed->group, reterr);
    if (status == STEPD_OK)
        status = group_check_mode(&changed->group, job->consistency.mode, reterr);
    if (status == STEPD_OK)
        status = group_fits(&fit, reterr);
    return status == STEPD_OK ? STEPD_OK
                              : stepd_fail_in(reterr, status,
                                              "the snapshot of job '%s', which has changed group "
                                              "'%s', is of another definition",
                                              job->name, defined->name);
}
