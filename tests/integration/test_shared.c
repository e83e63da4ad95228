/* SPDX-License-Identifier: Apache-2.0
 *
 * Training over memory that worker and daemon share: whichever way gradients and weights travel,
 * the weights are the same, bit for bit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <stepd/client.h>

#include "tests/lib/daemon.h"

enum { WORKERS = 2, STEPS = 4, TENSORS = 4, LARGE = 300001, ELEMENTS = LARGE + 5 + 77 + 1000 };

/* How gradients and weights travel. */
enum way { WAY_TCP, WAY_SOCKET, WAY_SHARED, WAY_LENT, WAYS };

/* A daemon on a Unix socket and a TCP port. */
struct stage {
    char folder[64];
    char path[96];
    char address[112];
    char tcp_address[32];
    struct daemon daemon;
    struct stepd_error error;
};

/* A worker, and its arrays of each tensor. */
struct worker {
    struct stepd_client *client;
    float *grad[TENSORS];
    float *weights[TENSORS];
    struct stepd_array array[TENSORS];
    float own_grad[ELEMENTS];
    float own_weights[ELEMENTS];
};

static const size_t elements[TENSORS] = {LARGE, 5, 77, 1000};

/* ---- The stage ------------------------------------------------------------------------------- */

static int set_up_shards(void **state, const char *shards)
{
    struct stage *const stage = calloc(1, sizeof *stage);
    assert_non_null(stage);
    *state = stage;
    (void)snprintf(stage->folder, sizeof stage->folder, "/tmp/stepd-shared-XXXXXX");
    assert_non_null(mkdtemp(stage->folder));
    (void)snprintf(stage->path, sizeof stage->path, "%s/socket", stage->folder);
    (void)snprintf(stage->address, sizeof stage->address, "unix:%s", stage->path);
    daemon_start(&stage->daemon,
                 (const char *const[]){"--unix", stage->path, "--shards", shards, NULL});
    (void)snprintf(stage->tcp_address, sizeof stage->tcp_address, "127.0.0.1:%u",
                   stage->daemon.port);
    return 0;
}

static int set_up(void **state)
{
    return set_up_shards(state, "1");
}

static int set_up_two_shards(void **state)
{
    return set_up_shards(state, "2");
}

static int tear_down(void **state)
{
    struct stage *const stage = *state;
    const int ended = daemon_stop(&stage->daemon);
    daemon_kill(&stage->daemon);
    (void)unlink(stage->path);
    (void)rmdir(stage->folder);
    free(stage);
    return ended;
}

static void must(const struct stage *stage, enum stepd_status status)
{
    if (status != STEPD_OK)
        fail_msg("%s", stage->error.text);
}

/* ---- Workers --------------------------------------------------------------------------------- */

