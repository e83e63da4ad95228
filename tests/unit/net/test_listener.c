/* SPDX-License-Identifier: Apache-2.0
 *
 * Listening: addresses that are taken, files that dead daemons left behind, and files that are no
 * sockets and not ours to remove.
 */
#include "server/net/listener.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/error.h"

struct place {
    uv_loop_t uv;
    struct listener listener;
    char directory[32];
    char path[64];
};

static void on_connection(uv_stream_t *stream, int status)
{
    (void)stream;
    (void)status;
}

static int set_up(void **state)
{
    struct place *const place = calloc(1, sizeof *place);
    assert_non_null(place);
    assert_int_equal(uv_loop_init(&place->uv), 0);
    (void)snprintf(place->directory, sizeof place->directory, "/tmp/stepd-listen-XXXXXX");
    assert_non_null(mkdtemp(place->directory));
    (void)snprintf(place->path, sizeof place->path, "%s/socket", place->directory);
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *const place = *state;
    listener_close(&place->listener);
    listener_close(&place->listener); /* twice is fine */
    (void)uv_run(&place->uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&place->uv), 0);
    (void)unlink(place->path);
    assert_int_equal(rmdir(place->directory), 0);
    free(place);
    return 0;
}

/* Binds a socket to the path as another process would. Returns its descriptor. */
static int bind_another(const struct place *place, int backlog)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", place->path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    if (backlog > 0)
        assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

static enum stepd_status open_unix(struct place *place, struct stepd_error *reterr)
{
    return listener_open_unix(&place->listener, &place->uv, place->path, on_connection, NULL,
                              reterr);
}

static bool exists(const char *path)
{
    struct stat file;
    return lstat(path, &file) == 0;
}

static void listener__unix__makes_its_file_and_removes_it(void **state)
{
    struct place *const place = *state;
    assert_int_equal(open_unix(place, NULL), STEPD_OK);
    assert_true(exists(place->path));
    listener_close(&place->listener);
    assert_false(exists(place->path));
}

static void listener__file_of_a_dead_daemon__is_replaced(void **state)
{
    struct place *const place = *state;
    assert_int_equal(close(bind_another(place, 1)), 0); /* leaves the file */
    assert_true(exists(place->path));
    assert_int_equal(open_unix(place, NULL), STEPD_OK);
}

static void listener__in_a_folder_that_is_missing__says_so(void **state)
{
    struct place *const place = *state;
    struct stepd_error error;
    (void)snprintf(place->path + strlen(place->path), sizeof place->path - strlen(place->path),
                   "/socket");
    assert_int_equal(open_unix(place, &error), STEPD_UNAVAILABLE);
    assert_non_null(strstr(error.text, "there is no folder"));
    assert_null(strstr(error.text, "permission"));
    assert_false(place->listener.open);
}

static void check_refused(struct place *place)
{
    struct stepd_error error;
    assert_int_equal(open_unix(place, &error), STEPD_UNAVAILABLE);
    assert_non_null(strstr(error.text, place->path));
    assert_non_null(strstr(error.text, "another path with --unix"));
    assert_false(place->listener.open);
    assert_true(exists(place->path));
}

static void listener__file_of_a_living_daemon__is_left_alone(void **state)
{
    const int fd = bind_another(*state, 1);
    check_refused(*state);
    assert_int_equal(close(fd), 0);
}

static void listener__file_that_is_no_socket__is_left_alone(void **state)
{
    struct place *const place = *state;
    FILE *const file = fopen(place->path, "we");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    check_refused(place);
}

static void listener__tcp_port_taken__is_refused_with_the_remedy(void **state)
{
    struct place *const place = *state;
    struct listener second = {.open = false};
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int size = sizeof address;
    struct stepd_error error;
    assert_int_equal(listener_open_tcp(&place->listener, &place->uv,
                                       (const struct sockaddr *)&address, on_connection, NULL),
                     STEPD_OK);
    assert_int_equal(
        uv_tcp_getsockname(&place->listener.uv.tcp, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(listener_open_tcp(&second, &place->uv, (const struct sockaddr *)&address,
                                       on_connection, &error),
                     STEPD_UNAVAILABLE);
    assert_non_null(strstr(error.text, "cannot listen on 127.0.0.1:"));
    assert_non_null(strstr(error.text, "another port with --listen"));
    assert_false(second.open);
    (void)uv_run(&place->uv, UV_RUN_NOWAIT); /* its handle goes with this frame */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(listener__unix__makes_its_file_and_removes_it),
        TEST(listener__in_a_folder_that_is_missing__says_so),
        TEST(listener__file_of_a_dead_daemon__is_replaced),
        TEST(listener__file_of_a_living_daemon__is_left_alone),
        TEST(listener__file_that_is_no_socket__is_left_alone),
        TEST(listener__tcp_port_taken__is_refused_with_the_remedy),
    };
    return cmocka_run_group_tests_name("listener", tests, NULL, NULL);
}
