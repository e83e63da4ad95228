/* SPDX-License-Identifier: Apache-2.0
 *
 * jansson's "o*" and "s" formats fail as a whole when a part is missing, so each object is built in
 * one json_pack and checked once. JSON has no NaN: a loss that is none becomes null.
 */
#include "client/ctl/ask.h"

#include <math.h>
#include <string.h>

#include "client/ctl/ctl.h"
#include "client/lib/call.h"
#include "client/lib/core/definition.h"
#include "proto/error.h"
#include "proto/mode.h"

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the answer");
}

static json_int_t integer(uint64_t number)
{
    return number > INT64_MAX ? INT64_MAX : (json_int_t)number;
}

static json_t *real_or_null(double number)
{
    return isfinite(number) ? json_real(number) : json_null();
}

static json_t *integers(struct stepd_u32s numbers)
{
    json_t *const list = json_array();
    for (size_t i = 0; i < numbers.count; i++)
        (void)json_array_append_new(list, json_integer(numbers.at[i]));
    return list;
}

/* ---- Status ---------------------------------------------------------------------------------- */

static const char *member_state(enum stepd_member_state state)
{
    switch (state) {
    case STEPD_MEMBER_PRESENT: return "present";
    case STEPD_MEMBER_LOST: return "lost";
    case STEPD_MEMBER_LEFT: return "left";
    case STEPD_MEMBER_JOINING: return "joining";
    case STEPD_MEMBER_GIVEN_UP: return "given_up";
    }
    return "unknown";
}

static const char *job_state(enum stepd_job_state state)
{
    switch (state) {
    case STEPD_JOB_CREATED: return "created";
    case STEPD_JOB_DEFINED: return "defined";
    case STEPD_JOB_RUNNING: return "running";
    case STEPD_JOB_FINISHED: return "finished";
    case STEPD_JOB_FAILED: return "failed";
    }
    return "unknown";
}

/* The first version that it is no member for; null as long as it is one. */
static json_t *until_or_null(const struct stepd_member_status *member)
{
    const bool ended = member->state == STEPD_MEMBER_LEFT || member->state == STEPD_MEMBER_GIVEN_UP;
    return ended ? json_integer(integer(member->until)) : json_null();
}

static json_t *member_to_json(const struct stepd_member_status *member)
{
    return json_pack("{s:i, s:s, s:s, s:I, s:I, s:o, s:I, s:I, s:o, s:s}", "rank",
                     (int)member->rank, "worker", member->worker, "state",
                     member_state(member->state), "clock", integer(member->clock), "silent_ms",
                     integer(member->silent_ms), "loss", real_or_null(member->loss), "examples",
                     integer(member->examples), "from", integer(member->from), "until",
                     until_or_null(member), "barrier", member->barrier);
}

static json_t *memory_to_json(const struct stepd_memory_plan *memory)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "weights",
                     integer(memory->weights), "second_version", integer(memory->second_version),
                     "views", integer(memory->views), "slots", integer(memory->slots), "sums",
                     integer(memory->sums), "staging", integer(memory->staging), "backups",
                     integer(memory->backups), "spare", integer(memory->spare));
}

/* null: there is none. */
static json_t *checkpoint_to_json(const struct stepd_checkpoint_status *newest)
{
    if (newest->name[0] == '\0')
        return json_null();
    return json_pack("{s:s, s:I, s:I, s:I}", "name", newest->name, "step", integer(newest->step),
                     "bytes", integer(newest->bytes), "age_ms", integer(newest->age_ms));
}

