/* SPDX-License-Identifier: Apache-2.0
 *
 * What `stepd-train compare` was asked to do: the runs, and what they have in common.
 */
#ifndef TRAIN_COMPARE_OPTIONS_H
#define TRAIN_COMPARE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <stepd/status.h>

#include "client/train/options.h"
#include "client/train/recipe.h"

#define COMPARE_RUNS_MAX    32u
#define COMPARE_WORKERS_MAX 64u

/* A run, or several, as they were asked for. */
struct compare_wish {
    const char *text; /* borrowed from the command line */
    size_t length;    /* of a name alone; 0: the text is a whole recipe */
};

struct compare_options {
    struct train_options base; /* of every run; server NULL: one of our own is started */
    size_t wishes;
    struct compare_wish wish[COMPARE_RUNS_MAX];
    const char *lrs; /* numbers with ',' between them, one run for each; NULL: none */
    bool log_scale;
    size_t runs;
    struct train_recipe run[COMPARE_RUNS_MAX];
};

/*
 * Reads argv, whose first word is the command's name, and the environment, both borrowed as long
 * as *ret_options is used. Where base.help is set the rest is not meant to be used.
 * INVALID_ARGUMENT: the text names the flag. Optimizers and hyperparameters are not looked up.
 */
enum stepd_status compare_options_parse(int argc, char *const *argv, char *const *environment,
                                        struct compare_options *ret_options,
                                        struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Writes what all flags are, for people. */
void compare_options_print_help(FILE *out);

#endif
