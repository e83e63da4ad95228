/* SPDX-License-Identifier: Apache-2.0
 *
 * Chance from the system. The client's core never asks for it: it is given numbers.
 */
#ifndef CLIENT_LIB_NET_CHANCE_H
#define CLIENT_LIB_NET_CHANCE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/random.h>

#include "client/lib/net/clock.h"

/* Fills n bytes, at most 256. A kernel that has none yet (it is just starting) or is older than
 * getrandom() gives the clock's: no secret, but different in each client. */
static inline void stepd_chance_fill(void *bytes, size_t n)
{
    if (getrandom(bytes, n, GRND_NONBLOCK) == (ssize_t)n)
        return;
    uint64_t state = stepd_clock_ms() ^ (uint64_t)(uintptr_t)bytes;
    for (size_t i = 0; i < n; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        ((uint8_t *)bytes)[i] = (uint8_t)(state >> 56);
    }
}

/* A number from 0 to most. */
static inline uint32_t stepd_chance_below(uint32_t most)
{
    uint64_t wide;
    stepd_chance_fill(&wide, sizeof wide);
    return (uint32_t)(wide % ((uint64_t)most + 1));
}

#endif
