/* SPDX-License-Identifier: Apache-2.0
 *
 * From a draft to a job: pages of tensors in any repetition, definitions that differ, shapes that
 * nobody should send, groups that match or do not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/model/drafts.h"

static const uint64_t two_by_three[] = {2, 3};
static const uint64_t three_by_two[] = {3, 2};
static const uint64_t six[] = {6};

static struct stepd_error error;

static struct job_draft *plain_draft(void)
{
    const struct stepd_define_job def = draft_definition();
    return draft_create(&def);
}

/* ---- Pages ----------------------------------------------------------------------------------- */

static void job_draft_add__of_pages_in_order__takes_them(void **state)
{
    (void)state;
    struct job_draft *draft = plain_draft();
    const struct stepd_tensor_def tensor[] = {draft_tensor("a", six, 1), draft_tensor("b", six, 1)};
    assert_int_equal(draft_add(draft, 0, tensor, 1, &error), STEPD_OK);
    assert_int_equal(draft_add_last(draft, 1, tensor + 1, 1, &error), STEPD_OK);
    assert_int_equal(job_draft_tensors(draft), 2);
    (void)job_draft_destroy(draft);
}

static void job_draft_add__of_the_same_again__changes_nothing(void **state)
{
    (void)state;
    struct job_draft *draft = plain_draft();
    const struct stepd_tensor_def tensor[] = {draft_tensor("a", six, 1), draft_tensor("b", six, 1)};
    for (int i = 0; i < 3; i++)
        assert_int_equal(draft_add_last(draft, 0, tensor, 2, &error), STEPD_OK);
    assert_int_equal(draft_add(draft, 1, tensor + 1, 1, &error), STEPD_OK);
    assert_int_equal(job_draft_tensors(draft), 2);
    (void)job_draft_destroy(draft);
}

static void job_draft_add__of_known_and_new_tensors__appends_the_new(void **state)
{
    (void)state;
    struct job_draft *draft = plain_draft();
    const struct stepd_tensor_def tensor[] = {draft_tensor("a", six, 1), draft_tensor("b", six, 1)};
    assert_int_equal(draft_add(draft, 0, tensor, 1, &error), STEPD_OK);
    assert_int_equal(draft_add(draft, 0, tensor, 2, &error), STEPD_OK);
    assert_int_equal(job_draft_tensors(draft), 2);
    (void)job_draft_destroy(draft);
}

static void job_draft_add__with_a_gap__is_refused(void **state)
{
    (void)state;
    struct job_draft *draft = plain_draft();
    const struct stepd_tensor_def tensor = draft_tensor("a", six, 1);
    assert_int_equal(draft_add(draft, 1, &tensor, 1, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "starts at tensor 1, but only 0 are known"));
    assert_int_equal(job_draft_tensors(draft), 0);
    (void)job_draft_destroy(draft);
}

static void job_draft_add__of_a_last_page_that_ends_early__is_refused(void **state)
{
    (void)state;
    struct job_draft *draft = plain_draft();
    const struct stepd_tensor_def tensor[] = {draft_tensor("a", six, 1), draft_tensor("b", six, 1)};
    assert_int_equal(draft_add(draft, 0, tensor, 2, &error), STEPD_OK);
    assert_int_equal(draft_add_last(draft, 0, tensor, 1, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "ends at tensor 1, but 2 tensors are defined"));
    (void)job_draft_destroy(draft);
}

static void job_draft_add__after_sealing__takes_the_same_and_nothing_new(void **state)
{
    (void)state;
    struct job_draft *draft = plain_draft();
    struct job *job = NULL;
    const struct stepd_tensor_def tensor[] = {draft_tensor("a", six, 1), draft_tensor("b", six, 1)};
    assert_int_equal(draft_add_last(draft, 0, tensor, 1, &error), STEPD_OK);
    assert_int_equal(job_draft_seal(draft, 1, 1, &job, &error), STEPD_OK);
    assert_int_equal(draft_add_last(draft, 0, tensor, 1, &error), STEPD_OK);
    assert_int_equal(draft_add_last(draft, 0, tensor, 2, &error), STEPD_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "sealed at 1; 'b' comes too late"));
    assert_int_equal(job_draft_tensors(draft), 1);
    (void)job_unref(job);
    (void)job_draft_destroy(draft);
}

