/* SPDX-License-Identifier: Apache-2.0
 *
 * What is set on sockets, on real connections of this machine's loopback. Which congestion controls
 * there are is the kernel's affair: reno is built into each, and the test that needs bbr is skipped
 * without.
 */
#include "server/net/socket.h"

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

#include "proto/error.h"

struct connection {
    int listener;
    int near;
    int far;
};

static struct connection connection;

static int set_up(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr *const name = (struct sockaddr *)&address;
    socklen_t bytes = sizeof address;
    (void)state;
    connection.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    connection.near = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(connection.listener, name, sizeof address), 0);
    assert_int_equal(listen(connection.listener, 1), 0);
    assert_int_equal(getsockname(connection.listener, name, &bytes), 0);
    assert_int_equal(connect(connection.near, name, sizeof address), 0);
    connection.far = accept(connection.listener, NULL, NULL);
    assert_true(connection.far >= 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)close(connection.far);
    (void)close(connection.near);
    (void)close(connection.listener);
    return 0;
}

static int set_congestion(const char *name)
{
    return setsockopt(connection.far, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name));
}

static void assert_congestion(const char *wanted)
{
    char name[17] = "";
    socklen_t bytes = sizeof name - 1;
    assert_int_equal(getsockopt(connection.far, IPPROTO_TCP, TCP_CONGESTION, name, &bytes), 0);
    assert_string_equal(name, wanted);
}

static void socket_tune__auto_where_the_systems_choice_is_bbr__sets_reno_on_loopback(void **state)
{
    (void)state;
    if (set_congestion("bbr") != 0)
        skip(); /* this kernel has no bbr */
    socket_tune(connection.far, SOCKET_CONGESTION_AUTO);
    assert_congestion("reno");
}

static void socket_tune__auto_where_the_systems_choice_is_another__leaves_it(void **state)
{
    char before[17] = "";
    socklen_t bytes = sizeof before - 1;
    (void)state;
    if (set_congestion("cubic") != 0)
        assert_int_equal(set_congestion("reno"), 0);
    assert_int_equal(getsockopt(connection.far, IPPROTO_TCP, TCP_CONGESTION, before, &bytes), 0);
    socket_tune(connection.far, SOCKET_CONGESTION_AUTO);
    assert_congestion(before);
}

static void socket_tune__a_name__is_what_the_connection_has(void **state)
{
    (void)state;
    if (set_congestion("bbr") != 0)
        (void)set_congestion("cubic");
    socket_tune(connection.far, "reno");
    assert_congestion("reno");
}

/* As much as the system allows to whoever asks, which it doubles. */
static void socket_tune_local__a_unix_socket__takes_half_a_mebibyte_at_once(void **state)
{
    unsigned allowed = 0;
    int before = 0;
    int bytes = 0;
    int fd[2];
    socklen_t size = sizeof bytes;
    (void)state;
    FILE *const file = fopen("/proc/sys/net/core/wmem_max", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%u", &allowed), 1);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    assert_int_equal(getsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &before, &size), 0);
    socket_tune_local(fd[0]);
    assert_int_equal(getsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &bytes, &size), 0);
    const int wanted = 2 * (int)(allowed < 512u << 10 ? allowed : 512u << 10);
    assert_int_equal(bytes, before > wanted ? before : wanted);
    assert_int_equal(close(fd[0]), 0);
    assert_int_equal(close(fd[1]), 0);
}

static void socket_tune_local__a_larger_buffer__is_left(void **state)
{
    const int large = 3 << 20;
    int before = 0;
    int after = 0;
    int fd[2];
    socklen_t size = sizeof before;
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    (void)setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &large, sizeof large);
    assert_int_equal(getsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &before, &size), 0);
    socket_tune_local(fd[0]);
    assert_int_equal(getsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &after, &size), 0);
    assert_true(after >= before);
    assert_int_equal(close(fd[0]), 0);
    assert_int_equal(close(fd[1]), 0);
}

static void socket_check_congestion__what_there_is__is_taken(void **state)
{
    (void)state;
    assert_int_equal(socket_check_congestion(SOCKET_CONGESTION_AUTO, NULL), STEPD_OK);
    assert_int_equal(socket_check_congestion("reno", NULL), STEPD_OK);
}

static void
socket_check_congestion__a_name_without_an_algorithm__is_refused_with_those(void **state)
{
    struct stepd_error error;
    (void)state;
    assert_int_equal(socket_check_congestion("no_such_thing", &error), STEPD_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "tcp_congestion: 'no_such_thing' cannot be used"));
    assert_non_null(strstr(error.text, "available here are "));
    assert_non_null(strstr(error.text, "reno"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            socket_tune__auto_where_the_systems_choice_is_bbr__sets_reno_on_loopback, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(
            socket_tune__auto_where_the_systems_choice_is_another__leaves_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(socket_tune__a_name__is_what_the_connection_has, set_up,
                                        tear_down),
        cmocka_unit_test(socket_tune_local__a_unix_socket__takes_half_a_mebibyte_at_once),
        cmocka_unit_test(socket_tune_local__a_larger_buffer__is_left),
        cmocka_unit_test(socket_check_congestion__what_there_is__is_taken),
        cmocka_unit_test(
            socket_check_congestion__a_name_without_an_algorithm__is_refused_with_those),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
