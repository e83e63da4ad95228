/* SPDX-License-Identifier: Apache-2.0
 *
 * A group's schedule: its own, or the defaults' with its settings over theirs; what it is made of;
 * and whether there is a momentum that it can cycle.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/model/groups.h"

static struct stepd_group with_schedule(const char *optimizer, const char *kind,
                                        const char *settings)
{
    struct stepd_group def = settings_group(optimizer, "");
    def.schedule = kind;
    def.schedule_settings = settings_of(settings);
    return def;
}

static double rate(const struct group *group, uint64_t step)
{
    return schedule_lr(&group->schedule, 1.0, step);
}

/* ---- Its own, or the defaults' --------------------------------------------------------------- */

static void group__without_a_schedule__is_at_a_constant_rate(void **state)
{
    (void)state;
    const struct stepd_group def = {.optimizer = "sgd"};
    struct group group = groups_make(&def);
    assert_string_equal(group.schedule.kind->name, "constant");
    assert_true(rate(&group, 0) == 1.0 && rate(&group, 1000000) == 1.0);
    group_deinit(&group);
}

static void group__without_a_schedule__has_that_of_the_defaults(void **state)
{
    (void)state;
    const struct stepd_group defaults = with_schedule("sgd", "step", "step_size=2 gamma=0.5");
    struct stepd_group def = settings_group("", "");
    struct group group = groups_make_over(&defaults, &def);
    assert_true(rate(&group, 1) == 1.0 && rate(&group, 2) == 0.5);
    group_deinit(&group);
    def.schedule_settings = settings_of("gamma=0.25"); /* over the default's */
    group = groups_make_over(&defaults, &def);
    assert_true(rate(&group, 1) == 1.0 && rate(&group, 2) == 0.25);
    group_deinit(&group);
}

static void group__with_a_schedule__takes_nothing_of_the_defaults(void **state)
{
    (void)state;
    const struct stepd_group defaults = with_schedule("sgd", "step", "step_size=2 gamma=0.5");
    const struct stepd_group def = with_schedule("", "exponential", "gamma=0.75");
    struct group group = groups_make_over(&defaults, &def);
    assert_true(rate(&group, 1) == 0.75);
    group_deinit(&group);
}

static void group__with_settings_for_no_schedule__sets_the_constant_one(void **state)
{
    (void)state;
    const struct stepd_group def = with_schedule("sgd", "", "warmup=4");
    struct group group = groups_make(&def);
    assert_true(rate(&group, 0) == 0.25 && rate(&group, 4) == 1.0);
    group_deinit(&group);
}

/* ---- What cannot be -------------------------------------------------------------------------- */

static void group__with_an_unknown_schedule__names_the_nearest(void **state)
{
    (void)state;
    const struct stepd_group def = with_schedule("sgd", "cosin", "");
    groups_refuse_over(&groups_nothing, &def, STEPD_NOT_FOUND,
                       "group 'g': unknown schedule 'cosin': did you mean 'cosine'?");
}

static void group__with_a_wrong_parameter__says_which(void **state)
{
    (void)state;
    struct stepd_group def = with_schedule("sgd", "cosine", "");
    groups_refuse(&def, "schedule cosine needs its parameter 't_max'");
    def = with_schedule("sgd", "cosine", "t_maxx=3");
    groups_refuse(&def, "schedule cosine has no parameter 't_maxx': did you mean 't_max'?");
    def = with_schedule("sgd", "cosine", "t_max=3 t_max=3");
    groups_refuse(&def, "t_max is set twice");
    def = with_schedule("sgd", "plateau", "mode=least");
    groups_refuse(&def, "parameter 'mode' of schedule plateau must be one of min, max, and 'least' "
                        "is not");
}

/* ---- Made of others -------------------------------------------------------------------------- */

static void group__with_a_schedule_of_parts__takes_them_in_order(void **state)
{
    (void)state;
    const struct stepd_schedule_part part[] = {
        {.kind = "exponential", .settings = settings_of("gamma=0.5")},
        {.kind = "constant", .settings = settings_of("")}};
    struct stepd_group def = with_schedule("sgd", "sequential", "milestones=2");
    def.schedule_parts = 2;
    def.schedule_part = part;
    struct group group = groups_make(&def);
    const double expected[] = {1.0, 0.5, 1.0, 1.0};
    for (uint64_t step = 0; step < 4; step++)
        assert_true(rate(&group, step) == expected[step]);
    group_deinit(&group);
}

