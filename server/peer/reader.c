/* SPDX-License-Identifier: Apache-2.0
 *
 * Every value passes here before it is believed.
 */
#include "server/peer/reader.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/utf8.h"

#define NUMBER_MAX_BYTES 10u

/* What is unpacked takes more room than its bytes: at most so much. */
#define ARENA_LEAST_BYTES ((size_t)64 << 20)
#define ARENA_TIMES       8u

void peer_reader_init(struct peer_reader *reader, const uint8_t *bytes, size_t n,
                      struct stepd_error *reterr)
{
    *reader = (struct peer_reader){.at = bytes, .left = n, .reterr = reterr};
    if (n > PEER_LETTER_MAX_BYTES)
        peer_reader_fail(reader, "letter", "%zu bytes, but at most %zu may be", n,
                         PEER_LETTER_MAX_BYTES);
    stepd_arena_init(&reader->arena, ARENA_LEAST_BYTES + (reader->left * ARENA_TIMES));
}

void peer_reader_deinit(struct peer_reader *reader)
{
    stepd_arena_deinit(&reader->arena);
}

/* ---- Failures -------------------------------------------------------------------------------- */

void peer_reader_fail(struct peer_reader *reader, const char *field, const char *fmt, ...)
{
    if (reader->status != STEPD_OK)
        return;
    char why[STEPD_ERROR_TEXT_BYTES / 2];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    reader->left = 0;
    reader->status = stepd_fail(reader->reterr, STEPD_INVALID_ARGUMENT, "%s: %s", field, why);
}

void peer_reader_no_memory(struct peer_reader *reader)
{
    if (reader->status == STEPD_OK)
        reader->status = stepd_fail(reader->reterr, STEPD_RESOURCE_EXHAUSTED,
                                    "no memory for what another daemon says");
    reader->left = 0;
}

/* ---- Memory ---------------------------------------------------------------------------------- */

void *peer_reader_array(struct peer_reader *reader, size_t count, size_t size)
{
    if (reader->status != STEPD_OK || count == 0)
        return NULL;
    void *const array = stepd_arena_calloc(&reader->arena, count, size);
    if (array == NULL)
        peer_reader_no_memory(reader);
    return array;
}

void *peer_reader_own_array(struct peer_reader *reader, size_t count, size_t size)
{
    if (reader->status != STEPD_OK || count == 0)
        return NULL;
    void *const array = calloc(count, size);
    if (array == NULL)
        peer_reader_no_memory(reader);
    return array;
}

/* ---- Numbers --------------------------------------------------------------------------------- */

const uint8_t *peer_take(struct peer_reader *reader, const char *field, size_t n)
{
    if (reader->status == STEPD_OK && n > reader->left)
        peer_reader_fail(reader, field, "the letter ends in it");
    if (reader->status != STEPD_OK || n == 0)
        return NULL;
    const uint8_t *const bytes = reader->at;
    reader->at += n;
    reader->left -= n;
    return bytes;
}

uint64_t peer_take_number(struct peer_reader *reader, const char *field, uint64_t most)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < NUMBER_MAX_BYTES; i++) {
        const uint8_t *const byte = peer_take(reader, field, 1);
        if (byte == NULL)
            return 0;
        if (i == NUMBER_MAX_BYTES - 1 && *byte > 1)
            break;
        number |= (uint64_t)(*byte & 0x7F) << 7 * i;
        if (*byte > 0x7F)
            continue;
        if (number <= most)
            return number;
        peer_reader_fail(reader, field, "%" PRIu64 ", but at most %" PRIu64 " may be", number,
                         most);
        return 0;
    }
    peer_reader_fail(reader, field, "a number of more than 64 bits");
    return 0;
}

uint32_t peer_take_u32(struct peer_reader *reader, const char *field, uint32_t most)
{
    return (uint32_t)peer_take_number(reader, field, most);
}

bool peer_take_bool(struct peer_reader *reader, const char *field)
{
    return peer_take_number(reader, field, 1) == 1;
}

