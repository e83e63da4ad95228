/* SPDX-License-Identifier: Apache-2.0
 *
 * All workers of one job, in one process: each is a thread with a home of its own, which with a
 * server means a connection of its own. They share the data.
 */
#ifndef TRAIN_CREW_H
#define TRAIN_CREW_H

#include <stdint.h>

#include <stepd/status.h>

#include "client/train/dataset.h"
#include "client/train/options.h"
#include "client/train/train.h"

/*
 * Runs options->world workers to the end of their job, at options->server or, with options->local,
 * in this process. title: in front of rank 0's progress. All borrowed until return.
 * *ret_result: rank 0's, except that it has diverged where any worker has; caller ends its curve.
 * ret_steps: (world,) how many steps each worker has taken.
 * Errors: those of the worker that failed first, as home_remote_create and train_run; the others
 * are told to stop. RESOURCE_EXHAUSTED: no memory, or no thread.
 */
enum stepd_status crew_run(const struct train_options *options, const struct train_data *data,
                           const char *title, struct train_result *ret_result, uint64_t *ret_steps,
                           struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
