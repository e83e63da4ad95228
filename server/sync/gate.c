/* SPDX-License-Identifier: Apache-2.0
 *
 * Reports are put where they belong as they come: the sums of squares into one array in the order
 * of the tensors' blocks, the contributors into a count by rank. So a gate takes the same memory
 * from beginning to end.
 */
#include "server/sync/gate.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/optim/norms.h"

/* torch.nn.utils.clip_grad_norm_ divides by the norm and this. */
#define CLIP_EPS 1e-6

struct gate_shard {
    bool reports; /* it has slices that are stepped */
    bool reported;
    bool finite;
    struct stepd_error error; /* of what is not finite */
    bool *contributed;        /* owned; by rank */
};

struct gate {
    const struct job *job;
    uint64_t version; /* that the next step starts from */
    size_t shards;
    struct gate_shard *shard; /* owned */
    size_t *first_block;      /* owned; by tensor: where its sums begin */
    double *sum;              /* owned; of squares, by block; NULL: no norm is asked for */
    double *clip_norm;        /* owned; by group */
    float *factor;            /* owned; by tensor */
    uint32_t *rank;           /* owned; room for all */
};

/* ---- Blocks ---------------------------------------------------------------------------------- */

static size_t blocks_of(uint64_t elements)
{
    return (size_t)((elements + NORMS_BLOCK - 1) / NORMS_BLOCK);
}

static bool is_stepped(const struct job *job, const struct slice_plan *slice)
{
    return !job->group[slice->group].frozen;
}

size_t gate_blocks(const struct job *job, uint32_t shard)
{
    const struct layout *layout = &job->layout;
    size_t blocks = 0;
    if (!job_clips_by_norm(job))
        return 0;
    for (size_t s = 0; s < layout->slices; s++) {
        const struct slice_plan *slice = &layout->slice[s];
        for (uint32_t i = 0; slice->shard == shard && is_stepped(job, slice) && i < slice->parts;
             i++)
            blocks += blocks_of(layout->part[slice->first_part + i].elements);
    }
    return blocks;
}

/* ---- Birth and death ------------------------------------------------------------------------- */

static bool make_shards(struct gate *gate)
{
    const struct job *job = gate->job;
    gate->shard = calloc(job->shards, sizeof *gate->shard);
    for (; gate->shard != NULL && gate->shards < job->shards; gate->shards++) {
        bool *contributed = calloc(job->workers, sizeof *contributed);
        gate->shard[gate->shards].contributed = contributed;
        if (contributed == NULL)
            return false;
    }
    for (size_t s = 0; gate->shard != NULL && s < job->layout.slices; s++) {
        const struct slice_plan *slice = &job->layout.slice[s];
        if (is_stepped(job, slice))
            gate->shard[slice->shard].reports = true;
    }
    return gate->shard != NULL;
}

static bool make_sums(struct gate *gate)
{
    const struct job *job = gate->job;
    size_t blocks = 0;
    gate->first_block = calloc(job->tensors, sizeof *gate->first_block);
    gate->factor = calloc(job->tensors, sizeof *gate->factor);
    gate->clip_norm = calloc(job->groups, sizeof *gate->clip_norm);
    if (gate->first_block == NULL || gate->factor == NULL || gate->clip_norm == NULL)
        return false;
    for (size_t i = 0; i < job->groups; i++)
        gate->clip_norm[i] = job->group[i].treatment.clip_norm;
    for (size_t i = 0; i < job->tensors; i++) {
        gate->first_block[i] = blocks;
        blocks += blocks_of(job->tensor[i].elements);
    }
    if (!job_clips_by_norm(job))
        return true;
    gate->sum = calloc(blocks, sizeof *gate->sum);
    return gate->sum != NULL;
}

