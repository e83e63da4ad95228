/* SPDX-License-Identifier: Apache-2.0 */
#include "server/disk/load.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "proto/error.h"
#include "server/disk/file.h"
#include "server/disk/save.h"
#include "server/persist/arrays.h"
#include "server/persist/checksum.h"

#define WINDOW_BYTES ((size_t)1 << 20)

static const char *const file_names[ARRAYS_FILES] = {
    [ARRAYS_MODEL] = SAVE_MODEL_FILE,
    [ARRAYS_OPTIMIZER] = SAVE_OPTIMIZER_FILE,
};

static enum stepd_status refuse(const char *name, const char *doing, struct stepd_error *reterr)
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

/* ---- The manifest ---------------------------------------------------------------------------- */

enum stepd_status load_manifest_text(int folder, char **ret_text, size_t *ret_length,
                                     struct stepd_error *reterr)
{
    uint64_t bytes = 0;
    const int file = file_open(folder, MANIFEST_FILE, &bytes);
    if (file < 0)
        return refuse(MANIFEST_FILE, "open", reterr);
    char *const text = bytes > MANIFEST_MAX_BYTES ? NULL : malloc((size_t)bytes + 1);
    enum stepd_status status = STEPD_OK;
    if (text == NULL)
        status = stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                            "%s has %" PRIu64 " bytes, at most %zu are read, and there must be "
                            "memory for them",
                            MANIFEST_FILE, bytes, MANIFEST_MAX_BYTES);
    else if (!file_read(file, text, (size_t)bytes, 0))
        status = refuse(MANIFEST_FILE, "read", reterr);
    file_close(file);
    if (status != STEPD_OK) {
        free(text);
        return status;
    }
    *ret_text = text;
    *ret_length = (size_t)bytes;
    return STEPD_OK;
}

enum stepd_status load_manifest(int folder, struct manifest *ret_manifest,
                                struct stepd_error *reterr)
{
    char *text = NULL;
    size_t length = 0;
    enum stepd_status status = load_manifest_text(folder, &text, &length, reterr);
    if (status == STEPD_OK)
        status = manifest_parse(text, length, ret_manifest, reterr);
    free(text);
    return status;
}

/* ---- A file of arrays ------------------------------------------------------------------------ */

struct reading {
    const char *name;
    int file; /* owned */
    uint64_t bytes;
    uint64_t at;               /* bytes that were read */
    uint8_t *window;           /* owned; WINDOW_BYTES */
    struct checksum *of_file;  /* owned */
    struct checksum *of_array; /* owned */
};

static enum stepd_status get(struct reading *reading, void *bytes, size_t n,
                             struct stepd_error *reterr)
{
    if (!file_read(reading->file, bytes, n, reading->at))
        return refuse(reading->name, "read", reterr);
    checksum_add(reading->of_file, bytes, n);
    reading->at += n;
    return STEPD_OK;
}

static enum stepd_status no_memory(const struct reading *reading, struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "%s: no memory to read it", reading->name);
}

static enum stepd_status get_head(struct reading *reading, struct safetensors *ret_head,
                                  struct stepd_error *reterr)
{
    uint8_t first[SAFETENSORS_LENGTH_BYTES];
    size_t json_bytes = 0;
    const size_t n = reading->bytes < sizeof first ? (size_t)reading->bytes : sizeof first;
    enum stepd_status status = get(reading, first, n, reterr);
    if (status == STEPD_OK)
        status = safetensors_json_bytes(first, reading->bytes, &json_bytes, reterr);
    if (status != STEPD_OK)
        return status;
    uint8_t *const json = malloc(json_bytes + 1);
    if (json == NULL)
        return no_memory(reading, reterr);
    status = get(reading, json, json_bytes, reterr);
    if (status == STEPD_OK)
        status = safetensors_decode(json, json_bytes, reading->bytes, ret_head, reterr);
    free(json);
    return status;
}

