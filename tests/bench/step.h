/* SPDX-License-Identifier: Apache-2.0
 *
 * Measuring pushes, pulls and steps of one worker: libstepd and stepd against a bare program that
 * does the same.
 */
#ifndef BENCH_STEP_H
#define BENCH_STEP_H

#include <stdbool.h>
#include <stddef.h>

#include <stepd/status.h>

#include "tests/bench/report.h"

struct step_settings {
    const char *daemon; /* path of the stepd binary */
    const char *optimizer;
    bool quick;   /* small sizes and few rounds, to see that it works */
    size_t bytes; /* of the one size that pushes, pulls and steps have; 0: the section's own */
    const char *folder; /* on the disk that checkpoints go to */
};

/* Each is a section. Errors of the daemon, of the bare peer and of libstepd, with a text for
 * people. */
enum stepd_status push_measure(const struct step_settings *settings, struct report *report,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;
enum stepd_status receive_measure(const struct step_settings *settings, struct report *report,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;
enum stepd_status pull_measure(const struct step_settings *settings, struct report *report,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;
enum stepd_status step_measure(const struct step_settings *settings, struct report *report,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The smallest steps, against a bare echo: both sides sleep, or both poll. */
enum stepd_status latency_measure(const struct step_settings *settings, struct report *report,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;
enum stepd_status polling_measure(const struct step_settings *settings, struct report *report,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
