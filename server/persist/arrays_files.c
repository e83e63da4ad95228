/* SPDX-License-Identifier: Apache-2.0
 *
 * Arrays and the files that have them: heads, bytes, and the memory that a file is read into.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "proto/dtype.h"
#include "proto/error.h"
#include "server/persist/arrays.h"
#include "server/persist/arrays_internal.h"
#include "server/persist/safetensors_internal.h"

/* ---- Heads ----------------------------------------------------------------------------------- */

enum stepd_status arrays_head(const struct arrays *arrays, enum arrays_file file,
                              const struct safetensors_text *text, uint8_t **ret_head,
                              size_t *ret_head_bytes, struct stepd_error *reterr)
{
    const struct arrays_list *const list = &arrays->file[file];
    struct safetensors_tensor *const tensor = calloc(list->count + 1, sizeof *tensor);
    if (tensor == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a list of %zu arrays",
                          list->count);
    for (size_t i = 0; i < list->count; i++) {
        const struct array *const array = &list->array[i];
        tensor[i] = (struct safetensors_tensor){
            .name = array->name,
            .dtype = SAFETENSORS_F32,
            .dims = array->dims,
            .begin = array->begin,
            .end = array->begin + array->floats * sizeof(float),
        };
        memcpy(tensor[i].shape, array->shape, array->dims * sizeof *array->shape);
    }
    const enum stepd_status status =
        safetensors_encode(tensor, list->count, text, ret_head, ret_head_bytes, reterr);
    free(tensor);
    return status;
}

static int compare_begins(const void *a, const void *b)
{
    const uint64_t left = ((const struct array *)a)->begin;
    const uint64_t right = ((const struct array *)b)->begin;
    return (left > right) - (left < right);
}

/* "[30, 50]", cut where it is too long for a sentence. */
struct shape_text {
    char text[STEPD_DIMS_MAX * 22 + 8];
};

static struct shape_text text_of_shape(size_t dims, const uint64_t *shape)
{
    struct shape_text text = {.text = "["};
    size_t used = 1;
    for (size_t i = 0; i < dims && i < STEPD_DIMS_MAX; i++)
        used += stepd_format(text.text + used, sizeof text.text - used, "%s%" PRIu64,
                             i > 0 ? ", " : "", shape[i]);
    (void)stepd_format(text.text + used, sizeof text.text - used, "%s]",
                       dims > STEPD_DIMS_MAX ? ", .." : "");
    return text;
}

enum stepd_status arrays_fail_shape(const char *name, const struct safetensors_tensor *tensor,
                                    size_t dims, const uint64_t *shape, struct stepd_error *reterr)
{
    return stepd_fail(
        reterr, STEPD_INVALID_ARGUMENT, "array '%s' is of shape %s, and in the job of %s", name,
        text_of_shape(tensor->dims, tensor->shape).text, text_of_shape(dims, shape).text);
}

static enum stepd_status match(struct array *array, const struct safetensors *head,
                               struct stepd_error *reterr)
{
    const struct safetensors_tensor *const tensor = safetensors_find(head, array->name);
    if (tensor == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "the file has no array '%s', which the job's state needs", array->name);
    if (tensor->dtype != SAFETENSORS_F32)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "array '%s' is of %s, and a job's state is of F32", array->name,
                          safetensors_dtype_name(tensor->dtype));
    if (tensor->dims != array->dims ||
        memcmp(tensor->shape, array->shape, array->dims * sizeof *array->shape) != 0)
        return arrays_fail_shape(array->name, tensor, array->dims, array->shape, reterr);
    array->begin = tensor->begin;
    return STEPD_OK;
}

enum stepd_status arrays_match(struct arrays *arrays, enum arrays_file file,
                               const struct safetensors *head, struct stepd_error *reterr)
{
    struct arrays_list *const list = &arrays->file[file];
    for (size_t i = 0; i < list->count; i++) {
        const enum stepd_status status = match(&list->array[i], head, reterr);
        if (status != STEPD_OK)
            return status;
    }
    qsort(list->array, list->count, sizeof *list->array, compare_begins);
    for (size_t i = 0; i < head->tensors; i++) {
        const char *const name = head->tensor[i].name;
        if (i >= list->count || strcmp(list->array[i].name, name) != 0)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "the file has an array %s, for which the job's state has no place",
                              safetensors_quote(name, strlen(name)).text);
    }
    return STEPD_OK;
}

/* ---- Bytes ----------------------------------------------------------------------------------- */

/* The piece that has a float of the array. */
static const struct array_piece *piece_at(const struct array *array, uint64_t index)
{
    size_t low = 0;
    size_t high = array->pieces;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (array->piece[middle].first <= index)
            low = middle;
        else
            high = middle;
    }
    return &array->piece[low];
}

/* What of [first, end) lies together from first on. */
static size_t run_at(const struct array_piece *piece, uint64_t first, uint64_t end)
{
    const uint64_t stop = piece->first + piece->floats;
    return (size_t)((end < stop ? end : stop) - first);
}

void array_encode(const struct array *array, uint64_t first, uint64_t n, uint8_t *bytes)
{
    assert(first <= array->floats && n <= array->floats - first);
    const uint64_t end = first + n;
    const struct array_piece *piece = piece_at(array, first);
    for (; first < end; piece++) {
        const size_t run = run_at(piece, first, end);
        stepd_dtype_narrow(STEPD_F32, run, piece->from + (first - piece->first), bytes);
        bytes += run * sizeof(float);
        first += run;
    }
}

void array_decode(const struct array *array, uint64_t first, uint64_t n, const uint8_t *bytes)
{
    assert(first <= array->floats && n <= array->floats - first);
    const uint64_t end = first + n;
    const struct array_piece *piece = piece_at(array, first);
    for (; first < end; piece++) {
        const size_t run = run_at(piece, first, end);
        safetensors_widen(SAFETENSORS_F32, run, bytes, piece->into + (first - piece->first));
        bytes += run * sizeof(float);
        first += run;
    }
}
