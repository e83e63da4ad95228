/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocking calls on one socket. A frame is read whole before it is looked at.
 */
#include "tests/bench/raw.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/error.h"
#include "proto/frame.h"

static int connect_unix(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    (void)snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

static int connect_tcp(const char *address)
{
    char host[INET_ADDRSTRLEN];
    unsigned short port = 0;
    struct sockaddr_in to = {.sin_family = AF_INET};
    if (sscanf(address, "%15[0-9.]:%hu", host, &port) != 2 ||
        inet_pton(AF_INET, host, &to.sin_addr) != 1) {
        errno = EINVAL;
        return -1;
    }
    to.sin_port = htons(port);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) == 0 &&
        connect(fd, (const struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

static enum stepd_status connect_to(const char *address, struct raw *raw,
                                    struct stepd_error *reterr)
{
    static const char prefix[] = "unix:";
    const bool over_unix = strncmp(address, prefix, sizeof prefix - 1) == 0;
    const int fd = over_unix ? connect_unix(address + sizeof prefix - 1) : connect_tcp(address);
    if (fd < 0)
        return stepd_fail(reterr, STEPD_UNAVAILABLE, "cannot connect to %s: %s", address,
                          strerror(errno));
    raw->fd = fd;
    raw->count = 0;
    return STEPD_OK;
}

static void close_raw(struct raw *raw)
{
    if (raw->fd <= 0)
        return;
    (void)close(raw->fd);
    raw->fd = 0;
}

/* ---- Sending --------------------------------------------------------------------------------- */

enum stepd_status raw_send(struct raw *raw, const struct stepd_message *message,
                           const void *payload, size_t payload_bytes, struct stepd_error *reterr)
{
    struct stepd_arena arena;
    uint8_t *head = NULL;
    size_t head_bytes = 0;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    enum stepd_status status =
        stepd_message_encode(message, payload_bytes, &arena, &head, &head_bytes, reterr);
    stepd_arena_deinit(&arena);
    if (status != STEPD_OK)
        return status;
    uint8_t frame[RAW_FRAME_MAX_BYTES];
    if (head_bytes + payload_bytes > sizeof frame) {
        free(head);
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "a frame of more than %u bytes",
                          RAW_FRAME_MAX_BYTES);
    }
    memcpy(frame, head, head_bytes);
    if (payload_bytes > 0)
        memcpy(frame + head_bytes, payload, payload_bytes);
    const size_t bytes = head_bytes + payload_bytes;
    free(head);
    /* So small a frame fits the socket's buffer, or the server does not read at all. */
    if (send(raw->fd, frame, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
        return stepd_fail(reterr, STEPD_UNAVAILABLE, "cannot send to stepd: %s", strerror(errno));
    return STEPD_OK;
}

/* ---- Receiving ------------------------------------------------------------------------------- */

/* Waits for a whole frame at the beginning of the bytes. */
static enum stepd_status await_frame(struct raw *raw, struct stepd_frame_head *ret_head,
                                     struct stepd_error *reterr)
{
    for (;;) {
        const enum stepd_frame_progress progress =
            stepd_frame_parse(raw->bytes, raw->count, sizeof raw->bytes, ret_head, reterr);
        if (progress == STEPD_FRAME_BAD)
            return STEPD_INTERNAL;
        if (progress == STEPD_FRAME_HEAD &&
            raw->count >= ret_head->payload_at + ret_head->payload_bytes)
            return STEPD_OK;
        const ssize_t n = recv(raw->fd, raw->bytes + raw->count, sizeof raw->bytes - raw->count, 0);
        if (n <= 0)
            return stepd_fail(reterr, STEPD_UNAVAILABLE, "stepd has closed a connection: %s",
                              n == 0 ? "it does not say why" : strerror(errno));
        raw->count += (size_t)n;
    }
}

enum stepd_status raw_receive(struct raw *raw, enum stepd_message_kind kind,
                              struct stepd_arena *arena, struct stepd_message *ret_message,
                              struct stepd_error *reterr)
{
    struct stepd_frame_head head;
    struct stepd_message message;
    enum stepd_status status = await_frame(raw, &head, reterr);
    if (status != STEPD_OK)
        return status;
    stepd_arena_reset(arena);
    status = stepd_message_decode(raw->bytes + head.header_at, head.header_bytes, arena, &message,
                                  reterr);
    if (status != STEPD_OK)
        return status;
    const size_t frame_bytes = head.payload_at + head.payload_bytes;
    raw->count -= frame_bytes;
    memmove(raw->bytes, raw->bytes + frame_bytes, raw->count);
    if (message.kind == STEPD_MESSAGE_ERROR)
        return stepd_fail(reterr, message.body.error.code, "%s", message.body.error.text);
    if (message.kind != kind)
        return stepd_fail(reterr, STEPD_INTERNAL, "stepd answers with %s instead of %s",
                          stepd_message_name(message.kind), stepd_message_name(kind));
    *ret_message = message;
    return STEPD_OK;
}

/* ---- Joining --------------------------------------------------------------------------------- */

/* Says Hello and waits for the Welcome, whose bytes live in the arena. */
static enum stepd_status greet(struct raw *raw, const struct stepd_hello *hello,
                               struct stepd_arena *arena, struct stepd_welcome *ret_welcome,
                               struct stepd_error *reterr)
{
    const struct stepd_message message = {
        .request_id = RAW_HELLO_ID,
        .kind = STEPD_MESSAGE_HELLO,
        .body.hello = *hello,
    };
    struct stepd_message reply;
    enum stepd_status status = raw_send(raw, &message, NULL, 0, reterr);
    if (status == STEPD_OK)
        status = raw_receive(raw, STEPD_MESSAGE_WELCOME, arena, &reply, reterr);
    if (status == STEPD_OK)
        *ret_welcome = reply.body.welcome;
    return status;
}

enum stepd_status raw_join(const char *address, const char *job, struct stepd_arena *arena,
                           struct raw_worker *worker, struct stepd_error *reterr)
{
    uint8_t session[STEPD_SESSION_BYTES];
    struct stepd_welcome welcome;
    struct stepd_hello hello = {
        .protocol = STEPD_PROTOCOL_VERSION,
        .job = job,
        .worker = "raw",
        .rank = -1,
    };
    enum stepd_status status = connect_to(address, &worker->control, reterr);
    if (status == STEPD_OK)
        status = greet(&worker->control, &hello, arena, &welcome, reterr);
    if (status != STEPD_OK)
        return status;
    memcpy(session, welcome.session.at, sizeof session);
    hello.session = (struct stepd_bytes){.count = sizeof session, .at = session};
    hello.shard = 1;
    status = connect_to(address, &worker->shard, reterr);
    if (status == STEPD_OK)
        status = greet(&worker->shard, &hello, arena, &welcome, reterr);
    if (status == STEPD_OK)
        worker->incarnation = welcome.incarnation;
    return status;
}

void raw_leave(struct raw_worker *worker)
{
    close_raw(&worker->control);
    close_raw(&worker->shard);
}
