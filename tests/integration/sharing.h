/* SPDX-License-Identifier: Apache-2.0
 *
 * A daemon on a Unix socket and on TCP, and workers whose gradients and weights go one of the ways.
 * One tensor is large, and slices are made of parts of it; the others travel together.
 */
#ifndef TESTS_INTEGRATION_SHARING_H
#define TESTS_INTEGRATION_SHARING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/client.h>

#include "tests/lib/daemon.h"

enum {
    WORKERS = 2,
    TENSORS = 4,
    LARGE = 300001,
    SMALL = 5,
    ELEMENTS = LARGE + SMALL + 77 + 1000, /* of all tensors */
};

/* How gradients and weights travel. */
enum way { WAY_TCP, WAY_SOCKET, WAY_SHARED, WAY_LENT, WAYS };

/* A daemon on a Unix socket and a TCP port. */
struct stage {
    char folder[64];
    char path[96];
    char address[112];
    char tcp_address[32];
    const char *shards;
    bool forked; /* this is a worker's process of its own */
    struct daemon daemon;
    struct stepd_error error;
};

/* A worker, and its arrays of each tensor. */
struct worker {
    struct stepd_client *client;
    atomic_uint unshared; /* events of that kind */
    float *grad[TENSORS];
    float *weights[TENSORS];
    struct stepd_array array[TENSORS];
    float own_grad[ELEMENTS];
    float own_weights[ELEMENTS];
};

extern const size_t elements[TENSORS];

/* For CMocka: a daemon of one shard, of two; *state is its stage. */
int stage_set_up(void **state);
int stage_set_up_two_shards(void **state);
int stage_tear_down(void **state);

/* Starts the daemon, where it runs no more. */
void stage_start_daemon(struct stage *stage);

/* Fails the test, or ends the forked process, unless the status is OK. */
void must(const struct stage *stage, enum stepd_status status);

/* A job of one group with lr 1/16; group: borrowed as long as the options are used. */
struct stepd_job_options job_options(const char *optimizer, uint32_t workers,
                                     struct stepd_param_group *group);

/* Caller frees with worker_leave. */
struct worker *worker_connect(struct stage *stage, enum way way, const char *job);

/* Defines the job of all tensors, makes the arrays, lent ones where that is the way, and pulls. */
void worker_define(struct stage *stage, struct worker *worker, enum way way,
                   const struct stepd_job_options *job);

/* A gradient that no other worker, step or element has, and that depends on the weights. */
void worker_compute(struct worker *worker, size_t rank, size_t step);

/* Steps of the only worker of a job. */
void worker_train(struct stage *stage, struct worker *worker, size_t steps);

/* All its weights; caller frees. */
float *worker_weights(const struct worker *worker);

void worker_leave(struct stage *stage, struct worker *worker);

#endif
