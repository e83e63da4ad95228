/* SPDX-License-Identifier: Apache-2.0
 *
 * A slice and its two versions: where the next one may be written, what readers keep, and what is
 * allocated for whom.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/dtype.h"
#include "server/model/initial.h"
#include "server/model/slice.h"
#include "tests/unit/model/drafts.h"

static const uint64_t hundred[] = {100};
static const uint64_t five[] = {5};

/* One slice of a hundred weights at 1.5, with adam's slots and two workers. */
struct fixture {
    struct job *job;
    struct slice slice;
    struct block block;
};

static struct weights *current(struct fixture *fixture)
{
    return slice_view(&fixture->slice, STEPD_EVALUATION);
}

/* Where the weights of the next version go; NULL: nowhere. */
static struct weights *next_of(struct slice *slice)
{
    struct slice_room room;
    return slice_find_room(slice, &room) ? room.view[STEPD_EVALUATION] : NULL;
}

static const uint8_t *encoded(struct fixture *fixture, enum stepd_dtype dtype)
{
    return weights_encoded(current(fixture), dtype, kernels_reduce(OPTIM_ISA_base));
}

static void publish(struct slice *slice)
{
    struct slice_room room;
    assert_true(slice_find_room(slice, &room));
    slice_publish(slice, &room);
}

static void setup(struct fixture *fixture)
{
    const struct stepd_group group = draft_group("all", "*", "adam");
    struct stepd_define_job def = draft_definition();
    def.group = &group;
    def.workers = 2;
    struct stepd_tensor_def tensor = draft_tensor("w", hundred, 1);
    tensor.init = (struct stepd_init){.kind = STEPD_INIT_CONSTANT, .a = 1.5};
    fixture->job = draft_job(&def, &tensor, 1);
    assert_int_equal(draft_slice_init(&fixture->slice, fixture->job, 0, &fixture->block), STEPD_OK);
}

static void teardown(struct fixture *fixture)
{
    draft_slice_deinit(&fixture->slice, &fixture->block);
    (void)job_unref(fixture->job);
}

static void slice_init__of_a_slice__starts_at_version_0_with_zero_slots(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    assert_int_equal(f.slice.version, 0);
    assert_int_equal(f.slice.t, 0);
    assert_true(f.slice.valued);
    for (size_t i = 0; i < 100; i++) {
        assert_true(current(&f)->values[i] == 1.5F);
        assert_true(f.slice.slot[0][i] == 0.0F && f.slice.slot[1][i] == 0.0F);
    }
    assert_int_equal(f.slice.ranks, 2);
    teardown(&f);
}

static void slice_init__of_every_array__is_on_a_cache_line_of_its_own(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    const float *const array[] = {f.slice.view[STEPD_EVALUATION].buffer[0].values,
                                  f.slice.view[STEPD_EVALUATION].buffer[1].values, f.slice.slot[0],
                                  f.slice.slot[1]};
    for (size_t i = 0; i < sizeof array / sizeof array[0]; i++)
        assert_int_equal((uintptr_t)array[i] % 64, 0);
    teardown(&f);
}

static void slice_init__of_packed_tensors__gives_each_its_own_values(void **state)
{
    (void)state;
    const struct stepd_define_job def = draft_definition();
    struct stepd_tensor_def tensor[] = {draft_tensor("a", five, 1), draft_tensor("b", five, 1)};
    tensor[0].init = (struct stepd_init){.kind = STEPD_INIT_CONSTANT, .a = 2};
    tensor[1].init = (struct stepd_init){.kind = STEPD_INIT_UNIFORM, .b = 1, .seed = 3};
    struct job *job = draft_job(&def, tensor, 2);
    struct slice slice;
    struct block block;
    assert_int_equal(draft_slice_init(&slice, job, 0, &block), STEPD_OK);
    float expected[10] = {2, 2, 2, 2, 2};
    initial_values(&tensor[1].init, 1, 0, 5, expected + 5);
    assert_memory_equal(slice_view(&slice, STEPD_EVALUATION)->values, expected, sizeof expected);
    draft_slice_deinit(&slice, &block);
    (void)job_unref(job);
}

static void slice_init__of_an_assigned_tensor__has_no_values(void **state)
{
    (void)state;
    const struct stepd_define_job def = draft_definition();
    struct stepd_tensor_def tensor = draft_tensor("a", five, 1);
    tensor.init.kind = STEPD_INIT_VALUES;
    struct job *job = draft_job(&def, &tensor, 1);
    struct slice slice;
    struct block block;
    assert_int_equal(draft_slice_init(&slice, job, 0, &block), STEPD_OK);
    assert_false(slice.valued);
    draft_slice_deinit(&slice, &block);
    (void)job_unref(job);
}

static void slice_deinit__of_a_zeroed_slice__is_fine(void **state)
{
    (void)state;
    struct slice slice = {.job = NULL};
    slice_deinit(&slice);
    assert_null(slice.job);
}

