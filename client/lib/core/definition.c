/* SPDX-License-Identifier: Apache-2.0
 *
 * What is checked here is only what would crash or send nonsense: missing strings and arrays.
 * Whether a name, a shape or a hyperparameter makes sense is for the server to say, which says it
 * to workers in every language in the same words.
 */
#include "client/lib/core/definition.h"

#include <assert.h>
#include <string.h>

#include "proto/error.h"

/* Of a page's header; what is left of 64 KiB is for the fields around the list. */
#define PAGE_BYTES (STEPD_HEADER_MAX_BYTES - 1024u)

/* Upper bounds of encoded lengths: a number, and a tensor without its name and shape. */
#define VARINT_MAX_BYTES 10u
#define TENSOR_MAX_BYTES 64u

static_assert((int)STEPD_TENSOR_CONSTANT == (int)STEPD_INIT_CONSTANT, "the wire's numbers");
static_assert((int)STEPD_TENSOR_UNIFORM == (int)STEPD_INIT_UNIFORM, "the wire's numbers");
static_assert((int)STEPD_TENSOR_NORMAL == (int)STEPD_INIT_NORMAL, "the wire's numbers");
static_assert((int)STEPD_TENSOR_VALUES == (int)STEPD_INIT_VALUES, "the wire's numbers");

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the definition");
}

/* A word, a list, or one number. */
static enum stepd_status take_setting(const struct stepd_param *param, size_t index,
                                      struct stepd_setting *ret_setting, struct stepd_error *reterr)
{
    if (param->name == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "parameter %zu has no name", index);
    if (param->word != NULL && param->list != NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "parameter '%s' has a word and a list: give one of them", param->name);
    if (param->list != NULL && param->count == 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "parameter '%s': its list is empty",
                          param->name);
    *ret_setting = (struct stepd_setting){.name = param->name, .word = ""};
    if (param->word != NULL) {
        ret_setting->word = param->word;
    } else {
        ret_setting->values = param->list == NULL ? 1 : param->count;
        ret_setting->value = param->list == NULL ? &param->value : param->list;
        ret_setting->list = param->list != NULL;
    }
    return STEPD_OK;
}

static enum stepd_status take_settings(const struct stepd_param *params, size_t count,
                                       struct stepd_arena *arena,
                                       struct stepd_settings *ret_settings,
                                       struct stepd_error *reterr)
{
    if (count > 0 && params == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "its parameters are NULL");
    struct stepd_setting *const settings = stepd_arena_calloc(arena, count, sizeof *settings);
    if (settings == NULL)
        return no_memory(reterr);
    for (size_t i = 0; i < count; i++) {
        const enum stepd_status status = take_setting(&params[i], i, &settings[i], reterr);
        if (status != STEPD_OK)
            return status;
    }
    *ret_settings = (struct stepd_settings){.count = count, .at = settings};
    return STEPD_OK;
}

/* The schedules that a group's schedule is made of. */
static enum stepd_status take_items(const struct stepd_param_group *group,
                                    struct stepd_arena *arena, struct stepd_group *ret_group,
                                    struct stepd_error *reterr)
{
    const size_t count = group->schedule_items_count;
    if (count > 0 && group->schedule_items == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "its schedule_items are NULL");
    struct stepd_schedule_part *const parts = stepd_arena_calloc(arena, count, sizeof *parts);
    if (parts == NULL)
        return no_memory(reterr);
    for (size_t i = 0; i < count; i++) {
        const struct stepd_schedule_item *const item = &group->schedule_items[i];
        if (item->kind == NULL)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "schedule item %zu has no kind", i);
        parts[i].kind = item->kind;
        const enum stepd_status status =
            take_settings(item->params, item->params_count, arena, &parts[i].settings, reterr);
        if (status != STEPD_OK)
            return stepd_fail_in(reterr, status, "schedule item %zu", i);
    }
    ret_group->schedule_parts = count;
    ret_group->schedule_part = parts;
    return STEPD_OK;
}

static enum stepd_status take_phases(const struct stepd_param_group *group,
                                     struct stepd_arena *arena, struct stepd_group *ret_group,
                                     struct stepd_error *reterr)
{
    const size_t count = group->phases_count;
    if (count > 0 && group->phases == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "its phases are NULL");
    struct stepd_phase *const phases = stepd_arena_calloc(arena, count, sizeof *phases);
    if (phases == NULL)
        return no_memory(reterr);
    for (size_t i = 0; i < count; i++) {
        const struct stepd_param_phase *const phase = &group->phases[i];
        if (phase->optimizer == NULL)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "phase %zu has no optimizer", i);
        phases[i].from = phase->from;
        phases[i].optimizer = phase->optimizer;
        const enum stepd_status status =
            take_settings(phase->params, phase->params_count, arena, &phases[i].settings, reterr);
        if (status != STEPD_OK)
            return stepd_fail_in(reterr, status, "phase %zu", i);
    }
    ret_group->phases = count;
    ret_group->phase = phases;
    return STEPD_OK;
}

