/* SPDX-License-Identifier: Apache-2.0
 *
 * Training as one worker: the loop, from loading the data to the last evaluation.
 */
#ifndef TRAIN_TRAIN_H
#define TRAIN_TRAIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <stepd/status.h>

#include "client/train/curve.h"
#include "client/train/dataset.h"
#include "client/train/home.h"
#include "client/train/options.h"
#include "client/train/pace.h"

/* What one worker is to do. Borrowed until train_run returns, except for the home. */
struct train_task {
    const struct train_options *options;
    const struct train_data *data;  /* rank 0 needs the test part */
    struct home *home;              /* has joined the job, which train_run defines; destroyed before
                                     * it returns in any case, since it may be in the middle of a
                                     * step */
    const atomic_bool *stop;        /* true: leave before the next step; NULL: never */
    const struct pace_clock *clock; /* NULL: this machine's */
    const char *title;              /* in front of each line of progress; "": nothing */
    bool rehearse;                  /* no more than finding out whether it could begin: define the
                                     * job, and ask for its weights */
};

struct train_result {
    uint32_t rank;
    uint64_t steps;        /* taken by this worker in this run */
    uint64_t examples;     /* of these, this worker's */
    uint64_t examples_all; /* of these, all workers' as the steps deal them out */
    uint64_t parameters;   /* of the model */
    double seconds;        /* from the first weights to the last step */
    double computing;      /* of these, in the passes over the model */
    double waiting;        /* of these, for weights */
    double computing_cpu;  /* seconds that a processor worked on the passes */
    double cpu;            /* the same on everything that this process did meanwhile */
    double train_loss;     /* smoothed, of this worker; NAN: it saw no example */
    bool tested;           /* the two below are measured, which rank 0 does */
    double test_loss;
    double test_accuracy; /* 0 to 1 */
    uint64_t diverged_at; /* the step whose loss or gradient is NaN or infinite; 0: none */
    struct curve curve;   /* of this worker's finite losses; caller ends it with curve_close */
};

/*
 * Trains to the end and leaves the job. Progress goes to stderr unless options->quiet. In sync mode
 * the job's version says which step comes next, so a worker that joins a running job takes its part
 * of what is left; one that finds nothing left succeeds with 0 steps. So does, in the other modes,
 * one of a job whose steps are shared (options->share); where several workers share them, up to one
 * less than there are workers are taken beyond the job's. Training that diverges ends there, with a
 * result, and the worker leaves, so that no other one waits for it. Errors of the model, the home
 * and the output files; the text begins with what was being done
 * ("push: ...").
 */
enum stepd_status train_run(const struct train_task *task, struct train_result *ret_result,
                            struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
