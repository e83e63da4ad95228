/* SPDX-License-Identifier: Apache-2.0
 *
 * Groups of the file: settings, dimensions, schedules, phases and defaults; and how wrong ones are
 * refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/config/loading.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char rich[] =
    "jobs:\n"
    "- name: j\n"
    "  workers: 1\n"
    "  groups:\n"
    "  - {name: frozen, match: 'embed.*', frozen: true}\n"
    "  - name: matrices\n"
    "    ndim: [2, 4]\n"
    "    optimizer: adam\n"
    "    eps_mode: inside\n"
    "    betas: [0.8, 0.95]\n"
    "    phases:\n"
    "    - {from: 300, optimizer: momentum, lr: 0.05}\n"
    "    - {from: 900, optimizer: sgd}\n"
    "    schedule:\n"
    "      kind: sequential\n"
    "      milestones: [10]\n"
    "      schedules:\n"
    "      - {kind: linear, total_iters: 10}\n"
    "      - {kind: one_cycle, max_lr: 0.1, total_steps: 90, anneal_strategy: linear}\n"
    "  - {name: rest, ndim: 1, lr_mult: 2}\n"
    "  defaults: {optimizer: momentum, lr: 0.01, preset: lecture, schedule: {kind: constant}}\n";

static void load(const char *yaml, struct config *ret_config)
{
    struct stepd_error error = {.code = STEPD_OK};
    if (loading_run_yaml(yaml, ret_config, &error) != STEPD_OK)
        fail_msg("%s", error.text);
}

static void groups__given__say_which_tensors_they_take(void **state)
{
    (void)state;
    struct config config;
    load(rich, &config);
    const struct stepd_group *const group = config.job[0].definition.group;
    assert_true(group[0].frozen && !group[1].frozen);
    assert_string_equal(group[0].optimizer, "");
    assert_string_equal(group[1].match, "*");
    assert_int_equal(group[1].ndim.count, 2);
    assert_int_equal(group[1].ndim.at[0], 2);
    assert_int_equal(group[1].ndim.at[1], 4);
    assert_int_equal(group[2].ndim.count, 1);
    assert_int_equal(group[2].ndim.at[0], 1);
    config_deinit(&config);
}

static void groups__given__carry_numbers_lists_and_words(void **state)
{
    (void)state;
    struct config config;
    load(rich, &config);
    const struct stepd_settings *const settings = &config.job[0].definition.group[1].settings;
    assert_int_equal(settings->count, 2);
    assert_string_equal(settings->at[0].name, "eps_mode");
    assert_string_equal(settings->at[0].word, "inside");
    assert_int_equal(settings->at[0].values, 0);
    assert_string_equal(settings->at[1].name, "betas");
    assert_int_equal(settings->at[1].values, 2);
    assert_true(settings->at[1].value[1] == 0.95);
    config_deinit(&config);
}

static void groups__with_phases__carry_them_in_order(void **state)
{
    (void)state;
    struct config config;
    load(rich, &config);
    const struct stepd_group *const group = &config.job[0].definition.group[1];
    assert_int_equal(group->phases, 2);
    assert_int_equal(group->phase[0].from, 300);
    assert_string_equal(group->phase[0].optimizer, "momentum");
    assert_string_equal(group->phase[0].settings.at[0].name, "lr");
    assert_int_equal(group->phase[1].from, 900);
    assert_int_equal(group->phase[1].settings.count, 0);
    config_deinit(&config);
}

static void groups__with_a_schedule_of_parts__carry_them(void **state)
{
    (void)state;
    struct config config;
    load(rich, &config);
    const struct stepd_group *const group = &config.job[0].definition.group[1];
    assert_string_equal(group->schedule, "sequential");
    assert_string_equal(group->schedule_settings.at[0].name, "milestones");
    assert_int_equal(group->schedule_parts, 2);
    assert_string_equal(group->schedule_part[1].kind, "one_cycle");
    assert_string_equal(group->schedule_part[1].settings.at[2].word, "linear");
    config_deinit(&config);
}

static void defaults__wherever_they_stand__are_for_all_groups(void **state)
{
    (void)state;
    struct config config;
    load(rich, &config);
    const struct stepd_group *const defaults = &config.job[0].definition.defaults;
    assert_string_equal(defaults->optimizer, "momentum");
    assert_string_equal(defaults->schedule, "constant");
    assert_int_equal(defaults->settings.count, 2);
    assert_string_equal(defaults->settings.at[1].word, "lecture");
    assert_string_equal(config.job[0].definition.group[2].optimizer, "");
    config_deinit(&config);
}

/* A group's map in flow style, in a job that is right. */
#define JOB(groups)    "jobs:\n- name: j\n  workers: 1\n  groups:\n  - " groups "\n"
#define GROUP(more)    JOB("{name: g, match: '*', optimizer: sgd, " more "}")
#define DEFAULTS(more) JOB("{name: g}") "  defaults: {" more "}\n"

