/* SPDX-License-Identifier: Apache-2.0
 *
 * All addresses that the resolver knows are tried one after the other, CONNECT_MS each, and where
 * TLS is spoken the handshake is made with the first that answers, for HANDSHAKE_MS at most. What
 * comes of it is a caller, as the door has them: a socket, its TLS, and nothing read.
 *
 * The thread looks every SLICE_MS whether it should stop, and waits for the resolver no longer than
 * that either (resolve.h).
 */
#include "server/net/dial.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/error.h"
#include "server/net/address.h"
#include "server/net/resolve.h"
#include "server/net/socket.h"

#define LOOKUP_MS    30000u
#define CONNECT_MS   5000u
#define HANDSHAKE_MS 10000u
#define SLICE_MS     100u
#define READ_BYTES   16384u

struct dial {
    uv_work_t work;
    struct dial_options options;
    struct tls_client *tls; /* owned; NULL: none is spoken */
    char address[ADDRESS_TEXT_BYTES];
    struct caller *caller; /* owned; NULL: see error */
    struct stepd_error error;
};

/* ---- Waiting --------------------------------------------------------------------------------- */

/* A wait for one thing, which may take several turns. */
struct wait {
    uint64_t until_ms;
    uint32_t limit_ms;
};

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

static struct wait wait_for(uint32_t limit_ms)
{
    return (struct wait){.until_ms = now_ms() + limit_ms, .limit_ms = limit_ms};
}

/* Until the socket can be read from or written to, as events says. Time that is over is over, also
 * where something comes now and then. */
static enum stepd_status await(const struct dial *dial, int fd, short events,
                               const struct wait *wait, struct stepd_error *reterr)
{
    for (uint64_t now = now_ms(); now < wait->until_ms; now = now_ms()) {
        const uint64_t left_ms = wait->until_ms - now;
        struct pollfd at = {.fd = fd, .events = events};
        if (atomic_load(dial->options.stop))
            return stepd_fail(reterr, STEPD_CANCELLED, "nobody wants it any more");
        const int ready = poll(&at, 1, (int)(left_ms < SLICE_MS ? left_ms : SLICE_MS));
        if (ready > 0)
            return STEPD_OK;
        if (ready < 0 && errno != EINTR)
            return stepd_fail(reterr, STEPD_UNAVAILABLE, "%s", strerror(errno));
    }
    return stepd_fail(reterr, STEPD_UNAVAILABLE, "no answer within %u ms",
                      (unsigned)wait->limit_ms);
}

/* ---- TLS ------------------------------------------------------------------------------------- */

static enum stepd_status send_output(const struct dial *dial, int fd, struct tls *tls,
                                     const struct wait *wait, struct stepd_error *reterr)
{
    size_t n = 0;
    for (const uint8_t *bytes = tls_output(tls, &n); n > 0; bytes = tls_output(tls, &n)) {
        const ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
        if (sent > 0)
            tls_output_gone(tls, (size_t)sent);
        else if (errno != EAGAIN && errno != EINTR)
            return stepd_fail(reterr, STEPD_UNAVAILABLE, "%s", strerror(errno));
        else if (await(dial, fd, POLLOUT, wait, reterr) != STEPD_OK)
            return reterr->code;
    }
    return STEPD_OK;
}

static enum stepd_status receive_input(const struct dial *dial, int fd, struct tls *tls,
                                       const struct wait *wait, struct stepd_error *reterr)
{
    uint8_t bytes[READ_BYTES];
    const enum stepd_status ready = await(dial, fd, POLLIN, wait, reterr);
    if (ready != STEPD_OK)
        return ready;
    const ssize_t n = recv(fd, bytes, sizeof bytes, 0);
    if (n == 0)
        return stepd_fail(reterr, STEPD_UNAVAILABLE, "it hung up during the handshake");
    if (n < 0)
        return errno == EAGAIN || errno == EINTR
                   ? STEPD_OK
                   : stepd_fail(reterr, STEPD_UNAVAILABLE, "%s", strerror(errno));
    return tls_feed(tls, bytes, (size_t)n)
               ? STEPD_OK
               : stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a handshake");
}

static enum stepd_status shake_hands(const struct dial *dial, int fd, struct tls *tls,
                                     struct stepd_error *reterr)
{
    const struct wait wait = wait_for(dial->options.limits.handshake_ms);
    for (;;) {
        uint8_t byte[1];
        size_t n = 0;
        const enum tls_result result = tls_read(tls, byte, sizeof byte, &n);
        const enum stepd_status sent = send_output(dial, fd, tls, &wait, reterr);
        if (result == TLS_READ)
            return stepd_fail(reterr, STEPD_UNAVAILABLE, "it speaks before it is spoken to");
        if (result != TLS_MORE)
            return stepd_fail(reterr, STEPD_UNAVAILABLE, "%s", tls_why(tls));
        if (sent != STEPD_OK)
            return sent;
        if (tls_is_up(tls))
            return STEPD_OK;
        const enum stepd_status got = receive_input(dial, fd, tls, &wait, reterr);
        if (got != STEPD_OK)
            return got;
    }
}

