/* SPDX-License-Identifier: Apache-2.0
 *
 * Which arrays a job's state has: their names, shapes and files. What becomes of their floats is in
 * test_arrays_files.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/scarcity.h"
#include "tests/lib/settings.h"
#include "tests/unit/persist/shares.h"

/* Lists the arrays of a file as "big[30,50] tiny[4] ...". */
static void list_arrays(const struct arrays_list *list, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < list->count; i++) {
        const struct array *const array = &list->array[i];
        used += (size_t)snprintf(text + used, size - used, "%s%s[", i > 0 ? " " : "", array->name);
        for (size_t d = 0; d < array->dims; d++)
            used += (size_t)snprintf(text + used, size - used, "%s%d", d > 0 ? "," : "",
                                     (int)array->shape[d]);
        used += (size_t)snprintf(text + used, size - used, "]");
    }
}

static void expect_arrays(const struct shares *shares, const char *model, const char *optimizer)
{
    char text[2000];
    struct arrays *const arrays = shares_map(shares);
    list_arrays(&arrays->file[ARRAYS_MODEL], text, sizeof text);
    assert_string_equal(text, model);
    list_arrays(&arrays->file[ARRAYS_OPTIMIZER], text, sizeof text);
    assert_string_equal(text, optimizer);
    (void)arrays_destroy(arrays);
}

#define MODEL "big[30,50] tiny[4] two[2,3] scalar[]"

/* ---- Names ----------------------------------------------------------------------------------- */

static void arrays__of_adam__are_weights_and_moments_of_their_shapes(void **state)
{
    (void)state;
    struct shares shares;
    shares_setup_group(&shares, "adam", "");
    assert_true(shares.job->layout.slices > 3); /* cut, and packed */
    shares_take(&shares);
    expect_arrays(&shares, MODEL,
                  "big/exp_avg[30,50] big/exp_avg_sq[30,50] tiny/exp_avg[4] tiny/exp_avg_sq[4] "
                  "two/exp_avg[2,3] two/exp_avg_sq[2,3] scalar/exp_avg[] scalar/exp_avg_sq[]");
    shares_teardown(&shares);
}

static void slots__of_a_size_of_their_own__are_flat(void **state)
{
    (void)state;
    struct shares shares;
    shares_setup_group(&shares, "adafactor", "");
    shares_take(&shares);
    expect_arrays(&shares, MODEL,
                  "big/row_var[30] big/col_var[50] tiny/variance[4] two/row_var[2] two/col_var[3] "
                  "scalar/variance[1]");
    shares_teardown(&shares);
}

static void slots__of_a_whole_group__are_under_its_first_tensor(void **state)
{
    (void)state;
    struct shares shares;
    shares_setup_group(&shares, "lbfgs", "history_size=2");
    shares_take(&shares);
    expect_arrays(&shares, MODEL,
                  "big/d[30,50] big/prev_flat_grad[30,50] big/old_dirs[3022] big/old_stps[3022] "
                  "tiny/d[4] tiny/prev_flat_grad[4] two/d[2,3] two/prev_flat_grad[2,3] scalar/d[] "
                  "scalar/prev_flat_grad[]");
    shares_teardown(&shares);
}

static void views__that_have_been_made__are_arrays(void **state)
{
    (void)state;
    struct shares shares;
    shares_setup_group(&shares, "nesterov", "form=interim ema_decay=0.25 swa_start=3");
    for (size_t i = 0; i < shares.job->layout.slices; i++) {
        shares.made[i][STEPD_TRAINING] = true;
        shares.made[i][STEPD_EMA] = true;
    }
    shares_take(&shares);
    expect_arrays(&shares, MODEL,
                  "big/training[30,50] big/ema[30,50] big/momentum_buffer[30,50] tiny/training[4] "
                  "tiny/ema[4] tiny/momentum_buffer[4] two/training[2,3] two/ema[2,3] "
                  "two/momentum_buffer[2,3] scalar/training[] scalar/ema[] "
                  "scalar/momentum_buffer[]");
    shares_teardown(&shares);
}

