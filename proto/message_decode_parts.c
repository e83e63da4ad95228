/* SPDX-License-Identifier: Apache-2.0
 *
 * The sub-messages that lists consist of: tensors, jobs with their members, tensors with their
 * groups. Each list is taken whole, by the rules of message_take.h.
 */
#include "proto/message_take.h"

/* ---- Tensors --------------------------------------------------------------------------------- */

/* No Init is an Init of zeros: the tensor is constant 0. */
static struct stepd_init decode_init(struct stepd_decoder *d, const struct stepd_place *above,
                                     const Stepd__V1__Init *wire)
{
    if (wire == NULL)
        return (struct stepd_init){.kind = STEPD_INIT_CONSTANT};
    const struct stepd_place at = {.above = above, .field = "init", .index = STEPD_PLACE_NO_INDEX};
    return (struct stepd_init){
        .kind = (enum stepd_init_kind)stepd_take_enum(
            d, &at, "kind", &stepd__v1__init__kind__descriptor, (int)wire->kind),
        .a = stepd_take_finite(d, &at, "a", wire->a),
        .b = stepd_take_finite(d, &at, "b", wire->b),
        .seed = wire->seed,
    };
}

static struct stepd_tensor_def decode_tensor(struct stepd_decoder *d, const struct stepd_place *at,
                                             const Stepd__V1__Tensor *wire)
{
    stepd_take_at_most(d, at, "shape", wire->n_shape, STEPD_DIMS_MAX);
    return (struct stepd_tensor_def){
        .name = stepd_take_some_name(d, at, "name", &wire->name),
        .dims = wire->n_shape,
        .shape = wire->shape,
        .init = decode_init(d, at, wire->init),
        .group = stepd_take_name(d, at, "group", &wire->group),
    };
}

const struct stepd_tensor_def *stepd_take_tensors(struct stepd_decoder *d,
                                                  const struct stepd_place *above, size_t count,
                                                  Stepd__V1__Tensor *const *wire)
{
    stepd_take_at_most(d, above, "tensors", count, STEPD_TENSORS_MAX);
    struct stepd_tensor_def *tensors = stepd_take_array(d, count, sizeof *tensors);
    for (size_t i = 0; i < count && d->status == STEPD_OK; i++) {
        const struct stepd_place at = {.above = above, .field = "tensors", .index = i};
        tensors[i] = decode_tensor(d, &at, wire[i]);
    }
    return tensors;
}

/* ---- Daemons --------------------------------------------------------------------------------- */

static struct stepd_daemon_status decode_daemon(struct stepd_decoder *d,
                                                const struct stepd_place *at,
                                                const Stepd__V1__DaemonStatus *wire)
{
    return (struct stepd_daemon_status){
        .place = wire->place,
        .address = stepd_take_text(d, at, "address", &wire->address, STEPD_ADDRESS_MAX_BYTES),
        .state = (enum stepd_daemon_state)stepd_take_enum(
            d, at, "state", &stepd__v1__daemon_status__state__descriptor, (int)wire->state),
        .first_shard = wire->first_shard,
        .shards = wire->shards,
        .silent_ms = wire->silent_ms,
        .clock_ms = stepd_take_finite(d, at, "clock_ms", wire->clock_ms),
    };
}

const struct stepd_daemon_status *stepd_take_daemons(struct stepd_decoder *d,
                                                     const struct stepd_place *above, size_t count,
                                                     Stepd__V1__DaemonStatus *const *wire)
{
    stepd_take_at_most(d, above, "daemons", count, STEPD_DAEMONS_MAX);
    struct stepd_daemon_status *const daemons = stepd_take_array(d, count, sizeof *daemons);
    for (size_t i = 0; i < count && d->status == STEPD_OK; i++) {
        const struct stepd_place at = {.above = above, .field = "daemons", .index = i};
        daemons[i] = decode_daemon(d, &at, wire[i]);
    }
    return daemons;
}

/* ---- Jobs ------------------------------------------------------------------------------------ */