static void job_draft_reset__of_a_sealed_draft__takes_another_list(void **state)
{
    (void)state;
    struct job_draft *draft = plain_draft();
    struct job *job = NULL;
    const struct stepd_tensor_def tensor[] = {draft_tensor("a", six, 1),
                                              draft_tensor("a", two_by_three, 2)};
    assert_int_equal(draft_add_last(draft, 0, tensor, 1, &error), STEPD_OK);
    assert_int_equal(job_draft_seal(draft, 1, 1, &job, &error), STEPD_OK);
    job_draft_reset(draft);
    assert_int_equal(job_draft_tensors(draft), 0);
    assert_int_equal(draft_add_last(draft, 0, tensor + 1, 1, &error), STEPD_OK);
    assert_int_equal(job->tensor[0].dims, 1); /* what was sealed stays as it was */
    (void)job_unref(job);
    (void)job_draft_destroy(draft);
}

static void job_draft_add__that_fails_midway__takes_nothing_of_the_page(void **state)
{
    (void)state;
    struct job_draft *draft = plain_draft();
    const uint64_t zero[] = {0};
    const struct stepd_tensor_def known = draft_tensor("a", six, 1);
    const struct stepd_tensor_def page[] = {known, draft_tensor("b", six, 1),
                                            draft_tensor("c", zero, 1)};
    assert_int_equal(draft_add(draft, 0, &known, 1, &error), STEPD_OK);
    assert_int_equal(draft_add(draft, 0, page, 3, &error), STEPD_INVALID_ARGUMENT);
    assert_int_equal(job_draft_tensors(draft), 1);
    /* Its names are free again. */
    assert_int_equal(draft_add_last(draft, 0, page, 2, &error), STEPD_OK);
    (void)job_draft_destroy(draft);
}

static void job_draft_add__of_a_name_twice__is_refused_and_names_it(void **state)
{
    (void)state;
    struct job_draft *draft = plain_draft();
    const struct stepd_tensor_def tensor[] = {draft_tensor("a", six, 1), draft_tensor("a", six, 1)};
    assert_int_equal(draft_add(draft, 0, tensor, 2, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "job 'j': tensor 'a' is defined already"));
    (void)job_draft_destroy(draft);
}

static void job_draft_add__of_an_empty_name__is_refused(void **state)
{
    (void)state;
    struct job_draft *draft = plain_draft();
    const struct stepd_tensor_def tensor = draft_tensor("", six, 1);
    assert_int_equal(draft_add(draft, 0, &tensor, 1, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "tensor 0 has no name"));
    (void)job_draft_destroy(draft);
}

static void job_draft_add__of_a_name_that_no_file_could_have__is_refused(void **state)
{
    (void)state;
    struct job_draft *draft = plain_draft();
    const struct stepd_tensor_def tensor = draft_tensor("__metadata__", six, 1);
    assert_int_equal(draft_add(draft, 0, &tensor, 1, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "tensor 0 cannot be called '__metadata__'"));
    (void)job_draft_destroy(draft);
}

static void job_draft_add__of_too_many_tensors__is_refused(void **state)
{
    (void)state;
    struct job_draft *draft = plain_draft();

    enum { PAGE = 4096 };

    static char name[PAGE][16];
    static struct stepd_tensor_def tensor[PAGE];
    for (uint32_t first = 0; first < STEPD_TENSORS_MAX; first += PAGE) {
        for (uint32_t i = 0; i < PAGE; i++) {
            (void)snprintf(name[i], sizeof name[i], "t%u", first + i);
            tensor[i] = draft_tensor(name[i], NULL, 0);
        }
        assert_int_equal(draft_add(draft, first, tensor, PAGE, &error), STEPD_OK);
    }
    tensor[0] = draft_tensor("one more", NULL, 0);
    assert_int_equal(draft_add(draft, STEPD_TENSORS_MAX, tensor, 1, &error),
                     STEPD_RESOURCE_EXHAUSTED);
    (void)job_draft_destroy(draft);
}

