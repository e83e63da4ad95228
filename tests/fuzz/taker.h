/* SPDX-License-Identifier: Apache-2.0
 *
 * An input taken field by field. Behind its end everything is 0, and 0 is chosen to mean what an
 * honest peer would say, so that a short input is as good as a long one and any cut is an input.
 */
#ifndef TESTS_FUZZ_TAKER_H
#define TESTS_FUZZ_TAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/arena.h"
#include "tests/fuzz/fuzz.h"

struct taker {
    const uint8_t *at; /* borrowed */
    size_t left;
};

static inline uint8_t take_byte(struct taker *taker)
{
    if (taker->left == 0)
        return 0;
    taker->left--;
    return *taker->at++;
}

/* Fills n bytes, with zeros behind the input's end. */
static inline void take_bytes(struct taker *taker, void *to, size_t n)
{
    const size_t most = n < taker->left ? n : taker->left;
    memset(to, 0, n);
    if (most > 0)
        memcpy(to, taker->at, most);
    taker->at += most;
    taker->left -= most;
}

static inline uint64_t take_wide(struct taker *taker, size_t bytes)
{
    uint8_t byte[8] = {0};
    uint64_t number = 0;
    take_bytes(taker, byte, bytes);
    for (size_t i = 0; i < bytes; i++)
        number |= (uint64_t)byte[i] << (8 * i);
    return number;
}

/* Small ones are themselves; above them are those at which something ends, and any. */
static inline uint64_t take_number(struct taker *taker)
{
    static const uint64_t edges[] = {
        UINT32_MAX,
        UINT64_MAX,
        INT32_MAX,
        INT64_MAX,
        UINT64_C(1) << 31,
        UINT64_C(1) << 32,
        UINT64_C(1) << 63,
        1000,
        4095,
        4096,
        65535,
        65536,
        262144,
        1048576,
        (1u << 26),
        (1u << 30),
    };
    const uint8_t first = take_byte(taker);
    if (first < 224)
        return first;
    if (first < 240)
        return edges[first - 224];
    return take_wide(taker, (size_t)1 << (first & 3));
}

/* `usual` where nothing is said. */
static inline double take_double(struct taker *taker, double usual)
{
    static const double values[] = {0.0,  1.0,  0.5, 0.9,  0.99,  0.1,  0.01,  1e-3,
                                    1e-8, -1.0, 2.0, 10.0, 100.0, 1e30, 1e300, 5e-324};
    const uint8_t first = take_byte(taker);
    double value = 0.0;
    if (first == 0)
        return usual;
    if (first < 240)
        return first < 17 ? values[first - 1] : (double)(first - 17);
    take_bytes(taker, &value, sizeof value);
    return value;
}

/* One of the words, the first where nothing is said, or any text. */
static inline const char *take_word(struct taker *taker, struct stepd_arena *arena,
                                    const char *const *word, size_t words)
{
    const uint8_t first = take_byte(taker);
    if (first < 250)
        return word[first % words];
    const size_t n = take_byte(taker);
    char *const text = stepd_arena_alloc(arena, n + 1);
    FUZZ_CHECK(text != NULL);
    take_bytes(taker, text, n);
    text[n] = '\0';
    return text;
}

static inline void *take_room(struct stepd_arena *arena, size_t count, size_t size)
{
    void *const room = stepd_arena_calloc(arena, count, size);
    FUZZ_CHECK(room != NULL);
    return room;
}

#endif
