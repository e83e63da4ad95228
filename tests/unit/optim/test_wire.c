/* SPDX-License-Identifier: Apache-2.0
 *
 * The conversions of 16-bit elements in every instruction set that this machine has, held bit by
 * bit to the plain ones of proto/dtype.c: all of the 65,536 values one way, and the other way
 * floats of every exponent, between them and at every tie.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/dtype.h"
#include "server/optim/kernels.h"

#define HALVES 65536u
#define FLOATS (1u << 20) /* of each series below */

static const enum stepd_dtype dtypes[] = {STEPD_F16, STEPD_BF16};

static void *allocate(size_t bytes)
{
    void *const memory = calloc(1, bytes);
    assert_non_null(memory);
    return memory;
}

/* Every half in order, where stepd_dtype_widen wants them. */
static void put_all_halves(enum stepd_dtype dtype, float *elements)
{
    uint8_t *const wire = stepd_dtype_wire_start(dtype, HALVES, elements);
    for (uint32_t i = 0; i < HALVES; i++) {
        const uint8_t half[2] = {(uint8_t)i, (uint8_t)(i >> 8)};
        memcpy(wire + 2 * (size_t)i, half, sizeof half);
    }
}

static void widen__of_every_half__is_what_plain_code_makes(void **state)
{
    float *const plain = allocate(HALVES * sizeof(float));
    float *const made = allocate(HALVES * sizeof(float));
    (void)state;
    for (unsigned int isa = 0; isa < OPTIM_ISA_COUNT; isa++) {
        if (!kernels_available((enum optim_isa)isa))
            continue;
        for (size_t d = 0; d < 2; d++) {
            put_all_halves(dtypes[d], plain);
            put_all_halves(dtypes[d], made);
            stepd_dtype_widen(dtypes[d], HALVES, plain);
            kernels_reduce((enum optim_isa)isa)
                ->widen(dtypes[d], HALVES, stepd_dtype_wire_start(dtypes[d], HALVES, made), made);
            assert_memory_equal(made, plain, HALVES * sizeof(float));
        }
    }
    free(made);
    free(plain);
}

/* Floats whose bits are `first`, `first + stride`, ... */
static void assert_same_narrow(uint32_t first, uint32_t stride)
{
    float *const floats = allocate(FLOATS * sizeof(float));
    uint8_t *const plain = allocate(2 * FLOATS);
    uint8_t *const made = allocate(2 * FLOATS + 1);
    for (uint32_t i = 0; i < FLOATS; i++) {
        const uint32_t bits = first + i * stride;
        memcpy(&floats[i], &bits, sizeof bits);
    }
    for (unsigned int isa = 0; isa < OPTIM_ISA_COUNT; isa++) {
        if (!kernels_available((enum optim_isa)isa))
            continue;
        for (size_t d = 0; d < 2; d++) {
            stepd_dtype_narrow(dtypes[d], FLOATS, floats, plain);
            kernels_reduce((enum optim_isa)isa)->narrow(dtypes[d], FLOATS, floats, made + 1);
            assert_memory_equal(made + 1, plain, 2 * FLOATS);
        }
    }
    free(made);
    free(plain);
    free(floats);
}

/* 2^12: all floats that are an f16, a tie between two, or the float next to a tie in between. */
static void narrow__of_floats_of_every_exponent__is_what_plain_code_makes(void **state)
{
    (void)state;
    assert_same_narrow(0, 1u << 12);
    assert_same_narrow(1, 1u << 12);
    assert_same_narrow((1u << 12) - 1, 1u << 12);
}

static void narrow__of_floats_in_between__is_what_plain_code_makes(void **state)
{
    (void)state;
    assert_same_narrow(0x33000000u, 211);      /* about the least f16 */
    assert_same_narrow(0x477FE000u, 1);        /* about the largest */
    assert_same_narrow(12345, 0x9E3779B1u);    /* anywhere */
    assert_same_narrow(0x7F7FFF00u, 1);        /* about infinity, and NaNs */
    assert_same_narrow(0xFFFFFFFFu - 9, 4099); /* with a sign, and round the corner */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(widen__of_every_half__is_what_plain_code_makes),
        cmocka_unit_test(narrow__of_floats_of_every_exponent__is_what_plain_code_makes),
        cmocka_unit_test(narrow__of_floats_in_between__is_what_plain_code_makes),
    };
    return cmocka_run_group_tests_name("optim/wire", tests, NULL, NULL);
}
