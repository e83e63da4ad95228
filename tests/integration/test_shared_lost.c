/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared memory whose other side goes: connections that are cut, a daemon or a worker that is
 * killed.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/integration/sharing.h"

enum { STEPS = 4 };

/* ---- Connections that end ---------------------------------------------------------------------*/

/* Ends this process's connections to the daemon's Unix socket, behind the library's back; returns
 * how many. By bare system calls: a thread sanitizer would take it for the library's own doing. */
static size_t cut_connections(const struct stage *stage)
{
    size_t cut = 0;
    for (int fd = 3; fd < 256; fd++) {
        struct sockaddr_un peer = {.sun_family = AF_UNSPEC};
        socklen_t bytes = sizeof peer;
        if (syscall(SYS_getpeername, fd, &peer, &bytes) != 0 || peer.sun_family != AF_UNIX ||
            strstr(peer.sun_path, stage->folder) == NULL)
            continue;
        cut += syscall(SYS_shutdown, fd, SHUT_RDWR) == 0;
    }
    return cut;
}

/* The weights after steps of two workers, whose connections are cut in the middle of some steps;
 * caller frees. */
static float *train_cut(struct stage *stage, enum way way, bool cuts, const char *name)
{
    struct stepd_param_group group;
    const struct stepd_job_options job = job_options("adamw", WORKERS, &group);
    struct worker *worker[WORKERS];
    struct stepd_op *op[WORKERS];
    for (size_t i = 0; i < WORKERS; i++)
        worker[i] = worker_connect(stage, way, name);
    for (size_t i = 0; i < WORKERS; i++) {
        worker_define(stage, worker[i], way, &job);
    }
    for (size_t step = 0; step < STEPS; step++) {
        for (size_t i = 0; i < WORKERS; i++) {
            worker_compute(worker[i], i, step);
            must(stage, stepd_step_start(worker[i]->client, worker[i]->array, TENSORS, NULL, &op[i],
                                         &stage->error));
            if (cuts && step == i + 1)
                assert_true(cut_connections(stage) > 0);
        }
        for (size_t i = 0; i < WORKERS; i++)
            must(stage, stepd_wait(op[i], NULL, &stage->error));
    }
    float *const weights = worker_weights(worker[0]);
    for (size_t i = 0; i < WORKERS; i++)
        worker_leave(stage, worker[i]);
    return weights;
}

static void shared__connections_cut_in_mid_step__has_the_same_bits(void **state)
{
    struct stage *const stage = *state;
    float *const right = train_cut(stage, WAY_TCP, false, "whole");
    float *const copied = train_cut(stage, WAY_SHARED, true, "cut");
    float *const lent = train_cut(stage, WAY_LENT, true, "cut-lent");
    assert_memory_equal(copied, right, ELEMENTS * sizeof *right);
    assert_memory_equal(lent, right, ELEMENTS * sizeof *right);
    free(right);
    free(copied);
    free(lent);
}

/* ---- Memory that does not come --------------------------------------------------------------- */

/* Leaves this process so many descriptors to open; returns the limit that was. */
static struct rlimit leave_descriptors(rlim_t more)
{
    struct rlimit before, lowered;
    const int lowest = dup(STDERR_FILENO);
    assert_true(lowest >= 0);
    (void)close(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    lowered = before;
    lowered.rlim_cur = (rlim_t)lowest + more;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &lowered), 0);
    return before;
}

/* There is one left for the connection, and none for the memory that comes over it. */
static void shared__memory_that_has_no_descriptors__goes_by_the_socket(void **state)
{
    struct stage *const stage = *state;
    struct stepd_param_group group;
    const struct stepd_job_options job = job_options("adamw", 1, &group);
    float *weights[2];
    for (size_t i = 0; i < 2; i++) {
        struct worker *const worker =
            worker_connect(stage, i == 0 ? WAY_TCP : WAY_LENT, i == 0 ? "tcp" : "few");
        const struct rlimit before = leave_descriptors(i == 0 ? 64 : 1);
        worker_define(stage, worker, i == 0 ? WAY_TCP : WAY_LENT, &job);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(worker->unshared, i);
        worker_train(stage, worker, STEPS);
        weights[i] = worker_weights(worker);
        worker_leave(stage, worker);
    }
    assert_memory_equal(weights[1], weights[0], ELEMENTS * sizeof *weights[0]);
    free(weights[0]);
    free(weights[1]);
}

