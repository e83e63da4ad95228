/* SPDX-License-Identifier: Apache-2.0
 *
 * The safetensors writer. The header's size is bounded by the number of layers, so it is put
 * together in one buffer; it ends with blanks up to a multiple of eight, which aligns the arrays as
 * the format asks. A file that could not be written whole is removed.
 */
#include "client/train/weights_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/error.h"

#define ENTRY_BYTES_MAX 256u /* one tensor in the header, with numbers of 20 digits */
#define FLOATS_AT_ONCE  4096u

struct header {
    size_t length;
    char text[64 + 2 * MODEL_LAYERS_MAX * ENTRY_BYTES_MAX];
};

static STEPD_PRINTF(2, 3) void append(struct header *header, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const int length =
        vsnprintf(header->text + header->length, sizeof header->text - header->length, fmt, args);
    va_end(args);
    header->length += (size_t)length;
}

static void describe(const struct model *model, struct header *header)
{
    uint64_t begin = 0; /* bytes, from the end of the header */
    append(header, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t l = 0; l < model->layers; l++) {
        const struct layer *const layer = &model->layer[l];
        const uint64_t middle = begin + layer_weights(layer) * sizeof(float);
        const uint64_t end = middle + layer->biases * sizeof(float);
        append(header, ",\"%s.weight\":{\"dtype\":\"F32\",\"shape\":[", layer->name);
        for (size_t d = 0; d < layer->dims; d++)
            append(header, "%s%" PRIu64, d == 0 ? "" : ",", layer->shape[d]);
        append(header, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", begin, middle);
        append(header,
               ",\"%s.bias\":{\"dtype\":\"F32\",\"shape\":[%zu],"
               "\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}",
               layer->name, layer->biases, middle, end);
        begin = end;
    }
    append(header, "}");
    while (header->length % 8 != 0)
        append(header, " ");
}

static void put_little_endian(uint8_t *out, uint64_t number, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(number >> (8 * i));
}

static void write_floats(FILE *out, const float *values, size_t count)
{
    uint8_t bytes[FLOATS_AT_ONCE * sizeof(float)];
    for (size_t done = 0; done < count;) {
        const size_t left = count - done;
        const size_t now = left < FLOATS_AT_ONCE ? left : FLOATS_AT_ONCE;
        for (size_t i = 0; i < now; i++) {
            uint32_t bits;
            memcpy(&bits, &values[done + i], sizeof bits);
            put_little_endian(bytes + i * sizeof bits, bits, sizeof bits);
        }
        (void)fwrite(bytes, sizeof(float), now, out); /* failures stay in ferror */
        done += now;
    }
}

enum stepd_status weights_file_write(const char *path, const struct model *model,
                                     struct stepd_error *reterr)
{
    FILE *const out = fopen(path, "wb");
    if (out == NULL)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "cannot write %s: %s", path,
                          strerror(errno));
    struct header header = {.length = 0};
    describe(model, &header);
    uint8_t length[8];
    put_little_endian(length, header.length, sizeof length);
    (void)fwrite(length, sizeof length, 1, out);
    (void)fwrite(header.text, header.length, 1, out);
    for (size_t l = 0; l < model->layers; l++) {
        const struct layer *const layer = &model->layer[l];
        write_floats(out, layer->weight, layer_weights(layer));
        write_floats(out, layer->bias, layer->biases);
    }
    const bool failed = ferror(out) != 0;
    if (fclose(out) == 0 && !failed)
        return STEPD_OK;
    const int cause = errno;
    (void)remove(path);
    return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "cannot write %s: %s", path,
                      strerror(cause));
}
