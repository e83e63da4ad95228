/* SPDX-License-Identifier: Apache-2.0 */
#include "client/ctl/merged.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/ctl/shelves.h"
#include "proto/error.h"
#include "server/disk/file.h"
#include "server/disk/load.h"
#include "server/persist/portion.h"

#define WINDOW_BYTES ((size_t)1 << 20)

static enum stepd_status refuse(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_UNAVAILABLE,
                      "cannot write a temporary file of its arrays, which several daemons have "
                      "written: %s; TMPDIR says where",
                      strerror(errno));
}

/* A file of its own, gone when it is closed. -1: none. */
static int open_temporary(void)
{
    const char *const folder = getenv("TMPDIR");
    char path[4096];
    (void)stepd_format(path, sizeof path, "%s/stepctl-XXXXXX", folder == NULL ? "/tmp" : folder);
    const int file = mkstemp(path);
    if (file >= 0)
        (void)unlink(path);
    return file;
}

static bool put(int file, const void *bytes, size_t n)
{
    struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = n};
    return file_write(file, &piece, 1);
}

static bool put_array(int file, const struct array *array, uint8_t *window)
{
    const size_t most = WINDOW_BYTES / sizeof(float);
    bool fine = true;
    for (uint64_t first = 0; first < array->floats && fine; first += most) {
        const uint64_t left = array->floats - first;
        const size_t n = left < most ? (size_t)left : most;
        array_encode(array, first, n, window);
        fine = put(file, window, n * sizeof(float));
    }
    return fine;
}

static enum stepd_status put_all(int file, const struct arrays *arrays, enum arrays_file which,
                                 struct stepd_error *reterr)
{
    const struct arrays_list *const list = &arrays->file[which];
    uint8_t *head = NULL;
    size_t head_bytes = 0;
    uint8_t *const window = malloc(WINDOW_BYTES);
    if (window == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to merge its files");
    enum stepd_status status =
        arrays_head(arrays, which, /* text= */ NULL, &head, &head_bytes, reterr);
    if (status == STEPD_OK) {
        bool fine = put(file, head, head_bytes);
        for (size_t i = 0; i < list->count && fine; i++)
            fine = put_array(file, &list->array[i], window);
        status = fine ? STEPD_OK : refuse(reterr);
    }
    free(head);
    free(window);
    return status;
}

static enum stepd_status write_files(const struct job_state *state, int ret_file[ARRAYS_FILES],
                                     struct stepd_error *reterr)
{
    struct arrays *arrays = NULL;
    int file[ARRAYS_FILES] = {-1, -1};
    enum stepd_status status = arrays_create(&state, 1, &arrays, reterr);
    for (int i = 0; i < (int)ARRAYS_FILES && status == STEPD_OK; i++) {
        file[i] = open_temporary();
        status =
            file[i] < 0 ? refuse(reterr) : put_all(file[i], arrays, (enum arrays_file)i, reterr);
    }
    (void)arrays_destroy(arrays);
    for (int i = 0; i < (int)ARRAYS_FILES; i++) {
        if (status == STEPD_OK)
            ret_file[i] = file[i];
        else if (file[i] >= 0)
            (void)close(file[i]);
    }
    return status;
}

/* One daemon calls its files otherwise. */
static bool is_of_one(int folder)
{
    return faccessat(folder, portion_file(ARRAYS_MODEL, 0, 1).text, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static enum stepd_status merge(int folder, int ret_file[ARRAYS_FILES], struct stepd_error *reterr)
{
    struct manifest manifest;
    enum stepd_status status =
        load_checkpoint(folder, shelves_bytes_max(folder), &manifest, reterr);
    if (status != STEPD_OK)
        return status;
    status = write_files(manifest.state, ret_file, reterr);
    manifest_deinit(&manifest);
    return status;
}

enum stepd_status merged_open(int folder, const char *shown, bool *ret_merged,
                              int ret_file[ARRAYS_FILES], struct stepd_error *reterr)
{
    *ret_merged = !is_of_one(folder);
    if (!*ret_merged)
        return STEPD_OK;
    const enum stepd_status status = merge(folder, ret_file, reterr);
    return status == STEPD_OK ? STEPD_OK : stepd_fail_in(reterr, status, "%s", shown);
}