/* ---- Tensors that differ --------------------------------------------------------------------- */

/* The refusal of `second` where `first` is defined. */
static const char *difference(const struct stepd_tensor_def *first,
                              const struct stepd_tensor_def *second)
{
    struct job_draft *draft = plain_draft();
    assert_int_equal(draft_add_last(draft, 0, first, 1, &error), STEPD_OK);
    assert_int_equal(draft_add_last(draft, 0, second, 1, &error), STEPD_INVALID_ARGUMENT);
    (void)job_draft_destroy(draft);
    return error.text;
}

static void job_draft_add__of_another_shape__names_both(void **state)
{
    (void)state;
    const struct stepd_tensor_def first = draft_tensor("w", two_by_three, 2);
    const struct stepd_tensor_def transposed = draft_tensor("w", three_by_two, 2);
    const struct stepd_tensor_def flat = draft_tensor("w", six, 1);
    const struct stepd_tensor_def scalar = draft_tensor("w", NULL, 0);
    assert_non_null(strstr(difference(&first, &transposed), "tensor 'w'"));
    assert_non_null(strstr(difference(&first, &transposed), "with shape 2x3, not 3x2"));
    assert_non_null(strstr(difference(&first, &flat), "with shape 2x3, not 6"));
    assert_non_null(strstr(difference(&first, &scalar), "with shape 2x3, not scalar"));
}

static void job_draft_add__of_another_name__names_both(void **state)
{
    (void)state;
    const struct stepd_tensor_def first = draft_tensor("fc1.weight", six, 1);
    const struct stepd_tensor_def other = draft_tensor("fc2.weight", six, 1);
    assert_non_null(strstr(difference(&first, &other),
                           "tensor 0 is defined as 'fc1.weight', not 'fc2.weight'"));
}

static void job_draft_add__of_another_initializer_or_seed__is_refused(void **state)
{
    (void)state;
    struct stepd_tensor_def first = draft_tensor("w", six, 1);
    first.init = (struct stepd_init){.kind = STEPD_INIT_NORMAL, .b = 1, .seed = 1};
    struct stepd_tensor_def other = first;
    other.init.seed = 2;
    assert_non_null(strstr(difference(&first, &other), "another initializer or seed"));
    other.init = (struct stepd_init){.kind = STEPD_INIT_UNIFORM, .b = 1, .seed = 1};
    assert_non_null(strstr(difference(&first, &other), "another initializer or seed"));
}

/* Of a job with all of its weights, and of one that begins anew. */
static void
job_draft_add__of_assigned_tensors_that_have_weights__takes_any_initializer(void **state)
{
    (void)state;
    struct stepd_tensor_def defined[] = {draft_tensor("w", six, 1), draft_tensor("v", six, 1)};
    defined[0].init.kind = STEPD_INIT_VALUES;
    struct job_draft *draft = plain_draft();
    assert_int_equal(draft_add_last(draft, 0, defined, 2, &error), STEPD_OK);
    struct stepd_tensor_def listed[] = {defined[0], defined[1]};
    listed[0].init = (struct stepd_init){.kind = STEPD_INIT_UNIFORM, .b = 1, .seed = 1};
    assert_int_equal(draft_add_last(draft, 0, listed, 2, &error), STEPD_INVALID_ARGUMENT);
    job_draft_set_valued(draft, true);
    assert_int_equal(draft_add_last(draft, 0, listed, 2, &error), STEPD_OK);
    listed[1].init = listed[0].init; /* which was to be made otherwise */
    assert_int_equal(draft_add_last(draft, 0, listed, 2, &error), STEPD_INVALID_ARGUMENT);
    job_draft_reset(draft);
    assert_int_equal(draft_add_last(draft, 0, defined, 2, &error), STEPD_OK);
    listed[1] = defined[1];
    assert_int_equal(draft_add_last(draft, 0, listed, 2, &error), STEPD_INVALID_ARGUMENT);
    (void)job_draft_destroy(draft);
}

