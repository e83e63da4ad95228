/* SPDX-License-Identifier: Apache-2.0
 *
 * One aligned block, which is written whole: so no lane meets a page fault.
 */
#include "tests/bench/arrays.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "proto/error.h"

#define ARRAYS          (4u + BARE_SLOTS_MAX)
#define HUGE_PAGE_BYTES ((size_t)2 << 20)

/* Floats between arrays, over a multiple of a cache line: where arrays are a multiple of 4 KiB
 * apart, loads wait for stores that only seem to be to their place, and a loop takes up to eight
 * times as long. */
#define SKEW 80u

static size_t stride_of(size_t n)
{
    return (n + 15) / 16 * 16 + SKEW;
}

static size_t whole_pages(size_t bytes)
{
    const size_t pages = (bytes + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES;
    return (pages > 0 ? pages : 1) * HUGE_PAGE_BYTES;
}

bool arrays_fit(size_t n)
{
    char line[128];
    unsigned long long available_kib = 0;
    FILE *const in = fopen("/proc/meminfo", "r");
    if (in == NULL)
        return true; /* not known: aligned_alloc will say */
    while (available_kib == 0 && fgets(line, sizeof line, in) != NULL)
        if (strncmp(line, "MemAvailable:", 13) == 0)
            available_kib = strtoull(line + 13, NULL, 10);
    (void)fclose(in);
    return whole_pages(ARRAYS * stride_of(n) * sizeof(float)) / 1024 < available_kib / 4 * 3;
}

enum stepd_status arrays_block(size_t floats, float **ret_block, struct stepd_error *reterr)
{
    const size_t bytes = whole_pages(floats * sizeof(float));
    float *const block = aligned_alloc(HUGE_PAGE_BYTES, bytes);
    if (block == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for %zu floats", floats);
    (void)madvise(block, bytes, MADV_HUGEPAGE); /* without: small pages, for all lanes */
    memset(block, 0, bytes);
    *ret_block = block;
    return STEPD_OK;
}

enum stepd_status arrays_init(size_t n, struct arrays *ret_arrays, struct stepd_error *reterr)
{
    struct arrays arrays = {.n = n};
    const size_t stride = stride_of(n);
    const enum stepd_status status = arrays_block(ARRAYS * stride, &arrays.memory, reterr);
    if (status != STEPD_OK)
        return status;
    arrays.w = arrays.memory;
    arrays.g = arrays.w + stride;
    arrays.from = arrays.g + stride;
    arrays.to = arrays.from + stride;
    for (size_t k = 0; k < BARE_SLOTS_MAX; k++)
        arrays.slots[k] = arrays.to + (1 + k) * stride;
    for (size_t i = 0; i < n; i++) {
        arrays.from[i] = 1.0f;
        arrays.to[i] = 2.0f;
    }
    arrays_reset(&arrays);
    *ret_arrays = arrays;
    return STEPD_OK;
}

void arrays_reset(struct arrays *arrays)
{
    for (size_t i = 0; i < arrays->n; i++) {
        arrays->w[i] = 1.0f;
        arrays->g[i] = 1e-3f * (float)(i % 7);
    }
    for (size_t k = 0; k < BARE_SLOTS_MAX; k++)
        for (size_t i = 0; i < arrays->n; i++)
            arrays->slots[k][i] = 0.0f;
}

size_t arrays_step_bytes(const struct arrays *arrays, size_t slots)
{
    return (3 + 2 * slots) * arrays->n * sizeof(float);
}

void arrays_memcpy(const struct arrays *arrays, size_t bytes)
{
    const size_t array_bytes = arrays->n * sizeof(float);
    for (size_t left = bytes / 2; left > 0;) {
        const size_t now = left < array_bytes ? left : array_bytes;
        memcpy(arrays->to, arrays->from, now);
        __asm__ volatile("" : : "r"(arrays->to) : "memory"); /* somebody may read it: keep it */
        left -= now;
    }
}

void arrays_deinit(struct arrays *arrays)
{
    free(arrays->memory);
    *arrays = (struct arrays){.memory = NULL};
}
