/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading the head of a safetensors file. jansson reads the JSON; what it makes of a byte is then
 * held to the format, key by key, and at last all places to each other. Nothing stays that has not
 * been looked at: an object with a key that the format does not have is refused too, because it
 * might say that the bytes mean something else.
 *
 * jansson takes some 100 bytes for each array and 300 for each object, and text for one can be as
 * short as "[]". So what could not be the head of tensors, for which there is too little text
 * between brackets, is refused before it is parsed.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "proto/error.h"
#include "server/persist/safetensors.h"
#include "server/persist/safetensors_internal.h"

/* Of text behind a bracket, on average. A tensor has three brackets, and at least the 51 bytes of
 * "a":{"dtype":"F4","shape":[],"data_offsets":[0,0]}, */
#define BRACKET_LEAST_BYTES 16u
#define BRACKETS_SPARE      8u

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                      "no memory to read the head of a safetensors file");
}

/* ---- The length ------------------------------------------------------------------------------ */

enum stepd_status safetensors_json_bytes(const uint8_t *first, uint64_t file_bytes,
                                         size_t *ret_json_bytes, struct stepd_error *reterr)
{
    uint64_t n = 0;
    if (file_bytes < SAFETENSORS_LENGTH_BYTES)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "no safetensors file: it has %" PRIu64
                          " bytes, and the length of the head alone takes %u",
                          file_bytes, SAFETENSORS_LENGTH_BYTES);
    for (size_t i = 0; i < SAFETENSORS_LENGTH_BYTES; i++)
        n |= (uint64_t)first[i] << (8 * i);
    if (n < 2 || n > SAFETENSORS_JSON_MAX_BYTES)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "no safetensors file: it begins with %" PRIu64
                          " as the length of its head, which is 2 to %u bytes",
                          n, SAFETENSORS_JSON_MAX_BYTES);
    if (n > file_bytes - SAFETENSORS_LENGTH_BYTES)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "the file ends in its head: that has %" PRIu64
                          " bytes behind the first %u, and the file %" PRIu64 " in all",
                          n, SAFETENSORS_LENGTH_BYTES, file_bytes);
    *ret_json_bytes = (size_t)n;
    return STEPD_OK;
}

/* ---- The text -------------------------------------------------------------------------------- */

static size_t count_brackets(const uint8_t *json, size_t n)
{
    bool in_text = false;
    size_t brackets = 0;
    for (size_t i = 0; i < n; i++) {
        if (in_text && json[i] == '\\')
            i++;
        else if (json[i] == '"')
            in_text = !in_text;
        else if (!in_text && (json[i] == '{' || json[i] == '['))
            brackets++;
    }
    return brackets;
}

static enum stepd_status parse(const uint8_t *json, size_t n, json_t **ret_root,
                               struct stepd_error *reterr)
{
    if (n == 0 || json[0] != '{')
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "no safetensors file: its head does not begin with {");
    if (count_brackets(json, n) > n / BRACKET_LEAST_BYTES + BRACKETS_SPARE)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "the head of the safetensors file has more brackets than a list of "
                          "tensors");
    json_error_t error;
    json_t *const root = json_loadb((const char *)json, n, JSON_REJECT_DUPLICATES, &error);
    if (root != NULL) {
        *ret_root = root;
        return STEPD_OK;
    }
    if (error.text[0] == '\0')
        return no_memory(reterr);
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "the head of the safetensors file cannot be read at line %d, column %d: %s",
                      error.line, error.column,
                      safetensors_quote(error.text, strlen(error.text)).text);
}

/* ---- A tensor -------------------------------------------------------------------------------- */

static enum stepd_status refuse(const char *tensor, const char *why, struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "tensor %s: %s",
                      safetensors_quote(tensor, strlen(tensor)).text, why);
}

/* False: not one that counts something. */
static bool take_number(const json_t *value, uint64_t *ret_number)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *ret_number = (uint64_t)json_integer_value(value);
    return true;
}

static enum stepd_status take_dtype(const json_t *value, struct safetensors_tensor *tensor,
                                    struct stepd_error *reterr)
{
#define X(name, bits) " " #name
    static const char known[] = SAFETENSORS_DTYPE_MAP(X);
#undef X
    if (!json_is_string(value))
        return refuse(tensor->name, "it has no dtype that is a text", reterr);
    const char *const text = json_string_value(value);
    for (int i = 0; i < SAFETENSORS_DTYPES; i++) {
        if (strcmp(text, safetensors_dtype_name((enum safetensors_dtype)i)) == 0) {
            tensor->dtype = (enum safetensors_dtype)i;
            return STEPD_OK;
        }
    }
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "tensor %s: nothing is known of the dtype %s; known are%s",
                      safetensors_quote(tensor->name, strlen(tensor->name)).text,
                      safetensors_quote(text, strlen(text)).text, known);
}

static enum stepd_status take_shape(const json_t *value, struct safetensors_tensor *tensor,
                                    struct stepd_error *reterr)
{
    if (!json_is_array(value))
        return refuse(tensor->name, "it has no shape that is a list", reterr);
    if (json_array_size(value) > SAFETENSORS_DIMS_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "tensor %s: it has %zu dimensions, and %u are the most that are read",
                          safetensors_quote(tensor->name, strlen(tensor->name)).text,
                          json_array_size(value), SAFETENSORS_DIMS_MAX);
    tensor->dims = json_array_size(value);
    for (size_t i = 0; i < tensor->dims; i++)
        if (!take_number(json_array_get(value, i), &tensor->shape[i]))
            return refuse(tensor->name, "its shape has something that is no whole number from 0 on",
                          reterr);
    return STEPD_OK;
}

