/* SPDX-License-Identifier: Apache-2.0
 *
 * What the workers of a launch print, line by line with the rank in front, on our own stdout or
 * stderr. Lines that are shown in place (see lines.h) stay so on a terminal; elsewhere they become
 * ordinary lines.
 */
#ifndef CLIENT_CTL_OUTPUT_H
#define CLIENT_CTL_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

/* One of our own streams, shared by all workers. */
struct output {
    int fd;
    bool terminal;
    bool in_place; /* the newest line is to be replaced by the next one */
};

/* fd: 1 or 2. */
void output_init(struct output *output, int fd);

/* Writes "[rank] line" as a whole. What cannot be written is lost: there is nobody to tell. */
void output_line(struct output *output, unsigned rank, const char *line, size_t bytes, bool live);

#endif
