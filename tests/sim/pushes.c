/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/pushes.h"

#include <math.h>

uint64_t pushes_examples(const struct plan *plan, uint64_t clock)
{
    uint64_t examples = 0;
    for (uint32_t rank = 0; rank < plan->job->workers; rank++)
        examples += plan_examples(plan, rank, clock);
    return examples;
}

void pushes_one(const struct plan *plan, uint32_t rank, uint64_t clock, uint32_t slice,
                const float *weights, float *ret_floats)
{
    const float scale = (float)plan_loss_scale(plan, rank, clock);
    plan_push(plan, rank, clock, slice, weights, ret_floats);
    for (size_t i = 0; i < plan_push_floats(plan, slice); i++)
        ret_floats[i] /= scale;
    coverage_count(plan->coverage, COVERAGE_LOSS_SCALE, scale != 1.0F);
}

void pushes_mean(const struct plan *plan, uint64_t clock, uint32_t slice, const float *weights,
                 float *ret_floats)
{
    const size_t floats = plan_push_floats(plan, slice);
    const double total = (double)pushes_examples(plan, clock);
    bool first = true;
    for (uint32_t rank = 0; rank < plan->job->workers; rank++) {
        const uint64_t examples = plan_examples(plan, rank, clock);
        if (examples == 0)
            continue;
        float pushed[PLAN_FLOATS_MAX];
        pushes_one(plan, rank, clock, slice, weights, pushed);
        const float weight = (float)((double)examples / total);
        for (size_t i = 0; i < floats; i++)
            ret_floats[i] = first ? weight * pushed[i] : ret_floats[i] + weight * pushed[i];
        first = false;
    }
}

double pushes_loss(const struct plan *plan, uint64_t clock)
{
    double loss[PLAN_WORKERS_MAX];
    uint64_t examples[PLAN_WORKERS_MAX];
    uint64_t total = 0;
    size_t told = 0;
    for (uint32_t rank = 0; rank < plan->job->workers; rank++) {
        const bool tells = plan_loss(plan, rank, clock, &loss[told]);
        examples[told] = plan_examples(plan, rank, clock);
        coverage_count(plan->coverage, COVERAGE_LOSS_OF_NONE, tells && examples[told] == 0);
        total += tells ? examples[told] : 0;
        told += tells && examples[told] > 0;
    }
    coverage_count(plan->coverage, COVERAGE_LOSS, told > 1);
    coverage_count(plan->coverage, COVERAGE_LOSS_OF_SOME,
                   told > 0 && total < pushes_examples(plan, clock));
    double mean = told == 0 ? (double)NAN : 0.0;
    for (size_t i = 0; i < told; i++)
        mean += (double)examples[i] / (double)total * loss[i];
    return mean;
}

static size_t clip(float most, size_t n, float *grad)
{
    size_t clipped = 0;
    for (size_t i = 0; i < n; i++) {
        if (fabsf(grad[i]) <= most)
            continue;
        grad[i] = grad[i] > 0.0F ? most : -most;
        clipped++;
    }
    return clipped;
}

void pushes_treat(const struct plan *plan, const struct reading *reading, uint32_t slice,
                  float *floats)
{
    for (size_t i = 0; reading->maximize && i < plan_push_floats(plan, slice); i++)
        floats[i] = -floats[i];
    coverage_count(plan->coverage, COVERAGE_MAXIMIZE, reading->maximize);
    if (reading->clip_value > 0.0)
        coverage_count(
            plan->coverage, COVERAGE_CLIP,
            clip((float)reading->clip_value, plan->job->layout.slice[slice].elements, floats));
}
