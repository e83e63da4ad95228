/* SPDX-License-Identifier: Apache-2.0
 *
 * Arithmetic on sizes that came from somebody else. Every sum and product of a remote number goes
 * through these; they return false where the result would not fit; *ret_result is then meaningless.
 */
#ifndef PROTO_BYTES_H
#define PROTO_BYTES_H

#include <stdbool.h>
#include <stdint.h>

static inline bool stepd_bytes_add(uint64_t a, uint64_t b, uint64_t *ret_result)
{
    return !__builtin_add_overflow(a, b, ret_result);
}

static inline bool stepd_bytes_mul(uint64_t a, uint64_t b, uint64_t *ret_result)
{
    return !__builtin_mul_overflow(a, b, ret_result);
}

#endif
