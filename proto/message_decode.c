/* SPDX-License-Identifier: Apache-2.0
 *
 * From protobuf-c's structs to ours, with every rule checked on the way. There is one
 * decode_<message>() for each message, in the order of the table in message.h; each is a struct
 * literal of our fields, and reads like the message's definition. message_take.h says how values
 * are taken and why no call is followed by an `if`.
 *
 * Lists of numbers stay where protobuf-c put them, which is in the arena too.
 */
#include <float.h>

#include "proto/error.h"
#include "proto/message_take.h"

#define ERROR_TEXT_MAX_BYTES 1024u

/* ---- Letting in ------------------------------------------------------------------------------ */

static struct stepd_hello decode_hello(struct stepd_decoder *d, const struct stepd_place *at,
                                       const Stepd__V1__Hello *wire)
{
    if (wire->rank < -1 || wire->rank >= (int32_t)STEPD_WORKERS_MAX)
        stepd_take_refuse(d, at, "rank", "%d is neither -1 nor below %u", wire->rank,
                          STEPD_WORKERS_MAX);
    return (struct stepd_hello){
        .protocol = wire->protocol,
        .role = (enum stepd_role)stepd_take_enum(d, at, "role", &stepd__v1__role__descriptor,
                                                 (int)wire->role),
        .job = stepd_take_name(d, at, "job", &wire->job),
        .worker = stepd_take_name(d, at, "worker", &wire->worker),
        .rank = wire->rank,
        .token = {.count = wire->token.len, .at = wire->token.data},
        .session = stepd_take_id(d, at, "session", &wire->session, STEPD_SESSION_BYTES),
        .shard = wire->shard,
        .lease_ms = wire->lease_ms,
        .max_frame_bytes = wire->max_frame_bytes,
        .client = stepd_take_id(d, at, "client", &wire->client, STEPD_CLIENT_BYTES),
        .rejoins = wire->rejoins,
        .shares_memory = wire->shares_memory,
    };
}

static struct stepd_welcome decode_welcome(struct stepd_decoder *d, const struct stepd_place *at,
                                           const Stepd__V1__Welcome *wire)
{
    const size_t shards = wire->n_shard_addresses;
    const char **addresses = stepd_take_array(d, shards, sizeof *addresses);
    for (size_t i = 0; i < shards && d->status == STEPD_OK; i++) {
        const struct stepd_place address = {.above = at, .field = "shard_addresses", .index = i};
        addresses[i] =
            stepd_take_text(d, &address, NULL, &wire->shard_addresses[i], STEPD_ADDRESS_MAX_BYTES);
    }
    return (struct stepd_welcome){
        .session = stepd_take_id(d, at, "session", &wire->session, STEPD_SESSION_BYTES),
        .epoch = wire->epoch,
        .rank = wire->rank,
        .world = wire->world,
        .incarnation = wire->incarnation,
        .clock = wire->clock,
        .lease_ms = wire->lease_ms,
        .max_frame_bytes = wire->max_frame_bytes,
        .shards = shards,
        .shard_address = addresses,
        .wait_max_ms = wire->wait_max_ms,
        .weights_bytes = wire->weights_bytes,
        .gradients_bytes = wire->gradients_bytes,
    };
}

/* ---- Defining -------------------------------------------------------------------------------- */

static struct stepd_define_job decode_define_job(struct stepd_decoder *d,
                                                 const struct stepd_place *at,
                                                 const Stepd__V1__DefineJob *wire)
{
    return (struct stepd_define_job){
        .mode = stepd_take_mode(d, at, wire->mode),
        .workers = wire->workers,
        .groups = wire->n_groups,
        .group = stepd_take_groups(d, at, wire->n_groups, wire->groups),
        .strict = wire->strict != 0,
        .slice_elements = wire->slice_elements,
        .defaults = stepd_take_defaults(d, at, wire->defaults),
        .settings = stepd_take_settings(d, at, "settings", wire->n_settings, wire->settings),
    };
}

static struct stepd_job_defined decode_job_defined(struct stepd_decoder *d,
                                                   const struct stepd_place *at,
                                                   const Stepd__V1__JobDefined *wire)
{
    (void)d;
    (void)at;
    return (struct stepd_job_defined){.world = wire->world, .incarnation = wire->incarnation};
}

