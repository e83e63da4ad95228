/* SPDX-License-Identifier: Apache-2.0
 *
 * Element types on the wire, and their conversion to and from f32. Wire elements are
 * little-endian. Narrowing rounds to nearest, ties to even; NaN stays NaN, values beyond the range
 * become infinite.
 */
#ifndef PROTO_DTYPE_H
#define PROTO_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/types.h>

/* Is this number one of enum stepd_dtype? */
bool stepd_dtype_known(uint32_t number);

/* "f32", "f16", "bf16". Static. */
const char *stepd_dtype_name(enum stepd_dtype dtype);

/* Bytes of one element: 4 or 2. */
size_t stepd_dtype_bytes(enum stepd_dtype dtype);

/*
 * Widens n wire elements to floats in the same buffer. The wire elements stand at the END of the
 * n * 4 bytes at `elements`, so that widening forward never overtakes what it still has to read.
 * For f32 they fill it, and only a big-endian machine has anything to do.
 */
void stepd_dtype_widen(enum stepd_dtype dtype, size_t n, float *elements);

/* Where in a buffer of n floats the n wire elements must be put for stepd_dtype_widen. */
uint8_t *stepd_dtype_wire_start(enum stepd_dtype dtype, size_t n, float *elements);

/* Writes n floats as wire elements to `wire` (n * stepd_dtype_bytes, any alignment). */
void stepd_dtype_narrow(enum stepd_dtype dtype, size_t n, const float *elements, uint8_t *wire);

#endif
