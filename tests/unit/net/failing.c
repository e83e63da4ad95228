/* SPDX-License-Identifier: Apache-2.0
 *
 * The linker puts the __wrap functions in the place of the real ones, so the countdown has to be
 * global.
 */
#include "tests/unit/net/failing.h"

#include <stdbool.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static size_t allocations_left = FAILING_NEVER;

void failing_after(size_t allocations)
{
    allocations_left = allocations;
}

static bool fails(void)
{
    if (allocations_left == 0)
        return true;
    if (allocations_left != FAILING_NEVER)
        allocations_left--;
    return false;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}
