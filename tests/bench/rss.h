/* SPDX-License-Identifier: Apache-2.0
 *
 * What memory a process holds.
 */
#ifndef BENCH_RSS_H
#define BENCH_RSS_H

#include <stdint.h>
#include <sys/types.h>

#include <stepd/status.h>

/* Bytes of the process that are in memory now (VmRSS). UNAVAILABLE: there is no such process. */
enum stepd_status rss_read(pid_t pid, int64_t *ret_bytes,
                           struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The most that it has held so far (VmHWM); where the kernel does not say, what it holds now. As
 * above. */
enum stepd_status rss_read_peak(pid_t pid, int64_t *ret_bytes,
                                struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
