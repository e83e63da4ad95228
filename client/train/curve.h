/* SPDX-License-Identifier: Apache-2.0
 *
 * The loss of a run, step by step: kept for the plot, and written to a CSV file as it comes, so
 * that `tail -f` works and a run that dies leaves what it had.
 */
#ifndef TRAIN_CURVE_H
#define TRAIN_CURVE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <stepd/status.h>

struct curve_point {
    uint64_t step;     /* 1 is the first */
    uint64_t epoch;    /* 1 is the first */
    double loss;       /* this worker's, mean over its examples */
    uint64_t examples; /* this worker's in this step */
    double seconds;    /* since training began */
};

struct curve {
    size_t count;
    size_t capacity;
    struct curve_point *points; /* (count,), owned */
    FILE *csv;                  /* owned; NULL: no file */
    const char *csv_path;       /* borrowed until curve_close */
};

/*
 * Starts an empty curve, and the file where csv_path is not NULL. Ended with curve_close.
 * FAILED_PRECONDITION: the file cannot be written.
 */
enum stepd_status curve_open(const char *csv_path, struct curve *ret_curve,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

/* RESOURCE_EXHAUSTED: no memory. FAILED_PRECONDITION: the file cannot be written. */
enum stepd_status curve_append(struct curve *curve, const struct curve_point *point,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Forgets the points behind a step, which are to be made again; the file keeps its lines. */
void curve_cut(struct curve *curve, uint64_t step);

/* Closes the file and gives the points away; the curve is empty then. *returned: caller frees with
 * curve_close. */
struct curve curve_take(struct curve *curve);

/* Frees the points and closes the file. A zeroed struct is fine. */
void curve_close(struct curve *curve);

/*
 * An exponentially weighted mean of what was added, each point weighing 0.95 of the next. Starts as
 * {0}; the mean is meaningful where the weight is not 0. It does not lag behind at the start, since
 * it divides by the weights so far (as Adam's bias correction does).
 */
struct curve_mean {
    double mean;
    double weight;
};

void curve_mean_add(struct curve_mean *mean, double value);

#endif