static struct stepd_member_status decode_member(struct stepd_decoder *d,
                                                const struct stepd_place *at,
                                                const Stepd__V1__MemberStatus *wire)
{
    return (struct stepd_member_status){
        .rank = wire->rank,
        .worker = stepd_take_name(d, at, "worker", &wire->worker),
        .state = (enum stepd_member_state)stepd_take_enum(
            d, at, "state", &stepd__v1__member_status__state__descriptor, (int)wire->state),
        .clock = wire->clock,
        .silent_ms = wire->silent_ms,
        .loss = wire->loss,
        .examples = wire->examples,
        .from = wire->from,
        .until = wire->until,
        .barrier = stepd_take_name(d, at, "barrier", &wire->barrier),
    };
}

/* NULL: none of a job that has no tensors yet. */
static struct stepd_memory_plan decode_memory_plan(const Stepd__V1__MemoryPlan *wire)
{
    if (wire == NULL)
        return (struct stepd_memory_plan){.weights = 0};
    return (struct stepd_memory_plan){
        .weights = wire->weights,
        .second_version = wire->second_version,
        .views = wire->views,
        .slots = wire->slots,
        .sums = wire->sums,
        .staging = wire->staging,
        .backups = wire->backups,
        .spare = wire->spare,
    };
}

/* NULL: of a server that keeps none. */
static struct stepd_checkpoint_status
decode_checkpoint_status(struct stepd_decoder *d, const struct stepd_place *above,
                         const Stepd__V1__CheckpointStatus *wire)
{
    const struct stepd_place at = {
        .above = above, .field = "checkpoint", .index = STEPD_PLACE_NO_INDEX};
    if (wire == NULL)
        return (struct stepd_checkpoint_status){.name = "", .failure = ""};
    return (struct stepd_checkpoint_status){
        .name = stepd_take_text(d, &at, "name", &wire->name, STEPD_CHECKPOINT_NAME_BYTES - 1),
        .step = wire->step,
        .bytes = wire->bytes,
        .age_ms = wire->age_ms,
        .failure = stepd_take_text(d, &at, "failure", &wire->failure, STEPD_ERROR_TEXT_BYTES),
    };
}

static struct stepd_job_status decode_job_status(struct stepd_decoder *d,
                                                 const struct stepd_place *at,
                                                 const Stepd__V1__JobStatus *wire)
{
    struct stepd_member_status *members = stepd_take_array(d, wire->n_members, sizeof *members);
    for (size_t i = 0; i < wire->n_members && d->status == STEPD_OK; i++) {
        const struct stepd_place member = {.above = at, .field = "members", .index = i};
        members[i] = decode_member(d, &member, wire->members[i]);
    }
    return (struct stepd_job_status){
        .name = stepd_take_name(d, at, "name", &wire->name),
        .state = (enum stepd_job_state)stepd_take_enum(
            d, at, "state", &stepd__v1__job_status__state__descriptor, (int)wire->state),
        .mode = stepd_take_mode(d, at, wire->mode),
        .incarnation = wire->incarnation,
        .workers = wire->workers,
        .tensors = wire->tensors,
        .elements = wire->elements,
        .slices = wire->slices,
        .version_min = wire->version_min,
        .version_max = wire->version_max,
        .memory_bytes = wire->memory_bytes,
        .parked = wire->parked,
        .waited_for = {.count = wire->n_waited_for, .at = wire->waited_for},
        .members = wire->n_members,
        .member = members,
        .workers_min = wire->workers_min,
        .failure = stepd_take_text(d, at, "failure", &wire->failure, STEPD_ERROR_TEXT_BYTES),
        .changes = wire->changes,
        .memory = decode_memory_plan(wire->memory),
        .checkpoint = decode_checkpoint_status(d, at, wire->checkpoint),
        .first_weights =
            stepd_take_text(d, at, "first_weights", &wire->first_weights, STEPD_ERROR_TEXT_BYTES),
    };
}

const struct stepd_job_status *stepd_take_jobs(struct stepd_decoder *d,
                                               const struct stepd_place *above, size_t count,
                                               Stepd__V1__JobStatus *const *wire)
{
    struct stepd_job_status *jobs = stepd_take_array(d, count, sizeof *jobs);
    for (size_t i = 0; i < count && d->status == STEPD_OK; i++) {
        const struct stepd_place at = {.above = above, .field = "jobs", .index = i};
        jobs[i] = decode_job_status(d, &at, wire[i]);
    }
    return jobs;
}

