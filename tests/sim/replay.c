/* SPDX-License-Identifier: Apache-2.0
 *
 * One slice after another, one version after another: gradients from the weights as pulled, their
 * mean in rank order, the phase, the schedule's learning rate, the optimizer's kernel, the views.
 * Written down as plainly as it can be; it shares the kernels and the arithmetic of learning rates
 * with the daemon, and none of its decisions.
 */
#include "tests/sim/replay.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/model/initial.h"
#include "server/optim/kernels.h"
#include "tests/sim/pushes.h"
#include "tests/sim/reading.h"
#include "tests/sim/stepper.h"

/* How a version of a slice came to be. */
struct making {
    const struct reading_phase *phase; /* NULL: that is not known */
    bool is_update;
};

struct replay {
    const struct plan *plan;
    uint64_t versions;
    size_t floats;         /* of one view of one version */
    size_t *at;            /* owned; of each slice in it */
    float *weights;        /* owned; by version, view, slice */
    struct making *making; /* owned; by version, slice */
    struct reading reading[DEFINITION_GROUPS_MAX];
};

/* A slice on its way. */
struct training {
    const struct replay *replay;
    uint32_t slice;
    size_t n;
    const struct reading *reading;
    const struct reading_phase *phase;
    struct stepper stepper;
    uint64_t t;           /* updates */
    uint64_t phase_began; /* t then */
    uint64_t swa_count;
    struct schedule_state state;
};

/* The terms of an update, and what its hyperparameters are in it. */
struct terms {
    struct optim_step step;
    struct optim_hyper hyper;
};

static float *values(const struct replay *replay, uint64_t version, enum stepd_view view,
                     uint32_t slice)
{
    const uint64_t row = version * STEPD_VIEWS + (uint64_t)view;
    return replay->weights + row * replay->floats + replay->at[slice];
}

static struct making *making_of(const struct replay *replay, uint64_t version, uint32_t slice)
{
    return &replay->making[version * replay->plan->job->layout.slices + slice];
}

static void copy(size_t n, const float *from, float *to)
{
    memcpy(to, from, n * sizeof *to);
}

/* ---- The first weights ----------------------------------------------------------------------- */

static void fill_first(const struct replay *replay, uint32_t slice)
{
    const struct plan *plan = replay->plan;
    const struct slice_plan *of_slice = &plan->job->layout.slice[slice];
    float *first = values(replay, 0, STEPD_EVALUATION, slice);
    size_t at = 0;
    for (uint32_t i = 0; i < of_slice->parts; i++) {
        const struct part *part = &plan->job->layout.part[of_slice->first_part + i];
        initial_values(&plan->def.page.tensor[part->tensor].init, part->tensor, part->offset,
                       part->elements, first + at);
        at += part->elements;
    }
    if (plan_is_assigned(plan, slice))
        plan_values(plan, slice, first);
    for (int v = 0; v < STEPD_VIEWS; v++)
        memmove(values(replay, 0, (enum stepd_view)v, slice), first, at * sizeof *first);
}

/* ---- Updates --------------------------------------------------------------------------------- */

/* The schedule's clock, before version `version` is made: rounds, or in async jobs updates. */
static uint64_t clock_of(const struct training *training, uint64_t version)
{
    return training->replay->plan->job->consistency.mode == STEPD_SYNC ? version - 1 : training->t;
}

static void set_terms(const struct training *training, uint64_t clock, uint64_t t,
                      struct terms *ret_terms)
{
    const struct reading_phase *phase = training->phase;
    const bool beta1 = reading_has(phase->optimizer, "beta1");
    const struct schedule_value base = {
        .lr = phase->hyper.lr, .momentum = beta1 ? phase->hyper.beta1 : phase->hyper.momentum};
    const struct schedule_value value =
        schedule_at(&training->reading->schedule, base, clock, &training->state);
    ret_terms->hyper = phase->hyper;
    if (value.cycled && beta1)
        ret_terms->hyper.beta1 = value.momentum;
    else if (value.cycled)
        ret_terms->hyper.momentum = value.momentum;
    ret_terms->step = (struct optim_step){.hyper = &ret_terms->hyper, .lr = value.lr, .t = t};
    struct coverage *coverage = training->replay->plan->coverage;
    coverage_count(coverage, COVERAGE_CYCLED_BETA1, value.cycled && beta1);
    coverage_count(coverage, COVERAGE_CYCLED_MOMENTUM,
                   value.cycled && !beta1 && reading_has(phase->optimizer, "momentum"));
}

