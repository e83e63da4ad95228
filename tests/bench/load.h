/* SPDX-License-Identifier: Apache-2.0
 *
 * Measuring several workers at once, and a daemon of several shards.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stepd/status.h>

#include "tests/bench/report.h"
#include "tests/bench/step.h"

/* Each is a section. Errors of the daemon and of libstepd, with a text for people. */
enum stepd_status workers_measure(const struct step_settings *settings, struct report *report,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;
enum stepd_status shards_measure(const struct step_settings *settings, struct report *report,
                                 struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
