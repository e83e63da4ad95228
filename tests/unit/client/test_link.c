/* SPDX-License-Identifier: Apache-2.0
 *
 * In which order a link writes what it is given, on a socket whose other end reads late; what it
 * finds where that end has gone; and the descriptors that come with the bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/lib/core/outgoing.h"
#include "client/lib/net/link.h"

enum { LARGE = 1 << 20, SMALL = 1 }; /* floats */

static uv_loop_t uv;
static struct stepd_pending pending;
static struct stepd_link *stepd_link;
static int peer;
static float values[LARGE];
static bool lost;
static struct stepd_error why_lost;
static volatile sig_atomic_t sigpipes;

static void on_lost(void *owner, uint32_t shard, const struct stepd_error *error)
{
    (void)owner;
    (void)shard;
    lost = true;
    why_lost = *error;
    stepd_link = NULL;
}

static void on_sigpipe(int number)
{
    (void)number;
    sigpipes++;
}

static void on_answer(void *owner, uint32_t shard)
{
    (void)owner;
    (void)shard;
}

static int setup(void **state)
{
    (void)state;
    int fd[2];
    struct stepd_error error;
    assert_int_equal(uv_loop_init(&uv), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    peer = fd[1];
    assert_int_equal(fcntl(peer, F_SETFL, O_NONBLOCK), 0);
    pending = (struct stepd_pending){.count = 0};
    lost = false;
    const struct stepd_link_options options = {
        .fd = fd[0],
        .shares = true,
        .shard = 1,
        .peer = "peer",
        .pending = &pending,
        .on_lost = on_lost,
        .on_answer = on_answer,
    };
    return stepd_link_open(&uv, &options, &stepd_link, &error) != STEPD_OK;
}

static int teardown(void **state)
{
    (void)state;
    stepd_link = stepd_link_close(stepd_link);
    (void)uv_run(&uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&uv), 0);
    return close(peer);
}

/* A frame of `floats` floats, whose head is this one letter. */
static void send_frame(char letter, size_t floats, int32_t priority)
{
    struct stepd_error error;
    struct stepd_outgoing *const outgoing = stepd_outgoing_create(STEPD_F32, floats);
    assert_non_null(outgoing);
    assert_int_equal(stepd_outgoing_add_floats(outgoing, values, floats), STEPD_OK);
    outgoing->head = malloc(1);
    assert_non_null(outgoing->head);
    outgoing->head[0] = (uint8_t)letter;
    outgoing->head_bytes = 1;
    outgoing->priority = priority;
    assert_int_equal(stepd_link_send(stepd_link, outgoing, &error), STEPD_OK);
}

/* Reads until so many bytes have come, and appends the letters among them. */
static void read_letters(size_t bytes, char *letters)
{
    static char got[1 << 16];
    while (bytes > 0) {
        (void)uv_run(&uv, UV_RUN_NOWAIT);
        const ssize_t n = read(peer, got, bytes < sizeof got ? bytes : sizeof got);
        assert_true(n > 0 || errno == EAGAIN);
        for (ssize_t i = 0; i < n; i++) {
            if (got[i] != 0)
                *letters++ = got[i];
        }
        bytes -= n > 0 ? (size_t)n : 0;
    }
    *letters = '\0';
}

static void send__while_a_frame_is_written__the_higher_priority_is_next(void **state)
{
    (void)state;
    char letters[8];
    send_frame('a', LARGE, 0);
    send_frame('b', LARGE, 1);
    send_frame('c', SMALL, 2);
    send_frame('d', SMALL, 1);
    read_letters(4 + 2 * (LARGE + SMALL) * sizeof(float), letters);
    assert_string_equal(letters, "acbd");
    assert_false(lost);
}

/* What waited is freed with the link; the sanitizers watch. */
static void close__while_frames_wait__lets_go_of_them(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        send_frame('a', LARGE, i);
    stepd_link = stepd_link_close(stepd_link);
    (void)uv_run(&uv, UV_RUN_DEFAULT);
    assert_false(lost);
}

static void send__to_a_peer_that_has_gone__loses_the_link_and_raises_no_signal(void **state)
{
    (void)state;
    void (*const before)(int) = signal(SIGPIPE, on_sigpipe);
    sigpipes = 0;
    assert_int_equal(shutdown(peer, SHUT_RDWR), 0);
    send_frame('a', SMALL, 0);
    assert_false(lost); /* the one who sends is not told */
    (void)uv_run(&uv, UV_RUN_NOWAIT);
    (void)signal(SIGPIPE, before);
    assert_true(lost);
    assert_string_equal(why_lost.text, "connection to peer (shard 1) lost: closed by the server");
    assert_int_equal(sigpipes, 0);
}

/* A peer that lets its end go while much is on its way to it. */
static void send__of_a_frame_that_is_cut__loses_the_link(void **state)
{
    (void)state;
    send_frame('a', LARGE, 0);
    (void)uv_run(&uv, UV_RUN_NOWAIT);
    assert_false(lost);
    assert_int_equal(shutdown(peer, SHUT_RDWR), 0);
    (void)uv_run(&uv, UV_RUN_NOWAIT);
    assert_true(lost);
}

/* ---- Descriptors ----------------------------------------------------------------------------- */

/* Sends so many copies of the peer's own end, with the first byte of a frame. */
static void send_descriptors(size_t n)
{
    int fd[STEPD_LINK_DESCRIPTORS + 1];

    union {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(sizeof fd)];
    } control = {.bytes = {0}};

    char byte = 10;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    const struct msghdr message = {.msg_iov = &part,
                                   .msg_iovlen = 1,
                                   .msg_control = &control,
                                   .msg_controllen = CMSG_SPACE(n * sizeof fd[0])};
    for (size_t i = 0; i < n; i++)
        fd[i] = peer;
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(n * sizeof fd[0]);
    memcpy(CMSG_DATA(&control.header), fd, n * sizeof fd[0]);
    assert_int_equal(sendmsg(peer, &message, 0), 1);
    (void)uv_run(&uv, UV_RUN_NOWAIT);
}

static void descriptors__two__can_be_taken(void **state)
{
    (void)state;
    int fd[STEPD_LINK_DESCRIPTORS];
    send_descriptors(STEPD_LINK_DESCRIPTORS);
    assert_true(stepd_link_take_descriptors(stepd_link, fd));
    for (size_t i = 0; i < STEPD_LINK_DESCRIPTORS; i++)
        assert_int_equal(close(fd[i]), 0);
    assert_false(stepd_link_take_descriptors(stepd_link, fd));
}

/* What is not kept is closed: the next descriptor has the number that the first would have had. */
static void descriptors__more_than_two__are_closed(void **state)
{
    (void)state;
    int fd[STEPD_LINK_DESCRIPTORS];
    const int lowest = dup(peer);
    assert_int_equal(close(lowest), 0);
    send_descriptors(STEPD_LINK_DESCRIPTORS + 1);
    assert_false(stepd_link_take_descriptors(stepd_link, fd));
    assert_int_equal(dup(peer), lowest);
    assert_int_equal(close(lowest), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(send__while_a_frame_is_written__the_higher_priority_is_next,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(close__while_frames_wait__lets_go_of_them, setup, teardown),
        cmocka_unit_test_setup_teardown(
            send__to_a_peer_that_has_gone__loses_the_link_and_raises_no_signal, setup, teardown),
        cmocka_unit_test_setup_teardown(send__of_a_frame_that_is_cut__loses_the_link, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(descriptors__two__can_be_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(descriptors__more_than_two__are_closed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
