/* SPDX-License-Identifier: Apache-2.0
 *
 * Elements of safetensors files as floats. Their heads are in test_safetensors_encode.c and
 * test_safetensors_decode.c.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/persist/safetensors.h"

/* 1, -2 and infinity, of each dtype; and what must be a NaN. */
static void expect_widened(enum safetensors_dtype dtype, const uint8_t *elements)
{
    float floats[4] = {0};
    safetensors_widen(dtype, 4, elements, floats);
    assert_true(floats[0] == 1.0F);
    assert_true(floats[1] == -2.0F);
    assert_true(isinf(floats[2]) && floats[2] > 0);
    assert_true(isnan(floats[3]));
}

static void elements__of_f32__are_as_they_stand(void **state)
{
    (void)state;
    static const uint8_t elements[] = {0, 0, 0x80, 0x3f, 0, 0, 0,    0xc0,
                                       0, 0, 0x80, 0x7f, 1, 0, 0x80, 0x7f};
    expect_widened(SAFETENSORS_F32, elements);
}

static void elements__of_f16__are_widened(void **state)
{
    (void)state;
    static const uint8_t elements[] = {0, 0x3c, 0, 0xc0, 0, 0x7c, 0, 0x7e};
    expect_widened(SAFETENSORS_F16, elements);
}

static void elements__of_bf16__are_widened(void **state)
{
    (void)state;
    static const uint8_t elements[] = {0x80, 0x3f, 0, 0xc0, 0x80, 0x7f, 0xc0, 0x7f};
    expect_widened(SAFETENSORS_BF16, elements);
}

static void elements__of_f64__are_rounded(void **state)
{
    (void)state;
    static const uint8_t elements[] = {1, 0, 0, 0, 0, 0, 0xf0, 0x3f, /* 1 and the least above */
                                       0, 0, 0, 0, 0, 0, 0,    0xc0, /* -2 */
                                       0, 0, 0, 0, 0, 0, 0xf0, 0x7e, /* 2^1008: beyond floats */
                                       0, 0, 0, 0, 0, 0, 0xf8, 0x7f};
    expect_widened(SAFETENSORS_F64, elements);
}

static void dtype__that_is_no_floating_point__is_not_real(void **state)
{
    (void)state;
    size_t real = 0;
    for (int i = 0; i < SAFETENSORS_DTYPES; i++)
        real += safetensors_is_real((enum safetensors_dtype)i);
    assert_int_equal(real, 4);
    assert_false(safetensors_is_real(SAFETENSORS_I32));
    assert_false(safetensors_is_real(SAFETENSORS_F8_E4M3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements__of_f32__are_as_they_stand),
        cmocka_unit_test(elements__of_f16__are_widened),
        cmocka_unit_test(elements__of_bf16__are_widened),
        cmocka_unit_test(elements__of_f64__are_rounded),
        cmocka_unit_test(dtype__that_is_no_floating_point__is_not_real),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