/* *ret_tls: owned by the caller; NULL: none is spoken. */
static enum stepd_status encrypt(const struct dial *dial, int fd, const char *host,
                                 struct tls **ret_tls, struct stepd_error *reterr)
{
    *ret_tls = NULL;
    if (dial->tls == NULL)
        return STEPD_OK;
    struct tls *tls = tls_dial(dial->tls, host);
    if (tls == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for TLS");
    const enum stepd_status status = shake_hands(dial, fd, tls, reterr);
    if (status == STEPD_OK)
        *ret_tls = tls;
    else
        (void)tls_destroy(tls);
    return status;
}

/* ---- TCP ------------------------------------------------------------------------------------- */

static enum stepd_status connect_to(const struct dial *dial, int fd, const struct addrinfo *at,
                                    struct stepd_error *reterr)
{
    const struct wait wait = wait_for(dial->options.limits.connect_ms);
    int failure = 0;
    socklen_t size = sizeof failure;
    if (connect(fd, at->ai_addr, at->ai_addrlen) == 0)
        return STEPD_OK;
    if (errno != EINPROGRESS)
        return stepd_fail(reterr, STEPD_UNAVAILABLE, "%s", strerror(errno));
    const enum stepd_status status = await(dial, fd, POLLOUT, &wait, reterr);
    if (status != STEPD_OK)
        return status;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size) != 0)
        failure = errno;
    return failure == 0 ? STEPD_OK : stepd_fail(reterr, STEPD_UNAVAILABLE, "%s", strerror(failure));
}

/* Tries one address. */
static enum stepd_status try_address(struct dial *dial, const struct addrinfo *at, const char *host,
                                     struct stepd_error *reterr)
{
    struct tls *tls = NULL;
    char peer[ADDRESS_TEXT_BYTES];
    address_write(at->ai_addr, peer, sizeof peer);
    const int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return stepd_fail(reterr, STEPD_UNAVAILABLE, "no socket: %s", strerror(errno));
    enum stepd_status status = connect_to(dial, fd, at, reterr);
    if (status == STEPD_OK) {
        socket_tune(fd, dial->options.tcp_congestion);
        status = encrypt(dial, fd, host, &tls, reterr);
    }
    if (status == STEPD_OK) {
        dial->caller = caller_create(fd, /* tcp= */ true, peer, NULL, 0);
        if (dial->caller == NULL)
            status = stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a connection");
    }
    if (status == STEPD_OK) {
        dial->caller->tls = tls;
        return STEPD_OK;
    }
    (void)tls_destroy(tls);
    (void)close(fd);
    if (strcmp(peer, dial->address) == 0) /* who dials has said which */
        return status;
    return stepd_fail_in(reterr, status, "%s", peer);
}

static enum stepd_status try_all(struct dial *dial, struct stepd_error *reterr)
{
    struct address address;
    struct addrinfo *found = NULL;
    enum stepd_status status = address_parse(dial->address, &address, reterr);
    if (status == STEPD_OK)
        status = resolve_host(&address, dial->options.limits.lookup_ms, dial->options.stop, &found,
                              reterr);
    if (status != STEPD_OK)
        return status;
    status = STEPD_UNAVAILABLE;
    for (const struct addrinfo *at = found; at != NULL && status != STEPD_OK; at = at->ai_next) {
        status = try_address(dial, at, address.host, reterr);
        if (atomic_load(dial->options.stop))
            break;
    }
    freeaddrinfo(found);
    return status;
}

/* ---- The work -------------------------------------------------------------------------------- */

static void work(uv_work_t *request)
{
    struct dial *const dial = request->data;
    dial->error.code = try_all(dial, &dial->error);
}

static void on_worked(uv_work_t *request, int status)
{
    struct dial *const dial = request->data;
    (void)status; /* nothing is cancelled */
    dial->options.done(dial->options.owner, dial->caller, &dial->error);
    (void)tls_client_destroy(dial->tls);
    free(dial);
}

static uint32_t or_else(uint32_t limit_ms, uint32_t usual_ms)
{
    return limit_ms > 0 ? limit_ms : usual_ms;
}

enum stepd_status dial_start(const struct dial_options *options)
{
    struct dial *const dial = calloc(1, sizeof *dial);
    if (dial == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    const struct dial_limits *const limits = &options->limits;
    dial->options = *options;
    dial->options.limits = (struct dial_limits){
        .lookup_ms = or_else(limits->lookup_ms, LOOKUP_MS),
        .connect_ms = or_else(limits->connect_ms, CONNECT_MS),
        .handshake_ms = or_else(limits->handshake_ms, HANDSHAKE_MS),
    };
    dial->tls = options->tls == NULL ? NULL : tls_client_copy(options->tls);
    if (dial->tls == NULL && options->tls != NULL) {
        free(dial);
        return STEPD_RESOURCE_EXHAUSTED;
    }
    (void)snprintf(dial->address, sizeof dial->address, "%s", options->address);
    dial->work.data = dial;
    (void)uv_queue_work(options->uv, &dial->work, work, on_worked); /* fails without a work_cb */
    return STEPD_OK;
}
