/* SPDX-License-Identifier: Apache-2.0
 *
 * What the two halves of a trainer share: the loop (trainer.c), and its operations
 * (trainer_steps.c).
 */
#ifndef TESTS_SIM_TRAINER_INTERNAL_H
#define TESTS_SIM_TRAINER_INTERNAL_H

#include "tests/sim/trainer.h"

/* What was under way is over. */
void trainer_end_with(struct trainer *trainer, const struct stepd_error *error);

bool trainer_is_sync(const struct trainer *trainer);

/* The clock of the next push of a slice, as the exchange will choose it. */
uint64_t trainer_next_clock(const struct trainer *trainer, uint32_t slice);

/* Begins an operation with all tensors. */
void trainer_operate(struct trainer *trainer, enum stepd_operation_kind kind, uint64_t min_version);

/* Weights of all slices have come, in one incarnation. */
void trainer_check_weights(struct trainer *trainer);

/* A step that ended well has counted, in the incarnation that it was for. */
void trainer_check_counted(const struct trainer *trainer);

#endif
