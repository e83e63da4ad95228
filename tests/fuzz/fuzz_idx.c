/* SPDX-License-Identifier: Apache-2.0
 *
 * A file of images or labels of any bytes, of as many dimensions as its first byte says, as it is
 * and compressed. What must hold:
 *
 *   - one that is refused is refused with a sentence that can be printed;
 *   - one that is read has the elements that its sizes make, all of them in the file;
 *   - compressed it is the same file.
 */
#include <string.h>

#include <zlib.h>

#include "client/train/idx.h"
#include "proto/utf8.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/memory_file.h"

#define GZIP_WINDOW (MAX_WBITS + 16) /* as zlib wants it said */
#define GZIP_MEMORY 8

static enum stepd_status read_file(const uint8_t *bytes, size_t n, size_t dims, struct idx *ret_idx)
{
    struct stepd_error error = {.text = ""};
    const enum stepd_status status = idx_read(memory_file(bytes, n), dims, ret_idx, &error);
    if (status == STEPD_OK)
        return status;
    const size_t length = strlen(error.text);
    FUZZ_CHECK(status == STEPD_DATA_LOSS || status == STEPD_INVALID_ARGUMENT ||
               status == STEPD_RESOURCE_EXHAUSTED);
    FUZZ_CHECK(error.code == status && length > 0);
    FUZZ_CHECK(stepd_utf8_printable((const uint8_t *)error.text, length));
    return status;
}

/* Caller frees. */
static uint8_t *compress_all(const uint8_t *bytes, size_t n, size_t *ret_n)
{
    z_stream stream = {.avail_in = (uInt)n};
    FUZZ_CHECK(deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY,
                            Z_DEFAULT_STRATEGY) == Z_OK);
    const size_t room = deflateBound(&stream, n);
    uint8_t *const from = malloc(n + 1); /* zlib's pointer is none to const */
    uint8_t *const to = malloc(room);
    FUZZ_CHECK(from != NULL && to != NULL);
    memcpy(from, bytes, n);
    stream.next_in = from;
    stream.next_out = to;
    stream.avail_out = (uInt)room;
    FUZZ_CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
    *ret_n = room - stream.avail_out;
    FUZZ_CHECK(deflateEnd(&stream) == Z_OK);
    free(from);
    return to;
}

static void check_whole(const struct idx *idx, const uint8_t *bytes, size_t n)
{
    const size_t head = 4 + 4 * idx->dims;
    size_t elements = 1;
    for (size_t i = 0; i < idx->dims; i++)
        elements *= idx->shape[i];
    FUZZ_CHECK(elements == idx->bytes && n == head + elements);
    FUZZ_CHECK(memcmp(idx->elements, bytes + head, elements) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct idx idx = {.elements = NULL};
    struct idx again = {.elements = NULL};
    if (n == 0)
        return 0;
    const size_t dims = 1 + bytes[0] % IDX_DIMS_MAX;
    const uint8_t *const file = bytes + 1;
    const size_t length = n - 1;
    const bool zipped = length >= 2 && file[0] == 0x1f && file[1] == 0x8b;
    const enum stepd_status status = read_file(file, length, dims, &idx);
    if (status == STEPD_OK && !zipped)
        check_whole(&idx, file, length);
    if (!zipped && length > 0) {
        size_t packed_bytes = 0;
        uint8_t *const packed = compress_all(file, length, &packed_bytes);
        FUZZ_CHECK(read_file(packed, packed_bytes, dims, &again) == status);
        if (status == STEPD_OK)
            check_whole(&again, file, length);
        free(packed);
    }
    idx_deinit(&again);
    idx_deinit(&idx);
    return 0;
}
