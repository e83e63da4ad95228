/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of snapshots train: a tensor of two slices, by two workers, with sgd at a learning
 * rate of 1. All gradients are 0, but for a 1 as the first element of each push.
 */
#ifndef TESTS_UNIT_CORE_TWO_SLICES_H
#define TESTS_UNIT_CORE_TWO_SLICES_H

#include "tests/lib/shard.h"

enum { SLICES = 2, SLICE = 256, WORKERS = 2 };

extern const float two_ones[SLICES * SLICE];

struct shard_job two_job(enum stepd_mode mode);

/* A shard with the job, to which both workers are connected, each as the peer of its rank. */
void two_setup(struct shard *shard, const struct shard_job *job);

/* A new shard that goes on from what the old one has taken, which is over then. */
void two_go_back(struct shard *shard, const struct shard_job *job);

/* A push of the slices from the first on, or of those that are listed. */
void two_push(struct shard *shard, uint32_t rank, uint64_t clock, size_t slices,
              const uint32_t *slice);

/* Both workers push both slices. */
void two_step(struct shard *shard, uint64_t clock);

float two_first_weight(struct shard *shard);

#endif
