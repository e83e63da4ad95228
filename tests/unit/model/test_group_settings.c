/* SPDX-License-Identifier: Apache-2.0
 *
 * From settings to hyperparameters: the optimizer's defaults, the job's, the group's; presets,
 * words, lists, lr_mult and the treatment; and what cannot be, with its text.
 */
#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/model/groups.h"

/* ---- Layers ---------------------------------------------------------------------------------- */

static void group__with_settings__puts_them_over_the_optimizers_defaults(void **state)
{
    (void)state;
    const struct optim_hyper hyper = groups_hyper("momentum", "momentum=0.5");
    assert_true(hyper.momentum == 0.5);
    assert_true(hyper.lr == 1e-3);
    assert_true(groups_hyper("momentum", "").momentum == 0.9);
}

static void group__over_defaults__takes_what_it_does_not_say_itself(void **state)
{
    (void)state;
    const struct stepd_group defaults = settings_group("momentum", "lr=0.25 momentum=0.5");
    const struct stepd_group def = settings_group("", "lr=0.125");
    struct group group = groups_make_over(&defaults, &def);
    assert_string_equal(group.phase[0].optimizer->name, "momentum");
    assert_true(group.phase[0].hyper.lr == 0.125);
    assert_true(group.phase[0].hyper.momentum == 0.5);
    group_deinit(&group);
}

static void group__of_another_optimizer__leaves_the_defaults_that_it_does_not_know(void **state)
{
    (void)state;
    const struct stepd_group defaults =
        settings_group("adam", "lr=0.25 betas=0.5,0.75 amsgrad=1 weight_decay=0.125");
    const struct stepd_group def = settings_group("momentum", "");
    struct group group = groups_make_over(&defaults, &def);
    assert_true(group.phase[0].hyper.lr == 0.25);
    assert_true(group.phase[0].hyper.weight_decay == 0.125);
    assert_true(group.phase[0].hyper.momentum == 0.9);
    assert_true(group.phase[0].hyper.beta1 == 0.0);
    group_deinit(&group);
}

static void group__over_a_default_that_its_optimizer_cannot_take__is_refused(void **state)
{
    (void)state;
    const struct stepd_group defaults = settings_group("", "rho=1.5");
    const struct stepd_group def = settings_group("adadelta", "");
    groups_refuse_over(
        &defaults, &def, STEPD_INVALID_ARGUMENT,
        "group 'g': defaults: hyperparameter 'rho' of adadelta must be in [0, 1], and 1.5 is not");
}

static void group__over_a_default_that_it_says_anew__minds_its_own_only(void **state)
{
    (void)state;
    const struct stepd_group defaults = settings_group("", "rho=1.5");
    const struct stepd_group def = settings_group("adadelta", "rho=0.5");
    struct group group = groups_make_over(&defaults, &def);
    assert_true(group.phase[0].hyper.rho == 0.5);
    group_deinit(&group);
}

/* ---- Words and lists ------------------------------------------------------------------------- */

static void group__with_a_word__takes_it(void **state)
{
    (void)state;
    assert_true(groups_hyper("adam", "").eps_mode == OPTIM_EPS_OUTSIDE);
    assert_true(groups_hyper("adam", "eps_mode=inside").eps_mode == OPTIM_EPS_INSIDE);
    assert_true(groups_hyper("adam", "eps_mode=hat").eps_mode == OPTIM_EPS_HAT);
}

static void group__with_an_unknown_word__names_the_nearest(void **state)
{
    (void)state;
    groups_refuse_settings("adam", "eps_mode=insidee",
                           "hyperparameter 'eps_mode' of adam cannot be 'insidee': did you mean "
                           "'inside'?");
    groups_refuse_settings("rmsprop", "eps_mode=hat",
                           "hyperparameter 'eps_mode' of rmsprop cannot be 'hat': known are "
                           "outside, inside");
}