/* The averages, from the weights of this version; t updates have been made. */
static void average(struct training *training, const float *w, float *ema, float *swa)
{
    const struct reading *reading = training->reading;
    const struct reduce_kernels *kernels = kernels_reduce(OPTIM_ISA_base);
    const uint64_t t = training->t;
    if (reading->ema_decay > 0.0 && t > 1)
        kernels->ema(training->n, reading->ema_decay, w, ema);
    else
        copy(training->n, w, ema);
    const bool due = reading->swa && t >= reading->swa_start &&
                     (t - reading->swa_start) % reading->swa_every == 0;
    if (due && training->swa_count > 0)
        kernels->swa(training->n, training->swa_count, w, swa);
    else if (training->swa_count == 0)
        copy(training->n, w, swa);
    training->swa_count += due;
    coverage_count(training->replay->plan->coverage, COVERAGE_SWA_LATER,
                   due && training->swa_count == 1 && t > 1);
}

static void count_update(const struct training *training)
{
    const struct plan *plan = training->replay->plan;
    struct coverage *coverage = plan->coverage;
    coverage_update(coverage, training->phase->optimizer, &training->reading->schedule);
    coverage_count(coverage, COVERAGE_SERIAL, plan->job->consistency.mode == STEPD_ASYNC);
    coverage_count(coverage, COVERAGE_HESSIAN, training->phase->optimizer->extra != NULL);
    coverage_count(coverage, COVERAGE_SEARCH, training->phase->hyper.line_search > 0.0);
}

/* The schedule hears what a round with examples lost, whether its optimizer made an update or not.
 */
static void observe(struct training *training, double loss)
{
    const uint64_t drops = training->state.drops;
    if (!training->reading->schedule.kind->wants_loss || isnan(loss))
        return;
    schedule_observe(&training->reading->schedule, &training->state, loss);
    coverage_count(training->replay->plan->coverage, COVERAGE_PLATEAU_DROP,
                   training->state.drops - drops);
}

/* An update was made of the step at this clock: what can be pulled of its version. */
static void make_views(struct training *training, uint64_t version, uint64_t clock)
{
    const struct replay *replay = training->replay;
    const float *w = values(replay, version, STEPD_EVALUATION, training->slice);
    float *ahead = values(replay, version, STEPD_TRAINING, training->slice);
    training->t++;
    copy(training->n, w, ahead);
    if (reading_looks_ahead(training->phase)) {
        struct terms terms;
        set_terms(training, clock + 1, training->t - training->phase_began + 1, &terms);
        stepper_look_ahead(&training->stepper, &terms.step, w, ahead);
    }
    average(training, w, values(replay, version, STEPD_EMA, training->slice),
            values(replay, version, STEPD_SWA, training->slice));
    count_update(training);
}

/* Makes a version by an update, if one can be made: each worker's push of this clock is for it. */
static bool update(struct training *training, uint64_t version)
{
    const struct replay *replay = training->replay;
    const struct plan *plan = replay->plan;
    const size_t n = training->n;
    float grad[PLAN_FLOATS_MAX];
    float pulled[PLAN_FLOATS_MAX];
    plan_round_trip(plan->pull_dtype, n,
                    values(replay, version - 1, STEPD_TRAINING, training->slice), pulled);
    pushes_mean(plan, version, training->slice, pulled, grad);
    pushes_treat(plan, training->reading, training->slice, grad);

    const uint64_t clock = clock_of(training, version);
    const bool has_extra = plan_push_floats(plan, training->slice) > n;
    const struct stepper_gradient gradient = {
        .g = grad, .extra = has_extra ? grad + n : NULL, .loss = pushes_loss(plan, version)};
    struct terms terms;
    set_terms(training, clock, training->t - training->phase_began + 1, &terms);
    const bool made = stepper_update(&training->stepper, &terms.step, &gradient,
                                     values(replay, version, STEPD_EVALUATION, training->slice));
    if (made)
        make_views(training, version, clock);
    observe(training, gradient.loss);
    return made;
}

/* ---- Phases ---------------------------------------------------------------------------------- */

/* The phase of the update behind `version`. A new one begins with nothing, and where the last one
 * looked ahead to is of no meaning to it. */
