/* SPDX-License-Identifier: Apache-2.0
 *
 * Lending memory over a connection: which bytes the descriptors come with, how many there are, and
 * that none stays open.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "rig.h"

enum { WEIGHTS_BYTES = 8192, GRADIENTS_BYTES = 4096, FD_ROOM = 8 };

static size_t open_descriptors(void)
{
    DIR *const dir = opendir("/proc/self/fd");
    size_t count = 0;
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    assert_int_equal(closedir(dir), 0);
    return count;
}

static struct shared_budget budget = {.bytes = 16u << 20, .descriptors = 4};

struct scene {
    struct rig *rig;
    struct shared_memory *weights;
    size_t descriptors; /* before anything was opened */
};

static int set_up(void **state)
{
    struct scene *const scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    scene->descriptors = open_descriptors();
    scene->weights = shared_memory_create(WEIGHTS_BYTES, SHARED_MEMORY_OURS, &budget);
    assert_non_null(scene->weights);
    scene->rig = rig_create();
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *const scene = *state;
    rig_destroy(scene->rig);
    (void)shared_memory_destroy(scene->weights);
    assert_int_equal(open_descriptors(), scene->descriptors);
    free(scene);
    return 0;
}

/* What libuv opens once and for all. */
static int open_what_stays(void **state)
{
    (void)state;
    rig_destroy(rig_create());
    return 0;
}

/* Reads at most n bytes and the descriptors that come with them. */
static size_t receive(int socket, uint8_t *bytes, size_t n, int fd[FD_ROOM], size_t *ret_fds)
{
    union {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(FD_ROOM * sizeof(int))];
    } control;
    struct iovec part = {.iov_base = bytes, .iov_len = n};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    const ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    assert_true(got >= 0);
    assert_int_equal(message.msg_flags & MSG_CTRUNC, 0);
    *ret_fds = 0;
    for (struct cmsghdr *at = CMSG_FIRSTHDR(&message); at != NULL; at = CMSG_NXTHDR(&message, at)) {
        assert_int_equal(at->cmsg_type, SCM_RIGHTS);
        const size_t fds = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fd + *ret_fds, CMSG_DATA(at), fds * sizeof(int));
        *ret_fds += fds;
    }
    return (size_t)got;
}

static void close_all(const int *fd, size_t fds)
{
    for (size_t i = 0; i < fds; i++)
        assert_int_equal(close(fd[i]), 0);
}

/* A reply, and the bytes that it is. */
static size_t reply(struct rig *rig, uint64_t request_id, uint8_t *ret_bytes)
{
    const struct stepd_message message = {.request_id = request_id, .kind = STEPD_MESSAGE_WELCOME};
    conn_reply(rig->conn, &message, NULL, 0);
    return rig_frame(ret_bytes, 0, &message, NULL, 0);
}

static void lend__first_reply__brings_both_with_its_first_byte(void **state)
{
    struct scene *const scene = *state;
    struct rig *const rig = scene->rig;
    uint8_t sent[256];
    uint8_t got[256];
    int fd[FD_ROOM];
    size_t fds;
    rig_open(rig, NULL, 0);
    const uint8_t *const gradients = conn_lend(rig->conn, scene->weights, GRADIENTS_BYTES, &budget);
    assert_non_null(gradients);
    const size_t n = reply(rig, 7, sent);
    rig_turn(rig);
    assert_int_equal(receive(rig->peer, got, 1, fd, &fds), 1);
    assert_int_equal(fds, 2);
    rig_read(rig, got + 1, n - 1);
    assert_memory_equal(got, sent, n);

    scene->weights->memory.at[100] = 42;
    const uint8_t *const weights = mmap(NULL, WEIGHTS_BYTES, PROT_READ, MAP_SHARED, fd[0], 0);
    assert_ptr_not_equal(weights, MAP_FAILED);
    assert_int_equal(weights[100], 42);
    uint8_t *const mine = mmap(NULL, GRADIENTS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd[1], 0);
    assert_ptr_not_equal(mine, MAP_FAILED);
    mine[200] = 43;
    assert_int_equal(gradients[200], 43);
    assert_int_equal(munmap((void *)(uintptr_t)weights, WEIGHTS_BYTES), 0);
    assert_int_equal(munmap(mine, GRADIENTS_BYTES), 0);
    close_all(fd, fds);
}

static void lend__replies_after_the_first__come_in_order_and_bring_nothing(void **state)
{
    struct scene *const scene = *state;
    struct rig *const rig = scene->rig;
    uint8_t sent[1024];
    uint8_t got[1024];
    int fd[FD_ROOM];
    size_t fds;
    size_t n = 0;
    rig_open(rig, NULL, 0);
    assert_non_null(conn_lend(rig->conn, scene->weights, GRADIENTS_BYTES, &budget));
    for (uint64_t id = 1; id <= 8; id++)
        n += reply(rig, id, sent + n);
    rig_turn(rig);
    assert_int_equal(receive(rig->peer, got, 1, fd, &fds), 1);
    assert_int_equal(fds, 2);
    close_all(fd, fds);
    for (size_t at = 1; at < n;) {
        at += receive(rig->peer, got + at, n - at, fd, &fds);
        assert_int_equal(fds, 0);
    }
    assert_memory_equal(got, sent, n);
}

