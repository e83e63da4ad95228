/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/core/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/core/grow.h"

/* ---- Text ------------------------------------------------------------------------------------ */

static void put_bytes(struct stepd_json *json, const char *bytes, size_t count)
{
    if (json->failed)
        return;
    char *const grown = stepd_grow(json->text, &json->room, json->bytes + count, 1);
    if (grown == NULL) {
        json->failed = true;
        return;
    }
    json->text = grown;
    memcpy(json->text + json->bytes, bytes, count);
    json->bytes += count;
}

static void put_char(struct stepd_json *json, char c)
{
    put_bytes(json, &c, 1);
}

static void put_text(struct stepd_json *json, const char *text)
{
    put_bytes(json, text, strlen(text));
}

static void put_escaped(struct stepd_json *json, const char *text)
{
    char escape[8];
    put_char(json, '"');
    for (; *text != '\0'; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            put_char(json, '\\');
            put_char(json, *text);
        } else if (c < 0x20) {
            (void)snprintf(escape, sizeof escape, "\\u%04x", (unsigned)c);
            put_text(json, escape);
        } else {
            put_char(json, *text);
        }
    }
    put_char(json, '"');
}

/* ---- Values ---------------------------------------------------------------------------------- */

static void begin(struct stepd_json *json, const char *key)
{
    if (json->follows)
        put_text(json, ", ");
    json->follows = true;
    if (key == NULL)
        return;
    put_escaped(json, key);
    put_text(json, ": ");
}

void stepd_json_open(struct stepd_json *json, const char *key, char bracket)
{
    begin(json, key);
    put_char(json, bracket);
    json->follows = false;
}

void stepd_json_close(struct stepd_json *json, char bracket)
{
    put_char(json, bracket);
    json->follows = true;
}

void stepd_json_string(struct stepd_json *json, const char *key, const char *value)
{
    begin(json, key);
    put_escaped(json, value);
}

void stepd_json_integer(struct stepd_json *json, const char *key, uint64_t value)
{
    char digits[24];
    begin(json, key);
    (void)snprintf(digits, sizeof digits, "%" PRIu64,
                   value > INT64_MAX ? (uint64_t)INT64_MAX : value);
    put_text(json, digits);
}

void stepd_json_null(struct stepd_json *json, const char *key)
{
    begin(json, key);
    put_text(json, "null");
}

/* A number with a point, so that it is read as real; the program's locale may have printed another
 * sign, of several bytes, in its place. */
void stepd_json_real(struct stepd_json *json, const char *key, double value)
{
    static const char plain[] = "0123456789+-eE";
    char digits[40];
    if (!isfinite(value)) {
        stepd_json_null(json, key);
        return;
    }
    begin(json, key);
    (void)snprintf(digits, sizeof digits, "%.17g", value);
    const size_t whole = strspn(digits, plain);
    put_bytes(json, digits, whole);
    const char *rest = digits + whole;
    while (*rest != '\0' && strchr(plain, *rest) == NULL)
        rest++;
    if (digits[whole] != '\0')
        put_char(json, '.');
    else if (strpbrk(digits, "eE") == NULL)
        put_text(json, ".0");
    put_text(json, rest);
}

/* ---- The end --------------------------------------------------------------------------------- */

char *stepd_json_take(struct stepd_json *json)
{
    put_char(json, '\0');
    if (json->failed)
        stepd_json_drop(json);
    char *const text = json->text;
    *json = (struct stepd_json){.text = NULL};
    return text;
}

void stepd_json_drop(struct stepd_json *json)
{
    free(json->text);
    *json = (struct stepd_json){.text = NULL};
}
