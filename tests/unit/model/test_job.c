/* SPDX-License-Identifier: Apache-2.0
 *
 * Definitions, sealing, and what a job can be asked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/model/drafts.h"

static const uint64_t six[] = {6};
static const uint64_t hundred[] = {100};
static const uint64_t large[] = {2 * DRAFT_SLICE_ELEMENTS};

static struct stepd_error error;

/* ---- Definitions ----------------------------------------------------------------------------- */

static const char *refused(const struct stepd_define_job *def)
{
    struct job_draft *draft = NULL;
    error = (struct stepd_error){.code = STEPD_OK};
    assert_int_equal(job_draft_create("j", def, 1024, &draft, &error), STEPD_INVALID_ARGUMENT);
    assert_null(draft);
    return error.text;
}

static void job_draft_create__with_numbers_out_of_range__is_refused(void **state)
{
    (void)state;
    struct stepd_define_job def = draft_definition();
    def.workers = 0;
    assert_non_null(strstr(refused(&def), "workers is 0; it must be 1 to 4096"));
    def.workers = STEPD_WORKERS_MAX + 1;
    assert_non_null(strstr(refused(&def), "workers is 4097"));
    def = draft_definition();
    def.groups = 0;
    assert_non_null(strstr(refused(&def), "the job has 0 groups"));
    def = draft_definition();
    def.slice_elements = LAYOUT_SLICE_ELEMENTS_LEAST - 1;
    assert_non_null(strstr(refused(&def), "slice_elements is 255"));
    def.slice_elements = LAYOUT_SLICE_ELEMENTS_MOST + 1;
    assert_non_null(strstr(refused(&def), "slice_elements is 8388609"));
}

static void job_draft_create__of_two_groups_of_one_name__is_refused(void **state)
{
    (void)state;
    struct stepd_group group[] = {draft_group("a", "x*", "sgd"), draft_group("b", "y*", "sgd"),
                                  draft_group("a", "*", "sgd")};
    struct stepd_define_job def = draft_definition();
    def.groups = 3;
    def.group = group;
    assert_non_null(strstr(refused(&def), "groups 1 and 3 are both called 'a'; give each a name"));
    group[0].name = group[2].name = "";
    (void)job_draft_destroy(draft_create(&def)); /* each is called as what it matches */
}

static void job_draft_create__of_a_wrong_group__frees_the_groups_before_it(void **state)
{
    (void)state;
    const struct stepd_group group[] = {draft_group("right", "a*", "sgd"),
                                        draft_group("wrong", "*", "sdg")};
    struct stepd_define_job def = draft_definition();
    def.groups = 2;
    def.group = group;
    struct job_draft *draft = NULL;
    assert_int_equal(job_draft_create("j", &def, 1024, &draft, &error), STEPD_NOT_FOUND);
    assert_non_null(strstr(error.text, "group 'wrong'"));
}

static void job_draft_same__of_the_same__is_ok(void **state)
{
    (void)state;
    const struct stepd_define_job def = draft_definition();
    struct job_draft *draft = draft_create(&def);
    assert_int_equal(job_draft_same(draft, &def, NULL), STEPD_OK);
    assert_int_equal(job_draft_workers(draft), 1);
    assert_int_equal(job_draft_mode(draft), STEPD_SYNC);
    (void)job_draft_destroy(draft);
}

static void job_draft_same__of_the_default_slice_size_by_number__is_ok(void **state)
{
    (void)state;
    struct stepd_define_job def = draft_definition();
    def.slice_elements = 0;
    struct job_draft *draft = draft_create(&def);
    def.slice_elements = 1024;
    assert_int_equal(job_draft_same(draft, &def, NULL), STEPD_OK);
    def.slice_elements = 1025;
    assert_int_equal(job_draft_same(draft, &def, NULL), STEPD_INVALID_ARGUMENT);
    (void)job_draft_destroy(draft);
}

/* The refusal of `other` where the plain definition stands. */
static const char *difference(const struct stepd_define_job *other)
{
    const struct stepd_define_job def = draft_definition();
    struct job_draft *draft = draft_create(&def);
    assert_int_equal(job_draft_same(draft, other, &error), STEPD_INVALID_ARGUMENT);
    (void)job_draft_destroy(draft);
    assert_non_null(strstr(error.text, "job 'j': "));
    return error.text;
}

