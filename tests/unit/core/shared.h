/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of shared memory train: one tensor that is cut into two slices, with workers who
 * all share the shard's memory.
 */
#ifndef TESTS_UNIT_CORE_SHARED_H
#define TESTS_UNIT_CORE_SHARED_H

#include "tests/lib/shard.h"

enum { SHARED_SLICES = 2, SHARED_SLICE = 300, SHARED_ELEMENTS = SHARED_SLICES * SHARED_SLICE };

/* A sync job of sgd with lr 1 whose weights start at 10, to be changed before it is opened. */
struct shard_job shared_job(uint32_t workers);

/* Opens it, and connects each worker as the peer of its rank. */
void shared_setup(struct shard *shard, const struct shard_job *job);

/* A push of all slices by a rank, of one example, whose gradient lies in shared memory. */
struct shard_push shared_push(uint64_t clock);

/* Writes a gradient that is `value` in the first element, and 1/8 more in each that follows. */
void shared_write(const struct shard *shard, size_t peer, float value);

/* Writes it and sends a Step of it. */
void shared_step(struct shard *shard, size_t peer, uint64_t clock, float value);

/* The first weight that a peer gets when it pulls, wherever it lies. */
float shared_weight(struct shard *shard, size_t peer);

#endif
