/* SPDX-License-Identifier: Apache-2.0
 *
 * See the header.
 */
#include "tests/lib/scarcity.h"

#include <stdbool.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);

static size_t left = SCARCITY_NEVER;
static bool lasts;
static uint64_t had;
static uint64_t had_aligned;

void scarcity_after(size_t allocations)
{
    left = allocations;
    lasts = false;
}

void scarcity_from(size_t allocations)
{
    left = allocations;
    lasts = true;
}

size_t scarcity_left(void)
{
    return left;
}

uint64_t scarcity_had_aligned(void)
{
    return had_aligned;
}

uint64_t scarcity_had_in_all(void)
{
    return had;
}

static bool fails(void)
{
    if (left == SCARCITY_NEVER)
        return false;
    if (left > 0) {
        left--;
        return false;
    }
    left = lasts ? 0 : SCARCITY_NEVER;
    return true;
}

void *__wrap_malloc(size_t size)
{
    if (fails())
        return NULL;
    had += size;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    if (fails())
        return NULL;
    had += size;
    had_aligned += size;
    return __real_aligned_alloc(alignment, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}
