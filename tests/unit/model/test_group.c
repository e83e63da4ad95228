/* SPDX-License-Identifier: Apache-2.0
 *
 * Groups: which tensors they take, their own settings, and errors that name the group. What is laid
 * over what is in test_group_layers.c.
 */
#include <string.h>

#include "tests/unit/model/settings.h"

static const struct stepd_settings nothing = {.count = 0};

/* ---- Which tensors --------------------------------------------------------------------------- */

static struct group matching(const char *match)
{
    struct stepd_group def = group_of("sgd", nothing);
    def.match = match;
    return make(def);
}

static void matches__with_a_star__matches_dots_and_slashes_too(void **state)
{
    (void)state;
    struct group group = matching("fc*.weight");
    assert_true(group_matches(&group, "fc1.weight", 2));
    assert_true(group_matches(&group, "fc.0/a.weight", 2));
    assert_false(group_matches(&group, "conv.weight", 2));
    assert_false(group_matches(&group, "fc1.weight.scale", 2));
    group_deinit(&group);
}

static void matches__with_a_set_or_a_mark__matches_one_character(void **state)
{
    (void)state;
    struct group group = matching("layer[0-3].?");
    assert_true(group_matches(&group, "layer2.b", 1));
    assert_false(group_matches(&group, "layer4.b", 1));
    assert_false(group_matches(&group, "layer2.bias", 1));
    group_deinit(&group);
}

static void matches__with_ndim__wants_one_of_these_numbers(void **state)
{
    (void)state;
    static const uint32_t ndim[] = {1, 0};
    struct stepd_group def = group_of("sgd", nothing);
    def.ndim = (struct stepd_u32s){.count = 2, .at = ndim};
    struct group group = make(def);
    assert_true(group_matches(&group, "w", 0));
    assert_true(group_matches(&group, "w", 1));
    assert_false(group_matches(&group, "w", 2));
    group_deinit(&group);
}

static void ndim__wrong__is_refused(void **state)
{
    (void)state;
    static const uint32_t much[] = {9};
    static const uint32_t twice[] = {2, 2};
    struct stepd_group def = group_of("sgd", nothing);
    def.ndim = (struct stepd_u32s){.count = 1, .at = much};
    refuse(def, STEPD_INVALID_ARGUMENT, "group 'g': ndim is 9; a tensor has 0 to 8 dimensions");
    def.ndim = (struct stepd_u32s){.count = 2, .at = twice};
    refuse(def, STEPD_INVALID_ARGUMENT, "group 'g': ndim names 2 twice");
}

static void group__without_a_match__takes_everything(void **state)
{
    (void)state;
    struct group group = make((struct stepd_group){.optimizer = "sgd"});
    assert_string_equal(group.name, "*");
    assert_true(group_matches(&group, "any.thing", 3));
    group_deinit(&group);
}

/* ---- Settings -------------------------------------------------------------------------------- */

static void settings__of_numbers__stand_over_the_optimizers_own(void **state)
{
    (void)state;
    struct group group = make(group_of("momentum", SETTINGS(NUMBER("momentum", 0.1))));
    struct group plain = make(group_of("momentum", nothing));
    assert_true(group.phase[0].hyper.momentum == 0.1);
    assert_true(plain.phase[0].hyper.momentum != 0.1);
    assert_true(group.phase[0].hyper.lr == plain.phase[0].hyper.lr);
    group_deinit(&group);
    group_deinit(&plain);
}

static void settings__of_words_and_lists__are_taken(void **state)
{
    (void)state;
    struct group group =
        make(group_of("adam", SETTINGS(NUMBERS("betas", 0.8, 0.95), WORD("eps_mode", "inside"))));
    assert_true(group.phase[0].hyper.beta1 == 0.8);
    assert_true(group.phase[0].hyper.beta2 == 0.95);
    assert_true(group.phase[0].hyper.eps_mode == OPTIM_EPS_INSIDE);
    group_deinit(&group);
}

