/* SPDX-License-Identifier: Apache-2.0
 *
 * The fake server's threads. Blocking sockets and one mutex; clear rather than quick.
 */
#include "tests/unit/client/fake_server.h"

#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/frame.h"
#include "tests/unit/client/fake_internal.h"

static bool serve_one(struct connection *connection)
{
    struct fake_server *const server = connection->server;
    if (!fake_read_frame(connection))
        return false;
    (void)pthread_mutex_lock(&server->mutex);
    const enum fake_fault fault = server->fault;
    if (connection->message.kind == STEPD_MESSAGE_STEP && server->faulty_steps > 0 &&
        --server->faulty_steps == 0)
        server->fault = FAKE_NO_FAULT;
    (void)pthread_mutex_unlock(&server->mutex);
    if (fault == FAKE_HANG_UP && connection->message.kind == STEPD_MESSAGE_STEP)
        return false;
    if (!fake_read_payload(connection))
        return false;
    (void)pthread_mutex_lock(&server->mutex);
    const bool going_on = fake_answer(connection, fault);
    (void)pthread_mutex_unlock(&server->mutex);
    return going_on;
}

static void *serve(void *self)
{
    struct connection *const connection = self;
    stepd_arena_init(&connection->arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    connection->head = malloc(STEPD_FRAME_HEAD_MAX_BYTES);
    while (connection->head != NULL && serve_one(connection))
        continue;
    (void)shutdown(connection->fd, SHUT_RDWR);
    struct fake_server *const server = connection->server;
    (void)pthread_mutex_lock(&server->mutex);
    server->gone++;
    (void)pthread_cond_broadcast(&server->changed);
    (void)pthread_mutex_unlock(&server->mutex);
    stepd_arena_deinit(&connection->arena);
    free(connection->head);
    free(connection->payload);
    free(connection);
    return NULL;
}

static void *accept_all(void *self)
{
    struct fake_server *const server = self;
    for (;;) {
        const int fd = accept(server->listener, NULL, NULL);
        if (fd < 0)
            return NULL;
        struct connection *const connection = calloc(1, sizeof *connection);
        (void)pthread_mutex_lock(&server->mutex);
        const size_t i = server->connections;
        const bool room = connection != NULL && i < FAKE_CONNECTIONS_MAX && !server->stopping;
        if (room) {
            *connection = (struct connection){.server = server, .fd = fd};
            server->fd[i] = fd;
            if (pthread_create(&server->thread[i], NULL, serve, connection) == 0)
                server->connections++;
        } else {
            free(connection);
            (void)close(fd);
        }
        (void)pthread_mutex_unlock(&server->mutex);
    }
}

static void listen_on_tcp(struct fake_server *server)
{
    struct sockaddr_in name = {.sin_family = AF_INET};
    socklen_t bytes = sizeof name;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&name, &bytes), 0);
    (void)snprintf(server->address, sizeof server->address, "127.0.0.1:%u", ntohs(name.sin_port));
}

static void listen_on_unix(struct fake_server *server, const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    (void)snprintf(name.sun_path, sizeof name.sun_path, "%s", path);
    server->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    (void)unlink(path);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&name, sizeof name), 0);
    (void)snprintf(server->address, sizeof server->address, "unix:%s", path);
}

struct fake_server *fake_server_start(const char *unix_path, uint32_t lease_ms)
{
    struct fake_server *const server = calloc(1, sizeof *server);
    assert_non_null(server);
    server->lease_ms = lease_ms;
    server->incarnation = 1;
    (void)pthread_mutex_init(&server->mutex, NULL);
    (void)pthread_cond_init(&server->changed, NULL);
    if (unix_path == NULL)
        listen_on_tcp(server);
    else
        listen_on_unix(server, unix_path);
    assert_int_equal(listen(server->listener, 16), 0);
    assert_int_equal(pthread_create(&server->acceptor, NULL, accept_all, server), 0);
    return server;
}

struct fake_server *fake_server_stop(struct fake_server *server)
{
    (void)pthread_mutex_lock(&server->mutex);
    server->stopping = true;
    (void)pthread_cond_broadcast(&server->changed);
    (void)pthread_mutex_unlock(&server->mutex);
    if (!server->away)
        fake_server_go_away(server);
    for (size_t i = 0; i < server->connections; i++) {
        (void)shutdown(server->fd[i], SHUT_RDWR);
        (void)pthread_join(server->thread[i], NULL);
        (void)close(server->fd[i]);
    }
    for (size_t i = 0; i < server->slices; i++)
        free(server->slice[i].weights);
    (void)pthread_mutex_destroy(&server->mutex);
    (void)pthread_cond_destroy(&server->changed);
    free(server);
    return NULL;
}

static void cut(struct fake_server *server)
{
    for (size_t i = 0; i < server->connections; i++)
        (void)shutdown(server->fd[i], SHUT_RDWR);
}

void fake_server_cut(struct fake_server *server)
{
    (void)pthread_mutex_lock(&server->mutex);
    cut(server);
    (void)pthread_mutex_unlock(&server->mutex);
}

