/* SPDX-License-Identifier: Apache-2.0
 *
 * Phases: where they begin, what they take from the layers below, and what a group is over all of
 * them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/model/groups.h"

static struct stepd_group with_phases(struct stepd_group def, const struct stepd_phase *phase,
                                      size_t phases)
{
    def.phases = phases;
    def.phase = phase;
    return def;
}

/* ---- Where ----------------------------------------------------------------------------------- */

static void group_phase__at_any_step__is_the_last_that_has_begun(void **state)
{
    (void)state;
    const struct stepd_phase phase[] = {settings_phase(1, "momentum", ""),
                                        settings_phase(10, "sgd", "")};
    const struct stepd_group def = with_phases(settings_group("adam", ""), phase, 2);
    struct group group = groups_make(&def);

    const struct {
        uint64_t step;
        const char *optimizer;
    } rows[] = {{0, "adam"}, {1, "momentum"},     {9, "momentum"},
                {10, "sgd"}, {UINT64_MAX, "sgd"}, {11, "sgd"}};

    assert_int_equal(group.phases, 3);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(group_phase(&group, rows[i].step)->optimizer->name, rows[i].optimizer);
    group_deinit(&group);
}

static void group__with_a_phase_that_does_not_follow__is_refused(void **state)
{
    (void)state;
    struct stepd_phase phase[] = {settings_phase(0, "sgd", ""), settings_phase(5, "sgd", "")};
    struct stepd_group def = with_phases(settings_group("adam", ""), phase, 1);
    groups_refuse(&def,
                  "the phase from 0 on: it must begin behind 0, where the one before it begins");
    phase[0].from = 5;
    def.phases = 2;
    groups_refuse(&def,
                  "the phase from 5 on: it must begin behind 5, where the one before it begins");
    phase[1].from = 4;
    groups_refuse(&def,
                  "the phase from 4 on: it must begin behind 5, where the one before it begins");
}

static void group__with_more_phases_than_a_group_may_have__is_refused(void **state)
{
    (void)state;
    struct stepd_phase phase[STEPD_PHASES_MAX + 1];
    for (size_t i = 0; i <= STEPD_PHASES_MAX; i++)
        phase[i] = settings_phase(i + 1, "sgd", "");
    struct stepd_group def = with_phases(settings_group("adam", ""), phase, STEPD_PHASES_MAX);
    struct group group = groups_make(&def);
    group_deinit(&group);
    def.phases++;
    groups_refuse(&def, "17 phases; the most are 16");
}

/* ---- What ------------------------------------------------------------------------------------ */

static void phase__over_its_group_and_defaults__takes_what_its_optimizer_knows(void **state)
{
    (void)state;
    const struct stepd_group defaults =
        settings_group("adam", "lr=0.5 weight_decay=0.25 betas=0.5,0.75");
    const struct stepd_phase phase[] = {settings_phase(3, "momentum", "momentum=0.125")};
    const struct stepd_group def = with_phases(settings_group("", "lr=0.0625"), phase, 1);
    struct group group = groups_make_over(&defaults, &def);
    const struct optim_hyper *hyper = &group.phase[1].hyper;
    assert_true(hyper->lr == 0.0625);         /* the group's */
    assert_true(hyper->weight_decay == 0.25); /* the defaults' */
    assert_true(hyper->momentum == 0.125);    /* its own */
    assert_true(hyper->beta1 == 0.0);         /* which momentum does not know */
    group_deinit(&group);
}

static void phase__with_its_own_rate__says_it_anew(void **state)
{
    (void)state;
    const struct stepd_group defaults = settings_group("sgd", "lr=0.5");
    const struct stepd_phase phase[] = {settings_phase(1, "sgd", "lr=0.25"),
                                        settings_phase(2, "sgd", "lr_mult=0.25"),
                                        settings_phase(3, "sgd", "")};
    const struct stepd_group def = with_phases(settings_group("", "lr_mult=4"), phase, 3);
    struct group group = groups_make_over(&defaults, &def);
    const double expected[] = {2.0, 0.25, 0.5, 2.0};
    for (size_t i = 0; i < group.phases; i++)
        assert_true(group.phase[i].hyper.lr == expected[i]);
    group_deinit(&group);
}

static void phase__with_a_preset__has_its_own_form(void **state)
{
    (void)state;
    const struct stepd_phase phase[] = {settings_phase(1, "momentum", ""),
                                        settings_phase(2, "momentum", "preset=torch")};
    const struct stepd_group def =
        with_phases(settings_group("nesterov", "preset=lecture"), phase, 2);
    struct group group = groups_make(&def);
    assert_true(group.phase[0].hyper.form == OPTIM_FORM_INTERIM);
    assert_true(group.phase[1].hyper.form == OPTIM_FORM_CLASSIC); /* the group's preset */
    assert_true(group.phase[2].hyper.form == OPTIM_FORM_TORCH);
    group_deinit(&group);
}

