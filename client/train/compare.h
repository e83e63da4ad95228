/* SPDX-License-Identifier: Apache-2.0
 *
 * stepd-train compare: one model under several optimizers, learning rates or modes. Every run is a
 * job of its own; first weights, examples and their order are the same in all of them.
 */
#ifndef TRAIN_COMPARE_H
#define TRAIN_COMPARE_H

#include <stdio.h>

#include <stepd/status.h>

#include "client/train/compare_options.h"

/*
 * Checks every run, trains them one after another, and writes the CSV file and the picture, which
 * both grow with each run, and in the end the table, or JSON, to `out`. Progress goes to stderr
 * unless base.quiet. A run that diverges is marked as such, and the comparison goes on; any other
 * failure ends it, with what was done before in the files.
 * INVALID_ARGUMENT, before any training: a run cannot be defined; the text names it. Otherwise as
 * train_data_load, daemon_start and crew_run, and FAILED_PRECONDITION: a file cannot be written.
 */
enum stepd_status compare_run(const struct compare_options *options, FILE *out,
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
