/* SPDX-License-Identifier: Apache-2.0
 *
 * Measuring kernels of optimizers against loops over the same memory.
 */
#ifndef BENCH_KERNEL_H
#define BENCH_KERNEL_H

#include <stepd/status.h>

#include "tests/bench/report.h"

#define KERNEL_ALL "all" /* in place of an optimizer's name */

/* quick: small sizes and few rounds, to see that it works. NOT_FOUND: no such optimizer.
 * RESOURCE_EXHAUSTED: no memory. */
enum stepd_status kernel_measure(const char *optimizer, bool quick, struct report *report,
                                 struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