/* A group of adam whose phase from 5 on is refused. */
static void refuse_phase(const char *optimizer, const char *settings, const char *text)
{
    const struct stepd_phase phase = settings_phase(5, optimizer, settings);
    const struct stepd_group def = with_phases(settings_group("adam", ""), &phase, 1);
    char expected[STEPD_ERROR_TEXT_BYTES];
    (void)snprintf(expected, sizeof expected, "the phase from 5 on: %s", text);
    groups_refuse(&def, expected);
}

static void phase__with_an_unknown_optimizer__names_the_nearest(void **state)
{
    (void)state;
    const struct stepd_phase phase = settings_phase(5, "sgdd", "");
    const struct stepd_group def = with_phases(settings_group("adam", ""), &phase, 1);
    groups_refuse_over(&groups_nothing, &def, STEPD_NOT_FOUND,
                       "group 'g': the phase from 5 on: unknown optimizer 'sgdd': did you mean "
                       "'sgd'?");
}

/* Adadelta's eps is a number, adafactor's a list of two. */
static void phase__whose_optimizer_has_a_list_of_that_name__leaves_the_number_out(void **state)
{
    (void)state;
    const struct stepd_phase phase = {.from = 1, .optimizer = "adafactor"};
    struct stepd_group def = settings_group("adadelta", "eps=0.5");
    def.phases = 1;
    def.phase = &phase;
    struct group group = groups_make(&def);
    assert_true(group.phase[0].hyper.eps == 0.5);
    assert_true(group.phase[1].hyper.eps2 == 1e-3);
    group_deinit(&group);
    groups_refuse_settings("adafactor", "eps=0.5", "eps of adafactor takes 2 numbers, not 1");
}

static void phase__behind_a_list_of_that_name__takes_the_number_of_the_defaults(void **state)
{
    (void)state;
    const struct stepd_group defaults = settings_group("", "eps=0.25");
    const struct stepd_phase phase = {.from = 1, .optimizer = "adam"};
    struct stepd_group def = settings_group("adafactor", "eps=0.5,0.125");
    def.phases = 1;
    def.phase = &phase;
    struct group group = groups_make_over(&defaults, &def);
    assert_true(group.phase[0].hyper.eps2 == 0.125);
    assert_true(group.phase[1].hyper.eps == 0.25);
    group_deinit(&group);
}

/* A hint must not offer what is refused there. */
static void phase__with_an_unknown_hyperparameter__is_offered_no_treatment(void **state)
{
    (void)state;
    const struct stepd_setting settings[] = {{.name = "rho", .values = 1, .value = (double[]){1}}};
    const struct stepd_phase phase = {
        .from = 1, .optimizer = "sgd", .settings = {.count = 1, .at = settings}};
    struct stepd_group def = settings_group("sgd", "");
    def.phases = 1;
    def.phase = &phase;
    struct group group;
    struct stepd_error error;
    assert_int_equal(group_init(&groups_nothing, &def, &group, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "sgd has no hyperparameter 'rho': known are lr, "));
    assert_null(strstr(error.text, "clip_value"));
}

static void phase__without_an_optimizer__is_refused(void **state)
{
    (void)state;
    refuse_phase("", "lr=0.5", "it names no optimizer");
}

static void phase__with_a_setting_that_its_optimizer_does_not_know__is_refused(void **state)
{
    (void)state;
    refuse_phase("momentum", "momentun=0.5",
                 "momentum has no hyperparameter 'momentun': did you mean 'momentum'?");
    refuse_phase("sgd", "lr=-1", "hyperparameter 'lr' of sgd must be in [0, 1e+09], and -1 is not");
    refuse_phase("sgd", "lr=1 lr=1", "lr is set twice");
}

static void phase__with_a_treatment__is_refused(void **state)
{
    (void)state;
    refuse_phase("sgd", "ema_decay=0.5",
                 "ema_decay belongs to the group, and not to one of its phases");
    refuse_phase("sgd", "clip_value=1",
                 "clip_value belongs to the group, and not to one of its phases");
}

/* ---- Over all of them ------------------------------------------------------------------------ */