/* ---- Shapes ---------------------------------------------------------------------------------- */

static const char *refused_shape(const uint64_t *shape, size_t dims)
{
    struct job_draft *draft = plain_draft();
    const struct stepd_tensor_def tensor = draft_tensor("w", shape, dims);
    assert_int_equal(draft_add(draft, 0, &tensor, 1, &error), STEPD_INVALID_ARGUMENT);
    assert_int_equal(job_draft_tensors(draft), 0);
    (void)job_draft_destroy(draft);
    return error.text;
}

static void job_draft_add__of_a_shape_with_a_zero__is_refused(void **state)
{
    (void)state;
    const uint64_t shape[] = {1000, 0, 7};
    assert_non_null(strstr(refused_shape(shape, 3), "shape 1000x0x7 has a dimension of 0"));
}

static void job_draft_add__of_a_shape_beyond_all_bounds__is_refused(void **state)
{
    (void)state;
    const uint64_t huge[] = {UINT64_C(1) << 63};
    const uint64_t wraps_to_0[] = {UINT64_C(1) << 32, UINT64_C(1) << 32};
    const uint64_t wraps_to_2[] = {(UINT64_C(1) << 63) + 1, 2};
    const uint64_t wraps_late[] = {3, 3, 3, UINT64_MAX, UINT64_MAX, UINT64_MAX, 3, 3};
    const uint64_t just_above[] = {(UINT64_C(1) << 36) + 1};
    assert_non_null(strstr(refused_shape(huge, 1), "9223372036854775808 has more than"));
    assert_non_null(strstr(refused_shape(wraps_to_0, 2), "has more than 68719476736 elements"));
    assert_non_null(strstr(refused_shape(wraps_to_2, 2), "has more than"));
    assert_non_null(strstr(refused_shape(wraps_late, 8), "has more than"));
    assert_non_null(strstr(refused_shape(just_above, 1), "has more than"));
}

static void job_draft_add__of_too_many_dimensions__is_refused(void **state)
{
    (void)state;
    const uint64_t shape[STEPD_DIMS_MAX + 1] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    assert_non_null(strstr(refused_shape(shape, STEPD_DIMS_MAX + 1), "has 9 dimensions"));
}

static void job_draft_add__of_a_scalar__is_one_element(void **state)
{
    (void)state;
    const struct stepd_define_job def = draft_definition();
    const struct stepd_tensor_def tensor = draft_tensor("temperature", NULL, 0);
    struct job *job = draft_job(&def, &tensor, 1);
    assert_int_equal(job->elements, 1);
    assert_int_equal(job->tensor[0].dims, 0);
    assert_int_equal(job->layout.slice[0].elements, 1);
    (void)job_unref(job);
}

static void job_draft_add__of_a_uniform_range_that_is_none__is_refused(void **state)
{
    (void)state;
    struct job_draft *draft = plain_draft();
    struct stepd_tensor_def tensor = draft_tensor("w", six, 1);
    tensor.init = (struct stepd_init){.kind = STEPD_INIT_UNIFORM, .a = 1, .b = -1};
    assert_int_equal(draft_add(draft, 0, &tensor, 1, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "a <= b"));
    (void)job_draft_destroy(draft);
}

