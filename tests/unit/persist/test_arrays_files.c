/* SPDX-License-Identifier: Apache-2.0
 *
 * A job's state through the two files and back, and files that are not of the job.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/settings.h"
#include "tests/unit/persist/shares.h"

/* ---- There and back -------------------------------------------------------------------------- */

static void expect_floats(const float *a, const float *b, uint64_t n)
{
    assert_int_equal(a == NULL, b == NULL);
    if (a != NULL)
        assert_memory_equal(a, b, n * sizeof *a);
}

static void expect_slice(const struct slice_state *read, const struct slice_state *written)
{
    for (int v = 0; v < STEPD_VIEWS; v++)
        expect_floats(read->view[v], written->view[v], written->elements);
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++) {
        assert_int_equal(read->slot_floats[k], written->slot_floats[k]);
        expect_floats(read->slot[k], written->slot[k], written->slot_floats[k]);
    }
    for (size_t r = 0; r < written->ranks; r++) {
        const struct rank_state *const rank = &written->by_rank[r];
        if (rank->backup_version != UINT64_MAX)
            expect_floats(read->by_rank[r].backup, rank->backup, written->elements);
        else
            assert_int_equal(read->by_rank[r].backup == NULL, rank->backup == NULL);
    }
}

static void expect_there_and_back(struct shares *shares)
{
    shares_take(shares);
    struct job_state *const state = shares_blank(shares);
    struct stepd_error error = {.code = STEPD_OK};
    const size_t slices = shares->job->layout.slices;
    for (size_t i = 0; i < slices; i++)
        for (int v = 0; v < STEPD_VIEWS; v++)
            shares->made[i][v] = shares_slice(shares, i)->view[v] != NULL;
    if (arrays_allocate(state, (const bool(*)[STEPD_VIEWS])shares->made, NULL, UINT64_MAX,
                        &error) != STEPD_OK)
        fail_msg("%s", error.text);
    shares_read(state, shares);
    for (size_t i = 0; i < slices; i++)
        expect_slice(&state->slice[i], shares_slice(shares, i));
    (void)job_state_unref(state);
}

static void slots__of_any_optimizer__come_back(void **state)
{
    (void)state;
    size_t checked = 0;
    for (size_t i = 0; i < optimizer_count(); i++) {
        struct shares shares;
        const struct optimizer *const optimizer = optimizer_at(i);
        if (strcmp(optimizer->name, "muon") == 0 || strcmp(optimizer->name, "newton") == 0)
            continue; /* they take matrices, or few elements, only */
        shares_setup_group(&shares, optimizer->name, "");
        expect_there_and_back(&shares);
        shares_teardown(&shares);
        checked++;
    }
    assert_int_equal(checked, optimizer_count() - 2);
}

static void slots__that_settings_ask_for__come_back(void **state)
{
    (void)state;
    static const char *const settings[][2] = {
        {"adam", "amsgrad=1"},
        {"rmsprop", "centered=1 momentum=0.9"},
        {"lbfgs", "history_size=3 line_search=backtracking"},
    };
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        struct shares shares;
        shares_setup_group(&shares, settings[i][0], settings[i][1]);
        expect_there_and_back(&shares);
        shares_teardown(&shares);
    }
}

static void views__that_some_slices_have__come_back(void **state)
{
    (void)state;
    struct shares shares;
    shares_setup_group(&shares, "nesterov", "form=interim ema_decay=0.25 swa_start=3");
    for (size_t i = 0; i < shares.job->layout.slices; i++) {
        shares.made[i][STEPD_TRAINING] = i % 2 == 0;
        shares.made[i][STEPD_EMA] = true;
        shares.made[i][STEPD_SWA] = i == 1;
    }
    expect_there_and_back(&shares);
    shares_teardown(&shares);
}

static void backups__come_back(void **state)
{
    (void)state;
    struct shares shares;
    const struct stepd_group group = settings_group("adam", "");
    struct stepd_define_job def = draft_definition();
    def.group = &group;
    def.workers = 3;
    def.mode = STEPD_ASYNC;
    def.settings = settings_of("delay_compensation=0.5");
    shares_setup(&shares, &def);
    for (size_t i = 0; i < shares.job->layout.slices; i++)
        slice_back_up(&shares.slice[i], (uint32_t)i % 2);
    expect_there_and_back(&shares);
    shares_teardown(&shares);
}

static void slices__in_different_phases__come_back(void **state)
{
    (void)state;
    struct shares shares;
    const struct stepd_phase phase[] = {settings_phase(5, "lamb", ""),
                                        settings_phase(9, "adamax", "")};
    struct stepd_group group = settings_group("adam", "");
    struct stepd_define_job def = draft_definition();
    group.phases = 2;
    group.phase = phase;
    def.group = &group;
    shares_setup(&shares, &def);
    slice_enter(&shares.slice[1], 9);
    expect_there_and_back(&shares);
    shares_teardown(&shares);
}

