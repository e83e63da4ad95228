/* SPDX-License-Identifier: Apache-2.0
 *
 * What lists take on the wire, so that a long answer can be cut into frames whose headers stay
 * below STEPD_HEADER_MAX_BYTES. Numbers are counted exactly; texts and messages with the most that
 * their tags and lengths can take.
 */
#ifndef CONTROL_PAGE_H
#define CONTROL_PAGE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The most that a tag and the length behind it take, in a header of 64 KiB and fields below 2048.
 */
#define PAGE_TAG_BYTES ((size_t)5)

/* The most that a tag and a number behind it take. */
#define PAGE_NUMBER_BYTES ((size_t)12)

/* A number in a packed list: 7 bits of it a byte. */
static inline size_t page_varint_bytes(uint64_t number)
{
    size_t bytes = 1;
    for (; number >= 0x80; number >>= 7)
        bytes++;
    return bytes;
}

static inline size_t page_text_bytes(const char *text)
{
    return PAGE_TAG_BYTES + strlen(text);
}

/* A packed list of n numbers of 64 bits, such as a shape. */
static inline size_t page_list_bytes(size_t n, const uint64_t *number)
{
    size_t bytes = PAGE_TAG_BYTES;
    for (size_t i = 0; i < n; i++)
        bytes += page_varint_bytes(number[i]);
    return bytes;
}

#endif
