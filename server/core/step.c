/* SPDX-License-Identifier: Apache-2.0
 *
 * One update of one slice: the only place where schedule, optimizer and slice meet.
 *
 *     schedule and phase: learning rate, momentum, t
 *         ->  the old version into the new buffer, if that is another one
 *         ->  treatment of the gradient  ->  the optimizer
 *         ->  the views: where it looks ahead to, averages of the weights
 *         ->  publish  ->  the schedule hears the loss  ->  the next step's phase
 *
 * Where the optimizer takes each element for itself, all of this is done block by block, so that a
 * block is in the nearest cache from its first use to its last. An optimizer that must see a whole
 * tensor, or all of a group, gets that first, and the views follow in blocks.
 *
 * The schedule hears of a round's loss after the step, as PyTorch's ReduceLROnPlateau.step(loss)
 * is called after optimizer.step(): it changes the learning rate of the next one. It also hears of
 * a round whose optimizer could make no update.
 */
#include <math.h>

#include "server/core/core_internal.h"
#include "server/core/snapshot.h"

#define BLOCK_ELEMENTS 4096u

/* What an optimizer is told. step.hyper points to the hyperparameters beside it. */
struct terms {
    struct optim_step step;
    struct optim_hyper hyper; /* the phase's, but for what the schedule cycles */
};

/* A step that is being made. */
struct work {
    const struct core *core;
    struct slice *slice;
    const struct gradient *gradient;
    const struct slice_room *room;
    struct terms now;
    struct terms ahead; /* of the step that comes next: for the point to look ahead to */
};

/* ---- The terms ------------------------------------------------------------------------------- */

uint64_t step_clock(const struct core_slice *slice)
{
    return slice->job->policy->schedule_by_version ? slice->slice.version : slice->slice.t;
}

/* The terms of the step that comes `later` steps after the next one. */
static void set_terms(const struct slice *slice, uint64_t clock, uint64_t later,
                      struct terms *ret_terms)
{
    const struct phase *phase = slice->phase;
    ret_terms->hyper = phase->hyper;
    double *momentum = optimizer_momentum(phase->optimizer, &ret_terms->hyper);
    const struct schedule_value base = {.lr = phase->hyper.lr,
                                        .momentum = momentum == NULL ? 0.0 : *momentum};
    const struct schedule_value value =
        schedule_at(&slice->group->schedule, base, clock + later, &slice->schedule_state);
    if (value.cycled && momentum != NULL)
        *momentum = value.momentum;
    ret_terms->step = (struct optim_step){
        .hyper = &ret_terms->hyper,
        .lr = value.lr,
        .t = slice->t - slice->phase_began + 1 + later,
        .scalar = phase->optimizer->scalars > 0 ? slice->scalar : NULL,
    };
}

/* A stale gradient may take a shorter step: Zhang, Gupta, Lian and Liu 2016, "Staleness-aware
 * async-SGD for distributed deep learning", equation 4, with 1 + staleness, so that a fresh one
 * takes the whole. */
static void slow_down(const struct slice *slice, const struct gradient *gradient,
                      struct terms *terms)
{
    if (slice->job->consistency.lr_by_staleness != 0.0)
        terms->step.lr = terms->step.lr / (1.0 + (double)gradient->staleness);
}

/* ---- The views ------------------------------------------------------------------------------- */

static void copy(size_t n, const float *from, float *to)
{
    for (size_t i = 0; i < n; i++)
        to[i] = from[i];
}

/* Brings what a view was, from element `at` on, into the buffer of what it will be. False: it has
 * not been made before. */
static bool carry_over(const struct work *work, enum stepd_view view, size_t at, size_t n)
{
    const struct weights *current = work->slice->view[view].current;
    const struct weights *next = work->room->view[view];
    if (current == NULL)
        return false;
    if (current != next)
        copy(n, current->values + at, next->values + at);
    return true;
}

static float *block_of(const struct work *work, enum stepd_view view, size_t at)
{
    const struct weights *next = work->room->view[view];
    return next == NULL ? NULL : next->values + at;
}

/* A block of the other views, from the new weights. The first of an average is exact. */
static void make_views(const struct work *work, size_t at, size_t n, float *const *slot)
{
    const enum optim_isa isa = work->core->options.isa;
    const struct reduce_kernels *kernels = kernels_reduce(isa);
    const struct slice *slice = work->slice;
    const float *w = block_of(work, STEPD_EVALUATION, at);
    float *ahead = block_of(work, STEPD_TRAINING, at);
    float *ema = block_of(work, STEPD_EMA, at);
    float *swa = block_of(work, STEPD_SWA, at);
    if (ahead != NULL)
        slice->phase->optimizer->lookahead[isa](&work->ahead.step, n, w, slot, ahead);
    if (ema != NULL) {
        if (carry_over(work, STEPD_EMA, at, n))
            kernels->ema(n, slice->group->treatment.ema_decay, w, ema);
        else
            copy(n, w, ema);
    }
    if (swa != NULL) {
        if (carry_over(work, STEPD_SWA, at, n))
            kernels->swa(n, slice->swa_count, w, swa);
        else
            copy(n, w, swa);
    }
}

/* ---- Elements -------------------------------------------------------------------------------- */

