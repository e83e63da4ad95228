/* SPDX-License-Identifier: Apache-2.0
 *
 * Workers that do nothing but step a small tensor, one after the other, hundreds of them in one
 * thread: each sends its next step when its last one has been answered.
 */
#ifndef BENCH_BUSY_H
#define BENCH_BUSY_H

#include <stddef.h>

#include <stepd/status.h>

#include "tests/bench/samples.h"

struct busy;

/* Defines an async job with a tensor of 64 bytes at the address ("unix:/path" or "a.b.c.d:port")
 * and joins it with so many workers. *ret_busy: caller frees with busy_close. Errors of the daemon,
 * and RESOURCE_EXHAUSTED: no memory. */
enum stepd_status busy_open(const char *address, const char *optimizer, size_t workers,
                            struct busy **ret_busy, struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Ends their connections. NULL is fine. Returns NULL. */
struct busy *busy_close(struct busy *busy);

/* Lets them step for so long, and adds the times of some of the steps, from sending to answer;
 * samples may be NULL. Errors of the daemon. */
enum stepd_status busy_run(struct busy *busy, double seconds, struct samples *samples,
                           struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
