/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory of a state that is to be read: what there is of it, and what a manifest cannot have.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/lib/scarcity.h"
#include "tests/unit/persist/shares.h"

struct fixture {
    struct shares shares;
    struct job_state *state;
};

static void setup(struct fixture *fixture)
{
    shares_setup_group(&fixture->shares, "adam", "ema_decay=0.5");
    shares_take(&fixture->shares);
    fixture->state = shares_blank(&fixture->shares);
}

static void teardown(struct fixture *fixture)
{
    (void)job_state_unref(fixture->state);
    shares_teardown(&fixture->shares);
}

static enum stepd_status allocate(struct fixture *fixture, uint64_t bytes_max,
                                  struct stepd_error *reterr)
{
    return arrays_allocate(fixture->state, (const bool(*)[STEPD_VIEWS])fixture->shares.made, NULL,
                           bytes_max, reterr);
}

static void refuse(struct fixture *fixture, uint64_t bytes_max, enum stepd_status status,
                   const char *text)
{
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(allocate(fixture, bytes_max, &error), status);
    assert_string_equal(error.text, text);
    for (size_t i = 0; i < fixture->shares.job->layout.slices; i++)
        assert_null(fixture->state->slice[i].memory);
    teardown(fixture);
}

/* 1511 elements, of weights and two slots. */
#define STATE_BYTES (UINT64_C(1511) * 3 * 4)

static void arrays__of_a_state__are_zeros(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    f.shares.made[1][STEPD_EMA] = true;
    assert_int_equal(allocate(&f, STATE_BYTES + UINT64_C(2000), NULL), STEPD_OK);
    for (size_t i = 0; i < f.shares.job->layout.slices; i++) {
        const struct slice_state *const slice = &f.state->slice[i];
        assert_int_equal(slice->view[STEPD_EMA] != NULL, i == 1);
        assert_int_equal(slice->slot_floats[1], slice->elements);
        for (size_t k = 0; k < slice->elements; k++)
            assert_true(slice->view[STEPD_EVALUATION][k] == 0 && slice->slot[1][k] == 0);
    }
    teardown(&f);
}

static void state__of_more_bytes_than_there_are__is_refused(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    refuse(&f, STATE_BYTES - 1, STEPD_RESOURCE_EXHAUSTED,
           "the state of job 'j' takes 18132 bytes, and there are 18131 for it");
}

static void slice__of_another_size__is_refused(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    f.state->slice[1].elements = 499;
    refuse(&f, UINT64_MAX, STEPD_INVALID_ARGUMENT,
           "the state of big[500:1000] has 499 elements, and in job 'j' it has 500");
}

static void slice__of_other_ranks__is_refused(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    f.state->slice[1].ranks = 1;
    refuse(&f, UINT64_MAX, STEPD_INVALID_ARGUMENT,
           "the state of big[500:1000] has 1 ranks, and in job 'j' it has 2");
}

static void slice__in_a_phase_that_there_is_not__is_refused(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    f.state->slice[2].phase = SIZE_MAX - 1;
    refuse(&f, UINT64_MAX, STEPD_INVALID_ARGUMENT,
           "big[1000:1500] is in phase 18446744073709551615, and its group 'g' has 1 phases");
}

static void view__that_the_group_does_not_keep__is_refused(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    f.shares.made[2][STEPD_SWA] = true;
    refuse(&f, UINT64_MAX, STEPD_INVALID_ARGUMENT,
           "the state of big[1000:1500] has 1 views that it does not keep, and in job 'j' it has "
           "0");
}

static void view__of_a_slice_without_values__is_refused(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    f.shares.made[2][STEPD_EMA] = true;
    f.state->slice[2].valued = false;
    refuse(&f, UINT64_MAX, STEPD_INVALID_ARGUMENT,
           "the state of big[1000:1500] has 1 views that it does not keep, and in job 'j' it has "
           "0");
}

static void state__without_memory__is_refused(void **state)
{
    (void)state;
    size_t failures = 0;
    enum stepd_status status = STEPD_RESOURCE_EXHAUSTED;
    while (status != STEPD_OK) {
        struct fixture f;
        setup(&f);
        scarcity_after(failures++);
        status = allocate(&f, UINT64_MAX, NULL);
        scarcity_after(SCARCITY_NEVER);
        assert_true(status == STEPD_OK || status == STEPD_RESOURCE_EXHAUSTED);
        teardown(&f);
    }
    assert_true(failures > 4); /* one for each slice */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays__of_a_state__are_zeros),
        cmocka_unit_test(state__of_more_bytes_than_there_are__is_refused),
        cmocka_unit_test(slice__of_another_size__is_refused),
        cmocka_unit_test(slice__of_other_ranks__is_refused),
        cmocka_unit_test(slice__in_a_phase_that_there_is_not__is_refused),
        cmocka_unit_test(view__that_the_group_does_not_keep__is_refused),
        cmocka_unit_test(view__of_a_slice_without_values__is_refused),
        cmocka_unit_test(state__without_memory__is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