static void enter_phase(struct training *training, uint64_t version)
{
    const struct replay *replay = training->replay;
    struct coverage *coverage = replay->plan->coverage;
    const struct reading_phase *before = training->phase;
    const struct reading_phase *phase =
        reading_phase_at(training->reading, clock_of(training, version + 1));
    if (phase == before)
        return;
    if (before != NULL) {
        coverage_count(coverage, COVERAGE_PHASE, 1);
        coverage_count(coverage, COVERAGE_PHASE_SCOPE,
                       before->optimizer->scope != phase->optimizer->scope);
        coverage_count(coverage, COVERAGE_PHASE_AHEAD, reading_looks_ahead(before));
    }
    stepper_end(&training->stepper);
    stepper_begin(&training->stepper, replay->plan, training->slice, phase);
    training->phase = phase;
    training->phase_began = training->t;
    copy(training->n, values(replay, version, STEPD_EVALUATION, training->slice),
         values(replay, version, STEPD_TRAINING, training->slice));
}

static void train_ordered(const struct replay *replay, uint32_t slice)
{
    const struct plan *plan = replay->plan;
    const struct slice_plan *of_slice = &plan->job->layout.slice[slice];
    struct training training = {.replay = replay,
                                .slice = slice,
                                .n = of_slice->elements,
                                .reading = &replay->reading[of_slice->group]};
    coverage_count(plan->coverage, COVERAGE_FROZEN, training.reading->frozen);
    if (!training.reading->frozen)
        enter_phase(&training, 0);
    for (uint64_t version = 1; version < replay->versions; version++) {
        for (int v = 0; v < STEPD_VIEWS; v++)
            copy(training.n, values(replay, version - 1, (enum stepd_view)v, slice),
                 values(replay, version, (enum stepd_view)v, slice));
        if (training.reading->frozen)
            continue;
        const bool examples = pushes_examples(plan, version) > 0;
        struct making *making = making_of(replay, version, slice);
        *making = (struct making){.phase = training.phase};
        making->is_update = examples && update(&training, version);
        coverage_count(plan->coverage, COVERAGE_SKIPPED, !examples);
        coverage_count(plan->coverage, COVERAGE_DECLINED, examples && !making->is_update);
        enter_phase(&training, version);
    }
    stepper_end(&training.stepper);
}

/* Whole numbers, a learning rate of 1, no momentum: the order does not matter. */
static void train_unordered(const struct replay *replay, uint32_t slice)
{
    const struct plan *plan = replay->plan;
    const struct slice_plan *of_slice = &plan->job->layout.slice[slice];
    const struct reading *reading = &replay->reading[of_slice->group];
    float *weights = values(replay, replay->versions - 1, STEPD_EVALUATION, slice);
    copy(of_slice->elements, values(replay, 0, STEPD_EVALUATION, slice), weights);
    for (uint32_t rank = 0; rank < plan->job->workers && !reading->frozen; rank++) {
        for (uint64_t clock = 1; clock <= plan->steps; clock++) {
            float grad[PLAN_FLOATS_MAX];
            pushes_one(plan, rank, clock, slice, weights, grad);
            pushes_treat(plan, reading, slice, grad);
            for (size_t i = 0; i < of_slice->elements && plan_examples(plan, rank, clock) > 0; i++)
                weights[i] -= grad[i];
        }
    }
    copy(of_slice->elements, weights, values(replay, replay->versions - 1, STEPD_TRAINING, slice));
}

/* ---- All of it ------------------------------------------------------------------------------- */

static void read_groups(struct replay *replay)
{
    const struct plan *plan = replay->plan;
    size_t tensors[DEFINITION_GROUPS_MAX] = {0};
    for (size_t i = 0; i < plan->def.page.tensors; i++)
        tensors[reading_group(&plan->def.job, &plan->def.page.tensor[i], plan->coverage)]++;
    for (size_t i = 0; i < plan->def.job.groups; i++) {
        if (tensors[i] > 0)
            reading_init(&replay->reading[i], &plan->def.job, i, plan->coverage);
    }
}

