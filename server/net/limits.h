/* SPDX-License-Identifier: Apache-2.0
 *
 * What the system allows this process, against what the daemon was told to do.
 */
#ifndef NET_LIMITS_H
#define NET_LIMITS_H

#include <stdint.h>

#include <stepd/status.h>

/*
 * Raises the limit of open descriptors to what the system allows at most, and checks that it is
 * enough for so many connections and shards; *ret_spare is what is left beside.
 * FAILED_PRECONDITION: it is not enough; the text has the numbers. One thread, before others start.
 */
enum stepd_status limits_raise_descriptors(uint32_t connections_max, uint32_t shards,
                                           uint64_t *ret_spare,
                                           struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
