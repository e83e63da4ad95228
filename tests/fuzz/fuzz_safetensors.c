/* SPDX-License-Identifier: Apache-2.0
 *
 * A safetensors file of any bytes, read as its own length says, and as if the head ended with the
 * last bracket, so that a mutation does not fail at the length each time. What must hold:
 *
 *   - a head that is refused is refused with a sentence that can be printed;
 *   - tensors of one that is read lie one behind the other and fill the file, each has the bytes
 *     that its shape makes, and is found by its name;
 *   - what can be printed of it is written again, and reads as the same tensors.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/utf8.h"
#include "server/persist/safetensors.h"
#include "tests/fuzz/fuzz.h"

static void check_error(enum stepd_status status, const struct stepd_error *error)
{
    const size_t n = strlen(error->text);
    FUZZ_CHECK(status == STEPD_INVALID_ARGUMENT || status == STEPD_RESOURCE_EXHAUSTED);
    FUZZ_CHECK(error->code == status && n > 0);
    FUZZ_CHECK(stepd_utf8_printable((const uint8_t *)error->text, n));
}

static void check_same(const struct safetensors *file, const struct safetensors *again)
{
    FUZZ_CHECK(again->tensors == file->tensors && again->texts == file->texts);
    for (size_t i = 0; i < file->tensors; i++) {
        const struct safetensors_tensor *const a = &file->tensor[i];
        const struct safetensors_tensor *const b = safetensors_find(again, a->name);
        FUZZ_CHECK(b != NULL && a->dtype == b->dtype && a->dims == b->dims);
        FUZZ_CHECK(memcmp(a->shape, b->shape, sizeof a->shape) == 0);
        FUZZ_CHECK(a->begin == b->begin && a->end == b->end);
    }
}

/* Our own heads have names only that can be printed, and no more of them than fit. */
static void check_again(const struct safetensors *file, uint64_t bytes)
{
    uint8_t *head = NULL;
    size_t n = 0;
    size_t json = 0;
    struct safetensors again;
    struct stepd_error error = {.text = ""};
    const enum stepd_status status =
        safetensors_encode(file->tensor, file->tensors, file->text, &head, &n, &error);
    if (status != STEPD_OK) {
        check_error(status, &error);
        return;
    }
    FUZZ_CHECK(n % 8 == 0);
    FUZZ_CHECK(safetensors_json_bytes(head, n + bytes, &json, NULL) == STEPD_OK);
    FUZZ_CHECK(json == n - SAFETENSORS_LENGTH_BYTES);
    FUZZ_CHECK(safetensors_decode(head + SAFETENSORS_LENGTH_BYTES, json, n + bytes, &again, NULL) ==
               STEPD_OK);
    check_same(file, &again);
    safetensors_deinit(&again);
    free(head);
}

/* Reads all elements of a tensor, for the sanitizer to see. */
static void widen(const struct safetensors_tensor *tensor, const uint8_t *bytes)
{
    const uint64_t n = safetensors_elements(tensor);
    if (!safetensors_is_real(tensor->dtype))
        return;
    FUZZ_CHECK(n <= tensor->end - tensor->begin);
    float *const floats = malloc(n * sizeof *floats + 1);
    FUZZ_CHECK(floats != NULL);
    safetensors_widen(tensor->dtype, n, bytes + tensor->begin, floats);
    free(floats);
}

static void check_file(const struct safetensors *file, const uint8_t *bytes, size_t n)
{
    uint64_t at = 0;
    for (size_t i = 0; i < file->tensors; i++) {
        const struct safetensors_tensor *const tensor = &file->tensor[i];
        FUZZ_CHECK(tensor->begin == at && tensor->end >= at && tensor->end <= n);
        FUZZ_CHECK(safetensors_find(file, tensor->name) == tensor);
        widen(tensor, bytes);
        at = tensor->end;
    }
    FUZZ_CHECK(at == n);
    check_again(file, n);
}

/* Reads a head of so much JSON, with so many bytes behind it. */
static void run(const uint8_t *json, size_t json_bytes, size_t bytes)
{
    struct safetensors file;
    struct stepd_error error = {.text = ""};
    const enum stepd_status status = safetensors_decode(
        json, json_bytes, SAFETENSORS_LENGTH_BYTES + json_bytes + bytes, &file, &error);
    if (status != STEPD_OK) {
        check_error(status, &error);
        return;
    }
    check_file(&file, json + json_bytes, bytes);
    safetensors_deinit(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct stepd_error error = {.text = ""};
    size_t json = 0;
    const enum stepd_status status = safetensors_json_bytes(bytes, n, &json, &error);
    if (status == STEPD_OK)
        run(bytes + SAFETENSORS_LENGTH_BYTES, json, n - SAFETENSORS_LENGTH_BYTES - json);
    else
        check_error(status, &error);
    size_t end = n;
    while (end > SAFETENSORS_LENGTH_BYTES && bytes[end - 1] != '}')
        end--;
    if (end > SAFETENSORS_LENGTH_BYTES)
        run(bytes + SAFETENSORS_LENGTH_BYTES, end - SAFETENSORS_LENGTH_BYTES, n - end);
    return 0;
}
