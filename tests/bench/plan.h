/* SPDX-License-Identifier: Apache-2.0
 *
 * What a daemon says that a job will take.
 */
#ifndef BENCH_PLAN_H
#define BENCH_PLAN_H

#include <stdint.h>

#include <stepd/client.h>

/* Bytes of the plan of a job that is open (JobStatus.memory_bytes). Errors of libstepd. */
enum stepd_status plan_ask(struct stepd_client *client, const char *job, uint64_t *ret_bytes,
                           struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
