/* SPDX-License-Identifier: Apache-2.0
 *
 * Quoting goes character by character: what may stand in a name on the wire stands for itself, and
 * all other bytes are escaped one by one. So an invalid byte in the middle costs its neighbours
 * nothing, and a cut never leaves half a character, which would make the log itself invalid UTF-8.
 */
#include "server/base/text.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "proto/utf8.h"

#define CHARACTER_MAX_BYTES 4u

/* The length of the character at text[0]; 0: a control character, or no valid UTF-8. */
static size_t character_bytes(const char *text, size_t n)
{
    /* A character is the shortest beginning that is valid by itself. */
    for (size_t length = 1; length <= CHARACTER_MAX_BYTES && length <= n; length++) {
        if (stepd_utf8_printable((const uint8_t *)text, length))
            return length;
    }
    return 0;
}

/* Writes what stands for the character at text[0] (at most 4 bytes) and returns how many bytes. */
static size_t escape(const char *text, size_t length, char ret_escaped[CHARACTER_MAX_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t byte = (uint8_t)text[0];
    if (byte == '"' || byte == '\\' || byte == '\n' || byte == '\t') {
        ret_escaped[0] = '\\';
        ret_escaped[1] = text[0];
        if (byte == '\n')
            ret_escaped[1] = 'n';
        if (byte == '\t')
            ret_escaped[1] = 't';
        return 2;
    }
    if (length == 0) {
        ret_escaped[0] = '\\';
        ret_escaped[1] = 'x';
        ret_escaped[2] = digits[byte >> 4];
        ret_escaped[3] = digits[byte & 15];
        return 4;
    }
    memcpy(ret_escaped, text, length);
    return length;
}

size_t text_quote(const char *text, size_t n, char *ret_quoted, size_t capacity)
{
    assert(capacity >= TEXT_QUOTED_LEAST_BYTES);
    const size_t room = capacity - 2; /* for the closing quote and the NUL */
    size_t used = 0;
    size_t cut_at = 1; /* the last boundary that leaves room for the dots */
    size_t at = 0;
    ret_quoted[used++] = '"';
    while (at < n) {
        char escaped[CHARACTER_MAX_BYTES];
        const size_t length = character_bytes(text + at, n - at);
        const size_t wanted = escape(text + at, length, escaped);
        if (wanted > room - used) {
            used = cut_at;
            memcpy(ret_quoted + used, "...", 3);
            used += 3;
            break;
        }
        memcpy(ret_quoted + used, escaped, wanted);
        used += wanted;
        if (used + 3 <= room)
            cut_at = used;
        at += length == 0 ? 1 : length;
    }
    ret_quoted[used++] = '"';
    ret_quoted[used] = '\0';
    return used;
}
