/* SPDX-License-Identifier: Apache-2.0
 *
 * Measuring what connections cost that do nothing.
 */
#ifndef BENCH_IDLE_H
#define BENCH_IDLE_H

#include <stddef.h>

#include <stepd/status.h>

#include "tests/bench/report.h"
#include "tests/bench/step.h"

/* Two sections: steps of busy workers with and without a thousand idle connections, and the memory
 * that these take. Errors of the daemon, and RESOURCE_EXHAUSTED: the system does not allow so many
 * descriptors. */
enum stepd_status idle_measure(const struct step_settings *settings, struct report *report,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
