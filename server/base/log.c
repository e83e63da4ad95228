/* SPDX-License-Identifier: Apache-2.0
 *
 * A line is put together on the caller's stack and handed to fwrite() whole; fwrite() holds the
 * stream's lock for as long as it writes, so no lock of ours is needed and no line is torn.
 *
 * The format is walked here rather than by vsnprintf(), because only so is it known where a value
 * begins and ends. log_event() keeps the format attribute of printf(), so a wrong argument is an
 * error of the compiler; what printf() knows and we do not (widths, flags, %c, %p) is an error of
 * the programmer and asserts. Each field goes in whole or not at all: a line that is too long
 * never ends in the middle of a quoted value.
 */
#include "server/base/log.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "server/base/text.h"

#define NUMBER_MAX_BYTES 64u

static const char cut_mark[] = " cut=true\n";

/* The line so far. Fields leave room for cut_mark behind them. */
struct line {
    char text[LOG_LINE_MAX_BYTES];
    size_t used;
    bool cut;
};

/* One conversion of the format: its precision (-1: none), length (NUL: none; L: ll) and letter. */
struct conversion {
    int precision;
    char length;
    char letter;
};

/* A value as bytes: of the caller's own string, or in number. */
struct value {
    const char *text;
    size_t bytes;
    char number[NUMBER_MAX_BYTES];
};

void log_init(struct log *log, FILE *stream, enum log_level least)
{
    *log = (struct log){.stream = stream, .least = least};
}

void log_set_level(struct log *log, enum log_level least)
{
    log->least = least;
}

const char *log_level_name(enum log_level level)
{
    switch (level) {
#define X(NAME, name)                                                                              \
    case LOG_##NAME: return #name;
        LOG_LEVEL_MAP(X)
#undef X
    }
    return "unknown";
}

bool log_level_find(const char *name, enum log_level *ret_level)
{
#define X(NAME, text)                                                                              \
    if (strcmp(name, #text) == 0) {                                                                \
        *ret_level = LOG_##NAME;                                                                   \
        return true;                                                                               \
    }
    LOG_LEVEL_MAP(X)
#undef X
    return false;
}

/* Whether logfmt takes the value as it is. */
static bool is_bare(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char c = text[i];
        if (c <= ' ' || c > '~' || c == '"' || c == '=' || c == '\\')
            return false;
    }
    return n > 0;
}

static void put_field(struct line *line, const char *key, size_t key_bytes,
                      const struct value *value)
{
    char quoted[LOG_VALUE_MAX_BYTES];
    const char *text = value->text;
    size_t bytes = value->bytes;
    if (bytes >= sizeof quoted || !is_bare(text, bytes)) {
        bytes = text_quote(text, bytes, quoted, sizeof quoted);
        text = quoted;
    }
    const size_t room = sizeof line->text - (sizeof cut_mark - 1) - line->used;
    const size_t separators = 2; /* the space in front and the = */
    if (line->cut || key_bytes > room || bytes + separators > room - key_bytes) {
        line->cut = true;
        return;
    }
    if (line->used > 0)
        line->text[line->used++] = ' ';
    memcpy(line->text + line->used, key, key_bytes);
    line->used += key_bytes;
    line->text[line->used++] = '=';
    memcpy(line->text + line->used, text, bytes);
    line->used += bytes;
}

static void put_text(struct line *line, const char *key, const char *text)
{
    put_field(line, key, strlen(key), &(struct value){.text = text, .bytes = strlen(text)});
}

/* RFC 3339 in UTC, to the millisecond. */
static void put_time(struct line *line)
{
    struct timespec now = {.tv_sec = 0};
    struct tm parts = {.tm_year = 70};
    char seconds[32];
    char text[64];
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &parts);
    (void)strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &parts);
    (void)snprintf(text, sizeof text, "%s.%03ldZ", seconds, now.tv_nsec / 1000000);
    put_text(line, "ts", text);
}

/* Reads the conversion behind a '%' and returns what follows it. */
static const char *read_conversion(const char *fmt, va_list *args, struct conversion *ret)
{
    struct conversion conversion = {.precision = -1, .length = '\0'};
    if (*fmt == '.') {
        fmt++;
        conversion.precision = 0;
        if (*fmt == '*') {
            conversion.precision = va_arg(*args, int);
            fmt++;
        }
        while (*fmt >= '0' && *fmt <= '9')
            conversion.precision = 10 * conversion.precision + (*fmt++ - '0');
    }
    if (*fmt == 'l' || *fmt == 'z')
        conversion.length = *fmt++;
    if (conversion.length == 'l' && *fmt == 'l') {
        conversion.length = 'L';
        fmt++;
    }
    conversion.letter = *fmt;
    *ret = conversion;
    return *fmt == '\0' ? fmt : fmt + 1;
}