static void job_draft_same__of_another_scalar__names_it(void **state)
{
    (void)state;
    struct stepd_define_job def = draft_definition();
    def.mode = STEPD_ASYNC;
    assert_non_null(strstr(difference(&def), "mode is defined as 'sync', not 'async'"));
    def = draft_definition();
    def.workers = 2;
    assert_non_null(strstr(difference(&def), "workers is defined as 1, not 2"));
    def = draft_definition();
    def.strict = true;
    assert_non_null(strstr(difference(&def), "strict is defined as 0, not 1"));
}

static void job_draft_same__of_another_group__names_what_differs(void **state)
{
    (void)state;
    const double half = 0.5;
    const struct stepd_setting setting = {.name = "lr", .values = 1, .value = &half};
    struct stepd_group group = draft_group("all", "*", "adam");
    struct stepd_define_job def = draft_definition();
    def.group = &group;
    assert_non_null(strstr(difference(&def), "group 'all': optimizer is defined as 'sgd'"));
    group = draft_group("all", "fc*", "sgd");
    assert_non_null(strstr(difference(&def), "match is defined as '*', not 'fc*'"));
    group = draft_group("every", "*", "sgd");
    assert_non_null(strstr(difference(&def), "name is defined as 'all', not 'every'"));
    group = draft_group("all", "*", "sgd");
    group.settings = (struct stepd_settings){.count = 1, .at = &setting};
    assert_non_null(strstr(difference(&def), "not 0.5"));
}

/* ---- Sealing --------------------------------------------------------------------------------- */

static enum stepd_status seal(const struct stepd_define_job *def,
                              const struct stepd_tensor_def *tensor, size_t tensors,
                              struct job **ret_job)
{
    struct job_draft *draft = draft_create(def);
    if (tensors > 0)
        assert_int_equal(draft_add_last(draft, 0, tensor, tensors, &error), STEPD_OK);
    const enum stepd_status status = job_draft_seal(draft, 3, 2, ret_job, &error);
    (void)job_draft_destroy(draft);
    return status;
}

static void job_draft_seal__of_overlapping_groups__lets_the_first_match_win(void **state)
{
    (void)state;
    const struct stepd_group group[] = {draft_group("bias", "*.bias", "sgd"),
                                        draft_group("fc1", "fc1.*", "adam"),
                                        draft_group("rest", "*", "momentum")};
    const struct stepd_tensor_def tensor[] = {draft_tensor("fc1.weight", six, 1),
                                              draft_tensor("fc1.bias", six, 1),
                                              draft_tensor("fc2.weight", six, 1)};
    struct stepd_define_job def = draft_definition();
    def.groups = 3;
    def.group = group;
    struct job *job = NULL;
    assert_int_equal(seal(&def, tensor, 3, &job), STEPD_OK);
    assert_int_equal(job->tensor[0].group, 1);
    assert_int_equal(job->tensor[1].group, 0);
    assert_int_equal(job->tensor[2].group, 2);
    assert_string_equal(job->group[1].phase[0].optimizer->name, "adam");
    (void)job_unref(job);
}

static void job_draft_seal__of_a_tensor_that_no_group_matches__is_refused(void **state)
{
    (void)state;
    const struct stepd_group group = draft_group("fc", "fc*", "sgd");
    const struct stepd_tensor_def tensor = draft_tensor("conv.weight", six, 1);
    struct stepd_define_job def = draft_definition();
    def.group = &group;
    struct job *job = NULL;
    assert_int_equal(seal(&def, &tensor, 1, &job), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "no group matches tensor 'conv.weight'"));
    assert_null(job);
}

