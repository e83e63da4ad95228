/* SPDX-License-Identifier: Apache-2.0 */
#include "server/disk/save.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/disk/file.h"
#include "server/persist/arrays.h"
#include "server/persist/manifest.h"

/* Bytes that are made, summed and written while they are in the cache: writes of 1 to 4 MiB run at
 * the disk's speed. */
#define WINDOW_BYTES ((size_t)1 << 20)

struct writing {
    const struct save *save;
    struct shelf_checkpoint checkpoint;
    int folder; /* owned */
    struct arrays *arrays;
    struct manifest_sums sums; /* owned */
    uint8_t *window;           /* owned; WINDOW_BYTES */
    struct checksum *of_file;  /* owned */
    struct checksum *of_array; /* owned */
    uint64_t bytes;            /* written so far */
};

static enum stepd_status refuse(const struct writing *writing, const char *file,
                                struct stepd_error *reterr)
{
    const int cause = errno;
    const char *const remedy = cause == ENOSPC || cause == EDQUOT
                                   ? "; free some room, or keep fewer with checkpoint_keep"
                                   : "";
    return stepd_fail(reterr, STEPD_UNAVAILABLE, "%s/%s/%s: cannot write it: %s%s",
                      writing->save->shelf->name.text, writing->checkpoint.name, file,
                      strerror(cause), remedy);
}

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to write a checkpoint");
}

/* ---- The arrays ------------------------------------------------------------------------------ */

static bool put(struct writing *writing, int file, const void *bytes, size_t n)
{
    struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = n};
    checksum_add(writing->of_file, bytes, n);
    writing->bytes += n;
    return file_write(file, &piece, 1);
}

/* A name in the sums: "<file>/<array>". False: no memory. */
static bool add_array(struct writing *writing, const char *file_name, const struct array *array)
{
    struct manifest_array *const entry = &writing->sums.array[writing->sums.arrays];
    const size_t room = strlen(file_name) + 1 + strlen(array->name) + 1;
    entry->name = malloc(room);
    if (entry->name == NULL)
        return false;
    (void)snprintf(entry->name, room, "%s/%s", file_name, array->name);
    checksum_text(writing->of_array, entry->checksum);
    writing->sums.arrays++;
    return true;
}

static enum stepd_status put_array(struct writing *writing, int file, const char *file_name,
                                   const struct array *array, struct stepd_error *reterr)
{
    const size_t window = WINDOW_BYTES / sizeof(float);
    checksum_clear(writing->of_array);
    for (uint64_t first = 0; first < array->floats; first += window) {
        const uint64_t left = array->floats - first;
        const size_t n = left < window ? (size_t)left : window;
        if (atomic_load_explicit(writing->save->stop, memory_order_relaxed))
            return stepd_fail(reterr, STEPD_CANCELLED, "the daemon ends before it is written");
        array_encode(array, first, n, writing->window);
        checksum_add(writing->of_array, writing->window, n * sizeof(float));
        if (!put(writing, file, writing->window, n * sizeof(float)))
            return refuse(writing, file_name, reterr);
    }
    return add_array(writing, file_name, array) ? STEPD_OK : no_memory(reterr);
}

static enum stepd_status put_head(struct writing *writing, int file, enum arrays_file which,
                                  const char *file_name, struct stepd_error *reterr)
{
    char step[24];
    (void)snprintf(step, sizeof step, "%" PRIu64, writing->checkpoint.step);
    /* What readers of PyTorch's world ask for, and where it is from. */
    const struct safetensors_text text[] = {
        {.key = "format", .value = "pt"},
        {.key = "stepd_job", .value = writing->save->snapshot->job->name},
        {.key = "stepd_step", .value = step},
        {.key = NULL},
    };
    uint8_t *head = NULL;
    size_t head_bytes = 0;
    enum stepd_status status =
        arrays_head(writing->arrays, which, text, &head, &head_bytes, reterr);
    if (status == STEPD_OK && !put(writing, file, head, head_bytes))
        status = refuse(writing, file_name, reterr);
    free(head);
    return status;
}

/* Syncs and closes a file in every case. */
static enum stepd_status finish(const struct writing *writing, int file, const char *file_name,
                                enum stepd_status status, struct stepd_error *reterr)
{
    if (status != STEPD_OK) {
        file_close(file); /* it is given up */
        return status;
    }
    return file_finish(file) ? STEPD_OK : refuse(writing, file_name, reterr);
}

static bool add_file(struct writing *writing, const char *file_name, uint64_t bytes)
{
    struct manifest_file *const entry = &writing->sums.file[writing->sums.files];
    entry->name = strdup(file_name);
    entry->bytes = bytes;
    checksum_text(writing->of_file, entry->checksum);
    writing->sums.files += entry->name != NULL;
    return entry->name != NULL;
}

