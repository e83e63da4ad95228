/* SPDX-License-Identifier: Apache-2.0
 *
 * See the header.
 */
#include "tests/unit/core/accumulate.h"

struct stepd_setting accumulate_number(const char *name, const double *value)
{
    return (struct stepd_setting){.name = name, .values = 1, .value = value, .word = ""};
}

struct stepd_setting accumulate_word(const char *name, const char *text)
{
    return (struct stepd_setting){.name = name, .word = text};
}

void accumulate_setup(struct shard *shard, uint32_t workers, const struct stepd_setting *setting,
                      size_t count)
{
    static const uint64_t four[] = {4};
    const struct stepd_tensor_def tensor = shard_tensor("w", four, 1, 10.0);
    const struct shard_job job = {.mode = STEPD_SYNC,
                                  .settings = {.count = count, .at = setting},
                                  .workers = workers,
                                  .lr = 1.0,
                                  .tensors = 1,
                                  .tensor = &tensor};
    shard_setup(shard, &job);
    for (uint32_t rank = 0; rank < workers; rank++)
        shard_connect(shard, rank, rank);
}

void accumulate_push(struct shard *shard, uint32_t rank, uint64_t clock, uint64_t base,
                     uint64_t examples, const float *grad)
{
    const struct shard_push push = {.id = clock,
                                    .clock = clock,
                                    .base_version = base,
                                    .examples = examples,
                                    .slices = 1,
                                    .grad = grad,
                                    .values = examples > 0 ? 4 : 0,
                                    .step = true};
    shard_push(shard, rank, &push);
}