static const char *or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

/* A group, or what all groups start from; whether it lacks something is the caller's to check. */
static enum stepd_status take_group(const struct stepd_param_group *group,
                                    struct stepd_arena *arena, struct stepd_group *ret_group,
                                    struct stepd_error *reterr)
{
    if (group->ndim_count > 0 && group->ndim == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "its ndim is NULL");
    *ret_group = (struct stepd_group){
        .name = or_empty(group->name == NULL ? group->match : group->name),
        .match = or_empty(group->match),
        .optimizer = or_empty(group->optimizer),
        .schedule = or_empty(group->schedule),
        .ndim = {.count = group->ndim_count, .at = group->ndim},
        .frozen = group->frozen,
    };
    enum stepd_status status =
        take_settings(group->params, group->params_count, arena, &ret_group->settings, reterr);
    if (status == STEPD_OK)
        status = take_settings(group->schedule_params, group->schedule_params_count, arena,
                               &ret_group->schedule_settings, reterr);
    if (status == STEPD_OK)
        status = take_items(group, arena, ret_group, reterr);
    return status == STEPD_OK ? take_phases(group, arena, ret_group, reterr) : status;
}

/* What a group must say itself. */
static enum stepd_status check_group(const struct stepd_param_group *group,
                                     const struct stepd_param_group *defaults,
                                     struct stepd_error *reterr)
{
    const bool given = defaults != NULL && defaults->optimizer != NULL;
    if (group->match == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "match is NULL");
    if (group->optimizer == NULL && !given && !group->frozen)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "optimizer is NULL, and the job's defaults have none");
    return STEPD_OK;
}

static enum stepd_status take_defaults(const struct stepd_param_group *defaults,
                                       struct stepd_arena *arena, struct stepd_group *ret_defaults,
                                       struct stepd_error *reterr)
{
    static const struct stepd_param_group nothing = {.name = NULL};
    if (defaults != NULL &&
        (defaults->name != NULL || defaults->match != NULL || defaults->ndim_count > 0 ||
         defaults->phases_count > 0 || defaults->frozen))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "name, match, ndim, frozen and phases belong to a group, not to all");
    return take_group(defaults == NULL ? &nothing : defaults, arena, ret_defaults, reterr);
}

enum stepd_status stepd_definition_of_job(const struct stepd_job_options *job,
                                          struct stepd_arena *arena,
                                          struct stepd_define_job *ret_define,
                                          struct stepd_error *reterr)
{
    if (job->groups_count > 0 && job->groups == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "the job's groups are NULL");
    if (job->groups_count > STEPD_GROUPS_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%zu groups; a job has at most %u",
                          job->groups_count, STEPD_GROUPS_MAX);
    struct stepd_group *const groups = stepd_arena_calloc(arena, job->groups_count, sizeof *groups);
    if (groups == NULL)
        return no_memory(reterr);
    for (size_t i = 0; i < job->groups_count; i++) {
        enum stepd_status status = check_group(&job->groups[i], job->defaults, reterr);
        if (status == STEPD_OK)
            status = take_group(&job->groups[i], arena, &groups[i], reterr);
        if (status != STEPD_OK)
            return stepd_fail_in(reterr, status, "group %zu", i);
    }
    struct stepd_group defaults;
    struct stepd_settings settings;
    enum stepd_status status = take_defaults(job->defaults, arena, &defaults, reterr);
    if (status != STEPD_OK)
        return stepd_fail_in(reterr, status, "defaults");
    status = take_settings(job->params, job->params_count, arena, &settings, reterr);
    if (status != STEPD_OK)
        return status;
    *ret_define = (struct stepd_define_job){
        .mode = job->mode,
        .workers = job->workers,
        .groups = job->groups_count,
        .group = groups,
        .strict = job->strict,
        .defaults = defaults,
        .settings = settings,
    };
    return STEPD_OK;
}

