/* SPDX-License-Identifier: Apache-2.0
 *
 * Dealing out examples. The permutation of an epoch is a Feistel network, which is a bijection on
 * 2b-bit numbers whatever its round function is, keyed by seed and epoch. Where the examples are no
 * power of four, numbers that land outside are sent through again until they land inside (cycle
 * walking: Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002, section 3), fewer than
 * four times on average. So a worker computes its own share of any step from nothing, with no table
 * of the whole epoch and no state to lose.
 */
#include "client/train/batch.h"

#include <assert.h>

#define FEISTEL_ROUNDS 6u

uint64_t batch_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* Half the bits of the smallest even number of bits that holds n numbers. */
static unsigned half_bits(uint32_t n)
{
    unsigned bits = 1;
    while (bits < 16 && (UINT64_C(1) << (2 * bits)) < n)
        bits++;
    return bits;
}

static uint32_t feistel(uint64_t key, unsigned half, uint32_t x)
{
    const uint32_t mask = (UINT32_C(1) << half) - 1;
    uint32_t left = x >> half;
    uint32_t right = x & mask;
    for (uint64_t round = 0; round < FEISTEL_ROUNDS; round++) {
        const uint32_t next =
            left ^ ((uint32_t)batch_mix(key ^ batch_mix(round << 32 | right)) & mask);
        left = right;
        right = next;
    }
    return left << half | right;
}

uint32_t batch_permute(uint64_t key, uint32_t n, uint32_t index)
{
    assert(index < n);
    const unsigned half = half_bits(n);
    uint32_t x = index;
    do {
        x = feistel(key, half, x);
    } while (x >= n);
    return x;
}

/* Examples of one full global batch. */
static uint64_t global_size(const struct batch_plan *plan)
{
    uint64_t sum = 0;
    for (uint32_t rank = 0; rank < plan->world; rank++)
        sum += plan->sizes[rank];
    return sum;
}

uint64_t batch_steps_per_epoch(const struct batch_plan *plan)
{
    const uint64_t global = global_size(plan);
    return (plan->examples + global - 1) / global;
}

uint64_t batch_examples(const struct batch_plan *plan, uint64_t step)
{
    const uint64_t global = global_size(plan);
    const uint64_t left = plan->examples - step % batch_steps_per_epoch(plan) * global;
    return left < global ? left : global;
}

size_t batch_rows(const struct batch_plan *plan, uint64_t step, uint32_t rank, uint32_t *rows)
{
    assert(rank < plan->world);
    const uint64_t global = global_size(plan);
    const uint64_t per_epoch = batch_steps_per_epoch(plan);
    const uint64_t epoch = step / per_epoch;
    const uint64_t first = step % per_epoch * global;
    const uint64_t here = batch_examples(plan, step);

    uint64_t before = 0; /* of a full batch, what the ranks below take */
    for (uint32_t r = 0; r < rank; r++)
        before += plan->sizes[r];
    const uint64_t begin = first + here * before / global;
    const uint64_t end = first + here * (before + plan->sizes[rank]) / global;

    const uint64_t key = batch_mix(plan->seed ^ batch_mix(epoch));
    for (uint64_t i = begin; i < end; i++)
        rows[i - begin] = batch_permute(key, plan->examples, (uint32_t)i);
    return (size_t)(end - begin);
}
