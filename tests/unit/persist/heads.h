/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of safetensors heads share. Needs CMocka's includes before it.
 */
#ifndef TESTS_UNIT_PERSIST_HEADS_H
#define TESTS_UNIT_PERSIST_HEADS_H

#include <string.h>

#include "server/persist/safetensors.h"

/* A tensor of floats, whose bytes begin here. */
static inline struct safetensors_tensor heads_floats(const char *name, uint64_t floats,
                                                     uint64_t begin)
{
    return (struct safetensors_tensor){.name = name,
                                       .dims = 1,
                                       .shape = {floats},
                                       .begin = begin,
                                       .end = begin + floats * sizeof(float)};
}

/* Decodes a JSON text with so many bytes behind it. */
static inline enum stepd_status heads_decode(const char *json, uint64_t bytes,
                                             struct safetensors *ret_file,
                                             struct stepd_error *reterr)
{
    const size_t n = strlen(json);
    *ret_file = (struct safetensors){.tensors = 0};
    return safetensors_decode((const uint8_t *)json, n, SAFETENSORS_LENGTH_BYTES + n + bytes,
                              ret_file, reterr);
}

#endif
