/* SPDX-License-Identifier: Apache-2.0
 *
 * What is laid over what: the job's defaults, a group, its phases; presets, multiplied rates, the
 * treatment of gradients and weights; and whether two groups say the same.
 */
#include <string.h>

#include "tests/unit/model/settings.h"

static const struct stepd_settings nothing = {.count = 0};

/* ---- Defaults -------------------------------------------------------------------------------- */

static void defaults__below_a_group__give_what_it_leaves_open(void **state)
{
    (void)state;
    struct stepd_group defaults =
        group_of("momentum", SETTINGS(NUMBER("lr", 0.01), NUMBER("momentum", 0.9)));
    struct group group = make_over(defaults, group_of("", SETTINGS(NUMBER("lr", 0.5))));
    assert_string_equal(group.phase[0].optimizer->name, "momentum");
    assert_true(group.phase[0].hyper.lr == 0.5);
    assert_true(group.phase[0].hyper.momentum == 0.9);
    group_deinit(&group);
}

/* The lecture's example: a base at 1e-2, the classifier at 1e-3, a momentum of 0.9 for both. */
static void defaults__of_the_lectures_example__give_base_and_classifier_their_rates(void **state)
{
    (void)state;
    const struct stepd_group defaults =
        group_of("momentum", SETTINGS(NUMBER("lr", 1e-2), NUMBER("momentum", 0.9)));
    struct stepd_group def = group_of("", nothing);
    struct group base = make_over(defaults, def);
    def.settings = SETTINGS(NUMBER("lr", 1e-3));
    struct group classifier = make_over(defaults, def);
    assert_true(base.phase[0].hyper.lr == 1e-2 && classifier.phase[0].hyper.lr == 1e-3);
    assert_true(base.phase[0].hyper.momentum == 0.9);
    assert_true(classifier.phase[0].hyper.momentum == 0.9);
    group_deinit(&base);
    group_deinit(&classifier);
}

static void defaults__for_another_optimizer__give_what_it_knows(void **state)
{
    (void)state;
    const struct stepd_group defaults =
        group_of("momentum", SETTINGS(NUMBER("lr", 0.25), NUMBER("momentum", 0.9)));
    struct group group = make_over(defaults, group_of("adam", nothing));
    assert_true(group.phase[0].hyper.lr == 0.25);
    group_deinit(&group);
}

static void defaults__with_a_schedule__give_it_and_take_settings_over_it(void **state)
{
    (void)state;
    struct stepd_group defaults = group_of("sgd", nothing);
    defaults.schedule = "step";
    defaults.schedule_settings = SETTINGS(NUMBER("step_size", 2), NUMBER("gamma", 0.5));
    struct stepd_group def = group_of("", nothing);
    def.schedule_settings = SETTINGS(NUMBER("gamma", 0.25));
    struct group group = make_over(defaults, def);
    assert_true(schedule_lr(&group.schedule, 1.0, 2) == 0.25);
    group_deinit(&group);
}

