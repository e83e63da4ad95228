/* SPDX-License-Identifier: Apache-2.0
 *
 * Measuring what a checkpoint does to the training beside it, and how fast it is written.
 */
#ifndef BENCH_CHECKPOINT_H
#define BENCH_CHECKPOINT_H

#include <stepd/status.h>

#include "tests/bench/report.h"
#include "tests/bench/step.h"

/* settings->folder: whose disk is written to. Errors of the daemon, the disk and of libstepd. */
enum stepd_status checkpoint_measure(const struct step_settings *settings, struct report *report,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
