/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading the files of arrays, each twice: first its head, from which it is planned what of it goes
 * where (persist/arrays_plan.h), and when all of the state is known to be there, the floats. The
 * second time the head is read too, for the checksum of the whole file; so nothing depends on what
 * somebody may have put in its place in between.
 */
#include "server/disk/load_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/disk/file.h"
#include "server/persist/arrays_plan.h"
#include "server/persist/checksum.h"
#include "server/persist/portion.h"

#define WINDOW_BYTES ((size_t)1 << 20)

enum stepd_status load_refuse(const char *name, const char *doing, struct stepd_error *reterr)
{
    const int cause = errno;
    const enum stepd_status code = cause == ENOENT    ? STEPD_NOT_FOUND
                                   : cause == ENODATA ? STEPD_DATA_LOSS
                                                      : STEPD_UNAVAILABLE;
    return stepd_fail(reterr, code, "%s: cannot %s it: %s", name, doing,
                      cause == EINVAL  ? "it is no regular file"
                      : cause == ELOOP ? "it is a symbolic link"
                                       : strerror(cause));
}

enum stepd_status load_check_length(const struct manifest_file *expected, uint64_t bytes,
                                    struct stepd_error *reterr)
{
    if (expected->bytes == bytes)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_DATA_LOSS,
                      "%s has %" PRIu64 " bytes, and the manifest says %" PRIu64, expected->name,
                      bytes, expected->bytes);
}

static enum stepd_status no_memory(const char *name, struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "%s: no memory to read it", name);
}

/* ---- Heads ----------------------------------------------------------------------------------- */

static enum stepd_status read_head(int file, const char *name, uint64_t bytes,
                                   struct safetensors *ret_head, struct stepd_error *reterr)
{
    uint8_t first[SAFETENSORS_LENGTH_BYTES];
    size_t json_bytes = 0;
    const size_t n = bytes < sizeof first ? (size_t)bytes : sizeof first;
    if (!file_read(file, first, n, 0))
        return load_refuse(name, "read", reterr);
    enum stepd_status status = safetensors_json_bytes(first, bytes, &json_bytes, reterr);
    if (status != STEPD_OK)
        return stepd_fail_in(reterr, status, "%s", name);
    uint8_t *const json = malloc(json_bytes + 1);
    if (json == NULL)
        return no_memory(name, reterr);
    if (!file_read(file, json, json_bytes, sizeof first)) {
        status = load_refuse(name, "read", reterr);
    } else {
        status = safetensors_decode(json, json_bytes, bytes, ret_head, reterr);
        if (status != STEPD_OK)
            (void)stepd_fail_in(reterr, status, "%s", name);
    }
    free(json);
    return status;
}

static enum stepd_status plan_file(int folder, const struct manifest_file *expected,
                                   struct arrays_plan *plan, struct stepd_error *reterr)
{
    enum arrays_file which = ARRAYS_MODEL;
    uint32_t index = 0;
    uint32_t portions = 0;
    uint64_t bytes = 0;
    struct safetensors head;
    (void)portion_file_parse(expected->name, &which, &index, &portions); /* portion_count has */
    const int file = file_open(folder, expected->name, &bytes);
    if (file < 0)
        return load_refuse(expected->name, "open", reterr);
    enum stepd_status status = load_check_length(expected, bytes, reterr);
    if (status == STEPD_OK)
        status = read_head(file, expected->name, bytes, &head, reterr);
    file_close(file);
    if (status != STEPD_OK)
        return status;
    status = arrays_plan_add(plan, which, &head, reterr);
    safetensors_deinit(&head);
    return status == STEPD_OK ? status : stepd_fail_in(reterr, status, "%s", expected->name);
}

/* ---- Floats ---------------------------------------------------------------------------------- */

struct reading {
    const struct manifest_sums *sums;
    const struct manifest_file *expected;
    const struct arrays_plan *plan;
    int file;                  /* owned */
    uint8_t *window;           /* owned; WINDOW_BYTES */
    struct checksum *of_file;  /* owned */
    struct checksum *of_array; /* owned */
};

/* Reads and sums a range of the file. */
static enum stepd_status get(const struct reading *reading, uint64_t at, size_t n,
                             struct stepd_error *reterr)
{
    if (!file_read(reading->file, reading->window, n, at))
        return load_refuse(reading->expected->name, "read", reterr);
    checksum_add(reading->of_file, reading->window, n);
    return STEPD_OK;
}

static enum stepd_status get_head(const struct reading *reading, uint64_t bytes,
                                  struct stepd_error *reterr)
{
    enum stepd_status status = STEPD_OK;
    for (uint64_t at = 0; at < bytes && status == STEPD_OK; at += WINDOW_BYTES) {
        const uint64_t left = bytes - at;
        status = get(reading, at, left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES, reterr);
    }
    return status;
}

