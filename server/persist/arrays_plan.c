/* SPDX-License-Identifier: Apache-2.0
 *
 * The state's arrays are sorted by what they are of and by their first element; so what an array of
 * a file has floats for is one range of them. Both kinds of arrays are ranges of elements, and two
 * of one kind never overlap: the state's by their making, those of files by arrays_plan_check. So
 * all is there once where, for each array of the state, what it shares with arrays of files adds up
 * to its floats.
 */
#include "server/persist/arrays_plan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/persist/arrays_internal.h"
#include "server/persist/safetensors_internal.h"

struct arrays_target {
    const struct array *array;
    enum arrays_file file; /* where one daemon would have written it */
    uint64_t covered;      /* floats of it that files have */
};

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to read a checkpoint");
}

/* ---- What an array is of --------------------------------------------------------------------- */

/* That, and a first element. */
struct base {
    const char *text;
    size_t bytes;
    bool weights;
    uint64_t from;
};

static struct base base_of_target(const struct arrays_target *target)
{
    const struct array *const array = target->array;
    return (struct base){.text = array->name,
                         .bytes = array->base_bytes,
                         .weights = array->weights,
                         .from = array->from};
}

static struct base base_of_found(const struct arrays_found *found)
{
    return (struct base){.text = found->name,
                         .bytes = found->base_bytes,
                         .weights = found->weights,
                         .from = found->from};
}

static int compare(const struct base *a, const struct base *b)
{
    if (a->weights != b->weights)
        return a->weights ? -1 : 1;
    const int order = memcmp(a->text, b->text, a->bytes < b->bytes ? a->bytes : b->bytes);
    if (order != 0)
        return order;
    return (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

static int compare_with_from(const struct base *a, const struct base *b)
{
    const int order = compare(a, b);
    return order != 0 ? order : (a->from > b->from) - (a->from < b->from);
}

static int compare_targets(const void *a, const void *b)
{
    const struct base left = base_of_target(a);
    const struct base right = base_of_target(b);
    return compare_with_from(&left, &right);
}

/* ---- The state ------------------------------------------------------------------------------- */

enum stepd_status arrays_plan_create(const struct arrays *arrays, uint32_t portions, bool all,
                                     struct arrays_plan **ret_plan, struct stepd_error *reterr)
{
    struct arrays_plan *const plan = calloc(1, sizeof *plan);
    size_t count = 0;
    for (size_t f = 0; f < ARRAYS_FILES; f++)
        count += arrays->file[f].count;
    struct arrays_target *const target = calloc(count + 1, sizeof *target);
    if (plan == NULL || target == NULL) {
        free(plan);
        free(target);
        return no_memory(reterr);
    }
    *plan = (struct arrays_plan){.portion = portions > 1, .all = all, .target = target};
    for (size_t f = 0; f < ARRAYS_FILES; f++) {
        for (size_t i = 0; i < arrays->file[f].count; i++)
            target[plan->targets++] = (struct arrays_target){.array = &arrays->file[f].array[i],
                                                             .file = (enum arrays_file)f};
    }
    qsort(target, plan->targets, sizeof *target, compare_targets);
    *ret_plan = plan;
    return STEPD_OK;
}

struct arrays_plan *arrays_plan_destroy(struct arrays_plan *plan)
{
    for (size_t f = 0; plan != NULL && f < plan->files; f++) {
        for (size_t i = 0; i < plan->file[f].count; i++)
            free(plan->file[f].found[i].name);
        free(plan->file[f].found);
    }
    if (plan != NULL)
        free(plan->target);
    free(plan);
    return NULL;
}

/* ---- Files ----------------------------------------------------------------------------------- */

/* The floats that a target shares with [from, from + floats); *ret_at: the first of them. */
static uint64_t shared(const struct arrays_target *target, const struct arrays_found *found,
                       uint64_t *ret_at)
{
    const struct array *const array = target->array;
    const uint64_t at = array->from > found->from ? array->from : found->from;
    const uint64_t skipped = at - found->from; /* of the array in the file */
    const uint64_t left = found->floats > skipped ? found->floats - skipped : 0;
    const uint64_t end = array->from + array->floats;
    const uint64_t most = end > at ? end - at : 0;
    *ret_at = at;
    return left < most ? left : most;
}

/* The first target of what the array is of that does not end before it. */
static size_t find_first(const struct arrays_plan *plan, const struct arrays_found *found)
{
    const struct base base = base_of_found(found);
    size_t low = 0;
    size_t high = plan->targets;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const struct base at = base_of_target(&plan->target[middle]);
        const int order = compare(&at, &base);
        const uint64_t end = at.from + plan->target[middle].array->floats;
        if (order < 0 || (order == 0 && end <= base.from))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Finds its targets. Returns how many of its floats they are. */
static uint64_t find_targets(const struct arrays_plan *plan, struct arrays_found *found)
{
    const struct base base = base_of_found(found);
    uint64_t floats = 0;
    found->first = find_first(plan, found);
    for (size_t i = found->first; i < plan->targets; i++) {
        struct arrays_target *const target = &plan->target[i];
        const struct base at = base_of_target(target);
        uint64_t from = 0;
        const uint64_t n = compare(&at, &base) == 0 ? shared(target, found, &from) : 0;
        if (n == 0)
            break;
        target->covered += n;
        floats += n;
        found->targets++;
    }
    return floats;
}

static enum stepd_status check_shape(const struct arrays_plan *plan,
                                     const struct safetensors_tensor *tensor,
                                     const struct arrays_found *found, bool marked,
                                     struct stepd_error *reterr)
{
    const struct array *const array = plan->target[found->first].array;
    const bool shaped = !marked && array->of != NULL;
    const size_t dims = shaped ? array->of->dims : 1;
    const uint64_t *const shape = shaped   ? array->of->shape
                                  : marked ? &found->floats
                                           : &array->floats;
    if (tensor->dtype != SAFETENSORS_F32)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "array '%s' is of %s, and a job's state is of F32", found->name,
                          safetensors_dtype_name(tensor->dtype));
    if (tensor->dims == dims && memcmp(tensor->shape, shape, dims * sizeof *shape) == 0)
        return STEPD_OK;
    return arrays_fail_shape(found->name, tensor, dims, shape, reterr);
}

static enum stepd_status add_found(struct arrays_plan *plan, enum arrays_file file,
                                   const struct safetensors_tensor *tensor,
                                   struct arrays_file_plan *to, struct stepd_error *reterr)
{
    const struct array_name name = arrays_name_parse(tensor->name, file, plan->portion);
    struct arrays_found found = {
        .name = (char *)(uintptr_t)tensor->name,
        .base_bytes = name.base_bytes,
        .weights = name.weights,
        .from = name.from,
        .floats = safetensors_elements(tensor),
        .begin = tensor->begin,
    };
    const uint64_t floats = find_targets(plan, &found);
    if (found.targets == 0 && !plan->all) {
        to->whole = false;
        return STEPD_OK;
    }
    if (found.targets > 0) {
        const enum stepd_status status = check_shape(plan, tensor, &found, name.marked, reterr);
        if (status != STEPD_OK)
            return status;
    }
    if (plan->all && (found.targets == 0 || floats < found.floats))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "the file has an array %s, for which the job's state has no place",
                          safetensors_quote(tensor->name, strlen(tensor->name)).text);
    found.name = strdup(tensor->name);
    if (found.name == NULL)
        return no_memory(reterr);
    to->found[to->count++] = found;
    return STEPD_OK;
}

enum stepd_status arrays_plan_add(struct arrays_plan *plan, enum arrays_file file,
                                  const struct safetensors *head, struct stepd_error *reterr)
{
    assert(plan->files < sizeof plan->file / sizeof plan->file[0]);
    struct arrays_file_plan *const to = &plan->file[plan->files++];
    *to = (struct arrays_file_plan){
        .begins_at = head->begins_at,
        .found = calloc(head->tensors + 1, sizeof *to->found),
        .whole = true,
    };
    enum stepd_status status = to->found == NULL ? no_memory(reterr) : STEPD_OK;
    for (size_t i = 0; i < head->tensors && status == STEPD_OK; i++)
        status = add_found(plan, file, &head->tensor[i], to, reterr);
    return status;
}

/* ---- All of them ----------------------------------------------------------------------------- */

static enum stepd_status fail_missing(const struct arrays_plan *plan,
                                      const struct arrays_target *target,
                                      struct stepd_error *reterr)
{
    if (plan->portion)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "the files have not all of array '%s', which the job's state needs",
                          target->array->name);
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "the file has no array '%s', which the job's state needs",
                      target->array->name);
}

