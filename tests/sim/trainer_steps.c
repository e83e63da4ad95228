/* SPDX-License-Identifier: Apache-2.0
 *
 * What a trainer pushes, and what it makes of what comes back.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/trainer_internal.h"

/* Deadlines that are enough for some slices. */
enum { HASTY_ONCE_IN = 8, HASTY_MOST_MS = 400 };

static struct stepd_exchange *exchange_of(const struct trainer *trainer)
{
    return &trainer->home->exchange;
}

bool trainer_is_sync(const struct trainer *trainer)
{
    return trainer->plan->job->consistency.mode == STEPD_SYNC;
}

/* Where nothing was pushed since the process came or the job went back, all slices stand at the
 * oldest version. */
uint64_t trainer_next_clock(const struct trainer *trainer, uint32_t slice)
{
    const struct stepd_exchange *exchange = exchange_of(trainer);
    uint64_t oldest = exchange->slice[slice].version;
    if (!trainer_is_sync(trainer) || exchange->slice[slice].again != 0)
        return stepd_exchange_next_clock(exchange, slice);
    for (size_t i = 0; i < trainer->plan->job->layout.slices && !exchange->pushed; i++)
        oldest = exchange->slice[i].version < oldest ? exchange->slice[i].version : oldest;
    const uint64_t clock = exchange->slice[slice].clock;
    return (clock < oldest ? oldest : clock) + 1;
}

/* Copies a slice's floats between its tensors and one array. */
static void gather_slice(const struct trainer *trainer, uint32_t slice, float *ret_floats)
{
    const struct layout *layout = &trainer->plan->job->layout;
    const struct part *part = &layout->part[layout->slice[slice].first_part];
    for (uint32_t i = 0; i < layout->slice[slice].parts; i++) {
        memcpy(ret_floats, trainer->weights[part[i].tensor] + part[i].offset,
               part[i].elements * sizeof(float));
        ret_floats += part[i].elements;
    }
}

static void scatter_grad(struct trainer *trainer, uint32_t slice, const float *floats)
{
    const struct layout *layout = &trainer->plan->job->layout;
    const struct part *part = &layout->part[layout->slice[slice].first_part];
    for (uint32_t i = 0; i < layout->slice[slice].parts; i++) {
        memcpy(trainer->grad[part[i].tensor] + part[i].offset, floats,
               part[i].elements * sizeof(float));
        floats += part[i].elements;
    }
    if (layout->slice[slice].extra == 0)
        return;
    const size_t index = trainer->hessians++; /* all of a group is one slice */
    assert_true(index < DEFINITION_GROUPS_MAX);
    memcpy(trainer->second[index], floats, layout->slice[slice].extra * sizeof(float));
    trainer->hessian[index] =
        (struct stepd_hessian){.tensor = layout->part[layout->slice[slice].first_part].tensor,
                               .values = trainer->second[index]};
}

static void compute_gradients(struct trainer *trainer)
{
    trainer->hessians = 0;
    for (uint32_t i = 0; i < trainer->plan->job->layout.slices; i++) {
        float weights[PLAN_FLOATS_MAX] = {0.0F};
        float pushed[PLAN_FLOATS_MAX];
        trainer->clock[i] = trainer_next_clock(trainer, i);
        gather_slice(trainer, i, weights);
        plan_push(trainer->plan, trainer->client.rank, trainer->clock[i], i, weights, pushed);
        scatter_grad(trainer, i, pushed);
    }
}

static void on_operation(struct stepd_operation *operation)
{
    struct trainer *trainer =
        (struct trainer *)((char *)operation - offsetof(struct trainer, operation));
    trainer->lineage = trainer->client.base + exchange_of(trainer)->incarnation;
    trainer_end_with(trainer, &operation->error);
}

