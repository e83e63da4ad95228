/* SPDX-License-Identifier: Apache-2.0
 *
 * They are read byte by byte: what stands behind them is for the crew, and a pipe takes nothing
 * back.
 */
#include "client/ctl/orders.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <stepd/types.h>

#include "client/lib/launcher.h"
#include "proto/error.h"

#define VERSION      "stepctl-launch/1"
#define ORDERS_MAX   (4u << 20)
#define FIRST        'f'
#define WORKERS      'n'
#define WORLD        'w'
#define FOLDER       'd'
#define SETTING      'e'
#define ARGUMENT     'a'
#define END          '.'
#define NUMBER_BYTES 16u
#define ROOM_FIRST   4096u

/* ---- Writing --------------------------------------------------------------------------------- */

struct text {
    char *bytes;
    size_t count, room;
    bool full; /* no memory, or too much */
};

static void put(struct text *text, const char *bytes, size_t n)
{
    while (!text->full && text->room - text->count < n) {
        const size_t room = text->room == 0 ? ROOM_FIRST : 2 * text->room;
        char *const grown = room > ORDERS_MAX ? NULL : realloc(text->bytes, room);
        text->full = grown == NULL;
        if (grown != NULL) {
            text->bytes = grown;
            text->room = room;
        }
    }
    if (text->full)
        return;
    memcpy(text->bytes + text->count, bytes, n);
    text->count += n;
}

static void put_string(struct text *text, char kind, const char *string)
{
    put(text, &kind, 1);
    put(text, string, strlen(string) + 1);
}

static void put_number(struct text *text, char kind, unsigned number)
{
    char digits[NUMBER_BYTES];
    (void)snprintf(digits, sizeof digits, "%u", number);
    put_string(text, kind, digits);
}

enum stepd_status orders_encode(const struct orders *orders, char *const *setting, char **ret_bytes,
                                size_t *ret_count, struct stepd_error *reterr)
{
    struct text text = {.count = 0};
    put(&text, VERSION, sizeof VERSION);
    put_number(&text, FIRST, orders->first);
    put_number(&text, WORKERS, orders->workers);
    put_number(&text, WORLD, orders->world);
    if (orders->folder != NULL)
        put_string(&text, FOLDER, orders->folder);
    for (; *setting != NULL; setting++)
        put_string(&text, SETTING, *setting);
    for (char *const *argument = orders->command; *argument != NULL; argument++)
        put_string(&text, ARGUMENT, *argument);
    put_string(&text, END, "");
    if (text.full) {
        free(text.bytes);
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                          "the command and its settings are longer than %u bytes, or there is no "
                          "memory for them",
                          ORDERS_MAX);
    }
    *ret_bytes = text.bytes;
    *ret_count = text.count;
    return STEPD_OK;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static enum stepd_status read_byte(int fd, char *ret_byte, struct stepd_error *reterr)
{
    ssize_t n;
    do {
        n = read(fd, ret_byte, 1);
    } while (n < 0 && errno == EINTR);
    if (n == 1)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_UNAVAILABLE, "the orders are cut short: %s",
                      n == 0 ? "the launcher is gone" : strerror(errno));
}

/* A string with its NUL. */
static enum stepd_status read_string(int fd, struct text *text, struct stepd_error *reterr)
{
    char byte;
    do {
        const enum stepd_status status = read_byte(fd, &byte, reterr);
        if (status != STEPD_OK)
            return status;
        put(text, &byte, 1);
        if (text->full)
            return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "the orders are too long");
    } while (byte != '\0');
    return STEPD_OK;
}

static enum stepd_status read_text(int fd, struct text *text, struct stepd_error *reterr)
{
    enum stepd_status status = STEPD_OK;
    for (size_t i = 0; i < sizeof VERSION && status == STEPD_OK; i++) {
        char byte = '\0';
        status = read_byte(fd, &byte, reterr);
        if (status == STEPD_OK && byte != VERSION[i])
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "these are no orders of this version of stepctl: the same one must "
                              "be installed on all hosts");
    }
    for (bool ended = false; !ended && status == STEPD_OK;) {
        const size_t begin = text->count;
        status = read_string(fd, text, reterr);
        ended = status == STEPD_OK && text->bytes[begin] == END;
    }
    return status;
}

static bool take_number(const char *text, unsigned *ret_number)
{
    uint64_t number;
    if (!stepd_launcher_number(text, STEPD_WORKERS_MAX, &number))
        return false;
    *ret_number = (unsigned)number;
    return true;
}

/* One string; there is room in the lists. */
static bool take(struct orders *orders, char *string, size_t *arguments)
{
    switch (string[0]) {
    case FIRST: return take_number(string + 1, &orders->first);
    case WORKERS: return take_number(string + 1, &orders->workers);
    case WORLD: return take_number(string + 1, &orders->world);
    case FOLDER: orders->folder = string + 1; return true;
    case SETTING:
        orders->setting[orders->settings++] = string + 1;
        return strchr(string + 1, '=') != NULL;
    case ARGUMENT: orders->command[(*arguments)++] = string + 1; return true;
    default: return string[0] == END;
    }
}

static enum stepd_status take_all(const struct text *text, struct orders *orders,
                                  struct stepd_error *reterr)
{
    size_t strings = 0, arguments = 0;
    bool fine = true;
    for (size_t i = 0; i < text->count; i++)
        strings += text->bytes[i] == '\0';
    orders->setting = calloc(strings + 1, sizeof *orders->setting);
    orders->command = calloc(strings + 1, sizeof *orders->command);
    if (orders->setting == NULL || orders->command == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the orders");
    for (size_t at = 0; at < text->count && fine; at += strlen(text->bytes + at) + 1)
        fine = take(orders, text->bytes + at, &arguments);
    if (fine && arguments > 0 && orders->workers > 0 && orders->first < orders->world &&
        orders->workers <= orders->world - orders->first)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "the orders make no sense");
}

enum stepd_status orders_read(int fd, struct orders *ret_orders, struct stepd_error *reterr)
{
    struct orders orders = {.first = 0};
    struct text text = {.count = 0};
    enum stepd_status status = read_text(fd, &text, reterr);
    orders.bytes = text.bytes;
    if (status == STEPD_OK)
        status = take_all(&text, &orders, reterr);
    if (status == STEPD_OK)
        *ret_orders = orders;
    else
        orders_deinit(&orders);
    return status;
}

void orders_deinit(struct orders *orders)
{
    free((void *)orders->setting);
    free((void *)orders->command);
    free(orders->bytes);
}
