/* SPDX-License-Identifier: Apache-2.0
 *
 * Values to JSON and back. jansson keeps whole numbers as int64 and reads and writes doubles with
 * strtod and 17 digits, in any locale; what it has no form for is a text here.
 */
#include "server/persist/manifest_json.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/error.h"
#include "proto/utf8.h"
#include "server/base/nearest.h"
#include "server/base/range.h"
#include "server/base/text.h"

static const char nan_prefix[] = "nan:";

/* Enough of a name to be told by. */
enum { QUOTED_BYTES = 160 };

/* A session's id is no longer. */
enum { HEX_BYTES_MAX = 64 };

static const char hex_digits[] = "0123456789abcdef";

/* ---- Writing --------------------------------------------------------------------------------- */

json_t *manifest_of_u64(uint64_t number)
{
    char text[24];
    if (number <= INT64_MAX)
        return json_integer((json_int_t)number);
    (void)snprintf(text, sizeof text, "%" PRIu64, number);
    return json_string(text);
}

json_t *manifest_of_u64_or_none(uint64_t number)
{
    return number == UINT64_MAX ? json_null() : manifest_of_u64(number);
}

static uint64_t bits_of(double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits;
}

bool manifest_same_double(double a, double b)
{
    return bits_of(a) == bits_of(b);
}

json_t *manifest_of_double(double number)
{
    char text[sizeof nan_prefix + 16];
    if (isnan(number)) {
        (void)snprintf(text, sizeof text, "%s%016" PRIx64, nan_prefix, bits_of(number));
        return json_string(text);
    }
    if (isinf(number))
        return json_string(number > 0.0 ? "inf" : "-inf");
    const bool whole = fabs(number) <= RANGE_WHOLE_MOST && number == floor(number) &&
                       !(number == 0.0 && signbit(number));
    return whole ? json_integer((json_int_t)number) : json_real(number);
}

json_t *manifest_of_bytes(const uint8_t *bytes, size_t n)
{
    char text[2 * HEX_BYTES_MAX];
    assert(n <= HEX_BYTES_MAX);
    for (size_t i = 0; i < n; i++) {
        text[2 * i] = hex_digits[bytes[i] >> 4];
        text[2 * i + 1] = hex_digits[bytes[i] & 15];
    }
    return json_stringn(text, 2 * n);
}

json_t *manifest_of_error(const struct stepd_error *error)
{
    return error->code == STEPD_OK ? json_null()
                                   : json_pack("{s:s, s:s}", "code", stepd_status_name(error->code),
                                               "text", error->text);
}

/* ---- Objects --------------------------------------------------------------------------------- */

void manifest_object_begin(struct manifest_object *object, const json_t *json,
                           struct stepd_error *reterr)
{
    *object = (struct manifest_object){.json = json, .reterr = reterr};
    if (!json_is_object(json))
        object->status =
            stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "it must be an object with keys");
}

void manifest_object_fail(struct manifest_object *object, const char *key, const char *fmt, ...)
{
    char text[STEPD_ERROR_TEXT_BYTES];
    va_list list;
    if (object->status != STEPD_OK)
        return;
    va_start(list, fmt);
    (void)vsnprintf(text, sizeof text, fmt, list);
    va_end(list);
    object->status = stepd_fail(object->reterr, STEPD_INVALID_ARGUMENT, "%s %s", key, text);
}

void manifest_object_no_memory(struct manifest_object *object)
{
    if (object->status == STEPD_OK)
        object->status =
            stepd_fail(object->reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to read the manifest");
}

enum stepd_status manifest_fail_json(const json_error_t *error, struct stepd_error *reterr)
{
    char quoted[TEXT_QUOTED_BYTES(JSON_ERROR_TEXT_LENGTH)];
    if (json_error_code(error) == json_error_out_of_memory || error->text[0] == '\0')
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to read the manifest");
    (void)text_quote(error->text, strlen(error->text), quoted, sizeof quoted);
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "line %d is no JSON, or there was no memory to read it: %s", error->line,
                      quoted);
}

static void ask(struct manifest_object *object, const char *key)
{
    if (object->count < MANIFEST_KEYS_MAX)
        object->asked[object->count++] = key;
}

bool manifest_object_has(struct manifest_object *object, const char *key)
{
    ask(object, key);
    return object->status == STEPD_OK && json_object_get(object->json, key) != NULL;
}

const json_t *manifest_take(struct manifest_object *object, const char *key)
{
    ask(object, key);
    if (object->status != STEPD_OK)
        return NULL;
    const json_t *const value = json_object_get(object->json, key);
    if (value == NULL)
        manifest_object_fail(object, key, "is missing");
    return value;
}

static bool was_asked(const struct manifest_object *object, const char *key)
{
    for (size_t i = 0; i < object->count; i++) {
        if (strcmp(object->asked[i], key) == 0)
            return true;
    }
    return false;
}

