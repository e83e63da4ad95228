/* SPDX-License-Identifier: Apache-2.0
 *
 * The simulation is one thread. The names are the linker's.
 */
#include "tests/sim/heap.h"

#include <stddef.h>

/* --wrap makes these names. */
/* NOLINTBEGIN(bugprone-reserved-identifier,cert-*,readability-identifier-naming) */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);
void __real_free(void *memory);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
void __wrap_free(void *memory);

static int64_t living;

int64_t heap_living(void)
{
    return living;
}

void *__wrap_malloc(size_t size)
{
    void *const memory = __real_malloc(size);
    living += memory != NULL;
    return memory;
}

void *__wrap_calloc(size_t count, size_t size)
{
    void *const memory = __real_calloc(count, size);
    living += memory != NULL;
    return memory;
}

void *__wrap_realloc(void *old, size_t size)
{
    void *const memory = __real_realloc(old, size);
    living += old == NULL && memory != NULL;
    return memory;
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    void *const memory = __real_aligned_alloc(alignment, size);
    living += memory != NULL;
    return memory;
}

char *__wrap_strdup(const char *text)
{
    char *const copy = __real_strdup(text);
    living += copy != NULL;
    return copy;
}

void __wrap_free(void *memory)
{
    living -= memory != NULL;
    __real_free(memory);
}

/* NOLINTEND(bugprone-reserved-identifier,cert-*,readability-identifier-naming) */