static int compare_found(const void *a, const void *b)
{
    const struct base left = base_of_found(*(const struct arrays_found *const *)a);
    const struct base right = base_of_found(*(const struct arrays_found *const *)b);
    return compare_with_from(&left, &right);
}

static enum stepd_status check_once(const struct arrays_found *const *found, size_t count,
                                    struct stepd_error *reterr)
{
    for (size_t i = 1; i < count; i++) {
        const struct base before = base_of_found(found[i - 1]);
        const struct base at = base_of_found(found[i]);
        if (compare(&before, &at) == 0 && at.from - before.from < found[i - 1]->floats)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "arrays '%s' and '%s' have the same elements", found[i - 1]->name,
                              found[i]->name);
    }
    return STEPD_OK;
}

enum stepd_status arrays_plan_check(const struct arrays_plan *plan, struct stepd_error *reterr)
{
    size_t count = 0;
    for (size_t f = 0; f < plan->files; f++)
        count += plan->file[f].count;
    const struct arrays_found **const list = calloc(count + 1, sizeof *list);
    if (list == NULL)
        return no_memory(reterr);
    size_t listed = 0;
    for (size_t f = 0; f < plan->files; f++) {
        for (size_t i = 0; i < plan->file[f].count; i++)
            list[listed++] = &plan->file[f].found[i];
    }
    qsort((void *)list, count, sizeof *list, compare_found);
    enum stepd_status status = check_once(list, count, reterr);
    free((void *)list);
    for (size_t i = 0; i < plan->targets && status == STEPD_OK; i++) {
        if (plan->target[i].covered != plan->target[i].array->floats)
            status = fail_missing(plan, &plan->target[i], reterr);
    }
    return status;
}

void arrays_plan_put(const struct arrays_plan *plan, const struct arrays_found *found,
                     uint64_t first, uint64_t n, const uint8_t *bytes)
{
    const struct arrays_found window = {.from = found->from + first, .floats = n};
    for (size_t i = found->first; i < found->first + found->targets; i++) {
        const struct arrays_target *const target = &plan->target[i];
        uint64_t at = 0;
        const uint64_t floats = shared(target, &window, &at);
        if (floats > 0)
            array_decode(target->array, at - target->array->from, floats,
                         bytes + (size_t)(at - window.from) * sizeof(float));
    }
}