static enum stepd_status take_tensor(const char *name, const json_t *value,
                                     struct safetensors_tensor *ret_tensor,
                                     struct stepd_error *reterr)
{
    *ret_tensor = (struct safetensors_tensor){.name = name};
    if (strlen(name) > SAFETENSORS_NAME_MAX_BYTES)
        return refuse(name, "its name is too long", reterr);
    if (!json_is_object(value))
        return refuse(name, "what stands behind its name is no object", reterr);
    enum stepd_status status =
        take_dtype(json_object_get(value, SAFETENSORS_DTYPE), ret_tensor, reterr);
    if (status == STEPD_OK)
        status = take_shape(json_object_get(value, SAFETENSORS_SHAPE), ret_tensor, reterr);
    if (status != STEPD_OK)
        return status;
    const json_t *const offsets = json_object_get(value, SAFETENSORS_OFFSETS);
    if (json_array_size(offsets) != 2 ||
        !take_number(json_array_get(offsets, 0), &ret_tensor->begin) ||
        !take_number(json_array_get(offsets, 1), &ret_tensor->end))
        return refuse(name, "its data_offsets are not two whole numbers from 0 on", reterr);
    if (json_object_size(value) != 3)
        return refuse(name, "it has a key beside dtype, shape and data_offsets, which is unknown",
                      reterr);
    return STEPD_OK;
}

/* ---- All of them ----------------------------------------------------------------------------- */

static enum stepd_status take_texts(json_t *metadata, struct safetensors *file,
                                    struct stepd_error *reterr)
{
    const char *key = NULL;
    json_t *value = NULL;
    if (metadata == NULL)
        return STEPD_OK;
    if (!json_is_object(metadata))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          SAFETENSORS_METADATA " is no object of texts");
    file->text = calloc(json_object_size(metadata) + 1, sizeof *file->text);
    if (file->text == NULL)
        return no_memory(reterr);
    json_object_foreach(metadata, key, value)
    {
        if (!json_is_string(value))
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              SAFETENSORS_METADATA ": what stands behind %s is no text",
                              safetensors_quote(key, strlen(key)).text);
        file->text[file->texts++] =
            (struct safetensors_text){.key = key, .value = json_string_value(value)};
    }
    return STEPD_OK;
}

static enum stepd_status take_tensors(struct safetensors *file, struct stepd_error *reterr)
{
    const char *name = NULL;
    json_t *value = NULL;
    const size_t room = json_object_size(file->json) + 1;
    file->tensor = calloc(room, sizeof *file->tensor);
    file->by_name = calloc(room, sizeof *file->by_name);
    if (file->tensor == NULL || file->by_name == NULL)
        return no_memory(reterr);
    json_object_foreach(file->json, name, value)
    {
        if (strcmp(name, SAFETENSORS_METADATA) == 0)
            continue;
        const enum stepd_status status =
            take_tensor(name, value, &file->tensor[file->tensors], reterr);
        if (status != STEPD_OK)
            return status;
        file->tensors++;
    }
    return STEPD_OK;
}

static int compare_places(const void *a, const void *b)
{
    return safetensors_compare_places(a, b);
}

static int compare_names(const void *a, const void *b)
{
    const struct safetensors_tensor *const *const left = a;
    const struct safetensors_tensor *const *const right = b;
    return strcmp((*left)->name, (*right)->name);
}

static enum stepd_status check_places(struct safetensors *file, uint64_t file_bytes,
                                      struct stepd_error *reterr)
{
    uint64_t at = 0;
    qsort(file->tensor, file->tensors, sizeof *file->tensor, compare_places);
    for (size_t i = 0; i < file->tensors; i++) {
        const enum stepd_status status = safetensors_check_place(&file->tensor[i], &at, reterr);
        if (status != STEPD_OK)
            return status;
        file->by_name[i] = &file->tensor[i];
    }
    qsort(file->by_name, file->tensors, sizeof *file->by_name, compare_names);
    if (at == file_bytes - file->begins_at)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "the tensors of the safetensors file have %" PRIu64
                      " bytes, and behind its head it has %" PRIu64 "%s",
                      at, file_bytes - file->begins_at,
                      at > file_bytes - file->begins_at ? ": it was not written or copied whole"
                                                        : "");
}

enum stepd_status safetensors_decode(const uint8_t *json, size_t json_bytes, uint64_t file_bytes,
                                     struct safetensors *ret_file, struct stepd_error *reterr)
{
    struct safetensors file = {.begins_at = (uint64_t)SAFETENSORS_LENGTH_BYTES + json_bytes};
    enum stepd_status status = parse(json, json_bytes, &file.json, reterr);
    if (status != STEPD_OK)
        return status;
    status = take_texts(json_object_get(file.json, SAFETENSORS_METADATA), &file, reterr);
    if (status == STEPD_OK)
        status = take_tensors(&file, reterr);
    if (status == STEPD_OK)
        status = check_places(&file, file_bytes, reterr);
    if (status != STEPD_OK) {
        safetensors_deinit(&file);
        return status;
    }
    *ret_file = file;
    return STEPD_OK;
}

void safetensors_deinit(struct safetensors *file)
{
    free(file->tensor);
    free(file->text);
    free(file->by_name);
    json_decref(file->json);
    *file = (struct safetensors){.tensors = 0};
}

const struct safetensors_tensor *safetensors_find(const struct safetensors *file, const char *name)
{
    const struct safetensors_tensor key = {.name = name};
    const struct safetensors_tensor *const wanted = &key;
    if (file->tensors == 0)
        return NULL;
    const struct safetensors_tensor *const *const found =
        bsearch(&wanted, file->by_name, file->tensors, sizeof *file->by_name, compare_names);
    return found == NULL ? NULL : *found;
}
