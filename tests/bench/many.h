/* SPDX-License-Identifier: Apache-2.0
 *
 * Measuring what it costs that a model has many tensors.
 */
#ifndef BENCH_MANY_H
#define BENCH_MANY_H

#include <stepd/status.h>

#include "tests/bench/report.h"
#include "tests/bench/step.h"

/* Steps of the same elements in 1 to 100,000 tensors. Errors of the daemon and of libstepd. */
enum stepd_status many_measure(const struct step_settings *settings, struct report *report,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