static void group_scope__of_phases__is_the_widest(void **state)
{
    (void)state;
    struct stepd_phase phase[] = {settings_phase(1, "muon", ""), settings_phase(2, "sgd", "")};
    const struct stepd_group def = with_phases(settings_group("adam", ""), phase, 2);
    struct group group = groups_make(&def);
    assert_int_equal(group_scope(&group), OPTIM_SCOPE_TENSOR);
    group_deinit(&group);
    phase[1] = settings_phase(2, "lbfgs", "");
    group = groups_make(&def);
    assert_int_equal(group_scope(&group), OPTIM_SCOPE_GROUP);
    group_deinit(&group);
}

static void group_looks_ahead__of_phases__is_true_where_one_does(void **state)
{
    (void)state;
    const struct stepd_phase phase[] = {settings_phase(1, "nesterov", "form=interim")};
    const struct stepd_group def = with_phases(settings_group("nesterov", ""), phase, 1);
    struct group group = groups_make(&def);
    assert_true(group_looks_ahead(&group));
    assert_false(phase_looks_ahead(&group.phase[0]));
    assert_true(phase_looks_ahead(&group.phase[1]));
    group.phases = 1;
    assert_false(group_looks_ahead(&group));
    group_deinit(&group);
}

static void group_check_mode__of_a_sync_only_optimizer_in_async__names_both(void **state)
{
    (void)state;
    const struct stepd_phase phase[] = {settings_phase(1, "lbfgs", "")};
    struct stepd_group def = with_phases(settings_group("adam", ""), phase, 1);
    struct group group = groups_make(&def);
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(group_check_mode(&group, STEPD_SYNC, &error), STEPD_OK);
    assert_int_equal(group_check_mode(&group, STEPD_ASYNC, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text,
                        "group 'g': lbfgs needs the mean gradient of all workers, so the job's "
                        "mode must be sync, and it is async");
    assert_int_equal(group_check_mode(&group, STEPD_BOUNDED, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text,
                        "group 'g': lbfgs needs the mean gradient of all workers, so the job's "
                        "mode must be sync, and it is bounded");
    group_deinit(&group);
}

static void group_check_mode__of_a_norm_that_needs_rounds__names_it(void **state)
{
    (void)state;
    const struct stepd_group def = settings_group("sgd", "clip_norm=1");
    struct group group = groups_make(&def);
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(group_check_mode(&group, STEPD_SYNC, &error), STEPD_OK);
    assert_int_equal(group_check_mode(&group, STEPD_ASYNC, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text,
                        "group 'g': clip_norm needs the gradient of a whole round, so the job's "
                        "mode must be sync, and it is async");
    group_deinit(&group);
}

static void group_check_mode__of_a_frozen_group__minds_nothing(void **state)
{
    (void)state;
    struct stepd_group def = settings_group("newton", "clip_norm=1");
    def.frozen = true;
    struct group group = groups_make(&def);
    assert_int_equal(group_check_mode(&group, STEPD_ASYNC, NULL), STEPD_OK);
    group_deinit(&group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(group_phase__at_any_step__is_the_last_that_has_begun),
        cmocka_unit_test(group__with_a_phase_that_does_not_follow__is_refused),
        cmocka_unit_test(group__with_more_phases_than_a_group_may_have__is_refused),
        cmocka_unit_test(phase__over_its_group_and_defaults__takes_what_its_optimizer_knows),
        cmocka_unit_test(phase__with_its_own_rate__says_it_anew),
        cmocka_unit_test(phase__with_a_preset__has_its_own_form),
        cmocka_unit_test(phase__with_an_unknown_optimizer__names_the_nearest),
        cmocka_unit_test(phase__whose_optimizer_has_a_list_of_that_name__leaves_the_number_out),
        cmocka_unit_test(phase__behind_a_list_of_that_name__takes_the_number_of_the_defaults),
        cmocka_unit_test(phase__with_an_unknown_hyperparameter__is_offered_no_treatment),
        cmocka_unit_test(phase__without_an_optimizer__is_refused),
        cmocka_unit_test(phase__with_a_setting_that_its_optimizer_does_not_know__is_refused),
        cmocka_unit_test(phase__with_a_treatment__is_refused),
        cmocka_unit_test(group_scope__of_phases__is_the_widest),
        cmocka_unit_test(group_looks_ahead__of_phases__is_true_where_one_does),
        cmocka_unit_test(group_check_mode__of_a_sync_only_optimizer_in_async__names_both),
        cmocka_unit_test(group_check_mode__of_a_norm_that_needs_rounds__names_it),
        cmocka_unit_test(group_check_mode__of_a_frozen_group__minds_nothing),
    };
    return cmocka_run_group_tests_name("model/group_phases", tests, NULL, NULL);
}