static void slices__without_values__come_back(void **state)
{
    (void)state;
    struct shares shares;
    shares_setup_group(&shares, "adam", "ema_decay=0.5");
    shares.slice[1].valued = false;
    expect_there_and_back(&shares);
    shares_teardown(&shares);
}

static void slices__of_a_group_that_has_changed__come_back(void **state)
{
    (void)state;
    struct shares shares;
    const struct stepd_group other = settings_group("momentum", "");
    struct group_change change = {.fresh = true};
    struct group changed = {.name = NULL};
    shares_setup_group(&shares, "adam", "");
    const struct stepd_group defaults = {.name = ""};
    assert_int_equal(group_init(&defaults, &other, &changed, NULL), STEPD_OK);
    change.group = calloc(1, sizeof *change.group);
    assert_non_null(change.group);
    *change.group = (struct shared_group){.group = changed, .refs = 1};
    for (size_t i = 0; i < 2; i++)
        slice_change(&shares.slice[i], &change, 1, 0);
    (void)shared_group_unref(change.group);
    expect_there_and_back(&shares);
    shares_teardown(&shares);
}

/* The tensors' floats, in the order of their elements, whatever the slices. */
static uint8_t *read_weights(const struct job_state *state, size_t *ret_bytes)
{
    struct arrays *arrays = NULL;
    assert_int_equal(arrays_create(&state, 1, &arrays, NULL), STEPD_OK);
    uint8_t *const bytes = shares_write(arrays, ARRAYS_MODEL, ret_bytes);
    (void)arrays_destroy(arrays);
    return bytes;
}

static void state__that_is_read_into_other_slices__is_the_same(void **state)
{
    (void)state;
    struct shares shares;
    struct shares other;
    struct job_state *into = NULL;
    const struct stepd_group group = settings_group("adam", "");
    struct stepd_define_job def = draft_definition();
    def.group = &group;
    shares_setup(&shares, &def);
    shares_take(&shares);
    def.slice_elements = LAYOUT_SLICE_ELEMENTS_LEAST;
    shares_setup(&other, &def);
    assert_int_equal(job_state_create(other.job, JOB_STATE_AS_IT_STANDS, &into), STEPD_OK);
    for (size_t i = 0; i < other.job->layout.slices; i++) {
        shares_blank_slice(shares_slice(&shares, 0), &into->slice[i]);
        into->slice[i].elements = other.job->layout.slice[i].elements;
    }
    assert_int_equal(
        arrays_allocate(into, (const bool(*)[STEPD_VIEWS])other.made, NULL, UINT64_MAX, NULL),
        STEPD_OK);
    shares_read(into, &shares);
    struct arrays *const arrays = shares_map(&shares);
    size_t n[2] = {0};
    uint8_t *const bytes[] = {shares_write(arrays, ARRAYS_MODEL, &n[0]), read_weights(into, &n[1])};
    assert_int_equal(n[0], n[1]);
    assert_memory_equal(bytes[0], bytes[1], n[0]);
    free(bytes[0]);
    free(bytes[1]);
    (void)arrays_destroy(arrays);
    (void)job_state_unref(into);
    shares_teardown(&other);
    shares_teardown(&shares);
}

/* ---- Pieces of an array ---------------------------------------------------------------------- */

static void array__in_any_two_parts__has_the_bytes_of_the_whole(void **state)
{
    (void)state;
    struct shares shares;
    uint8_t whole[6000];
    uint8_t parts[6000];
    shares_setup_group(&shares, "sgd", "");
    shares_take(&shares);
    struct arrays *const arrays = shares_map(&shares);
    const struct array *const big = &arrays->file[ARRAYS_MODEL].array[0];
    assert_int_equal(big->pieces, 3);
    assert_int_equal(big->floats, 1500);
    array_encode(big, 0, 1500, whole);
    for (uint64_t cut = 0; cut <= 1500; cut += 50) {
        memset(parts, 0, sizeof parts);
        array_encode(big, 0, cut, parts);
        for (size_t i = 4 * cut; i < sizeof parts; i++)
            assert_int_equal(parts[i], 0);
        array_encode(big, cut, 1500 - cut, parts + 4 * cut);
        assert_memory_equal(whole, parts, sizeof whole);
    }
    (void)arrays_destroy(arrays);
    shares_teardown(&shares);
}

/* ---- Files that are not of the job ----------------------------------------------------------- */

#define FILE_TENSORS (SHARES_TENSORS + 1u)

/* The tensors of shares_setup, in an order of places of their own, and one more. */
static void list_tensors(struct safetensors_tensor tensor[FILE_TENSORS])
{
    const struct safetensors_tensor list[FILE_TENSORS] = {
        {.name = "two", .dims = 2, .shape = {2, 3}, .begin = 0, .end = 24},
        {.name = "scalar", .begin = 24, .end = 28},
        {.name = "tiny", .dims = 1, .shape = {4}, .begin = 28, .end = 44},
        {.name = "big", .dims = 2, .shape = {30, 50}, .begin = 44, .end = 6044},
        {.name = "more", .dims = 1, .shape = {0}, .begin = 6044, .end = 6044},
    };
    memcpy(tensor, list, sizeof list);
}

