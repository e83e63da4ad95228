/* SPDX-License-Identifier: Apache-2.0
 *
 * The types of values. Readers see texts from a file, from the environment and from the command
 * line, and cannot tell which. They take nothing that is no clean UTF-8: what is configured is
 * printed, logged and sent to clients later. Nothing is rounded, wrapped or guessed: a number is
 * digits and in range, or it is refused with the range.
 */
#include "server/config/value.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "proto/decimal.h"
#include "proto/error.h"
#include "proto/utf8.h"
#include "server/base/nearest.h"
#include "server/base/text.h"

#define SHOWN_BYTES  64u /* of a wrong value in an error text */
#define NUMBER_BYTES 32u /* of a number or size as text */

struct suffix {
    const char *name;
    uint64_t bytes;
};

/* Largest first: the order in which a number of bytes is tried when it is written. */
static const struct suffix suffixes[] = {
    {.name = "GiB", .bytes = UINT64_C(1) << 30},
    {.name = "MiB", .bytes = UINT64_C(1) << 20},
    {.name = "KiB", .bytes = UINT64_C(1) << 10},
    {.name = "", .bytes = 1},
};

#define SUFFIXES (sizeof suffixes / sizeof suffixes[0])

enum stepd_status value_refuse(const char *text, const char *expected, struct stepd_error *reterr)
{
    char shown[SHOWN_BYTES];
    (void)text_quote(text, strlen(text), shown, sizeof shown);
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s is not %s", shown, expected);
}

bool value_read_switch(const char *text, bool *ret_value)
{
    const bool value = strcmp(text, "true") == 0;
    if (!value && strcmp(text, "false") != 0)
        return false;
    *ret_value = value;
    return true;
}

/* The digits at text into *ret_value; returns what follows them, NULL if there are none. */
static const char *read_digits(const char *text, uint64_t *ret_value)
{
    uint64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (!stepd_bytes_mul(value, 10, &value) ||
            !stepd_bytes_add(value, (uint64_t)(*at - '0'), &value))
            return NULL;
    }
    if (at == text)
        return NULL;
    *ret_value = value;
    return at;
}

bool value_read_whole(const char *text, uint64_t *ret_value)
{
    uint64_t value = 0;
    const char *const end = read_digits(text, &value);
    if (end == NULL || *end != '\0')
        return false;
    *ret_value = value;
    return true;
}

bool value_read_number(const char *text, double *ret_value)
{
    return stepd_decimal_read(text, strlen(text), ret_value);
}

/* What clean texts may hold and libyaml reads only escaped: it breaks lines at the first two, which
 * would end a comment, and refuses the others in a file (or skips the third at its beginning). */
static const struct {
    const char *bytes;
    const char *escape;
} unreadable[] = {
    {"\xE2\x80\xA8", "\\u2028"}, {"\xE2\x80\xA9", "\\u2029"}, {"\xEF\xBB\xBF", "\\ufeff"},
    {"\xEF\xBF\xBE", "\\ufffe"}, {"\xEF\xBF\xBF", "\\uffff"},
};

#define UNREADABLE_BYTES 3u /* of each */

/* The escape for what stands at text; NULL: none is needed. */
static const char *find_escape(const char *text)
{
    for (size_t i = 0; i < sizeof unreadable / sizeof unreadable[0]; i++) {
        if (strncmp(text, unreadable[i].bytes, UNREADABLE_BYTES) == 0)
            return unreadable[i].escape;
    }
    return NULL;
}

void value_write_text(const char *text, FILE *stream)
{
    char quoted[TEXT_QUOTED_BYTES(VALUE_PATH_MAX_BYTES)];
    (void)text_quote(text, strlen(text), quoted, sizeof quoted);
    for (const char *at = quoted; *at != '\0';) {
        const char *const escape = find_escape(at);
        if (escape != NULL)
            (void)fputs(escape, stream);
        else
            (void)fputc(*at, stream);
        at += escape != NULL ? UNREADABLE_BYTES : 1;
    }
}

void value_write_number(double value, FILE *stream)
{
    char text[NUMBER_BYTES];
    int digits = 15;
    do {
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
    } while (strtod(text, NULL) != value && ++digits <= 17);
    (void)fputs(text, stream);
}

