/* SPDX-License-Identifier: Apache-2.0
 *
 * Heads that are read: what the format allows, and one hostile head for each rule. Each must be
 * refused with a sentence that names what is wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "tests/lib/scarcity.h"
#include "tests/unit/persist/heads.h"

/* A tensor "a" of these, which are JSON. */
#define A(dtype, shape, offsets)                                                                   \
    "{\"a\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

/* ---- What is allowed ------------------------------------------------------------------------- */

static void expect_read(const char *json, uint64_t bytes)
{
    struct safetensors file;
    struct stepd_error error = {.code = STEPD_OK};
    if (heads_decode(json, bytes, &file, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    safetensors_deinit(&file);
}

static void head__of_anything_that_the_format_has__is_read(void **state)
{
    (void)state;
    expect_read("{}", 0);
    expect_read("{}      ", 0);
    expect_read("{\"__metadata__\":{}}", 0);
    expect_read(A("\"F32\"", "[]", "[0,4]"), 4); /* rank 0 */
    expect_read(A("\"F32\"", "[0]", "[0,0]"), 0);
    expect_read(A("\"F32\"", "[0,9223372036854775807]", "[0,0]"), 0);
    expect_read(A("\"F4\"", "[3,2]", "[0,3]"), 3);
    expect_read(A("\"F6_E2M3\"", "[4]", "[0,3]"), 3);
    expect_read(A("\"U8\"", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "[0,1]"), 1);
    expect_read("{\"\":{\"shape\":[1],\"data_offsets\":[0,8],\"dtype\":\"C64\"}}", 8);
}

static void head__of_every_dtype__is_read(void **state)
{
    (void)state;
#define X(name, bits) {#name, (bits)},

    static const struct {
        const char *name;
        unsigned bits;
    } dtype[] = {SAFETENSORS_DTYPE_MAP(X)};

#undef X
    for (size_t i = 0; i < sizeof dtype / sizeof dtype[0]; i++) {
        char json[200];
        (void)snprintf(json, sizeof json, A("\"%s\"", "[8]", "[0,%u]"), dtype[i].name,
                       dtype[i].bits);
        expect_read(json, dtype[i].bits);
    }
}

static void tensors__in_any_order_of_the_head__are_sorted_by_place(void **state)
{
    (void)state;
    static const char json[] = "{\"late\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[3,5]},"
                               "\"early\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
                               "\"empty\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[3,3]}}";
    struct safetensors file;
    assert_int_equal(heads_decode(json, 5, &file, NULL), STEPD_OK);
    assert_int_equal(file.tensors, 3);
    assert_string_equal(file.tensor[0].name, "early");
    assert_string_equal(file.tensor[1].name, "empty");
    assert_string_equal(file.tensor[2].name, "late");
    assert_int_equal(file.begins_at, 8 + sizeof json - 1);
    assert_ptr_equal(safetensors_find(&file, "late"), &file.tensor[2]);
    assert_null(safetensors_find(&file, "lat"));
    assert_int_equal(safetensors_elements(&file.tensor[2]), 2);
    safetensors_deinit(&file);
}

static void texts__of_a_head__are_read(void **state)
{
    (void)state;
    struct safetensors file;
    assert_int_equal(
        heads_decode("{\"__metadata__\":{\"format\":\"pt\",\"k\":\"\"}}", 0, &file, NULL),
        STEPD_OK);
    assert_int_equal(file.texts, 2);
    assert_int_equal(file.tensors, 0);
    assert_null(safetensors_find(&file, "__metadata__"));
    safetensors_deinit(&file);
}

/* ---- What is not ----------------------------------------------------------------------------- */

struct hostile {
    const char *json;
    uint64_t bytes;
    const char *text; /* a part of the sentence */
};

static void refuse_bytes(const uint8_t *json, size_t n, uint64_t bytes, const char *text)
{
    struct safetensors file = {.tensors = 0};
    struct stepd_error error = {.code = STEPD_OK};
    const enum stepd_status status = safetensors_decode(json, n, 8 + n + bytes, &file, &error);
    if (status == STEPD_OK)
        fail_msg("taken: %.*s", (int)n, (const char *)json);
    assert_int_equal(status, STEPD_INVALID_ARGUMENT);
    if (strstr(error.text, text) == NULL)
        fail_msg("'%s' is not in: %s", text, error.text);
    assert_null(file.json);
}

static void refuse_all(const struct hostile *hostile, size_t count)
{
    for (size_t i = 0; i < count; i++)
        refuse_bytes((const uint8_t *)hostile[i].json, strlen(hostile[i].json), hostile[i].bytes,
                     hostile[i].text);
}

#define REFUSE_ALL(...)                                                                            \
    do {                                                                                           \
        static const struct hostile hostile[] = {__VA_ARGS__};                                     \
        refuse_all(hostile, sizeof hostile / sizeof hostile[0]);                                   \
    } while (0)

static void length__that_cannot_be__is_refused(void **state)
{
    (void)state;

    static const struct {
        uint8_t first[8];
        uint64_t file_bytes;
        const char *text;
    } hostile[] = {
        {{0}, 0, "it has 0 bytes"},
        {{2}, 7, "it has 7 bytes"},
        {{0}, 100, "begins with 0 as the length"},
        {{1}, 100, "begins with 1 as the length"},
        {{0x01, 0xe1, 0xf5, 0x05}, UINT64_MAX, "begins with 100000001 as the length"},
        {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, UINT64_MAX, "18446744073709551615"},
        {{93}, 100, "the file ends in its head"},
    };

    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        struct stepd_error error = {.code = STEPD_OK};
        size_t n = 4711;
        assert_int_equal(
            safetensors_json_bytes(hostile[i].first, hostile[i].file_bytes, &n, &error),
            STEPD_INVALID_ARGUMENT);
        assert_int_equal(n, 4711);
        if (strstr(error.text, hostile[i].text) == NULL)
            fail_msg("'%s' is not in: %s", hostile[i].text, error.text);
    }
    size_t n = 0;
    assert_int_equal(safetensors_json_bytes((const uint8_t[8]){92}, 100, &n, NULL), STEPD_OK);
    assert_int_equal(n, 92);
}

static void head__that_is_no_json_object__is_refused(void **state)
{
    (void)state;
    REFUSE_ALL({"", 0, "does not begin with {"}, {" {}", 0, "does not begin with {"},
               {"[]", 0, "does not begin with {"}, {"{", 0, "cannot be read at line 1"},
               {"{} x", 0, "cannot be read"}, {"{}{}", 0, "cannot be read"},
               {"{\"a\" 1}", 0, "cannot be read"}, {"{\"a\xff\":1}", 0, "cannot be read"},
               {"{\"a\\u0000\":1}", 0, "cannot be read"}, {"{\"a\x01\":1}", 0, "cannot be read"},
               {"{\"a\\ud800\":1}", 0, "cannot be read"});
    refuse_bytes((const uint8_t *)"{}\0\0", 4, 0, "cannot be read"); /* padded with zeros */
}

static void head__with_a_key_twice__is_refused(void **state)
{
    (void)state;
    REFUSE_ALL({"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
                2, "duplicate"},
               {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
                "duplicate"},
               {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "duplicate"},
               {"{\"a\":1,\"\\u0061\":1}", 0, "duplicate"});
}

static void head__of_brackets__is_refused_before_it_is_parsed(void **state)
{
    (void)state;
    static char json[4096];
    const size_t n = sizeof json - 1;
    memset(json, '[', n);
    memcpy(json, "{\"a\":", 5);
    refuse_bytes((const uint8_t *)json, n, 0, "more brackets than a list of tensors");
    for (size_t i = 5; i + 3 <= n; i += 3)
        memcpy(json + i, "{},", 3);
    refuse_bytes((const uint8_t *)json, n, 0, "more brackets than a list of tensors");
    REFUSE_ALL({"{\"a\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\":1}", 0, "is no object"});
}

static void metadata__that_is_no_map_of_texts__is_refused(void **state)
{
    (void)state;
    REFUSE_ALL({"{\"__metadata__\":[]}", 0, "__metadata__ is no object of texts"},
               {"{\"__metadata__\":null}", 0, "__metadata__ is no object of texts"},
               {"{\"__metadata__\":{\"k\\n\":1}}", 0, "what stands behind \"k\\n\" is no text"},
               {"{\"__metadata__\":{\"k\":{}}}", 0, "what stands behind \"k\" is no text"});
}

static void tensor__without_its_three_keys__is_refused(void **state)
{
    (void)state;
    REFUSE_ALL({"{\"a\":[]}", 0, "tensor \"a\": what stands behind its name is no object"},
               {"{\"a\":{}}", 0, "tensor \"a\": it has no dtype"},
               {"{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "it has no shape"},
               {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "its data_offsets are not two"},
               {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"scale\":2}}", 1,
                "a key beside dtype, shape and data_offsets"});
}

static void dtype__that_is_unknown__is_refused(void **state)
{
    (void)state;
    REFUSE_ALL(
        {A("\"F7\"", "[1]", "[0,1]"), 1, "nothing is known of the dtype \"F7\"; known are F32"},
        {A("\"f32\"", "[1]", "[0,4]"), 4, "the dtype \"f32\""},
        {A("\"\"", "[1]", "[0,4]"), 4, "the dtype \"\""},
        {A("32", "[1]", "[0,4]"), 4, "no dtype that is a text"});
}

static void shape__that_is_none__is_refused(void **state)
{
    (void)state;
    REFUSE_ALL({A("\"U8\"", "1", "[0,1]"), 1, "no shape that is a list"},
               {A("\"U8\"", "[-1]", "[0,1]"), 1, "no whole number from 0 on"},
               {A("\"U8\"", "[1.0]", "[0,1]"), 1, "no whole number from 0 on"},
               {A("\"U8\"", "[\"1\"]", "[0,1]"), 1, "no whole number from 0 on"},
               {A("\"U8\"", "[true]", "[0,1]"), 1, "no whole number from 0 on"},
               {A("\"U8\"", "[[1]]", "[0,1]"), 1, "no whole number from 0 on"},
               {A("\"U8\"", "[18446744073709551617]", "[0,1]"), 1, "cannot be read"},
               {A("\"U8\"", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "[0,1]"), 1,
                "it has 17 dimensions, and 16 are the most"});
}

static void shape__whose_product_overflows__is_refused(void **state)
{
    (void)state;
    REFUSE_ALL({A("\"U8\"", "[4294967296,4294967296]", "[0,0]"), 0, "beyond any number"},
               {A("\"F32\"", "[4611686018427387904]", "[0,0]"), 0, "beyond any number"},
               {A("\"F64\"", "[2147483648,2147483648,4]", "[0,0]"), 0, "beyond any number"},
               {A("\"F64\"", "[2305843009213693952,0]", "[0,8]"), 8, "makes 0 bytes"});
}

static void shape__of_broken_bytes__is_refused(void **state)
{
    (void)state;
    REFUSE_ALL({A("\"F4\"", "[3]", "[0,1]"), 1, "12 bits are no whole number of bytes"},
               {A("\"F6_E3M2\"", "[1]", "[0,1]"), 1, "6 bits are no whole number of bytes"});
}

static void offsets__that_are_none__are_refused(void **state)
{
    (void)state;
    REFUSE_ALL({A("\"U8\"", "[1]", "0"), 1, "its data_offsets are not two whole numbers"},
               {A("\"U8\"", "[1]", "[0]"), 1, "its data_offsets are not two whole numbers"},
               {A("\"U8\"", "[1]", "[0,1,1]"), 1, "its data_offsets are not two whole numbers"},
               {A("\"U8\"", "[1]", "[-1,0]"), 1, "its data_offsets are not two whole numbers"},
               {A("\"U8\"", "[1]", "[0,1.0]"), 1, "its data_offsets are not two whole numbers"},
               {A("\"U8\"", "[1]", "{\"0\":0,\"1\":1}"), 1, "its data_offsets are not two whole"});
}

static void offsets__that_do_not_fit_the_shape__are_refused(void **state)
{
    (void)state;
    REFUSE_ALL({A("\"F32\"", "[2]", "[0,7]"), 7, "makes 8 bytes, and its offsets are 0 and 7"},
               {A("\"F32\"", "[2]", "[0,9]"), 9, "makes 8 bytes, and its offsets are 0 and 9"},
               {A("\"F32\"", "[1]", "[4,0]"), 4, "makes 4 bytes, and its offsets are 4 and 0"},
               {A("\"BF16\"", "[1]", "[0,4]"), 4, "makes 2 bytes"},
               {A("\"F32\"", "[]", "[0,0]"), 0, "makes 4 bytes"});
}

static void offsets__with_holes_or_overlaps__are_refused(void **state)
{
    (void)state;
    REFUSE_ALL({A("\"U8\"", "[1]", "[1,2]"), 2,
                "begins at byte 1, and what is before it ends at 0: tensors lie one behind the "
                "other, without a hole"},
               {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
                "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[3,5]}}",
                5, "tensor \"b\" begins at byte 3, and what is before it ends at 2"},
               {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
                "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
                3, "without an overlap"},
               {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
                "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}",
                2, "without an overlap"});
}

static void file__that_is_longer_or_shorter_than_its_tensors__is_refused(void **state)
{
    (void)state;
    REFUSE_ALL({A("\"U8\"", "[3]", "[0,3]"), 2,
                "have 3 bytes, and behind its head it has 2: it was not written or copied whole"},
               {A("\"U8\"", "[3]", "[0,3]"), 4, "have 3 bytes, and behind its head it has 4"},
               {"{}", 1, "have 0 bytes, and behind its head it has 1"});
}

static void name__that_is_too_long__is_refused(void **state)
{
    (void)state;
    char json[SAFETENSORS_NAME_MAX_BYTES + 200];
    char name[SAFETENSORS_NAME_MAX_BYTES + 2] = "";
    for (size_t n = SAFETENSORS_NAME_MAX_BYTES; n < sizeof name; n++) {
        memset(name, 'n', n);
        (void)snprintf(json, sizeof json,
                       "{\"%s\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}}", name);
        if (n == SAFETENSORS_NAME_MAX_BYTES)
            expect_read(json, 3);
        else
            refuse_bytes((const uint8_t *)json, strlen(json), 3, "its name is too long");
    }
}

/* jansson takes a text that it has no memory for to be none: then it cannot be read. */
static void head__without_memory__is_refused(void **state)
{
    (void)state;
    struct stepd_error error = {.code = STEPD_OK};
    static const char json[] = "{\"__metadata__\":{\"format\":\"pt\"},"
                               "\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
                               "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[3,4]}}";
    struct safetensors file;
    size_t failures = 0;
    json_set_alloc_funcs(malloc, free); /* of this program, which can be made to fail */
    scarcity_after(failures);
    enum stepd_status status = heads_decode(json, 4, &file, &error);
    while (status != STEPD_OK) {
        if (status != STEPD_RESOURCE_EXHAUSTED && strstr(error.text, "cannot be read") == NULL)
            fail_msg("%s", error.text);
        scarcity_after(++failures);
        status = heads_decode(json, 4, &file, &error);
    }
    scarcity_after(SCARCITY_NEVER);
    assert_true(failures > 10);
    safetensors_deinit(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head__of_anything_that_the_format_has__is_read),
        cmocka_unit_test(head__of_every_dtype__is_read),
        cmocka_unit_test(tensors__in_any_order_of_the_head__are_sorted_by_place),
        cmocka_unit_test(texts__of_a_head__are_read),
        cmocka_unit_test(length__that_cannot_be__is_refused),
        cmocka_unit_test(head__that_is_no_json_object__is_refused),
        cmocka_unit_test(head__with_a_key_twice__is_refused),
        cmocka_unit_test(head__of_brackets__is_refused_before_it_is_parsed),
        cmocka_unit_test(metadata__that_is_no_map_of_texts__is_refused),
        cmocka_unit_test(tensor__without_its_three_keys__is_refused),
        cmocka_unit_test(dtype__that_is_unknown__is_refused),
        cmocka_unit_test(shape__that_is_none__is_refused),
        cmocka_unit_test(shape__whose_product_overflows__is_refused),
        cmocka_unit_test(shape__of_broken_bytes__is_refused),
        cmocka_unit_test(offsets__that_are_none__are_refused),
        cmocka_unit_test(offsets__that_do_not_fit_the_shape__are_refused),
        cmocka_unit_test(offsets__with_holes_or_overlaps__are_refused),
        cmocka_unit_test(file__that_is_longer_or_shorter_than_its_tensors__is_refused),
        cmocka_unit_test(name__that_is_too_long__is_refused),
        cmocka_unit_test(head__without_memory__is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
