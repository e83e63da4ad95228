/* SPDX-License-Identifier: Apache-2.0
 *
 * Where norms clip, no tensor is cut: its sum of squares is that of one part.
 */
#include "tests/sim/gated.h"

#include <math.h>

#include "server/optim/norms.h"
#include "tests/sim/rounds.h"

static bool clips(const struct gated *gated)
{
    bool any = gated->plan->job->consistency.clip_global_norm > 0.0;
    for (uint32_t slice = 0; slice < gated->plan->job->layout.slices; slice++) {
        const struct reading *reading = replay_reading(gated->replay, slice);
        any = any || (reading->clip_norm > 0.0 && !reading->frozen);
    }
    return any;
}

void gated_init(struct gated *gated, const struct plan *plan, const struct replay *replay)
{
    const struct consistency *consistency = &plan->job->consistency;
    *gated = (struct gated){.plan = plan, .replay = replay};
    gated->on = consistency->nonfinite != CONSISTENCY_REFUSE ||
                consistency->atomic == CONSISTENCY_ATOMIC_JOB || clips(gated);
}

bool gated_holds(const struct gated *gated, uint32_t slice)
{
    return gated->on && !replay_reading(gated->replay, slice)->frozen;
}

void gated_report(struct gated *gated, uint32_t slice, uint64_t version,
                  const struct push_round *round)
{
    gated->report[slice].version = version;
    gated->report[slice].round = *round;
}

/* ---- The decision ---------------------------------------------------------------------------- */

static double bounded(double most, double norm)
{
    const double factor = most / (norm + 1e-6);
    return most > 0.0 && factor < 1.0 ? factor : 1.0;
}

/* Adds a slice's part of each tensor's sum of squares. False: something in it is not finite. */
static bool add_slice(const struct gated *gated, uint32_t slice, double *sum, double *most)
{
    const struct layout *layout = &gated->plan->job->layout;
    const struct slice_plan *of_slice = &layout->slice[slice];
    float mean[PLAN_FLOATS_MAX] = {0.0F};
    const bool any = replay_mean(gated->replay, slice, &gated->report[slice].round, mean);
    const float *grad = mean;
    for (uint32_t i = 0; i < of_slice->parts; i++) {
        const struct part *part = &layout->part[of_slice->first_part + i];
        sum[part->tensor] = any ? norms_sum_squares(part->elements, grad) : 0.0;
        most[part->tensor] = replay_reading(gated->replay, slice)->clip_norm;
        grad += part->elements;
    }
    for (size_t i = 0; any && i < plan_push_floats(gated->plan, slice); i++) {
        if (!isfinite(mean[i]))
            return false;
    }
    return true;
}

/* Each tensor's own clip first, then that of what it leaves of all. */
static void clip(struct gated *gated, const double *sum, const double *most)
{
    const struct plan *plan = gated->plan;
    double all = 0.0;
    bool any = false;
    for (size_t i = 0; i < plan->job->tensors; i++) {
        const double own = bounded(most[i], sqrt(sum[i]));
        gated->factor[i] = (float)own;
        all += own * own * sum[i];
        any = any || own < 1.0;
    }
    const double common = bounded(plan->job->consistency.clip_global_norm, sqrt(all));
    for (size_t i = 0; i < plan->job->tensors && common < 1.0; i++)
        gated->factor[i] = (float)((double)gated->factor[i] * common);
    coverage_count(plan->coverage, COVERAGE_CLIPPED, any || common < 1.0);
}

/* Adds up the sums of squares of all that was reported for a version. False: something in it is not
 * finite. */
static bool add_all(const struct gated *gated, uint64_t version, double *sum, double *most)
{
    bool finite = true;
    for (uint32_t s = 0; s < gated->plan->job->layout.slices; s++) {
        if (!gated_holds(gated, s))
            continue;
        if (gated->report[s].version != version)
            plan_fail(gated->plan, "version %llu is decided before slice %u was ready for it",
                      (unsigned long long)version, s);
        finite = add_slice(gated, s, sum, most) && finite;
    }
    return finite;
}

bool gated_is_finite(const struct gated *gated, uint64_t version)
{
    double sum[DEFINITION_TENSORS_MAX] = {0.0};
    double most[DEFINITION_TENSORS_MAX] = {0.0};
    return add_all(gated, version, sum, most);
}

static void decide(struct gated *gated, uint64_t version)
{
    const struct plan *plan = gated->plan;
    double sum[DEFINITION_TENSORS_MAX] = {0.0};
    double most[DEFINITION_TENSORS_MAX] = {0.0};
    const bool finite = add_all(gated, version, sum, most);
    gated->decided = version;
    gated->verdict = (struct replay_verdict){.skips = !finite};
    coverage_count(plan->coverage, COVERAGE_GATED, 1);
    coverage_count(plan->coverage, COVERAGE_SKIPPED_BY_ALL, !finite);
    if (finite && clips(gated)) {
        clip(gated, sum, most);
        gated->verdict.factor = gated->factor;
    }
}

const struct replay_verdict *gated_decide(struct gated *gated, uint32_t slice, uint64_t version,
                                          const struct push_round *round)
{
    if (gated->decided != version)
        decide(gated, version);
    const struct push_round *reported = &gated->report[slice].round;
    bool same = reported->parts == round->parts;
    for (size_t i = 0; i < round->parts && same; i++)
        same = rounds_has(reported, round->part[i].rank, round->part[i].clock);
    if (!same)
        plan_fail(gated->plan, "slice %u, version %llu: %zu pushes count, and %zu were reported",
                  slice, (unsigned long long)version, round->parts, reported->parts);
    return &gated->verdict;
}