void fake_server_go_away(struct fake_server *server)
{
    server->away = true;
    (void)shutdown(server->listener, SHUT_RDWR);
    (void)pthread_join(server->acceptor, NULL);
    (void)close(server->listener);
    fake_server_cut(server);
}

static void begin_anew(struct fake_server *server, uint64_t incarnation)
{
    server->incarnation = incarnation;
    for (size_t i = 0; i < server->slices; i++) {
        struct fake_slice *const slice = &server->slice[i];
        slice->version = 0;
        slice->clock = 0;
        for (uint32_t e = 0; e < slice->elements; e++)
            slice->weights[e] = slice->first;
    }
}

void fake_server_begin_anew(struct fake_server *server, uint64_t incarnation)
{
    (void)pthread_mutex_lock(&server->mutex);
    begin_anew(server, incarnation);
    (void)pthread_mutex_unlock(&server->mutex);
}

void fake_server_redefine(struct fake_server *server, uint64_t incarnation, const char *name)
{
    (void)pthread_mutex_lock(&server->mutex);
    begin_anew(server, incarnation);
    (void)snprintf(server->tensor[0].name, sizeof server->tensor[0].name, "%s", name);
    (void)pthread_mutex_unlock(&server->mutex);
}

static void forget_job(struct fake_server *server)
{
    for (size_t i = 0; i < server->slices; i++)
        free(server->slice[i].weights);
    server->slices = 0;
    server->tensors = 0;
}

void fake_server_go_back(struct fake_server *server, uint64_t incarnation, bool keeps)
{
    (void)pthread_mutex_lock(&server->mutex);
    begin_anew(server, incarnation);
    server->known = false;
    server->generation++;
    if (!keeps)
        forget_job(server);
    cut(server);
    (void)pthread_mutex_unlock(&server->mutex);
}

void fake_server_lose_first_replies(struct fake_server *server)
{
    (void)pthread_mutex_lock(&server->mutex);
    server->lose = UINT32_MAX;
    (void)pthread_mutex_unlock(&server->mutex);
}

const char *fake_server_address(const struct fake_server *server)
{
    return server->address;
}

void fake_server_misbehave_for(struct fake_server *server, enum fake_fault fault, uint64_t steps)
{
    (void)pthread_mutex_lock(&server->mutex);
    server->fault = fault;
    server->faulty_steps = steps;
    (void)pthread_mutex_unlock(&server->mutex);
}

void fake_server_misbehave(struct fake_server *server, enum fake_fault fault)
{
    fake_server_misbehave_for(server, fault, /* steps= */ 0);
}

void fake_server_remember(struct fake_server *server, uint64_t control_clock, uint64_t shard_clock)
{
    (void)pthread_mutex_lock(&server->mutex);
    server->mode = STEPD_ASYNC;
    server->control_clock = control_clock;
    server->shard_clock = shard_clock;
    (void)pthread_mutex_unlock(&server->mutex);
}

static void await(struct fake_server *server, const uint64_t *counter, uint64_t count)
{
    (void)pthread_mutex_lock(&server->mutex);
    while (*counter < count)
        (void)pthread_cond_wait(&server->changed, &server->mutex);
    (void)pthread_mutex_unlock(&server->mutex);
}

void fake_server_await_heartbeats(struct fake_server *server, uint64_t count)
{
    await(server, &server->heartbeats, count);
}

void fake_server_await_endings(struct fake_server *server, uint64_t count)
{
    await(server, &server->endings, count);
}

void fake_server_await_all_gone(struct fake_server *server)
{
    (void)pthread_mutex_lock(&server->mutex);
    while (server->gone < server->connections)
        (void)pthread_cond_wait(&server->changed, &server->mutex);
    (void)pthread_mutex_unlock(&server->mutex);
}

void fake_server_await_steps(struct fake_server *server, uint64_t count)
{
    await(server, &server->steps, count);
}

static uint64_t read_clock(struct fake_server *server, const uint64_t *clock)
{
    (void)pthread_mutex_lock(&server->mutex);
    const uint64_t value = *clock;
    (void)pthread_mutex_unlock(&server->mutex);
    return value;
}

uint64_t fake_server_stepped_at(struct fake_server *server)
{
    return read_clock(server, &server->stepped_at);
}

uint64_t fake_server_left_at(struct fake_server *server)
{
    return read_clock(server, &server->left_at);
}

uint64_t fake_server_endings(struct fake_server *server)
{
    return read_clock(server, &server->endings);
}

uint64_t fake_server_barriers(struct fake_server *server)
{
    return read_clock(server, &server->barriers);
}

uint64_t fake_server_barrier_at(struct fake_server *server)
{
    return read_clock(server, &server->barrier_at);
}

void fake_server_await_hellos(struct fake_server *server, uint64_t count)
{
    await(server, &server->hellos[0], count);
}

uint64_t fake_server_hellos(struct fake_server *server, bool shards)
{
    return read_clock(server, &server->hellos[shards]);
}