static struct stepd_define_tensors decode_define_tensors(struct stepd_decoder *d,
                                                         const struct stepd_place *at,
                                                         const Stepd__V1__DefineTensors *wire)
{
    stepd_take_at_most(d, at, "first", (uint64_t)wire->first + wire->n_tensors, STEPD_TENSORS_MAX);
    return (struct stepd_define_tensors){
        .first = wire->first,
        .tensors = wire->n_tensors,
        .tensor = stepd_take_tensors(d, at, wire->n_tensors, wire->tensors),
        .last = wire->last != 0,
    };
}

static struct stepd_tensors_defined decode_tensors_defined(struct stepd_decoder *d,
                                                           const struct stepd_place *at,
                                                           const Stepd__V1__TensorsDefined *wire)
{
    (void)d;
    (void)at;
    return (struct stepd_tensors_defined){.count = wire->count};
}

static struct stepd_get_layout decode_get_layout(struct stepd_decoder *d,
                                                 const struct stepd_place *at,
                                                 const Stepd__V1__GetLayout *wire)
{
    (void)d;
    (void)at;
    return (struct stepd_get_layout){.deadline_ms = wire->deadline_ms};
}

/* Every slice of a page brings all its parts with it. */
static void check_layout_lists(struct stepd_decoder *d, const struct stepd_place *at,
                               const Stepd__V1__Layout *wire)
{
    stepd_take_same_length(d, at, "slice_parts", wire->n_slice_parts, wire->n_slice_shards);
    stepd_take_same_length(d, at, "part_offsets", wire->n_part_offsets, wire->n_part_tensors);
    stepd_take_same_length(d, at, "part_elements", wire->n_part_elements, wire->n_part_tensors);
    if (wire->n_slice_extras > 0)
        stepd_take_same_length(d, at, "slice_extras", wire->n_slice_extras, wire->n_slice_shards);
    uint64_t parts = 0;
    for (size_t i = 0; i < wire->n_slice_parts; i++) {
        const struct stepd_place slice = {.above = at, .field = "slice_parts", .index = i};
        if (wire->slice_parts[i] == 0)
            stepd_take_refuse(d, &slice, NULL, "a slice has at least one part");
        parts += wire->slice_parts[i]; /* at most 2^16 numbers of 32 bits: no overflow */
    }
    if (parts != wire->n_part_tensors)
        stepd_take_refuse(d, at, "slice_parts", "they sum to %llu, but the page has %zu parts",
                          (unsigned long long)parts, wire->n_part_tensors);
}

static struct stepd_layout decode_layout(struct stepd_decoder *d, const struct stepd_place *at,
                                         const Stepd__V1__Layout *wire)
{
    check_layout_lists(d, at, wire);
    return (struct stepd_layout){
        .incarnation = wire->incarnation,
        .tensors = wire->n_tensors,
        .tensor = stepd_take_tensors(d, at, wire->n_tensors, wire->tensors),
        .slice_shards = {.count = wire->n_slice_shards, .at = wire->slice_shards},
        .slice_parts = {.count = wire->n_slice_parts, .at = wire->slice_parts},
        .part_tensors = {.count = wire->n_part_tensors, .at = wire->part_tensors},
        .part_offsets = {.count = wire->n_part_offsets, .at = wire->part_offsets},
        .part_elements = {.count = wire->n_part_elements, .at = wire->part_elements},
        .mode = stepd_take_mode(d, at, wire->mode),
        .world = wire->world,
        .last = wire->last != 0,
        .slice_extras = {.count = wire->n_slice_extras, .at = wire->slice_extras},
    };
}

/* ---- Training -------------------------------------------------------------------------------- */

static struct stepd_assign decode_assign(struct stepd_decoder *d, const struct stepd_place *at,
                                         const Stepd__V1__Assign *wire)
{
    return (struct stepd_assign){
        .incarnation = wire->incarnation,
        .slices = stepd_take_slices(d, at, wire->n_slices, wire->slices),
        .dtype = stepd_take_dtype(d, at, "dtype", wire->dtype),
    };
}

