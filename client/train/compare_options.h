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

#include "client/train/mode.h"
#include "client/train/options.h"
#include "client/train/recipe.h"

#define COMPARE_RUNS_MAX    32u
#define COMPARE_WORKERS_MAX 64u
#define COMPARE_TEXT_BYTES  (RECIPE_TEXT_BYTES + TRAIN_MODE_TEXT_BYTES + 2u)

/* A run, or several, as they were asked for. */
struct compare_wish {
    const char *text; /* borrowed from the command line */
    size_t length;    /* of a name alone; 0: the text is a whole recipe */
};

/* What one run has for itself. */
struct compare_job {
    struct train_recipe recipe;
    struct train_mode mode;
};

struct compare_options {
    struct train_options base; /* of every run; server NULL: one of our own is started */
    size_t wishes;
    struct compare_wish wish[COMPARE_RUNS_MAX];
    const char *lrs;       /* numbers with ',' between them, one run for each; NULL: none */
    const char *mode_list; /* modes with ',' between them, one run for each; NULL: that of base */
    bool log_scale;
    bool by_time; /* draw the loss over seconds */
    size_t modes; /* at least 1 */
    struct train_mode mode[COMPARE_RUNS_MAX];
    size_t runs; /* a multiple of modes: each recipe in all modes, then the next recipe */
    struct compare_job run[COMPARE_RUNS_MAX];
};

/*
 * Reads argv, whose first word is the command's name, and the environment, both borrowed as long
 * as *ret_options is used. Where base.help is set the rest is not meant to be used.
 * INVALID_ARGUMENT: the text names the flag. Optimizers and hyperparameters are not looked up.
 */
enum stepd_status compare_options_parse(int argc, char *const *argv, char *const *environment,
                                        struct compare_options *ret_options,
                                        struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Writes what distinguishes a run from the others: recipe, mode, or "adam, bounded staleness=8",
 * cut to `size` bytes with their NUL. */
void compare_options_describe(const struct compare_options *options, size_t run, char *text,
                              size_t size);

/* Writes what all flags are, for people. */
void compare_options_print_help(FILE *out);

#endif
