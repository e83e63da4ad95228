/* SPDX-License-Identifier: Apache-2.0
 *
 * From our structs to protobuf-c's, for packing: the mirror of message_decode.c, in the same
 * order. A function returns NULL where the arena is full, and so does whoever called it.
 */
#include "proto/message_make.h"

/* ---- Letting in ------------------------------------------------------------------------------ */

static Stepd__V1__Hello *encode_hello(struct stepd_arena *arena, const struct stepd_hello *hello)
{
    Stepd__V1__Hello *wire = make(arena, &stepd__v1__hello__descriptor);
    if (wire == NULL)
        return NULL;
    wire->protocol = hello->protocol;
    wire->role = (Stepd__V1__Role)hello->role;
    wire->job = borrow_text(hello->job);
    wire->worker = borrow_text(hello->worker);
    wire->rank = hello->rank;
    wire->token = borrow_bytes(hello->token);
    wire->session = borrow_bytes(hello->session);
    wire->shard = hello->shard;
    wire->lease_ms = hello->lease_ms;
    wire->max_frame_bytes = hello->max_frame_bytes;
    wire->client = borrow_bytes(hello->client);
    wire->rejoins = hello->rejoins;
    wire->shares_memory = hello->shares_memory;
    return wire;
}

static Stepd__V1__Welcome *encode_welcome(struct stepd_arena *arena,
                                          const struct stepd_welcome *welcome)
{
    Stepd__V1__Welcome *wire = make(arena, &stepd__v1__welcome__descriptor);
    ProtobufCBinaryData *addresses = stepd_arena_calloc(arena, welcome->shards, sizeof *addresses);
    if (wire == NULL || addresses == NULL)
        return NULL;
    for (size_t i = 0; i < welcome->shards; i++)
        addresses[i] = borrow_text(welcome->shard_address[i]);
    wire->session = borrow_bytes(welcome->session);
    wire->epoch = welcome->epoch;
    wire->rank = welcome->rank;
    wire->world = welcome->world;
    wire->incarnation = welcome->incarnation;
    wire->clock = welcome->clock;
    wire->lease_ms = welcome->lease_ms;
    wire->max_frame_bytes = welcome->max_frame_bytes;
    wire->n_shard_addresses = welcome->shards;
    wire->shard_addresses = addresses;
    wire->wait_max_ms = welcome->wait_max_ms;
    wire->weights_bytes = welcome->weights_bytes;
    wire->gradients_bytes = welcome->gradients_bytes;
    return wire;
}

/* ---- Defining -------------------------------------------------------------------------------- */

static Stepd__V1__DefineJob *encode_define_job(struct stepd_arena *arena,
                                               const struct stepd_define_job *job)
{
    Stepd__V1__DefineJob *wire = make(arena, &stepd__v1__define_job__descriptor);
    Stepd__V1__Group **groups = stepd_make_groups(arena, job->groups, job->group);
    Stepd__V1__Group *defaults = stepd_make_group(arena, &job->defaults);
    Stepd__V1__Setting **settings = stepd_make_settings(arena, &job->settings);
    if (wire == NULL || groups == NULL || defaults == NULL || settings == NULL)
        return NULL;
    wire->mode = (Stepd__V1__Mode)job->mode;
    wire->workers = job->workers;
    wire->n_groups = job->groups;
    wire->groups = groups;
    wire->strict = job->strict;
    wire->slice_elements = job->slice_elements;
    wire->n_settings = job->settings.count;
    wire->settings = settings;
    wire->defaults = protobuf_c_message_get_packed_size(&defaults->base) > 0 ? defaults : NULL;
    return wire;
}

static Stepd__V1__JobDefined *encode_job_defined(struct stepd_arena *arena,
                                                 const struct stepd_job_defined *defined)
{
    Stepd__V1__JobDefined *wire = make(arena, &stepd__v1__job_defined__descriptor);
    if (wire == NULL)
        return NULL;
    wire->world = defined->world;
    wire->incarnation = defined->incarnation;
    return wire;
}

static Stepd__V1__DefineTensors *encode_define_tensors(struct stepd_arena *arena,
                                                       const struct stepd_define_tensors *define)
{
    Stepd__V1__DefineTensors *wire = make(arena, &stepd__v1__define_tensors__descriptor);
    Stepd__V1__Tensor **tensors = stepd_make_tensors(arena, define->tensors, define->tensor);
    if (wire == NULL || tensors == NULL)
        return NULL;
    wire->first = define->first;
    wire->n_tensors = define->tensors;
    wire->tensors = tensors;
    wire->last = define->last;
    return wire;
}

