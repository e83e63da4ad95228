/* SPDX-License-Identifier: Apache-2.0
 *
 * Look the host up, and try its addresses one after the other with a non-blocking connect:
 *
 *     start -> (lookup) -> connect -> (writable, or too late) -> connect to the next ... -> done
 *
 * A client that tries again and again to reach a server on its own host, while that is away, tries
 * from one free port after the other. When it is the turn of the server's own port, TCP connects
 * the socket with itself: the connection stands, answers nothing of a server's, and keeps the port
 * from the server that comes back. So a socket that has met itself is refused, and leaves nothing
 * behind.
 *
 * A host that goes silent later, without a word, is noticed by TCP itself: keep-alive probes an
 * idle connection, and TCP_USER_TIMEOUT bounds how long sent bytes may stay unacknowledged.
 */
#include "client/lib/net/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/lib/core/address.h"
#include "client/lib/net/lookup.h"
#include "proto/error.h"

#define KEEPALIVE_IDLE_S     15
#define KEEPALIVE_INTERVAL_S 5
#define KEEPALIVE_PROBES     4
#define USER_TIMEOUT_MS      30000

/* What a Unix socket takes in before its reader must come; server/net/socket.c says why. */
#define LOCAL_SEND_BYTES (512 << 10)

#define CONGESTION_BYTES 16u /* of a name and a NUL: TCP_CA_NAME_MAX of Linux */

struct stepd_dial {
    uv_timer_t timer; /* an address has had its time; or 0 ms, to end from the loop */
    uv_poll_t *poll;  /* owned; the connect that is in progress; NULL: none */
    int fd;           /* of it; -1: none */
    struct stepd_address address;
    struct stepd_lookup *lookup; /* owned; NULL: none under way */
    struct addrinfo *found;      /* owned */
    const struct addrinfo *next; /* to try */
    struct stepd_error error;
    stepd_dial_done *done;
    void *user;
};

/* ---- The end --------------------------------------------------------------------------------- */

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle);
}

/* Ends the connect in progress; the socket stays. */
static void stop_poll(struct stepd_dial *dial)
{
    if (dial->poll == NULL)
        return;
    (void)uv_poll_stop(dial->poll);
    uv_close((uv_handle_t *)dial->poll, on_poll_closed);
    dial->poll = NULL;
}

static void close_fd(struct stepd_dial *dial)
{
    if (dial->fd >= 0)
        (void)close(dial->fd);
    dial->fd = -1;
}

/* Releases all but the memory, which the timer's handle is part of. */
static void release(struct stepd_dial *dial)
{
    stop_poll(dial);
    dial->lookup = stepd_lookup_cancel(dial->lookup);
    if (dial->found != NULL)
        freeaddrinfo(dial->found);
    dial->found = NULL;
    uv_close((uv_handle_t *)&dial->timer, on_timer_closed);
}

struct stepd_dial *stepd_dial_cancel(struct stepd_dial *dial)
{
    if (dial == NULL)
        return NULL;
    close_fd(dial);
    release(dial);
    return NULL;
}

static void finish(struct stepd_dial *dial)
{
    stepd_dial_done *const done = dial->done;
    void *const user = dial->user;
    const struct stepd_error error = dial->error;
    const int fd = dial->fd;
    const bool local = dial->address.local;
    dial->fd = -1;
    release(dial);
    done(user, fd, local, &error);
}

static void on_end(uv_timer_t *timer)
{
    finish(timer->data);
}

/* From within start: the end comes from the loop. */
static void finish_later(struct stepd_dial *dial)
{
    (void)uv_timer_start(&dial->timer, on_end, 0, 0);
}

/* ---- One address ----------------------------------------------------------------------------- */

/* Does the socket lead to itself? */
static bool is_own_peer(int fd)
{
    struct sockaddr_storage here = {.ss_family = AF_UNSPEC}, there = {.ss_family = AF_UNSPEC};
    socklen_t here_bytes = sizeof here, there_bytes = sizeof there;
    return getsockname(fd, (struct sockaddr *)&here, &here_bytes) == 0 &&
           getpeername(fd, (struct sockaddr *)&there, &there_bytes) == 0 &&
           here.ss_family != AF_UNIX && here_bytes == there_bytes &&
           memcmp(&here, &there, here_bytes) == 0;
}

/* The errno of a connect that has been made, or 0. One with itself is undone at once: the port
 * would be taken for a minute longer if it were closed in peace. */
static int judge(int fd)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    if (!is_own_peer(fd))
        return 0;
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    return ECONNREFUSED;
}

/* Is the peer on this machine? */
static bool is_loopback(int fd)
{
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    socklen_t bytes = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &bytes) != 0)
        return false;
    if (peer.ss_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, &peer, sizeof v4);
        return ntohl(v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    struct sockaddr_in6 v6;
    memcpy(&v6, &peer, sizeof v6);
    return peer.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
}

/* Where the system's choice is bbr, it paces even loopback, which then moves less than half of what
 * it can; reno, which slows down when something is lost, never does there. */
static void choose_congestion(int fd)
{
    char name[CONGESTION_BYTES] = "";
    socklen_t bytes = sizeof name - 1;
    if (is_loopback(fd) && getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &bytes) == 0 &&
        strcmp(name, "bbr") == 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", sizeof "reno" - 1);
}

/* Options that make a dead peer known, and a near one fast. Sockets work without them, so failures
 * are ignored. */
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
    choose_congestion(fd);
}

