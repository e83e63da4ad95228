/* SPDX-License-Identifier: Apache-2.0
 *
 * Values that say which daemons work together: a list of their addresses, one's place in it, and
 * the address that others reach one by. As in value.c, but a port may be left out.
 */
#include <inttypes.h>
#include <string.h>

#include "proto/error.h"
#include "proto/utf8.h"
#include "server/config/value.h"

/* host, host:port or [v6]:port, of n bytes. */
static bool is_entry(const char *text, size_t n)
{
    char port[8];
    uint64_t number = 0;
    const char *const colon = memchr(text, ':', n);
    if (n == 0 || memchr(text, ' ', n) != NULL || text[0] == ':')
        return false;
    const char *const bracket = text[0] == '[' ? memchr(text, ']', n) : NULL;
    if (text[0] == '[' && (bracket == NULL || bracket == text + 1))
        return false;
    const char *const end = bracket != NULL ? bracket + 1 : colon;
    if (end == NULL || end == text + n)
        return true;
    const size_t digits = n - (size_t)(end - text) - 1;
    if (*end != ':' || digits == 0 || digits >= sizeof port)
        return false;
    memcpy(port, end + 1, digits);
    port[digits] = '\0';
    return value_read_whole(port, &number) && number > 0 && number <= UINT16_MAX;
}

static enum stepd_status read_list(const struct schema_row *row, const char *text,
                                   struct stepd_arena *arena, void *ret_field,
                                   struct stepd_error *reterr)
{
    const size_t bytes = strlen(text);
    if (bytes > row->most || !stepd_utf8_printable((const uint8_t *)text, bytes))
        return value_refuse(text, "a list of host:port", reterr);
    for (const char *at = text; *at != '\0';) {
        const size_t n = strcspn(at, ",");
        if (!is_entry(at, n) || (at[n] == ',' && at[n + 1] == '\0'))
            return value_refuse(text, "a list of host or host:port with commas between", reterr);
        at += n + (at[n] == ',');
    }
    return value_keep_text(text, arena, ret_field, reterr);
}

/* As a list of YAML's. */
static void write_list(const struct schema_row *row, const void *field, FILE *stream)
{
    (void)row;
    const char *const *const text = field;
    (void)fputc('[', stream);
    for (const char *at = *text; *at != '\0';) {
        char entry[512];
        const size_t n = strcspn(at, ",");
        (void)snprintf(entry, sizeof entry, "%.*s", (int)n, at);
        if (at != *text)
            (void)fputs(", ", stream);
        value_write_text(entry, stream);
        at += n + (at[n] == ',');
    }
    (void)fputc(']', stream);
}

static enum stepd_status read_advertise(const struct schema_row *row, const char *text,
                                        struct stepd_arena *arena, void *ret_field,
                                        struct stepd_error *reterr)
{
    const size_t bytes = strlen(text);
    if (bytes > row->most || !stepd_utf8_printable((const uint8_t *)text, bytes) ||
        (bytes > 0 && (!is_entry(text, bytes) || strchr(text, ',') != NULL)))
        return value_refuse(text, "host:port, [v6]:port or host", reterr);
    return value_keep_text(text, arena, ret_field, reterr);
}

static void write_advertise(const struct schema_row *row, const void *field, FILE *stream)
{
    (void)row;
    value_write_text(*(const char *const *)field, stream);
}

static enum stepd_status read_place(const struct schema_row *row, const char *text,
                                    struct stepd_arena *arena, void *ret_field,
                                    struct stepd_error *reterr)
{
    (void)arena;
    uint64_t value = CONFIG_PEER_AUTO;
    if (strcmp(text, "auto") != 0 && (!value_read_whole(text, &value) || value > row->most))
        return value_refuse(text, "auto, or a place in peers from 0 on", reterr);
    *(uint32_t *)ret_field = (uint32_t)value;
    return STEPD_OK;
}

static void write_place(const struct schema_row *row, const void *field, FILE *stream)
{
    (void)row;
    const uint32_t *const place = field;
    if (*place == CONFIG_PEER_AUTO)
        (void)fputs("auto", stream);
    else
        (void)fprintf(stream, "%" PRIu32, *place);
}

const struct schema_type value_list = {
    .placeholder = "HOST,...",
    .read = read_list,
    .write = write_list,
    .is_list = true,
};

const struct schema_type value_place = {
    .placeholder = "N",
    .read = read_place,
    .write = write_place,
};

const struct schema_type value_advertise = {
    .placeholder = "HOST:PORT",
    .read = read_advertise,
    .write = write_advertise,
};
