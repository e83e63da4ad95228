/* SPDX-License-Identifier: Apache-2.0
 *
 * One slice after another, one version after another: gradients from the weights as pulled, their
 * mean, the phase, the schedule's learning rate, the optimizer's kernel, the views. Written down as
 * plainly as it can be; it shares the kernels and the arithmetic of learning rates with the daemon,
 * and none of its decisions.
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
#include "tests/sim/reading.h"
#include "tests/sim/stepper.h"

/* A version of a slice, and how it came to be. */
struct version {
    const struct reading_phase *phase; /* NULL: that is not known */
    bool is_update;
    float *weights; /* owned; view after view */
};

/* A slice on its way. */
struct training {
    uint32_t slice;
    size_t n;
    const struct reading *reading;
    const struct reading_phase *phase; /* of the next step; NULL of a frozen slice */
    struct stepper stepper;
    uint64_t newest;         /* version */
    struct version *version; /* owned; up to the newest */
    uint64_t t;              /* updates */
    uint64_t phase_began;    /* t then */
    uint64_t swa_count;
    struct schedule_state state;
};

struct replay {
    const struct plan *plan;
    uint64_t versions_max;
    struct training *training; /* owned; by slice */
    struct reading reading[DEFINITION_GROUPS_MAX];
};

/* The terms of an update, and what its hyperparameters are in it. */
struct terms {
    struct optim_step step;
    struct optim_hyper hyper;
};

static float *values(const struct training *training, uint64_t version, enum stepd_view view)
{
    return training->version[version].weights + (size_t)view * training->n;
}

static void copy(size_t n, const float *from, float *to)
{
    memcpy(to, from, n * sizeof *to);
}

static void make_version(const struct replay *replay, struct training *training, uint64_t version)
{
    if (version > replay->versions_max)
        plan_fail(replay->plan, "slice %u gets version %llu, of more pushes than there are",
                  training->slice, (unsigned long long)version);
    training->version[version].weights = calloc(STEPD_VIEWS * training->n, sizeof(float));
    assert_non_null(training->version[version].weights);
}

/* ---- The first weights ----------------------------------------------------------------------- */

static void fill_first(const struct replay *replay, struct training *training)
{
    const struct plan *plan = replay->plan;
    const struct slice_plan *of_slice = &plan->job->layout.slice[training->slice];
    make_version(replay, training, 0);
    float *first = values(training, 0, STEPD_EVALUATION);
    size_t at = 0;
    for (uint32_t i = 0; i < of_slice->parts; i++) {
        const struct part *part = &plan->job->layout.part[of_slice->first_part + i];
        initial_values(&plan->def.page.tensor[part->tensor].init, part->tensor, part->offset,
                       part->elements, first + at);
        at += part->elements;
    }
    if (plan_is_assigned(plan, training->slice))
        plan_values(plan, training->slice, first);
    for (int v = 0; v < STEPD_VIEWS; v++)
        memmove(values(training, 0, (enum stepd_view)v), first, at * sizeof *first);
}

/* ---- Gradients ------------------------------------------------------------------------------- */

/* What the parts of a round have pushed, each from the weights that it had pulled. */
static void gather(const struct plan *plan, const struct training *training,
                   const struct push_round *round, struct push_floats *ret_pushed)
{
    for (size_t i = 0; i < round->parts; i++) {
        const struct push_part *part = &round->part[i];
        float pulled[PLAN_FLOATS_MAX];
        plan_round_trip(plan->pull_dtype, training->n,
                        values(training, part->base_version, STEPD_TRAINING), pulled);
        if (plan_examples(plan, part->rank, part->clock) > 0)
            pushes_one(plan, part, training->slice, pulled, ret_pushed->of_part[i]);
    }
}

bool replay_mean(const struct replay *replay, uint32_t slice, const struct push_round *round,
                 float *ret_floats)
{
    const struct training *training = &replay->training[slice];
    struct push_floats pushed;
    if (training->reading->frozen || pushes_examples(replay->plan, round) == 0)
        return false;
    gather(replay->plan, training, round, &pushed);
    pushes_mean(replay->plan, round, slice, &pushed, ret_floats);
    return true;
}

/* ---- Updates --------------------------------------------------------------------------------- */

/* The schedule's clock, before the next version is made: rounds, or in async jobs updates. */
static uint64_t clock_of(const struct plan *plan, const struct training *training)
{
    return plan->job->consistency.mode == STEPD_SYNC ? training->newest : training->t;
}

static void set_terms(const struct plan *plan, const struct training *training, uint64_t clock,
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
    ret_terms->step = (struct optim_step){
        .hyper = &ret_terms->hyper, .lr = value.lr, .t = training->t - training->phase_began + 1};
    coverage_count(plan->coverage, COVERAGE_CYCLED_BETA1, value.cycled && beta1);
    coverage_count(plan->coverage, COVERAGE_CYCLED_MOMENTUM,
                   value.cycled && !beta1 && reading_has(phase->optimizer, "momentum"));
}