static Stepd__V1__TensorsDefined *
encode_tensors_defined(struct stepd_arena *arena, const struct stepd_tensors_defined *defined)
{
    Stepd__V1__TensorsDefined *wire = make(arena, &stepd__v1__tensors_defined__descriptor);
    if (wire != NULL)
        wire->count = defined->count;
    return wire;
}

static Stepd__V1__GetLayout *encode_get_layout(struct stepd_arena *arena,
                                               const struct stepd_get_layout *get)
{
    Stepd__V1__GetLayout *wire = make(arena, &stepd__v1__get_layout__descriptor);
    if (wire != NULL)
        wire->deadline_ms = get->deadline_ms;
    return wire;
}

static Stepd__V1__Layout *encode_layout(struct stepd_arena *arena,
                                        const struct stepd_layout *layout)
{
    Stepd__V1__Layout *wire = make(arena, &stepd__v1__layout__descriptor);
    Stepd__V1__Tensor **tensors = stepd_make_tensors(arena, layout->tensors, layout->tensor);
    if (wire == NULL || tensors == NULL)
        return NULL;
    wire->incarnation = layout->incarnation;
    wire->n_tensors = layout->tensors;
    wire->tensors = tensors;
    wire->n_slice_shards = layout->slice_shards.count;
    wire->slice_shards = borrow_u32(layout->slice_shards.at);
    wire->n_slice_parts = layout->slice_parts.count;
    wire->slice_parts = borrow_u32(layout->slice_parts.at);
    wire->n_part_tensors = layout->part_tensors.count;
    wire->part_tensors = borrow_u32(layout->part_tensors.at);
    wire->n_part_offsets = layout->part_offsets.count;
    wire->part_offsets = borrow_u64(layout->part_offsets.at);
    wire->n_part_elements = layout->part_elements.count;
    wire->part_elements = borrow_u32(layout->part_elements.at);
    wire->mode = (Stepd__V1__Mode)layout->mode;
    wire->world = layout->world;
    wire->last = layout->last;
    wire->n_slice_extras = layout->slice_extras.count;
    wire->slice_extras = borrow_u32(layout->slice_extras.at);
    return wire;
}

/* ---- Training -------------------------------------------------------------------------------- */

static Stepd__V1__Assign *encode_assign(struct stepd_arena *arena,
                                        const struct stepd_assign *assign)
{
    Stepd__V1__Assign *wire = make(arena, &stepd__v1__assign__descriptor);
    if (wire == NULL)
        return NULL;
    wire->incarnation = assign->incarnation;
    wire->n_slices = assign->slices.count;
    wire->slices = borrow_u32(assign->slices.at);
    wire->dtype = (Stepd__V1__DType)assign->dtype;
    return wire;
}

static Stepd__V1__Push *encode_push(struct stepd_arena *arena, const struct stepd_push_slices *push)
{
    Stepd__V1__Push *wire = make(arena, &stepd__v1__push__descriptor);
    Stepd__V1__Loss *loss = make(arena, &stepd__v1__loss__descriptor);
    if (wire == NULL || loss == NULL)
        return NULL;
    loss->mean = push->loss;
    wire->incarnation = push->incarnation;
    wire->clock = push->clock;
    wire->n_slices = push->slices.count;
    wire->slices = borrow_u32(push->slices.at);
    wire->n_base_versions = push->base_versions.count;
    wire->base_versions = borrow_u64(push->base_versions.at);
    wire->examples = push->examples;
    wire->dtype = (Stepd__V1__DType)push->dtype;
    wire->deadline_ms = push->deadline_ms;
    wire->loss = push->has_loss ? loss : NULL;
    wire->loss_scale = push->loss_scale == 1 ? 0 : push->loss_scale; /* absent says the same */
    wire->placed = push->placed;
    return wire;
}

static Stepd__V1__Pull *encode_pull(struct stepd_arena *arena, const struct stepd_pull_slices *pull)
{
    Stepd__V1__Pull *wire = make(arena, &stepd__v1__pull__descriptor);
    if (wire == NULL)
        return NULL;
    wire->incarnation = pull->incarnation;
    wire->n_slices = pull->slices.count;
    wire->slices = borrow_u32(pull->slices.at);
    wire->min_version = pull->min_version;
    wire->dtype = (Stepd__V1__DType)pull->dtype;
    wire->deadline_ms = pull->deadline_ms;
    wire->view = (Stepd__V1__View)pull->view;
    return wire;
}

