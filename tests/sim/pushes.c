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

/* Indices of the parts by rank, and of one rank as they came. */
static void put_in_order(const struct push_round *round, size_t *ret_order)
{
    for (size_t i = 0; i < round->parts; i++) {
        size_t at = i;
        for (; at > 0 && round->part[ret_order[at - 1]].rank > round->part[i].rank; at--)
            ret_order[at] = ret_order[at - 1];
        ret_order[at] = i;
    }
}

static double examples_of(const struct plan *plan, const struct push_part *part)
{
    return (double)plan_examples(plan, part->rank, part->clock);
}

static void add(size_t n, float weight, const float *floats, bool first, float *sum)
{
    for (size_t i = 0; i < n; i++)
        sum[i] = first ? weight * floats[i] : sum[i] + weight * floats[i];
}

static void take_as_arrived(const struct plan *plan, const struct push_round *round, size_t floats,
                            const struct push_floats *pushed, float *ret_floats)
{
    const float total = (float)pushes_examples(plan, round);
    bool first = true;
    for (size_t i = 0; i < round->parts; i++) {
        const double examples = examples_of(plan, &round->part[i]);
        if (examples == 0.0)
            continue;
        add(floats, (float)examples, pushed->of_part[i], first, ret_floats);
        first = false;
    }
    for (size_t i = 0; i < floats; i++)
        ret_floats[i] /= total;
}

/* A rank's pushes are added up in units of its first that has examples; then the ranks' sums. */
static void take_by_rank(const struct plan *plan, const struct push_round *round, size_t floats,
                         const struct push_floats *pushed, float *ret_floats)
{
    const double total = (double)pushes_examples(plan, round);
    size_t order[PUSH_PARTS_MAX];
    bool first = true;
    put_in_order(round, order);
    for (size_t k = 0; k < round->parts;) {
        const uint32_t rank = round->part[order[k]].rank;
        float of_rank[PLAN_FLOATS_MAX] = {0.0F};
        double unit = 0.0;
        for (; k < round->parts && round->part[order[k]].rank == rank; k++) {
            const double examples = examples_of(plan, &round->part[order[k]]);
            if (examples == 0.0)
                continue;
            const bool begins = unit == 0.0;
            unit = begins ? examples : unit;
            add(floats, (float)(examples / unit), pushed->of_part[order[k]], begins, of_rank);
        }
        if (unit == 0.0)
            continue;
        add(floats, (float)(unit / total), of_rank, first, ret_floats);
        first = false;
    }
}

/* Is a mean that of exactly these pushes, but for what is lost where floats are added up? */
static void check_mean(const struct plan *plan, const struct push_round *round, uint32_t slice,
                       const struct push_floats *pushed, const float *mean)
{
    const double total = (double)pushes_examples(plan, round);
    for (size_t i = 0; i < plan_push_floats(plan, slice); i++) {
        double sum = 0.0;
        double sizes = 0.0;
        for (size_t k = 0; k < round->parts; k++) {
            const double examples = examples_of(plan, &round->part[k]);
            if (examples == 0.0)
                continue;
            sum += examples * (double)pushed->of_part[k][i];
            sizes += examples * fabs((double)pushed->of_part[k][i]);
        }
        if (fabs((double)mean[i] - sum / total) > 1e-6 * sizes / total)
            plan_fail(plan, "slice %u, float %zu: the mean is %g, and in double %g", slice, i,
                      (double)mean[i], sum / total);
    }
}

void pushes_mean(const struct plan *plan, const struct push_round *round, uint32_t slice,
                 const struct push_floats *pushed, float *ret_floats)
{
    const size_t floats = plan_push_floats(plan, slice);
    if (plan->job->consistency.reduction == CONSISTENCY_RANK)
        take_by_rank(plan, round, floats, pushed, ret_floats);
    else
        take_as_arrived(plan, round, floats, pushed, ret_floats);
    check_mean(plan, round, slice, pushed, ret_floats);
}

/* What is known of the loss of one rank's pushes. */
struct told_loss {
    uint32_t rank;
    uint64_t examples;
    double mean; /* over them */
};

/* Another push of the rank has told its loss. */
static void tell_more(struct told_loss *told, uint64_t examples, double loss)
{
    const double before = (double)told->examples;
    const double all = before + (double)examples;
    told->mean = before / all * told->mean + (double)examples / all * loss;
    told->examples += examples;
}

double pushes_loss(const struct plan *plan, const struct push_round *round)
{
    struct told_loss told[PLAN_WORKERS_MAX];
    size_t order[PUSH_PARTS_MAX];
    uint64_t total = 0;
    size_t ranks = 0;
    put_in_order(round, order);
    for (size_t k = 0; k < round->parts; k++) {
        const struct push_part *part = &round->part[order[k]];
        const uint64_t examples = plan_examples(plan, part->rank, part->clock);
        double loss = 0.0;
        const bool tells = plan_loss(plan, part->rank, part->clock, &loss);
        coverage_count(plan->coverage, COVERAGE_LOSS_OF_NONE, tells && examples == 0);
        if (!tells || examples == 0)
            continue;
        total += examples;
        if (ranks > 0 && told[ranks - 1].rank == part->rank)
            tell_more(&told[ranks - 1], examples, loss);
        else
            told[ranks++] =
                (struct told_loss){.rank = part->rank, .examples = examples, .mean = loss};
    }
    coverage_count(plan->coverage, COVERAGE_LOSS, ranks > 1);
    coverage_count(plan->coverage, COVERAGE_LOSS_OF_SOME,
                   ranks > 0 && total < pushes_examples(plan, round));
    double mean = ranks == 0 ? (double)NAN : 0.0;
    for (size_t i = 0; i < ranks; i++)
        mean += (double)told[i].examples / (double)total * told[i].mean;
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