enum stepd_status value_keep_text(const char *text, struct stepd_arena *arena, void *ret_field,
                                  struct stepd_error *reterr)
{
    const size_t bytes = strlen(text) + 1;
    char *const kept = stepd_arena_alloc(arena, bytes);
    if (kept == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the configuration");
    memcpy(kept, text, bytes);
    *(const char **)ret_field = kept;
    return STEPD_OK;
}

static enum stepd_status read_path(const struct schema_row *row, const char *text,
                                   struct stepd_arena *arena, void *ret_field,
                                   struct stepd_error *reterr)
{
    const size_t bytes = strlen(text);
    if (bytes > row->most)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "the path is %zu bytes long; at most %" PRIu64 " are possible", bytes,
                          row->most);
    if (!stepd_utf8_printable((const uint8_t *)text, bytes))
        return value_refuse(text, "UTF-8 without control characters", reterr);
    return value_keep_text(text, arena, ret_field, reterr);
}

static enum stepd_status read_word(const struct schema_row *row, const char *text,
                                   struct stepd_arena *arena, void *ret_field,
                                   struct stepd_error *reterr)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";
    const size_t bytes = strlen(text);
    if (bytes == 0 || bytes > row->most || strspn(text, letters) != bytes)
        return value_refuse(text, "a name of lower-case letters, digits, - and _", reterr);
    return value_keep_text(text, arena, ret_field, reterr);
}

/* Where the host of an address ends: at the colon before the port. NULL: it is no address. */
static const char *host_end(const char *text)
{
    if (text[0] == '[') {
        const char *const bracket = strchr(text, ']');
        const bool closed = bracket != NULL && bracket > text + 1 && bracket[1] == ':';
        return closed ? bracket + 1 : NULL;
    }
    const char *const colon = strrchr(text, ':');
    const bool bare_v6 = colon != NULL && strchr(text, ':') != colon;
    return colon == text || bare_v6 ? NULL : colon;
}

static enum stepd_status read_address(const struct schema_row *row, const char *text,
                                      struct stepd_arena *arena, void *ret_field,
                                      struct stepd_error *reterr)
{
    const size_t bytes = strlen(text);
    const char *const end = host_end(text);
    uint64_t port = 0;
    if (bytes > row->most || !stepd_utf8_printable((const uint8_t *)text, bytes) ||
        strchr(text, ' ') != NULL || end == NULL || !value_read_whole(end + 1, &port) ||
        port > UINT16_MAX)
        return value_refuse(text, "host:port or [v6]:port with a port from 0 to 65535", reterr);
    return value_keep_text(text, arena, ret_field, reterr);
}

static void write_text(const struct schema_row *row, const void *field, FILE *stream)
{
    (void)row;
    value_write_text(*(const char *const *)field, stream);
}

static enum stepd_status read_choice(const struct schema_row *row, const char *text,
                                     struct stepd_arena *arena, void *ret_field,
                                     struct stepd_error *reterr)
{
    (void)arena;
    struct nearest nearest;
    nearest_init(&nearest, text);
    for (size_t i = 0; row->choice[i] != NULL; i++) {
        if (strcmp(row->choice[i], text) == 0) {
            *(const char **)ret_field = row->choice[i];
            return STEPD_OK;
        }
        nearest_offer(&nearest, row->choice[i]);
    }
    char shown[SHOWN_BYTES];
    (void)text_quote(text, strlen(text), shown, sizeof shown);
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s is not known: %s", shown,
                      nearest_hint(&nearest));
}

static void write_choice(const struct schema_row *row, const void *field, FILE *stream)
{
    (void)row;
    (void)fputs(*(const char *const *)field, stream);
}

static enum stepd_status read_level(const struct schema_row *row, const char *text,
                                    struct stepd_arena *arena, void *ret_field,
                                    struct stepd_error *reterr)
{
    const char *name = NULL;
    const enum stepd_status status = read_choice(row, text, arena, &name, reterr);
    if (status != STEPD_OK)
        return status;
    const bool found = log_level_find(name, ret_field);
    assert(found);
    (void)found;
    return STEPD_OK;
}

static void write_level(const struct schema_row *row, const void *field, FILE *stream)
{
    (void)row;
    (void)fputs(log_level_name(*(const enum log_level *)field), stream);
}