static void backups__of_ranks_that_have_pulled__are_arrays(void **state)
{
    (void)state;
    struct shares shares;
    const struct stepd_group group = settings_group("sgd", "");
    struct stepd_define_job def = draft_definition();
    def.group = &group;
    def.workers = 3;
    def.mode = STEPD_ASYNC;
    def.settings = settings_of("delay_compensation=0.5");
    shares_setup(&shares, &def);
    for (size_t i = 0; i < shares.job->layout.slices; i++)
        slice_back_up(&shares.slice[i], 2);
    slice_back_up(&shares.slice[1], 0); /* elements from 500 on */
    shares_take(&shares);
    expect_arrays(&shares, MODEL,
                  "big/backup.0@500[500] big/backup.2[30,50] tiny/backup.2[4] two/backup.2[2,3] "
                  "scalar/backup.2[]");
    shares_teardown(&shares);
}

static void frozen_tensors__have_weights_only(void **state)
{
    (void)state;
    struct shares shares;
    struct stepd_group group = settings_group("adam", "");
    struct stepd_define_job def = draft_definition();
    group.frozen = true;
    def.group = &group;
    shares_setup(&shares, &def);
    shares_take(&shares);
    expect_arrays(&shares, MODEL, "");
    shares_teardown(&shares);
}

/* ---- Stretches ------------------------------------------------------------------------------- */

static void slices__in_different_phases__have_slots_of_their_own_stretches(void **state)
{
    (void)state;
    struct shares shares;
    const struct stepd_phase phase[] = {settings_phase(5, "adamax", ""),
                                        settings_phase(9, "sgd", "")};
    struct stepd_group group = settings_group("adam", "");
    struct stepd_define_job def = draft_definition();
    group.phases = 2;
    group.phase = phase;
    def.group = &group;
    shares_setup(&shares, &def);
    slice_enter(&shares.slice[1], 5); /* 500 to 1000: exp_avg goes on, exp_avg_sq does not */
    slice_enter(&shares.slice[2], 9); /* 1000 to 1500: no slots */
    shares_take(&shares);
    expect_arrays(&shares, MODEL,
                  "big/exp_avg@0[1000] big/exp_avg_sq@0[500] big/exp_inf@500[500] tiny/exp_avg[4] "
                  "tiny/exp_avg_sq[4] two/exp_avg[2,3] two/exp_avg_sq[2,3] scalar/exp_avg[] "
                  "scalar/exp_avg_sq[]");
    shares_teardown(&shares);
}

static void slices__without_values__have_no_arrays(void **state)
{
    (void)state;
    struct shares shares;
    shares_setup_group(&shares, "momentum", "");
    shares.slice[1].valued = false; /* 500 to 1000 */
    shares.slice[3].valued = false; /* those that are packed */
    shares_take(&shares);
    expect_arrays(&shares, "",
                  "big/evaluation@0[500] big/evaluation@1000[500] big/momentum_buffer@0[500] "
                  "big/momentum_buffer@1000[500]");
    shares_teardown(&shares);
}

/* ---- Rules ----------------------------------------------------------------------------------- */

static void name__of_any_slot__meets_no_other_array(void **state)
{
    (void)state;
    static const char *const taken[] = {"training", "evaluation", "ema", "swa"};
    for (size_t i = 0; i < optimizer_count(); i++) {
        const struct optimizer *const optimizer = optimizer_at(i);
        for (size_t k = 0; k < optimizer_slots(optimizer); k++) {
            const char *const slot = optimizer->slot[k].name;
            assert_null(strpbrk(slot, "/@"));
            assert_int_not_equal(strncmp(slot, "backup.", 7), 0);
            assert_true(strlen(slot) < 40); /* SUFFIX_BYTES of arrays.c */
            for (size_t t = 0; t < sizeof taken / sizeof taken[0]; t++)
                assert_string_not_equal(slot, taken[t]);
        }
    }
}