/* What a gradient was multiplied by. Absent is 0 on the wire, and says 1. Gradients are divided by
 * it in 32 bits, where what is beyond their range would be 0 or infinite. */
static double take_loss_scale(struct stepd_decoder *d, const struct stepd_place *at, double scale)
{
    if (stepd_take_finite(d, at, "loss_scale", scale) < 0)
        stepd_take_refuse(d, at, "loss_scale", "%g is not above 0", scale);
    if (scale != 0 && !(scale >= FLT_MIN && scale <= FLT_MAX))
        stepd_take_refuse(d, at, "loss_scale", "%g is beyond the range of 32-bit floats", scale);
    return scale == 0 ? 1 : scale;
}

static struct stepd_push_slices decode_push(struct stepd_decoder *d, const struct stepd_place *at,
                                            const Stepd__V1__Push *wire)
{
    if (wire->n_base_versions != 1)
        stepd_take_same_length(d, at, "base_versions", wire->n_base_versions, wire->n_slices);
    stepd_take_at_most(d, at, "examples", wire->examples, STEPD_EXAMPLES_MAX);
    const struct stepd_place loss = {.above = at, .field = "loss", .index = STEPD_PLACE_NO_INDEX};
    const double mean = wire->loss == NULL ? 0 : wire->loss->mean;
    return (struct stepd_push_slices){
        .incarnation = wire->incarnation,
        .clock = wire->clock,
        .slices = stepd_take_slices(d, at, wire->n_slices, wire->slices),
        .base_versions = {.count = wire->n_base_versions, .at = wire->base_versions},
        .examples = wire->examples,
        .dtype = stepd_take_dtype(d, at, "dtype", wire->dtype),
        .deadline_ms = wire->deadline_ms,
        .has_loss = wire->loss != NULL,
        .loss = stepd_take_finite(d, &loss, "mean", mean),
        .loss_scale = take_loss_scale(d, at, wire->loss_scale),
        .placed = wire->placed,
    };
}

static struct stepd_pull_slices decode_pull(struct stepd_decoder *d, const struct stepd_place *at,
                                            const Stepd__V1__Pull *wire)
{
    return (struct stepd_pull_slices){
        .incarnation = wire->incarnation,
        .slices = stepd_take_slices(d, at, wire->n_slices, wire->slices),
        .min_version = wire->min_version,
        .dtype = stepd_take_dtype(d, at, "dtype", wire->dtype),
        .deadline_ms = wire->deadline_ms,
        .view = stepd_take_view(d, at, "view", wire->view),
    };
}

static struct stepd_step_slices decode_step(struct stepd_decoder *d, const struct stepd_place *at,
                                            const Stepd__V1__Step *wire)
{
    const struct stepd_place push = {.above = at, .field = "push", .index = STEPD_PLACE_NO_INDEX};
    if (wire->push == NULL) {
        stepd_take_refuse(d, at, "push", "missing");
        return (struct stepd_step_slices){0};
    }
    return (struct stepd_step_slices){
        .push = decode_push(d, &push, wire->push),
        .pull_dtype = stepd_take_dtype(d, at, "pull_dtype", wire->pull_dtype),
        .pull_view = stepd_take_view(d, at, "pull_view", wire->pull_view),
    };
}

static struct stepd_u32s decode_outcomes(struct stepd_decoder *d, const struct stepd_place *at,
                                         size_t count, const Stepd__V1__Outcome *wire)
{
    uint32_t *outcomes = stepd_take_array(d, count, sizeof *outcomes);
    for (size_t i = 0; i < count && d->status == STEPD_OK; i++) {
        const struct stepd_place outcome = {.above = at, .field = "outcomes", .index = i};
        outcomes[i] = (uint32_t)stepd_take_enum(d, &outcome, NULL, &stepd__v1__outcome__descriptor,
                                                (int)wire[i]);
    }
    return (struct stepd_u32s){.count = count, .at = outcomes};
}

