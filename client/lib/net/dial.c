/* SPDX-License-Identifier: Apache-2.0
 *
 * One attempt: look the host up, and try its addresses one after the other with a non-blocking
 * connect that is waited for with poll. A host that goes silent later, without a word, is noticed
 * by TCP itself: keep-alive probes an idle connection, and TCP_USER_TIMEOUT bounds how long sent
 * bytes may stay unacknowledged.
 */
#include "client/lib/net/dial.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/lib/net/clock.h"
#include "proto/error.h"

#define KEEPALIVE_IDLE_S     15
#define KEEPALIVE_INTERVAL_S 5
#define KEEPALIVE_PROBES     4
#define USER_TIMEOUT_MS      30000

static int left_ms(uint64_t until_ms)
{
    const uint64_t now = stepd_clock_ms();
    if (now >= until_ms)
        return 0;
    return until_ms - now > 60000 ? 60000 : (int)(until_ms - now);
}

/* Options that make a dead peer known. Sockets work without them, so failures are ignored. */
static void tune_tcp(int fd)
{
    const int on = 1, idle = KEEPALIVE_IDLE_S, interval = KEEPALIVE_INTERVAL_S;
    const int probes = KEEPALIVE_PROBES, timeout = USER_TIMEOUT_MS;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
}

/* Waits until a connect in progress is decided; returns 0 or an errno. */
static int await_connect(int fd, uint64_t until_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    int ready;
    do {
        ready = poll(&poll_fd, 1, left_ms(until_ms));
    } while ((ready < 0 && errno == EINTR) || (ready == 0 && left_ms(until_ms) > 0));
    if (ready <= 0)
        return ready == 0 ? ETIMEDOUT : errno;
    int error = 0;
    socklen_t bytes = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) == 0 ? error : errno;
}

/* A socket connected to this address, or -errno. */
static int connect_to(const struct sockaddr *address, socklen_t bytes, uint64_t until_ms)
{
    const int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int error = connect(fd, address, bytes) == 0 ? 0 : errno;
    if (error == EINPROGRESS || error == EINTR)
        error = await_connect(fd, until_ms);
    if (error == 0) {
        if (address->sa_family != AF_UNIX)
            tune_tcp(fd);
        return fd;
    }
    (void)close(fd);
    return -error;
}

static enum stepd_status dial_local(const struct stepd_address *address, uint64_t until_ms,
                                    int *ret_fd, struct stepd_error *reterr)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    memcpy(name.sun_path, address->path, sizeof address->path);
    const int fd = connect_to((const struct sockaddr *)&name, sizeof name, until_ms);
    if (fd < 0)
        return stepd_fail(reterr, STEPD_UNAVAILABLE, "cannot connect to unix:%s: %s", address->path,
                          strerror(-fd));
    *ret_fd = fd;
    return STEPD_OK;
}

static enum stepd_status dial_tcp(const struct stepd_address *address, uint64_t until_ms,
                                  int *ret_fd, struct stepd_error *reterr)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    const int looked_up = getaddrinfo(address->host, address->port, &hints, &found);
    if (looked_up != 0)
        return stepd_fail(reterr, STEPD_UNAVAILABLE, "cannot find host '%s': %s", address->host,
                          gai_strerror(looked_up));
    int fd = -ECONNREFUSED;
    for (const struct addrinfo *at = found; at != NULL && fd < 0; at = at->ai_next)
        fd = connect_to(at->ai_addr, at->ai_addrlen, until_ms);
    freeaddrinfo(found);
    if (fd < 0)
        return stepd_fail(reterr, STEPD_UNAVAILABLE, "cannot connect to %s:%s: %s", address->host,
                          address->port, strerror(-fd));
    *ret_fd = fd;
    return STEPD_OK;
}

enum stepd_status stepd_dial(const struct stepd_address *address, uint64_t until_ms, int *ret_fd,
                             struct stepd_error *reterr)
{
    return address->local ? dial_local(address, until_ms, ret_fd, reterr)
                          : dial_tcp(address, until_ms, ret_fd, reterr);
}

bool stepd_dial_again(uint32_t *backoff_ms, uint64_t until_ms)
{
    const int left = left_ms(until_ms);
    if (left == 0)
        return false;
    const int wait = (uint32_t)left < *backoff_ms ? left : (int)*backoff_ms;
    (void)poll(NULL, 0, wait);
    *backoff_ms =
        *backoff_ms * 2 < STEPD_DIAL_BACKOFF_LAST_MS ? *backoff_ms * 2 : STEPD_DIAL_BACKOFF_LAST_MS;
    return left_ms(until_ms) > 0;
}
