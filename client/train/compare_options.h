/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line of `stepd-train compare`: the runs, and beside them what all have in common,
 * which is the command line of stepd-train.
 */
#ifndef TRAIN_COMPARE_OPTIONS_H
#define TRAIN_COMPARE_OPTIONS_H

#include <stddef.h>
#include <stdio.h>

#include <stepd/status.h>

#include "client/train/options.h"
#include "client/train/plot.h"

#define COMPARE_RUNS_MAX        PLOT_LINES_MAX
#define COMPARE_LABEL_MAX_BYTES 200u

/* "adam lr=0.001 eps_mode=inside". */
struct compare_run {
    char label[COMPARE_LABEL_MAX_BYTES + 1]; /* the run as it was given */
    char optimizer[STEPD_ARGUMENT_NAME_MAX + 1];
    struct stepd_arguments hyper; /* over those that all have */
};

struct compare_options {
    size_t runs;
    struct compare_run run[COMPARE_RUNS_MAX];
    struct train_options train; /* of all; help is compare's own */
};

/* As options_parse, with argv[0] "compare". INVALID_ARGUMENT also: no run, too many, a run or a
 * learning rate that cannot be read, or a flag that makes no sense for several runs. */
enum stepd_status compare_options_parse(int argc, char *const *argv, char *const *environment,
                                        struct compare_options *ret_options,
                                        struct stepd_error *reterr) STEPD_MUST_CHECK;

/* What a run trains with: `train` with the run's optimizer and hyperparameters, and without files.
 * Borrows options. INVALID_ARGUMENT: too many hyperparameters. */
enum stepd_status compare_options_of_run(const struct compare_options *options, size_t run,
                                         struct train_options *ret_train,
                                         struct stepd_error *reterr) STEPD_MUST_CHECK;

void compare_options_print_help(FILE *out);

#endif
