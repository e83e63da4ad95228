/* SPDX-License-Identifier: Apache-2.0
 *
 * A bump allocator with a cap: where one decoded message lives. protobuf-c can blow a hostile
 * header up fifty times; here it runs into the cap and the message is refused. Everything in an
 * arena is released at once by a reset, which keeps the first block for the next message.
 */
#ifndef PROTO_ARENA_H
#define PROTO_ARENA_H

#include <stddef.h>

/* Enough for any honest header: 64 KiB of one-byte varints decode to 512 KiB of uint64. */
#define STEPD_ARENA_MESSAGE_MAX_BYTES (2u << 20)

struct stepd_arena_block;

struct stepd_arena {
    struct stepd_arena_block *newest; /* owned; linked to older blocks */
    size_t used;                      /* bytes given out since the last reset */
    size_t cap;                       /* bytes that may be given out between resets */
};

/* An empty arena that has allocated nothing yet. */
void stepd_arena_init(struct stepd_arena *arena, size_t cap);

/* Releases all memory. The arena may be used again as after init. */
void stepd_arena_deinit(struct stepd_arena *arena);

/* Forgets everything that was given out; pointers into the arena die. */
void stepd_arena_reset(struct stepd_arena *arena);

/* size bytes aligned for any type, or NULL beyond the cap or without memory. size 0 is valid. */
void *stepd_arena_alloc(struct stepd_arena *arena, size_t size);

/* The same for count * size bytes, zeroed, with the product checked. */
void *stepd_arena_calloc(struct stepd_arena *arena, size_t count, size_t size);

#endif