static struct stepd_result decode_result(struct stepd_decoder *d, const struct stepd_place *at,
                                         const Stepd__V1__Result *wire)
{
    stepd_take_same_length(d, at, "outcomes", wire->n_outcomes, wire->n_slices);
    stepd_take_same_length(d, at, "versions", wire->n_versions, wire->n_slices);
    if (wire->n_places > 0)
        stepd_take_same_length(d, at, "places", wire->n_places, wire->n_slices);
    return (struct stepd_result){
        .slices = {.count = wire->n_slices, .at = wire->slices},
        .outcomes = decode_outcomes(d, at, wire->n_outcomes, wire->outcomes),
        .versions = {.count = wire->n_versions, .at = wire->versions},
        .dtype = stepd_take_dtype(d, at, "dtype", wire->dtype),
        .durable_version = wire->durable_version,
        .last = wire->last != 0,
        .places = {.count = wire->n_places, .at = wire->places},
    };
}

/* ---- Reporting and asking -------------------------------------------------------------------- */

/* A loss may be NaN or infinite: that is a fact about the training. */
static struct stepd_report_values
decode_report(struct stepd_decoder *d, const struct stepd_place *at, const Stepd__V1__Report *wire)
{
    stepd_take_at_most(d, at, "examples", wire->examples, STEPD_EXAMPLES_MAX);
    return (struct stepd_report_values){
        .clock = wire->clock, .loss = wire->loss, .examples = wire->examples};
}

static struct stepd_heartbeat decode_heartbeat(struct stepd_decoder *d,
                                               const struct stepd_place *at,
                                               const Stepd__V1__Heartbeat *wire)
{
    (void)d;
    (void)at;
    return (struct stepd_heartbeat){.last = wire->last != 0};
}

static struct stepd_leave_at decode_leave(struct stepd_decoder *d, const struct stepd_place *at,
                                          const Stepd__V1__Leave *wire)
{
    (void)d;
    (void)at;
    return (struct stepd_leave_at){.clock = wire->clock};
}

static struct stepd_barrier_at decode_barrier(struct stepd_decoder *d, const struct stepd_place *at,
                                              const Stepd__V1__Barrier *wire)
{
    return (struct stepd_barrier_at){
        .incarnation = wire->incarnation,
        .name = stepd_take_name(d, at, "name", &wire->name),
        .sequence = wire->sequence,
        .deadline_ms = wire->deadline_ms,
    };
}

static struct stepd_ack decode_ack(struct stepd_decoder *d, const struct stepd_place *at,
                                   const Stepd__V1__Ack *wire)
{
    (void)d;
    (void)at;
    (void)wire;
    return (struct stepd_ack){0};
}

static struct stepd_get_status decode_get_status(struct stepd_decoder *d,
                                                 const struct stepd_place *at,
                                                 const Stepd__V1__GetStatus *wire)
{
    return (struct stepd_get_status){.job = stepd_take_name(d, at, "job", &wire->job)};
}

static struct stepd_server_status
decode_status(struct stepd_decoder *d, const struct stepd_place *at, const Stepd__V1__Status *wire)
{
    return (struct stepd_server_status){
        .server_version = stepd_take_name(d, at, "server_version", &wire->server_version),
        .uptime_ms = wire->uptime_ms,
        .jobs = wire->n_jobs,
        .job = stepd_take_jobs(d, at, wire->n_jobs, wire->jobs),
        .last = wire->last != 0,
        .limits = wire->n_limits,
        .limit = stepd_take_limits(d, at, wire->n_limits, wire->limits),
        .daemons = wire->n_daemons,
        .daemon = stepd_take_daemons(d, at, wire->n_daemons, wire->daemons),
        .jobs_unknown =
            stepd_take_text(d, at, "jobs_unknown", &wire->jobs_unknown, STEPD_ERROR_TEXT_BYTES),
        .place = wire->place,
    };
}

static struct stepd_get_groups decode_get_groups(struct stepd_decoder *d,
                                                 const struct stepd_place *at,
                                                 const Stepd__V1__GetGroups *wire)
{
    return (struct stepd_get_groups){.job = stepd_take_name(d, at, "job", &wire->job)};
}

static struct stepd_groups decode_groups(struct stepd_decoder *d, const struct stepd_place *at,
                                         const Stepd__V1__Groups *wire)
{
    return (struct stepd_groups){
        .tensors = wire->n_tensors,
        .tensor = stepd_take_tensor_groups(d, at, wire->n_tensors, wire->tensors),
        .last = wire->last != 0,
    };
}

