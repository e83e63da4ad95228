/* SPDX-License-Identifier: Apache-2.0
 *
 * Elements and places of tensors in a safetensors file. The head as text is written in
 * safetensors_encode.c and read in safetensors_decode.c.
 */
#include "server/persist/safetensors.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "proto/bytes.h"
#include "proto/dtype.h"
#include "proto/error.h"
#include "server/base/text.h"
#include "server/persist/safetensors_internal.h"

#define X(dtype, width) [SAFETENSORS_##dtype] = {.name = #dtype, .bits = (width)},

static const struct {
    const char *name;
    unsigned bits;
} dtypes[SAFETENSORS_DTYPES] = {SAFETENSORS_DTYPE_MAP(X)};

#undef X

const char *safetensors_dtype_name(enum safetensors_dtype dtype)
{
    return dtypes[dtype].name;
}

struct safetensors_quoted safetensors_quote(const char *text, size_t n)
{
    struct safetensors_quoted quoted;
    (void)text_quote(text, n, quoted.text, sizeof quoted.text);
    return quoted;
}

/* ---- Places ---------------------------------------------------------------------------------- */

int safetensors_compare_places(const struct safetensors_tensor *a,
                               const struct safetensors_tensor *b)
{
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    return (a->end > b->end) - (a->end < b->end);
}

/* False: beyond any number that JSON has. */
static bool bits_of(const struct safetensors_tensor *tensor, uint64_t *ret_bits)
{
    uint64_t product = 1;
    for (size_t i = 0; i < tensor->dims; i++)
        if (tensor->shape[i] > INT64_MAX || !stepd_bytes_mul(product, tensor->shape[i], &product))
            return false;
    return stepd_bytes_mul(product, dtypes[tensor->dtype].bits, ret_bits);
}

enum stepd_status safetensors_check_place(const struct safetensors_tensor *tensor, uint64_t *at,
                                          struct stepd_error *reterr)
{
    const struct safetensors_quoted name = safetensors_quote(tensor->name, strlen(tensor->name));
    const char *const dtype = dtypes[tensor->dtype].name;
    uint64_t bits = 0;
    if (!bits_of(tensor, &bits))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "tensor %s of %s: the product of its shape is beyond any number",
                          name.text, dtype);
    if (bits % 8 != 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "tensor %s of %s: %" PRIu64 " bits are no whole number of bytes",
                          name.text, dtype, bits);
    if (tensor->end < tensor->begin || tensor->end - tensor->begin != bits / 8)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "tensor %s of %s: its shape makes %" PRIu64
                          " bytes, and its offsets are %" PRIu64 " and %" PRIu64,
                          name.text, dtype, bits / 8, tensor->begin, tensor->end);
    if (tensor->begin != *at)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "tensor %s begins at byte %" PRIu64 ", and what is before it ends at "
                          "%" PRIu64 ": tensors lie one behind the other, without %s",
                          name.text, tensor->begin, *at,
                          tensor->begin > *at ? "a hole" : "an overlap");
    *at = tensor->end;
    return STEPD_OK;
}

/* ---- Elements -------------------------------------------------------------------------------- */

uint64_t safetensors_elements(const struct safetensors_tensor *tensor)
{
    uint64_t product = 1;
    for (size_t i = 0; i < tensor->dims; i++)
        product *= tensor->shape[i];
    return product;
}

bool safetensors_is_real(enum safetensors_dtype dtype)
{
    return dtype == SAFETENSORS_F32 || dtype == SAFETENSORS_F16 || dtype == SAFETENSORS_BF16 ||
           dtype == SAFETENSORS_F64;
}

static void widen(enum stepd_dtype dtype, size_t n, const uint8_t *elements, float *ret_floats)
{
    memcpy(stepd_dtype_wire_start(dtype, n, ret_floats), elements, n * stepd_dtype_bytes(dtype));
    stepd_dtype_widen(dtype, n, ret_floats);
}

double safetensors_double(const uint8_t *bytes)
{
    uint64_t bits = 0;
    double number = 0.0;
    for (size_t i = 0; i < sizeof bits; i++)
        bits |= (uint64_t)bytes[i] << (8 * i);
    memcpy(&number, &bits, sizeof number);
    return number;
}

void safetensors_widen(enum safetensors_dtype dtype, size_t n, const uint8_t *elements,
                       float *ret_floats)
{
    assert(safetensors_is_real(dtype));
    if (dtype == SAFETENSORS_F32)
        widen(STEPD_F32, n, elements, ret_floats);
    else if (dtype == SAFETENSORS_F16)
        widen(STEPD_F16, n, elements, ret_floats);
    else if (dtype == SAFETENSORS_BF16)
        widen(STEPD_BF16, n, elements, ret_floats);
    else
        for (size_t i = 0; i < n; i++)
            ret_floats[i] = (float)safetensors_double(elements + i * sizeof(double));
}
