/* SPDX-License-Identifier: Apache-2.0
 *
 * Checking what the caller asks for. Sorting the arrays by tensor finds a tensor that was given
 * twice, and lets neighbouring slices leave in one message whatever order the caller prefers.
 */
#include "client/lib/core/operation.h"

#include <assert.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/core/options.h"
#include "proto/error.h"

static enum stepd_status check_numbers(const struct stepd_step_options *options,
                                       struct stepd_error *reterr)
{
    if (options->examples > STEPD_EXAMPLES_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "%" PRIu64 " examples behind one gradient; at most %u are allowed",
                          options->examples, STEPD_EXAMPLES_MAX);
    if ((unsigned)options->view >= STEPD_VIEWS)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "there is no view %u of the weights",
                          (unsigned)options->view);
    if (options->has_loss && !isfinite(options->loss))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "the loss is not finite");
    const double scale = options->loss_scale;
    if (scale != 0 && !(scale >= FLT_MIN && scale <= FLT_MAX))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "the loss scale %g is not above 0 and in the range of 32-bit floats "
                          "(0: none)",
                          scale);
    return STEPD_OK;
}

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
    const enum stepd_status status = check_numbers(&chosen, reterr);
    if (status != STEPD_OK)
        return status;
    *operation = (struct stepd_operation){
        .layout = layout,
        .kind = kind,
        .examples = chosen.examples,
        .min_version = chosen.min_version,
        .deadline_ms = chosen.deadline_ms,
        .whole = chosen.whole != 0,
        .view = chosen.view,
        .has_loss = chosen.has_loss,
        .loss = chosen.has_loss ? chosen.loss : 0,
        .loss_scale = chosen.loss_scale > 0 ? chosen.loss_scale : 1,
        .priority = chosen.priority,
        .awaited = chosen.awaited,
    };
    return STEPD_OK;
}

static int by_tensor(const void *left, const void *right)
{
    const struct stepd_array *const a = left;
    const struct stepd_array *const b = right;
    return (a->tensor > b->tensor) - (a->tensor < b->tensor);
}

/* Training loops give their tensors in the job's order, step for step: nothing is to be sorted
 * then, and of 100,000 small tensors that is a tenth of the client's work. */
static void sort(size_t count, struct stepd_array *arrays)
{
    for (size_t i = 1; i < count; i++) {
        if (arrays[i - 1].tensor <= arrays[i].tensor)
            continue;
        qsort(arrays, count, sizeof *arrays, by_tensor);
        return;
    }
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
    struct stepd_array *const sorted = malloc((count + 1) * sizeof *sorted);
    if (sorted == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for %zu arrays", count);
    if (count > 0)
        memcpy(sorted, arrays, count * sizeof *sorted);
    sort(count, sorted);
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

/* ---- Hessians -------------------------------------------------------------------------------- */

/* Does a slice that begins with this tensor take a Hessian? */
static bool takes_hessian(const struct stepd_layout_table *layout, size_t tensor)
{
    const struct stepd_tensor_place *const place = &layout->tensor[tensor];
    if (place->parts == 0)
        return false;
    const struct stepd_part *const part = layout->by_tensor[place->first_part];
    const struct stepd_slice_place *const slice = &layout->slice[part->slice];
    return slice->extra > 0 && part == &layout->part[slice->first_part];
}

bool stepd_operation_has(const struct stepd_operation *operation, size_t tensor)
{
    for (size_t i = 0; i < operation->arrays; i++)
        if (operation->array[i].tensor == tensor)
            return true;
    return false;
}

const float *stepd_operation_hessian(const struct stepd_operation *operation, size_t tensor)
{
    for (size_t i = 0; i < operation->hessians; i++)
        if (operation->hessian[i].tensor == tensor)
            return operation->hessian[i].values;
    return NULL;
}

/* A Hessian that was given, beside those that have been taken: is it one that a slice waits for? */
static enum stepd_status check_hessian(const struct stepd_operation *operation,
                                       const struct stepd_layout_table *layout,
                                       const struct stepd_hessian *hessian,
                                       struct stepd_error *reterr)
{
    if (hessian->tensor >= layout->tensors)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "a Hessian for tensor %zu; the job has %zu, counted from 0",
                          hessian->tensor, layout->tensors);
    const char *const name = layout->tensor[hessian->tensor].name;
    if (!takes_hessian(layout, hessian->tensor))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "tensor '%s' takes no Hessian: only the first of a group whose optimizer "
                          "is Newton's method does",
                          name);
    if (!stepd_operation_has(operation, hessian->tensor))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "a Hessian for tensor '%s', which is not pushed with it", name);
    if (hessian->values == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "tensor '%s': its Hessian is NULL", name);
    if (stepd_operation_hessian(operation, hessian->tensor) != NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "tensor '%s' has two Hessians", name);
    return STEPD_OK;
}

static enum stepd_status check_missing(const struct stepd_operation *operation,
                                       const struct stepd_layout_table *layout,
                                       struct stepd_error *reterr)
{
    for (size_t i = 0; i < operation->arrays; i++) {
        const size_t tensor = operation->array[i].tensor;
        if (takes_hessian(layout, tensor) && stepd_operation_hessian(operation, tensor) == NULL)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "tensor '%s': its group's optimizer needs a Hessian beside the "
                              "gradient",
                              layout->tensor[tensor].name);
    }
    return STEPD_OK;
}

enum stepd_status stepd_operation_fill_hessians(struct stepd_operation *operation,
                                                const struct stepd_layout_table *layout,
                                                const struct stepd_step_options *options,
                                                struct stepd_error *reterr)
{
    struct stepd_step_options chosen = STEPD_STEP_OPTIONS_INIT;
    if (!stepd_options_take(&chosen, sizeof chosen, options, options == NULL ? 0 : options->size))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "step options: start from STEPD_STEP_OPTIONS_INIT");
    if (chosen.hessians_count > 0 && chosen.hessians == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "hessians is NULL");
    if (chosen.hessians_count > 0 && !stepd_operation_pushes(operation))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "a pull takes no Hessians");
    if (chosen.hessians_count > layout->tensors)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%zu Hessians for the job's %zu tensors",
                          chosen.hessians_count, layout->tensors);
    if (chosen.hessians_count > 0)
        operation->hessian = calloc(chosen.hessians_count, sizeof *operation->hessian);
    if (chosen.hessians_count > 0 && operation->hessian == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for %zu Hessians",
                          chosen.hessians_count);
    for (size_t i = 0; i < chosen.hessians_count; i++) {
        const enum stepd_status status =
            check_hessian(operation, layout, &chosen.hessians[i], reterr);
        if (status != STEPD_OK)
            return status;
        operation->hessian[operation->hessians++] = chosen.hessians[i];
    }
    const bool sends = stepd_operation_pushes(operation) && operation->examples > 0;
    return sends ? check_missing(operation, layout, reterr) : STEPD_OK;
}

void stepd_operation_deinit(struct stepd_operation *operation)
{
    free(operation->hessian);
    operation->hessian = NULL;
    operation->hessians = 0;
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