static enum stepd_status read_switch(const struct schema_row *row, const char *text,
                                     struct stepd_arena *arena, void *ret_field,
                                     struct stepd_error *reterr)
{
    (void)row;
    (void)arena;
    return value_read_switch(text, ret_field) ? STEPD_OK
                                              : value_refuse(text, "true or false", reterr);
}

static void write_switch(const struct schema_row *row, const void *field, FILE *stream)
{
    (void)row;
    (void)fputs(*(const bool *)field ? "true" : "false", stream);
}

static enum stepd_status read_whole(const struct schema_row *row, const char *text,
                                    struct stepd_arena *arena, void *ret_field,
                                    struct stepd_error *reterr)
{
    (void)arena;
    uint64_t value = 0;
    if (!value_read_whole(text, &value) || value < row->least || value > row->most) {
        char expected[SHOWN_BYTES];
        (void)snprintf(expected, sizeof expected, "a whole number from %" PRIu64 " to %" PRIu64,
                       row->least, row->most);
        return value_refuse(text, expected, reterr);
    }
    *(uint32_t *)ret_field = (uint32_t)value;
    return STEPD_OK;
}

static void write_whole(const struct schema_row *row, const void *field, FILE *stream)
{
    (void)row;
    (void)fprintf(stream, "%" PRIu32, *(const uint32_t *)field);
}

/* 65536, 64KiB or 64 KiB. */
static bool read_size(const char *text, uint64_t *ret_bytes)
{
    uint64_t value = 0;
    const char *end = read_digits(text, &value);
    if (end == NULL)
        return false;
    end += *end == ' ' ? 1 : 0;
    for (size_t i = 0; i < SUFFIXES; i++) {
        if (strcmp(end, suffixes[i].name) == 0)
            return stepd_bytes_mul(value, suffixes[i].bytes, ret_bytes);
    }
    return false;
}

/* In the largest unit that needs no fraction. */
static void size_text(uint64_t bytes, char ret_text[NUMBER_BYTES])
{
    size_t i = 0;
    while (bytes == 0 ? suffixes[i].bytes > 1 : bytes % suffixes[i].bytes != 0)
        i++;
    (void)snprintf(ret_text, NUMBER_BYTES, "%" PRIu64 "%s", bytes / suffixes[i].bytes,
                   suffixes[i].name);
}

static enum stepd_status read_bytes(const struct schema_row *row, const char *text,
                                    struct stepd_arena *arena, void *ret_field,
                                    struct stepd_error *reterr)
{
    (void)arena;
    uint64_t bytes = 0;
    if (!read_size(text, &bytes) || bytes < row->least || bytes > row->most) {
        char least[NUMBER_BYTES];
        char most[NUMBER_BYTES];
        char expected[2 * SHOWN_BYTES];
        size_text(row->least, least);
        size_text(row->most, most);
        (void)snprintf(expected, sizeof expected, "a number of bytes (as 64MiB) from %s to %s",
                       least, most);
        return value_refuse(text, expected, reterr);
    }
    *(uint64_t *)ret_field = bytes;
    return STEPD_OK;
}

static void write_bytes(const struct schema_row *row, const void *field, FILE *stream)
{
    (void)row;
    char text[NUMBER_BYTES];
    size_text(*(const uint64_t *)field, text);
    (void)fputs(text, stream);
}

const struct schema_type value_address = {
    .placeholder = "HOST:PORT",
    .read = read_address,
    .write = write_text,
};

const struct schema_type value_path = {
    .placeholder = "PATH",
    .read = read_path,
    .write = write_text,
};

const struct schema_type value_choice = {
    .placeholder = "NAME",
    .read = read_choice,
    .write = write_choice,
};

const struct schema_type value_word = {
    .placeholder = "NAME",
    .read = read_word,
    .write = write_choice,
};

const struct schema_type value_level = {
    .placeholder = "LEVEL",
    .read = read_level,
    .write = write_level,
};

const struct schema_type value_switch = {
    .placeholder = NULL,
    .read = read_switch,
    .write = write_switch,
};

const struct schema_type value_whole = {
    .placeholder = "N",
    .read = read_whole,
    .write = write_whole,
};

const struct schema_type value_bytes = {
    .placeholder = "BYTES",
    .read = read_bytes,
    .write = write_bytes,
};
