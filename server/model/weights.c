/* SPDX-License-Identifier: Apache-2.0
 *
 * Encodings are made at the first pull that wants them and kept for the others of the same
 * version; their memory stays for the next version.
 */
#include "server/model/weights.h"

#include <stdlib.h>

#include "proto/dtype.h"

void weights_init(struct weights *weights, void *slice, float *values, size_t elements)
{
    *weights = (struct weights){.slice = slice, .values = values, .elements = elements};
}

void weights_deinit(struct weights *weights)
{
    for (size_t i = 0; i < sizeof weights->encoded / sizeof weights->encoded[0]; i++)
        free(weights->encoded[i]);
    *weights = (struct weights){.slice = NULL};
}

void weights_published(struct weights *weights, uint64_t version)
{
    weights->version = version;
    for (size_t i = 0; i < sizeof weights->encoded / sizeof weights->encoded[0]; i++)
        weights->encoded_valid[i] = false;
}

struct weights *weights_ref(struct weights *weights)
{
    weights->refs++;
    return weights;
}

void weights_unref(struct weights *weights)
{
    weights->refs--;
}

const uint8_t *weights_encoded(struct weights *weights, enum stepd_dtype dtype,
                               const struct reduce_kernels *kernels)
{
    const bool as_it_is = dtype == STEPD_F32 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
    if (as_it_is)
        return (const uint8_t *)weights->values;
    if (weights->encoded_valid[dtype])
        return weights->encoded[dtype];
    if (weights->encoded[dtype] == NULL)
        weights->encoded[dtype] = malloc(weights->elements * stepd_dtype_bytes(dtype));
    if (weights->encoded[dtype] == NULL)
        return NULL;
    kernels->narrow(dtype, weights->elements, weights->values, weights->encoded[dtype]);
    weights->encoded_valid[dtype] = true;
    return weights->encoded[dtype];
}
