/* SPDX-License-Identifier: Apache-2.0
 *
 * Training as one worker: the loop, from loading the data to the last evaluation.
 */
#ifndef TRAIN_TRAIN_H
#define TRAIN_TRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include <stepd/status.h>

#include "client/train/home.h"
#include "client/train/options.h"

struct train_result {
    uint32_t rank;
    uint64_t steps;        /* taken by this worker in this run */
    uint64_t examples;     /* of these, this worker's */
    uint64_t examples_all; /* of these, all workers' as the steps deal them out */
    uint64_t parameters;   /* of the model */
    double seconds;        /* from the first weights to the last step */
    double train_loss;     /* smoothed, of this worker; NAN: it saw no example */
    bool tested;           /* the two below are measured, which rank 0 does */
    double test_loss;
    double test_accuracy; /* 0 to 1 */
};

/*
 * Trains to the end and leaves the job. home: has joined the job, which is defined here; destroyed
 * before return in any case, since it may be in the middle of a step. Progress goes to stderr
 * unless options->quiet. In sync mode the job's version says which step comes next, so a worker
 * that joins a running job takes its part of what is left; one that finds nothing left succeeds
 * with 0 steps.
 * Errors of the data set, the model, the home and the output files; the text begins with what was
 * being done ("push: ...").
 */
enum stepd_status train_run(const struct train_options *options, struct home *home,
                            struct train_result *ret_result,
                            struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