static void fail_strange(struct manifest_object *object, const char *key)
{
    char quoted[QUOTED_BYTES];
    struct nearest nearest;
    nearest_init(&nearest, key);
    for (size_t i = 0; i < object->count; i++)
        nearest_offer(&nearest, object->asked[i]);
    (void)text_quote(key, strlen(key), quoted, sizeof quoted);
    object->status = stepd_fail(object->reterr, STEPD_INVALID_ARGUMENT, "unknown key %s: %s",
                                quoted, nearest_hint(&nearest));
}

const char *manifest_take_rest(struct manifest_object *object, size_t most,
                               const json_t **ret_value)
{
    json_t *const json = (json_t *)(uintptr_t)object->json;
    if (object->status != STEPD_OK)
        return NULL;
    do
        object->at =
            object->at == NULL ? json_object_iter(json) : json_object_iter_next(json, object->at);
    while (object->at != NULL && was_asked(object, json_object_iter_key(object->at)));
    object->whole = object->at == NULL;
    if (object->whole)
        return NULL;
    const char *const key = json_object_iter_key(object->at);
    const size_t length = strlen(key);
    if (length > 0 && length <= most && stepd_utf8_printable((const uint8_t *)key, length)) {
        *ret_value = json_object_iter_value(object->at);
        return key;
    }
    fail_strange(object, key);
    return NULL;
}

enum stepd_status manifest_object_end(struct manifest_object *object)
{
    const char *key = NULL;
    json_t *value = NULL;
    if (object->status != STEPD_OK || object->whole)
        return object->status;
    json_object_foreach((json_t *)(uintptr_t)object->json, key, value)
    {
        if (!was_asked(object, key)) {
            fail_strange(object, key);
            break;
        }
    }
    return object->status;
}

/* ---- Numbers --------------------------------------------------------------------------------- */

/* Digits of a number that jansson has not, written as manifest_of_u64 does. */
static bool read_digits(const char *text, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at < '0' || *at > '9' || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*at - '0'), &number))
            return false;
    }
    *ret_number = number;
    return number > INT64_MAX && text[0] != '0';
}

bool manifest_read_u64(const json_t *json, uint64_t *ret_number)
{
    uint64_t number = 0;
    bool read = json_is_integer(json) && json_integer_value(json) >= 0;
    if (read)
        number = (uint64_t)json_integer_value(json);
    else
        read = json_is_string(json) && read_digits(json_string_value(json), &number);
    *ret_number = read ? number : 0;
    return read;
}

uint64_t manifest_take_u64(struct manifest_object *object, const char *key)
{
    return manifest_take_between(object, key, 0, UINT64_MAX);
}

uint64_t manifest_take_u64_or_none(struct manifest_object *object, const char *key)
{
    if (json_is_null(json_object_get(object->json, key))) {
        ask(object, key);
        return UINT64_MAX;
    }
    return manifest_take_u64(object, key);
}

uint64_t manifest_take_between(struct manifest_object *object, const char *key, uint64_t least,
                               uint64_t most)
{
    uint64_t number = 0;
    const json_t *const value = manifest_take(object, key);
    if (value == NULL)
        return 0;
    const bool read = manifest_read_u64(value, &number);
    if (read && number >= least && number <= most)
        return number;
    manifest_object_fail(object, key, "must be a whole number from %" PRIu64 " to %" PRIu64, least,
                         most);
    return 0;
}

/* So many digits of a number, and no others. */
static bool read_hex(const char *text, size_t digits, uint64_t *ret_number)
{
    *ret_number = 0;
    for (size_t i = 0; i < digits; i++) {
        const char *const digit = text[i] != '\0' ? strchr(hex_digits, text[i]) : NULL;
        if (digit == NULL)
            return false;
        *ret_number = *ret_number << 4 | (uint64_t)(digit - hex_digits);
    }
    return true;
}

/* "inf", "-inf", or a NaN of these bits. */
static bool read_special(const char *text, double *ret_number)
{
    const size_t prefix = strlen(nan_prefix);
    uint64_t bits = 0;
    if (strcmp(text, "inf") == 0 || strcmp(text, "-inf") == 0) {
        *ret_number = text[0] == '-' ? -INFINITY : INFINITY;
        return true;
    }
    if (strncmp(text, nan_prefix, prefix) != 0 || strlen(text) != prefix + 16 ||
        !read_hex(text + prefix, 16, &bits))
        return false;
    memcpy(ret_number, &bits, sizeof bits);
    return isnan(*ret_number);
}

bool manifest_read_double(const json_t *json, double *ret_number)
{
    *ret_number = json_number_value(json);
    return json_is_number(json) ||
           (json_is_string(json) && read_special(json_string_value(json), ret_number));
}