enum stepd_status gate_create(const struct job *job, struct gate **ret_gate)
{
    struct gate *gate = calloc(1, sizeof *gate);
    if (gate == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    gate->job = job;
    gate->rank = calloc(job->workers, sizeof *gate->rank);
    if (gate->rank == NULL || !make_shards(gate) || !make_sums(gate)) {
        (void)gate_destroy(gate);
        return STEPD_RESOURCE_EXHAUSTED;
    }
    *ret_gate = gate;
    return STEPD_OK;
}

void gate_start_at(struct gate *gate, uint64_t version)
{
    gate->version = version;
}

uint64_t gate_version(const struct gate *gate)
{
    return gate->version;
}

void gate_set_clip_norm(struct gate *gate, uint32_t group, double clip_norm)
{
    gate->clip_norm[group] = clip_norm;
}

struct gate *gate_destroy(struct gate *gate)
{
    if (gate == NULL)
        return NULL;
    for (size_t i = 0; i < gate->shards; i++)
        free(gate->shard[i].contributed);
    free(gate->shard);
    free(gate->first_block);
    free(gate->sum);
    free(gate->clip_norm);
    free(gate->factor);
    free(gate->rank);
    free(gate);
    return NULL;
}

/* ---- Reports --------------------------------------------------------------------------------- */

/* A shard's sums to their places among the tensors' blocks. */
static void place_sums(struct gate *gate, const struct notice *report)
{
    const struct job *job = gate->job;
    const double *sum = report->sum;
    for (size_t s = 0; s < job->layout.slices; s++) {
        const struct slice_plan *slice = &job->layout.slice[s];
        if (slice->shard != report->shard || !is_stepped(job, slice))
            continue;
        for (uint32_t i = 0; i < slice->parts; i++) {
            const struct part *part = &job->layout.part[slice->first_part + i];
            const size_t blocks = blocks_of(part->elements);
            const size_t at =
                gate->first_block[part->tensor] + (size_t)(part->offset / NORMS_BLOCK);
            memcpy(gate->sum + at, sum, blocks * sizeof *sum);
            sum += blocks;
        }
    }
}

static bool all_reported(const struct gate *gate)
{
    for (size_t i = 0; i < gate->shards; i++) {
        if (gate->shard[i].reports && !gate->shard[i].reported)
            return false;
    }
    return true;
}

bool gate_take(struct gate *gate, const struct notice *report)
{
    if (report->version_min != gate->version)
        return false;
    assert(report->shard < gate->shards);
    struct gate_shard *shard = &gate->shard[report->shard];
    shard->reported = true;
    shard->finite = report->error.code == STEPD_OK;
    shard->error = report->error;
    memset(shard->contributed, 0, gate->job->workers * sizeof *shard->contributed);
    for (size_t i = 0; i < report->ranks; i++)
        shard->contributed[report->rank[i]] = true;
    if (gate->sum != NULL && report->sum != NULL)
        place_sums(gate, report);
    return all_reported(gate);
}

/* ---- Decisions ------------------------------------------------------------------------------- */

static double sum_of_tensor(const struct gate *gate, size_t tensor)
{
    const size_t blocks = blocks_of(gate->job->tensor[tensor].elements);
    double sum = 0.0;
    for (size_t i = 0; i < blocks; i++)
        sum += gate->sum[gate->first_block[tensor] + i];
    return sum;
}

static double factor_of(double most, double norm)
{
    const double factor = most / (norm + CLIP_EPS);
    return most > 0.0 && factor < 1.0 ? factor : 1.0;
}

/* Each tensor's own clip comes first, so that the global norm is of what it leaves, as
 * torch.nn.utils.clip_grad_norm_ on a tensor and then on all would see it. False: a norm is not
 * finite. */
static bool clip(struct gate *gate)
{
    const struct job *job = gate->job;
    double all = 0.0;
    for (size_t i = 0; i < job->tensors; i++) {
        const double sum = sum_of_tensor(gate, i);
        const double own = factor_of(gate->clip_norm[job->tensor[i].group], sqrt(sum));
        gate->factor[i] = (float)own;
        all += own * own * sum;
    }
    const double common = factor_of(job->consistency.clip_global_norm, sqrt(all));
    for (size_t i = 0; i < job->tensors && common < 1.0; i++)
        gate->factor[i] = (float)((double)gate->factor[i] * common);
    return isfinite(all);
}

/* Ranks that have contributed to some shards and not to all. */
static size_t find_partial(struct gate *gate)
{
    size_t ranks = 0;
    for (uint32_t rank = 0; rank < gate->job->workers; rank++) {
        size_t yes = 0;
        size_t no = 0;
        for (size_t i = 0; i < gate->shards; i++) {
            yes += gate->shard[i].reports && gate->shard[i].contributed[rank];
            no += gate->shard[i].reports && !gate->shard[i].contributed[rank];
        }
        if (yes > 0 && no > 0)
            gate->rank[ranks++] = rank;
    }
    return ranks;
}

static const struct stepd_error *find_nonfinite(const struct gate *gate)
{
    for (size_t i = 0; i < gate->shards; i++) {
        if (gate->shard[i].reports && !gate->shard[i].finite)
            return &gate->shard[i].error;
    }
    return NULL;
}

static void settle(struct gate *gate, struct order *order)
{
    const struct stepd_error *nonfinite = find_nonfinite(gate);
    const bool finite = nonfinite == NULL && (gate->sum == NULL || clip(gate));
    const bool halts = gate->job->consistency.nonfinite == CONSISTENCY_HALT;
    order->kind = ORDER_COMMIT;
    order->version = gate->version;
    order->verdict = finite ? ORDER_APPLY : halts ? ORDER_HALT : ORDER_SKIP;
    order->factors = finite && gate->sum != NULL ? gate->job->tensors : 0;
    order->factor = order->factors > 0 ? gate->factor : NULL;
    if (nonfinite != NULL)
        order->error = *nonfinite;
    gate->version++;
}

void gate_decide(struct gate *gate, struct order *ret_order)
{
    const bool whole = gate->job->consistency.atomic == CONSISTENCY_ATOMIC_JOB;
    const size_t partial = whole ? find_partial(gate) : 0;
    for (size_t i = 0; i < gate->shards; i++)
        gate->shard[i].reported = false;
    if (partial == 0) {
        settle(gate, ret_order);
        return;
    }
    ret_order->kind = ORDER_WITHOUT;
    ret_order->version = gate->version;
    ret_order->ranks = partial;
    ret_order->rank_list = gate->rank;
}

void gate_explain_halt(const char *job_name, uint64_t version, const struct stepd_error *cause,
                       struct stepd_error *ret_why)
{
    (void)stepd_fail(ret_why, STEPD_FAILED_PRECONDITION,
                     "job '%s' is halted at version %" PRIu64 ": %s", job_name, version,
                     cause->text);
}