static enum stepd_status get_array(struct reading *reading, const struct array *array,
                                   const struct manifest_sums *sums, struct stepd_error *reterr)
{
    const size_t window = WINDOW_BYTES / sizeof(float);
    checksum_clear(reading->of_array);
    for (uint64_t first = 0; first < array->floats; first += window) {
        const uint64_t left = array->floats - first;
        const size_t n = left < window ? (size_t)left : window;
        const enum stepd_status status = get(reading, reading->window, n * sizeof(float), reterr);
        if (status != STEPD_OK)
            return status;
        checksum_add(reading->of_array, reading->window, n * sizeof(float));
        array_decode(array, first, n, reading->window);
    }
    char name[SAFETENSORS_NAME_MAX_BYTES + 64];
    char text[CHECKSUM_TEXT_BYTES];
    (void)stepd_format(name, sizeof name, "%s/%s", reading->name, array->name);
    checksum_text(reading->of_array, text);
    const char *const expected = manifest_sums_array(sums, name);
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

/* Has a file the length that the manifest says? *ret_expected: what it says; borrowed. */
static enum stepd_status check_length(const char *name, uint64_t bytes,
                                      const struct manifest_sums *sums,
                                      const struct manifest_file **ret_expected,
                                      struct stepd_error *reterr)
{
    const struct manifest_file *const expected = manifest_sums_file(sums, name);
    if (expected == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "the manifest has no checksum of %s",
                          name);
    if (expected->bytes != bytes)
        return stepd_fail(reterr, STEPD_DATA_LOSS,
                          "%s has %" PRIu64 " bytes, and the manifest says %" PRIu64, name, bytes,
                          expected->bytes);
    *ret_expected = expected;
    return STEPD_OK;
}

static enum stepd_status get_file(struct reading *reading, struct arrays *arrays,
                                  enum arrays_file which, const struct manifest_sums *sums,
                                  struct stepd_error *reterr)
{
    const struct manifest_file *expected = NULL;
    struct safetensors head;
    enum stepd_status status = check_length(reading->name, reading->bytes, sums, &expected, reterr);
    if (status != STEPD_OK)
        return status;
    status = get_head(reading, &head, reterr);
    if (status != STEPD_OK)
        return stepd_fail_in(reterr, status, "%s", reading->name);
    status = arrays_match(arrays, which, &head, reterr);
    safetensors_deinit(&head);
    if (status != STEPD_OK)
        return stepd_fail_in(reterr, status, "%s", reading->name);
    const struct arrays_list *const list = &arrays->file[which];
    for (size_t i = 0; i < list->count && status == STEPD_OK; i++)
        status = get_array(reading, &list->array[i], sums, reterr);
    char text[CHECKSUM_TEXT_BYTES];
    checksum_text(reading->of_file, text);
    if (status == STEPD_OK && strcmp(text, expected->checksum) != 0)
        return stepd_fail(reterr, STEPD_DATA_LOSS,
                          "%s has checksum %s, and the manifest says %s: bytes of its head have "
                          "changed on the disk",
                          reading->name, text, expected->checksum);
    return status;
}

static enum stepd_status read_file(int folder, struct arrays *arrays, enum arrays_file which,
                                   const struct manifest_sums *sums, struct stepd_error *reterr)
{
    struct reading reading = {.name = file_names[which]};
    reading.file = file_open(folder, reading.name, &reading.bytes);
    if (reading.file < 0)
        return refuse(reading.name, "open", reterr);
    reading.window = malloc(WINDOW_BYTES);
    reading.of_file = checksum_create();
    reading.of_array = checksum_create();
    const bool made = reading.window != NULL && reading.of_file != NULL && reading.of_array != NULL;
    const enum stepd_status status =
        made ? get_file(&reading, arrays, which, sums, reterr) : no_memory(&reading, reterr);
    file_close(reading.file);
    free(reading.window);
    (void)checksum_destroy(reading.of_file);
    (void)checksum_destroy(reading.of_array);
    return status;
}

/* ---- All of it ------------------------------------------------------------------------------- */

static enum stepd_status allocate(struct manifest *manifest, uint64_t bytes_max,
                                  struct stepd_error *reterr)
{
    const size_t slices = manifest->state->job->layout.slices;
    bool(*const view_made)[STEPD_VIEWS] = calloc(slices, sizeof *view_made);
    if (view_made == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to read a checkpoint");
    for (size_t i = 0; i < slices; i++)
        memcpy(view_made[i], manifest->slice[i].view, sizeof view_made[i]);
    const enum stepd_status status =
        arrays_allocate(manifest->state, (const bool(*)[STEPD_VIEWS])view_made, bytes_max, reterr);
    free(view_made);
    return status;
}

static enum stepd_status read_arrays(int folder, struct manifest *manifest, uint64_t bytes_max,
                                     struct stepd_error *reterr)
{
    enum stepd_status status = allocate(manifest, bytes_max, reterr);
    if (status != STEPD_OK)
        return status;
    struct arrays *arrays = NULL;
    const struct job_state *const share = manifest->state;
    status = arrays_create(&share, 1, &arrays, reterr);
    for (int which = 0; which < (int)ARRAYS_FILES && status == STEPD_OK; which++)
        status = read_file(folder, arrays, (enum arrays_file)which, &manifest->sums, reterr);
    (void)arrays_destroy(arrays);
    return status;
}

/* Where another cut cannot be made, the job goes on with the one that it has. */
static void recut(struct manifest *manifest, const struct load_cut *cut)
{
    const struct job *const job = manifest->state->job;
    const uint32_t from = job->slice_elements;
    const uint32_t to =
        cut->slice_elements == NULL ? 0 : cut->slice_elements(cut->owner, job->name);
    struct stepd_error error = {.code = STEPD_OK};
    if (to == 0 || to == from)
        return;
    if (manifest_recut(manifest, to, &error) == STEPD_OK)
        log_event(cut->log, LOG_INFO, "slices_recut", "job=%s slice_elements=%u from=%u",
                  manifest->state->job->name, to, from);
    else
        log_event(cut->log, LOG_WARN, "slices_not_recut",
                  "job=%s slice_elements=%u stays=%u cause=%s", job->name, to, from, error.text);
}

enum stepd_status load_checkpoint_cut(int folder, uint64_t bytes_max, const struct load_cut *cut,
                                      struct manifest *ret_manifest, struct stepd_error *reterr)
{
    enum stepd_status status = load_manifest(folder, ret_manifest, reterr);
    if (status != STEPD_OK)
        return status;
    if (cut != NULL)
        recut(ret_manifest, cut);
    status = read_arrays(folder, ret_manifest, bytes_max, reterr);
    if (status != STEPD_OK)
        manifest_deinit(ret_manifest);
    return status;
}

enum stepd_status load_checkpoint(int folder, uint64_t bytes_max, struct manifest *ret_manifest,
                                  struct stepd_error *reterr)
{
    return load_checkpoint_cut(folder, bytes_max, /* cut= */ NULL, ret_manifest, reterr);
}

enum stepd_status load_check_files(int folder, const struct manifest *manifest,
                                   struct stepd_error *reterr)
{
    for (int which = 0; which < (int)ARRAYS_FILES; which++) {
        const char *const name = file_names[which];
        const struct manifest_file *expected = NULL;
        uint64_t bytes = 0;
        const int file = file_open(folder, name, &bytes);
        if (file < 0)
            return refuse(name, "open", reterr);
        file_close(file);
        const enum stepd_status status =
            check_length(name, bytes, &manifest->sums, &expected, reterr);
        if (status != STEPD_OK)
            return status;
    }
    return STEPD_OK;
}

struct load_extent load_extent_of(int folder, const struct manifest *manifest)
{
    struct load_extent extent = {.bytes = 0};
    struct stat stat;
    const time_t now = time(NULL);
    for (size_t i = 0; i < manifest->sums.files; i++)
        extent.bytes += manifest->sums.file[i].bytes;
    if (fstatat(folder, MANIFEST_FILE, &stat, AT_SYMLINK_NOFOLLOW) != 0)
        return extent;
    extent.bytes += (uint64_t)stat.st_size;
    extent.age_ms = now > stat.st_mtime ? (uint64_t)(now - stat.st_mtime) * 1000 : 0;
    return extent;
}
