/* SPDX-License-Identifier: Apache-2.0 */
#include "server/disk/save.h"

#include <assert.h>
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
    const char *shelf; /* for texts; borrowed, as is all but what is owned */
    const struct job *job;
    const struct job_state *const *share;
    size_t shares;
    uint32_t index; /* of the portion */
    uint32_t portions;
    const atomic_bool *stop;
    struct shelf_begun begun;  /* owned */
    struct arrays *arrays;     /* owned */
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
    return stepd_fail(reterr, STEPD_UNAVAILABLE, "%s/%s/%s: cannot write it: %s%s", writing->shelf,
                      writing->begun.checkpoint.name, file, strerror(cause), remedy);
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
        if (atomic_load_explicit(writing->stop, memory_order_relaxed))
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
    (void)snprintf(step, sizeof step, "%" PRIu64, writing->begun.checkpoint.step);
    /* What readers of PyTorch's world ask for, and where it is from. */
    const struct safetensors_text text[] = {
        {.key = "format", .value = "pt"},
        {.key = "stepd_job", .value = writing->job->name},
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
                                    struct stepd_error *reterr)
{
    const struct portion_file_name name = portion_file(which, writing->index, writing->portions);
    const char *const file_name = name.text;
    const struct arrays_list *const list = &writing->arrays->file[which];
    const uint64_t before = writing->bytes;
    const int file = file_create(writing->begun.folder, file_name);
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

static enum stepd_status put_manifest(struct writing *writing, const struct save *save,
                                      struct stepd_error *reterr)
{
    const struct manifest_source source = {
        .stepd = save->stepd,
        .snapshot = save->snapshot,
        .share = save->snapshot->share,
        .shares = save->snapshot->shares,
        .sums = &writing->sums,
    };
    char *text = NULL;
    size_t length = 0;
    enum stepd_status status = manifest_encode(&source, &text, &length, reterr);
    if (status != STEPD_OK)
        return status;
    const int file = file_create(writing->begun.folder, MANIFEST_FILE);
    if (file < 0 || !put(writing, file, text, length))
        status = refuse(writing, MANIFEST_FILE, reterr);
    free(text);
    return file < 0 ? status : finish(writing, file, MANIFEST_FILE, status, reterr);
}

/* ---- What it takes --------------------------------------------------------------------------- */

static enum stepd_status make_sums(struct writing *writing, size_t files, size_t arrays,
                                   struct stepd_error *reterr)
{
    writing->sums.array = calloc(arrays + 1, sizeof *writing->sums.array);
    writing->sums.file = calloc(files, sizeof *writing->sums.file);
    writing->of_file = checksum_create();
    return writing->sums.array != NULL && writing->sums.file != NULL && writing->of_file != NULL
               ? STEPD_OK
               : no_memory(reterr);
}

static enum stepd_status make(struct writing *writing, struct stepd_error *reterr)
{
    const enum stepd_status status =
        writing->portions == 1
            ? arrays_create(writing->share, writing->shares, &writing->arrays, reterr)
            : arrays_create_portion(writing->share, writing->shares, &writing->arrays, reterr);
    if (status != STEPD_OK)
        return status;
    size_t arrays = 0;
    for (size_t i = 0; i < ARRAYS_FILES; i++)
        arrays += writing->arrays->file[i].count;
    writing->window = malloc(WINDOW_BYTES);
    writing->of_array = checksum_create();
    if (writing->window == NULL || writing->of_array == NULL)
        return no_memory(reterr);
    return make_sums(writing, ARRAYS_FILES, arrays, reterr);
}

static void unmake(struct writing *writing)
{
    shelf_begun_close(&writing->begun);
    manifest_sums_deinit(&writing->sums);
    free(writing->window);
    (void)checksum_destroy(writing->of_file);
    (void)checksum_destroy(writing->of_array);
    (void)arrays_destroy(writing->arrays);
}

static enum stepd_status put_files(struct writing *writing, struct stepd_error *reterr)
{
    const enum stepd_status status = put_arrays(writing, ARRAYS_MODEL, reterr);
    return status == STEPD_OK ? put_arrays(writing, ARRAYS_OPTIMIZER, reterr) : status;
}

/* ---- By one daemon --------------------------------------------------------------------------- */

static struct writing writing_of(const struct save *save, uint32_t portions)
{
    return (struct writing){
        .shelf = save->shelf->name.text,
        .job = save->snapshot->job,
        .share = save->snapshot->share,
        .shares = save->snapshot->shares,
        .portions = portions,
        .stop = save->stop,
        .begun = {.folder = -1},
    };
}

enum stepd_status save_checkpoint(const struct save *save, uint64_t *ret_bytes,
                                  struct stepd_error *reterr)
{
    const struct shelf_checkpoint checkpoint = shelf_checkpoint_of(save->step);
    struct writing writing = writing_of(save, 1);
    enum stepd_status status = make(&writing, reterr);
    if (status == STEPD_OK)
        status = shelf_begin(save->shelf, &checkpoint, /* apart= */ false, &writing.begun, reterr);
    const bool begun = status == STEPD_OK;
    if (status == STEPD_OK)
        status = put_files(&writing, reterr);
    if (status == STEPD_OK)
        status = put_manifest(&writing, save, reterr);
    if (status == STEPD_OK)
        status = shelf_commit(save->shelf, &writing.begun, reterr);
    if (begun && status != STEPD_OK)
        shelf_abandon(save->shelf, &writing.begun);
    *ret_bytes = writing.bytes;
    unmake(&writing);
    return status;
}

/* ---- By several ------------------------------------------------------------------------------ */

enum stepd_status save_begin(const struct shelf *shelf, uint64_t step,
                             struct portion_place *ret_place, struct stepd_error *reterr)
{
    static_assert(STORE_SHELF_BYTES <= PORTION_SHELF_BYTES &&
                      SHELF_BEGUN_BYTES <= PORTION_FOLDER_BYTES,
                  "a place names both");
    const struct shelf_checkpoint checkpoint = shelf_checkpoint_of(step);
    struct shelf_begun begun;
    const enum stepd_status status =
        shelf_begin(shelf, &checkpoint, /* apart= */ true, &begun, reterr);
    if (status != STEPD_OK)
        return status;
    *ret_place = (struct portion_place){.shelf = ""};
    memcpy(ret_place->shelf, shelf->name.text, sizeof shelf->name.text);
    memcpy(ret_place->folder, begun.name, sizeof begun.name);
    shelf_begun_close(&begun);
    return STEPD_OK;
}

/* Opens the shelf that a place, which may be a peer's, names. */
static enum stepd_status open_shelf(const struct store *store, const struct portion_place *place,
                                    struct shelf *ret_shelf, struct stepd_error *reterr)
{
    struct store_shelf_name name;
    const size_t length = strnlen(place->shelf, sizeof place->shelf);
    if (length == 0 || length >= sizeof name.text ||
        strnlen(place->folder, sizeof place->folder) >= SHELF_BEGUN_BYTES ||
        !store_is_shelf_name(place->shelf))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "the folder to write to is none of a job's checkpoints");
    memcpy(name.text, place->shelf, length + 1);
    return shelf_open(store, &name, ret_shelf, reterr);
}

