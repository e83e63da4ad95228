/* SPDX-License-Identifier: Apache-2.0
 *
 * The sub-messages that lists consist of, for packing: the mirror of message_decode_parts.c.
 */
#include "proto/message_make.h"

/* ---- Tensors --------------------------------------------------------------------------------- */

static Stepd__V1__Init *encode_init(struct stepd_arena *arena, const struct stepd_init *init)
{
    Stepd__V1__Init *wire = make(arena, &stepd__v1__init__descriptor);
    if (wire == NULL)
        return NULL;
    wire->kind = (Stepd__V1__Init__Kind)init->kind;
    wire->a = init->a;
    wire->b = init->b;
    wire->seed = init->seed;
    return wire;
}

static Stepd__V1__Tensor *encode_tensor(struct stepd_arena *arena,
                                        const struct stepd_tensor_def *tensor)
{
    Stepd__V1__Tensor *wire = make(arena, &stepd__v1__tensor__descriptor);
    Stepd__V1__Init *init = encode_init(arena, &tensor->init);
    if (wire == NULL || init == NULL)
        return NULL;
    wire->name = borrow_text(tensor->name);
    wire->n_shape = tensor->dims;
    wire->shape = borrow_u64(tensor->shape);
    wire->init = init;
    wire->group = borrow_text(tensor->group);
    return wire;
}

Stepd__V1__Tensor **stepd_make_tensors(struct stepd_arena *arena, size_t count,
                                       const struct stepd_tensor_def *tensors)
{
    Stepd__V1__Tensor **wire = stepd_arena_calloc(arena, count, sizeof *wire);
    for (size_t i = 0; i < count && wire != NULL; i++) {
        wire[i] = encode_tensor(arena, &tensors[i]);
        if (wire[i] == NULL)
            return NULL;
    }
    return wire;
}

/* ---- Daemons --------------------------------------------------------------------------------- */

static Stepd__V1__DaemonStatus *encode_daemon(struct stepd_arena *arena,
                                              const struct stepd_daemon_status *daemon)
{
    Stepd__V1__DaemonStatus *const wire = make(arena, &stepd__v1__daemon_status__descriptor);
    if (wire == NULL)
        return NULL;
    wire->place = daemon->place;
    wire->address = borrow_text(daemon->address);
    wire->state = (Stepd__V1__DaemonStatus__State)daemon->state;
    wire->first_shard = daemon->first_shard;
    wire->shards = daemon->shards;
    wire->silent_ms = daemon->silent_ms;
    wire->clock_ms = daemon->clock_ms;
    return wire;
}

Stepd__V1__DaemonStatus **stepd_make_daemons(struct stepd_arena *arena, size_t count,
                                             const struct stepd_daemon_status *daemons)
{
    Stepd__V1__DaemonStatus **const wire = stepd_arena_calloc(arena, count, sizeof *wire);
    for (size_t i = 0; i < count && wire != NULL; i++) {
        wire[i] = encode_daemon(arena, &daemons[i]);
        if (wire[i] == NULL)
            return NULL;
    }
    return wire;
}

/* ---- Jobs ------------------------------------------------------------------------------------ */

static Stepd__V1__MemberStatus *encode_member(struct stepd_arena *arena,
                                              const struct stepd_member_status *member)
{
    Stepd__V1__MemberStatus *wire = make(arena, &stepd__v1__member_status__descriptor);
    if (wire == NULL)
        return NULL;
    wire->rank = member->rank;
    wire->worker = borrow_text(member->worker);
    wire->state = (Stepd__V1__MemberStatus__State)member->state;
    wire->clock = member->clock;
    wire->silent_ms = member->silent_ms;
    wire->loss = member->loss;
    wire->examples = member->examples;
    wire->from = member->from;
    wire->until = member->until;
    wire->barrier = borrow_text(member->barrier);
    return wire;
}

static Stepd__V1__MemberStatus **encode_members(struct stepd_arena *arena,
                                                const struct stepd_job_status *job)
{
    Stepd__V1__MemberStatus **wire = stepd_arena_calloc(arena, job->members, sizeof *wire);
    for (size_t i = 0; i < job->members && wire != NULL; i++) {
        wire[i] = encode_member(arena, &job->member[i]);
        if (wire[i] == NULL)
            return NULL;
    }
    return wire;
}

static Stepd__V1__MemoryPlan *encode_memory_plan(struct stepd_arena *arena,
                                                 const struct stepd_memory_plan *plan)
{
    Stepd__V1__MemoryPlan *wire = make(arena, &stepd__v1__memory_plan__descriptor);
    if (wire == NULL)
        return NULL;
    wire->weights = plan->weights;
    wire->second_version = plan->second_version;
    wire->views = plan->views;
    wire->slots = plan->slots;
    wire->sums = plan->sums;
    wire->staging = plan->staging;
    wire->backups = plan->backups;
    wire->spare = plan->spare;
    return wire;
}

static Stepd__V1__CheckpointStatus *
encode_checkpoint_status(struct stepd_arena *arena, const struct stepd_checkpoint_status *newest)
{
    Stepd__V1__CheckpointStatus *wire = make(arena, &stepd__v1__checkpoint_status__descriptor);
    if (wire == NULL)
        return NULL;
    wire->name = borrow_text(newest->name);
    wire->step = newest->step;
    wire->bytes = newest->bytes;
    wire->age_ms = newest->age_ms;
    wire->failure = borrow_text(newest->failure);
    return wire;
}

