/* SPDX-License-Identifier: Apache-2.0
 *
 * A client, the fake server that it speaks to, what the client tells, and the weights that come of
 * it. Every gradient that counts adds 0, 1, ... 63, 0, ... to the large tensor, and 1 to the small.
 */
#ifndef TESTS_UNIT_CLIENT_CLIENT_BENCH_H
#define TESTS_UNIT_CLIENT_CLIENT_BENCH_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/client.h>

#include "tests/unit/client/fake_server.h"

/* Two tensors: one of several slices on both shards, one of a single slice. */
enum { LARGE = 250000, SMALL = 10, EVENTS_MAX = 64 };

/* What the client tells, and what the test waits for. */
struct record {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    enum stepd_event_kind kind[EVENTS_MAX];
    size_t count;
    char text[STEPD_ERROR_TEXT_BYTES]; /* of the newest that says something */
};

struct bench {
    struct fake_server *server;
    struct stepd_client *client;
    struct stepd_error error;
    struct record record;
    float large_grad[LARGE], large[LARGE];
    float small_grad[SMALL], small[SMALL];
    struct stepd_array arrays[2];
};

extern struct bench bench;

/* For CMocka: a client that is ready to train; a server only; and their end. */
int bench_setup(void **state);
int bench_setup_server(void **state);
int bench_teardown(void **state);

/* See fake_server_start. */
void bench_start_server(const char *unix_path, uint32_t lease_ms);

/* Of rank 0, with its events recorded. */
struct stepd_options bench_options(void);

/* Connects and defines. */
void bench_join(const struct stepd_options *options);

enum stepd_status bench_define(struct stepd_client *client);
enum stepd_status bench_step(void);
enum stepd_status bench_pull(void);

/* Waits until this has been told so many times. */
void bench_await(enum stepd_event_kind kind, size_t times);

/* Every gradient has counted so many times, no more and no less. */
void bench_assert_counted(int times);

/* The newest error says these words. */
void bench_assert_said(const char *words);

#endif