static void group__with_a_wrong_part__says_which(void **state)
{
    (void)state;
    struct stepd_schedule_part part[] = {{.kind = "constant"}, {.kind = "step"}};
    struct stepd_group def = with_schedule("sgd", "chained", "");
    def.schedule_parts = 2;
    def.schedule_part = part;
    groups_refuse(&def, "schedule 2 of 2: schedule step needs its parameter 'step_size'");
    part[1] = (struct stepd_schedule_part){.kind = "plateau"};
    groups_refuse(&def, "schedule 2 of 2: schedule plateau cannot be a part of chained");
    def.schedule = "constant";
    groups_refuse(&def, "schedule 1 of 2: schedule constant is not made of others; sequential and "
                        "chained are");
    def.schedule = "";
    groups_refuse(&def, "parts of a schedule, but no schedule that they are parts of");
}

/* ---- Momentum that is cycled ----------------------------------------------------------------- */

static const char cyclic[] = "base_lr=0.1 max_lr=1";

static void group__with_a_momentum_or_beta1__can_have_it_cycled(void **state)
{
    (void)state;
    static const char *const optimizers[] = {
        "momentum", "nesterov", "rmsprop_nesterov", "adam", "lars", "muon", "lion", "swats"};
    for (size_t i = 0; i < sizeof optimizers / sizeof optimizers[0]; i++) {
        const struct stepd_group def = with_schedule(optimizers[i], "cyclic", cyclic);
        struct group group = groups_make(&def);
        group_deinit(&group);
    }
}

static void group__without_a_momentum__cannot_have_it_cycled(void **state)
{
    (void)state;
    struct stepd_group def = with_schedule("adagrad", "cyclic", cyclic);
    groups_refuse(&def, "schedule cyclic cycles the momentum, and adagrad has none; set its "
                        "cycle_momentum to 0, or take an optimizer with momentum");
    def = with_schedule("adagrad", "cyclic", "base_lr=0.1 max_lr=1 cycle_momentum=false");
    struct group group = groups_make(&def);
    group_deinit(&group);
    def = with_schedule("adagrad", "cyclic", cyclic);
    def.frozen = true; /* nothing is ever cycled */
    group = groups_make(&def);
    group_deinit(&group);
}

static void group__without_a_buffer_for_its_momentum__cannot_have_it_cycled(void **state)
{
    (void)state;
    struct stepd_group def = with_schedule("rmsprop", "one_cycle", "max_lr=1 total_steps=9");
    groups_refuse(&def, "schedule one_cycle cycles the momentum, and rmsprop keeps none while its "
                        "own is 0; set momentum to what it is when nothing cycles it, or "
                        "cycle_momentum to 0");
    def.settings = settings_of("momentum=0.5");
    struct group group = groups_make(&def);
    group_deinit(&group);
}

static void group__with_a_phase_without_momentum__cannot_have_it_cycled_by_a_part(void **state)
{
    (void)state;
    const struct stepd_phase phase = settings_phase(7, "sgd", "");
    const struct stepd_schedule_part part[] = {{.kind = "constant"},
                                               {.kind = "cyclic", .settings = settings_of(cyclic)}};
    struct stepd_group def = with_schedule("adam", "chained", "");
    def.schedule_parts = 2;
    def.schedule_part = part;
    struct group group = groups_make(&def);
    group_deinit(&group);
    def.phases = 1;
    def.phase = &phase;
    groups_refuse(&def, "schedule chained cycles the momentum, and sgd has none; set its "
                        "cycle_momentum to 0, or take an optimizer with momentum");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(group__without_a_schedule__is_at_a_constant_rate),
        cmocka_unit_test(group__without_a_schedule__has_that_of_the_defaults),
        cmocka_unit_test(group__with_a_schedule__takes_nothing_of_the_defaults),
        cmocka_unit_test(group__with_settings_for_no_schedule__sets_the_constant_one),
        cmocka_unit_test(group__with_an_unknown_schedule__names_the_nearest),
        cmocka_unit_test(group__with_a_wrong_parameter__says_which),
        cmocka_unit_test(group__with_a_schedule_of_parts__takes_them_in_order),
        cmocka_unit_test(group__with_a_wrong_part__says_which),
        cmocka_unit_test(group__with_a_momentum_or_beta1__can_have_it_cycled),
        cmocka_unit_test(group__without_a_momentum__cannot_have_it_cycled),
        cmocka_unit_test(group__without_a_buffer_for_its_momentum__cannot_have_it_cycled),
        cmocka_unit_test(group__with_a_phase_without_momentum__cannot_have_it_cycled_by_a_part),
    };
    return cmocka_run_group_tests_name("model/group_schedule", tests, NULL, NULL);
}