static const struct {
    const char *yaml;
    const char *error;
} bad[] = {
    {GROUP("lr: "),
     ":5: job \"j\": group \"g\": lr must be a number, a word or a list of 1 to 256"},
    {GROUP("lr: .inf"), "lr: \".inf\" is not a number and not a word"},
    {GROUP("lr: 1e999"), "lr: \"1e999\" is not a number"},
    {GROUP("lr: 0x1"), "lr: \"0x1\" is not a number"},
    {GROUP("lr: 1 2"), "lr: \"1 2\" is not a number"},
    {GROUP("lr: {a: 1}"), "lr must be a number, a word or a list"},
    {GROUP("betas: []"), "betas must be a number, a word or a list"},
    {GROUP("betas: [1, a]"), "betas must be a number, a word or a list"},
    {GROUP("betas: [1, [2]]"), "betas must be a number, a word or a list"},
    {GROUP("'L R': 1"), "unknown key \"L R\""},
    {GROUP("'': 1"), "unknown key \"\""},
    {GROUP("ndims: 2"), "group \"g\": unknown key \"ndims\": did you mean 'ndim'?"},
    {GROUP("shedule: constant"), "unknown key \"shedule\": did you mean 'schedule'?"},
    {JOB("{name: g, match: '*', optimiser: sgd}"),
     ":5: job \"j\": group \"g\": unknown key \"optimiser\": did you mean 'optimizer'?"},
    {GROUP("ndim: 9"), "ndim: \"9\" is not a whole number from 0 to 8"},
    {GROUP("ndim: [1, 1]"), "ndim names 1 twice"},
    {GROUP("ndim: []"), "ndim is an empty list; leave it out for any"},
    {GROUP("frozen: 2"), "frozen: \"2\" is not true or false"},
    {GROUP("schedule: cosine"), "\"schedule\" is a plain value and must be a map"},
    {GROUP("schedule: {t_max: 1}"), "the key 'kind' is missing"},
    {GROUP("schedule: {kind: cosine, t_max: [a]}"), "t_max must be a number"},
    {GROUP("schedule: {kind: chained, schedules: []}"), "schedules must be 1 to 16"},
    {GROUP("schedule: {kind: chained, schedules: [{gamma: 1}]}"), "the key 'kind' is missing"},
    {GROUP("phases: [{optimizer: sgd}]"), "the key 'from' is missing"},
    {GROUP("phases: [{from: 3}]"), "the key 'optimizer' is missing"},
    {GROUP("phases: [{from: 0, optimizer: sgd}]"), "from: \"0\" is not a whole number from 1"},
    {GROUP("phases: [{from: 3, optimizer: sgd}, {from: 3, optimizer: sgd}]"),
     "a phase from 3 cannot follow one from 3"},
    {DEFAULTS("match: '*'"), "match belongs to a group, not to the defaults of all"},
    {DEFAULTS("phases: []"), "phases belongs to a group, not to the defaults of all"},
    {DEFAULTS("lr: 1"), ":5: job \"j\": group \"g\": the key 'optimizer' is missing"},
};

static void groups__wrong__are_refused_with_place_and_cause(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct config config = {.file = NULL};
        struct stepd_error error = {.code = STEPD_OK};
        assert_int_equal(loading_run_yaml(bad[i].yaml, &config, &error), STEPD_FAILED_PRECONDITION);
        loading_assert_holds(error.text, bad[i].error);
    }
}

static void groups__64_settings__are_the_most(void **state)
{
    (void)state;
    for (size_t settings = 64; settings <= 65; settings++) {
        char yaml[4096];
        struct config config;
        struct stepd_error error = {.code = STEPD_OK};
        size_t used = (size_t)snprintf(yaml, sizeof yaml, "%s    optimizer: sgd\n", JOB("name: g"));
        for (size_t i = 0; i < settings; i++)
            used += (size_t)snprintf(yaml + used, sizeof yaml - used, "    s%zu: 1\n", i);
        const enum stepd_status status = loading_run_yaml(yaml, &config, &error);
        assert_int_equal(status, settings == 64 ? STEPD_OK : STEPD_FAILED_PRECONDITION);
        if (status == STEPD_OK)
            config_deinit(&config);
        else
            loading_assert_holds(error.text, ":71: job \"j\": group \"g\": more than 64 settings");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups__given__say_which_tensors_they_take),
        cmocka_unit_test(groups__given__carry_numbers_lists_and_words),
        cmocka_unit_test(groups__with_phases__carry_them_in_order),
        cmocka_unit_test(groups__with_a_schedule_of_parts__carry_them),
        cmocka_unit_test(defaults__wherever_they_stand__are_for_all_groups),
        cmocka_unit_test(groups__wrong__are_refused_with_place_and_cause),
        cmocka_unit_test(groups__64_settings__are_the_most),
    };
    return cmocka_run_group_tests_name("config_groups", tests, NULL, NULL);
}
