/* SPDX-License-Identifier: Apache-2.0
 *
 * The IDX reader. zlib's gz functions read gzipped and plain files alike, so there is one path:
 * magic, sizes, bound, allocation, elements, and then the file must be at its end. Every failure
 * names the file with what was expected and what was found, since a half-finished download is the
 * error that people meet. Nothing is allocated before its size is known to be within bounds.
 */
#include "client/train/idx.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "proto/bytes.h"
#include "proto/error.h"

#define READ_AT_ONCE_BYTES (1u << 20)  /* gzread takes an unsigned and answers with an int */
#define MAGIC_BYTES        0x00000800u /* elements of type unsigned byte; the low byte counts dims */

/* Damage in a gzip stream, or an I/O error, in zlib's words. */
static enum stepd_status fail_read(gzFile file, const char *path, struct stepd_error *reterr)
{
    int code = Z_OK;
    const char *text = gzerror(file, &code);
    if (code == Z_ERRNO)
        return stepd_fail(reterr, STEPD_DATA_LOSS, "%s: %s", path, strerror(errno));
    return stepd_fail(reterr, STEPD_DATA_LOSS, "%s: damaged: %s", path, text);
}

/* Reads exactly `bytes` bytes. `what` names them in the error. */
static enum stepd_status read_exactly(gzFile file, const char *path, const char *what, size_t bytes,
                                      uint8_t *ret_bytes, struct stepd_error *reterr)
{
    size_t done = 0;
    while (done < bytes) {
        const size_t left = bytes - done;
        const unsigned wanted = left < READ_AT_ONCE_BYTES ? (unsigned)left : READ_AT_ONCE_BYTES;
        const int got = gzread(file, ret_bytes + done, wanted);
        int code = Z_OK;
        (void)gzerror(file, &code);
        if (got < 0 && code != Z_BUF_ERROR)
            return fail_read(file, path, reterr);
        if (got <= 0)
            return stepd_fail(reterr, STEPD_DATA_LOSS,
                              "%s: cut short: expected %zu bytes of %s, found %zu", path, bytes,
                              what, done);
        done += (size_t)got;
    }
    return STEPD_OK;
}

static uint32_t big_endian(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
           (uint32_t)bytes[3];
}

static enum stepd_status read_shape(gzFile file, const char *path, struct idx *idx,
                                    struct stepd_error *reterr)
{
    uint8_t raw[4 * IDX_DIMS_MAX];
    enum stepd_status status = read_exactly(file, path, "magic number", 4, raw, reterr);
    if (status != STEPD_OK)
        return status;
    const uint32_t expected = MAGIC_BYTES + (uint32_t)idx->dims;
    if (big_endian(raw) != expected)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "%s: not an IDX file of bytes with %zu dimensions: expected magic number "
                          "0x%08" PRIx32 ", found 0x%08" PRIx32,
                          path, idx->dims, expected, big_endian(raw));
    status = read_exactly(file, path, "sizes", 4 * idx->dims, raw, reterr);
    if (status != STEPD_OK)
        return status;
    uint64_t bytes = 1;
    for (size_t i = 0; i < idx->dims; i++) {
        const uint32_t size = big_endian(raw + 4 * i);
        if (size == 0)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s: dimension %zu has size 0", path,
                              i);
        if (!stepd_bytes_mul(bytes, size, &bytes) || bytes > IDX_BYTES_MAX)
            return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                              "%s: its sizes multiply to more than %u bytes", path, IDX_BYTES_MAX);
        idx->shape[i] = size;
    }
    idx->bytes = (size_t)bytes;
    return STEPD_OK;
}

static enum stepd_status read_elements(gzFile file, const char *path, struct idx *idx,
                                       struct stepd_error *reterr)
{
    idx->elements = malloc(idx->bytes);
    if (idx->elements == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "%s: no memory for %zu bytes", path,
                          idx->bytes);
    const enum stepd_status status =
        read_exactly(file, path, "elements", idx->bytes, idx->elements, reterr);
    if (status != STEPD_OK)
        return status;

    /* Asking for one byte more also has zlib check the sum at the end of a gzip stream. */
    uint8_t beyond;
    const int got = gzread(file, &beyond, 1);
    int code = Z_OK;
    (void)gzerror(file, &code);
    if (code == Z_BUF_ERROR)
        return stepd_fail(reterr, STEPD_DATA_LOSS, "%s: cut short in its last bytes", path);
    if (got < 0)
        return fail_read(file, path, reterr);
    if (got > 0)
        return stepd_fail(reterr, STEPD_DATA_LOSS,
                          "%s: goes on after the %zu elements that its sizes state", path,
                          idx->bytes);
    return STEPD_OK;
}

enum stepd_status idx_read(const char *path, size_t dims, struct idx *ret_idx,
                           struct stepd_error *reterr)
{
    gzFile file = gzopen(path, "rb");
    if (file == NULL)
        return stepd_fail(reterr, STEPD_NOT_FOUND, "%s: %s", path, strerror(errno));
    struct idx idx = {.dims = dims};
    enum stepd_status status = read_shape(file, path, &idx, reterr);
    if (status == STEPD_OK)
        status = read_elements(file, path, &idx, reterr);
    (void)gzclose(file); /* opened for reading: there is nothing left to fail */
    if (status != STEPD_OK) {
        idx_deinit(&idx);
        return status;
    }
    *ret_idx = idx;
    return STEPD_OK;
}

void idx_deinit(struct idx *idx)
{
    free(idx->elements);
    idx->elements = NULL;
}