static void group__with_a_word_for_a_number_or_a_number_for_a_word__is_refused(void **state)
{
    (void)state;
    groups_refuse_settings("momentum", "momentum=high",
                           "hyperparameter 'momentum' of momentum is a number, not 'high'");
    groups_refuse_settings("adam", "eps_mode=1",
                           "hyperparameter 'eps_mode' of adam is a word such as 'outside', not 1");
    groups_refuse_settings("sgd", "clip_value=high", "clip_value takes a number, not 'high'");
    groups_refuse_settings("sgd", "lr_mult=half", "lr_mult takes a number, not 'half'");
}

static void group__with_a_list__sets_all_that_it_stands_for(void **state)
{
    (void)state;
    const struct optim_hyper adam = groups_hyper("adam", "betas=0.5,0.75");
    assert_true(adam.beta1 == 0.5 && adam.beta2 == 0.75);
    const struct optim_hyper rprop = groups_hyper("rprop", "etas=0.25,2 step_sizes=0.5,8");
    assert_true(rprop.etaminus == 0.25 && rprop.etaplus == 2.0);
    assert_true(rprop.step_min == 0.5 && rprop.step_max == 8.0);
    assert_true(groups_hyper("adafactor", "eps=0.5,0.25").eps2 == 0.25);
    assert_true(groups_hyper("muon", "ns_coefficients=1,2,3").ns_c == 3.0);
}

static void group__with_a_list_of_another_length__is_refused(void **state)
{
    (void)state;
    groups_refuse_settings("adam", "betas=0.9", "betas of adam takes 2 numbers, not 1");
    groups_refuse_settings("adam", "betas=0.9,0.99,0.999", "betas of adam takes 2 numbers, not 3");
    groups_refuse_settings("momentum", "momentum=0.9,0.9",
                           "momentum of momentum takes 1 number, not 2");
    groups_refuse_settings("sgd", "clip_value=1,2", "clip_value takes one number, not 2");
}

static void group__with_an_empty_list__is_refused(void **state)
{
    (void)state;
    const struct stepd_setting none = {.name = "momentum", .word = ""};
    struct stepd_group def = settings_group("momentum", "");
    def.settings = (struct stepd_settings){.count = 1, .at = &none};
    groups_refuse(&def, "momentum of momentum takes 1 number, not 0");
}

/* ---- Unknown, twice, out of range ------------------------------------------------------------ */

static void group__with_an_unknown_hyperparameter__names_the_nearest(void **state)
{
    (void)state;
    groups_refuse_settings("momentum", "momentun=0.9",
                           "momentum has no hyperparameter 'momentun': did you mean 'momentum'?");
    groups_refuse_settings("adam", "beta=0.9,0.99",
                           "adam has no hyperparameter 'beta': did you mean 'beta1'?");
    groups_refuse_settings("adam", "epsmode=inside",
                           "adam has no hyperparameter 'epsmode': did you mean 'eps_mode'?");
    groups_refuse_settings("sgd", "ema_decy=0.9",
                           "sgd has no hyperparameter 'ema_decy': did you mean 'ema_decay'?");
    groups_refuse_settings("sgd", "prset=lecture",
                           "sgd has no hyperparameter 'prset': did you mean 'preset'?");
}

static void group__with_a_hyperparameter_of_another_optimizer__says_what_is_known(void **state)
{
    (void)state;
    const struct stepd_group def = settings_group("sgd", "rho=0.5");
    groups_refuse_beginning(&def, "group 'g': sgd has no hyperparameter 'rho': known are lr, "
                                  "weight_decay, preset, lr_mult, ");
}

static void group__with_a_setting_twice__is_refused(void **state)
{
    (void)state;
    groups_refuse_settings("momentum", "momentum=0.9 lr=1 momentum=0.9", "momentum is set twice");
    groups_refuse_settings("sgd", "clip_value=1 clip_value=1", "clip_value is set twice");
    groups_refuse_settings("adam", "beta2=0.9 betas=0.9,0.99",
                           "betas and beta2 are both set, and the first holds the second; keep "
                           "one");
}

