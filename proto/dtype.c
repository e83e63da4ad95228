/* SPDX-License-Identifier: Apache-2.0
 *
 * Conversions between wire elements and floats. Everything is done on bit patterns, so the result
 * is the same on every machine and NaNs keep what fits of their payload; the one float operation,
 * the addition in f16_from_bits, is exact arithmetic of IEEE 754 in its default rounding.
 *
 *          sign  exponent  fraction  bias
 *   f32     1       8         23     127
 *   f16     1       5         10      15
 *   bf16    1       8          7     127     (the upper half of an f32)
 *
 * The halves are converted in blocks through a small buffer of their own. That is what lets the
 * compiler vectorise the loops: the wire has any alignment, and in stepd_dtype_widen wire elements
 * and floats share one memory.
 */
#include "proto/dtype.h"

#include <assert.h>
#include <string.h>

#define BLOCK_ELEMENTS 256u

#define F32_INFINITY  0x7F800000u
#define F32_F16_LEAST 0x38800000u /* 2^-14: below it an f16 is subnormal */
#define F32_F16_ABOVE 0x47800000u /* 2^16: from here on everything is infinite in f16 */
#define F16_INFINITY  0x7C00u
#define F16_QUIET     0x0200u
#define BF16_QUIET    0x0040u

static_assert(sizeof(float) == sizeof(uint32_t), "a float has 32 bits");

static uint32_t bits_from_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* All cases are computed and one is chosen, which keeps the way open for vectors. */
static uint32_t bits_from_f16(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t magnitude = half & 0x7FFFu;
    const uint32_t special = F32_INFINITY | magnitude << 13;
    const uint32_t normal = (magnitude << 13) + (112u << 23);
    const uint32_t subnormal = bits_from_float((float)(int32_t)magnitude * 0x1p-24F); /* exact */
    const uint32_t finite = magnitude >= 0x400u ? normal : subnormal;
    return sign | (magnitude >= F16_INFINITY ? special : finite);
}

/* Likewise. */
static uint16_t f16_from_bits(uint32_t bits)
{
    const uint32_t sign = bits >> 16 & 0x8000u;
    const uint32_t magnitude = bits & 0x7FFFFFFFu;
    /* The last place of 0.5 is 2^-24, which is one unit of a subnormal f16: the addition rounds
     * to it, ties to even. */
    const uint32_t subnormal =
        bits_from_float(float_from_bits(magnitude) + 0.5F) - bits_from_float(0.5F);
    /* Half a unit, less one unless the last place is odd; a carry raises the exponent. */
    const uint32_t normal = (magnitude - (112u << 23) + 0xFFFu + (magnitude >> 13 & 1u)) >> 13;
    const uint32_t payload = magnitude >> 13 & 0x3FFu;
    const uint32_t nan = F16_INFINITY | (payload != 0 ? payload : F16_QUIET);
    const uint32_t finite = magnitude < F32_F16_LEAST ? subnormal : normal;
    const uint32_t number = magnitude < F32_F16_ABOVE ? finite : F16_INFINITY;
    return (uint16_t)(sign | (magnitude > F32_INFINITY ? nan : number));
}

static uint16_t bf16_from_bits(uint32_t bits)
{
    const uint32_t upper = bits >> 16;
    const uint32_t number = (bits + 0x7FFFu + (upper & 1u)) >> 16;
    const uint32_t nan = (upper & 0x7Fu) != 0 ? upper : upper | BF16_QUIET;
    return (uint16_t)((bits & 0x7FFFFFFFu) > F32_INFINITY ? nan : number);
}

/* Between the wire's order of bytes and the machine's; its own inverse. */
static void swap_bytes_on_big_endian(size_t n, uint16_t *halves)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    (void)n;
    (void)halves;
#else
    for (size_t i = 0; i < n; i++)
        halves[i] = __builtin_bswap16(halves[i]);
#endif
}

static void widen_f32(size_t n, float *elements)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    (void)n;
    (void)elements;
#else
    for (size_t i = 0; i < n; i++)
        elements[i] = float_from_bits(__builtin_bswap32(bits_from_float(elements[i])));
#endif
}

/* A block's wire elements are all read before its first float is written: see the header. */
static void widen_halves(enum stepd_dtype dtype, size_t n, float *elements)
{
    const uint8_t *wire = stepd_dtype_wire_start(dtype, n, elements);
    uint16_t block[BLOCK_ELEMENTS];
    for (size_t done = 0; done < n; done += BLOCK_ELEMENTS) {
        const size_t count = n - done < BLOCK_ELEMENTS ? n - done : BLOCK_ELEMENTS;
        memcpy(block, wire + 2 * done, 2 * count);
        swap_bytes_on_big_endian(count, block);
        if (dtype == STEPD_F16) {
            for (size_t i = 0; i < count; i++)
                elements[done + i] = float_from_bits(bits_from_f16(block[i]));
        } else {
            for (size_t i = 0; i < count; i++)
                elements[done + i] = float_from_bits((uint32_t)block[i] << 16);
        }
    }
}

static void narrow_halves(enum stepd_dtype dtype, size_t n, const float *elements, uint8_t *wire)
{
    uint16_t block[BLOCK_ELEMENTS];
    for (size_t done = 0; done < n; done += BLOCK_ELEMENTS) {
        const size_t count = n - done < BLOCK_ELEMENTS ? n - done : BLOCK_ELEMENTS;
        if (dtype == STEPD_F16) {
            for (size_t i = 0; i < count; i++)
                block[i] = f16_from_bits(bits_from_float(elements[done + i]));
        } else {
            for (size_t i = 0; i < count; i++)
                block[i] = bf16_from_bits(bits_from_float(elements[done + i]));
        }
        swap_bytes_on_big_endian(count, block);
        memcpy(wire + 2 * done, block, 2 * count);
    }
}

static void narrow_f32(size_t n, const float *elements, uint8_t *wire)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (n > 0)
        memcpy(wire, elements, n * sizeof *elements);
#else
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = __builtin_bswap32(bits_from_float(elements[i]));
        memcpy(wire + i * sizeof bits, &bits, sizeof bits);
    }
#endif
}

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
    if (dtype == STEPD_F32)
        widen_f32(n, elements);
    else
        widen_halves(dtype, n, elements);
}

void stepd_dtype_narrow(enum stepd_dtype dtype, size_t n, const float *elements, uint8_t *wire)
{
    if (dtype == STEPD_F32)
        narrow_f32(n, elements, wire);
    else
        narrow_halves(dtype, n, elements, wire);
}
