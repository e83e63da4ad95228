/* SPDX-License-Identifier: Apache-2.0 */
#include "client/ctl/lines.h"

#include <stdlib.h>
#include <string.h>

bool lines_init(struct lines *lines, void *user,
                void (*take)(void *user, const char *line, size_t bytes, bool live))
{
    *lines = (struct lines){.partial = malloc(LINES_MAX_BYTES), .user = user, .take = take};
    return lines->partial != NULL;
}

static void hand_on(struct lines *lines, bool live)
{
    lines->take(lines->user, lines->partial, lines->bytes, live);
    lines->bytes = 0;
    lines->returned = false;
}

static void add(struct lines *lines, const char *bytes, size_t n)
{
    while (n > 0) {
        if (lines->bytes == LINES_MAX_BYTES)
            hand_on(lines, /* live= */ false);
        size_t part = LINES_MAX_BYTES - lines->bytes;
        if (part > n)
            part = n;
        memcpy(lines->partial + lines->bytes, bytes, part);
        lines->bytes += part;
        bytes += part;
        n -= part;
    }
}

/* The end of a line has come. A carriage return ends it only when something else than a newline
 * follows: "\r\n" is one end. */
static void end_line(struct lines *lines, char end)
{
    if (end == '\r')
        lines->returned = lines->bytes > 0;
    else
        hand_on(lines, /* live= */ false);
}

void lines_feed(struct lines *lines, const char *bytes, size_t n)
{
    while (n > 0) {
        size_t length = 0;
        while (length < n && bytes[length] != '\n' && bytes[length] != '\r')
            length++;
        if (length > 0 && lines->returned)
            hand_on(lines, /* live= */ true);
        add(lines, bytes, length);
        if (length < n)
            end_line(lines, bytes[length++]);
        bytes += length;
        n -= length;
    }
}

void lines_finish(struct lines *lines)
{
    if (lines->bytes > 0)
        hand_on(lines, /* live= */ false);
}

void lines_deinit(struct lines *lines)
{
    free(lines->partial);
    lines->partial = NULL;
}