static void group__with_more_settings_than_a_list_may_have__is_refused(void **state)
{
    (void)state;
    static struct stepd_setting many[STEPD_SETTINGS_MAX + 1];
    struct stepd_group def = settings_group("sgd", "");
    def.settings = (struct stepd_settings){.count = STEPD_SETTINGS_MAX + 1, .at = many};
    char text[64];
    (void)snprintf(text, sizeof text, "%u settings; the most are %u", STEPD_SETTINGS_MAX + 1,
                   STEPD_SETTINGS_MAX);
    groups_refuse(&def, text);
}

static void group__with_a_value_out_of_range__states_the_range(void **state)
{
    (void)state;
    groups_refuse_settings("sgd", "lr=-0.1",
                           "hyperparameter 'lr' of sgd must be in [0, 1e+09], and -0.1 is not");
    groups_refuse_settings("momentum", "momentum=1",
                           "hyperparameter 'momentum' of momentum must be in [0, 1), and 1 is not");
    groups_refuse_settings("nesterov", "momentum=0",
                           "hyperparameter 'momentum' of nesterov must be in (0, 1), and 0 is not");
    groups_refuse_settings("adam", "betas=0.9,1",
                           "hyperparameter 'beta2' of adam must be in [0, 1), and 1 is not");
    groups_refuse_settings("lbfgs", "history_size=2.5",
                           "hyperparameter 'history_size' of lbfgs must be a whole number, and 2.5 "
                           "is not");
    groups_refuse_settings("sgd", "lr=nan",
                           "hyperparameter 'lr' of sgd must be in [0, 1e+09], and nan is not");
    groups_refuse_settings("sgd", "lr=inf",
                           "hyperparameter 'lr' of sgd must be in [0, 1e+09], and inf is not");
}

static void group__with_hyperparameters_that_do_not_go_together__is_refused(void **state)
{
    (void)state;
    groups_refuse_settings("rprop", "step_sizes=2,1",
                           "step_min of rprop is 2, above step_max, 1: no step would be both");
}

/* ---- lr_mult --------------------------------------------------------------------------------- */

static void group__with_lr_mult__multiplies_the_rate_of_the_defaults(void **state)
{
    (void)state;
    const struct stepd_group defaults = settings_group("sgd", "lr=0.5");
    const struct stepd_group def = settings_group("", "lr_mult=0.25");
    struct group group = groups_make_over(&defaults, &def);
    assert_true(group.phase[0].hyper.lr == 0.125);
    group_deinit(&group);
    assert_true(groups_hyper("adam", "lr_mult=2").lr == 2e-3); /* where nobody sets one */
    assert_true(groups_hyper("adam", "lr_mult=0").lr == 0.0);
}

static void group__with_lr_and_lr_mult__is_refused(void **state)
{
    (void)state;
    groups_refuse_settings("sgd", "lr=0.5 lr_mult=2",
                           "lr and lr_mult are both set: lr stands for itself, lr_mult multiplies "
                           "the default's; keep one");
}

static void group__with_lr_mult_out_of_range__is_refused(void **state)
{
    (void)state;
    groups_refuse_settings("sgd", "lr_mult=-1", "lr_mult must be in [0, 1e+09], and -1 is not");
    groups_refuse_settings("sgd", "lr_mult=nan", "lr_mult must be in [0, 1e+09], and nan is not");
    const struct stepd_group defaults = settings_group("sgd", "lr=10");
    const struct stepd_group def = settings_group("", "lr_mult=1e9");
    groups_refuse_over(&defaults, &def, STEPD_INVALID_ARGUMENT,
                       "group 'g': hyperparameter 'lr' of sgd must be in [0, 1e+09], and 1e+10 is "
                       "not");
}

/* ---- Presets --------------------------------------------------------------------------------- */

