/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/client/client_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct bench bench;
static const uint64_t large_shape[] = {LARGE / 10, 10};
static const uint64_t small_shape[] = {SMALL};

static void on_event(void *user, const struct stepd_event *event)
{
    struct record *const record = user;
    (void)pthread_mutex_lock(&record->mutex);
    if (record->count < EVENTS_MAX)
        record->kind[record->count++] = event->kind;
    if (event->text[0] != '\0')
        (void)snprintf(record->text, sizeof record->text, "%s", event->text);
    (void)pthread_cond_broadcast(&record->changed);
    (void)pthread_mutex_unlock(&record->mutex);
}

/* How often this has been told; the mutex is held. */
static size_t count_told(enum stepd_event_kind kind)
{
    size_t told = 0;
    for (size_t i = 0; i < bench.record.count; i++)
        told += bench.record.kind[i] == kind;
    return told;
}

void bench_await(enum stepd_event_kind kind, size_t times)
{
    (void)pthread_mutex_lock(&bench.record.mutex);
    while (count_told(kind) < times)
        (void)pthread_cond_wait(&bench.record.changed, &bench.record.mutex);
    (void)pthread_mutex_unlock(&bench.record.mutex);
}

struct stepd_options bench_options(void)
{
    struct stepd_options options = STEPD_OPTIONS_INIT;
    options.address = fake_server_address(bench.server);
    options.job = "test";
    options.rank = 0;
    options.on_event = on_event;
    options.event_user = &bench.record;
    return options;
}

enum stepd_status bench_define(struct stepd_client *client)
{
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    const struct stepd_param_group group = {.match = "*", .optimizer = "sgd"};
    const struct stepd_tensor tensors[] = {
        {.name = "large", .shape = large_shape, .dims = 2, .a = 100},
        {.name = "small",
         .shape = small_shape,
         .dims = 1,
         .init = STEPD_TENSOR_VALUES,
         .values = bench.small_grad},
    };
    job.groups = &group;
    job.groups_count = 1;
    return stepd_define(client, &job, tensors, 2, &bench.error);
}

void bench_start_server(const char *unix_path, uint32_t lease_ms)
{
    bench.server = fake_server_start(unix_path, lease_ms);
    bench.record.count = 0;
    (void)pthread_mutex_init(&bench.record.mutex, NULL);
    (void)pthread_cond_init(&bench.record.changed, NULL);
    for (size_t i = 0; i < LARGE; i++)
        bench.large_grad[i] = (float)(i % 64);
    for (size_t i = 0; i < SMALL; i++)
        bench.small_grad[i] = 1;
    bench.arrays[0] =
        (struct stepd_array){.tensor = 0, .grad = bench.large_grad, .weights = bench.large};
    bench.arrays[1] =
        (struct stepd_array){.tensor = 1, .grad = bench.small_grad, .weights = bench.small};
}

void bench_join(const struct stepd_options *options)
{
    assert_int_equal(stepd_connect(options, &bench.client, &bench.error), STEPD_OK);
    assert_int_equal(bench_define(bench.client), STEPD_OK);
}

int bench_setup(void **state)
{
    (void)state;
    bench_start_server(NULL, 60000);
    const struct stepd_options options = bench_options();
    bench_join(&options);
    return 0;
}

int bench_setup_server(void **state)
{
    (void)state;
    bench_start_server(NULL, 60000);
    return 0;
}

int bench_teardown(void **state)
{
    (void)state;
    bench.client = stepd_close(bench.client);
    bench.server = fake_server_stop(bench.server);
    return 0;
}

enum stepd_status bench_step(void)
{
    return stepd_step(bench.client, bench.arrays, 2, NULL, &bench.error);
}

enum stepd_status bench_pull(void)
{
    return stepd_pull(bench.client, bench.arrays, 2, NULL, &bench.error);
}

void bench_assert_counted(int times)
{
    for (size_t i = 0; i < LARGE; i++)
        assert_true(bench.large[i] == 100 + (float)(times * (int)(i % 64)));
    assert_true(bench.small[3] == (float)(1 + times));
}

void bench_assert_said(const char *words)
{
    if (strstr(bench.error.text, words) == NULL)
        fail_msg("'%s' does not say '%s'", bench.error.text, words);
}
