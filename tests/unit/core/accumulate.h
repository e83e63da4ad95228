/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of accumulation train: one tensor of four weights that start at 10, with plain sgd
 * and a learning rate of 1.
 */
#ifndef TESTS_UNIT_CORE_ACCUMULATE_H
#define TESTS_UNIT_CORE_ACCUMULATE_H

#include "tests/lib/shard.h"

struct stepd_setting accumulate_number(const char *name, const double *value);
struct stepd_setting accumulate_word(const char *name, const char *text);

/* With these settings; each worker is connected as the peer of its rank. */
void accumulate_setup(struct shard *shard, uint32_t workers, const struct stepd_setting *setting,
                      size_t count);

/* A Step of four elements, or of no examples. */
void accumulate_push(struct shard *shard, uint32_t rank, uint64_t clock, uint64_t base,
                     uint64_t examples, const float *grad);

#endif