static void group__with_a_preset__starts_from_the_form_that_it_pins(void **state)
{
    (void)state;
    const struct optim_hyper lecture = groups_hyper("rmsprop", "preset=lecture");
    assert_true(lecture.eps_mode == OPTIM_EPS_INSIDE);
    assert_true(lecture.eps == 1e-6 && lecture.alpha == 0.9 && lecture.lr == 1e-3);
    const struct optim_hyper torch = groups_hyper("rmsprop", "preset=torch");
    assert_true(torch.eps_mode == OPTIM_EPS_OUTSIDE && torch.lr == 1e-2);
    assert_true(groups_hyper("nesterov", "preset=lecture").form == OPTIM_FORM_INTERIM);
}

static void group__with_a_preset_and_settings__keeps_the_settings_in_any_order(void **state)
{
    (void)state;
    assert_true(groups_hyper("rmsprop", "eps=0.5 preset=lecture").eps == 0.5);
    assert_true(groups_hyper("rmsprop", "preset=lecture eps=0.5").eps == 0.5);
}

static void group__with_the_preset_of_the_defaults__keeps_it_unless_it_has_its_own(void **state)
{
    (void)state;
    const struct stepd_group defaults = settings_group("momentum", "preset=lecture lr=0.5");
    struct stepd_group def = settings_group("", "");
    struct group group = groups_make_over(&defaults, &def);
    assert_true(group.phase[0].hyper.form == OPTIM_FORM_CLASSIC);
    assert_true(group.phase[0].hyper.lr == 0.5);
    group_deinit(&group);
    def = settings_group("", "preset=torch");
    group = groups_make_over(&defaults, &def);
    assert_true(group.phase[0].hyper.form == OPTIM_FORM_TORCH);
    assert_true(group.phase[0].hyper.lr == 0.5);
    group_deinit(&group);
}

static void group__with_an_unknown_preset__says_what_there_is(void **state)
{
    (void)state;
    groups_refuse_settings("sgd", "preset=keras", "unknown preset 'keras': it is torch or lecture");
    groups_refuse_settings("sgd", "preset=1", "preset takes a word: torch or lecture");
}

/* ---- The treatment --------------------------------------------------------------------------- */

static void group__without_treatment__does_nothing_to_gradients_and_keeps_no_average(void **state)
{
    (void)state;
    const struct stepd_group def = settings_group("sgd", "");
    struct group group = groups_make(&def);
    const struct treatment *treatment = &group.treatment;
    assert_false(treatment->maximize || treatment->swa);
    assert_true(treatment->clip_norm == 0.0 && treatment->clip_value == 0.0);
    assert_true(treatment->ema_decay == 0.0);
    group_deinit(&group);
}

static void group__with_treatment__takes_it_over_that_of_the_defaults(void **state)
{
    (void)state;
    const struct stepd_group defaults =
        settings_group("sgd", "maximize=1 clip_norm=4 clip_value=2 ema_decay=0.5 swa_start=7");
    const struct stepd_group def = settings_group("", "maximize=0 clip_value=3 swa_every=5");
    struct group group = groups_make_over(&defaults, &def);
    const struct treatment *treatment = &group.treatment;
    assert_false(treatment->maximize);
    assert_true(treatment->clip_norm == 4.0 && treatment->clip_value == 3.0);
    assert_true(treatment->ema_decay == 0.5 && treatment->swa);
    assert_int_equal(treatment->swa_start, 7);
    assert_int_equal(treatment->swa_every, 5);
    group_deinit(&group);
}

static void group__with_one_of_the_means_settings__keeps_the_mean(void **state)
{
    (void)state;
    struct stepd_group def = settings_group("sgd", "swa_start=0");
    struct group group = groups_make(&def);
    assert_true(group.treatment.swa);
    assert_int_equal(group.treatment.swa_every, 1);
    group_deinit(&group);
    def = settings_group("sgd", "swa_every=3");
    group = groups_make(&def);
    assert_true(group.treatment.swa);
    assert_int_equal(group.treatment.swa_start, 0);
    group_deinit(&group);
}

