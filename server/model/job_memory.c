/* SPDX-License-Identifier: Apache-2.0
 *
 * What a job will take, from its definition alone. Slices are made with the same functions, so a
 * job that was admitted by its sum fits.
 */
#include "proto/bytes.h"
#include "server/model/job.h"
#include "server/model/job_state.h"

struct optim_shape job_tensor_shape(const struct tensor *tensor)
{
    return (struct optim_shape){
        .dims = tensor->dims, .dim = tensor->shape, .elements = tensor->elements};
}

void job_slice_shapes(const struct job *job, const struct slice_plan *slice,
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
    job_slice_shapes(job, slice, shape);
    if (optimizer->scope == OPTIM_SCOPE_GROUP)
        return optimizer_slot_floats(optimizer, slot, &phase->hyper, slice->parts, shape);
    uint64_t floats = 0;
    for (uint32_t i = 0; i < slice->parts; i++)
        floats += optimizer_slot_floats(optimizer, slot, &phase->hyper, 1, &shape[i]);
    return floats;
}

/* ---- Slices ---------------------------------------------------------------------------------- */

/* Arrays at the same place in their pages of 4 KiB disturb each other: the processor takes a load
 * for one of what has just been stored to another. Slices are powers of two, so their arrays would
 * all be. SKEW is an odd number of lines, so that whatever number of arrays lies between two, they
 * meet in one slice of 64. AdamW over slices of 1 MiB, ns for a parameter with 0 lines of skew, 1,
 * 5, 17 and 21: 0.62, 0.67, 0.58, 0.58, 0.59 (medians of 9, in turns). */
#define PAGE_LINES  64u
#define SKEW_LINES  17u
#define LARGE_LINES 1024u /* 64 KiB: below it the skew would be a loss of memory that counts */

uint64_t job_padded(uint64_t n)
{
    const uint64_t line = JOB_LINE_BYTES / sizeof(float);
    const uint64_t lines = (n + line - 1) / line;
    const uint64_t skew =
        lines < LARGE_LINES ? 0 : (SKEW_LINES + PAGE_LINES - lines % PAGE_LINES) % PAGE_LINES;
    return (lines + skew) * line;
}

static size_t versions_of(const struct group *group, enum stepd_view view)
{
    const size_t versions = 2; /* SLICE_VERSIONS */
    if (group->frozen)
        return view == STEPD_EVALUATION ? 1 : 0;
    switch (view) {
    case STEPD_EVALUATION: return versions;
    case STEPD_TRAINING: return group_looks_ahead(group) ? versions : 0;
    case STEPD_EMA: return group->treatment.ema_decay > 0.0 ? versions : 0;
    case STEPD_SWA: return group->treatment.swa ? versions : 0;
    }
    return 0;
}

static uint64_t slots_of(const struct job *job, const struct slice_plan *slice,
                         const struct phase *phase)
{
    uint64_t floats = 0;
    for (size_t k = 0; k < optimizer_slots(phase->optimizer); k++)
        floats += job_padded(job_slot_floats(job, slice, phase, k));
    return floats;
}

/* Only one phase has slots and scalars at a time. */
static void measure_phases(const struct job *job, const struct slice_plan *slice,
                           const struct group *group, struct slice_size *size)
{
    for (size_t i = 0; i < group->phases; i++) {
        const struct optimizer *const optimizer = group->phase[i].optimizer;
        const bool by_part = optimizer->scope == OPTIM_SCOPE_TENSOR;
        const uint64_t scalars = (uint64_t)optimizer->scalars * (by_part ? slice->parts : 1);
        const uint64_t slots = slots_of(job, slice, &group->phase[i]);
        size->slots = slots > size->slots ? slots : size->slots;
        size->scalars = scalars > size->scalars ? scalars : size->scalars;
    }
}

static void measure_gradients(const struct job *job, const struct slice_plan *slice,
                              struct slice_size *size)
{
    const bool arrival = job->consistency.reduction == CONSISTENCY_ARRIVAL;
    const uint64_t received = job_padded((uint64_t)slice->elements + slice->extra);
    size->sum = arrival || job_is_gated(job) ? received : 0;
    size->staging = arrival ? 0 : received;
    size->gathered = consistency_accumulates(&job->consistency) ? size->staging : 0;
    size->backup = job->consistency.delay_compensation > 0.0 ? job_padded(slice->elements) : 0;
}

