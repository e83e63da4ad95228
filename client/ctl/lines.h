/* SPDX-License-Identifier: Apache-2.0
 *
 * Cutting a worker's output into lines, so that lines of several workers never mix.
 *
 * A line ends with a newline, or with a carriage return, which is how progress is shown in place.
 * What is longer than LINES_MAX_BYTES is cut there. The last line may lack its end.
 */
#ifndef CLIENT_CTL_LINES_H
#define CLIENT_CTL_LINES_H

#include <stdbool.h>
#include <stddef.h>

#define LINES_MAX_BYTES 65536u

struct lines {
    char *partial; /* owned; the beginning of a line; LINES_MAX_BYTES long */
    size_t bytes;
    bool returned; /* a carriage return has come behind it */
    void *user;
    /* Takes one line, without its end (borrowed until return). live: it ended with a carriage
     * return, and another one will replace it. */
    void (*take)(void *user, const char *line, size_t bytes, bool live);
};

/* False: no memory. */
bool lines_init(struct lines *lines, void *user,
                void (*take)(void *user, const char *line, size_t bytes, bool live));

/* Takes bytes (borrowed until return) and hands on the lines that end in them. */
void lines_feed(struct lines *lines, const char *bytes, size_t n);

/* There is no more: hands on what is left, if anything. */
void lines_finish(struct lines *lines);

void lines_deinit(struct lines *lines);

#endif