static json_t *job_to_json(const struct stepd_job_status *job)
{
    json_t *const members = json_array();
    for (size_t i = 0; i < job->members; i++) {
        if (json_array_append_new(members, member_to_json(&job->member[i])) == 0)
            continue;
        json_decref(members);
        return NULL;
    }
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:o, s:o, s:I, "
        "s:o, s:s, s:s}",
        "name", job->name, "state", job_state(job->state), "failure", job->failure, "mode",
        stepd_mode_name(job->mode), "incarnation", integer(job->incarnation), "workers_min",
        integer(job->workers_min), "workers", integer(job->workers), "tensors",
        integer(job->tensors), "elements", integer(job->elements), "slices", integer(job->slices),
        "version_min", integer(job->version_min), "version_max", integer(job->version_max),
        "memory_bytes", integer(job->memory_bytes), "memory", memory_to_json(&job->memory),
        "parked", integer(job->parked), "waited_for", integers(job->waited_for), "members", members,
        "changes", integer(job->changes), "checkpoint", checkpoint_to_json(&job->checkpoint),
        "checkpoint_failure", job->checkpoint.failure, "first_weights", job->first_weights);
}

/* A job whose members fill several frames comes in each of them, with the next members. */
static json_t *same_job(json_t *jobs, const char *name)
{
    json_t *const newest = json_array_get(jobs, json_array_size(jobs) - 1);
    const char *const other = json_string_value(json_object_get(newest, "name"));
    return other != NULL && strcmp(other, name) == 0 ? newest : NULL;
}

static enum stepd_status take_job(json_t *jobs, const struct stepd_job_status *job,
                                  struct stepd_error *reterr)
{
    json_t *const json = job_to_json(job);
    json_t *const before = same_job(jobs, job->name);
    if (json == NULL)
        return no_memory(reterr);
    if (before == NULL)
        return json_array_append_new(jobs, json) == 0 ? STEPD_OK : no_memory(reterr);
    const int failed =
        json_array_extend(json_object_get(before, "members"), json_object_get(json, "members"));
    json_decref(json);
    return failed ? no_memory(reterr) : STEPD_OK;
}

static enum stepd_status on_status(void *user, const struct stepd_message *reply,
                                   struct stepd_error *reterr)
{
    json_t *const answer = user;
    const struct stepd_server_status *const status = &reply->body.status;
    json_t *const jobs = json_object_get(answer, "jobs");
    int failed = json_object_set_new(answer, "server_version", json_string(status->server_version));
    failed |= json_object_set_new(answer, "uptime_ms", json_integer(integer(status->uptime_ms)));
    if (failed)
        return no_memory(reterr);
    for (size_t i = 0; i < status->jobs; i++) {
        const enum stepd_status taken = take_job(jobs, &status->job[i], reterr);
        if (taken != STEPD_OK)
            return taken;
    }
    return STEPD_OK;
}

/* ---- Groups ---------------------------------------------------------------------------------- */

static json_t *shape_to_json(const struct stepd_tensor_group *tensor)
{
    json_t *const shape = json_array();
    for (size_t i = 0; i < tensor->dims; i++)
        (void)json_array_append_new(shape, json_integer(integer(tensor->shape[i])));
    return shape;
}

static json_t *tensor_to_json(const struct stepd_tensor_group *tensor)
{
    const char *const schedule = tensor->schedule[0] == '\0' ? "constant" : tensor->schedule;
    return json_pack("{s:s, s:o, s:s, s:s, s:s, s:o, s:o, s:I, s:o, s:I, s:I}", "tensor",
                     tensor->tensor, "shape", shape_to_json(tensor), "group", tensor->group,
                     "optimizer", tensor->optimizer, "schedule", schedule, "lr",
                     real_or_null(tensor->lr), "weight_decay", real_or_null(tensor->weight_decay),
                     "version", integer(tensor->version), "base_lr", real_or_null(tensor->base_lr),
                     "change", integer(tensor->change), "change_version",
                     integer(tensor->change_version));
}

static enum stepd_status on_groups(void *user, const struct stepd_message *reply,
                                   struct stepd_error *reterr)
{
    const struct stepd_groups *const groups = &reply->body.groups;
    json_t *const tensors = json_object_get(user, "tensors");
    for (size_t i = 0; i < groups->tensors; i++) {
        if (json_array_append_new(tensors, tensor_to_json(&groups->tensor[i])) != 0)
            return no_memory(reterr);
    }
    return STEPD_OK;
}

