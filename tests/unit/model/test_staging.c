/* SPDX-License-Identifier: Apache-2.0
 *
 * Staging: how many buffers there are, for whom, and which one is taken next.
 */
#include "server/model/staging.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/scarcity.h"
#include "tests/lib/settings.h"
#include "tests/unit/model/drafts.h"

enum { WORKERS = 3, BUFFERS_MOST = 32 };

static const uint64_t large[] = {2 * DRAFT_SLICE_ELEMENTS};
static const uint64_t five[] = {5};

struct fixture {
    struct job *job;
    struct staging staging;
};

/* A tensor of five elements, and before it, unless alone, one of two whole slices. */
static void setup(struct fixture *fixture, const struct stepd_group *group, const char *settings,
                  bool alone)
{
    struct stepd_define_job def = draft_definition();
    def.workers = WORKERS;
    def.settings = settings_of(settings);
    if (group != NULL)
        def.group = group;
    const struct stepd_tensor_def tensor[] = {draft_tensor("w", large, 1),
                                              draft_tensor("b", five, 1)};
    fixture->job = draft_job(&def, tensor + alone, 2u - alone);
    assert_int_equal(staging_init(&fixture->staging, fixture->job, 0), STEPD_OK);
}

static void teardown(struct fixture *fixture)
{
    staging_deinit(&fixture->staging);
    (void)job_unref(fixture->job);
}

static struct staging_stack *stack_of(const struct fixture *f, size_t slice)
{
    return staging_of(&f->staging, f->job, &f->job->layout.slice[slice]);
}

static void staging_take__what_was_given_back_last__comes_first(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, NULL, "", false);
    struct staging_stack *const stack = stack_of(&f, 0);
    float *const one = staging_take(stack);
    float *const other = staging_take(stack);
    assert_ptr_not_equal(one, other);
    staging_give(stack, other);
    staging_give(stack, one);
    assert_ptr_equal(staging_take(stack), one);
    assert_ptr_equal(staging_take(stack), other);
    teardown(&f);
}

static void staging_of__slices_of_one_length__is_one_stack(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, NULL, "", false);
    assert_int_equal(f.job->layout.slices, 3);
    assert_ptr_equal(stack_of(&f, 0), stack_of(&f, 1));
    assert_ptr_not_equal(stack_of(&f, 0), stack_of(&f, 2));
    assert_int_equal(stack_of(&f, 0)->buffers, 2 * WORKERS);
    assert_int_equal(stack_of(&f, 2)->buffers, WORKERS);
    teardown(&f);
}

static void staging_of__several_pushes_a_step__has_two_for_each_worker(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, NULL, "accumulate=2", false);
    assert_int_equal(stack_of(&f, 0)->buffers, 2 * 2 * WORKERS);
    teardown(&f);
}

static void staging_of__added_up_on_arrival__has_a_few_for_any_slice(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, NULL, "reduction=arrival", false);
    assert_int_equal(f.staging.stacks, 1);
    assert_int_equal(stack_of(&f, 2)->buffers, JOB_LANDINGS);
    assert_int_equal(stack_of(&f, 2)->floats, DRAFT_SLICE_ELEMENTS);
    teardown(&f);
}

static void staging_of__a_frozen_group__is_none(void **state)
{
    (void)state;
    struct stepd_group group = settings_group("sgd", "");
    group.frozen = true;
    struct fixture f;
    setup(&f, &group, "", false);
    assert_null(stack_of(&f, 0));
    assert_int_equal(f.staging.stacks, 0);
    teardown(&f);
}

static void staging_of__a_row_that_wants_a_hessian__has_room_for_it(void **state)
{
    (void)state;
    const struct stepd_group group = settings_group("newton", "");
    struct fixture f;
    setup(&f, &group, "", true);
    assert_true(stack_of(&f, 0)->floats >= 5 + 25);
    teardown(&f);
}

/* Each on cache lines of its own, and no further than the block goes: a sanitizer would see that.
 */
static void staging_take__all_there_are__are_apart(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, NULL, "", false);
    for (size_t i = 0; i < f.staging.stacks; i++) {
        struct staging_stack *const stack = &f.staging.stack[i];
        float *taken[BUFFERS_MOST];
        const size_t buffers = stack->buffers;
        for (size_t k = 0; k < buffers; k++) {
            taken[k] = staging_take(stack);
            assert_int_equal((uintptr_t)taken[k] % JOB_LINE_BYTES, 0);
            for (size_t n = 0; n < stack->floats; n++)
                taken[k][n] = (float)k;
        }
        assert_int_equal(stack->free, 0);
        for (size_t k = 0; k < buffers; k++)
            assert_true(taken[k][0] == (float)k && taken[k][stack->floats - 1] == (float)k);
    }
    teardown(&f);
}

static void staging_init__without_memory__says_so(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, NULL, "", false);
    enum stepd_status status = STEPD_RESOURCE_EXHAUSTED;
    size_t allowed = 0;
    for (; status == STEPD_RESOURCE_EXHAUSTED; allowed++) {
        staging_deinit(&f.staging);
        scarcity_after(allowed);
        status = staging_init(&f.staging, f.job, 0);
        scarcity_after(SCARCITY_NEVER);
    }
    assert_int_equal(status, STEPD_OK);
    assert_int_equal(allowed, 4); /* stacks, the lists of what is free, the buffers; and one more */
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(staging_take__what_was_given_back_last__comes_first),
        cmocka_unit_test(staging_of__slices_of_one_length__is_one_stack),
        cmocka_unit_test(staging_of__several_pushes_a_step__has_two_for_each_worker),
        cmocka_unit_test(staging_of__added_up_on_arrival__has_a_few_for_any_slice),
        cmocka_unit_test(staging_of__a_frozen_group__is_none),
        cmocka_unit_test(staging_of__a_row_that_wants_a_hessian__has_room_for_it),
        cmocka_unit_test(staging_take__all_there_are__are_apart),
        cmocka_unit_test(staging_init__without_memory__says_so),
    };
    return cmocka_run_group_tests_name("model/staging", tests, NULL, NULL);
}
