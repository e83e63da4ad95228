/* SPDX-License-Identifier: Apache-2.0 */
#include "server/model/first_weights.h"

#include <stdlib.h>

struct first_weights *first_weights_create(size_t tensors)
{
    struct first_weights *const first = calloc(1, sizeof *first);
    float **const values = calloc(tensors + 1, sizeof *values);
    if (first == NULL || values == NULL) {
        free(first);
        free(values);
        return NULL;
    }
    *first = (struct first_weights){.tensors = tensors, .values = values, .refs = 1};
    return first;
}

struct first_weights *first_weights_ref(struct first_weights *first)
{
    (void)__atomic_add_fetch(&first->refs, 1, __ATOMIC_RELAXED);
    return first;
}

struct first_weights *first_weights_unref(struct first_weights *first)
{
    if (first == NULL || __atomic_sub_fetch(&first->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return NULL;
    for (size_t i = 0; i < first->tensors; i++)
        free(first->values[i]);
    free(first->values);
    free(first);
    return NULL;
}
