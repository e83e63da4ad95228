/* SPDX-License-Identifier: Apache-2.0
 *
 * Heads that are written: their bytes, and what is refused before a file of it exists.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "tests/lib/scarcity.h"
#include "tests/unit/persist/heads.h"

static enum stepd_status encode(const struct safetensors_tensor *tensor, size_t tensors,
                                uint8_t **ret_head, size_t *ret_bytes, struct stepd_error *reterr)
{
    static const struct safetensors_text text[] = {{"format", "pt"}, {.key = NULL}};
    return safetensors_encode(tensor, tensors, text, ret_head, ret_bytes, reterr);
}

static void refuse(const struct safetensors_tensor *tensor, size_t tensors, const char *text)
{
    uint8_t *head = NULL;
    size_t bytes = 0;
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(encode(tensor, tensors, &head, &bytes, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, text);
    assert_null(head);
}

/* ---- What is written ------------------------------------------------------------------------- */

static void head__of_two_tensors__has_these_bytes(void **state)
{
    (void)state;
    static const char json[] =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"a\":{\"data_offsets\":[8,12],\"dtype\":\"F32\",\"shape\":[]},"
        "\"b\":{\"data_offsets\":[0,8],\"dtype\":\"F32\",\"shape\":[2,1]}}    ";
    const struct safetensors_tensor tensor[] = {
        {.name = "b", .dims = 2, .shape = {2, 1}, .end = 8},
        {.name = "a", .begin = 8, .end = 12},
    };
    uint8_t *head = NULL;
    size_t bytes = 0;
    assert_int_equal(encode(tensor, 2, &head, &bytes, NULL), STEPD_OK);
    assert_int_equal(bytes % 8, 0);
    assert_int_equal(bytes, 8 + sizeof json - 1);
    assert_memory_equal(head + 8, json, sizeof json - 1);
    static const uint8_t length[] = {sizeof json - 1, 0, 0, 0, 0, 0, 0, 0};
    assert_memory_equal(head, length, 8);
    free(head);
}

static void head__of_the_same_tensors_in_another_order__is_the_same(void **state)
{
    (void)state;
    const struct safetensors_tensor tensor[] = {heads_floats("b", 3, 0), heads_floats("a", 1, 12)};
    const struct safetensors_tensor other[] = {tensor[1], tensor[0]};
    uint8_t *head[2] = {NULL};
    size_t bytes[2] = {0};
    assert_int_equal(encode(tensor, 2, &head[0], &bytes[0], NULL), STEPD_OK);
    assert_int_equal(encode(other, 2, &head[1], &bytes[1], NULL), STEPD_OK);
    assert_int_equal(bytes[0], bytes[1]);
    assert_memory_equal(head[0], head[1], bytes[0]);
    free(head[0]);
    free(head[1]);
}

static void head__that_was_written__is_read_as_it_was(void **state)
{
    (void)state;
    const struct safetensors_tensor tensor[] = {
        heads_floats("layer \"1\"/\xc3\xa4", 3, 2),
        {.name = "half", .dtype = SAFETENSORS_F16, .dims = 3, .shape = {1, 1, 1}, .end = 2},
        {.name = "empty", .dtype = SAFETENSORS_I64, .dims = 2, .shape = {4, 0}},
    };
    uint8_t *head = NULL;
    size_t bytes = 0;
    size_t json = 0;
    struct safetensors file;
    assert_int_equal(encode(tensor, 3, &head, &bytes, NULL), STEPD_OK);
    assert_int_equal(safetensors_json_bytes(head, bytes + 14, &json, NULL), STEPD_OK);
    assert_int_equal(json, bytes - 8);
    assert_int_equal(safetensors_decode(head + 8, json, bytes + 14, &file, NULL), STEPD_OK);
    assert_int_equal(file.tensors, 3);
    assert_int_equal(file.begins_at, bytes);
    assert_string_equal(file.text[0].value, "pt");
    for (size_t i = 0; i < 3; i++) {
        const struct safetensors_tensor *const read = safetensors_find(&file, tensor[i].name);
        assert_non_null(read);
        assert_int_equal(read->dtype, tensor[i].dtype);
        assert_int_equal(read->dims, tensor[i].dims);
        assert_memory_equal(read->shape, tensor[i].shape, sizeof read->shape);
        assert_int_equal(read->begin, tensor[i].begin);
        assert_int_equal(read->end, tensor[i].end);
    }
    safetensors_deinit(&file);
    free(head);
}

static void head__without_tensors__is_written(void **state)
{
    (void)state;
    uint8_t *head = NULL;
    size_t bytes = 0;
    assert_int_equal(safetensors_encode(NULL, 0, NULL, &head, &bytes, NULL), STEPD_OK);
    assert_int_equal(bytes, 32);
    assert_memory_equal(head + 8, "{\"__metadata__\":{}}     ", 24);
    free(head);
}

