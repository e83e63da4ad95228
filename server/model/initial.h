/* SPDX-License-Identifier: Apache-2.0
 *
 * The first weights of a tensor, as a pure function of (seed, tensor's index, element's index): a
 * counter-based generator, so that no slice, shard or order of work changes a value.
 */
#ifndef MODEL_INITIAL_H
#define MODEL_INITIAL_H

#include <stddef.h>
#include <stdint.h>

#include "proto/message.h"

/*
 * Writes the n first values of a tensor from element `offset` on. For STEPD_INIT_VALUES, whose
 * values a worker sends, writes zeros. Pure; any thread.
 */
void initial_values(const struct stepd_init *init, uint32_t tensor, uint64_t offset, size_t n,
                    float *values);

#endif
