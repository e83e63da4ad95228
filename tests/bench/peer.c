/* SPDX-License-Identifier: Apache-2.0
 *
 * Plain blocking sockets on both sides. The peer takes in a whole message before it answers, as
 * whoever works on all of it would, so no side ever writes while the other one does.
 */
#include "tests/bench/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/error.h"

struct place {
    union {
        struct sockaddr any;
        struct sockaddr_in tcp;
        struct sockaddr_un local;
    } at;

    socklen_t length;
};

static bool send_all(int fd, const uint8_t *bytes, size_t count)
{
    for (size_t done = 0; done < count;) {
        const ssize_t now = send(fd, bytes + done, count - done, MSG_NOSIGNAL);
        if (now < 0 && errno == EINTR)
            continue;
        if (now <= 0)
            return false;
        done += (size_t)now;
    }
    return true;
}

static bool receive_all(int fd, uint8_t *bytes, size_t count)
{
    for (size_t done = 0; done < count;) {
        const ssize_t now = recv(fd, bytes + done, count - done, 0);
        if (now < 0 && errno == EINTR)
            continue;
        if (now <= 0)
            return false;
        done += (size_t)now;
    }
    return true;
}

/* As stepd tunes its own; a Unix socket takes none of it. */
static void tune(int fd)
{
    static const char congestion[] = "reno";
    const int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, sizeof congestion - 1);
}

void peer_serve(int fd, size_t bytes)
{
    uint8_t *const memory = malloc(bytes);
    while (memory != NULL && receive_all(fd, memory, bytes) && send_all(fd, memory, bytes))
        continue;
    free(memory);
}

/* The peer's whole life, in the child. */
static void live(int listener, peer_serve_fn *serve, size_t bytes)
{
    const int fd = accept(listener, NULL, NULL);
    if (fd < 0)
        _exit(1);
    tune(fd);
    serve(fd, bytes);
    _exit(0);
}

/* A listening socket, and where it is. -1: there is none, and errno says why. */
static int listen_somewhere(const char *socket_path, struct place *ret_place)
{
    struct place place = {.length = sizeof place.at.tcp};
    if (socket_path == NULL) {
        place.at.tcp = (struct sockaddr_in){
            .sin_family = AF_INET,
            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
    } else {
        place.at.local = (struct sockaddr_un){.sun_family = AF_UNIX};
        place.length = sizeof place.at.local;
        (void)snprintf(place.at.local.sun_path, sizeof place.at.local.sun_path, "%s", socket_path);
        (void)unlink(socket_path);
    }
    const int fd = socket(place.at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (bind(fd, &place.at.any, place.length) != 0 || listen(fd, 1) != 0 ||
        getsockname(fd, &place.at.any, &place.length) != 0) {
        const int cause = errno;
        (void)close(fd);
        errno = cause;
        return -1;
    }
    *ret_place = place;
    return fd;
}

enum stepd_status peer_start(const char *socket_path, peer_serve_fn *serve, size_t bytes,
                             struct peer *ret_peer, struct stepd_error *reterr)
{
    struct place place;
    const int listener = listen_somewhere(socket_path, &place);
    if (listener < 0)
        return stepd_fail(reterr, STEPD_UNAVAILABLE, "bare peer: %s", strerror(errno));
    struct peer peer = {.pid = fork()};
    if (peer.pid == 0)
        live(listener, serve, bytes);
    peer.fd = socket(place.at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool connected =
        peer.pid > 0 && peer.fd >= 0 && connect(peer.fd, &place.at.any, place.length) == 0;
    const int cause = errno;
    (void)close(listener);
    if (!connected) {
        peer_stop(&peer);
        return stepd_fail(reterr, STEPD_UNAVAILABLE, "bare peer: %s", strerror(cause));
    }
    tune(peer.fd);
    *ret_peer = peer;
    return STEPD_OK;
}

enum stepd_status peer_exchange(const struct peer *peer, const uint8_t *send, uint8_t *receive,
                                size_t bytes, struct stepd_error *reterr)
{
    if (!send_all(peer->fd, send, bytes) || !receive_all(peer->fd, receive, bytes))
        return stepd_fail(reterr, STEPD_UNAVAILABLE, "the bare peer is gone");
    return STEPD_OK;
}

void peer_stop(struct peer *peer)
{
    if (peer->fd > 0) {
        /* Peers forked later hold copies of this socket, which closing it would not end. */
        (void)shutdown(peer->fd, SHUT_RDWR);
        (void)close(peer->fd);
    }
    if (peer->pid > 0)
        (void)waitpid(peer->pid, NULL, 0);
    *peer = (struct peer){.pid = 0};
}