/* The layout is the daemon's, but not all is for it to choose. */
static void check_layout(const struct replay *replay)
{
    const struct plan *plan = replay->plan;
    const struct layout *layout = &plan->job->layout;
    struct coverage uncounted = {.floats = 0};
    size_t slices[DEFINITION_GROUPS_MAX] = {0};
    for (uint32_t s = 0; s < layout->slices; s++) {
        const struct slice_plan *slice = &layout->slice[s];
        const enum optim_scope scope = reading_scope(&replay->reading[slice->group]);
        slices[slice->group]++;
        for (uint32_t i = 0; i < slice->parts; i++) {
            const struct part *part = &layout->part[slice->first_part + i];
            const struct stepd_tensor_def *tensor = &plan->def.page.tensor[part->tensor];
            if (reading_group(&plan->def.job, tensor, &uncounted) != slice->group)
                plan_fail(plan, "%s is in group %u", tensor->name, slice->group);
            uint64_t elements = 1;
            for (size_t d = 0; d < tensor->dims; d++)
                elements *= tensor->shape[d];
            if (scope != OPTIM_SCOPE_ELEMENT && part->elements != elements)
                plan_fail(plan, "%s is cut", tensor->name);
        }
        if (scope == OPTIM_SCOPE_GROUP && slices[slice->group] > 1)
            plan_fail(plan, "group %u, which is stepped as one, is cut", slice->group);
    }
}

static bool allocate(struct replay *replay)
{
    const struct layout *layout = &replay->plan->job->layout;
    replay->at = calloc(layout->slices, sizeof *replay->at);
    replay->making = calloc(replay->versions * layout->slices, sizeof *replay->making);
    if (replay->at == NULL || replay->making == NULL)
        return false;
    for (size_t i = 0; i < layout->slices; i++) {
        replay->at[i] = replay->floats;
        replay->floats += layout->slice[i].elements;
    }
    replay->weights =
        calloc(replay->versions * STEPD_VIEWS * replay->floats, sizeof *replay->weights);
    return replay->weights != NULL;
}

struct replay *replay_create(const struct plan *plan)
{
    struct replay *replay = calloc(1, sizeof *replay);
    if (replay == NULL)
        return NULL;
    *replay = (struct replay){.plan = plan, .versions = plan->ordered ? plan->steps + 1 : 2};
    if (!allocate(replay))
        return replay_destroy(replay);
    read_groups(replay);
    check_layout(replay);
    for (uint32_t slice = 0; slice < plan->job->layout.slices; slice++) {
        fill_first(replay, slice);
        if (plan->ordered)
            train_ordered(replay, slice);
        else
            train_unordered(replay, slice);
    }
    return replay;
}

struct replay *replay_destroy(struct replay *replay)
{
    if (replay == NULL)
        return NULL;
    for (size_t i = 0; i < DEFINITION_GROUPS_MAX; i++) {
        if (replay->reading[i].phases > 0)
            reading_deinit(&replay->reading[i]);
    }
    free(replay->at);
    free(replay->weights);
    free(replay->making);
    free(replay);
    return NULL;
}

const float *replay_weights(const struct replay *replay, uint64_t version, enum stepd_view view,
                            uint32_t slice)
{
    if (replay->plan->ordered)
        return version < replay->versions ? values(replay, version, view, slice) : NULL;
    if (version == 0)
        return values(replay, 0, view, slice);
    const bool last = version == plan_last_version(replay->plan);
    return last ? values(replay, replay->versions - 1, view, slice) : NULL;
}

bool replay_keeps(const struct replay *replay, enum stepd_view view, uint32_t slice)
{
    const struct reading *reading = &replay->reading[replay->plan->job->layout.slice[slice].group];
    switch (view) {
    case STEPD_TRAINING:
    case STEPD_EVALUATION: return true;
    case STEPD_EMA: return reading->ema_decay > 0.0;
    case STEPD_SWA: return reading->swa;
    }
    return false;
}

const char *replay_optimizer(const struct replay *replay, uint64_t version, uint32_t slice)
{
    const struct reading_phase *phase =
        version < replay->versions ? making_of(replay, version, slice)->phase : NULL;
    return phase == NULL ? "nothing" : phase->optimizer->name;
}

const char *replay_schedule(const struct replay *replay, uint32_t slice)
{
    const uint32_t group = replay->plan->job->layout.slice[slice].group;
    return replay->reading[group].schedule.kind->name;
}

bool replay_is_update(const struct replay *replay, uint32_t rank, uint64_t clock, uint32_t slice)
{
    const struct plan *plan = replay->plan;
    if (plan->ordered)
        return making_of(replay, clock, slice)->is_update;
    return plan_examples(plan, rank, clock) > 0 &&
           !replay->reading[plan->job->layout.slice[slice].group].frozen;
}