static struct worker *connect_worker(struct stage *stage, enum way way, const char *job)
{
    struct worker *const worker = calloc(1, sizeof *worker);
    struct stepd_options options = STEPD_OPTIONS_INIT;
    assert_non_null(worker);
    options.address = way == WAY_TCP ? stage->tcp_address : stage->address;
    options.job = job;
    options.sockets_only = way == WAY_SOCKET;
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

/* A gradient that no other worker, step or element has, and that depends on the weights. */
static void compute(struct worker *worker, size_t rank, size_t step)
{
    for (size_t i = 0; i < TENSORS; i++) {
        for (size_t x = 0; x < elements[i]; x++)
            worker->grad[i][x] = worker->weights[i][x] * 0.25F +
                                 (float)((x * 7 + step * 3 + rank) % 13) / 8.0F - 0.75F;
    }
}

static void leave(struct stage *stage, struct worker *worker)
{
    must(stage, stepd_leave(worker->client, &stage->error));
    (void)stepd_close(worker->client);
    free(worker);
}

/* ---- A training ------------------------------------------------------------------------------ */

static struct stepd_job_options job_options(const char *optimizer, uint32_t workers,
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

static void step_together(struct stage *stage, struct worker **worker)
{
    struct stepd_op *op[WORKERS];
    for (size_t i = 0; i < WORKERS; i++)
        must(stage, stepd_step_start(worker[i]->client, worker[i]->array, TENSORS, NULL, &op[i],
                                     &stage->error));
    for (size_t i = 0; i < WORKERS; i++)
        must(stage, stepd_wait(op[i], NULL, &stage->error));
}

/* All weights after some steps of two workers, who go the ways; caller frees. */
static float *train(struct stage *stage, const enum way way[WORKERS], const char *optimizer)
{
    static int jobs;
    char name[32];
    struct stepd_param_group group;
    const struct stepd_job_options job = job_options(optimizer, WORKERS, &group);
    struct worker *worker[WORKERS];
    (void)snprintf(name, sizeof name, "job-%d", jobs++);
    for (size_t i = 0; i < WORKERS; i++)
        worker[i] = connect_worker(stage, way[i], name);
    for (size_t i = 0; i < WORKERS; i++) {
        define(stage, worker[i], &job);
        make_arrays(stage, worker[i], way[i]);
        must(stage, stepd_pull(worker[i]->client, worker[i]->array, TENSORS, NULL, &stage->error));
    }
    for (size_t step = 0; step < STEPS; step++) {
        for (size_t i = 0; i < WORKERS; i++)
            compute(worker[i], i, step);
        step_together(stage, worker);
    }
    float *const weights = malloc(ELEMENTS * sizeof *weights);
    assert_non_null(weights);
    for (size_t i = 0, at = 0; i < TENSORS; at += elements[i++])
        memcpy(weights + at, worker[0]->weights[i], elements[i] * sizeof *weights);
    for (size_t i = 0; i < TENSORS; i++)
        assert_memory_equal(worker[1]->weights[i], worker[0]->weights[i],
                            elements[i] * sizeof *weights);
    for (size_t i = 0; i < WORKERS; i++)
        leave(stage, worker[i]);
    return weights;
}

static void assert_same_by_all_ways(struct stage *stage, const char *optimizer)
{
    static const enum way tcp[WORKERS] = {WAY_TCP, WAY_TCP};

    static const enum way others[][WORKERS] = {{WAY_SOCKET, WAY_SOCKET},
                                               {WAY_SHARED, WAY_SHARED},
                                               {WAY_LENT, WAY_LENT},
                                               {WAY_TCP, WAY_LENT}};

    float *const right = train(stage, tcp, optimizer);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        float *const got = train(stage, others[i], optimizer);
        for (size_t x = 0; x < ELEMENTS; x++) {
            if (memcmp(&got[x], &right[x], sizeof right[x]) != 0)
                fail_msg("way %zu, element %zu: %a, over TCP %a", i, x, (double)got[x],
                         (double)right[x]);
        }
        free(got);
    }
    free(right);
}

static void shared__sgd__has_the_bits_of_tcp(void **state)
{
    assert_same_by_all_ways(*state, "sgd");
}

static void shared__adamw__has_the_bits_of_tcp(void **state)
{
    assert_same_by_all_ways(*state, "adamw");
}

/* ---- Pushes under way together ----------------------------------------------------------------*/

enum { PUSHES = 3 };

/* The weights after pushes that were started one upon the other; caller frees. */
static float *push_at_once(struct stage *stage, enum way way, const char *name)
{
    static float grad[PUSHES][LARGE];
    struct stepd_param_group group;
    struct stepd_job_options job = job_options("sgd", 1, &group);
    job.mode = STEPD_ASYNC;
    struct worker *const worker = connect_worker(stage, way, name);
    struct stepd_op *op[PUSHES];
    float *const weights = malloc(LARGE * sizeof *weights);
    assert_non_null(weights);
    define(stage, worker, &job);
    make_arrays(stage, worker, way);
    must(stage, stepd_pull(worker->client, worker->array, TENSORS, NULL, &stage->error));
    for (size_t i = 0; i < PUSHES; i++) {
        for (size_t x = 0; x < LARGE; x++)
            grad[i][x] = (float)(1u << (4 * i));
    }
    for (size_t i = 0; i < PUSHES; i++) {
        const struct stepd_array array = {.tensor = 0, .grad = grad[i]};
        must(stage, stepd_push_start(worker->client, &array, 1, NULL, &op[i], &stage->error));
    }
    for (size_t i = 0; i < PUSHES; i++)
        must(stage, stepd_wait(op[i], NULL, &stage->error));
    must(stage, stepd_pull(worker->client, worker->array, TENSORS, NULL, &stage->error));
    memcpy(weights, worker->weights[0], LARGE * sizeof *weights);
    leave(stage, worker);
    return weights;
}

static void shared__pushes_of_a_tensor_under_way_together__count_each(void **state)
{
    struct stage *const stage = *state;
    float *const right = push_at_once(stage, WAY_TCP, "one");
    float *const got = push_at_once(stage, WAY_SHARED, "two");
    assert_memory_equal(got, right, LARGE * sizeof *right);
    free(right);
    free(got);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define TEST_TWO_SHARDS(f)                                                                         \
    {                                                                                              \
#f " (two shards)", f, set_up_two_shards, tear_down, NULL                                  \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(shared__sgd__has_the_bits_of_tcp),
        TEST_TWO_SHARDS(shared__sgd__has_the_bits_of_tcp),
        TEST(shared__adamw__has_the_bits_of_tcp),
        TEST_TWO_SHARDS(shared__adamw__has_the_bits_of_tcp),
        TEST(shared__pushes_of_a_tensor_under_way_together__count_each),
    };
    return cmocka_run_group_tests_name("integration/shared", tests, NULL, NULL);
}