static void slice_init__of_a_job__has_a_record_for_each_worker(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    assert_int_equal(f.slice.ranks, f.slice.job->workers);
    for (size_t i = 0; i < f.slice.ranks; i++) {
        assert_null(f.slice.by_rank[i].staging);
        assert_int_equal(f.slice.by_rank[i].record.clock, 0);
    }
    teardown(&f);
}

/* ---- Versions -------------------------------------------------------------------------------- */

static void slice_find_room__without_readers__is_the_current_buffer(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    assert_ptr_equal(next_of(&f.slice), current(&f));
    publish(&f.slice);
    assert_int_equal(f.slice.version, 1);
    assert_int_equal(current(&f)->version, 1);
    assert_int_equal(current(&f)->refs, 1);
    teardown(&f);
}

static void slice_find_room__while_the_current_is_read__is_the_other_buffer(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    struct weights *held = weights_ref(current(&f));
    struct weights *next = next_of(&f.slice);
    assert_non_null(next);
    assert_ptr_not_equal(next, held);
    next->values[0] = 7;
    publish(&f.slice);
    assert_ptr_equal(current(&f), next);
    assert_int_equal(held->version, 0);
    assert_true(held->values[0] == 1.5F); /* what is read does not change */
    weights_unref(held);
    teardown(&f);
}

static void slice_find_room__while_readers_hold_both__is_none_until_one_lets_go(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    struct weights *old = weights_ref(current(&f));
    publish(&f.slice);
    struct weights *newest = weights_ref(current(&f));
    assert_null(next_of(&f.slice));
    weights_unref(old);
    assert_ptr_equal(next_of(&f.slice), old);
    old = weights_ref(old);
    weights_unref(newest);
    assert_ptr_equal(next_of(&f.slice), newest);
    weights_unref(old);
    teardown(&f);
}

static void slice_publish_same__while_it_is_read__raises_the_version_in_place(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    struct weights *held = weights_ref(current(&f));
    slice_publish_same(&f.slice);
    assert_int_equal(f.slice.version, 1);
    assert_int_equal(current(&f)->version, 1);
    assert_ptr_equal(current(&f), held);
    weights_unref(held);
    teardown(&f);
}

/* ---- Encodings ------------------------------------------------------------------------------- */

static void weights_encoded__as_f32__are_the_weights_themselves(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    assert_ptr_equal(encoded(&f, STEPD_F32), current(&f)->values);
    teardown(&f);
}

static void weights_encoded__of_one_version__are_made_once(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);

    const enum stepd_dtype dtypes[] = {STEPD_F16, STEPD_BF16};

    for (size_t i = 0; i < 2; i++) {
        uint8_t expected[200];
        stepd_dtype_narrow(dtypes[i], 100, current(&f)->values, expected);
        const uint8_t *first = encoded(&f, dtypes[i]);
        assert_memory_equal(first, expected, sizeof expected);
        current(&f)->values[0] += 1.0F; /* would show in a second encoding */
        assert_ptr_equal(encoded(&f, dtypes[i]), first);
        assert_memory_equal(first, expected, sizeof expected);
        current(&f)->values[0] -= 1.0F;
    }
    teardown(&f);
}

static void weights_encoded__of_the_next_version__are_made_anew(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    const uint8_t *first = encoded(&f, STEPD_F16);
    for (size_t i = 0; i < 100; i++)
        current(&f)->values[i] = 3;
    publish(&f.slice);
    const uint8_t *second = encoded(&f, STEPD_F16);
    uint8_t expected[200];
    stepd_dtype_narrow(STEPD_F16, 100, current(&f)->values, expected);
    assert_ptr_equal(first, second); /* the memory stays */
    assert_memory_equal(second, expected, sizeof expected);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slice_init__of_a_slice__starts_at_version_0_with_zero_slots),
        cmocka_unit_test(slice_init__of_every_array__is_on_a_cache_line_of_its_own),
        cmocka_unit_test(slice_init__of_packed_tensors__gives_each_its_own_values),
        cmocka_unit_test(slice_init__of_an_assigned_tensor__has_no_values),
        cmocka_unit_test(slice_deinit__of_a_zeroed_slice__is_fine),
        cmocka_unit_test(slice_init__of_a_job__has_a_record_for_each_worker),
        cmocka_unit_test(slice_find_room__without_readers__is_the_current_buffer),
        cmocka_unit_test(slice_find_room__while_the_current_is_read__is_the_other_buffer),
        cmocka_unit_test(slice_find_room__while_readers_hold_both__is_none_until_one_lets_go),
        cmocka_unit_test(slice_publish_same__while_it_is_read__raises_the_version_in_place),
        cmocka_unit_test(weights_encoded__as_f32__are_the_weights_themselves),
        cmocka_unit_test(weights_encoded__of_one_version__are_made_once),
        cmocka_unit_test(weights_encoded__of_the_next_version__are_made_anew),
    };
    return cmocka_run_group_tests_name("model/slice", tests, NULL, NULL);
}
