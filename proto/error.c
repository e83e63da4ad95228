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

static size_t format_args(char *text, size_t size, const char *fmt, va_list args)
    STEPD_PRINTF(3, 0);

/* vsnprintf whose cut, if there is one, stands before a character and not in it. */
static size_t format_args(char *text, size_t size, const char *fmt, va_list args)
{
    const int wanted = vsnprintf(text, size, fmt, args);
    size_t end = wanted < 0 ? 0 : (size_t)wanted;
    if (end < size)
        return end;
    end = size - 1;
    while (end > 0 && ((unsigned char)text[end - 1] & 0xC0) == 0x80)
        end--;
    if (end > 0 && (unsigned char)text[end - 1] >= 0xC0)
        end--;
    text[end] = '\0';
    return end;
}

size_t stepd_format(char *text, size_t size, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const size_t end = format_args(text, size, fmt, args);
    va_end(args);
    return end;
}

enum stepd_status stepd_fail(struct stepd_error *reterr, enum stepd_status code, const char *fmt,
                             ...)
{
    if (reterr == NULL)
        return code;
    reterr->code = code;
    va_list args;
    va_start(args, fmt);
    (void)format_args(reterr->text, sizeof reterr->text, fmt, args);
    va_end(args);
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
    (void)format_args(prefix, sizeof prefix, prefix_fmt, args);
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
