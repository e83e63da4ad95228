/* SPDX-License-Identifier: Apache-2.0
 *
 * Growing an array: doubles its room until `needed` items fit. Used as
 *
 *     struct item *const grown = stepd_grow(list->at, &list->room, list->count + 1, sizeof *grown);
 *     if (grown == NULL)
 *         return ...; // the old array is untouched
 *     list->at = grown;
 */
#ifndef CLIENT_LIB_CORE_GROW_H
#define CLIENT_LIB_CORE_GROW_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "proto/bytes.h"

static inline void *stepd_grow(void *array, size_t *room, size_t needed, size_t item_bytes)
{
    if (array != NULL && needed <= *room)
        return array;
    uint64_t bytes;
    size_t wanted = *room < 8 ? 8 : *room;
    while (wanted < needed) {
        if (wanted > SIZE_MAX / 2)
            return NULL;
        wanted *= 2;
    }
    if (!stepd_bytes_mul(wanted, item_bytes, &bytes) || bytes > PTRDIFF_MAX)
        return NULL;
    void *const grown = realloc(array, (size_t)bytes);
    if (grown != NULL)
        *room = wanted;
    return grown;
}

#endif
