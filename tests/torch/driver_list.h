/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables of optimizers and schedules as lines of text, for scripts that must miss no row.
 */
#ifndef TORCH_DRIVER_LIST_H
#define TORCH_DRIVER_LIST_H

#include <stdbool.h>
#include <stdio.h>

/*
 * Writes, for each row of the table of optimizers,
 *
 *     optimizer NAME SCOPE              SCOPE: element, tensor or group
 *     hyper NAME [DEFAULT WORD...]      for each of its hyperparameters; where it is a word, which
 *
 * and for each kind of schedule `schedule NAME`. False: the stream takes no more.
 */
bool driver_list(FILE *stream);

#endif