/* ---- What is refused ------------------------------------------------------------------------- */

static void tensor__of_a_name_that_is_there__is_refused(void **state)
{
    (void)state;
    const struct safetensors_tensor tensor[] = {heads_floats("a", 3, 0), heads_floats("a", 1, 12)};
    refuse(tensor, 2, "the name \"a\" is there twice, or means something else in this format");
}

static void tensor__of_the_name_of_the_texts__is_refused(void **state)
{
    (void)state;
    const struct safetensors_tensor tensor = heads_floats("__metadata__", 3, 0);
    refuse(&tensor, 1,
           "the name \"__metadata__\" is there twice, or means something else in this format");
}

static void name__that_cannot_be_printed__is_refused(void **state)
{
    (void)state;
    const struct safetensors_tensor tensor = heads_floats("a\xff", 3, 0);
    refuse(&tensor, 1,
           "the name or text \"a\\xff\" for a safetensors file is no UTF-8 that can be printed");
}

static void name__that_is_too_long__is_refused(void **state)
{
    (void)state;
    char name[SAFETENSORS_NAME_MAX_BYTES + 2];
    uint8_t *head = NULL;
    size_t bytes = 0;
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    const struct safetensors_tensor tensor = heads_floats(name, 3, 0);
    assert_int_equal(encode(&tensor, 1, &head, &bytes, NULL), STEPD_INVALID_ARGUMENT);
}

static void tensors__with_a_hole_between__are_refused(void **state)
{
    (void)state;
    const struct safetensors_tensor tensor[] = {heads_floats("a", 3, 0), heads_floats("b", 1, 16)};
    refuse(tensor, 2,
           "tensor \"b\" begins at byte 16, and what is before it ends at 12: tensors lie one "
           "behind the other, without a hole");
}

static void tensor__of_another_size_than_its_shape__is_refused(void **state)
{
    (void)state;
    struct safetensors_tensor tensor = heads_floats("a", 3, 0);
    tensor.shape[0] = 4;
    refuse(&tensor, 1,
           "tensor \"a\" of F32: its shape makes 16 bytes, and its offsets are 0 and 12");
}

static void tensor__of_a_dimension_that_json_has_not__is_refused(void **state)
{
    (void)state;
    const struct safetensors_tensor tensor = {
        .name = "a", .dims = 2, .shape = {0, (uint64_t)INT64_MAX + 1}};
    refuse(&tensor, 1, "tensor \"a\" of F32: the product of its shape is beyond any number");
}

static void head__that_is_too_long__is_refused(void **state)
{
    (void)state;
    char *const text = malloc(SAFETENSORS_JSON_MAX_BYTES + 1);
    uint8_t *head = NULL;
    size_t bytes = 0;
    assert_non_null(text);
    memset(text, 't', SAFETENSORS_JSON_MAX_BYTES);
    text[SAFETENSORS_JSON_MAX_BYTES] = '\0';
    const struct safetensors_text long_text[] = {{"k", text}, {.key = NULL}};
    assert_int_equal(safetensors_encode(NULL, 0, long_text, &head, &bytes, NULL),
                     STEPD_RESOURCE_EXHAUSTED);
    free(text);
}

static void head__without_memory__is_refused(void **state)
{
    (void)state;
    const struct safetensors_tensor tensor[] = {heads_floats("a", 3, 0), heads_floats("b", 1, 12)};
    uint8_t *head = NULL;
    size_t bytes = 0;
    size_t failures = 0;
    json_set_alloc_funcs(malloc, free); /* of this program, which can be made to fail */
    scarcity_after(failures);
    while (encode(tensor, 2, &head, &bytes, NULL) != STEPD_OK) {
        assert_null(head);
        scarcity_after(++failures);
    }
    scarcity_after(SCARCITY_NEVER);
    assert_true(failures > 10);
    free(head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head__of_two_tensors__has_these_bytes),
        cmocka_unit_test(head__of_the_same_tensors_in_another_order__is_the_same),
        cmocka_unit_test(head__that_was_written__is_read_as_it_was),
        cmocka_unit_test(head__without_tensors__is_written),
        cmocka_unit_test(tensor__of_a_name_that_is_there__is_refused),
        cmocka_unit_test(tensor__of_the_name_of_the_texts__is_refused),
        cmocka_unit_test(name__that_cannot_be_printed__is_refused),
        cmocka_unit_test(name__that_is_too_long__is_refused),
        cmocka_unit_test(tensors__with_a_hole_between__are_refused),
        cmocka_unit_test(tensor__of_another_size_than_its_shape__is_refused),
        cmocka_unit_test(tensor__of_a_dimension_that_json_has_not__is_refused),
        cmocka_unit_test(head__that_is_too_long__is_refused),
        cmocka_unit_test(head__without_memory__is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
