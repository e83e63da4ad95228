/* SPDX-License-Identifier: Apache-2.0
 *
 * libstepd does not show its sockets, and stepd's are in another process. So the bench looks at all
 * that have been opened meanwhile, and takes copies of the child's own descriptors (pidfd_getfd) of
 * those that have the other ends: a copy is the same socket, and so are its options.
 */
#include "tests/bench/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/error.h"

static bool set(int fd, const char *control)
{
    return setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, control, (socklen_t)strlen(control)) == 0;
}

void wire_control(int fd, char ret_control[WIRE_CONTROL_BYTES])
{
    socklen_t bytes = WIRE_CONTROL_BYTES - 1;
    memset(ret_control, 0, WIRE_CONTROL_BYTES);
    if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, ret_control, &bytes) != 0)
        (void)snprintf(ret_control, WIRE_CONTROL_BYTES, "?");
}

/* ---- Wires ----------------------------------------------------------------------------------- */

static bool tune(int fd, const char *control)
{
    const int on = 1;
    return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 &&
           (control == NULL || set(fd, control));
}

/* The kernel connects to a socket that listens before anybody accepts, so one thread will do. */
static bool connect_tcp(int listener, const char *control, struct wire *wire)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof at;
    struct sockaddr *const place = (struct sockaddr *)&at;
    if (bind(listener, place, bytes) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, place, &bytes) != 0)
        return false;
    wire->near = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (wire->near < 0 || connect(wire->near, place, bytes) != 0)
        return false;
    wire->far = accept(listener, NULL, NULL);
    return wire->far >= 0 && fcntl(wire->far, F_SETFD, FD_CLOEXEC) == 0 &&
           tune(wire->near, control) && tune(wire->far, control);
}

static bool open_tcp(const char *control, struct wire *wire)
{
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0)
        return false;
    const bool open = connect_tcp(listener, control, wire);
    const int cause = errno;
    (void)close(listener);
    errno = cause;
    return open;
}

static bool open_unix(struct wire *wire)
{
    int end[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, end) != 0)
        return false;
    *wire = (struct wire){.near = end[0], .far = end[1]};
    return true;
}

enum stepd_status wire_open(bool tcp, const char *control, struct wire *ret_wire,
                            struct stepd_error *reterr)
{
    struct wire wire = {0};
    if (tcp ? open_tcp(control, &wire) : open_unix(&wire)) {
        *ret_wire = wire;
        return STEPD_OK;
    }
    const int cause = errno;
    wire_close(&wire);
    return stepd_fail(reterr, STEPD_UNAVAILABLE, "no bare connection under %s: %s",
                      control != NULL ? control : "the system's congestion control",
                      strerror(cause));
}

void wire_close(struct wire *wire)
{
    if (wire->near > 0)
        (void)close(wire->near);
    if (wire->far > 0)
        (void)close(wire->far);
    *wire = (struct wire){0};
}

/* ---- Congestion control ---------------------------------------------------------------------- */

void wire_default_control(char ret_control[WIRE_CONTROL_BYTES])
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    wire_control(fd, ret_control);
    if (fd >= 0)
        (void)close(fd);
}

void wire_note_sockets(bool ret_open[WIRE_SOCKETS_MAX])
{
    for (int fd = 0; fd < (int)WIRE_SOCKETS_MAX; fd++)
        ret_open[fd] = fcntl(fd, F_GETFD) != -1;
}

/* The port of this end, or of the other one, of a connection over IPv4. 0: it is none. */
static in_port_t port_of(int fd, int (*end)(int, struct sockaddr *, socklen_t *))
{
    struct sockaddr_in at = {.sin_family = AF_UNSPEC};
    socklen_t bytes = sizeof at;
    struct sockaddr_in peer;
    socklen_t peer_bytes = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &peer_bytes) != 0 ||
        end(fd, (struct sockaddr *)&at, &bytes) != 0 || at.sin_family != AF_INET)
        return 0;
    return at.sin_port;
}

/* A copy of the server's end of the connection whose near end has this port. -1: not to be had. */
static int far_end(int pidfd, in_port_t near_port)
{
    for (int number = 0; number < (int)WIRE_SOCKETS_MAX; number++) {
        const int fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
        if (fd >= 0 && port_of(fd, getpeername) == near_port)
            return fd;
        if (fd >= 0)
            (void)close(fd);
    }
    return -1;
}

void wire_set_control(const bool before[WIRE_SOCKETS_MAX], pid_t server, const char *control,
                      char ret_control[2 * WIRE_CONTROL_BYTES])
{
    char near[WIRE_CONTROL_BYTES] = "?";
    char far[WIRE_CONTROL_BYTES] = "?";
    const int pidfd = (int)syscall(SYS_pidfd_open, server, 0);
    for (int fd = 0; fd < (int)WIRE_SOCKETS_MAX; fd++) {
        const in_port_t port = before[fd] || fd == pidfd ? (in_port_t)0 : port_of(fd, getsockname);
        if (port == 0)
            continue;
        (void)set(fd, control);
        wire_control(fd, near);
        const int other = far_end(pidfd, port);
        if (other < 0)
            continue;
        (void)set(other, control);
        wire_control(other, far);
        (void)close(other);
    }
    if (pidfd >= 0)
        (void)close(pidfd);
    (void)snprintf(ret_control, (size_t)2 * WIRE_CONTROL_BYTES,
                   strcmp(near, far) == 0 ? "%s" : "%s/%s", near, far);
}