static void arrays__of_another_cut_into_slices__are_the_same(void **state)
{
    (void)state;
    struct shares shares;
    struct shares other;
    char text[2][2000];
    const struct stepd_group group = settings_group("adam", "");
    struct stepd_define_job def = draft_definition();
    def.group = &group;
    shares_setup(&shares, &def);
    def.slice_elements = LAYOUT_SLICE_ELEMENTS_LEAST;
    shares_setup(&other, &def);
    assert_true(other.job->layout.slices > shares.job->layout.slices);
    shares_take(&shares);
    shares_take(&other);
    struct arrays *const arrays[] = {shares_map(&shares), shares_map(&other)};
    for (size_t i = 0; i < 2; i++)
        list_arrays(&arrays[i]->file[ARRAYS_OPTIMIZER], text[i], sizeof text[i]);
    assert_string_equal(text[0], text[1]);
    for (size_t i = 0; i < 2; i++)
        (void)arrays_destroy(arrays[i]);
    shares_teardown(&other);
    shares_teardown(&shares);
}

static void arrays__of_shares_that_lack_a_slice__are_refused(void **state)
{
    (void)state;
    struct shares shares;
    struct arrays *arrays = NULL;
    struct stepd_error error = {.code = STEPD_OK};
    shares_setup_group(&shares, "adam", "");
    shares_take(&shares);
    const struct job_state *const share = shares.share[0];
    assert_int_equal(arrays_create(&share, 1, &arrays, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "no share of the state of job 'j' has big[500:1000]");
    assert_null(arrays);
    shares_teardown(&shares);
}

static void arrays__of_a_phase_that_there_is_not__are_refused(void **state)
{
    (void)state;
    struct shares shares;
    struct arrays *arrays = NULL;
    struct stepd_error error = {.code = STEPD_OK};
    shares_setup_group(&shares, "adam", "");
    shares_take(&shares);
    shares.share[1]->slice[1].phase = 1;
    const struct job_state *const share[] = {shares.share[0], shares.share[1]};
    assert_int_equal(arrays_create(share, 2, &arrays, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "big[500:1000] is in phase 2, and its group 'g' has 1 phases");
    shares_teardown(&shares);
}

static void arrays__without_memory__are_refused(void **state)
{
    (void)state;
    struct shares shares;
    struct arrays *arrays = NULL;
    size_t failures = 0;
    shares_setup_group(&shares, "adam", "");
    shares_take(&shares);
    const struct job_state *const share[] = {shares.share[0], shares.share[1]};
    scarcity_after(failures);
    while (arrays_create(share, 2, &arrays, NULL) != STEPD_OK) {
        assert_null(arrays);
        scarcity_after(++failures);
    }
    scarcity_after(SCARCITY_NEVER);
    assert_true(failures > 12); /* a name for each array, and lists */
    (void)arrays_destroy(arrays);
    shares_teardown(&shares);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays__of_adam__are_weights_and_moments_of_their_shapes),
        cmocka_unit_test(slots__of_a_size_of_their_own__are_flat),
        cmocka_unit_test(slots__of_a_whole_group__are_under_its_first_tensor),
        cmocka_unit_test(views__that_have_been_made__are_arrays),
        cmocka_unit_test(backups__of_ranks_that_have_pulled__are_arrays),
        cmocka_unit_test(frozen_tensors__have_weights_only),
        cmocka_unit_test(slices__in_different_phases__have_slots_of_their_own_stretches),
        cmocka_unit_test(slices__without_values__have_no_arrays),
        cmocka_unit_test(name__of_any_slot__meets_no_other_array),
        cmocka_unit_test(arrays__of_another_cut_into_slices__are_the_same),
        cmocka_unit_test(arrays__of_shares_that_lack_a_slice__are_refused),
        cmocka_unit_test(arrays__of_a_phase_that_there_is_not__are_refused),
        cmocka_unit_test(arrays__without_memory__are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