static Stepd__V1__Step *encode_step(struct stepd_arena *arena, const struct stepd_step_slices *step)
{
    Stepd__V1__Step *wire = make(arena, &stepd__v1__step__descriptor);
    Stepd__V1__Push *push = encode_push(arena, &step->push);
    if (wire == NULL || push == NULL)
        return NULL;
    wire->push = push;
    wire->pull_dtype = (Stepd__V1__DType)step->pull_dtype;
    wire->pull_view = (Stepd__V1__View)step->pull_view;
    return wire;
}

static Stepd__V1__Result *encode_result(struct stepd_arena *arena,
                                        const struct stepd_result *result)
{
    Stepd__V1__Result *wire = make(arena, &stepd__v1__result__descriptor);
    Stepd__V1__Outcome *outcomes =
        stepd_arena_calloc(arena, result->outcomes.count, sizeof *outcomes);
    if (wire == NULL || outcomes == NULL)
        return NULL;
    for (size_t i = 0; i < result->outcomes.count; i++)
        outcomes[i] = (Stepd__V1__Outcome)result->outcomes.at[i];
    wire->n_slices = result->slices.count;
    wire->slices = borrow_u32(result->slices.at);
    wire->n_outcomes = result->outcomes.count;
    wire->outcomes = outcomes;
    wire->n_versions = result->versions.count;
    wire->versions = borrow_u64(result->versions.at);
    wire->dtype = (Stepd__V1__DType)result->dtype;
    wire->durable_version = result->durable_version;
    wire->last = result->last;
    wire->n_places = result->places.count;
    wire->places = borrow_u64(result->places.at);
    return wire;
}

/* ---- Reporting and asking -------------------------------------------------------------------- */

static Stepd__V1__Report *encode_report(struct stepd_arena *arena,
                                        const struct stepd_report_values *report)
{
    Stepd__V1__Report *wire = make(arena, &stepd__v1__report__descriptor);
    if (wire == NULL)
        return NULL;
    wire->clock = report->clock;
    wire->loss = report->loss;
    wire->examples = report->examples;
    return wire;
}

static Stepd__V1__Heartbeat *encode_heartbeat(struct stepd_arena *arena,
                                              const struct stepd_heartbeat *heartbeat)
{
    Stepd__V1__Heartbeat *wire = make(arena, &stepd__v1__heartbeat__descriptor);
    if (wire != NULL)
        wire->last = heartbeat->last;
    return wire;
}

static Stepd__V1__Leave *encode_leave(struct stepd_arena *arena, const struct stepd_leave_at *leave)
{
    Stepd__V1__Leave *wire = make(arena, &stepd__v1__leave__descriptor);
    if (wire != NULL)
        wire->clock = leave->clock;
    return wire;
}

static Stepd__V1__Barrier *encode_barrier(struct stepd_arena *arena,
                                          const struct stepd_barrier_at *barrier)
{
    Stepd__V1__Barrier *wire = make(arena, &stepd__v1__barrier__descriptor);
    if (wire == NULL)
        return NULL;
    wire->incarnation = barrier->incarnation;
    wire->name = borrow_text(barrier->name);
    wire->sequence = barrier->sequence;
    wire->deadline_ms = barrier->deadline_ms;
    return wire;
}

static Stepd__V1__Ack *encode_ack(struct stepd_arena *arena, const struct stepd_ack *ack)
{
    (void)ack;
    return make(arena, &stepd__v1__ack__descriptor);
}

static Stepd__V1__GetStatus *encode_get_status(struct stepd_arena *arena,
                                               const struct stepd_get_status *get)
{
    Stepd__V1__GetStatus *wire = make(arena, &stepd__v1__get_status__descriptor);
    if (wire != NULL)
        wire->job = borrow_text(get->job);
    return wire;
}

static Stepd__V1__Status *encode_status(struct stepd_arena *arena,
                                        const struct stepd_server_status *status)
{
    Stepd__V1__Status *wire = make(arena, &stepd__v1__status__descriptor);
    Stepd__V1__JobStatus **jobs = stepd_make_jobs(arena, status->jobs, status->job);
    Stepd__V1__Limit **limits = stepd_make_limits(arena, status->limits, status->limit);
    Stepd__V1__DaemonStatus **daemons = stepd_make_daemons(arena, status->daemons, status->daemon);
    if (wire == NULL || jobs == NULL || limits == NULL || daemons == NULL)
        return NULL;
    wire->server_version = borrow_text(status->server_version);
    wire->uptime_ms = status->uptime_ms;
    wire->n_jobs = status->jobs;
    wire->jobs = jobs;
    wire->last = status->last;
    wire->n_limits = status->limits;
    wire->limits = limits;
    wire->n_daemons = status->daemons;
    wire->daemons = daemons;
    wire->jobs_unknown = borrow_text(status->jobs_unknown);
    wire->place = status->place;
    return wire;
}