void trainer_operate(struct trainer *trainer, enum stepd_operation_kind kind, uint64_t min_version)
{
    const struct plan *plan = trainer->plan;
    const uint32_t rank = trainer->client.rank;
    const struct stepd_layout_table *table = &trainer->home->table;
    struct stepd_array array[DEFINITION_TENSORS_MAX];
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    struct stepd_error error = {.code = STEPD_OK};
    if (kind != STEPD_OPERATION_PULL) {
        if (!trainer->repeats)
            compute_gradients(trainer);
        trainer->repeats = false;
        options.examples = plan_examples(plan, rank, trainer->clock[0]);
        options.has_loss = plan_loss(plan, rank, trainer->clock[0], &options.loss);
        options.loss_scale = plan_loss_scale(plan, rank, trainer->clock[0]);
        options.hessians = trainer->hessian;
        options.hessians_count = trainer->hessians;
    }
    options.min_version = min_version;
    const bool bounded = plan->job->consistency.mode == STEPD_BOUNDED; /* where a pull may wait */
    if (!bounded && random_once_in(trainer->client.world->random, HASTY_ONCE_IN))
        options.deadline_ms =
            (uint32_t)random_between(trainer->client.world->random, 1, HASTY_MOST_MS);
    for (size_t i = 0; i < plan->job->tensors; i++)
        array[i] = (struct stepd_array){
            .tensor = i, .grad = trainer->grad[i], .weights = trainer->weights[i]};
    enum stepd_status status =
        stepd_operation_init(&trainer->operation, kind, table, &options, &error);
    if (status == STEPD_OK)
        status =
            stepd_operation_fill(&trainer->operation, table, array, plan->job->tensors, &error);
    if (status == STEPD_OK)
        status = stepd_operation_fill_hessians(&trainer->operation, table, &options, &error);
    if (status != STEPD_OK)
        plan_fail(plan, "an operation is refused: %s", error.text);
    trainer->operation.on_done = on_operation;
    trainer->operates = true;
    trainer->waiting = true;
    plan_trace(plan, "rank %u begins operation %d, clock %llu", rank, (int)kind,
               (unsigned long long)trainer->clock[0]);
    stepd_brain_start(&trainer->client.brain, &trainer->operation, trainer->client.world->now_ms);
}

void trainer_check_weights(struct trainer *trainer)
{
    const struct plan *plan = trainer->plan;
    const struct replay *replay = lineages_replay(trainer->lineages, trainer->lineage);
    for (uint32_t i = 0; i < plan->job->layout.slices; i++) {
        const size_t n = plan->job->layout.slice[i].elements;
        const uint64_t version = exchange_of(trainer)->slice[i].version;
        const float *known = replay_weights(replay, version, STEPD_TRAINING, i);
        float expected[PLAN_FLOATS_MAX];
        float weights[PLAN_FLOATS_MAX];
        if (known == NULL) {
            plan_fail(plan, "rank %u gets slice %u at version %llu, which does not exist",
                      trainer->client.rank, i, (unsigned long long)version);
            return;
        }
        plan_round_trip(plan->pull_dtype, n, known, expected);
        gather_slice(trainer, i, weights);
        for (size_t k = 0; k < n; k++) {
            if (memcmp(&expected[k], &weights[k], sizeof(float)) != 0 &&
                !(isnan(expected[k]) && isnan(weights[k])))
                plan_fail(plan,
                          "rank %u gets slice %u at version %llu otherwise, from element %zu: %a "
                          "for %a; the group has %s then, and schedule %s",
                          trainer->client.rank, i, (unsigned long long)version, k,
                          (double)weights[k], (double)expected[k],
                          replay_optimizer(replay, version, i), replay_schedule(replay, i));
        }
        if (version < trainer->held[i] && trainer->rollbacks == trainer->client.rollbacks)
            plan_fail(plan, "rank %u goes back from version %llu of slice %u to %llu, unannounced",
                      trainer->client.rank, (unsigned long long)trainer->held[i], i,
                      (unsigned long long)version);
        trainer->held[i] = version;
    }
    trainer->rollbacks = trainer->client.rollbacks;
}

void trainer_check_counted(const struct trainer *trainer)
{
    const struct witness *witness = lineages_witness(trainer->lineages, trainer->lineage);
    if (trainer->operation.counts.dropped > 0)
        return;
    for (uint32_t i = 0; i < trainer->plan->job->layout.slices; i++) {
        if (witness_counted(witness, trainer->client.rank, trainer->clock[i], i) == 0)
            plan_fail(trainer->plan, "clock %llu of rank %u, slice %u, has not counted",
                      (unsigned long long)trainer->clock[i], trainer->client.rank, i);
    }
}
