/* SPDX-License-Identifier: Apache-2.0
 *
 * The arena is a chain of blocks, the newest first. An allocation is carved off the newest block;
 * where it does not fit, a block of twice the size is put in front. What stays unused at the end
 * of a block is lost until the reset, so the memory behind an arena is at most about twice its cap.
 *
 * The cap is checked before the system is asked for anything: a message that wants more than its
 * share is refused by arithmetic alone. A reset returns all blocks but the oldest, which is small
 * and is all that an ordinary message needs; so a connection that sends ordinary messages calls
 * malloc once in its life.
 */
#include "proto/arena.h"

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"

#define FIRST_BLOCK_BYTES 4000u        /* with its head and malloc's own it stays within a page */
#define BLOCK_BYTES_MAX   (256u << 10) /* blocks stop doubling here */

struct stepd_arena_block {
    struct stepd_arena_block *older; /* owned */
    size_t size;                     /* bytes behind this head */
    size_t used;                     /* of them given out; a multiple of the alignment */
    max_align_t bytes[];
};

/* size rounded up to whole units of alignment, at least one; 0 if there is no such number. */
static size_t round_up(size_t size)
{
    const size_t unit = alignof(max_align_t);
    if (size == 0)
        return unit;
    if (size > SIZE_MAX - unit)
        return 0;
    return (size + unit - 1) / unit * unit;
}

/* Puts a block in front that has room for `needed`. False without memory. */
static bool grow(struct stepd_arena *arena, size_t needed)
{
    size_t size = round_up(FIRST_BLOCK_BYTES);
    if (arena->newest != NULL)
        size = arena->newest->size * 2;
    if (size > BLOCK_BYTES_MAX)
        size = BLOCK_BYTES_MAX;
    if (size < needed)
        size = needed;
    if (size > SIZE_MAX - sizeof(struct stepd_arena_block))
        return false;
    struct stepd_arena_block *block = malloc(sizeof *block + size);
    if (block == NULL)
        return false;
    *block = (struct stepd_arena_block){.older = arena->newest, .size = size};
    arena->newest = block;
    return true;
}

void stepd_arena_init(struct stepd_arena *arena, size_t cap)
{
    *arena = (struct stepd_arena){.cap = cap};
}

void stepd_arena_deinit(struct stepd_arena *arena)
{
    stepd_arena_reset(arena);
    free(arena->newest);
    arena->newest = NULL;
}

void stepd_arena_reset(struct stepd_arena *arena)
{
    arena->used = 0;
    if (arena->newest == NULL)
        return;
    while (arena->newest->older != NULL) {
        struct stepd_arena_block *block = arena->newest;
        arena->newest = block->older;
        free(block);
    }
    arena->newest->used = 0;
}

void *stepd_arena_alloc(struct stepd_arena *arena, size_t size)
{
    const size_t needed = round_up(size);
    if (needed == 0 || needed > arena->cap - arena->used)
        return NULL;
    const struct stepd_arena_block *newest = arena->newest;
    if ((newest == NULL || newest->size - newest->used < needed) && !grow(arena, needed))
        return NULL;
    struct stepd_arena_block *block = arena->newest;
    void *given = (unsigned char *)block->bytes + block->used;
    block->used += needed;
    arena->used += needed;
    return given;
}

void *stepd_arena_calloc(struct stepd_arena *arena, size_t count, size_t size)
{
    uint64_t bytes;
    if (!stepd_bytes_mul(count, size, &bytes) || bytes > SIZE_MAX)
        return NULL;
    void *given = stepd_arena_alloc(arena, (size_t)bytes);
    if (given != NULL)
        memset(given, 0, (size_t)bytes);
    return given;
}
