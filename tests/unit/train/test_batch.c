/* SPDX-License-Identifier: Apache-2.0
 *
 * Dealing out examples: over an epoch every example comes once, whatever the sizes; the ranks'
 * shares are what was asked for, or in proportion where the epoch ends; and all of it is a function
 * of the seed and the step.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/train/batch.h"

#define EXAMPLES_MOST 3000u
#define BATCH_MOST    512u

static const uint32_t even[] = {16, 16, 16, 16};
static const uint32_t uneven[] = {64, 0, 128, 17};
static const uint32_t alone[] = {100};

static const struct batch_plan plans[] = {
    {.seed = 1, .examples = 3000, .world = 4, .sizes = even},
    {.seed = 2, .examples = 2999, .world = 4, .sizes = uneven},
    {.seed = 3, .examples = 1000, .world = 1, .sizes = alone},
    {.seed = 4, .examples = 64, .world = 4, .sizes = even},
    {.seed = 5, .examples = 3, .world = 4, .sizes = even},
    {.seed = 6, .examples = 1, .world = 1, .sizes = alone},
};

#define PLANS (sizeof plans / sizeof plans[0])

/* Counts how often each example comes in an epoch. */
static void count_epoch(const struct batch_plan *plan, uint64_t epoch, uint8_t *times)
{
    const uint64_t per_epoch = batch_steps_per_epoch(plan);
    memset(times, 0, EXAMPLES_MOST);
    for (uint64_t step = epoch * per_epoch; step < (epoch + 1) * per_epoch; step++)
        for (uint32_t rank = 0; rank < plan->world; rank++) {
            uint32_t rows[BATCH_MOST];
            const size_t count = batch_rows(plan, step, rank, rows);
            assert_true(count <= plan->sizes[rank]);
            for (size_t i = 0; i < count; i++) {
                assert_true(rows[i] < plan->examples);
                times[rows[i]]++;
            }
        }
}

static void batch_rows__over_any_epoch__deals_every_example_once(void **state)
{
    (void)state;
    for (size_t p = 0; p < PLANS; p++)
        for (uint64_t epoch = 0; epoch < 3; epoch++) {
            uint8_t times[EXAMPLES_MOST];
            count_epoch(&plans[p], epoch, times);
            for (uint32_t i = 0; i < plans[p].examples; i++)
                assert_int_equal(times[i], 1);
        }
}

static void batch_rows__full_batch__gives_each_rank_its_size(void **state)
{
    (void)state;
    uint32_t rows[BATCH_MOST];
    for (uint32_t rank = 0; rank < 4; rank++) {
        assert_int_equal(batch_rows(&plans[0], 7, rank, rows), even[rank]);
        assert_int_equal(batch_rows(&plans[1], 7, rank, rows), uneven[rank]);
    }
}

static void batch_rows__end_of_epoch__splits_as_evenly_as_possible(void **state)
{
    (void)state;
    const struct batch_plan *const plan = &plans[0]; /* 3000 = 46 * 64 + 56 */
    const uint64_t last = batch_steps_per_epoch(plan) - 1;
    uint32_t rows[BATCH_MOST];
    for (uint32_t rank = 0; rank < 4; rank++)
        assert_int_equal(batch_rows(plan, last, rank, rows), 14);
    /* 3 examples over 4 ranks: one rank has none */
    size_t sum = 0;
    for (uint32_t rank = 0; rank < 4; rank++) {
        const size_t count = batch_rows(&plans[4], 0, rank, rows);
        assert_true(count <= 1);
        sum += count;
    }
    assert_int_equal(sum, 3);
}

static void batch_examples__any_step__is_the_sum_of_the_shares(void **state)
{
    (void)state;
    for (size_t p = 0; p < PLANS; p++)
        for (uint64_t step = 0; step < 2 * batch_steps_per_epoch(&plans[p]); step++) {
            uint32_t rows[BATCH_MOST];
            uint64_t sum = 0;
            for (uint32_t rank = 0; rank < plans[p].world; rank++)
                sum += batch_rows(&plans[p], step, rank, rows);
            assert_int_equal(batch_examples(&plans[p], step), sum);
        }
}