static void check_defaults__wrong__says_so_before_any_group(void **state)
{
    (void)state;
    struct stepd_error error;
    struct stepd_group defaults = group_of("sgd", nothing);
    assert_int_equal(group_check_defaults(&defaults, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "defaults: name belongs to a group, not to all of them");
    defaults = (struct stepd_group){.settings = SETTINGS(NUMBER("momentun", 0.9))};
    assert_int_equal(group_check_defaults(&defaults, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "defaults: no optimizer has a hyperparameter 'momentun': did "
                                    "you mean 'momentum'?");
    defaults = (struct stepd_group){.settings = SETTINGS(NUMBER("lr_mult", 2.0))};
    assert_int_equal(group_check_defaults(&defaults, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "defaults: lr_mult belongs to a group, where it multiplies the "
                                    "default's lr");
    defaults = (struct stepd_group){.settings = SETTINGS(NUMBER("momentum", 0.9))};
    assert_int_equal(group_check_defaults(&defaults, NULL), STEPD_OK);
}

/* ---- Presets and multiplied rates ------------------------------------------------------------ */

static void preset__lecture__pins_the_form_and_takes_settings_over_it(void **state)
{
    (void)state;
    struct group group =
        make(group_of("adam", SETTINGS(NUMBER("eps", 1e-3), WORD("preset", "lecture"))));
    assert_true(group.phase[0].hyper.eps_mode == OPTIM_EPS_INSIDE);
    assert_true(group.phase[0].hyper.eps == 1e-3);
    group_deinit(&group);
}

static void preset__of_the_defaults__is_what_the_nearest_layer_says(void **state)
{
    (void)state;
    const struct stepd_group defaults = group_of("adam", SETTINGS(WORD("preset", "lecture")));
    struct group lecture = make_over(defaults, group_of("", nothing));
    struct group torch = make_over(defaults, group_of("", SETTINGS(WORD("preset", "torch"))));
    assert_true(lecture.phase[0].hyper.eps_mode == OPTIM_EPS_INSIDE);
    assert_true(torch.phase[0].hyper.eps_mode == OPTIM_EPS_OUTSIDE);
    group_deinit(&lecture);
    group_deinit(&torch);
}

static void preset__unknown__names_the_known(void **state)
{
    (void)state;
    refuse(group_of("adam", SETTINGS(WORD("preset", "keras"))), STEPD_INVALID_ARGUMENT,
           "group 'g': unknown preset 'keras': it is torch or lecture");
    refuse(group_of("adam", SETTINGS(NUMBER("preset", 1))), STEPD_INVALID_ARGUMENT,
           "group 'g': preset takes a word: torch or lecture");
}

static void lr_mult__of_a_group__multiplies_the_defaults_lr(void **state)
{
    (void)state;
    const struct stepd_group defaults = group_of("sgd", SETTINGS(NUMBER("lr", 0.5)));
    struct group group = make_over(defaults, group_of("", SETTINGS(NUMBER("lr_mult", 0.25))));
    assert_true(group.phase[0].hyper.lr == 0.125);
    group_deinit(&group);
}

static void lr_mult__beside_lr_or_out_of_range__is_refused(void **state)
{
    (void)state;
    refuse(group_of("sgd", SETTINGS(NUMBER("lr", 1), NUMBER("lr_mult", 2))), STEPD_INVALID_ARGUMENT,
           "group 'g': lr and lr_mult are both set: lr stands for itself, lr_mult multiplies the "
           "default's; keep one");
    refuse(group_of("sgd", SETTINGS(NUMBER("lr_mult", -1))), STEPD_INVALID_ARGUMENT,
           "group 'g': lr_mult must be in [0, 1e+09], and -1 is not");
}

/* ---- The treatment --------------------------------------------------------------------------- */

static void treatment__set__is_the_groups_and_not_the_optimizers(void **state)
{
    (void)state;
    struct group group = make(group_of(
        "sgd", SETTINGS(NUMBER("maximize", 1), NUMBER("clip_value", 0.5), NUMBER("ema_decay", 0.9),
                        NUMBER("swa_start", 4), NUMBER("swa_every", 2))));
    const struct treatment *t = &group.treatment;
    assert_true(t->maximize && t->clip_value == 0.5 && t->ema_decay == 0.9);
    assert_true(t->swa && t->swa_start == 4 && t->swa_every == 2);
    group_deinit(&group);
    group = make(group_of("sgd", nothing));
    assert_true(!group.treatment.maximize && group.treatment.clip_value == 0.0);
    assert_true(group.treatment.ema_decay == 0.0 && !group.treatment.swa);
    group_deinit(&group);
}

static void treatment__out_of_range__states_the_range(void **state)
{
    (void)state;
    refuse(group_of("sgd", SETTINGS(NUMBER("ema_decay", 1))), STEPD_INVALID_ARGUMENT,
           "group 'g': ema_decay must be in [0, 1), and 1 is not");
    refuse(group_of("sgd", SETTINGS(NUMBER("swa_every", 0))), STEPD_INVALID_ARGUMENT,
           "group 'g': swa_every must be in [1, 9.0072e+15], and 0 is not");
    refuse(group_of("sgd", SETTINGS(NUMBER("swa_start", 1.5))), STEPD_INVALID_ARGUMENT,
           "group 'g': swa_start must be a whole number, and 1.5 is not");
    refuse(group_of("sgd", SETTINGS(WORD("clip_value", "much"))), STEPD_INVALID_ARGUMENT,
           "group 'g': clip_value takes a number, not 'much'");
}

/* ---- Phases ---------------------------------------------------------------------------------- */

/* "Adam first, SGD later". */
static struct stepd_group phased(const struct stepd_phase *phase, size_t phases)
{
    static const double lr = 0.001;
    static const double weight_decay = 0.1;
    static const struct stepd_setting settings[] = {
        {.name = "lr", .values = 1, .value = &lr, .word = ""},
        {.name = "weight_decay", .values = 1, .value = &weight_decay, .word = ""},
    };
    struct stepd_group def = group_of("adam", (struct stepd_settings){.count = 2, .at = settings});
    def.phase = phase;
    def.phases = phases;
    return def;
}

static void phases__in_order__begin_at_their_steps(void **state)
{
    (void)state;
    const struct stepd_phase phase[] = {
        {.from = 3, .optimizer = "momentum", .settings = SETTINGS(NUMBER("lr", 0.5))},
        {.from = 7, .optimizer = "sgd"},
    };
    struct group group = make(phased(phase, 2));
    assert_string_equal(group_phase(&group, 0)->optimizer->name, "adam");
    assert_string_equal(group_phase(&group, 2)->optimizer->name, "adam");
    assert_string_equal(group_phase(&group, 3)->optimizer->name, "momentum");
    assert_string_equal(group_phase(&group, UINT64_MAX)->optimizer->name, "sgd");
    assert_true(group_phase(&group, 3)->hyper.lr == 0.5);
    assert_true(group_phase(&group, 3)->hyper.weight_decay == 0.1); /* the group's */
    assert_true(group_phase(&group, 7)->hyper.lr == 0.001);
    group_deinit(&group);
}

static void phases__wrong__name_the_phase(void **state)
{
    (void)state;
    const struct stepd_phase back[] = {{.from = 3, .optimizer = "sgd"},
                                       {.from = 3, .optimizer = "sgd"}};
    refuse(phased(back, 2), STEPD_INVALID_ARGUMENT,
           "group 'g': the phase from 3 on: it must begin behind 3, where the one before it "
           "begins");
    const struct stepd_phase unknown[] = {{.from = 3, .optimizer = "sdg"}};
    refuse(phased(unknown, 1), STEPD_NOT_FOUND,
           "group 'g': the phase from 3 on: unknown optimizer 'sdg': did you mean 'sgd'?");
    const struct stepd_phase setting[] = {
        {.from = 3, .optimizer = "sgd", .settings = SETTINGS(NUMBER("eps", 1))}};
    struct group group;
    struct stepd_error error;
    const struct stepd_group def = phased(setting, 1);
    assert_int_equal(group_init(&(struct stepd_group){.name = NULL}, &def, &group, &error),
                     STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "the phase from 3 on: sgd has no hyperparameter 'eps'"));
    const struct stepd_phase treated[] = {
        {.from = 3, .optimizer = "sgd", .settings = SETTINGS(NUMBER("ema_decay", 0.5))}};
    refuse(phased(treated, 1), STEPD_INVALID_ARGUMENT,
           "group 'g': the phase from 3 on: ema_decay belongs to the group, and not to one of its "
           "phases");
}

static void scope__of_phases__is_the_widest(void **state)
{
    (void)state;
    const struct stepd_phase phase[] = {{.from = 3, .optimizer = "lars"}};
    struct group group = make(phased(phase, 1));
    assert_int_equal(group_scope(&group), OPTIM_SCOPE_TENSOR);
    group_deinit(&group);
}

/* ---- The same -------------------------------------------------------------------------------- */

static void assert_differ(struct stepd_group a, struct stepd_group b, const char *text)
{
    struct group one = make(a);
    struct group other = make(b);
    struct group copy;
    struct stepd_error error;
    assert_int_equal(group_copy(&one, &copy), STEPD_OK);
    assert_int_equal(group_same(&one, &copy, NULL), STEPD_OK);
    assert_int_equal(group_same(&one, &other, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, text);
    group_deinit(&copy);
    group_deinit(&one);
    group_deinit(&other);
}

static void same__of_two_that_differ__names_the_first_difference(void **state)
{
    (void)state;
    const struct stepd_group plain = group_of("adam", nothing);
    assert_differ(plain, group_of("sgd", nothing), "optimizer is defined as 'adam', not 'sgd'");
    assert_differ(plain, group_of("adam", SETTINGS(NUMBER("lr", 0.5))),
                  "lr is defined as 0.001, not 0.5");
    assert_differ(plain, group_of("adam", SETTINGS(WORD("eps_mode", "hat"))),
                  "eps_mode is defined as 'outside', not 'hat'");
    assert_differ(plain, group_of("adam", SETTINGS(NUMBER("clip_value", 2))),
                  "clip_value is defined as 0, not 2");
    struct stepd_group frozen = plain;
    frozen.frozen = true;
    assert_differ(plain, frozen, "frozen is defined as 'false', not 'true'");
    const struct stepd_phase three[] = {{.from = 3, .optimizer = "sgd"}};
    const struct stepd_phase four[] = {{.from = 4, .optimizer = "sgd"}};
    assert_differ(phased(three, 1), phased(four, 1), "phase 1: from is defined as 3, not 4");
    assert_differ(phased(three, 1), phased(NULL, 0), "the number of phases is defined as 1, not 0");
}

static void same__of_betas_by_two_names__says_so(void **state)
{
    (void)state;
    struct group list = make(group_of("adam", SETTINGS(NUMBERS("betas", 0.5, 0.75))));
    struct group each =
        make(group_of("adam", SETTINGS(NUMBER("beta2", 0.75), NUMBER("beta1", 0.5))));
    assert_int_equal(group_same(&list, &each, NULL), STEPD_OK);
    group_deinit(&list);
    group_deinit(&each);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults__below_a_group__give_what_it_leaves_open),
        cmocka_unit_test(defaults__of_the_lectures_example__give_base_and_classifier_their_rates),
        cmocka_unit_test(defaults__for_another_optimizer__give_what_it_knows),
        cmocka_unit_test(defaults__with_a_schedule__give_it_and_take_settings_over_it),
        cmocka_unit_test(check_defaults__wrong__says_so_before_any_group),
        cmocka_unit_test(preset__lecture__pins_the_form_and_takes_settings_over_it),
        cmocka_unit_test(preset__of_the_defaults__is_what_the_nearest_layer_says),
        cmocka_unit_test(preset__unknown__names_the_known),
        cmocka_unit_test(lr_mult__of_a_group__multiplies_the_defaults_lr),
        cmocka_unit_test(lr_mult__beside_lr_or_out_of_range__is_refused),
        cmocka_unit_test(treatment__set__is_the_groups_and_not_the_optimizers),
        cmocka_unit_test(treatment__out_of_range__states_the_range),
        cmocka_unit_test(phases__in_order__begin_at_their_steps),
        cmocka_unit_test(phases__wrong__name_the_phase),
        cmocka_unit_test(scope__of_phases__is_the_widest),
        cmocka_unit_test(same__of_two_that_differ__names_the_first_difference),
        cmocka_unit_test(same__of_betas_by_two_names__says_so),
    };
    return cmocka_run_group_tests_name("model/group layers", tests, NULL, NULL);
}