enum stepd_status stepd_definition_of_change(const struct stepd_change_options *options,
                                             struct stepd_arena *arena,
                                             struct stepd_change_job *ret_change,
                                             struct stepd_error *reterr)
{
    *ret_change = (struct stepd_change_job){
        .job = or_empty(options->job),
        .at = options->at,
        .drop_phases = options->drop_phases,
        .dry_run = options->dry_run,
        .deadline_ms = options->deadline_ms,
    };
    return take_group(&options->group, arena, &ret_change->group, reterr);
}

static enum stepd_status check_tensor(const struct stepd_tensor *tensor, size_t index,
                                      bool has_values, struct stepd_error *reterr)
{
    if (tensor->name == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "tensor %zu has no name", index);
    if (tensor->dims > STEPD_DIMS_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "tensor '%s' has %zu dimensions; at most %u are allowed", tensor->name,
                          tensor->dims, STEPD_DIMS_MAX);
    if (tensor->dims > 0 && tensor->shape == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "tensor '%s': shape is NULL",
                          tensor->name);
    if (has_values && tensor->init == STEPD_TENSOR_VALUES && tensor->values == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "tensor '%s' begins with values, and rank 0 has given none",
                          tensor->name);
    return STEPD_OK;
}

enum stepd_status stepd_definition_check(const struct stepd_tensor *tensors, size_t count,
                                         bool has_values, struct stepd_error *reterr)
{
    if (count == 0 || tensors == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "the list of tensors is empty");
    if (count > STEPD_TENSORS_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%zu tensors; a job has at most %u",
                          count, STEPD_TENSORS_MAX);
    for (size_t i = 0; i < count; i++) {
        const enum stepd_status status = check_tensor(&tensors[i], i, has_values, reterr);
        if (status != STEPD_OK)
            return status;
    }
    return STEPD_OK;
}

static size_t encoded_bytes_at_most(const struct stepd_tensor *tensor)
{
    return TENSOR_MAX_BYTES + strlen(tensor->name) + tensor->dims * VARINT_MAX_BYTES;
}

/* How many tensors from `first` on surely fit into a page; at least one. */
static size_t count_page(const struct stepd_tensor *tensors, size_t count, size_t first)
{
    size_t bytes = encoded_bytes_at_most(&tensors[first]);
    size_t n = 1;
    while (first + n < count) {
        bytes += encoded_bytes_at_most(&tensors[first + n]);
        if (bytes > PAGE_BYTES)
            break;
        n++;
    }
    return n;
}

enum stepd_status stepd_definition_page(const struct stepd_tensor *tensors, size_t count,
                                        size_t first, struct stepd_arena *arena,
                                        struct stepd_define_tensors *ret_page,
                                        struct stepd_error *reterr)
{
    const size_t n = count_page(tensors, count, first);
    struct stepd_tensor_def *const defs = stepd_arena_calloc(arena, n, sizeof *defs);
    if (defs == NULL)
        return no_memory(reterr);
    for (size_t i = 0; i < n; i++) {
        const struct stepd_tensor *const tensor = &tensors[first + i];
        defs[i] = (struct stepd_tensor_def){
            .name = tensor->name,
            .dims = tensor->dims,
            .shape = tensor->shape,
            .init = {.kind = (enum stepd_init_kind)tensor->init,
                     .a = tensor->a,
                     .b = tensor->b,
                     .seed = tensor->seed},
            .group = "",
        };
    }
    *ret_page = (struct stepd_define_tensors){
        .first = (uint32_t)first,
        .tensors = n,
        .tensor = defs,
        .last = first + n == count,
    };
    return STEPD_OK;
}

enum stepd_status stepd_definition_match(const struct stepd_layout_table *layout,
                                         const struct stepd_tensor *tensors, size_t count,
                                         struct stepd_error *reterr)
{
    if (layout->tensors != count)
        return stepd_fail(reterr, STEPD_INTERNAL, "defined %zu tensors, the layout has %zu", count,
                          layout->tensors);
    for (size_t i = 0; i < count; i++) {
        const struct stepd_tensor_place *const place = &layout->tensor[i];
        if (strcmp(place->name, tensors[i].name) != 0)
            return stepd_fail(reterr, STEPD_INTERNAL, "tensor %zu is '%s', in the layout '%s'", i,
                              tensors[i].name, place->name);
        const size_t bytes = tensors[i].dims * sizeof *place->shape;
        if (place->dims != tensors[i].dims ||
            (bytes > 0 && memcmp(place->shape, tensors[i].shape, bytes) != 0))
            return stepd_fail(reterr, STEPD_INTERNAL, "tensor '%s' has another shape in the layout",
                              place->name);
    }
    return STEPD_OK;
}