/* The averages, from the weights of this version; t updates have been made. */
static void average(const struct plan *plan, struct training *training, const float *w, float *ema,
                    float *swa)
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
    coverage_count(plan->coverage, COVERAGE_SWA_LATER, due && training->swa_count == 1 && t > 1);
}

static void count_update(const struct plan *plan, const struct training *training)
{
    struct coverage *coverage = plan->coverage;
    coverage_update(coverage, training->phase->optimizer, &training->reading->schedule);
    coverage_count(coverage, COVERAGE_SERIAL, plan->job->consistency.mode != STEPD_SYNC);
    coverage_count(coverage, COVERAGE_HESSIAN, training->phase->optimizer->extra != NULL);
    coverage_count(coverage, COVERAGE_SEARCH, training->phase->hyper.line_search > 0.0);
}

/* The schedule hears what a round with examples lost, whether an update was made of it or not. */
static void observe(const struct plan *plan, struct training *training, double loss)
{
    const uint64_t drops = training->state.drops;
    if (!training->reading->schedule.kind->wants_loss || isnan(loss))
        return;
    schedule_observe(&training->reading->schedule, &training->state, loss);
    coverage_count(plan->coverage, COVERAGE_PLATEAU_DROP, training->state.drops - drops);
}

/* An update was made of the step at this clock: what can be pulled of its version. */
static void make_views(const struct plan *plan, struct training *training, uint64_t version,
                       uint64_t clock)
{
    const float *w = values(training, version, STEPD_EVALUATION);
    float *ahead = values(training, version, STEPD_TRAINING);
    training->t++;
    copy(training->n, w, ahead);
    if (reading_looks_ahead(training->phase)) {
        struct terms terms;
        set_terms(plan, training, clock + 1, &terms);
        stepper_look_ahead(&training->stepper, &terms.step, w, ahead);
    }
    average(plan, training, w, values(training, version, STEPD_EMA),
            values(training, version, STEPD_SWA));
    count_update(plan, training);
}

/* Versions that were made since the gradient of an only push was computed. */
static uint64_t staleness_of(const struct plan *plan, const struct training *training,
                             const struct push_round *round)
{
    const bool alone = plan->job->consistency.mode != STEPD_SYNC;
    return alone ? training->newest - round->part[0].base_version : 0;
}

/* Makes a version by an update, if one can be made. */
static bool update(const struct plan *plan, struct training *training,
                   const struct push_round *round, const struct replay_verdict *verdict,
                   float *mean)
{
    const struct consistency *consistency = &plan->job->consistency;
    const uint64_t clock = clock_of(plan, training);
    const uint64_t staleness = staleness_of(plan, training, round);
    const uint64_t version = training->newest + 1;
    struct push_treatment treatment = {.factor = verdict->factor};
    if (staleness > 0 && consistency->delay_compensation > 0.0) {
        treatment.now = values(training, training->newest, STEPD_TRAINING);
        treatment.then = values(training, round->part[0].base_version, STEPD_TRAINING);
    }
    pushes_treat(plan, training->reading, training->slice, &treatment, mean);
    const bool has_extra = plan_push_floats(plan, training->slice) > training->n;
    const struct stepper_gradient gradient = {.g = mean,
                                              .extra = has_extra ? mean + training->n : NULL,
                                              .loss = pushes_loss(plan, round)};
    struct terms terms;
    set_terms(plan, training, clock, &terms);
    if (consistency->lr_by_staleness > 0.0)
        terms.step.lr /= 1.0 + (double)staleness;
    coverage_count(plan->coverage, COVERAGE_STALE_APPLIED, staleness > 0);
    coverage_count(plan->coverage, COVERAGE_SLOWED,
                   staleness > 0 && consistency->lr_by_staleness > 0.0);
    const bool made = stepper_update(&training->stepper, &terms.step, &gradient,
                                     values(training, version, STEPD_EVALUATION));
    if (made)
        make_views(plan, training, version, clock);
    observe(plan, training, gradient.loss);
    return made;
}

/* ---- Phases ---------------------------------------------------------------------------------- */

/* The phase of the update that comes next. A new one begins with nothing, and where the last one
 * looked ahead to is of no meaning to it. */
static void enter_phase(const struct plan *plan, struct training *training)
{
    struct coverage *coverage = plan->coverage;
    const struct reading_phase *before = training->phase;
    const struct reading_phase *phase =
        reading_phase_at(training->reading, clock_of(plan, training));
    if (phase == before)
        return;
    if (before != NULL) {
        coverage_count(coverage, COVERAGE_PHASE, 1);
        coverage_count(coverage, COVERAGE_PHASE_SCOPE,
                       before->optimizer->scope != phase->optimizer->scope);
        coverage_count(coverage, COVERAGE_PHASE_AHEAD, reading_looks_ahead(before));
    }
    stepper_end(&training->stepper);
    stepper_begin(&training->stepper, plan, training->slice, phase);
    training->phase = phase;
    training->phase_began = training->t;
    copy(training->n, values(training, training->newest, STEPD_EVALUATION),
         values(training, training->newest, STEPD_TRAINING));
}