/* Matches the map of a job's state with a file of these tensors, which ends with the last one. */
static enum stepd_status match(const struct safetensors_tensor *tensor, size_t tensors,
                               struct arrays *arrays, struct stepd_error *reterr)
{
    struct safetensors head;
    uint8_t *bytes = NULL;
    size_t n = 0;
    assert_int_equal(safetensors_encode(tensor, tensors, NULL, &bytes, &n, NULL), STEPD_OK);
    assert_int_equal(safetensors_decode(bytes + 8, n - 8, n + tensor[tensors - 1].end, &head, NULL),
                     STEPD_OK);
    free(bytes);
    const enum stepd_status status = arrays_match(arrays, ARRAYS_MODEL, &head, reterr);
    safetensors_deinit(&head);
    return status;
}

static void expect_mismatch(const struct safetensors_tensor *tensor, size_t tensors,
                            const char *text)
{
    struct shares shares;
    struct stepd_error error = {.code = STEPD_OK};
    shares_setup_group(&shares, "sgd", "");
    shares_take(&shares);
    struct arrays *const arrays = shares_map(&shares);
    assert_int_equal(match(tensor, tensors, arrays, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, text);
    (void)arrays_destroy(arrays);
    shares_teardown(&shares);
}

static void file__with_arrays_in_another_order__matches(void **state)
{
    (void)state;
    struct shares shares;
    struct safetensors_tensor tensor[FILE_TENSORS];
    list_tensors(tensor);
    shares_setup_group(&shares, "sgd", "");
    shares_take(&shares);
    struct arrays *const arrays = shares_map(&shares);
    assert_int_equal(match(tensor, SHARES_TENSORS, arrays, NULL), STEPD_OK);
    for (size_t i = 0; i < SHARES_TENSORS; i++) {
        assert_string_equal(arrays->file[ARRAYS_MODEL].array[i].name, tensor[i].name);
        assert_int_equal(arrays->file[ARRAYS_MODEL].array[i].begin, tensor[i].begin);
    }
    (void)arrays_destroy(arrays);
    shares_teardown(&shares);
}

static void file__without_one_of_the_arrays__is_refused(void **state)
{
    (void)state;
    struct safetensors_tensor tensor[FILE_TENSORS];
    list_tensors(tensor);
    expect_mismatch(tensor, 3, "the file has no array 'big', which the job's state needs");
}

static void file__with_an_array_more__is_refused(void **state)
{
    (void)state;
    struct safetensors_tensor tensor[FILE_TENSORS];
    list_tensors(tensor);
    expect_mismatch(tensor, FILE_TENSORS,
                    "the file has an array \"more\", for which the job's state has no place");
}

static void file__with_an_array_of_another_dtype__is_refused(void **state)
{
    (void)state;
    struct safetensors_tensor tensor[FILE_TENSORS];
    list_tensors(tensor);
    tensor[1].dtype = SAFETENSORS_I32;
    expect_mismatch(tensor, SHARES_TENSORS,
                    "array 'scalar' is of I32, and a job's state is of F32");
}

static void file__with_an_array_of_more_dimensions__is_refused(void **state)
{
    (void)state;
    struct safetensors_tensor tensor[FILE_TENSORS];
    list_tensors(tensor);
    tensor[2].dims = 2;
    tensor[2].shape[1] = 1;
    expect_mismatch(tensor, SHARES_TENSORS,
                    "array 'tiny' is of shape [4, 1], and in the job of [4]");
}

static void file__with_an_array_of_another_shape__is_refused(void **state)
{
    (void)state;
    struct safetensors_tensor tensor[FILE_TENSORS];
    list_tensors(tensor);
    tensor[0].shape[0] = 3;
    tensor[0].shape[1] = 2;
    expect_mismatch(tensor, SHARES_TENSORS,
                    "array 'two' is of shape [3, 2], and in the job of [2, 3]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots__of_any_optimizer__come_back),
        cmocka_unit_test(slots__that_settings_ask_for__come_back),
        cmocka_unit_test(views__that_some_slices_have__come_back),
        cmocka_unit_test(backups__come_back),
        cmocka_unit_test(slices__in_different_phases__come_back),
        cmocka_unit_test(slices__without_values__come_back),
        cmocka_unit_test(slices__of_a_group_that_has_changed__come_back),
        cmocka_unit_test(state__that_is_read_into_other_slices__is_the_same),
        cmocka_unit_test(array__in_any_two_parts__has_the_bytes_of_the_whole),
        cmocka_unit_test(file__with_arrays_in_another_order__matches),
        cmocka_unit_test(file__without_one_of_the_arrays__is_refused),
        cmocka_unit_test(file__with_an_array_more__is_refused),
        cmocka_unit_test(file__with_an_array_of_another_dtype__is_refused),
        cmocka_unit_test(file__with_an_array_of_more_dimensions__is_refused),
        cmocka_unit_test(file__with_an_array_of_another_shape__is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