/* ---- Changes --------------------------------------------------------------------------------- */

static json_t *differences_to_json(const struct stepd_change_record *record)
{
    json_t *const list = json_array();
    for (size_t i = 0; i < record->differences; i++) {
        const struct stepd_difference *const difference = &record->difference[i];
        (void)json_array_append_new(list,
                                    json_pack("{s:s, s:s, s:s}", "name", difference->name, "from",
                                              difference->from, "to", difference->to));
    }
    return list;
}

static json_t *record_to_json(const struct stepd_change_record *record)
{
    return json_pack("{s:I, s:s, s:s, s:I, s:I, s:I, s:o}", "number", integer(record->number),
                     "group", record->group, "by", record->by, "age_ms", integer(record->age_ms),
                     "version", integer(record->version), "version_last",
                     integer(record->version_last), "differences", differences_to_json(record));
}

static enum stepd_status on_changes(void *user, const struct stepd_message *reply,
                                    struct stepd_error *reterr)
{
    const struct stepd_change_list *const changes = &reply->body.changes;
    json_t *const list = json_object_get(user, "changes");
    for (size_t i = 0; i < changes->records; i++) {
        if (json_array_append_new(list, record_to_json(&changes->record[i])) != 0)
            return no_memory(reterr);
    }
    return json_object_set_new(user, "forgotten", json_integer(integer(changes->forgotten))) == 0
               ? STEPD_OK
               : no_memory(reterr);
}

/* ---- Asking ---------------------------------------------------------------------------------- */

/* The answer begins as an object with one empty list of this name. */
static enum stepd_status ask(struct stepd_client *client, const struct stepd_message *message,
                             stepd_reply_function *on_reply, const char *list, json_t **ret_answer,
                             struct stepd_error *reterr)
{
    json_t *const answer = json_pack("{s:[]}", list);
    if (answer == NULL)
        return no_memory(reterr);
    const enum stepd_status status =
        stepd_call_within(client, message, CTL_ANSWER_MS, on_reply, answer, reterr);
    if (status == STEPD_OK)
        *ret_answer = answer;
    else
        json_decref(answer);
    return status;
}

enum stepd_status ask_status(struct stepd_client *client, const char *job, json_t **ret_status,
                             struct stepd_error *reterr)
{
    const struct stepd_message message = {
        .kind = STEPD_MESSAGE_GET_STATUS,
        .body.get_status = {.job = job == NULL ? "" : job},
    };
    return ask(client, &message, on_status, "jobs", ret_status, reterr);
}

enum stepd_status ask_groups(struct stepd_client *client, const char *job, json_t **ret_groups,
                             struct stepd_error *reterr)
{
    const struct stepd_message message = {
        .kind = STEPD_MESSAGE_GET_GROUPS,
        .body.get_groups = {.job = job},
    };
    return ask(client, &message, on_groups, "tensors", ret_groups, reterr);
}

enum stepd_status ask_changes(struct stepd_client *client, const char *job, json_t **ret_changes,
                              struct stepd_error *reterr)
{
    const struct stepd_message message = {
        .kind = STEPD_MESSAGE_GET_CHANGES,
        .body.get_changes = {.job = job},
    };
    return ask(client, &message, on_changes, "changes", ret_changes, reterr);
}

enum stepd_status ask_change(struct stepd_client *client,
                             const struct stepd_change_options *options, json_t **ret_changes,
                             struct stepd_error *reterr)
{
    struct stepd_message message = {.kind = STEPD_MESSAGE_CHANGE_JOB};
    struct stepd_arena arena;
    stepd_arena_init(&arena, STEPD_DEFINITION_MAX_BYTES);
    enum stepd_status status =
        stepd_definition_of_change(options, &arena, &message.body.change_job, reterr);
    if (status == STEPD_OK)
        status = ask(client, &message, on_changes, "changes", ret_changes, reterr);
    stepd_arena_deinit(&arena);
    return status;
}
