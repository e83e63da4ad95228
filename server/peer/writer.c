/* SPDX-License-Identifier: Apache-2.0
 *
 * A buffer that doubles. Behind a failure nothing is written any more.
 */
#include "server/peer/writer.h"

#include <stdlib.h>
#include <string.h>

#include "proto/error.h"

#define FIRST_BYTES      256u
#define NUMBER_MAX_BYTES 10u

struct peer_bytes *peer_bytes_ref(struct peer_bytes *bytes)
{
    bytes->refs++;
    return bytes;
}

struct peer_bytes *peer_bytes_unref(struct peer_bytes *bytes)
{
    if (bytes != NULL && --bytes->refs == 0) {
        free(bytes->at);
        free(bytes);
    }
    return NULL;
}

/* ---- Bytes ----------------------------------------------------------------------------------- */

static void grow(struct peer_writer *writer, size_t needed)
{
    size_t room = writer->room == 0 ? FIRST_BYTES : writer->room;
    while (room < needed)
        room *= 2;
    uint8_t *const at = realloc(writer->at, room);
    if (at == NULL) {
        writer->status = STEPD_RESOURCE_EXHAUSTED;
        return;
    }
    writer->at = at;
    writer->room = room;
}

void peer_put(struct peer_writer *writer, const void *bytes, size_t n)
{
    if (writer->status != STEPD_OK || n == 0)
        return;
    if (n > PEER_LETTER_MAX_BYTES - writer->n) {
        writer->status = STEPD_OUT_OF_RANGE;
        return;
    }
    if (n > writer->room - writer->n)
        grow(writer, writer->n + n);
    if (writer->status != STEPD_OK)
        return;
    memcpy(writer->at + writer->n, bytes, n);
    writer->n += n;
}

/* ---- Values ---------------------------------------------------------------------------------- */

void peer_put_number(struct peer_writer *writer, uint64_t number)
{
    uint8_t bytes[NUMBER_MAX_BYTES];
    size_t n = 0;
    for (; number > 0x7F; number >>= 7)
        bytes[n++] = (uint8_t)(number | 0x80);
    bytes[n++] = (uint8_t)number;
    peer_put(writer, bytes, n);
}

static void put_bits(struct peer_writer *writer, uint64_t bits, size_t n)
{
    uint8_t bytes[sizeof bits];
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)(bits >> 8 * i);
    peer_put(writer, bytes, n);
}

void peer_put_double(struct peer_writer *writer, double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    put_bits(writer, bits, sizeof bits);
}

void peer_put_float(struct peer_writer *writer, float number)
{
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    put_bits(writer, bits, sizeof bits);
}

void peer_put_text(struct peer_writer *writer, const char *text)
{
    const size_t length = text == NULL ? 0 : strlen(text);
    peer_put_number(writer, text == NULL ? 0 : (uint64_t)length + 1);
    peer_put(writer, text, length);
}

void peer_put_u32s(struct peer_writer *writer, const uint32_t *number, size_t count)
{
    peer_put_number(writer, count);
    for (size_t i = 0; i < count; i++)
        peer_put_number(writer, number[i]);
}

void peer_put_error(struct peer_writer *writer, const struct stepd_error *error)
{
    peer_put_number(writer, error->code);
    if (error->code != STEPD_OK)
        peer_put_text(writer, error->text);
}

void peer_put_opaque(struct peer_writer *writer, const struct peer_opaque *opaque)
{
    peer_put_number(writer, opaque->n);
    peer_put(writer, opaque->at, opaque->n);
}

/* ---- The end --------------------------------------------------------------------------------- */

static enum stepd_status fail(const struct peer_writer *writer, const char *what,
                              struct stepd_error *reterr)
{
    if (writer->status == STEPD_OUT_OF_RANGE)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                          "%s takes more than the %zu MiB that daemons send each other at once; "
                          "use fewer tensors, shorter names or larger slices, or one daemon",
                          what, PEER_LETTER_MAX_BYTES >> 20);
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to tell another daemon of %s",
                      what);
}

enum stepd_status peer_writer_end(struct peer_writer *writer, const char *what,
                                  struct peer_bytes **ret_bytes, struct stepd_error *reterr)
{
    struct peer_bytes *const bytes = writer->status == STEPD_OK ? malloc(sizeof *bytes) : NULL;
    if (bytes == NULL) {
        const enum stepd_status status = fail(writer, what, reterr);
        peer_writer_deinit(writer);
        return status;
    }
    *bytes = (struct peer_bytes){.refs = 1, .n = writer->n, .at = writer->at};
    *writer = (struct peer_writer){.n = 0};
    *ret_bytes = bytes;
    return STEPD_OK;
}

void peer_writer_deinit(struct peer_writer *writer)
{
    free(writer->at);
    *writer = (struct peer_writer){.n = 0};
}
