/* SPDX-License-Identifier: Apache-2.0
 *
 * Measuring a training: where the time of a step goes, with and without overlap.
 */
#ifndef BENCH_TRAIN_H
#define BENCH_TRAIN_H

#include <stdbool.h>

#include <stepd/status.h>

#include "tests/bench/report.h"

/* daemon: path of stepd, beside which stepd-train lies. quick: few steps on made-up images. Errors
 * of the daemon and of the workers, with a text for people. */
enum stepd_status train_measure(const char *daemon, const char *optimizer, bool quick,
                                struct report *report, struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
