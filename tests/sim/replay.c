/* SPDX-License-Identifier: Apache-2.0
 *
 * One slice after another, one version after another: gradients from the weights as pulled, the
 * mean in rank order, the optimizer's kernel. Written down as plainly as it can be; it shares the
 * kernels and the arithmetic of learning rates with the daemon, and none of its decisions.
 */
#include "tests/sim/replay.h"

#include <stdlib.h>
#include <string.h>

#include "server/model/initial.h"
#include "server/optim/kernels.h"

struct replay {
    const struct plan *plan;
    uint64_t versions;
    float *weights; /* owned; by version, then slice, each PLAN_SLICE_ELEMENTS */
};

static float *weights_of(const struct replay *replay, uint64_t version, uint32_t slice)
{
    const size_t slices = replay->plan->job->layout.slices;
    return replay->weights + (version * slices + slice) * PLAN_SLICE_ELEMENTS;
}

static void fill_first(const struct replay *replay, uint32_t slice)
{
    const struct job *job = replay->plan->job;
    const struct slice_plan *of_slice = &job->layout.slice[slice];
    float *weights = weights_of(replay, 0, slice);
    if (plan_is_assigned(replay->plan, slice)) {
        plan_values(replay->plan, slice, weights);
        return;
    }
    for (uint32_t i = 0; i < of_slice->parts; i++) {
        const struct part *part = &job->layout.part[of_slice->first_part + i];
        initial_values(&job->tensor[part->tensor].init, part->tensor, part->offset, part->elements,
                       weights);
        weights += part->elements;
    }
}

uint64_t replay_examples(const struct plan *plan, uint64_t version)
{
    uint64_t examples = 0;
    for (uint32_t rank = 0; rank < plan->job->workers; rank++)
        examples += plan_examples(plan, rank, version);
    return examples;
}

/* The mean over the examples of all workers, in rank order. */
static void mean(const struct replay *replay, uint64_t clock, uint32_t slice, float *ret_mean)
{
    const struct plan *plan = replay->plan;
    const size_t n = plan->job->layout.slice[slice].elements;
    const double total = (double)replay_examples(plan, clock);
    float pulled[PLAN_SLICE_ELEMENTS];
    plan_round_trip(plan->pull_dtype, n, weights_of(replay, clock - 1, slice), pulled);
    bool first = true;
    for (uint32_t rank = 0; rank < plan->job->workers; rank++) {
        const uint64_t examples = plan_examples(plan, rank, clock);
        if (examples == 0)
            continue;
        float grad[PLAN_SLICE_ELEMENTS];
        plan_grad(plan, rank, clock, slice, pulled, grad);
        const float weight = (float)((double)examples / total);
        for (size_t i = 0; i < n; i++)
            ret_mean[i] = first ? weight * grad[i] : ret_mean[i] + weight * grad[i];
        first = false;
    }
}

static void train_sync(const struct replay *replay, uint32_t slice)
{
    const struct plan *plan = replay->plan;
    const struct slice_plan *of_slice = &plan->job->layout.slice[slice];
    const struct group *group = &plan->job->group[of_slice->group];
    const struct phase *phase = &group->phase[0];
    float memory[OPTIMIZER_SLOTS_MAX][PLAN_SLICE_ELEMENTS] = {{0}};
    float *slot[OPTIMIZER_SLOTS_MAX];
    for (size_t i = 0; i < OPTIMIZER_SLOTS_MAX; i++)
        slot[i] = memory[i];
    uint64_t t = 0;
    for (uint64_t version = 1; version <= plan->steps; version++) {
        float *weights = weights_of(replay, version, slice);
        memcpy(weights, weights_of(replay, version - 1, slice),
               PLAN_SLICE_ELEMENTS * sizeof *weights);
        if (replay_examples(plan, version) == 0)
            continue;
        float grad[PLAN_SLICE_ELEMENTS];
        mean(replay, version, slice, grad);
        const struct optim_step step = {
            .hyper = &phase->hyper,
            .lr = schedule_lr(&group->schedule, phase->hyper.lr, version - 1),
            .t = ++t,
        };
        phase->optimizer->step[OPTIM_ISA_base](&step, of_slice->elements, weights, grad, slot);
    }
}

/* Whole numbers, a learning rate of 1, no momentum: the order does not matter. */
static void train_async(const struct replay *replay, uint32_t slice)
{
    const struct plan *plan = replay->plan;
    const size_t n = plan->job->layout.slice[slice].elements;
    float *weights = weights_of(replay, replay->versions - 1, slice);
    memcpy(weights, weights_of(replay, 0, slice), PLAN_SLICE_ELEMENTS * sizeof *weights);
    for (uint32_t rank = 0; rank < plan->job->workers; rank++) {
        for (uint64_t clock = 1; clock <= plan->steps; clock++) {
            float grad[PLAN_SLICE_ELEMENTS];
            plan_grad(plan, rank, clock, slice, weights, grad);
            for (size_t i = 0; i < n && plan_examples(plan, rank, clock) > 0; i++)
                weights[i] -= grad[i];
        }
    }
}

struct replay *replay_create(const struct plan *plan)
{
    struct replay *replay = calloc(1, sizeof *replay);
    if (replay == NULL)
        return NULL;
    const size_t slices = plan->job->layout.slices;
    const bool sync = plan->job->consistency.mode == STEPD_SYNC;
    *replay = (struct replay){.plan = plan, .versions = sync ? plan->steps + 1 : 2};
    replay->weights =
        calloc(replay->versions * slices * PLAN_SLICE_ELEMENTS, sizeof *replay->weights);
    if (replay->weights == NULL)
        return replay_destroy(replay);
    for (uint32_t slice = 0; slice < slices; slice++) {
        fill_first(replay, slice);
        if (sync)
            train_sync(replay, slice);
        else
            train_async(replay, slice);
    }
    return replay;
}

struct replay *replay_destroy(struct replay *replay)
{
    if (replay != NULL)
        free(replay->weights);
    free(replay);
    return NULL;
}

const float *replay_weights(const struct replay *replay, uint64_t version, uint32_t slice)
{
    if (replay->plan->job->consistency.mode == STEPD_SYNC)
        return version < replay->versions ? weights_of(replay, version, slice) : NULL;
    if (version == 0)
        return weights_of(replay, 0, slice);
    const bool last = version == plan_last_version(replay->plan);
    return last ? weights_of(replay, replay->versions - 1, slice) : NULL;
}