static void group__with_a_treatment_out_of_range__states_the_range(void **state)
{
    (void)state;
    groups_refuse_settings("sgd", "maximize=2",
                           "maximize must be a whole number in [0, 1], and 2 is not");
    groups_refuse_settings("sgd", "maximize=yes", "maximize takes true or false, not 'yes'");
    groups_refuse_settings("sgd", "maximize=0.5",
                           "maximize must be a whole number in [0, 1], and 0.5 is not");
    groups_refuse_settings("sgd", "clip_value=-1",
                           "clip_value must be in [0, 3.40282e+38], and -1 is not");
    groups_refuse_settings("sgd", "clip_norm=-1",
                           "clip_norm must be in [0, 3.40282e+38], and -1 is not");
    groups_refuse_settings("sgd", "clip_value=inf",
                           "clip_value must be in [0, 3.40282e+38], and inf is not");
    groups_refuse_settings("sgd", "ema_decay=1", "ema_decay must be in [0, 1), and 1 is not");
    groups_refuse_settings("sgd", "ema_decay=nan", "ema_decay must be in [0, 1), and nan is not");
    groups_refuse_settings("sgd", "swa_start=-1",
                           "swa_start must be a whole number in [0, 9.0072e+15], and -1 is not");
    groups_refuse_settings("sgd", "swa_every=0",
                           "swa_every must be a whole number in [1, 9.0072e+15], and 0 is not");
    groups_refuse_settings("sgd", "swa_every=1.5",
                           "swa_every must be a whole number in [1, 9.0072e+15], and 1.5 is not");
}

/* ---- Defaults by themselves ------------------------------------------------------------------ */

static void defaults__that_are_right__are_taken(void **state)
{
    (void)state;
    assert_int_equal(group_check_defaults(&groups_nothing, NULL), STEPD_OK);
    const struct stepd_group named = settings_group("adam", "betas=0.5,0.75 ema_decay=0.5");
    struct stepd_group defaults = named;
    defaults.name = "";
    defaults.match = "";
    assert_int_equal(group_check_defaults(&defaults, NULL), STEPD_OK);
}

static void defaults__with_what_belongs_to_one_group__are_refused(void **state)
{
    (void)state;
    static const uint32_t two[] = {2};
    const struct stepd_phase phase = settings_phase(1, "sgd", "");

    const struct {
        const char *key;
        struct stepd_group defaults;
    } rows[] = {
        {"name", {.name = "a"}},
        {"match", {.match = "*"}},
        {"ndim", {.ndim = {.count = 1, .at = two}}},
        {"frozen", {.frozen = true}},
        {"phases", {.phases = 1, .phase = &phase}},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[96];
        (void)snprintf(text, sizeof text, "defaults: %s belongs to a group, not to all of them",
                       rows[i].key);
        groups_refuse_defaults(&rows[i].defaults, STEPD_INVALID_ARGUMENT, text);
    }
    const struct stepd_group multiplied = {.settings = settings_of("lr_mult=2")};
    groups_refuse_defaults(
        &multiplied, STEPD_INVALID_ARGUMENT,
        "defaults: lr_mult belongs to a group, where it multiplies the default's lr");
}

static void defaults__with_a_setting_that_nobody_knows__name_the_nearest(void **state)
{
    (void)state;
    struct stepd_group defaults = {.settings = settings_of("momentun=0.9")};
    groups_refuse_defaults(
        &defaults, STEPD_INVALID_ARGUMENT,
        "defaults: no optimizer has a hyperparameter 'momentun': did you mean 'momentum'?");
    defaults.settings = settings_of("colour=3");
    groups_refuse_defaults(&defaults, STEPD_INVALID_ARGUMENT,
                           "defaults: no optimizer has a hyperparameter 'colour'");
}

static void defaults__with_a_setting_that_their_optimizer_does_not_know__are_refused(void **state)
{
    (void)state;
    const struct stepd_group defaults = {.optimizer = "lion", .settings = settings_of("beta=1")};
    groups_refuse_defaults(&defaults, STEPD_INVALID_ARGUMENT,
                           "defaults: lion has no hyperparameter 'beta': did you mean 'beta1'?");
    const struct stepd_group unknown = {.optimizer = "lionn"};
    groups_refuse_defaults(&unknown, STEPD_NOT_FOUND,
                           "defaults: unknown optimizer 'lionn': did you mean 'lion'?");
}

