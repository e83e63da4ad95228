/* SPDX-License-Identifier: Apache-2.0
 *
 * See the header.
 */
#include "tests/integration/sharing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

const size_t elements[TENSORS] = {LARGE, SMALL, 77, 1000};

/* ---- The stage ------------------------------------------------------------------------------- */

void stage_start_daemon(struct stage *stage)
{
    daemon_start(&stage->daemon,
                 (const char *const[]){"--unix", stage->path, "--shards", stage->shards, NULL});
}

static int set_up_shards(void **state, const char *shards)
{
    struct stage *const stage = calloc(1, sizeof *stage);
    assert_non_null(stage);
    *state = stage;
    (void)snprintf(stage->folder, sizeof stage->folder, "/tmp/stepd-shared-XXXXXX");
    assert_non_null(mkdtemp(stage->folder));
    (void)snprintf(stage->path, sizeof stage->path, "%s/socket", stage->folder);
    (void)snprintf(stage->address, sizeof stage->address, "unix:%s", stage->path);
    stage->shards = shards;
    stage_start_daemon(stage);
    (void)snprintf(stage->tcp_address, sizeof stage->tcp_address, "127.0.0.1:%u",
                   stage->daemon.port);
    return 0;
}

int stage_set_up(void **state)
{
    return set_up_shards(state, "1");
}

int stage_set_up_two_shards(void **state)
{
    return set_up_shards(state, "2");
}

int stage_tear_down(void **state)
{
    struct stage *const stage = *state;
    const int ended = daemon_stop(&stage->daemon);
    daemon_kill(&stage->daemon);
    (void)unlink(stage->path);
    (void)rmdir(stage->folder);
    free(stage);
    return ended;
}

void must(const struct stage *stage, enum stepd_status status)
{
    if (status != STEPD_OK && stage->forked)
        _exit(1);
    if (status != STEPD_OK)
        fail_msg("%s", stage->error.text);
}

/* ---- Workers --------------------------------------------------------------------------------- */

struct stepd_job_options job_options(const char *optimizer, uint32_t workers,
                                     struct stepd_param_group *group)
{
    static const struct stepd_param lr = {.name = "lr", .value = 0.0625};
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    *group = (struct stepd_param_group){
        .match = "*", .optimizer = optimizer, .params = &lr, .params_count = 1};
    job.groups = group;
    job.groups_count = 1;
    job.workers = workers;
    return job;
}

static void on_event(void *user, const struct stepd_event *event)
{
    struct worker *const worker = user;
    if (event->kind == STEPD_EVENT_UNSHARED)
        atomic_fetch_add(&worker->unshared, 1);
}

struct worker *worker_connect(struct stage *stage, enum way way, const char *job)
{
    struct worker *const worker = calloc(1, sizeof *worker);
    struct stepd_options options = STEPD_OPTIONS_INIT;
    assert_non_null(worker);
    options.address = way == WAY_TCP ? stage->tcp_address : stage->address;
    options.job = job;
    options.lease_ms = 1000;
    options.sockets_only = way == WAY_SOCKET;
    options.on_event = on_event;
    options.event_user = worker;
    must(stage, stepd_connect(&options, &worker->client, &stage->error));
    return worker;
}

static void define(struct stage *stage, struct worker *worker, const struct stepd_job_options *job)
{
    static const uint64_t large[] = {LARGE}, small[] = {5}, plane[] = {7, 11}, more[] = {1000};
    const struct stepd_tensor tensor[TENSORS] = {
        {.name = "large", .shape = large, .dims = 1, .init = STEPD_TENSOR_NORMAL, .b = 1},
        {.name = "small", .shape = small, .dims = 1},
        {.name = "plane", .shape = plane, .dims = 2, .init = STEPD_TENSOR_UNIFORM, .a = -1, .b = 1},
        {.name = "more", .shape = more, .dims = 1, .init = STEPD_TENSOR_NORMAL, .b = 1, .seed = 7},
    };
    must(stage, stepd_define(worker->client, job, tensor, TENSORS, &stage->error));
}

static void make_arrays(struct stage *stage, struct worker *worker, enum way way)
{
    size_t at = 0;
    for (size_t i = 0; i < TENSORS; i++) {
        worker->grad[i] = worker->own_grad + at;
        worker->weights[i] = worker->own_weights + at;
        if (way == WAY_LENT)
            must(stage, stepd_lend(worker->client, i, &worker->grad[i], &worker->weights[i],
                                   &stage->error));
        worker->array[i] = (struct stepd_array){i, worker->grad[i], worker->weights[i]};
        at += elements[i];
    }
}

void worker_define(struct stage *stage, struct worker *worker, enum way way,
                   const struct stepd_job_options *job)
{
    define(stage, worker, job);
    make_arrays(stage, worker, way);
    must(stage, stepd_pull(worker->client, worker->array, TENSORS, NULL, &stage->error));
}

void worker_compute(struct worker *worker, size_t rank, size_t step)
{
    for (size_t i = 0; i < TENSORS; i++) {
        for (size_t x = 0; x < elements[i]; x++)
            worker->grad[i][x] = worker->weights[i][x] * 0.25F +
                                 (float)((x * 7 + step * 3 + rank) % 13) / 8.0F - 0.75F;
    }
}

void worker_train(struct stage *stage, struct worker *worker, size_t steps)
{
    for (size_t step = 0; step < steps; step++) {
        worker_compute(worker, 0, step);
        must(stage, stepd_step(worker->client, worker->array, TENSORS, NULL, &stage->error));
    }
}

float *worker_weights(const struct worker *worker)
{
    float *const weights = malloc(ELEMENTS * sizeof *weights);
    assert_non_null(weights);
    for (size_t i = 0, at = 0; i < TENSORS; at += elements[i++])
        memcpy(weights + at, worker->weights[i], elements[i] * sizeof *weights);
    return weights;
}

void worker_leave(struct stage *stage, struct worker *worker)
{
    must(stage, stepd_leave(worker->client, &stage->error));
    (void)stepd_close(worker->client);
    free(worker);
}