/* What was lent before stays readable, and is no part of the new job. */
static void lent__by_a_daemon_that_was_killed_and_started_again__trains_anew(void **state)
{
    struct stage *const stage = *state;
    struct stepd_param_group group;
    const struct stepd_job_options job = job_options("sgd", 1, &group);
    struct worker *const worker = worker_connect(stage, WAY_LENT, "killed");
    worker_define(stage, worker, WAY_LENT, &job);
    worker_train(stage, worker, STEPS);
    float *const right = worker_weights(worker);
    float *const old = worker->weights[0];
    daemon_signal(&stage->daemon, SIGKILL);
    (void)daemon_wait(&stage->daemon);
    stage_start_daemon(stage);
    assert_int_equal(stepd_step(worker->client, worker->array, TENSORS, NULL, &stage->error),
                     STEPD_ROLLED_BACK);
    worker_define(stage, worker, WAY_LENT, &job);
    assert_ptr_not_equal(worker->weights[0], old);
    worker_train(stage, worker, STEPS);
    float *const got = worker_weights(worker);
    assert_memory_equal(got, right, ELEMENTS * sizeof *right);
    assert_memory_equal(old, right, LARGE * sizeof *right);
    free(got);
    free(right);
    worker_leave(stage, worker);
}

/* One that goes on without a worker that has been silent for a second. */
static struct stepd_job_options lossy_job(struct stepd_param_group *group)
{
    static const struct stepd_param on_loss = {.name = "on_loss", .word = "shrink"};
    struct stepd_job_options job = job_options("sgd", WORKERS, group);
    job.params = &on_loss;
    job.params_count = 1;
    return job;
}

/* ---- A worker that dies ---------------------------------------------------------------------- */

/* Trains until it is killed, and says when it has begun. Never returns. */
static void train_to_death(struct stage *stage, int say)
{
    struct stepd_param_group group;
    const struct stepd_job_options job = lossy_job(&group);
    stage->forked = true;
    struct worker *const worker = worker_connect(stage, WAY_LENT, "lossy");
    worker_define(stage, worker, WAY_LENT, &job);
    for (size_t step = 0;; step++) {
        worker_compute(worker, 1, step);
        must(stage, stepd_step(worker->client, worker->array, TENSORS, NULL, &stage->error));
        if (step == STEPS && write(say, "s", 1) != 1)
            _exit(1);
    }
}

static void shared__worker_killed_in_mid_step__the_other_goes_on(void **state)
{
    struct stage *const stage = *state;
    struct stepd_param_group group;
    const struct stepd_job_options job = lossy_job(&group);
    int said[2];
    char byte;
    assert_int_equal(pipe(said), 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        train_to_death(stage, said[1]);
    struct worker *const worker = worker_connect(stage, WAY_LENT, "lossy");
    worker_define(stage, worker, WAY_LENT, &job);
    for (size_t step = 0; step < 4 * STEPS; step++) {
        worker_compute(worker, 0, step);
        must(stage, stepd_step(worker->client, worker->array, TENSORS, NULL, &stage->error));
        if (step == STEPS) {
            assert_int_equal(read(said[0], &byte, 1), 1);
            assert_int_equal(kill(pid, SIGKILL), 0);
            assert_int_equal(waitpid(pid, NULL, 0), pid);
        }
    }
    worker_leave(stage, worker);
    assert_int_equal(close(said[0]), 0);
    assert_int_equal(close(said[1]), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, stage_set_up, stage_tear_down)
#define TEST_TWO_SHARDS(f)                                                                         \
    {                                                                                              \
#f " (two shards)", f, stage_set_up_two_shards, stage_tear_down, NULL                      \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_TWO_SHARDS(shared__connections_cut_in_mid_step__has_the_same_bits),
        TEST(shared__memory_that_has_no_descriptors__goes_by_the_socket),
        TEST(lent__by_a_daemon_that_was_killed_and_started_again__trains_anew),
        TEST(shared__worker_killed_in_mid_step__the_other_goes_on),
    };
    return cmocka_run_group_tests_name("integration/shared_lost", tests, NULL, NULL);
}
