/* SPDX-License-Identifier: Apache-2.0
 *
 * The protocol is small and promised to stay; libsystemd, which speaks it too, would bring six
 * more libraries into the daemon (compressors among them).
 *
 * Nothing here waits: a supervisor whose socket is full misses a line, and hears the next one.
 */
#include "server/net/supervisor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/error.h"

#define LINES_MAX_BYTES 512u
#define USEC_PER_MS     1000u

/* The value of a variable, or NULL where it is not set or empty. */
static const char *variable(char *const *environment, const char *name)
{
    const size_t length = strlen(name);
    for (; environment != NULL && *environment != NULL; environment++)
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
            return (*environment)[length + 1] == '\0' ? NULL : *environment + length + 1;
    return NULL;
}

/* A path, or a name of Linux's abstract space, which is written with '@' for its first byte, 0. */
static enum stepd_status read_address(const char *text, struct supervisor *supervisor,
                                      struct stepd_error *reterr)
{
    const size_t length = strlen(text);
    if ((text[0] != '/' && text[0] != '@') || text[1] == '\0')
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "NOTIFY_SOCKET='%.80s' is neither a path nor an abstract name: unset it, "
                          "or name a Unix socket",
                          text);
    if (length >= sizeof supervisor->address.sun_path)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "NOTIFY_SOCKET is %zu bytes long, and a socket's name at most %zu",
                          length, sizeof supervisor->address.sun_path - 1);
    supervisor->address.sun_family = AF_UNIX;
    memcpy(supervisor->address.sun_path, text, length);
    if (text[0] == '@')
        supervisor->address.sun_path[0] = '\0';
    supervisor->address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    return STEPD_OK;
}

static bool read_number(const char *text, uint64_t *ret_number)
{
    char *end;
    errno = 0;
    *ret_number = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0;
}

static enum stepd_status read_watchdog(char *const *environment, struct supervisor *supervisor,
                                       struct stepd_error *reterr)
{
    const char *const time = variable(environment, "WATCHDOG_USEC");
    const char *const process = variable(environment, "WATCHDOG_PID");
    uint64_t usec, pid;
    if (time == NULL)
        return STEPD_OK;
    if (process != NULL && read_number(process, &pid) && pid != (uint64_t)getpid())
        return STEPD_OK;
    if (!read_number(time, &usec) || usec / USEC_PER_MS < 2)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "WATCHDOG_USEC='%.40s' is no number of microseconds from 2000 up", time);
    supervisor->beat_ms = usec / USEC_PER_MS / 2;
    return STEPD_OK;
}

enum stepd_status supervisor_open(char *const *environment, struct supervisor *ret_supervisor,
                                  struct stepd_error *reterr)
{
    const char *const address = variable(environment, "NOTIFY_SOCKET");
    struct supervisor supervisor = {.fd = -1};
    enum stepd_status status = STEPD_OK;
    if (address != NULL) {
        status = read_address(address, &supervisor, reterr);
        if (status == STEPD_OK)
            status = read_watchdog(environment, &supervisor, reterr);
        if (status != STEPD_OK)
            return status;
        supervisor.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (supervisor.fd < 0)
            return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                              "no socket to speak to the service manager: %s", strerror(errno));
    }
    *ret_supervisor = supervisor;
    return STEPD_OK;
}

void supervisor_close(struct supervisor *supervisor)
{
    if (supervisor->fd >= 0)
        (void)close(supervisor->fd);
    supervisor->fd = -1;
}

bool supervisor_tell(const struct supervisor *supervisor, const char *lines)
{
    if (supervisor->fd < 0)
        return true;
    ssize_t n;
    do {
        n = sendto(supervisor->fd, lines, strlen(lines), MSG_NOSIGNAL,
                   (const struct sockaddr *)&supervisor->address, supervisor->address_bytes);
    } while (n < 0 && errno == EINTR);
    return n >= 0;
}

bool supervisor_tell_ready(const struct supervisor *supervisor, const char *status)
{
    char lines[LINES_MAX_BYTES];
    (void)snprintf(lines, sizeof lines, "READY=1\nSTATUS=%s", status);
    return supervisor_tell(supervisor, lines);
}

/* The time is for a manager that reloads by itself (Type=notify-reload), to know which reload it
 * is. */
bool supervisor_tell_reloading(const struct supervisor *supervisor)
{
    char lines[LINES_MAX_BYTES];
    struct timespec now = {.tv_sec = 0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    (void)snprintf(lines, sizeof lines,
                   "RELOADING=1\nMONOTONIC_USEC=%lld%06ld\nSTATUS=reads its settings again",
                   (long long)now.tv_sec, now.tv_nsec / 1000);
    return supervisor_tell(supervisor, lines);
}

bool supervisor_beat(struct supervisor *supervisor, uint32_t shards, uint64_t now_ms)
{
    if (supervisor->beat_ms == 0 || supervisor->awaited > 0 || now_ms < supervisor->next_ms)
        return false;
    supervisor->next_ms = now_ms + supervisor->beat_ms;
    supervisor->awaited = shards;
    return true;
}

bool supervisor_answered(struct supervisor *supervisor)
{
    supervisor->awaited--;
    return supervisor->awaited > 0 || supervisor_tell(supervisor, "WATCHDOG=1");
}
