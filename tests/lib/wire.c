/* SPDX-License-Identifier: Apache-2.0
 *
 * Sockets with timeouts, and proto/ for the rest.
 */
#include "tests/lib/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/frame.h"

static struct wire *connect_to(int family, const void *address, size_t size)
{
    const struct timeval patience = {.tv_sec = WIRE_PATIENCE_S};
    struct wire *const wire = calloc(1, sizeof *wire);
    assert_non_null(wire);
    wire->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(wire->fd >= 0);
    assert_int_equal(setsockopt(wire->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(setsockopt(wire->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(connect(wire->fd, address, (socklen_t)size), 0);
    stepd_arena_init(&wire->arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    return wire;
}

struct wire *wire_connect(uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    return connect_to(AF_INET, &address, sizeof address);
}

struct wire *wire_connect_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return connect_to(AF_UNIX, &address, sizeof address);
}

void wire_close(struct wire *wire)
{
    if (wire == NULL)
        return;
    stepd_arena_deinit(&wire->arena);
    (void)close(wire->fd);
    free(wire);
}

bool wire_write(struct wire *wire, const void *bytes, size_t n)
{
    const uint8_t *at = bytes;
    while (n > 0) {
        const ssize_t sent = send(wire->fd, at, n, MSG_NOSIGNAL);
        if (sent < 0) {
            assert_true(errno == EPIPE || errno == ECONNRESET);
            return false;
        }
        at += sent;
        n -= (size_t)sent;
    }
    return true;
}

void wire_send(struct wire *wire, const struct stepd_message *message, const void *payload,
               size_t payload_bytes)
{
    struct stepd_arena arena;
    struct stepd_error error = {.text = ""};
    uint8_t *head;
    size_t head_bytes;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    if (stepd_message_encode(message, payload_bytes, &arena, &head, &head_bytes, &error) !=
        STEPD_OK)
        fail_msg("%s", error.text);
    (void)wire_write(wire, head, head_bytes);
    (void)wire_write(wire, payload, payload_bytes);
    free(head);
    stepd_arena_deinit(&arena);
}

void wire_shut(struct wire *wire)
{
    assert_int_equal(shutdown(wire->fd, SHUT_WR), 0);
}

/* Receives more bytes; false at the end. A reset fails the test. */
static bool receive_bytes(struct wire *wire)
{
    const size_t room = sizeof wire->bytes - wire->count;
    assert_true(room > 0);
    const ssize_t n = recv(wire->fd, wire->bytes + wire->count, room, 0);
    if (n < 0)
        fail_msg("receiving: %s", strerror(errno));
    wire->count += (size_t)n;
    return n > 0;
}

static void drop_frame(struct wire *wire)
{
    memmove(wire->bytes, wire->bytes + wire->frame_bytes, wire->count - wire->frame_bytes);
    wire->count -= wire->frame_bytes;
    wire->frame_bytes = 0;
}

/* Waits for a whole frame at the beginning of the bytes. False: the server has closed before. */
static bool await_frame(struct wire *wire, struct stepd_frame_head *ret_head)
{
    struct stepd_error error;
    for (;;) {
        const enum stepd_frame_progress progress =
            stepd_frame_parse(wire->bytes, wire->count, STEPD_FRAME_MAX_BYTES, ret_head, &error);
        if (progress == STEPD_FRAME_BAD)
            fail_msg("the server sent a bad frame: %s", error.text);
        if (progress == STEPD_FRAME_HEAD &&
            wire->count >= ret_head->payload_at + ret_head->payload_bytes)
            return true;
        if (receive_bytes(wire))
            continue;
        assert_int_equal(wire->count, 0); /* it never breaks off within a frame */
        return false;
    }
}

bool wire_receive_or_end(struct wire *wire)
{
    struct stepd_frame_head head;
    struct stepd_error error;
    drop_frame(wire);
    if (!await_frame(wire, &head))
        return false;
    stepd_arena_reset(&wire->arena);
    if (stepd_message_decode(wire->bytes + head.header_at, head.header_bytes, &wire->arena,
                             &wire->message, &error) != STEPD_OK)
        fail_msg("the server sent a bad message: %s", error.text);
    wire->payload = wire->bytes + head.payload_at;
    wire->payload_bytes = head.payload_bytes;
    wire->frame_bytes = head.payload_at + head.payload_bytes;
    return true;
}

const struct stepd_message *wire_receive(struct wire *wire)
{
    if (!wire_receive_or_end(wire))
        fail_msg("the server closed where a frame was expected");
    return &wire->message;
}

void wire_expect_error(struct wire *wire, enum stepd_status code, const char *fragment)
{
    const struct stepd_message *const message = wire_receive(wire);
    if (message->kind != STEPD_MESSAGE_ERROR)
        fail_msg("%s instead of an error", stepd_message_name(message->kind));
    const struct stepd_error_reply *const error = &message->body.error;
    if (error->code != code || strstr(error->text, fragment) == NULL)
        fail_msg("%s \"%s\" instead of %s \"...%s...\"", stepd_status_name(error->code),
                 error->text, stepd_status_name(code), fragment);
}

void wire_expect_end(struct wire *wire)
{
    drop_frame(wire);
    while (receive_bytes(wire))
        continue;
    assert_int_equal(wire->count, 0);
}
