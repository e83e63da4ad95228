/* SPDX-License-Identifier: Apache-2.0
 *
 * First weights from elsewhere than the definition, and slices that begin with them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/model/first_weights.h"
#include "tests/lib/scarcity.h"
#include "tests/unit/model/drafts.h"

static const uint64_t three[] = {3};
static const uint64_t thousand[] = {1000};

/* Tensors a and b of 3 elements in one slice, defined so; of a there is something else. */
struct fixture {
    struct job *job;
    struct slice slice;
    struct block block;
    struct first_weights *first;
};

static float *of_one(float from, size_t n)
{
    float *const values = malloc(n * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < n; i++)
        values[i] = from + (float)i;
    return values;
}

static void setup(struct fixture *f, enum stepd_init_kind kind)
{
    const struct stepd_define_job def = draft_definition();
    struct stepd_tensor_def tensor[] = {draft_tensor("a", three, 1), draft_tensor("b", three, 1)};
    for (size_t i = 0; i < 2; i++)
        tensor[i].init = (struct stepd_init){.kind = kind, .a = 9};
    f->job = draft_job(&def, tensor, 2);
    assert_int_equal(draft_slice_init(&f->slice, f->job, 0, &f->block), STEPD_OK);
    f->first = first_weights_create(2);
    assert_non_null(f->first);
    f->first->values[0] = of_one(1, 3);
}

static void teardown(struct fixture *f)
{
    (void)first_weights_unref(f->first);
    draft_slice_deinit(&f->slice, &f->block);
    (void)job_unref(f->job);
}

static void assert_weights(struct fixture *f, const float expected[6])
{
    assert_memory_equal(slice_view(&f->slice, STEPD_EVALUATION)->values, expected,
                        6 * sizeof(float));
}

static void slice__of_computed_tensors__begins_with_what_there_is(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, STEPD_INIT_CONSTANT);
    slice_begin_with(&f.slice, f.first);
    assert_true(f.slice.valued);
    assert_null(f.slice.first);
    assert_weights(&f, (const float[]){1, 2, 3, 9, 9, 9});
    assert_int_equal(f.slice.version, 0);
    teardown(&f);
}

static void slice__of_assigned_tensors_that_are_all_there__waits_for_nobody(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, STEPD_INIT_VALUES);
    f.first->values[1] = of_one(4, 3);
    slice_begin_with(&f.slice, f.first);
    assert_true(f.slice.valued);
    assert_weights(&f, (const float[]){1, 2, 3, 4, 5, 6});
    teardown(&f);
}

static void slice__of_assigned_tensors_one_of_which_is_there__keeps_it(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, STEPD_INIT_VALUES);
    slice_begin_with(&f.slice, f.first);
    assert_false(f.slice.valued);
    float *const values = slice_view(&f.slice, STEPD_EVALUATION)->values;
    for (size_t i = 0; i < 6; i++)
        values[i] = 7; /* the worker's */
    slice_assigned(&f.slice);
    assert_true(f.slice.valued);
    assert_null(f.slice.first);
    assert_weights(&f, (const float[]){1, 2, 3, 7, 7, 7});
    teardown(&f);
}

static void slice__of_which_nothing_is_there__is_as_defined(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, STEPD_INIT_VALUES);
    free(f.first->values[0]);
    f.first->values[0] = NULL;
    slice_begin_with(&f.slice, f.first);
    assert_false(f.slice.valued);
    assert_null(f.slice.first);
    slice_assigned(&f.slice);
    assert_true(f.slice.valued);
    teardown(&f);
}

static void slices__of_a_tensor_that_is_cut__have_its_parts(void **state)
{
    (void)state;
    const struct stepd_define_job def = draft_definition();
    const struct stepd_tensor_def tensor = draft_tensor("big", thousand, 1);
    struct job *const job = draft_job(&def, &tensor, 1);
    struct first_weights *const first = first_weights_create(1);
    first->values[0] = of_one(0, 1000);
    size_t seen = 0;
    assert_int_equal(job->layout.slices, 2);
    for (uint32_t i = 0; i < job->layout.slices; i++) {
        struct slice slice;
        struct block block;
        assert_int_equal(draft_slice_init(&slice, job, i, &block), STEPD_OK);
        slice_begin_with(&slice, first);
        const size_t n = slice.plan->elements;
        assert_memory_equal(slice_view(&slice, STEPD_EVALUATION)->values, first->values[0] + seen,
                            n * sizeof(float));
        seen += n;
        draft_slice_deinit(&slice, &block);
    }
    assert_int_equal(seen, 1000);
    (void)first_weights_unref(first);
    (void)job_unref(job);
}

static void create__without_memory__is_null(void **state)
{
    (void)state;
    for (size_t n = 0; n < 2; n++) {
        scarcity_after(n);
        assert_null(first_weights_create(3));
    }
    scarcity_after(SCARCITY_NEVER);
    assert_null(first_weights_unref(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slice__of_computed_tensors__begins_with_what_there_is),
        cmocka_unit_test(slice__of_assigned_tensors_that_are_all_there__waits_for_nobody),
        cmocka_unit_test(slice__of_assigned_tensors_one_of_which_is_there__keeps_it),
        cmocka_unit_test(slice__of_which_nothing_is_there__is_as_defined),
        cmocka_unit_test(slices__of_a_tensor_that_is_cut__have_its_parts),
        cmocka_unit_test(create__without_memory__is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
