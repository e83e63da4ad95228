/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists of plain values in messages. Borrowed from wherever the message lives.
 */
#ifndef PROTO_LISTS_H
#define PROTO_LISTS_H

#include <stddef.h>
#include <stdint.h>

struct stepd_u32s {
    size_t count;
    const uint32_t *at;
};

struct stepd_u64s {
    size_t count;
    const uint64_t *at;
};

struct stepd_bytes {
    size_t count;
    const uint8_t *at;
};

#endif
