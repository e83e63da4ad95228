/* SPDX-License-Identifier: Apache-2.0
 *
 * stepd-train compare: one model under several optimizers or learning rates.
 */
#ifndef TRAIN_COMPARE_H
#define TRAIN_COMPARE_H

#include <stdio.h>

#include <stepd/status.h>

#include "client/train/compare_options.h"

/*
 * Checks all runs, trains one after the other, and writes CSV and plot where they are asked for,
 * and the table (or JSON) to `out`. Progress goes to stderr unless it is not wanted. A run that
 * diverges is noted and does not end the comparison.
 * Errors of train_run and of the files; the text begins with the run that is meant.
 */
enum stepd_status compare_run(const struct compare_options *options, FILE *out,
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