const struct stepd_limit_status *stepd_take_limits(struct stepd_decoder *d,
                                                   const struct stepd_place *above, size_t count,
                                                   Stepd__V1__Limit *const *wire)
{
    struct stepd_limit_status *limits = stepd_take_array(d, count, sizeof *limits);
    for (size_t i = 0; i < count && d->status == STEPD_OK; i++) {
        const struct stepd_place at = {.above = above, .field = "limits", .index = i};
        limits[i] = (struct stepd_limit_status){
            .name = stepd_take_some_name(d, &at, "name", &wire[i]->name),
            .used = wire[i]->used,
            .max = wire[i]->max,
            .refused = wire[i]->refused,
        };
    }
    return limits;
}

/* ---- Groups of tensors ----------------------------------------------------------------------- */

static struct stepd_tensor_group decode_tensor_group(struct stepd_decoder *d,
                                                     const struct stepd_place *at,
                                                     const Stepd__V1__TensorGroup *wire)
{
    stepd_take_at_most(d, at, "shape", wire->n_shape, STEPD_DIMS_MAX);
    return (struct stepd_tensor_group){
        .tensor = stepd_take_name(d, at, "tensor", &wire->tensor),
        .dims = wire->n_shape,
        .shape = wire->shape,
        .group = stepd_take_name(d, at, "group", &wire->group),
        .optimizer = stepd_take_name(d, at, "optimizer", &wire->optimizer),
        .schedule = stepd_take_name(d, at, "schedule", &wire->schedule),
        .lr = wire->lr,
        .weight_decay = wire->weight_decay,
        .version = wire->version,
        .base_lr = wire->base_lr,
        .change = wire->change,
        .change_version = wire->change_version,
    };
}

const struct stepd_tensor_group *stepd_take_tensor_groups(struct stepd_decoder *d,
                                                          const struct stepd_place *above,
                                                          size_t count,
                                                          Stepd__V1__TensorGroup *const *wire)
{
    struct stepd_tensor_group *tensors = stepd_take_array(d, count, sizeof *tensors);
    for (size_t i = 0; i < count && d->status == STEPD_OK; i++) {
        const struct stepd_place at = {.above = above, .field = "tensors", .index = i};
        tensors[i] = decode_tensor_group(d, &at, wire[i]);
    }
    return tensors;
}

/* ---- Changes --------------------------------------------------------------------------------- */

static struct stepd_change_record decode_record(struct stepd_decoder *d,
                                                const struct stepd_place *at,
                                                const Stepd__V1__ChangeRecord *wire)
{
    struct stepd_difference *list = stepd_take_array(d, wire->n_differences, sizeof *list);
    for (size_t i = 0; i < wire->n_differences && d->status == STEPD_OK; i++) {
        const struct stepd_place place = {.above = at, .field = "differences", .index = i};
        list[i] = (struct stepd_difference){
            .name = stepd_take_name(d, &place, "name", &wire->differences[i]->name),
            .from = stepd_take_name(d, &place, "from", &wire->differences[i]->from),
            .to = stepd_take_name(d, &place, "to", &wire->differences[i]->to),
        };
    }
    return (struct stepd_change_record){
        .number = wire->number,
        .group = stepd_take_name(d, at, "group", &wire->group),
        .by = stepd_take_name(d, at, "by", &wire->by),
        .age_ms = wire->age_ms,
        .version = wire->version,
        .version_last = wire->version_last,
        .differences = wire->n_differences,
        .difference = list,
    };
}

const struct stepd_change_record *stepd_take_records(struct stepd_decoder *d,
                                                     const struct stepd_place *above, size_t count,
                                                     Stepd__V1__ChangeRecord *const *wire)
{
    struct stepd_change_record *records = stepd_take_array(d, count, sizeof *records);
    for (size_t i = 0; i < count && d->status == STEPD_OK; i++) {
        const struct stepd_place at = {.above = above, .field = "records", .index = i};
        records[i] = decode_record(d, &at, wire[i]);
    }
    return records;
}