/* Never lowers what the system gives by itself. The kernel doubles what it is asked for. */
static void tune_local(int fd)
{
    const int wanted = LOCAL_SEND_BYTES;
    int bytes = 0;
    socklen_t size = sizeof bytes;
    if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, &size) == 0 && bytes < 2 * wanted)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof wanted);
}

static void note_failure(struct stepd_dial *dial, int error)
{
    const struct stepd_address *const address = &dial->address;
    const char *const why = strerror(error);
    if (address->local && (error == ENOENT || error == ECONNREFUSED))
        (void)stepd_fail(&dial->error, STEPD_UNAVAILABLE,
                         "cannot connect to unix:%s: nobody listens there; is stepd running with "
                         "--unix %s, on this host?",
                         address->path, address->path);
    else if (address->local)
        (void)stepd_fail(&dial->error, STEPD_UNAVAILABLE, "cannot connect to unix:%s: %s",
                         address->path, why);
    else if (error == ECONNREFUSED)
        (void)stepd_fail(&dial->error, STEPD_UNAVAILABLE,
                         "cannot connect to %s:%s: %s: nobody listens there; is stepd running with "
                         "this --listen?",
                         address->host, address->port, why);
    else
        (void)stepd_fail(&dial->error, STEPD_UNAVAILABLE, "cannot connect to %s:%s: %s",
                         address->host, address->port, why);
}

static void succeed(struct stepd_dial *dial)
{
    dial->error.code = STEPD_OK;
    if (dial->address.local)
        tune_local(dial->fd);
    else
        tune_tcp(dial->fd);
    finish_later(dial);
}

static void on_writable(uv_poll_t *poll, int status, int events);
static void on_late(uv_timer_t *timer);

/* Waits for a connect in progress; an errno, or 0. */
static int watch(struct stepd_dial *dial)
{
    uv_poll_t *const poll = calloc(1, sizeof *poll);
    if (poll == NULL)
        return ENOMEM;
    const int failed = uv_poll_init(dial->timer.loop, poll, dial->fd);
    if (failed != 0) {
        free(poll);
        return -failed;
    }
    poll->data = dial;
    dial->poll = poll;
    (void)uv_poll_start(poll, UV_WRITABLE, on_writable);
    (void)uv_timer_start(&dial->timer, on_late, STEPD_DIAL_ADDRESS_MS, 0);
    return 0;
}

/* Begins to connect to one address; the errno of what failed at once, or 0. */
static int begin(struct stepd_dial *dial, const struct sockaddr *address, socklen_t bytes)
{
    dial->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (dial->fd < 0)
        return errno;
    const int error = connect(dial->fd, address, bytes) == 0 ? judge(dial->fd) : errno;
    if (error == EINPROGRESS || error == EINTR)
        return watch(dial);
    if (error == 0)
        succeed(dial);
    return error;
}

/* ---- All of them ----------------------------------------------------------------------------- */

static void pass_over(struct stepd_dial *dial, int error)
{
    note_failure(dial, error);
    close_fd(dial);
}

static void try_next(struct stepd_dial *dial)
{
    while (dial->next != NULL) {
        const struct addrinfo *const at = dial->next;
        dial->next = at->ai_next;
        const int error = begin(dial, at->ai_addr, at->ai_addrlen);
        if (error == 0)
            return;
        pass_over(dial, error);
    }
    finish_later(dial);
}

/* A connect that was in progress has been decided, with an errno or 0. */
static void decide(struct stepd_dial *dial, int error)
{
    stop_poll(dial);
    (void)uv_timer_stop(&dial->timer);
    if (error == 0) {
        succeed(dial);
        return;
    }
    pass_over(dial, error);
    try_next(dial);
}

static void on_writable(uv_poll_t *poll, int status, int events)
{
    struct stepd_dial *const dial = poll->data;
    int error = 0;
    socklen_t bytes = sizeof error;
    (void)events;
    /* Where the connect has failed libuv knows of an error, and the socket of which. */
    if (getsockopt(dial->fd, SOL_SOCKET, SO_ERROR, &error, &bytes) != 0)
        error = errno;
    if (error == 0)
        error = -status;
    decide(dial, error == 0 ? judge(dial->fd) : error);
}

static void on_late(uv_timer_t *timer)
{
    decide(timer->data, ETIMEDOUT);
}

static void on_found(void *user, struct addrinfo *found, const struct stepd_error *error)
{
    struct stepd_dial *const dial = user;
    dial->lookup = NULL;
    dial->found = found;
    dial->next = found;
    if (found == NULL)
        dial->error = *error;
    try_next(dial);
}

/* A socket of this machine connects at once or not at all. */
static void dial_local(struct stepd_dial *dial)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    memcpy(name.sun_path, dial->address.path, sizeof dial->address.path);
    const int error = begin(dial, (const struct sockaddr *)&name, sizeof name);
    if (error == 0)
        return;
    pass_over(dial, error);
    finish_later(dial);
}

struct stepd_dial *stepd_dial_start(uv_loop_t *uv, const char *text, stepd_dial_done *done,
                                    void *user)
{
    struct stepd_dial *const dial = calloc(1, sizeof *dial);
    if (dial == NULL)
        return NULL;
    dial->fd = -1;
    dial->done = done;
    dial->user = user;
    (void)uv_timer_init(uv, &dial->timer);
    dial->timer.data = dial;
    enum stepd_status status = stepd_address_parse(text, &dial->address, &dial->error);
    if (status == STEPD_OK && dial->address.local)
        dial_local(dial);
    else if (status == STEPD_OK)
        status =
            stepd_lookup_start(uv, &dial->address, on_found, dial, &dial->lookup, &dial->error);
    if (status != STEPD_OK)
        finish_later(dial);
    return dial;
}