static Stepd__V1__GetGroups *encode_get_groups(struct stepd_arena *arena,
                                               const struct stepd_get_groups *get)
{
    Stepd__V1__GetGroups *wire = make(arena, &stepd__v1__get_groups__descriptor);
    if (wire != NULL)
        wire->job = borrow_text(get->job);
    return wire;
}

static Stepd__V1__Groups *encode_groups(struct stepd_arena *arena,
                                        const struct stepd_groups *groups)
{
    Stepd__V1__Groups *wire = make(arena, &stepd__v1__groups__descriptor);
    Stepd__V1__TensorGroup **tensors =
        stepd_make_tensor_groups(arena, groups->tensors, groups->tensor);
    if (wire == NULL || tensors == NULL)
        return NULL;
    wire->n_tensors = groups->tensors;
    wire->tensors = tensors;
    wire->last = groups->last;
    return wire;
}

/* ---- Changing -------------------------------------------------------------------------------- */

static Stepd__V1__ChangeJob *encode_change_job(struct stepd_arena *arena,
                                               const struct stepd_change_job *change)
{
    Stepd__V1__ChangeJob *wire = make(arena, &stepd__v1__change_job__descriptor);
    Stepd__V1__Group *group = stepd_make_group(arena, &change->group);
    if (wire == NULL || group == NULL)
        return NULL;
    wire->job = borrow_text(change->job);
    wire->group = group;
    wire->at = change->at;
    wire->drop_phases = change->drop_phases;
    wire->dry_run = change->dry_run;
    wire->deadline_ms = change->deadline_ms;
    return wire;
}

static Stepd__V1__GetChanges *encode_get_changes(struct stepd_arena *arena,
                                                 const struct stepd_get_changes *get)
{
    Stepd__V1__GetChanges *wire = make(arena, &stepd__v1__get_changes__descriptor);
    if (wire != NULL)
        wire->job = borrow_text(get->job);
    return wire;
}

static Stepd__V1__Changes *encode_changes(struct stepd_arena *arena,
                                          const struct stepd_change_list *changes)
{
    Stepd__V1__Changes *wire = make(arena, &stepd__v1__changes__descriptor);
    Stepd__V1__ChangeRecord **records =
        stepd_make_records(arena, changes->records, changes->record);
    if (wire == NULL || records == NULL)
        return NULL;
    wire->n_records = changes->records;
    wire->records = records;
    wire->forgotten = changes->forgotten;
    wire->last = changes->last;
    return wire;
}

/* ---- Keeping --------------------------------------------------------------------------------- */

static Stepd__V1__Checkpoint *encode_checkpoint(struct stepd_arena *arena,
                                                const struct stepd_checkpoint_job *checkpoint)
{
    Stepd__V1__Checkpoint *wire = make(arena, &stepd__v1__checkpoint__descriptor);
    if (wire == NULL)
        return NULL;
    wire->job = borrow_text(checkpoint->job);
    wire->deadline_ms = checkpoint->deadline_ms;
    return wire;
}

static Stepd__V1__CheckpointWritten *
encode_checkpoint_written(struct stepd_arena *arena, const struct stepd_checkpoint_written *written)
{
    Stepd__V1__CheckpointWritten *wire = make(arena, &stepd__v1__checkpoint_written__descriptor);
    if (wire == NULL)
        return NULL;
    wire->name = borrow_text(written->name);
    wire->step = written->step;
    wire->bytes = written->bytes;
    return wire;
}

/* ---- Errors ---------------------------------------------------------------------------------- */

static Stepd__V1__Error *encode_error(struct stepd_arena *arena,
                                      const struct stepd_error_reply *error)
{
    Stepd__V1__Error *wire = make(arena, &stepd__v1__error__descriptor);
    if (wire == NULL)
        return NULL;
    wire->code = (uint32_t)error->code;
    wire->text = borrow_text(error->text);
    wire->n_waited_for = error->waited_for.count;
    wire->waited_for = borrow_u32(error->waited_for.at);
    return wire;
}

/* ---- Which one it is ------------------------------------------------------------------------- */

bool stepd_message_encode_body(const struct stepd_message *message, struct stepd_arena *arena,
                               Stepd__V1__Header *wire)
{
    wire->body_case = (Stepd__V1__Header__BodyCase)message->kind;
    switch (message->kind) {
#define X(KIND, member, type, number)                                                              \
    case STEPD_MESSAGE_##KIND:                                                                     \
        wire->member = encode_##member(arena, &message->body.member);                              \
        return wire->member != NULL;
        STEPD_CLIENT_MESSAGE_MAP(X)
#undef X
    default: return stepd_make_peer_body(message, arena, wire);
    }
}