static void job_draft_add__of_initial_values_beyond_a_float__is_refused(void **state)
{
    (void)state;

    static const struct {
        struct stepd_init init;
        const char *text;
    } rows[] = {
        {{.kind = STEPD_INIT_CONSTANT, .a = 1e300}, "do not fit a float"},
        {{.kind = STEPD_INIT_UNIFORM, .a = -1e38, .b = 1e39}, "do not fit a float"},
        {{.kind = STEPD_INIT_NORMAL, .b = -1}, "must not be negative"},
    };
    struct job_draft *draft = plain_draft();
    struct stepd_tensor_def tensor = draft_tensor("w", six, 1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        tensor.init = rows[i].init;
        assert_int_equal(draft_add(draft, 0, &tensor, 1, &error), STEPD_INVALID_ARGUMENT);
        assert_non_null(strstr(error.text, rows[i].text));
    }
    (void)job_draft_destroy(draft);
}

static void draft_of__a_job__holds_nobody_to_the_size_of_its_slices(void **state)
{
    (void)state;
    static const uint64_t shape[] = {4000};
    struct stepd_define_job def = draft_definition();
    const struct stepd_tensor_def tensor = draft_tensor("w", shape, 1);
    struct job *const job = draft_job(&def, &tensor, 1);
    struct job_draft *draft = NULL;
    struct job *again = NULL;
    assert_int_equal(job_draft_of(job, 256, &draft, &error), STEPD_OK);
    assert_int_equal(job_draft_seal(draft, 1, 1, &again, &error), STEPD_OK);
    assert_int_equal(again->layout.slices, 16);
    assert_int_equal(again->slice_elements, 256);
    for (uint32_t size = 0; size <= 1024; size += 512) {
        def.slice_elements = size;
        assert_int_equal(job_draft_same(draft, &def, &error), STEPD_OK);
    }
    def.workers = 2;
    assert_int_equal(job_draft_same(draft, &def, &error), STEPD_INVALID_ARGUMENT);
    (void)job_draft_destroy(draft);
    (void)job_unref(again);
    (void)job_unref(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draft_of__a_job__holds_nobody_to_the_size_of_its_slices),
        cmocka_unit_test(job_draft_add__of_pages_in_order__takes_them),
        cmocka_unit_test(job_draft_add__of_the_same_again__changes_nothing),
        cmocka_unit_test(job_draft_add__of_known_and_new_tensors__appends_the_new),
        cmocka_unit_test(job_draft_add__with_a_gap__is_refused),
        cmocka_unit_test(job_draft_add__of_a_last_page_that_ends_early__is_refused),
        cmocka_unit_test(job_draft_add__after_sealing__takes_the_same_and_nothing_new),
        cmocka_unit_test(job_draft_reset__of_a_sealed_draft__takes_another_list),
        cmocka_unit_test(job_draft_add__that_fails_midway__takes_nothing_of_the_page),
        cmocka_unit_test(job_draft_add__of_a_name_twice__is_refused_and_names_it),
        cmocka_unit_test(job_draft_add__of_an_empty_name__is_refused),
        cmocka_unit_test(job_draft_add__of_a_name_that_no_file_could_have__is_refused),
        cmocka_unit_test(job_draft_add__of_too_many_tensors__is_refused),
        cmocka_unit_test(job_draft_add__of_another_shape__names_both),
        cmocka_unit_test(job_draft_add__of_another_name__names_both),
        cmocka_unit_test(job_draft_add__of_another_initializer_or_seed__is_refused),
        cmocka_unit_test(
            job_draft_add__of_assigned_tensors_that_have_weights__takes_any_initializer),
        cmocka_unit_test(job_draft_add__of_a_shape_with_a_zero__is_refused),
        cmocka_unit_test(job_draft_add__of_a_shape_beyond_all_bounds__is_refused),
        cmocka_unit_test(job_draft_add__of_too_many_dimensions__is_refused),
        cmocka_unit_test(job_draft_add__of_a_scalar__is_one_element),
        cmocka_unit_test(job_draft_add__of_a_uniform_range_that_is_none__is_refused),
        cmocka_unit_test(job_draft_add__of_initial_values_beyond_a_float__is_refused),
    };
    return cmocka_run_group_tests_name("model/job_draft", tests, NULL, NULL);
}