static enum stepd_status check_request(const struct portion_request *request,
                                       struct stepd_error *reterr)
{
    if (request->portions > 1 && request->portions <= PORTIONS_MAX &&
        request->index < request->portions)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "there is no portion %u of %u; a checkpoint has 2 to %u", request->index + 1,
                      request->portions, PORTIONS_MAX);
}

static enum stepd_status write_portion(const struct shelf *shelf, struct writing *writing,
                                       const char *folder, struct stepd_error *reterr)
{
    enum stepd_status status = make(writing, reterr);
    if (status == STEPD_OK)
        status = shelf_open_begun(shelf, folder, &writing->begun, reterr);
    if (status == STEPD_OK)
        status = put_files(writing, reterr);
    if (status == STEPD_OK && !file_sync_folder(writing->begun.folder))
        status = refuse(writing, "", reterr);
    return status;
}

enum stepd_status save_portion(const struct save_portion *portion, struct manifest_sums *ret_sums,
                               struct stepd_error *reterr)
{
    const struct portion_request *const request = portion->request;
    struct shelf shelf;
    enum stepd_status status = check_request(request, reterr);
    if (status == STEPD_OK)
        status = open_shelf(portion->store, &request->place, &shelf, reterr);
    if (status != STEPD_OK)
        return status;
    struct writing writing = {
        .shelf = shelf.name.text,
        .job = portion->share[0]->job,
        .share = portion->share,
        .shares = portion->shares,
        .index = request->index,
        .portions = request->portions,
        .stop = portion->stop,
        .begun = {.folder = -1},
    };
    status = write_portion(&shelf, &writing, request->place.folder, reterr);
    if (status == STEPD_OK) {
        *ret_sums = writing.sums;
        writing.sums = (struct manifest_sums){.files = 0};
    }
    unmake(&writing);
    shelf_close(&shelf);
    return status;
}

