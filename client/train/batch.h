/* SPDX-License-Identifier: Apache-2.0
 *
 * Which examples a worker computes in which step: a pure function of the seed, the step and the
 * rank. Workers agree on it without talking, one that comes back knows where the others are, and
 * the same command trains on the same numbers in the same order on any machine.
 *
 * An epoch is a permutation of all examples, cut into global batches; rank r takes the part of each
 * that its own batch size asks for. The last batch of an epoch is what is left, split in the same
 * proportion, so the numbers of examples may differ between ranks, and some may be 0.
 */
#ifndef TRAIN_BATCH_H
#define TRAIN_BATCH_H

#include <stddef.h>
#include <stdint.h>

/* How a training set is dealt out. All ranks must hold the same plan. */
struct batch_plan {
    uint64_t seed;
    uint32_t examples;     /* N, at least 1 */
    uint32_t world;        /* ranks, at least 1 */
    const uint32_t *sizes; /* (world,) full batch of each rank; their sum is at least 1; borrowed */
};

/* Steps of one epoch, at least 1. */
uint64_t batch_steps_per_epoch(const struct batch_plan *plan);

/* Examples of all ranks together in `step` (0 first): the sum of sizes, or what is left of the
 * epoch. */
uint64_t batch_examples(const struct batch_plan *plan, uint64_t step);

/*
 * The examples of `rank` in `step` (0 first). rows: room for plan->sizes[rank] numbers, each
 * written below plan->examples. Returns how many; may be 0.
 */
size_t batch_rows(const struct batch_plan *plan, uint64_t step, uint32_t rank, uint32_t *rows);

/* Where position `index` of an epoch's permutation of n leads; index < n. A bijection on [0, n). */
uint32_t batch_permute(uint64_t key, uint32_t n, uint32_t index);

/* The SplitMix64 generator's output function: mixes 64 bits. For deriving seeds from seeds. */
uint64_t batch_mix(uint64_t x);

#endif
