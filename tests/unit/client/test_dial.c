/* SPDX-License-Identifier: Apache-2.0
 *
 * What dialling makes of a socket, on real connections of this machine's loopback.
 */
#include "client/lib/net/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define NAME_BYTES 17u

/* A test wants a connect to be made from the very port that it leads to. */
static bool from_there;

/* In place of the C library's. */
int connect(int fd, const struct sockaddr *address, socklen_t bytes)
{
    if (from_there)
        assert_int_equal(bind(fd, address, bytes), 0);
    return (int)syscall(SYS_connect, fd, address, bytes);
}

/* ---- Dialling -------------------------------------------------------------------------------- */

static void keep_fd(void *user, int fd, bool local, const struct stepd_error *error)
{
    assert_false(local);
    assert_int_equal(error->code, STEPD_OK);
    *(int *)user = fd;
}

/* A socket that listens on a port, or on a free one, which is stored. -1: the port is taken. */
static int listen_on(in_port_t *port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = *port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr *const name = (struct sockaddr *)&address;
    socklen_t bytes = sizeof address;
    const int on = 1;
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    if (bind(listener, name, sizeof address) != 0) {
        assert_int_equal(close(listener), 0);
        return -1;
    }
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, name, &bytes), 0);
    *port = address.sin_port;
    return listener;
}

static void dial_port(in_port_t port, stepd_dial_done *done, void *user)
{
    char text[32];
    uv_loop_t uv;
    (void)snprintf(text, sizeof text, "127.0.0.1:%u", ntohs(port));
    assert_int_equal(uv_loop_init(&uv), 0);
    assert_non_null(stepd_dial_start(&uv, text, done, user));
    (void)uv_run(&uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&uv), 0);
}

/* Dials a listener of its own; the caller closes the socket. */
static int dial(void)
{
    in_port_t port = 0;
    const int listener = listen_on(&port);
    int fd = -1;
    dial_port(port, keep_fd, &fd);
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

static void keep_error(void *user, int fd, bool local, const struct stepd_error *error)
{
    struct stepd_error *const kept = user;
    assert_false(local);
    assert_int_equal(fd, -1);
    *kept = *error;
}

static void dial__from_the_port_that_it_leads_to__is_refused_and_leaves_the_port_free(void **state)
{
    struct stepd_error error = {.code = STEPD_OK};
    in_port_t port = 0;
    (void)state;
    assert_int_equal(close(listen_on(&port)), 0); /* nobody listens there now */
    from_there = true;
    dial_port(port, keep_error, &error);
    from_there = false;
    assert_int_equal(error.code, STEPD_UNAVAILABLE);
    assert_non_null(strstr(error.text, strerror(ECONNREFUSED)));
    const int listener = listen_on(&port);
    assert_true(listener >= 0);
    assert_int_equal(close(listener), 0);
}

static void keep_local_error(void *user, int fd, bool local, const struct stepd_error *error)
{
    struct stepd_error *const kept = user;
    (void)local;
    assert_int_equal(fd, -1);
    *kept = *error;
}

/* With no file there, and with that of a daemon that is gone. */
static void dial__unix_socket_of_nobody__says_what_to_look_for(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char text[sizeof address.sun_path + 8];
    (void)state;
    (void)snprintf(address.sun_path, sizeof address.sun_path, "/tmp/stepd-dial-%d", (int)getpid());
    (void)snprintf(text, sizeof text, "unix:%s", address.sun_path);
    for (int left = 0; left < 2; left++) {
        struct stepd_error error = {.code = STEPD_OK};
        uv_loop_t uv;
        const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (left > 0)
            assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
        assert_int_equal(close(fd), 0);
        assert_int_equal(uv_loop_init(&uv), 0);
        assert_non_null(stepd_dial_start(&uv, text, keep_local_error, &error));
        (void)uv_run(&uv, UV_RUN_DEFAULT);
        assert_int_equal(uv_loop_close(&uv), 0);
        assert_int_equal(error.code, STEPD_UNAVAILABLE);
        assert_non_null(strstr(error.text, "is stepd running with --unix /tmp/stepd-dial-"));
    }
    assert_int_equal(unlink(address.sun_path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dial__loopback__is_not_paced),
        cmocka_unit_test(dial__tcp__sends_small_messages_at_once),
        cmocka_unit_test(dial__unix_socket_of_nobody__says_what_to_look_for),
        cmocka_unit_test(dial__from_the_port_that_it_leads_to__is_refused_and_leaves_the_port_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
