/* SPDX-License-Identifier: Apache-2.0
 *
 * Measuring the steps of optimizers that see a whole tensor, or a whole group, at once.
 */
#ifndef BENCH_WHOLE_H
#define BENCH_WHOLE_H

#include <stdbool.h>
#include <stddef.h>

#include <stepd/status.h>

#include "server/optim/optimizer.h"
#include "tests/bench/report.h"

/* Is there something to measure at this size? Some cost so much that they are measured at their
 * own largest size in place of the sizes above it, which is with the first of them: `first`. */
bool whole_takes(const struct optimizer *optimizer, size_t elements, bool first);

/* Adds one comparison of so many rounds, of so many elements or of the optimizer's own largest size
 * where that is less. optimizer: not of ELEMENT scope. RESOURCE_EXHAUSTED: no memory. */
enum stepd_status whole_measure(const struct optimizer *optimizer, size_t elements, size_t rounds,
                                struct report *report, struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
