/* SPDX-License-Identifier: Apache-2.0
 *
 * Two workers of one job on a daemon of two shards, as libstepd makes them: connected, defined, and
 * taken through a round at a time. Tensors begin at 0 everywhere unless a test says otherwise, and
 * the numbers of the tests are such that floats hold them exactly.
 */
#ifndef TESTS_INTEGRATION_PAIR_H
#define TESTS_INTEGRATION_PAIR_H

#include <stddef.h>

#include <stepd/client.h>

#include "tests/lib/daemon.h"

enum { PAIR_WORKERS = 2, PAIR_TENSORS_MAX = 4, PAIR_ELEMENTS_MAX = 16 };

/* How long a round may wait for what does not come; then the test fails. */
enum { PAIR_PATIENCE_MS = 20000 };

/* What a worker brings to the next round, and what came of the last. */
struct pair_worker {
    struct stepd_client *client; /* owned */
    struct stepd_array arrays[PAIR_TENSORS_MAX];
    float grad[PAIR_ELEMENTS_MAX];    /* of one tensor after another; 1 everywhere at first */
    float weights[PAIR_ELEMENTS_MAX]; /* likewise; the first ones at first */
    struct stepd_step_options options;
    struct stepd_outcome_counts counts; /* of the last round */
};

struct pair {
    struct daemon daemon;
    struct pair_worker worker[PAIR_WORKERS];
    size_t tensors;
    size_t elements; /* of all tensors */
    struct stepd_error error;
};

/* For CMocka: *state is a struct pair whose workers are connected. */
int pair_set_up(void **state);
int pair_tear_down(void **state);

/* pair_set_up with other flags of the daemon than two shards; NULL-terminated. */
int pair_set_up_with(void **state, const char *const flags[]);

/* Defines the job from both workers and pulls its first weights. */
void pair_define(struct pair *pair, const struct stepd_job_options *job,
                 const struct stepd_tensor *tensors, size_t count);

/* The same with these groups and no defaults. */
void pair_define_groups(struct pair *pair, const struct stepd_param_group *groups, size_t count,
                        const struct stepd_tensor *tensors, size_t tensors_count);

/* The same with one group of all tensors, and one tensor `w` of one element. */
void pair_define_one(struct pair *pair, const struct stepd_param_group *group);

/* A round: both push what they have and pull what came of it. */
void pair_round(struct pair *pair);

/* Rounds one after another; w[i]: what the only element must be after the i-th. */
void pair_expect_rounds(struct pair *pair, size_t rounds, const float *w);

/* What a worker pulls of a view must be these numbers, all of them. */
void pair_expect_view(struct pair *pair, size_t worker, enum stepd_view view, const float *w);

/* The error of the last call that failed says this. */
void pair_expect_text(const struct pair *pair, const char *text);

#endif
