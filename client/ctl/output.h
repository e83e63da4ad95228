/* SPDX-License-Identifier: Apache-2.0
 *
 * What the members of a crew print, line by line with a prefix in front, on our own stdout or
 * stderr. Lines that are shown in place (see lines.h) stay so on a terminal, and on the way to
 * another launcher, which may have one; elsewhere they become ordinary lines.
 */
#ifndef CLIENT_CTL_OUTPUT_H
#define CLIENT_CTL_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

/* One of our own streams, shared by all members. */
struct output {
    int fd;
    bool relayed; /* to another launcher: lines are marked as complete */
    bool terminal;
    bool in_place; /* the newest line is to be replaced by the next one */
};

/* fd: 1 or 2. */
void output_init(struct output *output, int fd, bool relayed);

/* Writes prefix and line as a whole. What cannot be written is lost: there is nobody to tell. */
void output_line(struct output *output, const char *prefix, const char *line, size_t bytes,
                 bool live);

#endif