static void job_draft_seal__of_globs_that_take_for_ever__is_refused(void **state)
{
    (void)state;

    enum { GROUPS = STEPD_GROUPS_MAX, TENSORS = 1000 };

    static char name[TENSORS][STEPD_NAME_MAX_BYTES + 1], group_name[GROUPS][8];
    static struct stepd_group group[GROUPS];
    static struct stepd_tensor_def tensor[TENSORS];
    char glob[] = "*"
                  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab";
    for (size_t i = 0; i < GROUPS; i++) {
        (void)snprintf(group_name[i], sizeof group_name[i], "g%zu", i);
        group[i] = draft_group(group_name[i], i + 1 < GROUPS ? glob : "*", "sgd");
    }
    for (size_t i = 0; i < TENSORS; i++) {
        memset(name[i], 'a', STEPD_NAME_MAX_BYTES);
        (void)snprintf(name[i] + STEPD_NAME_MAX_BYTES - 6, 7, "%06zu", i);
        tensor[i] = draft_tensor(name[i], six, 1);
    }
    struct stepd_define_job def = draft_definition();
    def.groups = GROUPS;
    def.group = group;
    struct job *job = NULL;
    assert_int_equal(seal(&def, tensor, TENSORS, &job), STEPD_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(error.text, "the globs of 256 groups take too long with 1000 tensors"));
    assert_null(job);
}

static void job_draft_seal__of_a_group_that_matches_nothing__is_refused_when_strict(void **state)
{
    (void)state;
    const struct stepd_group group[] = {draft_group("rest", "*", "sgd"),
                                        draft_group("late", "fc*", "sgd")};
    const struct stepd_tensor_def tensor = draft_tensor("fc1", six, 1);
    struct stepd_define_job def = draft_definition();
    def.groups = 2;
    def.group = group;
    struct job *job = NULL;
    assert_int_equal(seal(&def, &tensor, 1, &job), STEPD_OK);
    (void)job_unref(job);
    job = NULL;
    def.strict = true;
    assert_int_equal(seal(&def, &tensor, 1, &job), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "group 'late': no tensor matches 'fc*'"));
}

static void job_draft_seal__without_tensors__is_refused(void **state)
{
    (void)state;
    const struct stepd_define_job def = draft_definition();
    struct job *job = NULL;
    assert_int_equal(seal(&def, NULL, 0, &job), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "job 'j' has no tensors"));
}

static void job_draft_seal__that_fails__leaves_the_draft_open(void **state)
{
    (void)state;
    const struct stepd_group group = draft_group("fc", "fc*", "sgd");
    const struct stepd_tensor_def tensor[] = {draft_tensor("conv", six, 1),
                                              draft_tensor("fc", six, 1)};
    struct stepd_define_job def = draft_definition();
    def.group = &group;
    struct job_draft *draft = draft_create(&def);
    struct job *job = NULL;
    assert_int_equal(draft_add(draft, 0, tensor, 1, &error), STEPD_OK);
    assert_int_equal(job_draft_seal(draft, 1, 1, &job, &error), STEPD_INVALID_ARGUMENT);
    assert_int_equal(draft_add(draft, 1, tensor + 1, 1, &error), STEPD_OK);
    (void)job_draft_destroy(draft);
}

static void job_draft_seal__of_a_definition__carries_it_over(void **state)
{
    (void)state;
    const struct stepd_tensor_def tensor[] = {draft_tensor("a", six, 1),
                                              draft_tensor("b", hundred, 1)};
    struct stepd_define_job def = draft_definition();
    def.workers = 5;
    def.mode = STEPD_ASYNC;
    struct job *job = NULL;
    assert_int_equal(seal(&def, tensor, 2, &job), STEPD_OK);
    assert_string_equal(job->name, "j");
    assert_int_equal(job->incarnation, 3);
    assert_int_equal(job->shards, 2);
    assert_int_equal(job->workers, 5);
    assert_int_equal(job->consistency.mode, STEPD_ASYNC);
    assert_int_equal(job->elements, 106);
    assert_int_equal(job->slice_elements, DRAFT_SLICE_ELEMENTS);
    (void)job_unref(job);
}

/* ---- Questions ------------------------------------------------------------------------------- */

static void job_unref__of_one_of_two_references__keeps_the_job(void **state)
{
    (void)state;
    const struct stepd_define_job def = draft_definition();
    const struct stepd_tensor_def tensor = draft_tensor("a", six, 1);
    struct job *job = draft_job(&def, &tensor, 1);
    struct job *other = job_ref(job);
    assert_null(job_unref(job));
    assert_string_equal(other->tensor[0].name, "a");
    assert_null(job_unref(other));
    assert_null(job_unref(NULL));
}

