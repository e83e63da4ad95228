/* SPDX-License-Identifier: Apache-2.0
 *
 * Groups: which tensors one takes, what a frozen one is, what a copy is, and errors that name the
 * group. What its settings come to is in test_group_settings.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/model/groups.h"

/* ---- Which tensors --------------------------------------------------------------------------- */

static struct group make_matching(const char *match)
{
    struct stepd_group def = settings_group("sgd", "");
    def.match = match;
    return groups_make(&def);
}

static void group_matches__with_a_star__matches_dots_and_slashes_too(void **state)
{
    (void)state;
    struct group group = make_matching("fc*.weight");
    assert_true(group_matches(&group, "fc1.weight", 2));
    assert_true(group_matches(&group, "fc.0/a.weight", 2));
    assert_false(group_matches(&group, "conv.weight", 2));
    assert_false(group_matches(&group, "fc1.weight.scale", 2));
    group_deinit(&group);
}

static void group_matches__with_a_set_or_a_mark__matches_one_character(void **state)
{
    (void)state;
    struct group group = make_matching("layer[0-3].?");
    assert_true(group_matches(&group, "layer2.b", 1));
    assert_false(group_matches(&group, "layer4.b", 1));
    assert_false(group_matches(&group, "layer2.bias", 1));
    group_deinit(&group);
}

static void group__without_a_match__takes_everything(void **state)
{
    (void)state;
    const struct stepd_group def = {.optimizer = "sgd"};
    struct group group = groups_make(&def);
    assert_string_equal(group.name, "*");
    for (size_t dims = 0; dims <= STEPD_DIMS_MAX; dims++)
        assert_true(group_matches(&group, "any.thing", dims));
    group_deinit(&group);
}

static struct stepd_group define_ndim(const uint32_t *ndim, size_t count)
{
    struct stepd_group def = settings_group("sgd", "");
    def.match = "*.weight";
    def.ndim = (struct stepd_u32s){.count = count, .at = ndim};
    return def;
}

static void group_matches__with_ndim__wants_name_and_one_of_the_numbers(void **state)
{
    (void)state;
    static const uint32_t matrices_and_scalars[] = {2, 0};
    const struct stepd_group def = define_ndim(matrices_and_scalars, 2);
    struct group group = groups_make(&def);
    assert_true(group_matches(&group, "a.weight", 2));
    assert_true(group_matches(&group, "a.weight", 0));
    assert_false(group_matches(&group, "a.weight", 1));
    assert_false(group_matches(&group, "a.weight", 3));
    assert_false(group_matches(&group, "a.bias", 2));
    group_deinit(&group);
}

static void group__with_ndim_beyond_any_tensors__is_refused(void **state)
{
    (void)state;
    static const uint32_t most[] = {STEPD_DIMS_MAX}, beyond[] = {1, STEPD_DIMS_MAX + 1};
    struct stepd_group def = define_ndim(most, 1);
    struct group group = groups_make(&def);
    group_deinit(&group);
    def = define_ndim(beyond, 2);
    groups_refuse(&def, "ndim is 9; a tensor has 0 to 8 dimensions");
}

static void group__with_a_number_of_dimensions_twice__is_refused(void **state)
{
    (void)state;
    static const uint32_t twice[] = {2, 1, 2};
    const struct stepd_group def = define_ndim(twice, 3);
    groups_refuse(&def, "ndim names 2 twice");
}

/* ---- Names ----------------------------------------------------------------------------------- */

static void group__without_a_name__is_called_by_what_it_matches(void **state)
{
    (void)state;
    struct stepd_group def = settings_group("sgdd", "");
    def.name = "";
    def.match = "*.bias";
    groups_refuse_over(&groups_nothing, &def, STEPD_NOT_FOUND,
                       "group '*.bias': unknown optimizer 'sgdd': did you mean 'sgd'?");
}

static void group__with_an_unknown_optimizer__names_the_nearest(void **state)
{
    (void)state;
    const struct stepd_group def = settings_group("adamm", "");
    groups_refuse_over(&groups_nothing, &def, STEPD_NOT_FOUND,
                       "group 'g': unknown optimizer 'adamm': did you mean 'adam'?");
}

