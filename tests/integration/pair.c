/* SPDX-License-Identifier: Apache-2.0
 *
 * Both workers live in this process, so a round starts both before it waits for either.
 */
#include "tests/integration/pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void must(const struct pair *pair, enum stepd_status status)
{
    if (status != STEPD_OK)
        fail_msg("%s", pair->error.text);
}

int pair_set_up(void **state)
{
    return pair_set_up_with(state, (const char *const[]){"--shards", "2", NULL});
}

int pair_set_up_with(void **state, const char *const flags[])
{
    struct pair *const pair = calloc(1, sizeof *pair);
    char address[32];
    struct stepd_options options = STEPD_OPTIONS_INIT;
    assert_non_null(pair);
    *state = pair;
    daemon_start(&pair->daemon, flags);
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)pair->daemon.port);
    options.address = address;
    options.job = "pair";
    for (int i = 0; i < PAIR_WORKERS; i++) {
        options.rank = i;
        must(pair, stepd_connect(&options, &pair->worker[i].client, &pair->error));
    }
    return 0;
}

int pair_tear_down(void **state)
{
    struct pair *const pair = *state;
    for (int i = 0; i < PAIR_WORKERS; i++)
        (void)stepd_close(pair->worker[i].client);
    const int ended = daemon_stop(&pair->daemon);
    daemon_kill(&pair->daemon);
    free(pair);
    return ended;
}

static size_t elements_of(const struct stepd_tensor *tensor)
{
    size_t elements = 1;
    for (size_t d = 0; d < tensor->dims; d++)
        elements *= (size_t)tensor->shape[d];
    return elements;
}

/* Lays the tensors out in the worker's arrays. */
static void prepare(struct pair_worker *worker, const struct stepd_tensor *tensors, size_t count)
{
    size_t at = 0;
    worker->options = (struct stepd_step_options)STEPD_STEP_OPTIONS_INIT;
    worker->options.deadline_ms = PAIR_PATIENCE_MS;
    for (size_t i = 0; i < count; i++) {
        const size_t elements = elements_of(&tensors[i]);
        assert_true(i < PAIR_TENSORS_MAX && at + elements <= PAIR_ELEMENTS_MAX);
        worker->arrays[i] = (struct stepd_array){
            .tensor = i, .grad = worker->grad + at, .weights = worker->weights + at};
        at += elements;
    }
    for (size_t i = 0; i < at; i++)
        worker->grad[i] = 1;
}

void pair_define(struct pair *pair, const struct stepd_job_options *job,
                 const struct stepd_tensor *tensors, size_t count)
{
    pair->tensors = count;
    for (size_t i = 0; i < count; i++)
        pair->elements += elements_of(&tensors[i]);
    for (size_t i = 0; i < PAIR_WORKERS; i++) {
        struct pair_worker *const worker = &pair->worker[i];
        prepare(worker, tensors, count);
        must(pair, stepd_define(worker->client, job, tensors, count, &pair->error));
        must(pair, stepd_pull(worker->client, worker->arrays, count, NULL, &pair->error));
    }
}

void pair_define_groups(struct pair *pair, const struct stepd_param_group *groups, size_t count,
                        const struct stepd_tensor *tensors, size_t tensors_count)
{
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    job.workers = PAIR_WORKERS;
    job.groups = groups;
    job.groups_count = count;
    pair_define(pair, &job, tensors, tensors_count);
}

void pair_define_one(struct pair *pair, const struct stepd_param_group *group)
{
    const struct stepd_tensor tensor = {.name = "w"};
    pair_define_groups(pair, group, 1, &tensor, 1);
}

void pair_round(struct pair *pair)
{
    struct stepd_op *op[PAIR_WORKERS] = {NULL};
    for (size_t i = 0; i < PAIR_WORKERS; i++) {
        struct pair_worker *const worker = &pair->worker[i];
        must(pair, stepd_step_start(worker->client, worker->arrays, pair->tensors, &worker->options,
                                    &op[i], &pair->error));
    }
    for (size_t i = 0; i < PAIR_WORKERS; i++)
        must(pair, stepd_wait(op[i], &pair->worker[i].counts, &pair->error));
}

static void expect(const float *weights, const float *w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (weights[i] != w[i])
            fail_msg("element %zu is %.9g, not %.9g", i, (double)weights[i], (double)w[i]);
    }
}

void pair_expect_rounds(struct pair *pair, size_t rounds, const float *w)
{
    assert_int_equal(pair->elements, 1);
    for (size_t i = 0; i < rounds; i++) {
        pair_round(pair);
        for (size_t k = 0; k < PAIR_WORKERS; k++) {
            const float weight = pair->worker[k].weights[0];
            if (weight != w[i])
                fail_msg("after round %zu worker %zu has %.9g, not %.9g", i + 1, k, (double)weight,
                         (double)w[i]);
        }
    }
}

void pair_expect_view(struct pair *pair, size_t worker, enum stepd_view view, const float *w)
{
    struct pair_worker *const asking = &pair->worker[worker];
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    options.view = view;
    must(pair, stepd_pull(asking->client, asking->arrays, pair->tensors, &options, &pair->error));
    expect(asking->weights, w, pair->elements);
}

void pair_expect_text(const struct pair *pair, const char *text)
{
    if (strstr(pair->error.text, text) == NULL)
        fail_msg("'%s' is not in: %s", text, pair->error.text);
}
