/* SPDX-License-Identifier: Apache-2.0
 *
 * Checking what the caller asks for. Sorting the arrays by tensor finds a tensor that was given
 * twice, and lets neighbouring slices leave in one message whatever order the caller prefers.
 */
#include "client/lib/core/operation.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/core/options.h"
#include "proto/error.h"

enum stepd_status stepd_operation_init(struct stepd_operation *operation,
                                       enum stepd_operation_kind kind,
                                       const struct stepd_layout_table *layout,
                                       const struct stepd_step_options *options,
                                       struct stepd_error *reterr)
{
    struct stepd_step_options chosen = STEPD_STEP_OPTIONS_INIT;
    if (!stepd_options_take(&chosen, sizeof chosen, options, options == NULL ? 0 : options->size))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "step options: start from STEPD_STEP_OPTIONS_INIT");
    if (layout == NULL)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "the job's tensors are not known yet: call stepd_define or stepd_attach");
    if (chosen.examples > STEPD_EXAMPLES_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "%" PRIu64 " examples behind one gradient; at most %u are allowed",
                          chosen.examples, STEPD_EXAMPLES_MAX);
    *operation = (struct stepd_operation){
        .kind = kind,
        .examples = chosen.examples,
        .min_version = chosen.min_version,
        .deadline_ms = chosen.deadline_ms,
    };
    return STEPD_OK;
}

static int by_tensor(const void *left, const void *right)
{
    const struct stepd_array *const a = left;
    const struct stepd_array *const b = right;
    return (a->tensor > b->tensor) - (a->tensor < b->tensor);
}

static enum stepd_status check_array(const struct stepd_operation *operation,
                                     const struct stepd_layout_table *layout,
                                     const struct stepd_array *array, struct stepd_error *reterr)
{
    if (array->tensor >= layout->tensors)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "there is no tensor %zu; the job has %zu, counted from 0", array->tensor,
                          layout->tensors);
    const char *const name = layout->tensor[array->tensor].name;
    if (stepd_operation_pushes(operation) && operation->examples > 0 && array->grad == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "tensor '%s': grad is NULL", name);
    if (stepd_operation_pulls(operation) && array->weights == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "tensor '%s': weights is NULL", name);
    return STEPD_OK;
}

enum stepd_status stepd_operation_fill(struct stepd_operation *operation,
                                       const struct stepd_layout_table *layout,
                                       const struct stepd_array *arrays, size_t count,
                                       struct stepd_error *reterr)
{
    if (count > 0 && arrays == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "arrays is NULL");
    if (count > layout->tensors)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "%zu arrays for the job's %zu tensors: each may occur once", count,
                          layout->tensors);
    for (size_t i = 0; i < count; i++) {
        const enum stepd_status status = check_array(operation, layout, &arrays[i], reterr);
        if (status != STEPD_OK)
            return status;
    }
    struct stepd_array *const sorted = calloc(count + 1, sizeof *sorted);
    if (sorted == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for %zu arrays", count);
    if (count > 0)
        memcpy(sorted, arrays, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, by_tensor);
    for (size_t i = 1; i < count; i++) {
        if (sorted[i - 1].tensor != sorted[i].tensor)
            continue;
        const char *const name = layout->tensor[sorted[i].tensor].name;
        free(sorted);
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "tensor '%s' is given twice", name);
    }
    operation->array = sorted;
    operation->arrays = count;
    return STEPD_OK;
}

void stepd_operation_deinit(struct stepd_operation *operation)
{
    free(operation->array);
    operation->array = NULL;
    operation->arrays = 0;
}

void stepd_operation_release(struct stepd_operation *operation, uint64_t n)
{
    assert(operation->unanswered >= n);
    operation->unanswered -= n;
    if (operation->unanswered == 0)
        operation->on_done(operation);
}
