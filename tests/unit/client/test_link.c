/* SPDX-License-Identifier: Apache-2.0
 *
 * In which order a link writes what it is given, on a socket whose other end reads late.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
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

static void on_lost(void *owner, uint32_t shard, const struct stepd_error *error)
{
    (void)owner;
    (void)shard;
    (void)error;
    lost = true;
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
        .local = true,
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(send__while_a_frame_is_written__the_higher_priority_is_next,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(close__while_frames_wait__lets_go_of_them, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