static enum stepd_status put_arrays(struct writing *writing, enum arrays_file which,
                                    const char *file_name, struct stepd_error *reterr)
{
    const struct arrays_list *const list = &writing->arrays->file[which];
    const uint64_t before = writing->bytes;
    const int file = file_create(writing->folder, file_name);
    if (file < 0)
        return refuse(writing, file_name, reterr);
    checksum_clear(writing->of_file);
    enum stepd_status status = put_head(writing, file, which, file_name, reterr);
    for (size_t i = 0; i < list->count && status == STEPD_OK; i++)
        status = put_array(writing, file, file_name, &list->array[i], reterr);
    if (status == STEPD_OK && !add_file(writing, file_name, writing->bytes - before))
        status = no_memory(reterr);
    return finish(writing, file, file_name, status, reterr);
}

/* ---- The manifest ---------------------------------------------------------------------------- */

static enum stepd_status put_manifest(struct writing *writing, struct stepd_error *reterr)
{
    const struct job_snapshot *const snapshot = writing->save->snapshot;
    const struct manifest_source source = {
        .stepd = writing->save->stepd,
        .snapshot = snapshot,
        .share = snapshot->share,
        .shares = snapshot->shares,
        .sums = &writing->sums,
    };
    char *text = NULL;
    size_t length = 0;
    enum stepd_status status = manifest_encode(&source, &text, &length, reterr);
    if (status != STEPD_OK)
        return status;
    const int file = file_create(writing->folder, MANIFEST_FILE);
    if (file < 0 || !put(writing, file, text, length))
        status = refuse(writing, MANIFEST_FILE, reterr);
    free(text);
    return file < 0 ? status : finish(writing, file, MANIFEST_FILE, status, reterr);
}

/* ---- All of it ------------------------------------------------------------------------------- */

static enum stepd_status make(struct writing *writing, struct stepd_error *reterr)
{
    const struct job_snapshot *const snapshot = writing->save->snapshot;
    const enum stepd_status status =
        arrays_create(snapshot->share, snapshot->shares, &writing->arrays, reterr);
    if (status != STEPD_OK)
        return status;
    size_t arrays = 0;
    for (size_t i = 0; i < ARRAYS_FILES; i++)
        arrays += writing->arrays->file[i].count;
    writing->sums.array = calloc(arrays + 1, sizeof *writing->sums.array);
    writing->sums.file = calloc(ARRAYS_FILES, sizeof *writing->sums.file);
    writing->window = malloc(WINDOW_BYTES);
    writing->of_file = checksum_create();
    writing->of_array = checksum_create();
    const bool made = writing->sums.array != NULL && writing->sums.file != NULL &&
                      writing->window != NULL && writing->of_file != NULL &&
                      writing->of_array != NULL;
    return made ? STEPD_OK : no_memory(reterr);
}

static void unmake(struct writing *writing)
{
    for (size_t i = 0; i < writing->sums.arrays; i++)
        free(writing->sums.array[i].name);
    for (size_t i = 0; i < writing->sums.files; i++)
        free(writing->sums.file[i].name);
    free(writing->sums.array);
    free(writing->sums.file);
    free(writing->window);
    (void)checksum_destroy(writing->of_file);
    (void)checksum_destroy(writing->of_array);
    (void)arrays_destroy(writing->arrays);
}

static enum stepd_status put_all(struct writing *writing, struct stepd_error *reterr)
{
    enum stepd_status status = put_arrays(writing, ARRAYS_MODEL, SAVE_MODEL_FILE, reterr);
    if (status == STEPD_OK)
        status = put_arrays(writing, ARRAYS_OPTIMIZER, SAVE_OPTIMIZER_FILE, reterr);
    if (status == STEPD_OK)
        status = put_manifest(writing, reterr);
    if (status == STEPD_OK)
        status = shelf_commit(writing->save->shelf, writing->folder, &writing->checkpoint, reterr);
    return status;
}

enum stepd_status save_checkpoint(const struct save *save, uint64_t *ret_bytes,
                                  struct stepd_error *reterr)
{
    struct writing writing = {.save = save, .checkpoint = shelf_checkpoint_of(save->step)};
    enum stepd_status status = make(&writing, reterr);
    if (status == STEPD_OK) {
        writing.folder = shelf_begin(save->shelf, &writing.checkpoint, reterr);
        status = writing.folder < 0 ? STEPD_UNAVAILABLE : put_all(&writing, reterr);
        if (writing.folder >= 0)
            file_close(writing.folder);
        if (status != STEPD_OK)
            shelf_abandon(save->shelf, &writing.checkpoint);
    }
    *ret_bytes = writing.bytes;
    unmake(&writing);
    return status;
}
