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

#include <cmocka.h>

#include "tests/integration/sharing.h"

enum { STEPS = 4 };

static void step_together(struct stage *stage, struct worker **worker)
{
    struct stepd_op *op[WORKERS];
    for (size_t i = 0; i < WORKERS; i++)
        must(stage, stepd_step_start(worker[i]->client, worker[i]->array, TENSORS, NULL, &op[i],
                                     &stage->error));
    for (size_t i = 0; i < WORKERS; i++)
        must(stage, stepd_wait(op[i], NULL, &stage->error));
}

/* All weights after some steps of two workers, who go the ways; setting NULL: none beside the
 * optimizer. Caller frees. */
static float *train(struct stage *stage, const enum way way[WORKERS], const char *optimizer,
                    const struct stepd_param *setting)
{
    static int jobs;
    char name[32];
    struct stepd_param_group group;
    struct stepd_job_options job = job_options(optimizer, WORKERS, &group);
    struct worker *worker[WORKERS];
    job.params = setting;
    job.params_count = setting != NULL;
    (void)snprintf(name, sizeof name, "job-%d", jobs++);
    for (size_t i = 0; i < WORKERS; i++)
        worker[i] = worker_connect(stage, way[i], name);
    for (size_t i = 0; i < WORKERS; i++)
        worker_define(stage, worker[i], way[i], &job);
    for (size_t step = 0; step < STEPS; step++) {
        for (size_t i = 0; i < WORKERS; i++)
            worker_compute(worker[i], i, step);
        step_together(stage, worker);
    }
    float *const weights = worker_weights(worker[0]);
    for (size_t i = 0; i < TENSORS; i++)
        assert_memory_equal(worker[1]->weights[i], worker[0]->weights[i],
                            elements[i] * sizeof *weights);
    for (size_t i = 0; i < WORKERS; i++)
        worker_leave(stage, worker[i]);
    return weights;
}

static void assert_same_by_all_ways(struct stage *stage, const char *optimizer,
                                    const struct stepd_param *setting)
{
    static const enum way tcp[WORKERS] = {WAY_TCP, WAY_TCP};

    static const enum way others[][WORKERS] = {{WAY_SOCKET, WAY_SOCKET},
                                               {WAY_SHARED, WAY_SHARED},
                                               {WAY_LENT, WAY_LENT},
                                               {WAY_TCP, WAY_LENT}};

    float *const right = train(stage, tcp, optimizer, setting);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        float *const got = train(stage, others[i], optimizer, setting);
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
    assert_same_by_all_ways(*state, "sgd", NULL);
}

static void shared__adamw__has_the_bits_of_tcp(void **state)
{
    assert_same_by_all_ways(*state, "adamw", NULL);
}

/* Steps that are more than a slice's own round. */
static void shared__steps_of_all_kinds__have_the_bits_of_tcp(void **state)
{
    static const struct stepd_param setting[] = {
        {.name = "clip_global_norm", .value = 8.0}, {.name = "accumulate", .value = 2.0},
        {.name = "reduction", .word = "arrival"},   {.name = "atomic", .word = "job"},
        {.name = "nonfinite", .word = "skip"},
    };
    for (size_t i = 0; i < sizeof setting / sizeof setting[0]; i++)
        assert_same_by_all_ways(*state, "adamw", &setting[i]);
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
    struct worker *const worker = worker_connect(stage, way, name);
    struct stepd_op *op[PUSHES];
    float *const weights = malloc(LARGE * sizeof *weights);
    assert_non_null(weights);
    worker_define(stage, worker, way, &job);
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
    worker_leave(stage, worker);
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, stage_set_up, stage_tear_down)
#define TEST_TWO_SHARDS(f)                                                                         \
    {                                                                                              \
#f " (two shards)", f, stage_set_up_two_shards, stage_tear_down, NULL                      \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(shared__sgd__has_the_bits_of_tcp),
        TEST_TWO_SHARDS(shared__sgd__has_the_bits_of_tcp),
        TEST(shared__adamw__has_the_bits_of_tcp),
        TEST_TWO_SHARDS(shared__adamw__has_the_bits_of_tcp),
        TEST_TWO_SHARDS(shared__steps_of_all_kinds__have_the_bits_of_tcp),
        TEST(shared__pushes_of_a_tensor_under_way_together__count_each),
    };
    return cmocka_run_group_tests_name("integration/shared", tests, NULL, NULL);
}
