/* SPDX-License-Identifier: Apache-2.0 */
#include "server/disk/tensors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/error.h"
#include "server/disk/file.h"

static enum stepd_status refuse(const char *doing, struct stepd_error *reterr)
{
    switch (errno) {
    case ENOENT: return stepd_fail(reterr, STEPD_NOT_FOUND, "there is no such file");
    case ELOOP:
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "it is a symbolic link; name the file itself");
    case EINVAL: return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "it is no regular file");
    case ENODATA: return stepd_fail(reterr, STEPD_DATA_LOSS, "it has become shorter meanwhile");
    default:
        return stepd_fail(reterr, STEPD_UNAVAILABLE, "cannot %s it: %s", doing, strerror(errno));
    }
}

static enum stepd_status read_head(int file, uint64_t bytes, struct safetensors *ret_head,
                                   struct stepd_error *reterr)
{
    uint8_t first[SAFETENSORS_LENGTH_BYTES];
    size_t json_bytes = 0;
    const size_t n = bytes < sizeof first ? (size_t)bytes : sizeof first;
    if (!file_read(file, first, n, 0))
        return refuse("read", reterr);
    enum stepd_status status = safetensors_json_bytes(first, bytes, &json_bytes, reterr);
    if (status != STEPD_OK)
        return status;
    uint8_t *const json = malloc(json_bytes + 1);
    if (json == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for its head");
    status = file_read(file, json, json_bytes, sizeof first)
                 ? safetensors_decode(json, json_bytes, bytes, ret_head, reterr)
                 : refuse("read", reterr);
    free(json);
    return status;
}

enum stepd_status tensors_open(int folder, const char *name, const char *shown,
                               struct tensors *ret_tensors, struct stepd_error *reterr)
{
    uint64_t bytes = 0;
    const int file = file_open(folder, name, &bytes);
    enum stepd_status status =
        file < 0 ? refuse("open", reterr) : read_head(file, bytes, &ret_tensors->head, reterr);
    if (status == STEPD_OK) {
        ret_tensors->file = file;
        return STEPD_OK;
    }
    if (file >= 0)
        (void)close(file);
    return stepd_fail_in(reterr, status, "%s", shown);
}

enum stepd_status tensors_take(int file, const char *shown, struct tensors *ret_tensors,
                               struct stepd_error *reterr)
{
    const off_t bytes = lseek(file, 0, SEEK_END);
    const enum stepd_status status =
        bytes < 0 ? refuse("read", reterr)
                  : read_head(file, (uint64_t)bytes, &ret_tensors->head, reterr);
    if (status == STEPD_OK) {
        ret_tensors->file = file;
        return STEPD_OK;
    }
    (void)close(file);
    return stepd_fail_in(reterr, status, "%s", shown);
}

void tensors_close(struct tensors *tensors)
{
    safetensors_deinit(&tensors->head);
    (void)close(tensors->file);
}

enum stepd_status tensors_read(const struct tensors *tensors,
                               const struct safetensors_tensor *tensor, uint64_t first, size_t n,
                               uint8_t *bytes, struct stepd_error *reterr)
{
    return file_read(tensors->file, bytes, n, tensors->head.begins_at + tensor->begin + first)
               ? STEPD_OK
               : refuse("read", reterr);
}