/* ---- Changing -------------------------------------------------------------------------------- */

static struct stepd_change_job decode_change_job(struct stepd_decoder *d,
                                                 const struct stepd_place *at,
                                                 const Stepd__V1__ChangeJob *wire)
{
    return (struct stepd_change_job){
        .job = stepd_take_name(d, at, "job", &wire->job),
        .group = stepd_take_edit(d, at, wire->group),
        .at = wire->at,
        .drop_phases = wire->drop_phases != 0,
        .dry_run = wire->dry_run != 0,
        .deadline_ms = wire->deadline_ms,
    };
}

static struct stepd_get_changes decode_get_changes(struct stepd_decoder *d,
                                                   const struct stepd_place *at,
                                                   const Stepd__V1__GetChanges *wire)
{
    return (struct stepd_get_changes){.job = stepd_take_name(d, at, "job", &wire->job)};
}

static struct stepd_change_list decode_changes(struct stepd_decoder *d,
                                               const struct stepd_place *at,
                                               const Stepd__V1__Changes *wire)
{
    return (struct stepd_change_list){
        .records = wire->n_records,
        .record = stepd_take_records(d, at, wire->n_records, wire->records),
        .forgotten = wire->forgotten,
        .last = wire->last != 0,
    };
}

/* ---- Keeping --------------------------------------------------------------------------------- */

static struct stepd_checkpoint_job decode_checkpoint(struct stepd_decoder *d,
                                                     const struct stepd_place *at,
                                                     const Stepd__V1__Checkpoint *wire)
{
    return (struct stepd_checkpoint_job){
        .job = stepd_take_name(d, at, "job", &wire->job),
        .deadline_ms = wire->deadline_ms,
    };
}

static struct stepd_checkpoint_written
decode_checkpoint_written(struct stepd_decoder *d, const struct stepd_place *at,
                          const Stepd__V1__CheckpointWritten *wire)
{
    return (struct stepd_checkpoint_written){
        .name = stepd_take_text(d, at, "name", &wire->name, STEPD_CHECKPOINT_NAME_BYTES - 1),
        .step = wire->step,
        .bytes = wire->bytes,
    };
}

/* ---- Errors ---------------------------------------------------------------------------------- */

static struct stepd_error_reply decode_error(struct stepd_decoder *d, const struct stepd_place *at,
                                             const Stepd__V1__Error *wire)
{
    enum stepd_status code = STEPD_UNKNOWN;
    if (wire->code > STEPD_OK && wire->code <= STEPD_ROLLED_BACK)
        code = (enum stepd_status)wire->code;
    return (struct stepd_error_reply){
        .code = code,
        .text = stepd_take_text(d, at, "text", &wire->text, ERROR_TEXT_MAX_BYTES),
        .waited_for = {.count = wire->n_waited_for, .at = wire->waited_for},
    };
}

/* ---- Which one it is ------------------------------------------------------------------------- */

/* False: it is none that this build knows. */
static bool decode_body(struct stepd_decoder *d, const Stepd__V1__Header *wire,
                        struct stepd_message *message)
{
    const struct stepd_place at = {.field = stepd_message_name(message->kind),
                                   .index = STEPD_PLACE_NO_INDEX};
    switch (message->kind) {
#define X(KIND, member, type, number)                                                              \
    case STEPD_MESSAGE_##KIND:                                                                     \
        message->body.member = decode_##member(d, &at, wire->member);                              \
        return true;
        STEPD_CLIENT_MESSAGE_MAP(X)
#undef X
    default: return stepd_take_peer_body(d, &at, wire, message);
    }
}

enum stepd_status stepd_message_decode_body(const Stepd__V1__Header *wire,
                                            struct stepd_arena *arena,
                                            struct stepd_message *ret_message,
                                            struct stepd_error *reterr)
{
    struct stepd_decoder d = {.arena = arena, .reterr = reterr, .status = STEPD_OK};
    ret_message->kind = (enum stepd_message_kind)wire->body_case;
    if (!decode_body(&d, wire, ret_message))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "the header has no body");
    return d.status;
}
