/* SPDX-License-Identifier: Apache-2.0
 *
 * Places in memory that a shard shares with a worker on its host: each slice has its own, from a
 * page on, so that a client may map what lies in it by itself.
 */
#ifndef PROTO_PLACE_H
#define PROTO_PLACE_H

#include <stdint.h>

#define STEPD_PLACE_BYTES 4096u

/* What the place of so many floats takes: whole pages. */
static inline uint64_t stepd_place_bytes(uint64_t floats)
{
    const uint64_t bytes = floats * sizeof(float);
    return (bytes + STEPD_PLACE_BYTES - 1) / STEPD_PLACE_BYTES * STEPD_PLACE_BYTES;
}

#endif