struct slice_size job_slice_size(const struct job *job, const struct slice_plan *slice)
{
    return job_slice_size_of(job, slice, &job->group[slice->group]);
}

struct slice_size job_slice_size_of(const struct job *job, const struct slice_plan *slice,
                                    const struct group *group)
{
    struct slice_size size = {.buffer = job_padded(slice->elements)};
    for (int v = 0; v < STEPD_VIEWS; v++)
        size.buffers[v] = versions_of(group, (enum stepd_view)v);
    if (group->frozen)
        return size;
    measure_phases(job, slice, group, &size);
    measure_gradients(job, slice, &size);
    return size;
}

uint64_t job_block_floats(const struct slice_size *size, bool placed)
{
    uint64_t floats = size->slots;
    for (int v = 0; v < STEPD_VIEWS && !placed; v++)
        floats += size->buffer * size->buffers[v];
    return floats;
}

/* Whole tensors are stepped one by one, or all of a group at once. */
uint64_t job_scratch_floats(const struct job *job, const struct slice_plan *slice,
                            const struct group *group)
{
    struct optim_shape shape[LAYOUT_PACK_PARTS_MAX];
    uint64_t most = 0;
    for (size_t p = 0; p < group->phases && !group->frozen; p++) {
        const struct phase *const phase = &group->phase[p];
        const bool by_part = phase->optimizer->scope == OPTIM_SCOPE_TENSOR;
        const size_t tensors = by_part ? 1 : slice->parts;
        if (phase->optimizer->scratch == NULL)
            continue;
        job_slice_shapes(job, slice, shape);
        for (size_t i = 0; i < slice->parts; i += tensors) {
            const uint64_t floats = phase->optimizer->scratch(&phase->hyper, tensors, &shape[i]);
            most = floats > most ? floats : most;
        }
    }
    return most;
}

/* ---- Jobs ------------------------------------------------------------------------------------ */

/* Adds the bytes of an array that there are so many of, and stays at what is not a number. */
static void take(uint64_t *bytes, uint64_t floats, uint64_t arrays)
{
    uint64_t taken = 0;
    if (!stepd_bytes_mul(floats, arrays, &taken) ||
        !stepd_bytes_mul(taken, sizeof(float), &taken) || !stepd_bytes_add(*bytes, taken, bytes))
        *bytes = UINT64_MAX;
}

static void take_slice(const struct job *job, const struct slice_plan *slice,
                       struct job_memory *memory)
{
    const struct slice_size size = job_slice_size(job, slice);
    const size_t evaluated = size.buffers[STEPD_EVALUATION];
    take(&memory->weights, size.buffer, 1);
    take(&memory->second_version, size.buffer, evaluated - 1);
    for (int v = 0; v < STEPD_VIEWS; v++)
        if (v != STEPD_EVALUATION)
            take(&memory->views, size.buffer, size.buffers[v]);
    take(&memory->slots, size.slots + size.scalars * (sizeof(double) / sizeof(float)), 1);
    take(&memory->sums, size.sum, 1);
    take(&memory->sums, size.gathered, job->workers);
    take(&memory->staging, size.staging, job->workers);
    take(&memory->backups, size.backup, job->workers);
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
    return job_padded(most);
}

struct job_memory job_memory_plan(const struct job *job)
{
    struct job_memory memory = {.weights = 0};
    for (size_t i = 0; i < job->layout.slices; i++)
        take_slice(job, &job->layout.slice[i], &memory);
    for (uint32_t shard = 0; shard < job->shards; shard++)
        take(&memory.staging, job_landing_floats(job, shard), JOB_LANDINGS);
    memory.spare = job->spare ? job_state_bytes(job) : 0;
    return memory;
}

uint64_t job_memory_bytes(const struct job *job)
{
    const struct job_memory memory = job_memory_plan(job);
    const uint64_t part[] = {memory.weights, memory.second_version, memory.views,   memory.slots,
                             memory.sums,    memory.staging,        memory.backups, memory.spare};
    uint64_t total = 0;
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++)
        if (!stepd_bytes_add(total, part[i], &total))
            return UINT64_MAX;
    return total;
}
