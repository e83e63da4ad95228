/* SPDX-License-Identifier: Apache-2.0
 *
 * The arena: alignment, the cap, and what a reset keeps.
 */
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/arena.h"

static void arena_alloc__every_size__is_aligned_and_its_own(void **state)
{
    (void)state;
    struct stepd_arena arena;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    unsigned char *given[300];
    for (size_t size = 0; size < 300; size++) {
        given[size] = stepd_arena_alloc(&arena, size);
        assert_non_null(given[size]);
        assert_int_equal((uintptr_t)given[size] % alignof(max_align_t), 0);
        memset(given[size], (int)(size & 0xFFu), size);
    }
    for (size_t size = 0; size < 300; size++) {
        for (size_t i = 0; i < size; i++)
            assert_int_equal(given[size][i], size & 0xFFu);
    }
    stepd_arena_deinit(&arena);
}

static void arena_alloc__beyond_the_cap__is_null(void **state)
{
    (void)state;
    struct stepd_arena arena;
    stepd_arena_init(&arena, 1024);
    assert_non_null(stepd_arena_alloc(&arena, 512));
    assert_null(stepd_arena_alloc(&arena, 513));
    assert_non_null(stepd_arena_alloc(&arena, 512));
    assert_int_equal(arena.used, 1024);
    assert_null(stepd_arena_alloc(&arena, 0));
    assert_null(stepd_arena_alloc(&arena, SIZE_MAX));
    assert_null(stepd_arena_alloc(&arena, SIZE_MAX - 20));
    stepd_arena_deinit(&arena);
}

static void arena_alloc__larger_than_any_block__gets_its_own(void **state)
{
    (void)state;
    struct stepd_arena arena;
    stepd_arena_init(&arena, 8u << 20);
    unsigned char *large = stepd_arena_alloc(&arena, 3u << 20);
    assert_non_null(large);
    memset(large, 1, 3u << 20);
    assert_non_null(stepd_arena_alloc(&arena, 100));
    stepd_arena_deinit(&arena);
}

static void arena_calloc__product_that_overflows__is_null(void **state)
{
    (void)state;
    struct stepd_arena arena;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    assert_null(stepd_arena_calloc(&arena, SIZE_MAX / 4, 8));
    assert_null(stepd_arena_calloc(&arena, SIZE_MAX / 2 + 1, 2)); /* 2^64: wraps to 0 */
    stepd_arena_deinit(&arena);
}

static void arena_calloc__used_memory__is_zeroed(void **state)
{
    (void)state;
    struct stepd_arena arena;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    memset(stepd_arena_alloc(&arena, 640), 0xAA, 640);
    stepd_arena_reset(&arena);
    const unsigned char *zeros = stepd_arena_calloc(&arena, 64, 10);
    for (size_t i = 0; i < 640; i++)
        assert_int_equal(zeros[i], 0);
    stepd_arena_deinit(&arena);
}

static void arena_reset__after_many_blocks__keeps_the_first_only(void **state)
{
    (void)state;
    struct stepd_arena arena;
    stepd_arena_init(&arena, 1u << 20);
    const void *first = stepd_arena_alloc(&arena, 16);
    for (int i = 0; i < 100; i++)
        assert_non_null(stepd_arena_alloc(&arena, 5000));
    stepd_arena_reset(&arena);
    assert_int_equal(arena.used, 0);
    assert_ptr_equal(stepd_arena_alloc(&arena, 16), first);
    stepd_arena_deinit(&arena);
    assert_null(arena.newest);
}

static void arena_deinit__twice_and_without_use__is_harmless(void **state)
{
    (void)state;
    struct stepd_arena arena;
    stepd_arena_init(&arena, 100);
    stepd_arena_reset(&arena);
    stepd_arena_deinit(&arena);
    stepd_arena_deinit(&arena);
    assert_non_null(stepd_arena_alloc(&arena, 10));
    stepd_arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_alloc__every_size__is_aligned_and_its_own),
        cmocka_unit_test(arena_alloc__beyond_the_cap__is_null),
        cmocka_unit_test(arena_alloc__larger_than_any_block__gets_its_own),
        cmocka_unit_test(arena_calloc__product_that_overflows__is_null),
        cmocka_unit_test(arena_calloc__used_memory__is_zeroed),
        cmocka_unit_test(arena_reset__after_many_blocks__keeps_the_first_only),
        cmocka_unit_test(arena_deinit__twice_and_without_use__is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