static intmax_t next_signed(char length, va_list *args)
{
    switch (length) {
    case 'l': return va_arg(*args, long);
    case 'L': return va_arg(*args, long long);
    case 'z': return va_arg(*args, ssize_t);
    default: return va_arg(*args, int);
    }
}

static uintmax_t next_unsigned(char length, va_list *args)
{
    switch (length) {
    case 'l': return va_arg(*args, unsigned long);
    case 'L': return va_arg(*args, unsigned long long);
    case 'z': return va_arg(*args, size_t);
    default: return va_arg(*args, unsigned);
    }
}

static void read_string(const struct conversion *conversion, va_list *args, struct value *value)
{
    value->text = va_arg(*args, const char *);
    if (value->text == NULL)
        value->text = "null";
    value->bytes = conversion->precision < 0 ? strlen(value->text)
                                             : strnlen(value->text, (size_t)conversion->precision);
}

/* Takes the next argument as the conversion says. */
static void read_value(const struct conversion *conversion, va_list *args, struct value *value)
{
    const int digits = conversion->precision;
    char *number = value->number;
    const size_t room = sizeof value->number;
    int written = 0;
    switch (conversion->letter) {
    case 's': read_string(conversion, args, value); return;
    case 'd':
    case 'i': written = snprintf(number, room, "%jd", next_signed(conversion->length, args)); break;
    case 'u':
        written = snprintf(number, room, "%ju", next_unsigned(conversion->length, args));
        break;
    case 'x':
        written = snprintf(number, room, "%jx", next_unsigned(conversion->length, args));
        break;
    case 'e': written = snprintf(number, room, "%.*e", digits, va_arg(*args, double)); break;
    case 'f': written = snprintf(number, room, "%.*f", digits, va_arg(*args, double)); break;
    case 'g': written = snprintf(number, room, "%.*g", digits, va_arg(*args, double)); break;
    default: assert(false && "log_event: a conversion that it does not know"); break;
    }
    value->text = number;
    value->bytes = written < 0 ? 0 : (size_t)written < room ? (size_t)written : room - 1;
}

static void put_fields(struct line *line, const char *fmt, va_list *args)
{
    while (*fmt != '\0') {
        const char *const key = fmt;
        const size_t key_bytes = strcspn(key, "= ");
        struct value value = {.bytes = 0};
        assert(key_bytes > 0 && key[key_bytes] == '=');
        fmt += key_bytes + (key[key_bytes] == '=' ? 1 : 0);
        if (*fmt == '%') {
            struct conversion conversion;
            fmt = read_conversion(fmt + 1, args, &conversion);
            read_value(&conversion, args, &value);
        } else {
            value.text = fmt;
            value.bytes = strcspn(fmt, " ");
            fmt += value.bytes;
        }
        assert(*fmt == ' ' || *fmt == '\0');
        put_field(line, key, key_bytes, &value);
        if (*fmt == ' ')
            fmt++;
    }
}

/* Time, level and event: what every line begins with. */
static void begin(struct line *line, enum log_level level, const char *event)
{
    put_time(line);
    put_text(line, "level", log_level_name(level));
    put_text(line, "event", event);
}

static void write_line(const struct log *log, struct line *line)
{
    const char *const end = line->cut ? cut_mark : "\n";
    memcpy(line->text + line->used, end, strlen(end));
    line->used += strlen(end);
    (void)fwrite(line->text, 1, line->used, log->stream);
}

void log_event(const struct log *log, enum log_level level, const char *event, const char *fmt, ...)
{
    if (log == NULL || level < log->least)
        return;
    struct line line = {.used = 0};
    begin(&line, level, event);
    if (fmt != NULL) {
        va_list args;
        va_start(args, fmt);
        put_fields(&line, fmt, &args);
        va_end(args);
    }
    write_line(log, &line);
}

void log_facts(const struct log *log, enum log_level level, const char *event, const char *facts)
{
    if (log == NULL || level < log->least)
        return;
    struct line line = {.used = 0};
    begin(&line, level, event);
    const size_t room = sizeof line.text - (sizeof cut_mark - 1) - line.used;
    const int written = snprintf(line.text + line.used, room, " %s", facts);
    if (written > 0 && (size_t)written < room)
        line.used += (size_t)written;
    else
        line.cut = true;
    write_line(log, &line);
}
