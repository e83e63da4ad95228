/* SPDX-License-Identifier: Apache-2.0
 *
 * An optimizer of group scope by itself, with its state to look at: for comparisons that begin
 * each step from the same state.
 */
#ifndef TORCH_DRIVER_ROW_H
#define TORCH_DRIVER_ROW_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Steps the optimizer argument[0], whose settings are the other arguments, NAME=NUMBER or
 * NAME=WORD. Input is that of a job (driver.c), but for the two doubles of a step, which are the
 * loss and the learning rate. Output is, as lines of text,
 *
 *     slot NAME FLOATS         for each slot that these settings use
 *     scalars COUNT
 *
 * and an empty one; then, after each step, the weights of all tensors, the slots, and the scalars
 * as doubles. False: complained of.
 */
bool driver_row(size_t arguments, char *const argument[]);

#endif