void replay_close(struct replay *replay, uint32_t slice, const struct push_round *round,
                  const struct replay_verdict *verdict)
{
    const struct plan *plan = replay->plan;
    struct training *training = &replay->training[slice];
    struct version *version = &training->version[training->newest + 1];
    float mean[PLAN_FLOATS_MAX];
    make_version(replay, training, training->newest + 1);
    copy(STEPD_VIEWS * training->n, version[-1].weights, version->weights);
    version->phase = training->phase;
    const bool examples = replay_mean(replay, slice, round, mean);
    if (examples && !verdict->skips)
        version->is_update = update(plan, training, round, verdict, mean);
    training->newest++;
    if (training->reading->frozen)
        return;
    coverage_count(plan->coverage, COVERAGE_SKIPPED, !examples);
    coverage_count(plan->coverage, COVERAGE_DECLINED,
                   examples && !verdict->skips && !version->is_update);
    enter_phase(plan, training);
}

/* ---- Beginning and end ----------------------------------------------------------------------- */

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

static void begin(const struct replay *replay, uint32_t slice)
{
    const struct plan *plan = replay->plan;
    const struct slice_plan *of_slice = &plan->job->layout.slice[slice];
    struct training *training = &replay->training[slice];
    *training = (struct training){
        .slice = slice,
        .n = of_slice->elements,
        .reading = &replay->reading[of_slice->group],
        .version = calloc(replay->versions_max + 1, sizeof *training->version),
    };
    assert_non_null(training->version);
    fill_first(replay, training);
    coverage_count(plan->coverage, COVERAGE_FROZEN, training->reading->frozen);
    if (!training->reading->frozen)
        enter_phase(plan, training);
}

struct replay *replay_create(const struct plan *plan)
{
    struct replay *replay = calloc(1, sizeof *replay);
    assert_non_null(replay);
    *replay =
        (struct replay){.plan = plan,
                        .versions_max = plan->steps * plan->job->workers,
                        .training = calloc(plan->job->layout.slices, sizeof *replay->training)};
    assert_non_null(replay->training);
    read_groups(replay);
    reading_check_layout(replay->reading, plan);
    for (uint32_t slice = 0; slice < plan->job->layout.slices; slice++)
        begin(replay, slice);
    return replay;
}

static void end(struct training *training)
{
    stepper_end(&training->stepper);
    for (uint64_t i = 0; i <= training->newest; i++)
        free(training->version[i].weights);
    free(training->version);
}

struct replay *replay_destroy(struct replay *replay)
{
    for (size_t i = 0; i < replay->plan->job->layout.slices; i++)
        end(&replay->training[i]);
    for (size_t i = 0; i < DEFINITION_GROUPS_MAX; i++) {
        if (replay->reading[i].phases > 0)
            reading_deinit(&replay->reading[i]);
    }
    free(replay->training);
    free(replay);
    return NULL;
}

/* ---- Questions ------------------------------------------------------------------------------- */

uint64_t replay_version(const struct replay *replay, uint32_t slice)
{
    return replay->training[slice].newest;
}

static const struct version *find(const struct replay *replay, uint64_t version, uint32_t slice)
{
    const struct training *training = &replay->training[slice];
    return version <= training->newest ? &training->version[version] : NULL;
}

bool replay_is_update(const struct replay *replay, uint64_t version, uint32_t slice)
{
    const struct version *found = find(replay, version, slice);
    return found != NULL && found->is_update;
}

const float *replay_weights(const struct replay *replay, uint64_t version, enum stepd_view view,
                            uint32_t slice)
{
    return find(replay, version, slice) == NULL ? NULL
                                                : values(&replay->training[slice], version, view);
}

bool replay_keeps(const struct replay *replay, enum stepd_view view, uint32_t slice)
{
    const struct reading *reading = replay->training[slice].reading;
    switch (view) {
    case STEPD_TRAINING:
    case STEPD_EVALUATION: return true;
    case STEPD_EMA: return reading->ema_decay > 0.0;
    case STEPD_SWA: return reading->swa;
    }
    return false;
}

const struct reading *replay_reading(const struct replay *replay, uint32_t slice)
{
    return replay->training[slice].reading;
}

const char *replay_optimizer(const struct replay *replay, uint64_t version, uint32_t slice)
{
    const struct version *found = find(replay, version, slice);
    return found == NULL || found->phase == NULL ? "none" : found->phase->optimizer->name;
}

const char *replay_schedule(const struct replay *replay, uint32_t slice)
{
    return replay->training[slice].reading->schedule.kind->name;
}

/* FNV-1a, over bits. */
uint64_t replay_hash(const struct replay *replay)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    for (size_t s = 0; s < replay->plan->job->layout.slices; s++) {
        const struct training *training = &replay->training[s];
        for (size_t i = 0; i < STEPD_VIEWS * training->n; i++) {
            uint32_t bits = 0x7FC00000; /* of any NaN */
            const float weight = training->version[training->newest].weights[i];
            if (!isnan(weight))
                memcpy(&bits, &weight, sizeof bits);
            hash = (hash ^ bits) * UINT64_C(0x100000001B3);
        }
    }
    return hash;
}
