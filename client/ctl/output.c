/* SPDX-License-Identifier: Apache-2.0 */
#include "client/ctl/output.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "client/ctl/crew.h"

#define ERASE_LINE "\033[K"

void output_init(struct output *output, int fd, bool relayed)
{
    *output = (struct output){.fd = fd, .relayed = relayed, .terminal = isatty(fd) == 1};
}

/* Moves the parts on by what has been written; returns how many are left. */
static int drop_written(struct iovec *part, int parts, size_t written)
{
    int done = 0;
    while (done < parts && written >= part[done].iov_len)
        written -= part[done++].iov_len;
    for (int i = done; i < parts; i++)
        part[i - done] = part[i];
    if (done < parts) {
        part[0].iov_base = (char *)part[0].iov_base + written;
        part[0].iov_len -= written;
    }
    return parts - done;
}

static void write_all(int fd, struct iovec *part, int parts)
{
    while (parts > 0) {
        const ssize_t n = writev(fd, part, parts);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return;
        parts = drop_written(part, parts, (size_t)n);
    }
}

/* iovec is not const, but what is written is only read. */
static struct iovec part_of(const char *text, size_t bytes)
{
    union {
        const char *in;
        void *out;
    } at = {.in = text};

    return (struct iovec){.iov_base = at.out, .iov_len = bytes};
}

void output_line(struct output *output, const char *prefix, const char *line, size_t bytes,
                 bool live)
{
    static const char mark[] = {CREW_MARK, '\0'};
    const bool in_place = live && output->terminal;
    const char *const before = output->relayed ? mark : output->in_place ? ERASE_LINE : "";
    struct iovec parts[] = {part_of(before, strlen(before)), part_of(prefix, strlen(prefix)),
                            part_of(line, bytes),
                            part_of(in_place || (live && output->relayed) ? "\r" : "\n", 1)};
    output->in_place = in_place;
    write_all(output->fd, parts, 4);
}
