/* SPDX-License-Identifier: Apache-2.0
 *
 * The monotonic clock, in milliseconds. The client's core never reads it: it is told the time.
 */
#ifndef CLIENT_LIB_NET_CLOCK_H
#define CLIENT_LIB_NET_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t stepd_clock_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

#endif