static void job_memory_bytes__of_a_job__is_two_versions_and_slots_and_staging(void **state)
{
    (void)state;
    const struct stepd_group group[] = {draft_group("fc", "fc", "adam"),
                                        draft_group("rest", "*", "sgd")};
    const struct stepd_tensor_def tensor[] = {draft_tensor("fc", hundred, 1),
                                              draft_tensor("b", six, 1)};
    struct stepd_define_job def = draft_definition();
    def.workers = 3;
    def.groups = 2;
    def.group = group;
    struct job *job = draft_job(&def, tensor, 2);
    /* adam: 2 versions, 2 slots, 3 gradients; sgd: the same without slots. In lines of 16 floats.
     */
    assert_int_equal(job_memory_bytes(job), 4 * (112 * 7 + 16 * 5));
    (void)job_unref(job);
}

static void job_slice_name__of_whole_cut_and_packed_tensors__says_what_it_holds(void **state)
{
    (void)state;
    const struct stepd_define_job def = draft_definition();
    const struct stepd_tensor_def tensor[] = {
        draft_tensor("big", large, 1), draft_tensor("whole", hundred, 1),
        draft_tensor("b1", six, 1), draft_tensor("b2", six, 1), draft_tensor("b3", six, 1)};
    struct job *job = draft_job(&def, tensor, 5);
    const char *const expected[] = {"big[0:640]", "big[640:1280]", "whole", "b1 and 2 more"};
    assert_int_equal(job->layout.slices, 4);
    for (uint32_t i = 0; i < 4; i++) {
        char text[64];
        job_slice_name(job, i, text, sizeof text);
        assert_string_equal(text, expected[i]);
    }
    (void)job_unref(job);
}

static void job_slice_element__anywhere__finds_tensor_and_index(void **state)
{
    (void)state;
    const struct stepd_define_job def = draft_definition();
    const struct stepd_tensor_def tensor[] = {
        draft_tensor("big", large, 1), draft_tensor("b1", six, 1), draft_tensor("b2", six, 1)};
    struct job *job = draft_job(&def, tensor, 3);
    uint64_t index = 0;
    assert_string_equal(job_slice_element(job, 1, 5, &index)->name, "big");
    assert_int_equal(index, 645);
    assert_string_equal(job_slice_element(job, 2, 5, &index)->name, "b1");
    assert_int_equal(index, 5);
    assert_string_equal(job_slice_element(job, 2, 6, &index)->name, "b2");
    assert_int_equal(index, 0);
    (void)job_unref(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(job_draft_create__with_numbers_out_of_range__is_refused),
        cmocka_unit_test(job_draft_create__of_two_groups_of_one_name__is_refused),
        cmocka_unit_test(job_draft_create__of_a_wrong_group__frees_the_groups_before_it),
        cmocka_unit_test(job_draft_same__of_the_same__is_ok),
        cmocka_unit_test(job_draft_same__of_the_default_slice_size_by_number__is_ok),
        cmocka_unit_test(job_draft_same__of_another_scalar__names_it),
        cmocka_unit_test(job_draft_same__of_another_group__names_what_differs),
        cmocka_unit_test(job_draft_seal__of_overlapping_groups__lets_the_first_match_win),
        cmocka_unit_test(job_draft_seal__of_a_tensor_that_no_group_matches__is_refused),
        cmocka_unit_test(job_draft_seal__of_globs_that_take_for_ever__is_refused),
        cmocka_unit_test(job_draft_seal__of_a_group_that_matches_nothing__is_refused_when_strict),
        cmocka_unit_test(job_draft_seal__without_tensors__is_refused),
        cmocka_unit_test(job_draft_seal__that_fails__leaves_the_draft_open),
        cmocka_unit_test(job_draft_seal__of_a_definition__carries_it_over),
        cmocka_unit_test(job_unref__of_one_of_two_references__keeps_the_job),
        cmocka_unit_test(job_memory_bytes__of_a_job__is_two_versions_and_slots_and_staging),
        cmocka_unit_test(job_slice_name__of_whole_cut_and_packed_tensors__says_what_it_holds),
        cmocka_unit_test(job_slice_element__anywhere__finds_tensor_and_index),
    };
    return cmocka_run_group_tests_name("model/job", tests, NULL, NULL);
}