static Stepd__V1__JobStatus *encode_job_status(struct stepd_arena *arena,
                                               const struct stepd_job_status *job)
{
    Stepd__V1__JobStatus *wire = make(arena, &stepd__v1__job_status__descriptor);
    Stepd__V1__MemberStatus **members = encode_members(arena, job);
    Stepd__V1__MemoryPlan *memory = encode_memory_plan(arena, &job->memory);
    Stepd__V1__CheckpointStatus *newest = encode_checkpoint_status(arena, &job->checkpoint);
    if (wire == NULL || members == NULL || memory == NULL || newest == NULL)
        return NULL;
    wire->name = borrow_text(job->name);
    wire->state = (Stepd__V1__JobStatus__State)job->state;
    wire->mode = (Stepd__V1__Mode)job->mode;
    wire->incarnation = job->incarnation;
    wire->workers = job->workers;
    wire->tensors = job->tensors;
    wire->elements = job->elements;
    wire->slices = job->slices;
    wire->version_min = job->version_min;
    wire->version_max = job->version_max;
    wire->memory_bytes = job->memory_bytes;
    wire->parked = job->parked;
    wire->n_waited_for = job->waited_for.count;
    wire->waited_for = borrow_u32(job->waited_for.at);
    wire->n_members = job->members;
    wire->members = members;
    wire->workers_min = job->workers_min;
    wire->failure = borrow_text(job->failure);
    wire->changes = job->changes;
    wire->memory = memory;
    wire->checkpoint = newest;
    wire->first_weights = borrow_text(job->first_weights);
    return wire;
}

Stepd__V1__JobStatus **stepd_make_jobs(struct stepd_arena *arena, size_t count,
                                       const struct stepd_job_status *jobs)
{
    Stepd__V1__JobStatus **wire = stepd_arena_calloc(arena, count, sizeof *wire);
    for (size_t i = 0; i < count && wire != NULL; i++) {
        wire[i] = encode_job_status(arena, &jobs[i]);
        if (wire[i] == NULL)
            return NULL;
    }
    return wire;
}

Stepd__V1__Limit **stepd_make_limits(struct stepd_arena *arena, size_t count,
                                     const struct stepd_limit_status *limits)
{
    Stepd__V1__Limit **wire = stepd_arena_calloc(arena, count, sizeof *wire);
    for (size_t i = 0; i < count && wire != NULL; i++) {
        wire[i] = make(arena, &stepd__v1__limit__descriptor);
        if (wire[i] == NULL)
            return NULL;
        wire[i]->name = borrow_text(limits[i].name);
        wire[i]->used = limits[i].used;
        wire[i]->max = limits[i].max;
        wire[i]->refused = limits[i].refused;
    }
    return wire;
}

/* ---- Groups of tensors ----------------------------------------------------------------------- */

static Stepd__V1__TensorGroup *encode_tensor_group(struct stepd_arena *arena,
                                                   const struct stepd_tensor_group *tensor)
{
    Stepd__V1__TensorGroup *wire = make(arena, &stepd__v1__tensor_group__descriptor);
    if (wire == NULL)
        return NULL;
    wire->tensor = borrow_text(tensor->tensor);
    wire->n_shape = tensor->dims;
    wire->shape = borrow_u64(tensor->shape);
    wire->group = borrow_text(tensor->group);
    wire->optimizer = borrow_text(tensor->optimizer);
    wire->schedule = borrow_text(tensor->schedule);
    wire->lr = tensor->lr;
    wire->weight_decay = tensor->weight_decay;
    wire->version = tensor->version;
    wire->base_lr = tensor->base_lr;
    wire->change = tensor->change;
    wire->change_version = tensor->change_version;
    return wire;
}

Stepd__V1__TensorGroup **stepd_make_tensor_groups(struct stepd_arena *arena, size_t count,
                                                  const struct stepd_tensor_group *tensors)
{
    Stepd__V1__TensorGroup **wire = stepd_arena_calloc(arena, count, sizeof *wire);
    for (size_t i = 0; i < count && wire != NULL; i++) {
        wire[i] = encode_tensor_group(arena, &tensors[i]);
        if (wire[i] == NULL)
            return NULL;
    }
    return wire;
}

/* ---- Changes --------------------------------------------------------------------------------- */

static Stepd__V1__Difference **encode_differences(struct stepd_arena *arena,
                                                  const struct stepd_change_record *record)
{
    Stepd__V1__Difference **wire = stepd_arena_calloc(arena, record->differences, sizeof *wire);
    for (size_t i = 0; i < record->differences && wire != NULL; i++) {
        wire[i] = make(arena, &stepd__v1__difference__descriptor);
        if (wire[i] == NULL)
            return NULL;
        wire[i]->name = borrow_text(record->difference[i].name);
        wire[i]->from = borrow_text(record->difference[i].from);
        wire[i]->to = borrow_text(record->difference[i].to);
    }
    return wire;
}

static Stepd__V1__ChangeRecord *encode_record(struct stepd_arena *arena,
                                              const struct stepd_change_record *record)
{
    Stepd__V1__ChangeRecord *wire = make(arena, &stepd__v1__change_record__descriptor);
    Stepd__V1__Difference **differences = encode_differences(arena, record);
    if (wire == NULL || differences == NULL)
        return NULL;
    wire->number = record->number;
    wire->group = borrow_text(record->group);
    wire->by = borrow_text(record->by);
    wire->age_ms = record->age_ms;
    wire->version = record->version;
    wire->version_last = record->version_last;
    wire->n_differences = record->differences;
    wire->differences = differences;
    return wire;
}

Stepd__V1__ChangeRecord **stepd_make_records(struct stepd_arena *arena, size_t count,
                                             const struct stepd_change_record *records)
{
    Stepd__V1__ChangeRecord **wire = stepd_arena_calloc(arena, count, sizeof *wire);
    for (size_t i = 0; i < count && wire != NULL; i++) {
        wire[i] = encode_record(arena, &records[i]);
        if (wire[i] == NULL)
            return NULL;
    }
    return wire;
}
