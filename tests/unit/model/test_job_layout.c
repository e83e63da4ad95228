/* SPDX-License-Identifier: Apache-2.0
 *
 * From tensors and groups to slices: who gets which tensor, what optimizers of whole tensors and
 * groups refuse, and what is laid out for them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/settings.h"
#include "tests/unit/model/drafts.h"

static const uint64_t ten[] = {10};
static const uint64_t hundred[] = {100};
static const uint64_t thousand[] = {1000};
static const uint64_t matrix[] = {30, 40};
static const uint64_t beyond[] = {LAYOUT_SLICE_ELEMENTS_MOST + 1};

static struct stepd_error error;

/* A definition of these groups. */
static struct stepd_define_job define(const struct stepd_group *group, size_t groups)
{
    struct stepd_define_job def = draft_definition();
    def.groups = groups;
    def.group = group;
    return def;
}

static void assert_refused(const struct stepd_define_job *def,
                           const struct stepd_tensor_def *tensor, size_t tensors, const char *text)
{
    struct job_draft *draft = draft_create(def);
    struct job *job = NULL;
    error = (struct stepd_error){.code = STEPD_OK};
    assert_int_equal(draft_add_last(draft, 0, tensor, tensors, &error), STEPD_OK);
    assert_int_equal(job_draft_seal(draft, 1, 1, &job, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, text);
    assert_null(job);
    (void)job_draft_destroy(draft);
}

/* ---- Norms ----------------------------------------------------------------------------------- */

/* A job of 9000 elements whose gradient is clipped by its norm. */
static struct stepd_define_job define_clipped(uint32_t slice_elements)
{
    static const double one = 1.0;
    static const struct stepd_setting clip = {
        .name = "clip_global_norm", .values = 1, .value = &one, .word = ""};
    struct stepd_define_job def = draft_definition();
    def.settings = (struct stepd_settings){.count = 1, .at = &clip};
    def.slice_elements = slice_elements;
    return def;
}

static void seal__of_clipped_tensors_cut_within_a_block__is_refused_with_the_remedy(void **state)
{
    (void)state;
    static const uint64_t large[] = {9000};
    const struct stepd_define_job def = define_clipped(5000);
    const struct stepd_tensor_def tensor = draft_tensor("w", large, 1);
    assert_refused(&def, &tensor, 1,
                   "job 'j': gradients are clipped by their norm, which is summed over blocks of "
                   "4096 elements, and tensor 'w' is cut within one; set slice_elements to a "
                   "multiple of 4096 (now 5000)");
}

static void seal__of_clipped_tensors_cut_between_blocks__is_fine(void **state)
{
    (void)state;
    static const uint64_t large[] = {9000};
    const struct stepd_define_job def = define_clipped(4096);
    const struct stepd_tensor_def tensor = draft_tensor("w", large, 1);
    struct job *job = draft_job(&def, &tensor, 1);
    assert_int_equal(job->layout.slices, 3);
    (void)job_unref(job);
}

/* ---- Who gets it ----------------------------------------------------------------------------- */

static const struct group *group_of(const struct job *job, size_t tensor)
{
    return &job->group[job->tensor[tensor].group];
}

static void seal__of_groups_by_ndim__gives_the_rest_to_the_next(void **state)
{
    (void)state;
    static const uint32_t two[] = {2};
    struct stepd_group group[] = {draft_group("matrices", "*", "muon"),
                                  draft_group("rest", "*", "adamw")};
    group[0].ndim = (struct stepd_u32s){.count = 1, .at = two};
    const struct stepd_tensor_def tensor[] = {draft_tensor("fc.weight", matrix, 2),
                                              draft_tensor("fc.bias", ten, 1),
                                              draft_tensor("temperature", NULL, 0)};
    const struct stepd_define_job def = define(group, 2);
    struct job *job = draft_job(&def, tensor, 3);
    assert_string_equal(group_of(job, 0)->name, "matrices");
    assert_string_equal(group_of(job, 1)->name, "rest");
    assert_string_equal(group_of(job, 2)->name, "rest");
    assert_int_equal(job->group_tensors[0], 1);
    assert_int_equal(job->group_tensors[1], 2);
    (void)job_unref(job);
}

static void seal__of_a_tensor_that_only_ndim_leaves_out__names_it_and_its_dimensions(void **state)
{
    (void)state;
    static const uint32_t two[] = {2};
    struct stepd_group group = draft_group("matrices", "*", "sgd");
    group.ndim = (struct stepd_u32s){.count = 1, .at = two};
    const struct stepd_tensor_def tensor = draft_tensor("fc.bias", ten, 1);
    const struct stepd_define_job def = define(&group, 1);
    assert_refused(&def, &tensor, 1,
                   "job 'j': no group matches tensor 'fc.bias' (1 dimension); add one, such as "
                   "match: \"*\"");
}

static void seal__of_a_strict_job_whose_group_gets_nothing__says_whether_ndim_is_why(void **state)
{
    (void)state;
    static const uint32_t two[] = {2};
    struct stepd_group group[] = {draft_group("all", "*", "sgd"),
                                  draft_group("late", "fc*", "sgd")};
    const struct stepd_tensor_def tensor = draft_tensor("fc.bias", ten, 1);
    struct stepd_define_job def = define(group, 2);
    def.strict = true;
    assert_refused(&def, &tensor, 1,
                   "job 'j': group 'late': no tensor matches 'fc*' that an earlier group has not "
                   "taken (the job is strict)");
    group[1].ndim = (struct stepd_u32s){.count = 1, .at = two};
    assert_refused(&def, &tensor, 1,
                   "job 'j': group 'late': no tensor matches 'fc*' and its ndim that an earlier "
                   "group has not taken (the job is strict)");
}

static void seal__of_a_job_that_is_not_strict__counts_what_each_group_got(void **state)
{
    (void)state;
    const struct stepd_group group[] = {draft_group("all", "*", "sgd"),
                                        draft_group("late", "fc*", "sgd")};
    const struct stepd_tensor_def tensor = draft_tensor("fc.bias", ten, 1);
    const struct stepd_define_job def = define(group, 2);
    struct job *job = draft_job(&def, &tensor, 1);
    assert_int_equal(job->group_tensors[0], 1);
    assert_int_equal(job->group_tensors[1], 0);
    (void)job_unref(job);
}

/* An empty group asks nothing of anybody, whatever its optimizer. */
static void seal__of_an_empty_group_of_newton__minds_nothing(void **state)
{
    (void)state;
    const struct stepd_group group[] = {draft_group("all", "*", "sgd"),
                                        draft_group("late", "fc*", "newton")};
    const struct stepd_tensor_def tensor = draft_tensor("fc.weight", beyond, 1);
    const struct stepd_define_job def = define(group, 2);
    struct job *job = draft_job(&def, &tensor, 1);
    (void)job_unref(job);
}

/* The lecture's per-layer options: SGD with momentum 0.9 for all, the base at 1e-2 and the
 * classifier at 1e-3. */
static void seal__of_the_lectures_base_and_classifier__gives_each_its_rate(void **state)
{
    (void)state;
    struct stepd_group group[] = {draft_group("base", "base.*", ""),
                                  draft_group("classifier", "classifier.*", "")};
    group[1].settings = settings_of("lr=1e-3");
    const struct stepd_tensor_def tensor[] = {
        draft_tensor("base.0.weight", matrix, 2), draft_tensor("base.0.bias", ten, 1),
        draft_tensor("classifier.weight", matrix, 2), draft_tensor("classifier.bias", ten, 1)};
    struct stepd_define_job def = define(group, 2);
    def.defaults = (struct stepd_group){.optimizer = "momentum",
                                        .settings = settings_of("lr=1e-2 momentum=0.9")};
    struct job *job = draft_job(&def, tensor, 4);
    const double lr[] = {1e-2, 1e-2, 1e-3, 1e-3};
    for (size_t i = 0; i < 4; i++) {
        const struct phase *phase = group_phase(group_of(job, i), 0);
        assert_string_equal(phase->optimizer->name, "momentum");
        assert_true(phase->hyper.lr == lr[i]);
        assert_true(phase->hyper.momentum == 0.9);
    }
    (void)job_unref(job);
}

/* ---- Definitions with defaults --------------------------------------------------------------- */

static void draft__with_wrong_defaults__is_refused_before_any_group(void **state)
{
    (void)state;
    const struct stepd_group group = draft_group("all", "*", "sdg");
    struct stepd_define_job def = define(&group, 1);
    def.defaults = (struct stepd_group){.settings = settings_of("momentun=0.9")};
    struct job_draft *draft = NULL;
    assert_int_equal(job_draft_create("j", &def, 1024, &draft, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "defaults: no optimizer has a hyperparameter 'momentun': did "
                                    "you mean 'momentum'?");
}

static void draft__of_a_sync_only_optimizer_in_async__is_refused(void **state)
{
    (void)state;
    const struct stepd_group group[] = {draft_group("a", "a*", "sgd"),
                                        draft_group("rest", "*", "newton")};
    struct stepd_define_job def = define(group, 2);
    def.mode = STEPD_ASYNC;
    struct job_draft *draft = NULL;
    assert_int_equal(job_draft_create("j", &def, 1024, &draft, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text,
                        "group 'rest': newton needs the mean gradient of all workers, so the job's "
                        "mode must be sync, and it is async");
}

static void draft_same__of_what_the_defaults_say_too__is_ok(void **state)
{
    (void)state;
    struct stepd_group group = draft_group("all", "*", "");
    struct stepd_define_job def = define(&group, 1);
    def.defaults =
        (struct stepd_group){.optimizer = "momentum", .settings = settings_of("momentum=0.5")};
    struct job_draft *draft = draft_create(&def);
    group = draft_group("all", "*", "momentum");
    group.settings = settings_of("momentum=0.5");
    def.defaults = (struct stepd_group){.optimizer = ""};
    assert_int_equal(job_draft_same(draft, &def, NULL), STEPD_OK);
    def.defaults = (struct stepd_group){.settings = settings_of("lr=0.25")};
    assert_int_equal(job_draft_same(draft, &def, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "job 'j': group 'all': lr is defined as 0.001, not 0.25");
    (void)job_draft_destroy(draft);
}

/* ---- Whole tensors --------------------------------------------------------------------------- */

static void seal__of_muon__refuses_what_is_no_matrix(void **state)
{
    (void)state;
    const struct stepd_group group = draft_group("all", "*", "muon");
    const struct stepd_tensor_def tensor[] = {draft_tensor("w", matrix, 2),
                                              draft_tensor("b", ten, 1)};
    const struct stepd_define_job def = define(&group, 1);
    assert_refused(
        &def, tensor, 2,
        "job 'j': group 'all': tensor 'b': muon takes matrices only, and this tensor has "
        "1 dimension: put it in another group, for instance with adamw (a group's ndim: "
        "2 leaves all others out)");
}

static void seal__of_a_later_phase_of_muon__refuses_what_is_no_matrix(void **state)
{
    (void)state;
    const struct stepd_phase phase = settings_phase(5, "muon", "");
    struct stepd_group group = draft_group("all", "*", "adam");
    group.phases = 1;
    group.phase = &phase;
    const struct stepd_tensor_def tensor = draft_tensor("b", NULL, 0);
    struct stepd_define_job def = define(&group, 1);
    assert_refused(
        &def, &tensor, 1,
        "job 'j': group 'all': tensor 'b': muon takes matrices only, and this tensor has "
        "0 dimensions: put it in another group, for instance with adamw (a group's ndim: "
        "2 leaves all others out)");
    group.frozen = true; /* which never comes to it */
    struct job *job = draft_job(&def, &tensor, 1);
    (void)job_unref(job);
}

static void seal__of_a_tensor_beyond_what_is_never_cut__states_the_limit(void **state)
{
    (void)state;
    struct stepd_group group = draft_group("all", "*", "lamb");
    const struct stepd_tensor_def tensor = draft_tensor("w", beyond, 1);
    const struct stepd_define_job def = define(&group, 1);
    assert_refused(&def, &tensor, 1,
                   "job 'j': group 'all': tensor 'w': 8388609 elements, and lamb, which never cuts "
                   "a tensor, takes at most 8388608");
    const struct stepd_phase phase = settings_phase(5, "lars", "");
    group = draft_group("all", "*", "adam");
    struct job *job = draft_job(&def, &tensor, 1);
    (void)job_unref(job);
    group.phases = 1;
    group.phase = &phase;
    assert_refused(&def, &tensor, 1,
                   "job 'j': group 'all': tensor 'w': 8388609 elements, and lars, which never cuts "
                   "a tensor, takes at most 8388608");
}

static void seal__of_a_whole_tensor__is_one_slice_however_small_slices_are(void **state)
{
    (void)state;
    struct stepd_group group = draft_group("all", "*", "adafactor");
    const struct stepd_tensor_def tensor = draft_tensor("w", matrix, 2); /* 1200 elements */
    const struct stepd_define_job def = define(&group, 1);
    struct job *job = draft_job(&def, &tensor, 1);
    assert_int_equal(job->layout.slices, 1);
    assert_int_equal(job->layout.slice[0].elements, 1200);
    (void)job_unref(job);
    group = draft_group("all", "*", "adam");
    job = draft_job(&def, &tensor, 1);
    assert_int_equal(job->layout.slices, 2); /* of at most 640 */
    (void)job_unref(job);
}

/* ---- Whole groups ---------------------------------------------------------------------------- */

static void seal__of_a_group_stepped_as_one__is_one_slice_in_order(void **state)
{
    (void)state;
    const struct stepd_group group[] = {draft_group("a", "a*", "lbfgs"),
                                        draft_group("rest", "*", "sgd")};
    const struct stepd_tensor_def tensor[] = {
        draft_tensor("a.large", thousand, 1), draft_tensor("b", hundred, 1),
        draft_tensor("a.small", ten, 1), draft_tensor("a.last", hundred, 1)};
    const struct stepd_define_job def = define(group, 2);
    struct job *job = draft_job(&def, tensor, 4);
    const struct slice_plan *slice = &job->layout.slice[0];
    assert_int_equal(job->layout.slices, 2);
    assert_int_equal(slice->elements, 1110);
    assert_int_equal(slice->parts, 3);
    const uint32_t order[] = {0, 2, 3};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(job->layout.part[slice->first_part + i].tensor, order[i]);
    (void)job_unref(job);
}

static void seal__of_a_group_beyond_one_slice__states_the_limit(void **state)
{
    (void)state;
    static const uint64_t half[] = {LAYOUT_SLICE_ELEMENTS_MOST / 2};
    const struct stepd_group group = draft_group("all", "*", "lbfgs");
    const struct stepd_tensor_def tensor[] = {
        draft_tensor("a", half, 1), draft_tensor("b", half, 1), draft_tensor("c", ten, 1)};
    const struct stepd_define_job def = define(&group, 1);
    assert_refused(&def, tensor, 3,
                   "job 'j': group 'all': 8388618 elements, and lbfgs, which steps a group as one, "
                   "takes at most 8388608");
    struct job *job = draft_job(&def, tensor, 2);
    assert_int_equal(job->layout.slices, 1);
    (void)job_unref(job);
}

static void seal__of_a_group_of_more_tensors_than_fit_a_slice__states_the_limit(void **state)
{
    (void)state;
    static char name[LAYOUT_PACK_PARTS_MAX + 1][8];
    static struct stepd_tensor_def tensor[LAYOUT_PACK_PARTS_MAX + 1];
    for (size_t i = 0; i <= LAYOUT_PACK_PARTS_MAX; i++) {
        (void)snprintf(name[i], sizeof name[i], "t%zu", i);
        tensor[i] = draft_tensor(name[i], NULL, 0);
    }
    const struct stepd_group group = draft_group("all", "*", "lbfgs");
    const struct stepd_define_job def = define(&group, 1);
    assert_refused(&def, tensor, LAYOUT_PACK_PARTS_MAX + 1,
                   "job 'j': group 'all': 1025 tensors, and lbfgs, which steps a group as one, "
                   "takes at most 1024");
}

static void seal__of_a_group_whose_values_come_from_both_sides__is_refused(void **state)
{
    (void)state;
    const struct stepd_group group = draft_group("all", "*", "lbfgs");
    struct stepd_tensor_def tensor[] = {draft_tensor("a", ten, 1), draft_tensor("b", ten, 1)};
    tensor[1].init.kind = STEPD_INIT_VALUES;
    const struct stepd_define_job def = define(&group, 1);
    assert_refused(&def, tensor, 2,
                   "job 'j': group 'all': lbfgs steps a group as one, so either rank 0 sends all "
                   "first values or none: it sends those of 'b' and not those of 'a'");
}

static void seal__of_newton_above_its_size__states_the_limit_and_the_way_out(void **state)
{
    (void)state;
    static const uint64_t most[] = {NEWTON_ELEMENTS_MAX};
    const struct stepd_group group = draft_group("all", "*", "newton");
    const struct stepd_tensor_def tensor[] = {draft_tensor("w", most, 1),
                                              draft_tensor("b", NULL, 0)};
    const struct stepd_define_job def = define(&group, 1);
    assert_refused(
        &def, tensor, 2,
        "job 'j': group 'all': newton takes groups of at most 1024 elements, since their "
        "Hessian has the square of that, and this group has 1025: use lbfgs, or split "
        "the group");
    struct job *job = draft_job(&def, tensor, 1);
    (void)job_unref(job);
    static const uint64_t huge[] = {1u << 30};
    const struct stepd_tensor_def beyond_any_slice = draft_tensor("w", huge, 1);
    assert_refused(
        &def, &beyond_any_slice, 1,
        "job 'j': group 'all': newton takes groups of at most 1024 elements, since their "
        "Hessian has the square of that, and this group has 1073741824: use lbfgs, or "
        "split the group");
}

/* ---- What comes behind a gradient ------------------------------------------------------------ */

static void seal__of_newton__plans_for_a_hessian_behind_its_gradient_only(void **state)
{
    (void)state;
    struct stepd_group group[] = {draft_group("a", "a*", "newton"),
                                  draft_group("rest", "*", "sgd")};
    const struct stepd_tensor_def tensor[] = {
        draft_tensor("a.w", ten, 1), draft_tensor("a.b", NULL, 0), draft_tensor("b", hundred, 1)};
    const struct stepd_define_job def = define(group, 2);
    struct job *job = draft_job(&def, tensor, 3);
    assert_int_equal(job->layout.slice[0].extra, 11 * 11);
    assert_int_equal(job->layout.slice[1].extra, 0);
    (void)job_unref(job);
    group[0].frozen = true;
    job = draft_job(&def, tensor, 3);
    assert_int_equal(job->layout.slice[0].extra, 0);
    (void)job_unref(job);
}

static void seal__of_a_later_phase_of_newton__plans_for_its_hessian(void **state)
{
    (void)state;
    const struct stepd_phase phase = settings_phase(5, "newton", "");
    struct stepd_group group = draft_group("all", "*", "adam");
    group.phases = 1;
    group.phase = &phase;
    const struct stepd_tensor_def tensor = draft_tensor("w", ten, 1);
    const struct stepd_define_job def = define(&group, 1);
    struct job *job = draft_job(&def, &tensor, 1);
    assert_int_equal(job->layout.slice[0].extra, 100);
    (void)job_unref(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seal__of_clipped_tensors_cut_within_a_block__is_refused_with_the_remedy),
        cmocka_unit_test(seal__of_clipped_tensors_cut_between_blocks__is_fine),
        cmocka_unit_test(seal__of_groups_by_ndim__gives_the_rest_to_the_next),
        cmocka_unit_test(seal__of_a_tensor_that_only_ndim_leaves_out__names_it_and_its_dimensions),
        cmocka_unit_test(seal__of_a_strict_job_whose_group_gets_nothing__says_whether_ndim_is_why),
        cmocka_unit_test(seal__of_a_job_that_is_not_strict__counts_what_each_group_got),
        cmocka_unit_test(seal__of_an_empty_group_of_newton__minds_nothing),
        cmocka_unit_test(seal__of_the_lectures_base_and_classifier__gives_each_its_rate),
        cmocka_unit_test(draft__with_wrong_defaults__is_refused_before_any_group),
        cmocka_unit_test(draft__of_a_sync_only_optimizer_in_async__is_refused),
        cmocka_unit_test(draft_same__of_what_the_defaults_say_too__is_ok),
        cmocka_unit_test(seal__of_muon__refuses_what_is_no_matrix),
        cmocka_unit_test(seal__of_a_later_phase_of_muon__refuses_what_is_no_matrix),
        cmocka_unit_test(seal__of_a_tensor_beyond_what_is_never_cut__states_the_limit),
        cmocka_unit_test(seal__of_a_whole_tensor__is_one_slice_however_small_slices_are),
        cmocka_unit_test(seal__of_a_group_stepped_as_one__is_one_slice_in_order),
        cmocka_unit_test(seal__of_a_group_beyond_one_slice__states_the_limit),
        cmocka_unit_test(seal__of_a_group_of_more_tensors_than_fit_a_slice__states_the_limit),
        cmocka_unit_test(seal__of_a_group_whose_values_come_from_both_sides__is_refused),
        cmocka_unit_test(seal__of_newton_above_its_size__states_the_limit_and_the_way_out),
        cmocka_unit_test(seal__of_newton__plans_for_a_hessian_behind_its_gradient_only),
        cmocka_unit_test(seal__of_a_later_phase_of_newton__plans_for_its_hessian),
    };
    return cmocka_run_group_tests_name("model/job_layout", tests, NULL, NULL);
}