/* What another daemon has synced must be what is seen here. */
static enum stepd_status check_file(const struct writing *writing, const struct manifest_file *file,
                                    struct stepd_error *reterr)
{
    uint64_t bytes = 0;
    const int opened = file_open(writing->begun.folder, file->name, &bytes);
    if (opened >= 0)
        file_close(opened);
    if (opened >= 0 && bytes == file->bytes)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_DATA_LOSS,
                      "%s/%s/%s: its daemon has written %" PRIu64 " bytes of it, and they are not "
                      "there; is checkpoint_dir one folder for all daemons?",
                      writing->shelf, writing->begun.checkpoint.name, file->name, file->bytes);
}

/* Those of all portions, in their order; names are borrowed. */
static enum stepd_status merge_sums(struct writing *writing, const struct manifest_sums *sums,
                                    struct stepd_error *reterr)
{
    size_t arrays = 0;
    for (uint32_t i = 0; i < writing->portions; i++) {
        assert(sums[i].files == ARRAYS_FILES);
        arrays += sums[i].arrays;
    }
    enum stepd_status status =
        make_sums(writing, (size_t)ARRAYS_FILES * writing->portions, arrays, reterr);
    for (uint32_t i = 0; i < writing->portions && status == STEPD_OK; i++) {
        for (size_t k = 0; k < sums[i].arrays; k++)
            writing->sums.array[writing->sums.arrays++] = sums[i].array[k];
        for (size_t k = 0; k < sums[i].files && status == STEPD_OK; k++) {
            status = check_file(writing, &sums[i].file[k], reterr);
            writing->sums.file[writing->sums.files++] = sums[i].file[k];
            writing->bytes += sums[i].file[k].bytes;
        }
    }
    return status;
}

enum stepd_status save_commit(const struct save *save, const struct portion_place *place,
                              const struct manifest_sums *sums, uint32_t portions,
                              uint64_t *ret_bytes, struct stepd_error *reterr)
{
    struct writing writing = writing_of(save, portions);
    enum stepd_status status = shelf_open_begun(save->shelf, place->folder, &writing.begun, reterr);
    if (status == STEPD_OK)
        status = merge_sums(&writing, sums, reterr);
    if (status == STEPD_OK)
        status = put_manifest(&writing, save, reterr);
    if (status == STEPD_OK)
        status = shelf_commit(save->shelf, &writing.begun, reterr);
    *ret_bytes = writing.bytes;
    writing.sums.files = 0; /* their names are the portions' */
    writing.sums.arrays = 0;
    unmake(&writing);
    return status;
}

void save_give_up(const struct shelf *shelf, const struct portion_place *place)
{
    struct shelf_begun begun;
    struct stepd_error error;
    if (shelf_open_begun(shelf, place->folder, &begun, &error) != STEPD_OK)
        return;
    shelf_begun_close(&begun);
    shelf_abandon(shelf, &begun);
}