static void step_elements(const struct work *work)
{
    const struct slice *slice = work->slice;
    const struct optimizer *optimizer = slice->phase->optimizer;
    const size_t elements = slice->plan->elements;
    if (optimizer->prepare != NULL)
        optimizer->prepare(&work->now.step, slice->scalar);
    for (size_t at = 0; at < elements; at += BLOCK_ELEMENTS) {
        const size_t n = elements - at < BLOCK_ELEMENTS ? elements - at : BLOCK_ELEMENTS;
        float *slot[OPTIMIZER_SLOTS_MAX];
        for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++)
            slot[k] = slice->slot[k] == NULL ? NULL : slice->slot[k] + at;
        gradient_treat(work->core, work->slice, work->gradient, at, n);
        (void)carry_over(work, STEPD_EVALUATION, at, n);
        optimizer->step[work->core->options.isa](&work->now.step, n,
                                                 block_of(work, STEPD_EVALUATION, at),
                                                 work->gradient->grad + at, slot);
        make_views(work, at, n, slot);
    }
}

/* ---- Tensors and groups ---------------------------------------------------------------------- */

/* All of the slice at once. */
static bool step_group(const struct work *work)
{
    const struct slice *slice = work->slice;
    const struct optim_whole whole = {
        .n = slice->plan->elements,
        .tensors = slice->shapes,
        .shape = slice->shape,
        .w = block_of(work, STEPD_EVALUATION, 0),
        .g = work->gradient->grad,
        .extra = slice->plan->extra > 0 ? work->gradient->grad + slice->plan->elements : NULL,
        .loss = work->gradient->loss,
        .slot = slice->slot,
        .scalar = slice->scalar,
        .scratch = work->core->scratch.floats,
    };
    return slice->phase->optimizer->whole(&work->now.step, &whole);
}

/* One tensor's part of each slot, and where the next one's begins. */
static void take_slots(const struct slice *slice, const struct optim_shape *shape,
                       size_t at[OPTIMIZER_SLOTS_MAX], float *ret_slot[OPTIMIZER_SLOTS_MAX])
{
    const struct phase *phase = slice->phase;
    const size_t slots = optimizer_slots(phase->optimizer);
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++) {
        const uint64_t floats =
            k < slots ? optimizer_slot_floats(phase->optimizer, k, &phase->hyper, 1, shape) : 0;
        ret_slot[k] = floats > 0 ? slice->slot[k] + at[k] : NULL;
        at[k] += (size_t)floats;
    }
}

/* Tensor by tensor. An update was made when it was made of one of them. */
static bool step_tensors(const struct work *work)
{
    const struct slice *slice = work->slice;
    const struct optimizer *optimizer = slice->phase->optimizer;
    size_t slot_at[OPTIMIZER_SLOTS_MAX] = {0};
    bool made = false;
    size_t at = 0;
    for (size_t i = 0; i < slice->shapes; i++) {
        const struct optim_shape *shape = &slice->shape[i];
        float *slot[OPTIMIZER_SLOTS_MAX];
        take_slots(slice, shape, slot_at, slot);
        const struct optim_whole whole = {
            .n = (size_t)shape->elements,
            .tensors = 1,
            .shape = shape,
            .w = block_of(work, STEPD_EVALUATION, at),
            .g = work->gradient->grad + at,
            .loss = work->gradient->loss,
            .slot = slot,
            .scalar = slice->scalar + i * optimizer->scalars,
            .scratch = work->core->scratch.floats,
        };
        made = optimizer->whole(&work->now.step, &whole) || made;
        at += whole.n;
    }
    return made;
}

static bool step_whole(const struct work *work)
{
    const struct slice *slice = work->slice;
    const struct treatment *treatment = &slice->group->treatment;
    const size_t elements = slice->plan->elements;
    gradient_treat(work->core, work->slice, work->gradient, 0, elements);
    (void)carry_over(work, STEPD_EVALUATION, 0, elements);
    if (treatment->maximize)
        kernels_reduce(work->core->options.isa)
            ->negate(slice->plan->extra, work->gradient->grad + elements);
    const bool group = slice->phase->optimizer->scope == OPTIM_SCOPE_GROUP;
    if (!(group ? step_group(work) : step_tensors(work)))
        return false;
    for (size_t at = 0; at < elements; at += BLOCK_ELEMENTS) {
        const size_t n = elements - at < BLOCK_ELEMENTS ? elements - at : BLOCK_ELEMENTS;
        make_views(work, at, n, /* slot= */ NULL);
    }
    return true;
}

/* ---- A step, or none ------------------------------------------------------------------------- */

enum stepd_outcome step_skip(struct core_slice *slice)
{
    snapshot_before_change(slice);
    slice_publish_same(&slice->slice);
    change_reach(slice);
    slice_enter(&slice->slice, step_clock(slice));
    return STEPD_SKIPPED;
}

enum stepd_outcome step_make(struct core *core, struct core_slice *slice,
                             const struct gradient *gradient, const struct slice_room *room)
{
    struct slice *s = &slice->slice;
    const struct schedule *schedule = &s->group->schedule;
    snapshot_before_change(slice);
    struct work work = {.core = core, .slice = s, .gradient = gradient, .room = room};
    set_terms(s, step_clock(slice), 0, &work.now);
    slow_down(s, gradient, &work.now);
    if (room->view[STEPD_TRAINING] != NULL)
        set_terms(s, step_clock(slice), 1, &work.ahead);
    bool made = true;
    if (s->phase->optimizer->scope == OPTIM_SCOPE_ELEMENT)
        step_elements(&work);
    else
        made = step_whole(&work);
    if (made)
        slice_publish(s, room);
    else
        slice_publish_same(s);
    room_trim(core, slice);
    if (schedule_wants_loss(schedule) && !isnan(gradient->loss))
        schedule_observe(schedule, &s->schedule_state, gradient->loss);
    change_reach(slice);
    slice_enter(s, step_clock(slice));
    return made ? STEPD_APPLIED : STEPD_SKIPPED;
}
