/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables of optimizers and schedules as lines of text, for scripts that must miss no row.
 */
#ifndef TORCH_DRIVER_LIST_H
#define TORCH_DRIVER_LIST_H

#include <stdbool.h>
#include <stdio.h>

/*
 * Writes, for each row of the table of optimizers, and for each kind of schedule,
 *
 *     optimizer NAME SCOPE                SCOPE: element, tensor or group
 *     hyper NAME DEFAULT [LEAST MOST]     for each of its hyperparameters; ( and ) for an end that
 *                                         is not of the range itself
 *     hyper NAME DEFAULT WORD...          where it is a word, which
 *     schedule NAME
 *     param NAME DEFAULT ...              as above; DEFAULT is `needed` where there is none
 *
 * False: the stream takes no more.
 */
bool driver_list(FILE *stream);

#endif
