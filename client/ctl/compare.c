/* SPDX-License-Identifier: Apache-2.0
 *
 * Two windows go through the tensors side by side, so that neither has to fit into memory.
 */
#include "client/ctl/compare.h"

#include <math.h>
#include <stdlib.h>

#include "proto/error.h"

#define WINDOW_ELEMENTS   ((size_t)1 << 16)
#define ELEMENT_MAX_BYTES 8u

/* One of the two: where its bytes come in, and the same as floats, and as doubles. */
struct side {
    const struct tensors *tensors;
    const struct safetensors_tensor *tensor;
    uint8_t bytes[WINDOW_ELEMENTS * ELEMENT_MAX_BYTES];
    float narrow[WINDOW_ELEMENTS];
    double element[WINDOW_ELEMENTS];
};

static void widen(struct side *side, size_t n)
{
    if (side->tensor->dtype == SAFETENSORS_F64) {
        for (size_t i = 0; i < n; i++)
            side->element[i] = safetensors_double(side->bytes + i * sizeof(double));
        return;
    }
    safetensors_widen(side->tensor->dtype, n, side->bytes, side->narrow);
    for (size_t i = 0; i < n; i++)
        side->element[i] = (double)side->narrow[i];
}

static enum stepd_status read_reals(struct side *side, uint64_t first, size_t n,
                                    struct stepd_error *reterr)
{
    const struct safetensors_tensor *tensor = side->tensor;
    const uint64_t element_bytes = (tensor->end - tensor->begin) / safetensors_elements(tensor);
    const enum stepd_status status = tensors_read(side->tensors, tensor, first * element_bytes,
                                                  n * (size_t)element_bytes, side->bytes, reterr);
    if (status == STEPD_OK)
        widen(side, n);
    return status;
}

static void add(struct compare_result *result, double a, double b)
{
    result->zeros += a == 0 && b == 0 && signbit(a) != signbit(b);
    if (a == b || (isnan(a) && isnan(b)))
        return;
    const double difference = isnan(a) || isnan(b) ? INFINITY : fabs(a - b);
    result->differing++;
    result->mean += difference; /* the sum, so far */
    if (difference > result->max)
        result->max = difference;
}

static enum stepd_status compare_reals(struct side *a, struct side *b,
                                       struct compare_result *result, struct stepd_error *reterr)
{
    for (uint64_t first = 0; first < result->elements; first += WINDOW_ELEMENTS) {
        const uint64_t left = result->elements - first;
        const size_t n = left < WINDOW_ELEMENTS ? (size_t)left : WINDOW_ELEMENTS;
        enum stepd_status status = read_reals(a, first, n, reterr);
        if (status == STEPD_OK)
            status = read_reals(b, first, n, reterr);
        if (status != STEPD_OK)
            return status;
        for (size_t i = 0; i < n; i++)
            add(result, a->element[i], b->element[i]);
    }
    if (result->elements > 0)
        result->mean /= (double)result->elements;
    return STEPD_OK;
}

static enum stepd_status compare_bytes(struct side *a, struct side *b,
                                       struct compare_result *result, struct stepd_error *reterr)
{
    if (a->tensor->dtype != b->tensor->dtype)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "it is of %s, and of %s",
                          safetensors_dtype_name(a->tensor->dtype),
                          safetensors_dtype_name(b->tensor->dtype));
    const uint64_t bytes = a->tensor->end - a->tensor->begin;
    uint64_t differing = 0;
    for (uint64_t first = 0; first < bytes; first += sizeof a->bytes) {
        const size_t n =
            bytes - first < sizeof a->bytes ? (size_t)(bytes - first) : sizeof a->bytes;
        enum stepd_status status = tensors_read(a->tensors, a->tensor, first, n, a->bytes, reterr);
        if (status == STEPD_OK)
            status = tensors_read(b->tensors, b->tensor, first, n, b->bytes, reterr);
        if (status != STEPD_OK)
            return status;
        for (size_t i = 0; i < n; i++)
            differing += a->bytes[i] != b->bytes[i];
    }
    result->differing = differing < result->elements ? differing : result->elements;
    result->max = result->mean = NAN;
    return STEPD_OK;
}

enum stepd_status compare_tensors(const struct tensors *a, const struct safetensors_tensor *in_a,
                                  const struct tensors *b, const struct safetensors_tensor *in_b,
                                  struct compare_result *ret_result, struct stepd_error *reterr)
{
    struct side *const sides = malloc(2 * sizeof *sides);
    if (sides == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to compare tensors");
    sides[0].tensors = a;
    sides[0].tensor = in_a;
    sides[1].tensors = b;
    sides[1].tensor = in_b;
    struct compare_result result = {.elements = safetensors_elements(in_a)};
    const bool real = safetensors_is_real(in_a->dtype) && safetensors_is_real(in_b->dtype);
    const enum stepd_status status = real ? compare_reals(&sides[0], &sides[1], &result, reterr)
                                          : compare_bytes(&sides[0], &sides[1], &result, reterr);
    free(sides);
    if (status == STEPD_OK)
        *ret_result = result;
    return status;
}
