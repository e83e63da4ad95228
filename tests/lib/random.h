/* SPDX-License-Identifier: Apache-2.0
 *
 * Random numbers for tests that are to be repeated: everything follows from the seed, which a test
 * prints when it fails. SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
 */
#ifndef TESTS_LIB_RANDOM_H
#define TESTS_LIB_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct random {
    uint64_t state; /* the seed at first */
};

static inline uint64_t random_next(struct random *random)
{
    random->state += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t z = random->state;
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* A number in [0, n); n is at least 1. Not quite even, which no test minds. */
static inline uint64_t random_below(struct random *random, uint64_t n)
{
    return random_next(random) % n;
}

/* A number in [least, most]. */
static inline uint64_t random_between(struct random *random, uint64_t least, uint64_t most)
{
    return least + random_below(random, most - least + 1);
}

/* True once in n times. */
static inline bool random_once_in(struct random *random, uint64_t n)
{
    return random_below(random, n) == 0;
}

#endif
