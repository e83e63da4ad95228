/* SPDX-License-Identifier: Apache-2.0
 *
 * An array of bytes that grows. A zeroed one is empty.
 */
#ifndef TESTS_SIM_BYTES_H
#define TESTS_SIM_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
    uint8_t *at; /* owned */
    size_t count;
    size_t room;
};

static inline void bytes_append(struct bytes *bytes, const void *from, size_t n)
{
    if (bytes->count + n > bytes->room) {
        bytes->room = (bytes->count + n) * 2;
        bytes->at = realloc(bytes->at, bytes->room);
        if (bytes->at == NULL)
            abort();
    }
    if (n > 0)
        memcpy(bytes->at + bytes->count, from, n);
    bytes->count += n;
}

#endif