static void lend__twice__is_refused_and_the_first_stands(void **state)
{
    struct scene *const scene = *state;
    struct rig *const rig = scene->rig;
    uint8_t bytes[256];
    int fd[FD_ROOM];
    size_t fds;
    rig_open(rig, NULL, 0);
    assert_non_null(conn_lend(rig->conn, scene->weights, GRADIENTS_BYTES, &budget));
    assert_null(conn_lend(rig->conn, scene->weights, GRADIENTS_BYTES, &budget));
    (void)reply(rig, 1, bytes);
    (void)receive(rig->peer, bytes, sizeof bytes, fd, &fds);
    assert_int_equal(fds, 2);
    close_all(fd, fds);
    assert_null(conn_lend(rig->conn, scene->weights, GRADIENTS_BYTES, &budget));
}

static void lend__of_more_than_there_is__is_null_and_the_connection_goes_on(void **state)
{
    struct scene *const scene = *state;
    struct rig *const rig = scene->rig;
    uint8_t sent[256];
    uint8_t got[256];
    int fd[FD_ROOM];
    size_t fds;
    rig_open(rig, NULL, 0);
    assert_null(conn_lend(rig->conn, scene->weights, SIZE_MAX, &budget));
    const size_t n = reply(rig, 1, sent);
    rig_turn(rig);
    assert_int_equal(receive(rig->peer, got, sizeof got, fd, &fds), n);
    assert_int_equal(fds, 0);
    assert_memory_equal(got, sent, n);
}

static void lend__never_followed_by_a_reply__leaves_nothing_open(void **state)
{
    struct scene *const scene = *state;
    rig_open(scene->rig, NULL, 0);
    assert_non_null(conn_lend(scene->rig->conn, scene->weights, GRADIENTS_BYTES, &budget));
}

static void lend__peer_gone_before_the_reply__closes_the_connection(void **state)
{
    struct scene *const scene = *state;
    struct rig *const rig = scene->rig;
    uint8_t bytes[256];
    rig_open(rig, NULL, 0);
    assert_non_null(conn_lend(rig->conn, scene->weights, GRADIENTS_BYTES, &budget));
    assert_int_equal(close(rig->peer), 0); /* and the loop has not seen it yet */
    rig->peer = -1;
    (void)reply(rig, 1, bytes);
    conn_loop_tick(&rig->loop, uv_now(&rig->uv));
    rig_turn(rig);
    assert_int_equal(rig->closed, 1);
    assert_int_equal(rig->gone, 1);
}

/* Both descriptors went with the one that nobody takes. */
static void lend__peer_that_takes_nothing__leaves_nothing_open(void **state)
{
    struct scene *const scene = *state;
    uint8_t bytes[256];
    rig_open(scene->rig, NULL, 0);
    assert_non_null(conn_lend(scene->rig->conn, scene->weights, GRADIENTS_BYTES, &budget));
    (void)reply(scene->rig, 1, bytes);
}

/* The peer may linger, and come again meanwhile. */
static void lend__connection_finished__gives_the_memory_back_at_once(void **state)
{
    struct scene *const scene = *state;
    struct rig *const rig = scene->rig;
    uint8_t bytes[256];
    int fd[FD_ROOM];
    size_t fds;
    rig_open(rig, NULL, 0);
    assert_non_null(conn_lend(rig->conn, scene->weights, GRADIENTS_BYTES, &budget));
    (void)reply(rig, 1, bytes);
    (void)receive(rig->peer, bytes, sizeof bytes, fd, &fds);
    close_all(fd, fds);
    assert_int_equal(budget.bytes_used, GRADIENTS_BYTES);
    conn_finish(rig->conn);
    assert_int_equal(budget.bytes_used, 0);
    assert_int_equal(rig->gone, 0);
}

/* A connected pair over TCP. */
static void make_tcp_pair(int pair[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    pair[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(pair[1], (struct sockaddr *)&address, sizeof address), 0);
    pair[0] = accept(listener, NULL, NULL);
    assert_true(pair[0] >= 0);
    assert_int_equal(close(listener), 0);
}

static void lend__over_tcp__is_null(void **state)
{
    struct scene *const scene = *state;
    struct rig *const rig = scene->rig;
    uint8_t sent[256];
    uint8_t got[256];
    int pair[2];
    make_tcp_pair(pair);
    rig->peer = pair[1];
    struct caller *const caller = caller_create(pair[0], true, "tcp", NULL, 0);
    assert_non_null(caller);
    conn_open(&rig->loop, caller);
    rig_turn(rig);
    assert_null(conn_lend(rig->conn, scene->weights, GRADIENTS_BYTES, &budget));
    const size_t n = reply(rig, 1, sent);
    rig_turn(rig);
    assert_int_equal(recv(rig->peer, got, n, MSG_WAITALL), n);
    assert_memory_equal(got, sent, n);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lend__first_reply__brings_both_with_its_first_byte),
        TEST(lend__replies_after_the_first__come_in_order_and_bring_nothing),
        TEST(lend__twice__is_refused_and_the_first_stands),
        TEST(lend__of_more_than_there_is__is_null_and_the_connection_goes_on),
        TEST(lend__never_followed_by_a_reply__leaves_nothing_open),
        TEST(lend__peer_gone_before_the_reply__closes_the_connection),
        TEST(lend__peer_that_takes_nothing__leaves_nothing_open),
        TEST(lend__connection_finished__gives_the_memory_back_at_once),
        TEST(lend__over_tcp__is_null),
    };
    return cmocka_run_group_tests(tests, open_what_stays, NULL);
}
