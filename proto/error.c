/* SPDX-License-Identifier: Apache-2.0
 *
 * Error texts. A cut must not split a UTF-8 character: names of tensors and workers stand in the
 * texts, and a half character would make the whole Error message invalid for stock protobuf
 * libraries, which check.
 */
#include "proto/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Ends the text at most STEPD_ERROR_TEXT_BYTES - 1 bytes in, before a character that was cut. */
static void end_at_character(char *text, size_t wanted)
{
    if (wanted < STEPD_ERROR_TEXT_BYTES)
        return;
    size_t end = STEPD_ERROR_TEXT_BYTES - 1;
    while (end > 0 && ((unsigned char)text[end - 1] & 0xC0) == 0x80)
        end--;
    if (end > 0 && (unsigned char)text[end - 1] >= 0xC0)
        end--;
    text[end] = '\0';
}

enum stepd_status stepd_fail(struct stepd_error *reterr, enum stepd_status code, const char *fmt,
                             ...)
{
    if (reterr == NULL)
        return code;
    reterr->code = code;
    va_list args;
    va_start(args, fmt);
    const int wanted = vsnprintf(reterr->text, sizeof reterr->text, fmt, args);
    va_end(args);
    end_at_character(reterr->text, wanted < 0 ? 0 : (size_t)wanted);
    return code;
}

enum stepd_status stepd_fail_in(struct stepd_error *reterr, enum stepd_status code,
                                const char *prefix_fmt, ...)
{
    if (reterr == NULL)
        return code;
    char prefix[STEPD_ERROR_TEXT_BYTES];
    va_list args;
    va_start(args, prefix_fmt);
    (void)vsnprintf(prefix, sizeof prefix, prefix_fmt, args);
    va_end(args);
    const struct stepd_error inner = *reterr;
    return stepd_fail(reterr, code, "%s: %s", prefix, inner.text);
}

const char *stepd_status_name(enum stepd_status status)
{
    switch (status) {
#define X(name, number, text)                                                                      \
    case STEPD_##name: return #name;
        STEPD_STATUS_MAP(X)
#undef X
    }
    return "UNKNOWN";
}

const char *stepd_status_text(enum stepd_status status)
{
    switch (status) {
#define X(name, number, text)                                                                      \
    case STEPD_##name: return text;
        STEPD_STATUS_MAP(X)
#undef X
    }
    return "unknown error";
}
