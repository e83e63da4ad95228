/* SPDX-License-Identifier: Apache-2.0
 *
 * Public option structs begin with their size, so that a program built against an older header
 * goes on working when fields are added at the end: what it does not know keeps its default.
 */
#ifndef CLIENT_LIB_CORE_OPTIONS_H
#define CLIENT_LIB_CORE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/*
 * Lays the caller's struct over ours, which holds the defaults. given may be NULL. False: the
 * size is 0, or larger than what this library knows.
 */
static inline bool stepd_options_take(void *ours, size_t our_bytes, const void *given,
                                      size_t given_bytes)
{
    if (given == NULL)
        return true;
    if (given_bytes < sizeof(size_t) || given_bytes > our_bytes)
        return false;
    memcpy(ours, given, given_bytes);
    return true;
}

#endif
