/* SPDX-License-Identifier: Apache-2.0
 *
 * What TLS costs the daemon: processor time for each GB that a worker's steps move.
 */
#ifndef BENCH_TLS_H
#define BENCH_TLS_H

#include "tests/bench/step.h"

/* Two sections. Errors of the daemons and of libstepd; UNAVAILABLE: there is no stepctl beside the
 * daemon to make certificates. Without the program openssl the second has no rows. */
enum stepd_status tls_measure(const struct step_settings *settings, struct report *report,
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
