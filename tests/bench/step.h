/* SPDX-License-Identifier: Apache-2.0
 *
 * Measuring steps over a socket: libstepd and stepd against a bare program with the same bytes.
 */
#ifndef BENCH_STEP_H
#define BENCH_STEP_H

#include <stepd/status.h>

#include "tests/bench/report.h"

struct step_settings {
    const char *daemon; /* path of the stepd binary */
    const char *optimizer;
    bool quick; /* small sizes and few rounds, to see that it works */
};

/* Errors of the daemon, of the bare peer and of libstepd, with a text for people. */
/* Steps of all sizes. */
enum stepd_status step_measure(const struct step_settings *settings, struct report *report,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The smallest steps, against a bare echo. */
enum stepd_status latency_measure(const struct step_settings *settings, struct report *report,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