static void settings__unknown__name_the_group_and_the_nearest(void **state)
{
    (void)state;
    refuse(group_of("momentum", SETTINGS(NUMBER("momentun", 0.1))), STEPD_INVALID_ARGUMENT,
           "group 'g': momentum has no hyperparameter 'momentun': did you mean 'momentum'?");
    refuse(group_of("sgd", SETTINGS(NUMBER("clip_valu", 1.0))), STEPD_INVALID_ARGUMENT,
           "group 'g': sgd has no hyperparameter 'clip_valu': did you mean 'clip_value'?");
}

static void settings__of_another_optimizer__are_unknown_to_this_one(void **state)
{
    (void)state;
    struct stepd_group def = group_of("sgd", SETTINGS(NUMBERS("betas", 0.9, 0.99)));
    struct group group;
    struct stepd_error error;
    assert_int_equal(group_init(&(struct stepd_group){.name = NULL}, &def, &group, &error),
                     STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "group 'g': sgd has no hyperparameter 'betas'"));
}

static void settings__out_of_range__state_the_range(void **state)
{
    (void)state;
    refuse(group_of("momentum", SETTINGS(NUMBER("momentum", 1.5))), STEPD_INVALID_ARGUMENT,
           "group 'g': hyperparameter 'momentum' of momentum must be in [0, 1), and 1.5 is not");
    refuse(group_of("adam", SETTINGS(NUMBERS("betas", 0.9, 1.0))), STEPD_INVALID_ARGUMENT,
           "group 'g': hyperparameter 'beta2' of adam must be in [0, 1), and 1 is not");
}

static void settings__of_the_wrong_kind__are_refused(void **state)
{
    (void)state;
    refuse(group_of("momentum", SETTINGS(NUMBERS("momentum", 0.1, 0.2))), STEPD_INVALID_ARGUMENT,
           "group 'g': momentum of momentum takes 1 number, not 2");
    refuse(group_of("adam", SETTINGS(NUMBER("betas", 0.9))), STEPD_INVALID_ARGUMENT,
           "group 'g': betas of adam takes 2 numbers, not 1");
    refuse(group_of("adam", SETTINGS(WORD("eps_mode", "insyde"))), STEPD_INVALID_ARGUMENT,
           "group 'g': hyperparameter 'eps_mode' of adam cannot be 'insyde': did you mean "
           "'inside'?");
    refuse(group_of("adam", SETTINGS(NUMBER("eps_mode", 1.0))), STEPD_INVALID_ARGUMENT,
           "group 'g': hyperparameter 'eps_mode' of adam is a word such as 'outside', not 1");
    refuse(group_of("adam", SETTINGS(WORD("lr", "fast"))), STEPD_INVALID_ARGUMENT,
           "group 'g': hyperparameter 'lr' of adam is a number, not 'fast'");
}

static void settings__twice__are_refused(void **state)
{
    (void)state;
    refuse(group_of("sgd", SETTINGS(NUMBER("lr", 0.1), NUMBER("lr", 0.1))), STEPD_INVALID_ARGUMENT,
           "group 'g': lr is set twice");
}

static void optimizer__unknown_or_missing__is_refused(void **state)
{
    (void)state;
    refuse(group_of("adamm", nothing), STEPD_NOT_FOUND,
           "group 'g': unknown optimizer 'adamm': did you mean 'adam'?");
    refuse(group_of("", nothing), STEPD_INVALID_ARGUMENT,
           "group 'g': no optimizer, and the job's defaults have none either");
}

static void frozen__without_an_optimizer__needs_none(void **state)
{
    (void)state;
    struct stepd_group def = group_of("", nothing);
    def.frozen = true;
    struct group group = make(def);
    assert_true(group.frozen);
    assert_int_equal(group_scope(&group), OPTIM_SCOPE_ELEMENT);
    assert_false(group_looks_ahead(&group));
    group_deinit(&group);
}

/* ---- Schedules ------------------------------------------------------------------------------- */