double manifest_take_double(struct manifest_object *object, const char *key)
{
    double number = 0.0;
    const json_t *const value = manifest_take(object, key);
    if (value != NULL && !manifest_read_double(value, &number))
        manifest_object_fail(object, key,
                             "must be a number, \"inf\", \"-inf\" or \"nan:\" with its bits");
    return number;
}

bool manifest_take_bool(struct manifest_object *object, const char *key)
{
    const json_t *const value = manifest_take(object, key);
    if (value != NULL && !json_is_boolean(value))
        manifest_object_fail(object, key, "must be true or false");
    return json_is_true(value);
}

/* ---- Texts ----------------------------------------------------------------------------------- */

void manifest_take_bytes(struct manifest_object *object, const char *key, uint8_t *ret_bytes,
                         size_t n)
{
    const json_t *const value = manifest_take(object, key);
    if (value == NULL)
        return;
    const char *const text = json_is_string(value) ? json_string_value(value) : "";
    bool read = strlen(text) == 2 * n;
    for (size_t i = 0; i < n && read; i++) {
        uint64_t byte = 0;
        read = read_hex(text + 2 * i, 2, &byte);
        ret_bytes[i] = (uint8_t)byte;
    }
    if (!read)
        manifest_object_fail(object, key, "must be %zu digits of 0 to 9 and a to f", 2 * n);
}

const char *manifest_take_text(struct manifest_object *object, const char *key, size_t most)
{
    const json_t *const value = manifest_take(object, key);
    if (value == NULL)
        return NULL;
    if (json_is_string(value) && json_string_length(value) <= most)
        return json_string_value(value);
    manifest_object_fail(object, key, "must be a text of at most %zu bytes", most);
    return NULL;
}

bool manifest_is_name(const json_t *json, size_t most)
{
    const size_t length = json_string_length(json);
    return json_is_string(json) && length > 0 && length <= most &&
           stepd_utf8_printable((const uint8_t *)json_string_value(json), length);
}

const char *manifest_take_name(struct manifest_object *object, const char *key, size_t most)
{
    const json_t *const value = manifest_take(object, key);
    if (value == NULL)
        return NULL;
    if (manifest_is_name(value, most))
        return json_string_value(value);
    manifest_object_fail(object, key, "must be a name: 1 to %zu bytes that can be printed", most);
    return NULL;
}

size_t manifest_take_word(struct manifest_object *object, const char *key, const char *const *word,
                          size_t words)
{
    char quoted[QUOTED_BYTES];
    struct nearest nearest;
    const char *const text = manifest_take_text(object, key, STEPD_ERROR_TEXT_BYTES);
    if (text == NULL)
        return 0;
    nearest_init(&nearest, text);
    for (size_t i = 0; i < words; i++) {
        if (strcmp(text, word[i]) == 0)
            return i;
        nearest_offer(&nearest, word[i]);
    }
    (void)text_quote(text, strlen(text), quoted, sizeof quoted);
    manifest_object_fail(object, key, "cannot be %s: %s", quoted, nearest_hint(&nearest));
    return 0;
}

static enum stepd_status read_error(const json_t *json, struct stepd_error *ret_error,
                                    struct stepd_error *reterr)
{

#define X(name, number, text) [number] = #name,

    static const char *const words[] = {STEPD_STATUS_MAP(X)};

#undef X

    struct manifest_object object;
    manifest_object_begin(&object, json, reterr);
    const size_t code = manifest_take_word(&object, "code", words, sizeof words / sizeof words[0]);
    const char *const text = manifest_take_text(&object, "text", STEPD_ERROR_TEXT_BYTES - 1);
    if (object.status == STEPD_OK && code == STEPD_OK)
        manifest_object_fail(&object, "code", "is OK, and null says so");
    const enum stepd_status status = manifest_object_end(&object);
    if (status == STEPD_OK)
        (void)stepd_fail(ret_error, (enum stepd_status)code, "%s", text);
    return status;
}

void manifest_take_error(struct manifest_object *object, const char *key,
                         struct stepd_error *ret_error)
{
    const json_t *const value = manifest_take(object, key);
    *ret_error = (struct stepd_error){.code = STEPD_OK};
    if (value == NULL || json_is_null(value))
        return;
    object->status = read_error(value, ret_error, object->reterr);
    if (object->status != STEPD_OK)
        (void)stepd_fail_in(object->reterr, object->status, "%s", key);
}

/* ---- Lists ----------------------------------------------------------------------------------- */

const json_t *manifest_take_list(struct manifest_object *object, const char *key, size_t most)
{
    const json_t *const value = manifest_take(object, key);
    if (value == NULL)
        return NULL;
    if (json_is_array(value) && json_array_size(value) <= most)
        return value;
    manifest_object_fail(object, key, "must be a list of at most %zu", most);
    return NULL;
}
