/* SPDX-License-Identifier: Apache-2.0
 *
 * What a job will take, from its definition alone. Slices are made with the same functions, so a
 * job that was admitted by its sum fits.
 */
#include "proto/bytes.h"
#include "server/model/job.h"

struct optim_shape job_tensor_shape(const struct tensor *tensor)
{
    return (struct optim_shape){
        .dims = tensor->dims, .dim = tensor->shape, .elements = tensor->elements};
}

/* The shapes of a slice's tensors, which are whole in it. */
static void take_shapes(const struct job *job, const struct slice_plan *slice,
                        struct optim_shape shape[LAYOUT_PACK_PARTS_MAX])
{
    for (uint32_t i = 0; i < slice->parts; i++)
        shape[i] = job_tensor_shape(&job->tensor[job->layout.part[slice->first_part + i].tensor]);
}

uint64_t job_slot_floats(const struct job *job, const struct slice_plan *slice,
                         const struct phase *phase, size_t slot)
{
    const struct optimizer *const optimizer = phase->optimizer;
    if (optimizer->scope == OPTIM_SCOPE_ELEMENT) {
        const struct optim_shape all = {.elements = slice->elements};
        return optimizer_slot_floats(optimizer, slot, &phase->hyper, 1, &all);
    }
    struct optim_shape shape[LAYOUT_PACK_PARTS_MAX];
    take_shapes(job, slice, shape);
    if (optimizer->scope == OPTIM_SCOPE_GROUP)
        return optimizer_slot_floats(optimizer, slot, &phase->hyper, slice->parts, shape);
    uint64_t floats = 0;
    for (uint32_t i = 0; i < slice->parts; i++)
        floats += optimizer_slot_floats(optimizer, slot, &phase->hyper, 1, &shape[i]);
    return floats;
}

/* Of the phase that has most: only one has slots at a time. */
static uint64_t slots_floats(const struct job *job, const struct slice_plan *slice)
{
    const struct group *const group = &job->group[slice->group];
    uint64_t most = 0;
    for (size_t i = 0; i < group->phases && !group->frozen; i++) {
        const struct phase *const phase = &group->phase[i];
        uint64_t floats = 0;
        for (size_t k = 0; k < optimizer_slots(phase->optimizer); k++)
            floats += job_slot_floats(job, slice, phase, k);
        most = floats > most ? floats : most;
    }
    return most;
}

/* Views that are kept in two buffers of their own, as the weights are. */
static uint64_t views(const struct group *group)
{
    if (group->frozen)
        return 0;
    return (uint64_t)group_looks_ahead(group) + (group->treatment.ema_decay > 0.0) +
           group->treatment.swa;
}

/* What gradients take: staging for each worker, a sum or a mean that waits; and weights that
 * workers pulled. False: beyond any number. */
static bool gradient_floats(const struct job *job, const struct slice_plan *slice,
                            uint64_t *ret_floats)
{
    const bool arrival = job->consistency.reduction == CONSISTENCY_ARRIVAL;
    const uint64_t sums = arrival || job_is_gated(job) ? 1 : 0;
    const uint64_t received = (uint64_t)slice->elements + slice->extra;
    uint64_t backups = 0;
    *ret_floats = 0;
    if (job->group[slice->group].frozen)
        return true;
    if (job->consistency.delay_compensation > 0.0 &&
        !stepd_bytes_mul(slice->elements, job->workers, &backups))
        return false;
    return stepd_bytes_mul(received, sums + (arrival ? 0 : job->workers), ret_floats) &&
           stepd_bytes_add(*ret_floats, backups, ret_floats);
}

/* False: beyond any number. */
static bool slice_floats(const struct job *job, const struct slice_plan *slice,
                         uint64_t *ret_floats)
{
    const uint64_t versions = 2 * (1 + views(&job->group[slice->group]));
    uint64_t gradients = 0;
    return gradient_floats(job, slice, &gradients) &&
           stepd_bytes_add(slice->elements * versions, slots_floats(job, slice), ret_floats) &&
           stepd_bytes_add(*ret_floats, gradients, ret_floats);
}

/* Where gradients are added up as they arrive, each worker needs a place to receive one slice at a
 * time in, on each shard. False: beyond any number. */
static bool landing_floats(const struct job *job, uint64_t *ret_floats)
{
    uint64_t sum = 0;
    for (uint32_t shard = 0; shard < job->shards; shard++)
        sum += job_landing_floats(job, shard);
    return stepd_bytes_mul(sum, job->workers, ret_floats);
}

uint64_t job_landing_floats(const struct job *job, uint32_t shard)
{
    uint64_t most = 0;
    if (job->consistency.reduction != CONSISTENCY_ARRIVAL)
        return 0;
    for (size_t i = 0; i < job->layout.slices; i++) {
        const struct slice_plan *const slice = &job->layout.slice[i];
        const uint64_t floats = (uint64_t)slice->elements + slice->extra;
        if (slice->shard == shard && floats > most && !job->group[slice->group].frozen)
            most = floats;
    }
    return most;
}

uint64_t job_memory_bytes(const struct job *job)
{
    uint64_t total = 0;
    if (!landing_floats(job, &total) || !stepd_bytes_mul(total, sizeof(float), &total))
        return UINT64_MAX;
    for (size_t i = 0; i < job->layout.slices; i++) {
        uint64_t floats = 0;
        uint64_t bytes = 0;
        if (!slice_floats(job, &job->layout.slice[i], &floats) ||
            !stepd_bytes_mul(floats, sizeof(float), &bytes) ||
            !stepd_bytes_add(total, bytes, &total))
            return UINT64_MAX;
    }
    return total;
}