static uint64_t take_bits(struct peer_reader *reader, const char *field, size_t n)
{
    const uint8_t *const bytes = peer_take(reader, field, n);
    uint64_t bits = 0;
    for (size_t i = 0; bytes != NULL && i < n; i++)
        bits |= (uint64_t)bytes[i] << 8 * i;
    return bits;
}

double peer_take_double(struct peer_reader *reader, const char *field)
{
    const uint64_t bits = take_bits(reader, field, sizeof bits);
    double number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

float peer_take_float(struct peer_reader *reader, const char *field)
{
    const uint32_t bits = (uint32_t)take_bits(reader, field, sizeof bits);
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

/* ---- Lists and texts ------------------------------------------------------------------------- */

size_t peer_take_count(struct peer_reader *reader, const char *field, size_t most,
                       size_t each_least)
{
    const size_t count = (size_t)peer_take_number(reader, field, most);
    if (count <= reader->left / each_least)
        return count;
    peer_reader_fail(reader, field, "%zu of them, but the letter ends before", count);
    return 0;
}

/* Bytes of a text, and its length; false: there is none. */
static bool take_text_bytes(struct peer_reader *reader, const char *field, size_t most,
                            const uint8_t **ret_bytes, size_t *ret_length)
{
    const uint64_t written = peer_take_number(reader, field, (uint64_t)most + 1);
    if (written == 0)
        return false;
    *ret_length = (size_t)written - 1;
    *ret_bytes = peer_take(reader, field, *ret_length);
    return reader->status == STEPD_OK;
}

static void check_printable(struct peer_reader *reader, const char *field, const uint8_t *bytes,
                            size_t length)
{
    if (length > 0 && !stepd_utf8_printable(bytes, length))
        peer_reader_fail(reader, field, "not UTF-8, or with a NUL or another control character");
}

/* A copy of n bytes with a NUL behind them, in memory that is there. */
static char *copy(char *text, const uint8_t *bytes, size_t length)
{
    if (text != NULL && length > 0)
        memcpy(text, bytes, length);
    return text;
}

const char *peer_take_text(struct peer_reader *reader, const char *field, size_t most)
{
    const uint8_t *bytes = NULL;
    size_t length = 0;
    if (!take_text_bytes(reader, field, most, &bytes, &length))
        return NULL;
    check_printable(reader, field, bytes, length);
    return copy(peer_reader_array(reader, length + 1, 1), bytes, length);
}

const char *peer_take_some_text(struct peer_reader *reader, const char *field, size_t most)
{
    const char *const text = peer_take_text(reader, field, most);
    if (text == NULL)
        peer_reader_fail(reader, field, "missing");
    return text == NULL ? "" : text;
}

char *peer_take_own_text(struct peer_reader *reader, const char *field, size_t most)
{
    const uint8_t *bytes = NULL;
    size_t length = 0;
    if (!take_text_bytes(reader, field, most, &bytes, &length))
        return NULL;
    check_printable(reader, field, bytes, length);
    return copy(peer_reader_own_array(reader, length + 1, 1), bytes, length);
}

uint32_t *peer_take_own_u32s(struct peer_reader *reader, const char *field, size_t most,
                             size_t *ret_count)
{
    const size_t count = peer_take_count(reader, field, most, 1);
    uint32_t *const number = peer_reader_own_array(reader, count, sizeof *number);
    for (size_t i = 0; number != NULL && i < count; i++)
        number[i] = peer_take_u32(reader, field, UINT32_MAX);
    *ret_count = number == NULL ? 0 : count;
    return number;
}

void peer_take_error(struct peer_reader *reader, const char *field, struct stepd_error *ret_error)
{
    ret_error->code = (enum stepd_status)peer_take_number(reader, field, STEPD_ROLLED_BACK);
    if (ret_error->code == STEPD_OK)
        return;
    const char *const text = peer_take_some_text(reader, field, STEPD_ERROR_TEXT_BYTES - 1);
    (void)stepd_format(ret_error->text, sizeof ret_error->text, "%s", text);
}

struct peer_opaque peer_take_opaque(struct peer_reader *reader, const char *field)
{
    const size_t n = peer_take_count(reader, field, PEER_LETTER_MAX_BYTES, 1);
    return (struct peer_opaque){.n = n, .at = peer_take(reader, field, n)};
}
