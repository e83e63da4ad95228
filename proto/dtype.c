/* SPDX-License-Identifier: Apache-2.0
 *
 * The names and sizes of element types; the conversions are in dtype_loops.h.
 */
#include "proto/dtype.h"

#include "proto/dtype_loops.h"

bool stepd_dtype_known(uint32_t number)
{
    return number <= STEPD_BF16;
}

const char *stepd_dtype_name(enum stepd_dtype dtype)
{
    switch (dtype) {
    case STEPD_F32: return "f32";
    case STEPD_F16: return "f16";
    case STEPD_BF16: return "bf16";
    }
    return "unknown";
}

size_t stepd_dtype_bytes(enum stepd_dtype dtype)
{
    return dtype == STEPD_F32 ? 4 : 2;
}

uint8_t *stepd_dtype_wire_start(enum stepd_dtype dtype, size_t n, float *elements)
{
    return (uint8_t *)elements + n * (sizeof *elements - stepd_dtype_bytes(dtype));
}

void stepd_dtype_widen(enum stepd_dtype dtype, size_t n, float *elements)
{
    stepd_widen_loop(dtype, n, stepd_dtype_wire_start(dtype, n, elements), elements);
}

void stepd_dtype_narrow(enum stepd_dtype dtype, size_t n, const float *elements, uint8_t *wire)
{
    stepd_narrow_loop(dtype, n, elements, wire);
}
