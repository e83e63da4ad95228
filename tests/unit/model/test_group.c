/* SPDX-License-Identifier: Apache-2.0
 *
 * Groups: the glob, the settings over the defaults, and errors that name the group.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/model/group.h"

static const double tenth = 0.1;
static const double pair[2] = {0.9, 0.999};

static struct stepd_group define(const char *match)
{
    return (struct stepd_group){
        .name = "g", .match = match, .optimizer = "momentum", .schedule = ""};
}

static struct group make(const char *match)
{
    const struct stepd_group def = define(match);
    struct group group;
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(group_init(&def, &group, &error), STEPD_OK);
    return group;
}

/* The text of the refusal. */
static const char *refusal(const struct stepd_group *def, enum stepd_status expected)
{
    static struct stepd_error error;
    struct group group = {.name = NULL};
    error = (struct stepd_error){.code = STEPD_OK};
    assert_int_equal(group_init(def, &group, &error), expected);
    assert_int_equal(error.code, expected);
    assert_null(group.name); /* untouched */
    return error.text;
}

static void group_matches__with_a_star__matches_dots_and_slashes_too(void **state)
{
    (void)state;
    struct group group = make("fc*.weight");
    assert_true(group_matches(&group, "fc1.weight"));
    assert_true(group_matches(&group, "fc.0/a.weight"));
    assert_false(group_matches(&group, "conv.weight"));
    assert_false(group_matches(&group, "fc1.weight.scale"));
    group_deinit(&group);
}

static void group_matches__with_a_set_or_a_mark__matches_one_character(void **state)
{
    (void)state;
    struct group group = make("layer[0-3].?");
    assert_true(group_matches(&group, "layer2.b"));
    assert_false(group_matches(&group, "layer4.b"));
    assert_false(group_matches(&group, "layer2.bias"));
    group_deinit(&group);
}

static void group__without_a_match__takes_everything(void **state)
{
    (void)state;
    const struct stepd_group def = {.name = "", .match = "", .optimizer = "sgd", .schedule = ""};
    struct group group;
    assert_int_equal(group_init(&def, &group, NULL), STEPD_OK);
    assert_string_equal(group.name, "*");
    assert_true(group_matches(&group, "any.thing"));
    group_deinit(&group);
}

static void group__with_settings__puts_them_over_the_defaults(void **state)
{
    (void)state;
    const struct stepd_setting setting = {.name = "momentum", .values = 1, .value = &tenth};
    struct stepd_group def = define("*");
    struct group plain = make("*");
    struct group set;
    def.settings = (struct stepd_settings){.count = 1, .at = &setting};
    assert_int_equal(group_init(&def, &set, NULL), STEPD_OK);
    assert_true(set.hyper.momentum == 0.1);
    assert_true(set.hyper.lr == plain.hyper.lr);
    assert_true(plain.hyper.momentum != 0.1);
    group_deinit(&set);
    group_deinit(&plain);
}

static void group__with_betas__sets_both(void **state)
{
    (void)state;
    static const double betas[] = {0.8, 0.95};
    struct stepd_setting setting = {.name = "betas", .values = 2, .value = betas};
    struct stepd_group def = define("*");
    struct group group;
    def.optimizer = "adam";
    def.settings = (struct stepd_settings){.count = 1, .at = &setting};
    assert_int_equal(group_init(&def, &group, NULL), STEPD_OK);
    assert_true(group.hyper.beta1 == 0.8);
    assert_true(group.hyper.beta2 == 0.95);
    group_deinit(&group);
    setting.values = 1;
    assert_non_null(strstr(refusal(&def, STEPD_INVALID_ARGUMENT), "betas takes two numbers"));
}

static void group__with_a_setting_twice__is_refused(void **state)
{
    (void)state;
    const struct stepd_setting settings[] = {{.name = "momentum", .values = 1, .value = &tenth},
                                             {.name = "momentum", .values = 1, .value = pair}};
    struct stepd_group def = define("*");
    def.settings = (struct stepd_settings){.count = 2, .at = settings};
    assert_non_null(strstr(refusal(&def, STEPD_INVALID_ARGUMENT), "momentum is set twice"));
}

static void group__with_an_unknown_optimizer__is_refused_by_its_name(void **state)
{
    (void)state;
    struct stepd_group def = define("*");
    def.optimizer = "adamm";
    const char *text = refusal(&def, STEPD_NOT_FOUND);
    assert_non_null(strstr(text, "group 'g'"));
    assert_non_null(strstr(text, "adamm"));
}

static void group__with_an_unknown_setting__is_refused_and_names_it(void **state)
{
    (void)state;
    const struct stepd_setting setting = {.name = "momentun", .values = 1, .value = &tenth};
    struct stepd_group def = define("*");
    def.settings = (struct stepd_settings){.count = 1, .at = &setting};
    const char *text = refusal(&def, STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(text, "group 'g'"));
    assert_non_null(strstr(text, "momentun"));
}

static void group__with_a_list_for_a_number__is_refused(void **state)
{
    (void)state;
    struct stepd_setting setting = {.name = "momentum", .values = 2, .value = pair};
    struct stepd_group def = define("*");
    def.settings = (struct stepd_settings){.count = 1, .at = &setting};
    assert_non_null(strstr(refusal(&def, STEPD_INVALID_ARGUMENT), "momentum takes one number"));
    setting.values = 0;
    assert_non_null(strstr(refusal(&def, STEPD_INVALID_ARGUMENT), "not 0"));
}

static void group__with_an_unknown_schedule__is_refused(void **state)
{
    (void)state;
    struct stepd_group def = define("*");
    def.schedule = "cosin";
    assert_non_null(strstr(refusal(&def, STEPD_NOT_FOUND), "cosin"));
}

static void group__with_a_schedule_that_lacks_a_parameter__is_refused(void **state)
{
    (void)state;
    struct stepd_group def = define("*");
    def.schedule = "cosine";
    const char *text = refusal(&def, STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(text, "group 'g'"));
    assert_non_null(strstr(text, "t_max"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(group_matches__with_a_star__matches_dots_and_slashes_too),
        cmocka_unit_test(group_matches__with_a_set_or_a_mark__matches_one_character),
        cmocka_unit_test(group__without_a_match__takes_everything),
        cmocka_unit_test(group__with_settings__puts_them_over_the_defaults),
        cmocka_unit_test(group__with_betas__sets_both),
        cmocka_unit_test(group__with_a_setting_twice__is_refused),
        cmocka_unit_test(group__with_an_unknown_optimizer__is_refused_by_its_name),
        cmocka_unit_test(group__with_an_unknown_setting__is_refused_and_names_it),
        cmocka_unit_test(group__with_a_list_for_a_number__is_refused),
        cmocka_unit_test(group__with_an_unknown_schedule__is_refused),
        cmocka_unit_test(group__with_a_schedule_that_lacks_a_parameter__is_refused),
    };
    return cmocka_run_group_tests_name("model/group", tests, NULL, NULL);
}
