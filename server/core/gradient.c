/* SPDX-License-Identifier: Apache-2.0
 *
 * Gradients on their way to the optimizer. This is the whole order of what is done to one:
 *
 *     arriving   widened to f32, divided by its own loss scale, and looked through for NaN and
 *                infinity, as it comes in: what is not finite is refused before it counts
 *     counted    where several pushes of a rank make its contribution, added to what it has
 *     closing    the mean over the examples, in rank order (or, where the job wants that, added up
 *                as they arrived); the loss in rank order, in double
 *     stepping   clipped by norms, the sign turned (maximize), the delay compensated, then each
 *                value clipped; weight decay and the rest are the optimizer's
 *
 * A Hessian stands behind the gradient in staging, and goes the same way, but is not clipped: it
 * is no step. Everything is done in place, in staging or in the shard's sum: a contribution is of
 * no more use when its round has closed.
 */
#include <math.h>
#include <string.h>

#include "proto/dtype.h"
#include "server/core/core_internal.h"

/* All is done to a block before the next: it stays in the nearest cache. */
#define BLOCK_ELEMENTS 4096u

/* ---- Arriving -------------------------------------------------------------------------------- */

void gradient_look(struct core_conn *conn, size_t n, float *grad, size_t have)
{
    const struct request *request = conn->receiving;
    const struct reduce_kernels *kernels = kernels_reduce(conn->core->options.isa);
    const uint8_t *wire = stepd_dtype_wire_start(request->dtype, n, grad);
    while (conn->looked < have) {
        const size_t at = conn->looked;
        const size_t left = have - at;
        const size_t count = left < BLOCK_ELEMENTS ? left : BLOCK_ELEMENTS;
        if (count < BLOCK_ELEMENTS && have < n)
            return;
        kernels->widen(request->dtype, count, wire + at * stepd_dtype_bytes(request->dtype),
                       grad + at);
        kernels->unscale(count, request->loss_scale, grad + at);
        const size_t first = conn->bad < n ? count : kernels->first_nonfinite(count, grad + at);
        if (first < count)
            conn->bad = at + first;
        conn->looked += count;
    }
}

void gradient_fetch(struct core_conn *conn, size_t n, const float *from, float *grad)
{
    while (conn->looked < n) {
        const size_t at = conn->looked;
        const size_t elements = n - at < BLOCK_ELEMENTS ? n - at : BLOCK_ELEMENTS;
        memcpy(grad + at, from + at, elements * sizeof *grad);
        gradient_look(conn, n, grad, at + elements);
    }
}

/* ---- Closing --------------------------------------------------------------------------------- */

void gradient_add(const struct core *core, struct core_slice *slice, uint64_t examples,
                  const float *grad)
{
    const struct reduce_kernels *kernels = kernels_reduce(core->options.isa);
    const size_t n = slice_push_floats(&slice->slice);
    if (slice->round.examples == 0)
        kernels->scale(n, (float)examples, grad, slice->slice.sum);
    else
        kernels->add(n, (float)examples, grad, slice->slice.sum);
}

float *gradient_gather(const struct core *core, struct core_slice *slice, uint32_t rank,
                       uint64_t examples)
{
    const struct contribution before = round_of(&slice->round, rank);
    struct slice_rank *const of_rank = &slice->slice.by_rank[rank];
    float *const received = of_rank->staging;
    if (before.grad == NULL) {
        of_rank->staging = NULL;
        return received;
    }
    if (received != NULL)
        kernels_reduce(core->options.isa)
            ->add(slice_push_floats(&slice->slice), round_share(&before, examples), received,
                  before.grad);
    gradient_drop(slice, rank);
    return before.grad;
}

void gradient_drop(struct core_slice *slice, uint32_t rank)
{
    struct slice_rank *const of_rank = &slice->slice.by_rank[rank];
    staging_give(slice->staging, of_rank->staging);
    of_rank->staging = NULL;
}

/* Sums the contributions in rank order, each with its share of the examples. Nothing is copied
 * when there is only one: its weight is 1. */
static float *mean(struct core *core, const struct core_slice *slice)
{
    const struct slice *s = &slice->slice;
    float *const sum = s->sum != NULL ? s->sum : core->sum.floats;
    const struct reduce_kernels *kernels = kernels_reduce(core->options.isa);
    const size_t n = slice_push_floats(&slice->slice);
    size_t summed = 0;
    if (core_job_adds_on_arrival(slice->job)) {
        kernels->unscale(n, (double)slice->round.examples, sum);
        return sum;
    }
    for (uint32_t rank = 0; rank < slice->round.ranks; rank++) {
        const struct contribution contribution = round_of(&slice->round, rank);
        if (contribution.examples == 0)
            continue;
        if (contribution.unit == slice->round.examples)
            return contribution.grad;
        const float weight = round_weight(&slice->round, &contribution);
        if (summed++ == 0)
            kernels->scale(n, weight, contribution.grad, sum);
        else
            kernels->add(n, weight, contribution.grad, sum);
    }
    return sum;
}

struct gradient gradient_of_all(struct core *core, const struct core_slice *slice)
{
    return (struct gradient){.grad = mean(core, slice), .loss = round_loss(&slice->round)};
}

struct gradient gradient_of_rank(const struct core_slice *slice, uint32_t rank)
{
    const struct contribution contribution = round_of(&slice->round, rank);
    const struct slice_rank *of_rank = &slice->slice.by_rank[rank];
    const bool backed = of_rank->backup_version == contribution.base_version;
    return (struct gradient){
        .grad = contribution.grad,
        .loss = contribution.loss_examples > 0 ? contribution.loss : (double)NAN,
        .staleness = slice->slice.version - contribution.base_version,
        .backup = backed ? of_rank->backup : NULL,
    };
}

/* ---- Stepping -------------------------------------------------------------------------------- */

/* What lies of each part in [at, at + n), by its tensor's factor. */
static void clip_by_norm(const struct core *core, const struct slice *slice,
                         const struct gradient *gradient, size_t at, size_t n)
{
    const struct reduce_kernels *kernels = kernels_reduce(core->options.isa);
    const struct part *part = &slice->job->layout.part[slice->plan->first_part];
    size_t from = 0;
    for (uint32_t i = 0; i < slice->plan->parts && from < at + n; i++) {
        const size_t to = from + part[i].elements;
        const size_t first = from > at ? from : at;
        const size_t end = to < at + n ? to : at + n;
        const float factor = gradient->factor[part[i].tensor];
        if (first < end && factor != 1.0F)
            kernels->multiply(end - first, factor, gradient->grad + first);
        from = to;
    }
}

void gradient_treat(const struct core *core, struct slice *slice, const struct gradient *gradient,
                    size_t at, size_t n)
{
    const struct reduce_kernels *kernels = kernels_reduce(core->options.isa);
    const struct treatment *treatment = &slice->group->treatment;
    float *grad = gradient->grad + at;
    if (gradient->factor != NULL)
        clip_by_norm(core, slice, gradient, at, n);
    if (treatment->maximize)
        kernels->negate(n, grad);
    if (gradient->backup != NULL && gradient->staleness > 0)
        kernels->compensate(n, slice->job->consistency.delay_compensation,
                            slice_view(slice, STEPD_TRAINING)->values + at, gradient->backup + at,
                            grad);
    if (treatment->clip_value > 0.0)
        kernels->clip(n, (float)treatment->clip_value, grad);
}
