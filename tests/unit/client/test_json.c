/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/lib/core/json.h"
#include "tests/lib/scarcity.h"

static void json__of_nested_values__has_its_commas(void **state)
{
    struct stepd_json json = {.text = NULL};
    (void)state;
    stepd_json_open(&json, NULL, '{');
    stepd_json_integer(&json, "a", 7);
    stepd_json_open(&json, "b", '[');
    stepd_json_integer(&json, NULL, 0);
    stepd_json_null(&json, NULL);
    stepd_json_close(&json, ']');
    stepd_json_open(&json, "c", '{');
    stepd_json_close(&json, '}');
    stepd_json_string(&json, "d", "e");
    stepd_json_close(&json, '}');
    char *const text = stepd_json_take(&json);
    assert_string_equal(text, "{\"a\": 7, \"b\": [0, null], \"c\": {}, \"d\": \"e\"}");
    free(text);
}

static void json__of_a_string_with_all_that_is_special__escapes_it(void **state)
{
    struct stepd_json json = {.text = NULL};
    (void)state;
    stepd_json_string(&json, NULL, "a\"b\\c\nd\x1f\xc3\xa4");
    char *const text = stepd_json_take(&json);
    assert_string_equal(text, "\"a\\\"b\\\\c\\u000ad\\u001f\xc3\xa4\"");
    free(text);
}

static void json__of_an_integer_beyond_what_readers_take__is_the_largest(void **state)
{
    struct stepd_json json = {.text = NULL};
    (void)state;
    stepd_json_integer(&json, NULL, UINT64_MAX);
    char *const text = stepd_json_take(&json);
    assert_string_equal(text, "9223372036854775807");
    free(text);
}

static void assert_real(double value, const char *expected)
{
    struct stepd_json json = {.text = NULL};
    stepd_json_real(&json, NULL, value);
    char *const text = stepd_json_take(&json);
    assert_string_equal(text, expected);
    free(text);
}

static void json__of_reals__can_be_read_back(void **state)
{
    (void)state;
    assert_real(0.5, "0.5");
    assert_real(-3, "-3.0");
    assert_real(1e300, "1.0000000000000001e+300");
    assert_real(NAN, "null");
    assert_real(-INFINITY, "null");
}

static void json__without_memory_for_the_nth_time__is_null(void **state)
{
    (void)state;
    char *text = NULL;
    size_t n = 0;
    for (; text == NULL; n++) {
        struct stepd_json json = {.text = NULL};
        scarcity_after(n);
        stepd_json_open(&json, NULL, '[');
        for (uint64_t i = 0; i < 100; i++)
            stepd_json_integer(&json, NULL, i);
        stepd_json_close(&json, ']');
        text = stepd_json_take(&json);
        scarcity_after(SCARCITY_NEVER);
    }
    assert_true(n > 2);
    assert_int_equal(strlen(text), 390);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json__of_nested_values__has_its_commas),
        cmocka_unit_test(json__of_a_string_with_all_that_is_special__escapes_it),
        cmocka_unit_test(json__of_an_integer_beyond_what_readers_take__is_the_largest),
        cmocka_unit_test(json__of_reals__can_be_read_back),
        cmocka_unit_test(json__without_memory_for_the_nth_time__is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
