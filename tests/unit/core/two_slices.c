/* SPDX-License-Identifier: Apache-2.0
 *
 * See the header.
 */
#include "tests/unit/core/two_slices.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

const float two_ones[SLICES * SLICE] = {1};

struct shard_job two_job(enum stepd_mode mode)
{
    static const uint64_t shape[] = {SLICES, SLICE};
    static struct stepd_tensor_def tensor;
    tensor = shard_tensor("w", shape, 2, 0.0);
    return (struct shard_job){.mode = mode,
                              .workers = WORKERS,
                              .lr = 1.0,
                              .slice_elements = SLICE,
                              .tensors = 1,
                              .tensor = &tensor};
}

void two_setup(struct shard *shard, const struct shard_job *job)
{
    shard_setup(shard, job);
    for (uint32_t rank = 0; rank < WORKERS; rank++)
        shard_connect(shard, rank, rank);
}

void two_go_back(struct shard *shard, const struct shard_job *job)
{
    struct job_state *state = shard_state(shard);
    shard_teardown(shard);
    shard_restore(shard, job, state);
    for (uint32_t rank = 0; rank < WORKERS; rank++)
        shard_connect(shard, rank, rank);
    (void)job_state_unref(state);
}

void two_push(struct shard *shard, uint32_t rank, uint64_t clock, size_t slices,
              const uint32_t *slice)
{
    const struct shard_push request = {.id = clock,
                                       .clock = clock,
                                       .base_version = clock - 1,
                                       .examples = 1,
                                       .slices = slices,
                                       .slice = slice,
                                       .grad = two_ones,
                                       .values = slices * SLICE};
    shard_push(shard, rank, &request);
}

void two_step(struct shard *shard, uint64_t clock)
{
    for (uint32_t rank = 0; rank < WORKERS; rank++)
        two_push(shard, rank, clock, SLICES, NULL);
}

float two_first_weight(struct shard *shard)
{
    shard_pull(shard, 0, 99, 0, SLICES);
    return shard_last(shard, 0)->value[0];
}