static void schedule__unknown_or_incomplete__is_refused(void **state)
{
    (void)state;
    struct stepd_group def = group_of("sgd", nothing);
    def.schedule = "cosin";
    refuse(def, STEPD_NOT_FOUND, "group 'g': unknown schedule 'cosin': did you mean 'cosine'?");
    def.schedule = "cosine";
    refuse(def, STEPD_INVALID_ARGUMENT, "group 'g': schedule cosine needs its parameter 't_max'");
}

static void schedule__of_parts__holds_them(void **state)
{
    (void)state;
    const struct stepd_schedule_part parts[] = {
        {.kind = "linear", .settings = SETTINGS(NUMBER("total_iters", 4))},
        {.kind = "constant"},
    };
    struct stepd_group def = group_of("sgd", nothing);
    def.schedule = "sequential";
    def.schedule_settings = SETTINGS(NUMBER("milestones", 4));
    def.schedule_part = parts;
    def.schedule_parts = 2;
    struct group group = make(def);
    assert_int_equal(group.schedule.parts, 2);
    assert_true(schedule_lr(&group.schedule, 3.0, 0) == 1.0);
    assert_true(schedule_lr(&group.schedule, 3.0, 4) == 3.0);
    group_deinit(&group);
    def.schedule = "";
    refuse(def, STEPD_INVALID_ARGUMENT,
           "group 'g': parts of a schedule, but no schedule that they are parts of");
}

static void schedule__with_a_wrong_part__names_the_part(void **state)
{
    (void)state;
    const struct stepd_schedule_part parts[] = {{.kind = "constant"}, {.kind = "step"}};
    struct stepd_group def = group_of("sgd", nothing);
    def.schedule = "chained";
    def.schedule_part = parts;
    def.schedule_parts = 2;
    refuse(def, STEPD_INVALID_ARGUMENT,
           "group 'g': schedule 2 of 2: schedule step needs its parameter 'step_size'");
}

/* ---- Modes ----------------------------------------------------------------------------------- */

static void check_mode__of_an_optimizer_that_needs_rounds__refuses_async(void **state)
{
    (void)state;
    struct group group = make(group_of("lbfgs", nothing));
    struct stepd_error error;
    assert_int_equal(group_check_mode(&group, STEPD_SYNC, NULL), STEPD_OK);
    assert_int_equal(group_check_mode(&group, STEPD_ASYNC, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text,
                        "group 'g': lbfgs needs the mean gradient of all workers, so the job's "
                        "mode must be sync, and it is async");
    group_deinit(&group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches__with_a_star__matches_dots_and_slashes_too),
        cmocka_unit_test(matches__with_a_set_or_a_mark__matches_one_character),
        cmocka_unit_test(matches__with_ndim__wants_one_of_these_numbers),
        cmocka_unit_test(ndim__wrong__is_refused),
        cmocka_unit_test(group__without_a_match__takes_everything),
        cmocka_unit_test(settings__of_numbers__stand_over_the_optimizers_own),
        cmocka_unit_test(settings__of_words_and_lists__are_taken),
        cmocka_unit_test(settings__unknown__name_the_group_and_the_nearest),
        cmocka_unit_test(settings__of_another_optimizer__are_unknown_to_this_one),
        cmocka_unit_test(settings__out_of_range__state_the_range),
        cmocka_unit_test(settings__of_the_wrong_kind__are_refused),
        cmocka_unit_test(settings__twice__are_refused),
        cmocka_unit_test(optimizer__unknown_or_missing__is_refused),
        cmocka_unit_test(frozen__without_an_optimizer__needs_none),
        cmocka_unit_test(schedule__unknown_or_incomplete__is_refused),
        cmocka_unit_test(schedule__of_parts__holds_them),
        cmocka_unit_test(schedule__with_a_wrong_part__names_the_part),
        cmocka_unit_test(check_mode__of_an_optimizer_that_needs_rounds__refuses_async),
    };
    return cmocka_run_group_tests_name("model/group", tests, NULL, NULL);
}