static void batch_rows__same_step__is_the_same_again(void **state)
{
    (void)state;
    uint32_t first[BATCH_MOST];
    uint32_t again[BATCH_MOST];
    const size_t count = batch_rows(&plans[1], 123456789, 2, first);
    assert_true(count > 0);
    assert_int_equal(batch_rows(&plans[1], 123456789, 2, again), count);
    assert_memory_equal(first, again, count * sizeof first[0]);
}

/* How many of the first batch of two plans or epochs are at the same place; by chance about 0. */
static size_t in_common(const struct batch_plan *a, uint64_t step_a, const struct batch_plan *b,
                        uint64_t step_b)
{
    uint32_t rows_a[BATCH_MOST];
    uint32_t rows_b[BATCH_MOST];
    const size_t count = batch_rows(a, step_a, 0, rows_a);
    assert_int_equal(batch_rows(b, step_b, 0, rows_b), count);
    size_t same = 0;
    for (size_t i = 0; i < count; i++)
        same += rows_a[i] == rows_b[i];
    return same;
}

static void batch_rows__other_epoch_or_seed__is_another_order(void **state)
{
    (void)state;
    const struct batch_plan plan = {.seed = 9, .examples = 3000, .world = 1, .sizes = alone};
    struct batch_plan other = plan;
    other.seed = 10;
    assert_true(in_common(&plan, 0, &plan, batch_steps_per_epoch(&plan)) < 5);
    assert_true(in_common(&plan, 0, &other, 0) < 5);
}

static void batch_permute__any_size__is_a_bijection(void **state)
{
    (void)state;
    for (uint32_t n = 1; n < 300; n++) {
        uint8_t seen[300] = {0};
        for (uint32_t i = 0; i < n; i++) {
            const uint32_t to = batch_permute(n, n, i);
            assert_true(to < n);
            assert_int_equal(seen[to]++, 0);
        }
    }
}

/* A shuffle that kept its order would show here: the mean distance that a number moves is n / 3. */
static void batch_permute__large__moves_numbers_as_far_as_chance_would(void **state)
{
    (void)state;
    const uint32_t n = 60000;
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        const double to = batch_permute(42, n, i);
        sum += to > i ? to - i : i - to;
    }
    const double mean = sum / n;
    assert_true(mean > 0.98 * n / 3 && mean < 1.02 * n / 3);
}

/* Every 256th of 65536 numbers: their upper bytes after a random permutation take 162 of 256
 * values, give or take 7. Too few Feistel rounds give 1, or all. */
static void batch_permute__strided_numbers__are_scattered_as_by_chance(void **state)
{
    (void)state;
    uint8_t seen[256] = {0};
    unsigned distinct = 0;
    for (uint32_t i = 0; i < 256; i++)
        distinct += seen[batch_permute(7, 65536, 256 * i) / 256]++ == 0;
    assert_in_range(distinct, 130, 195);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch_rows__over_any_epoch__deals_every_example_once),
        cmocka_unit_test(batch_rows__full_batch__gives_each_rank_its_size),
        cmocka_unit_test(batch_rows__end_of_epoch__splits_as_evenly_as_possible),
        cmocka_unit_test(batch_examples__any_step__is_the_sum_of_the_shares),
        cmocka_unit_test(batch_rows__same_step__is_the_same_again),
        cmocka_unit_test(batch_rows__other_epoch_or_seed__is_another_order),
        cmocka_unit_test(batch_permute__any_size__is_a_bijection),
        cmocka_unit_test(batch_permute__large__moves_numbers_as_far_as_chance_would),
        cmocka_unit_test(batch_permute__strided_numbers__are_scattered_as_by_chance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
