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
        if (params[i].name == NULL)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "parameter %zu has no name", i);
        settings[i] = (struct stepd_setting){
            .name = params[i].name,
            .values = 1,
            .value = &params[i].value,
        };
    }
    *ret_settings = (struct stepd_settings){.count = count, .at = settings};
    return STEPD_OK;
}

static enum stepd_status take_group(const struct stepd_param_group *group,
                                    struct stepd_arena *arena, struct stepd_group *ret_group,
                                    struct stepd_error *reterr)
{
    if (group->match == NULL || group->optimizer == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "match or optimizer is NULL");
    *ret_group = (struct stepd_group){
        .name = group->name == NULL ? group->match : group->name,
        .match = group->match,
        .optimizer = group->optimizer,
        .schedule = group->schedule == NULL ? "" : group->schedule,
    };
    const enum stepd_status status =
        take_settings(group->params, group->params_count, arena, &ret_group->settings, reterr);
    if (status != STEPD_OK)
        return status;
    return take_settings(group->schedule_params, group->schedule_params_count, arena,
                         &ret_group->schedule_settings, reterr);
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
        const enum stepd_status status = take_group(&job->groups[i], arena, &groups[i], reterr);
        if (status != STEPD_OK)
            return stepd_fail_in(reterr, status, "group %zu", i);
    }
    *ret_define = (struct stepd_define_job){
        .mode = job->mode,
        .workers = job->workers,
        .groups = job->groups_count,
        .group = groups,
        .strict = job->strict,
    };
    return STEPD_OK;
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
