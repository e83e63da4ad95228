/* SPDX-License-Identifier: Apache-2.0
 *
 * See the header.
 */
#include "tests/unit/core/shared.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct shard_job shared_job(uint32_t workers)
{
    static const uint64_t shape[] = {SHARED_ELEMENTS};
    static struct stepd_tensor_def tensor;
    tensor = shard_tensor("w", shape, 1, 10.0);
    return (struct shard_job){.mode = STEPD_SYNC,
                              .workers = workers,
                              .lr = 1.0,
                              .slice_elements = SHARED_SLICE,
                              .shares = true,
                              .tensors = 1,
                              .tensor = &tensor};
}

void shared_setup(struct shard *shard, const struct shard_job *job)
{
    shard_setup(shard, job);
    assert_int_equal(shard->job->layout.slices, SHARED_SLICES);
    for (uint32_t rank = 0; rank < job->workers; rank++)
        shard_connect(shard, rank, rank);
}

struct shard_push shared_push(uint64_t clock)
{
    return (struct shard_push){.id = 70 + clock,
                               .clock = clock,
                               .base_version = clock - 1,
                               .examples = 1,
                               .slices = SHARED_SLICES,
                               .placed = true};
}

void shared_write(const struct shard *shard, size_t peer, float value)
{
    for (uint32_t slice = 0; slice < SHARED_SLICES; slice++) {
        float *const grad = shard_gradient(shard, peer, slice);
        for (size_t i = 0; i < SHARED_SLICE; i++)
            grad[i] = value + (float)(slice * SHARED_SLICE + i) / 8.0F;
    }
}

void shared_step(struct shard *shard, size_t peer, uint64_t clock, float value)
{
    struct shard_push push = shared_push(clock);
    push.step = true;
    shared_write(shard, peer, value);
    shard_push(shard, peer, &push);
}

float shared_weight(struct shard *shard, size_t peer)
{
    shard_pull(shard, peer, 999, 0, 1);
    const struct shard_reply *reply = shard_last(shard, peer);
    assert_int_equal(reply->kind, STEPD_MESSAGE_RESULT);
    return reply->places > 0 ? *shard_placed(shard, reply, 0) : reply->value[0];
}
