/* SPDX-License-Identifier: Apache-2.0
 *
 * Measuring what memory a job takes, against what the daemon planned for it.
 */
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

#include <stepd/status.h>

#include "tests/bench/report.h"
#include "tests/bench/step.h"

/* settings->optimizer: MEMORY_ALL, or one. Errors of the daemon and of libstepd. */
#define MEMORY_ALL ""
enum stepd_status memory_measure(const struct step_settings *settings, struct report *report,
                                 struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
