/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/pushes.h"

#include <math.h>

uint64_t pushes_examples(const struct plan *plan, const struct push_round *round)
{
    uint64_t examples = 0;
    for (size_t i = 0; i < round->parts; i++)
        examples += plan_examples(plan, round->part[i].rank, round->part[i].clock);
    return examples;
}

void pushes_one(const struct plan *plan, const struct push_part *part, uint32_t slice,
                const float *weights, float *ret_floats)
{
    const float scale = (float)plan_loss_scale(plan, part->rank, part->clock);
    plan_push(plan, part->rank, part->clock, slice, weights, ret_floats);
    if (!plan_refuses_spoilt(plan))
        plan_spoil(plan, part->rank, part->clock, slice, ret_floats);
    for (size_t i = 0; i < plan_push_floats(plan, slice); i++)
        ret_floats[i] /= scale;
    coverage_count(plan->coverage, COVERAGE_LOSS_SCALE, scale != 1.0F);
}

/* ---- The mean -------------------------------------------------------------------------------- */

/* Indices of the parts by rank; or as they are. */
static void put_in_order(const struct push_round *round, bool by_rank, size_t *ret_order)
{
    for (size_t i = 0; i < round->parts; i++) {
        size_t at = i;
        for (; by_rank && at > 0; at--) {
            if (round->part[ret_order[at - 1]].rank < round->part[i].rank)
                break;
            ret_order[at] = ret_order[at - 1];
        }
        ret_order[at] = i;
    }
}

/* Against the mean in double, whose order does not matter: a few roundings of all terms' sizes. */
static void check_mean(const struct plan *plan, const struct push_round *round, uint32_t slice,
                       const struct push_floats *pushed, const float *mean)
{
    const double total = (double)pushes_examples(plan, round);
    for (size_t i = 0; i < plan_push_floats(plan, slice); i++) {
        double sum = 0.0;
        double size = 0.0;
        for (size_t k = 0; k < round->parts; k++) {
            const struct push_part *part = &round->part[k];
            const double examples = (double)plan_examples(plan, part->rank, part->clock);
            const double term = examples == 0.0 ? 0.0 : examples / total * pushed->of_part[k][i];
            sum += term;
            size += fabs(term);
        }
        if (isfinite(sum) && !(fabs((double)mean[i] - sum) <= 1e-6 * size + 1e-44))
            plan_fail(plan, "slice %u: the mean of a round is %a, and in double %a", slice,
                      (double)mean[i], sum);
    }
}

void pushes_mean(const struct plan *plan, const struct push_round *round, uint32_t slice,
                 const struct push_floats *pushed, float *ret_floats)
{
    const bool by_rank = plan->job->consistency.reduction == CONSISTENCY_RANK;
    const size_t floats = plan_push_floats(plan, slice);
    const double total = (double)pushes_examples(plan, round);
    size_t order[PLAN_WORKERS_MAX];
    bool first = true;
    put_in_order(round, by_rank, order);
    for (size_t k = 0; k < round->parts; k++) {
        const struct push_part *part = &round->part[order[k]];
        const double examples = (double)plan_examples(plan, part->rank, part->clock);
        const float *of_part = pushed->of_part[order[k]];
        const float weight = (float)(by_rank ? examples / total : examples);
        if (examples == 0.0)
            continue;
        for (size_t i = 0; i < floats; i++)
            ret_floats[i] = first ? weight * of_part[i] : ret_floats[i] + weight * of_part[i];
        first = false;
    }
    for (size_t i = 0; i < floats && !by_rank; i++)
        ret_floats[i] /= (float)total;
    check_mean(plan, round, slice, pushed, ret_floats);
}

double pushes_loss(const struct plan *plan, const struct push_round *round)
{
    double loss[PLAN_WORKERS_MAX];
    uint64_t examples[PLAN_WORKERS_MAX];
    size_t order[PLAN_WORKERS_MAX];
    uint64_t total = 0;
    size_t told = 0;
    put_in_order(round, /* by_rank= */ true, order);
    for (size_t k = 0; k < round->parts; k++) {
        const struct push_part *part = &round->part[order[k]];
        const bool tells = plan_loss(plan, part->rank, part->clock, &loss[told]);
        examples[told] = plan_examples(plan, part->rank, part->clock);
        coverage_count(plan->coverage, COVERAGE_LOSS_OF_NONE, tells && examples[told] == 0);
        total += tells ? examples[told] : 0;
        told += tells && examples[told] > 0;
    }
    coverage_count(plan->coverage, COVERAGE_LOSS, told > 1);
    coverage_count(plan->coverage, COVERAGE_LOSS_OF_SOME,
                   told > 0 && total < pushes_examples(plan, round));
    double mean = told == 0 ? (double)NAN : 0.0;
    for (size_t i = 0; i < told; i++)
        mean += (double)examples[i] / (double)total * loss[i];
    return mean;
}

/* ---- The treatment --------------------------------------------------------------------------- */

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

static void clip_by_norm(const struct plan *plan, uint32_t slice, const float *factor, float *grad)
{
    const struct slice_plan *of_slice = &plan->job->layout.slice[slice];
    for (uint32_t i = 0; i < of_slice->parts; i++) {
        const struct part *part = &plan->job->layout.part[of_slice->first_part + i];
        for (uint32_t k = 0; k < part->elements; k++)
            grad[k] *= factor[part->tensor];
        grad += part->elements;
    }
}

void pushes_treat(const struct plan *plan, const struct reading *reading, uint32_t slice,
                  const struct push_treatment *treatment, float *floats)
{
    const size_t n = plan->job->layout.slice[slice].elements;
    const float lambda = (float)plan->job->consistency.delay_compensation;
    if (treatment->factor != NULL)
        clip_by_norm(plan, slice, treatment->factor, floats);
    for (size_t i = 0; reading->maximize && i < plan_push_floats(plan, slice); i++)
        floats[i] = -floats[i];
    for (size_t i = 0; treatment->then != NULL && i < n; i++)
        floats[i] += lambda * floats[i] * floats[i] * (treatment->now[i] - treatment->then[i]);
    coverage_count(plan->coverage, COVERAGE_COMPENSATED, treatment->then != NULL);
    coverage_count(plan->coverage, COVERAGE_MAXIMIZE, reading->maximize);
    if (reading->clip_value > 0.0)
        coverage_count(plan->coverage, COVERAGE_CLIP, clip((float)reading->clip_value, n, floats));
}
