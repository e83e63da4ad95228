/* SPDX-License-Identifier: Apache-2.0
 *
 * What dialling makes of a socket, on real connections of this machine's loopback.
 */
#include "client/lib/net/dial.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define NAME_BYTES 17u

static void keep_fd(void *user, int fd, bool local, const struct stepd_error *error)
{
    assert_false(local);
    assert_int_equal(error->code, STEPD_OK);
    *(int *)user = fd;
}

/* Dials a listener of its own; the caller closes the socket. */
static int dial(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr *const name = (struct sockaddr *)&address;
    socklen_t bytes = sizeof address;
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char text[32];
    uv_loop_t uv;
    int fd = -1;
    assert_int_equal(bind(listener, name, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, name, &bytes), 0);
    (void)snprintf(text, sizeof text, "127.0.0.1:%u", ntohs(address.sin_port));
    assert_int_equal(uv_loop_init(&uv), 0);
    assert_non_null(stepd_dial_start(&uv, text, keep_fd, &fd));
    (void)uv_run(&uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&uv), 0);
    assert_int_equal(close(listener), 0);
    assert_true(fd >= 0);
    return fd;
}

static void congestion_of(int fd, char name[NAME_BYTES])
{
    socklen_t bytes = NAME_BYTES - 1;
    memset(name, 0, NAME_BYTES);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &bytes), 0);
}

/* The kernel paces with bbr even on loopback: there it is reno's turn, and else the system's
 * choice stands. */
static void dial__loopback__is_not_paced(void **state)
{
    char system[NAME_BYTES];
    char dialled[NAME_BYTES];
    (void)state;
    const int plain = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    congestion_of(plain, system);
    assert_int_equal(close(plain), 0);
    const int fd = dial();
    congestion_of(fd, dialled);
    assert_string_equal(dialled, strcmp(system, "bbr") == 0 ? "reno" : system);
    assert_int_equal(close(fd), 0);
}

static void dial__tcp__sends_small_messages_at_once(void **state)
{
    int on = 0;
    socklen_t bytes = sizeof on;
    (void)state;
    const int fd = dial();
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &bytes), 0);
    assert_int_equal(on, 1);
    assert_int_equal(close(fd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dial__loopback__is_not_paced),
        cmocka_unit_test(dial__tcp__sends_small_messages_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
