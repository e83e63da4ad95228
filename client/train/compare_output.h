/* SPDX-License-Identifier: Apache-2.0
 *
 * What a comparison leaves: the CSV file, the picture, the table, or the same as JSON.
 */
#ifndef TRAIN_COMPARE_OUTPUT_H
#define TRAIN_COMPARE_OUTPUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <stepd/status.h>

#include "client/train/compare_options.h"
#include "client/train/train.h"

/* A run that has come to its end. */
struct compare_entry {
    const struct compare_job *job;
    struct train_result result;
    uint64_t steps[COMPARE_WORKERS_MAX]; /* (world,) of each worker */
};

/* The runs so far; the number of a run is its place in the list, from 1. */
struct comparison {
    const struct compare_options *options; /* borrowed */
    size_t count;
    struct compare_entry entry[COMPARE_RUNS_MAX];
};

/* Begins the CSV file: the names of its columns. FAILED_PRECONDITION: not writable. */
enum stepd_status compare_csv_begin(FILE *csv, const char *path,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Appends the newest run, a line for each step. FAILED_PRECONDITION: not writable. */
enum stepd_status compare_csv_append(FILE *csv, const char *path,
                                     const struct comparison *comparison,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Draws all runs so far, the best first in the legend. FAILED_PRECONDITION: not writable. */
enum stepd_status compare_plot(const char *path, const struct comparison *comparison,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The places of all runs, the best test accuracy first, those that diverged last. */
void compare_rank(const struct comparison *comparison, size_t order[COMPARE_RUNS_MAX]);

/* How many times less time a run has taken than the same recipe in the first mode. NAN: one of the
 * two has diverged. */
double compare_gain(const struct comparison *comparison, size_t run);

/* Writes the table for people, in that order; where there are several modes with mode and gain. */
void compare_print_table(FILE *out, const struct comparison *comparison);

/* Writes the same as one line of JSON. */
void compare_print_json(FILE *out, const struct comparison *comparison);

#endif