static void group__without_an_optimizer__is_refused_unless_the_defaults_name_one(void **state)
{
    (void)state;
    const struct stepd_group def = settings_group("", "");
    groups_refuse(&def, "no optimizer, and the job's defaults have none either");
    const struct stepd_group defaults = {.optimizer = "lion"};
    struct group group = groups_make_over(&defaults, &def);
    assert_string_equal(group.phase[0].optimizer->name, "lion");
    group_deinit(&group);
}

/* ---- Frozen ---------------------------------------------------------------------------------- */

static void group__that_is_frozen__needs_no_optimizer(void **state)
{
    (void)state;
    struct stepd_group def = settings_group("", "");
    def.frozen = true;
    struct group group = groups_make(&def);
    assert_true(group.frozen);
    assert_int_equal(group.phases, 1);
    group_deinit(&group);
}

static void group__that_is_frozen__does_not_take_what_its_optimizer_would_not_know(void **state)
{
    (void)state;
    struct stepd_group def = settings_group("", "momentum=0.9");
    def.frozen = true;
    groups_refuse_beginning(
        &def, "group 'g': sgd has no hyperparameter 'momentum': known are lr, weight_decay, ");
}

static void group__that_is_frozen__asks_nothing_of_the_layout(void **state)
{
    (void)state;
    struct stepd_group def = settings_group("newton", "");
    struct group group = groups_make(&def);
    assert_int_equal(group_scope(&group), OPTIM_SCOPE_GROUP);
    group_deinit(&group);
    def.frozen = true;
    group = groups_make(&def);
    assert_int_equal(group_scope(&group), OPTIM_SCOPE_ELEMENT);
    group_deinit(&group);
    def = settings_group("nesterov", "form=interim");
    def.frozen = true;
    group = groups_make(&def);
    assert_false(group_looks_ahead(&group));
    group_deinit(&group);
}

/* ---- Copies ---------------------------------------------------------------------------------- */

static void group_copy__of_a_group__is_the_same_and_outlives_it(void **state)
{
    (void)state;
    static const uint32_t ndim[] = {1, 2};
    struct stepd_group def = define_ndim(ndim, 2);
    const struct stepd_phase phase = settings_phase(7, "momentum", "lr=0.5");
    def.phases = 1;
    def.phase = &phase;
    def.schedule = "multistep";
    def.schedule_settings = settings_of("milestones=3,5 gamma=0.5");
    struct group group = groups_make(&def);
    struct group copy;
    assert_int_equal(group_copy(&group, &copy), STEPD_OK);
    assert_int_equal(group_same(&group, &copy, NULL), STEPD_OK);
    assert_ptr_not_equal(copy.phase, group.phase);
    group_deinit(&group);
    assert_string_equal(copy.match, "*.weight");
    assert_string_equal(group_phase(&copy, 7)->optimizer->name, "momentum");
    assert_true(schedule_lr(&copy.schedule, 1.0, 5) == 0.25);
    group_deinit(&copy);
}

static void group_deinit__of_a_zeroed_group__is_fine(void **state)
{
    (void)state;
    struct group group = {.name = NULL};
    group_deinit(&group);
    assert_null(group.phase);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(group_matches__with_a_star__matches_dots_and_slashes_too),
        cmocka_unit_test(group_matches__with_a_set_or_a_mark__matches_one_character),
        cmocka_unit_test(group__without_a_match__takes_everything),
        cmocka_unit_test(group_matches__with_ndim__wants_name_and_one_of_the_numbers),
        cmocka_unit_test(group__with_ndim_beyond_any_tensors__is_refused),
        cmocka_unit_test(group__with_a_number_of_dimensions_twice__is_refused),
        cmocka_unit_test(group__without_a_name__is_called_by_what_it_matches),
        cmocka_unit_test(group__with_an_unknown_optimizer__names_the_nearest),
        cmocka_unit_test(group__without_an_optimizer__is_refused_unless_the_defaults_name_one),
        cmocka_unit_test(group__that_is_frozen__needs_no_optimizer),
        cmocka_unit_test(group__that_is_frozen__does_not_take_what_its_optimizer_would_not_know),
        cmocka_unit_test(group__that_is_frozen__asks_nothing_of_the_layout),
        cmocka_unit_test(group_copy__of_a_group__is_the_same_and_outlives_it),
        cmocka_unit_test(group_deinit__of_a_zeroed_group__is_fine),
    };
    return cmocka_run_group_tests_name("model/group", tests, NULL, NULL);
}
