/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing the head of a safetensors file. What is written is what safetensors_decode would take:
 * the same rules are held to, before a file that nobody could read exists. Keys are sorted, so that
 * the bytes are the same whatever order the lists have.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "proto/error.h"
#include "proto/utf8.h"
#include "server/persist/safetensors.h"
#include "server/persist/safetensors_internal.h"

#define PAD_BYTES 8u

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                      "no memory for the head of a safetensors file");
}

/* ---- Places ---------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    const struct safetensors_tensor *const *const left = a;
    const struct safetensors_tensor *const *const right = b;
    return safetensors_compare_places(*left, *right);
}

static enum stepd_status check_places(const struct safetensors_tensor *tensor, size_t tensors,
                                      struct stepd_error *reterr)
{
    const struct safetensors_tensor **const sorted = calloc(tensors + 1, sizeof *sorted);
    if (sorted == NULL)
        return no_memory(reterr);
    for (size_t i = 0; i < tensors; i++)
        sorted[i] = &tensor[i];
    qsort(sorted, tensors, sizeof *sorted, compare);
    enum stepd_status status = STEPD_OK;
    uint64_t at = 0;
    for (size_t i = 0; i < tensors && status == STEPD_OK; i++)
        status = safetensors_check_place(sorted[i], &at, reterr);
    free(sorted);
    if (status == STEPD_OK && at > INT64_MAX)
        status = stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                            "%" PRIu64 " bytes of tensors are more than a file can have", at);
    return status;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

/* Gives `value` to `object`, under a key that it must not have. */
static enum stepd_status give(json_t *object, const char *key, json_t *value,
                              struct stepd_error *reterr)
{
    const struct safetensors_quoted quoted = safetensors_quote(key, strlen(key));
    const bool taken = json_object_get(object, key) != NULL;
    if (taken || strlen(key) > SAFETENSORS_NAME_MAX_BYTES) {
        json_decref(value);
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "the name %s %s", quoted.text,
                          taken ? "is there twice, or means something else in this format"
                                : "is longer than a name in a safetensors file may be");
    }
    return json_object_set_new(object, key, value) == 0 ? STEPD_OK : no_memory(reterr);
}

/* A name or text of ours goes to people and programs as it is. */
static enum stepd_status check_text(const char *text, struct stepd_error *reterr)
{
    if (stepd_utf8_printable((const uint8_t *)text, strlen(text)))
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "the name or text %s for a safetensors file is no UTF-8 that can be printed",
                      safetensors_quote(text, strlen(text)).text);
}

static enum stepd_status give_texts(json_t *head, const struct safetensors_text *text,
                                    struct stepd_error *reterr)
{
    json_t *const metadata = json_object();
    enum stepd_status status = metadata == NULL ? no_memory(reterr) : STEPD_OK;
    for (; text != NULL && text->key != NULL && status == STEPD_OK; text++) {
        status = check_text(text->key, reterr);
        if (status == STEPD_OK)
            status = check_text(text->value, reterr);
        if (status == STEPD_OK)
            status = give(metadata, text->key, json_string(text->value), reterr);
    }
    if (status != STEPD_OK) {
        json_decref(metadata);
        return status;
    }
    return give(head, SAFETENSORS_METADATA, metadata, reterr);
}

static json_t *shape_of(const struct safetensors_tensor *tensor)
{
    json_t *const shape = json_array();
    for (size_t i = 0; i < tensor->dims; i++)
        if (json_array_append_new(shape, json_integer((json_int_t)tensor->shape[i])) != 0) {
            json_decref(shape);
            return NULL;
        }
    return shape;
}

static enum stepd_status give_tensor(json_t *head, const struct safetensors_tensor *tensor,
                                     struct stepd_error *reterr)
{
    const enum stepd_status status = check_text(tensor->name, reterr);
    if (status != STEPD_OK)
        return status;
    json_t *const value =
        json_pack("{s:s, s:o, s:[I, I]}", SAFETENSORS_DTYPE, safetensors_dtype_name(tensor->dtype),
                  SAFETENSORS_SHAPE, shape_of(tensor), SAFETENSORS_OFFSETS,
                  (json_int_t)tensor->begin, (json_int_t)tensor->end);
    return value == NULL ? no_memory(reterr) : give(head, tensor->name, value, reterr);
}

/* ---- Bytes ----------------------------------------------------------------------------------- */

static enum stepd_status write_out(const json_t *head, uint8_t **ret_head, size_t *ret_head_bytes,
                                   struct stepd_error *reterr)
{
    const size_t flags = JSON_COMPACT | JSON_SORT_KEYS;
    const size_t n = json_dumpb(head, NULL, 0, flags);
    if (n == 0)
        return no_memory(reterr);
    const size_t padded = (n + PAD_BYTES - 1) / PAD_BYTES * PAD_BYTES;
    if (padded > SAFETENSORS_JSON_MAX_BYTES)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                          "the names of %zu arrays take %zu bytes, and the head of a safetensors "
                          "file has %u at most: shorter names, or fewer tensors, would fit",
                          json_object_size(head), padded, SAFETENSORS_JSON_MAX_BYTES);
    uint8_t *const bytes = malloc(SAFETENSORS_LENGTH_BYTES + padded);
    if (bytes == NULL)
        return no_memory(reterr);
    for (size_t i = 0; i < SAFETENSORS_LENGTH_BYTES; i++)
        bytes[i] = (uint8_t)((uint64_t)padded >> (8 * i));
    uint8_t *const json = bytes + SAFETENSORS_LENGTH_BYTES;
    memset(json, ' ', padded);
    if (json_dumpb(head, (char *)json, padded, flags) != n) {
        free(bytes);
        return no_memory(reterr);
    }
    *ret_head = bytes;
    *ret_head_bytes = SAFETENSORS_LENGTH_BYTES + padded;
    return STEPD_OK;
}

enum stepd_status safetensors_encode(const struct safetensors_tensor *tensor, size_t tensors,
                                     const struct safetensors_text *text, uint8_t **ret_head,
                                     size_t *ret_head_bytes, struct stepd_error *reterr)
{
    enum stepd_status status = check_places(tensor, tensors, reterr);
    if (status != STEPD_OK)
        return status;
    json_t *const head = json_object();
    if (head == NULL)
        return no_memory(reterr);
    status = give_texts(head, text, reterr);
    for (size_t i = 0; i < tensors && status == STEPD_OK; i++)
        status = give_tensor(head, &tensor[i], reterr);
    if (status == STEPD_OK)
        status = write_out(head, ret_head, ret_head_bytes, reterr);
    json_decref(head);
    return status;
}