static void defaults__with_a_wrong_treatment_or_schedule__are_refused(void **state)
{
    (void)state;
    struct stepd_group defaults = {.settings = settings_of("clip_value=-1")};
    groups_refuse_defaults(&defaults, STEPD_INVALID_ARGUMENT,
                           "defaults: clip_value must be in [0, 3.40282e+38], and -1 is not");
    defaults = (struct stepd_group){.schedule = "cosine"};
    groups_refuse_defaults(&defaults, STEPD_INVALID_ARGUMENT,
                           "defaults: schedule cosine needs its parameter 't_max'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(group__with_settings__puts_them_over_the_optimizers_defaults),
        cmocka_unit_test(group__over_defaults__takes_what_it_does_not_say_itself),
        cmocka_unit_test(group__of_another_optimizer__leaves_the_defaults_that_it_does_not_know),
        cmocka_unit_test(group__over_a_default_that_its_optimizer_cannot_take__is_refused),
        cmocka_unit_test(group__over_a_default_that_it_says_anew__minds_its_own_only),
        cmocka_unit_test(group__with_a_word__takes_it),
        cmocka_unit_test(group__with_an_unknown_word__names_the_nearest),
        cmocka_unit_test(group__with_a_word_for_a_number_or_a_number_for_a_word__is_refused),
        cmocka_unit_test(group__with_a_list__sets_all_that_it_stands_for),
        cmocka_unit_test(group__with_a_list_of_another_length__is_refused),
        cmocka_unit_test(group__with_an_empty_list__is_refused),
        cmocka_unit_test(group__with_an_unknown_hyperparameter__names_the_nearest),
        cmocka_unit_test(group__with_a_hyperparameter_of_another_optimizer__says_what_is_known),
        cmocka_unit_test(group__with_a_setting_twice__is_refused),
        cmocka_unit_test(group__with_more_settings_than_a_list_may_have__is_refused),
        cmocka_unit_test(group__with_a_value_out_of_range__states_the_range),
        cmocka_unit_test(group__with_hyperparameters_that_do_not_go_together__is_refused),
        cmocka_unit_test(group__with_lr_mult__multiplies_the_rate_of_the_defaults),
        cmocka_unit_test(group__with_lr_and_lr_mult__is_refused),
        cmocka_unit_test(group__with_lr_mult_out_of_range__is_refused),
        cmocka_unit_test(group__with_a_preset__starts_from_the_form_that_it_pins),
        cmocka_unit_test(group__with_a_preset_and_settings__keeps_the_settings_in_any_order),
        cmocka_unit_test(group__with_the_preset_of_the_defaults__keeps_it_unless_it_has_its_own),
        cmocka_unit_test(group__with_an_unknown_preset__says_what_there_is),
        cmocka_unit_test(group__without_treatment__does_nothing_to_gradients_and_keeps_no_average),
        cmocka_unit_test(group__with_treatment__takes_it_over_that_of_the_defaults),
        cmocka_unit_test(group__with_one_of_the_means_settings__keeps_the_mean),
        cmocka_unit_test(group__with_a_treatment_out_of_range__states_the_range),
        cmocka_unit_test(defaults__that_are_right__are_taken),
        cmocka_unit_test(defaults__with_what_belongs_to_one_group__are_refused),
        cmocka_unit_test(defaults__with_a_setting_that_nobody_knows__name_the_nearest),
        cmocka_unit_test(defaults__with_a_setting_that_their_optimizer_does_not_know__are_refused),
        cmocka_unit_test(defaults__with_a_wrong_treatment_or_schedule__are_refused),
    };
    return cmocka_run_group_tests_name("model/group_settings", tests, NULL, NULL);
}
