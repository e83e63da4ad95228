/* SPDX-License-Identifier: Apache-2.0
 *
 * jansson's "o*" and "s" formats fail as a whole when a part is missing, so each object is built in
 * one json_pack and checked once. JSON has no NaN: a loss that is none becomes null.
 */
#include "client/ctl/ask.h"

#include <math.h>
#include <stdlib.h>

#include "client/ctl/ctl.h"
#include "client/lib/call.h"
#include "client/lib/core/definition.h"
#include "proto/error.h"

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
    char *text;
    const enum stepd_status status = stepd_get_status(client, job, CTL_ANSWER_MS, &text, reterr);
    if (status != STEPD_OK)
        return status;
    json_t *const answer = json_loads(text, 0, NULL);
    free(text);
    if (answer == NULL)
        return no_memory(reterr);
    *ret_status = answer;
    return STEPD_OK;
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