static enum stepd_status check_array(const struct reading *reading,
                                     const struct arrays_found *found, struct stepd_error *reterr)
{
    char name[SAFETENSORS_NAME_MAX_BYTES + PORTION_FILE_BYTES + 2];
    char text[CHECKSUM_TEXT_BYTES];
    (void)stepd_format(name, sizeof name, "%s/%s", reading->expected->name, found->name);
    checksum_text(reading->of_array, text);
    const char *const expected = manifest_sums_array(reading->sums, name);
    if (expected == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "the manifest has no checksum of %s",
                          name);
    if (strcmp(expected, text) != 0)
        return stepd_fail(reterr, STEPD_DATA_LOSS,
                          "%s has checksum %s, and the manifest says %s: bytes have changed on the "
                          "disk",
                          name, text, expected);
    return STEPD_OK;
}

static enum stepd_status get_array(const struct reading *reading, uint64_t begins_at,
                                   const struct arrays_found *found, struct stepd_error *reterr)
{
    const size_t window = WINDOW_BYTES / sizeof(float);
    checksum_clear(reading->of_array);
    for (uint64_t first = 0; first < found->floats; first += window) {
        const uint64_t left = found->floats - first;
        const size_t n = left < window ? (size_t)left : window;
        const uint64_t at = begins_at + found->begin + first * sizeof(float);
        const enum stepd_status status = get(reading, at, n * sizeof(float), reterr);
        if (status != STEPD_OK)
            return status;
        checksum_add(reading->of_array, reading->window, n * sizeof(float));
        arrays_plan_put(reading->plan, found, first, n, reading->window);
    }
    return check_array(reading, found, reterr);
}

static enum stepd_status get_file(const struct reading *reading,
                                  const struct arrays_file_plan *file, struct stepd_error *reterr)
{
    char text[CHECKSUM_TEXT_BYTES];
    enum stepd_status status = STEPD_OK;
    checksum_clear(reading->of_file);
    if (file->whole)
        status = get_head(reading, file->begins_at, reterr);
    for (size_t i = 0; i < file->count && status == STEPD_OK; i++)
        status = get_array(reading, file->begins_at, &file->found[i], reterr);
    if (status != STEPD_OK || !file->whole)
        return status;
    checksum_text(reading->of_file, text);
    if (strcmp(text, reading->expected->checksum) == 0)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_DATA_LOSS,
                      "%s has checksum %s, and the manifest says %s: bytes of its head have "
                      "changed on the disk",
                      reading->expected->name, text, reading->expected->checksum);
}

static enum stepd_status read_file(int folder, struct reading *reading,
                                   const struct arrays_file_plan *file, struct stepd_error *reterr)
{
    uint64_t bytes = 0;
    if (file->count == 0 && !file->whole)
        return STEPD_OK;
    reading->file = file_open(folder, reading->expected->name, &bytes);
    if (reading->file < 0)
        return load_refuse(reading->expected->name, "open", reterr);
    const enum stepd_status status = get_file(reading, file, reterr);
    file_close(reading->file);
    return status;
}

static enum stepd_status read_files(int folder, const struct manifest_sums *sums,
                                    const struct arrays_plan *plan, struct stepd_error *reterr)
{
    struct reading reading = {
        .sums = sums,
        .plan = plan,
        .window = malloc(WINDOW_BYTES),
        .of_file = checksum_create(),
        .of_array = checksum_create(),
    };
    const bool made = reading.window != NULL && reading.of_file != NULL && reading.of_array != NULL;
    enum stepd_status status = made ? STEPD_OK : no_memory(MANIFEST_FILE, reterr);
    for (size_t i = 0; i < sums->files && status == STEPD_OK; i++) {
        reading.expected = &sums->file[i];
        status = read_file(folder, &reading, &plan->file[i], reterr);
    }
    free(reading.window);
    (void)checksum_destroy(reading.of_file);
    (void)checksum_destroy(reading.of_array);
    return status;
}

enum stepd_status load_arrays(int folder, const struct manifest_sums *sums,
                              const struct arrays *arrays, bool all, struct stepd_error *reterr)
{
    struct arrays_plan *plan = NULL;
    uint32_t portions = 0;
    enum stepd_status status = portion_count(sums, &portions, reterr);
    if (status == STEPD_OK)
        status = arrays_plan_create(arrays, portions, all, &plan, reterr);
    for (size_t i = 0; i < sums->files && status == STEPD_OK; i++)
        status = plan_file(folder, &sums->file[i], plan, reterr);
    if (status == STEPD_OK)
        status = arrays_plan_check(plan, reterr);
    if (status == STEPD_OK)
        status = read_files(folder, sums, plan, reterr);
    (void)arrays_plan_destroy(plan);
    return status;
}
