/* SPDX-License-Identifier: Apache-2.0
 *
 * Groups of the file: settings, dimensions, schedules, phases and defaults; and how wrong ones are
 * refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
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
    assert_int_equal(config.job[0].defaults_line, 21);
    assert_string_equal(defaults->optimizer, "momentum");
    assert_string_equal(defaults->schedule, "constant");
    assert_int_equal(defaults->settings.count, 2);
    assert_string_equal(defaults->settings.at[1].word, "lecture");
    assert_string_equal(config.job[0].definition.group[2].optimizer, "");
    config_deinit(&config);
}

/* What is written, and the setting that it becomes: a word, or a number where that is NULL. */
static const struct {
    const char *yaml;
    const char *word;
    double number;
} values[] = {
    {"1", NULL, 1.0},        {"-1.5e-3", NULL, -1.5e-3}, {"+.5", NULL, 0.5},
    {"'2'", NULL, 2.0},      {"[7]", NULL, 7.0},         {"5e-324", NULL, 5e-324},
    {"-0.0", NULL, -0.0},    {"true", NULL, 1.0},        {"false", NULL, 0.0},
    {"'true'", NULL, 1.0},   {"yes", "yes", 0.0},        {"True", "True", 0.0},
    {"inf", "inf", 0.0},     {"NaN", "NaN", 0.0},        {"e5", "e5", 0.0},
    {"'null'", "null", 0.0}, {"NULL", "NULL", 0.0},      {"strong_wolfe", "strong_wolfe", 0.0},
};

static void setting__written_somehow__is_a_number_or_a_word(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(values); i++) {
        char yaml[256];
        struct config config;
        (void)snprintf(yaml, sizeof yaml,
                       "jobs: [{name: j, workers: 1, groups: [{name: g, optimizer: o, x: %s}]}]",
                       values[i].yaml);
        load(yaml, &config);
        const struct stepd_setting *const x = config.job[0].definition.group[0].settings.at;
        assert_string_equal(x->word, values[i].word == NULL ? "" : values[i].word);
        assert_int_equal(x->values, values[i].word == NULL);
        if (values[i].word == NULL)
            assert_memory_equal(&x->value[0], &values[i].number, sizeof(double));
        config_deinit(&config);
    }
}

/* A group's map in flow style, in a job that is right. */
#define JOB(groups)    "jobs:\n- name: j\n  workers: 1\n  groups:\n  - " groups "\n"
#define GROUP(more)    JOB("{name: g, match: '*', optimizer: sgd, " more "}")
#define DEFAULTS(more) JOB("{name: g}") "  defaults: {" more "}\n"

/* The same job with its defaults in lines of their own, from line 6 on. */
#define BEHIND(lines) JOB("{name: g}") "  defaults:\n" lines

static const struct {
    const char *yaml;
    const char *error;
} bad[] = {
    /* settings */
    {GROUP("lr: "),
     ":5: job \"j\": group \"g\": lr must be a number, a word or a list of 1 to 256"},
    {GROUP("lr: ~"), "lr must be a number, a word or a list"},
    {GROUP("lr: null"), "lr must be a number, a word or a list"},
    {GROUP("lr: ''"), "lr: \"\" is not a number and not a word"},
    {GROUP("lr: .inf"), "lr: \".inf\" is not a number and not a word"},
    {GROUP("lr: -inf"), "lr: \"-inf\" is not a number and not a word"},
    {GROUP("lr: .nan"), "lr: \".nan\" is not a number and not a word"},
    {GROUP("lr: 1e999"), "lr: \"1e999\" is not a number"},
    {GROUP("lr: 0x1"), "lr: \"0x1\" is not a number"},
    {GROUP("lr: 1_000"), "lr: \"1_000\" is not a number"},
    {GROUP("lr: 1 2"), "lr: \"1 2\" is not a number"},
    {GROUP("lr: {a: 1}"), "lr must be a number, a word or a list"},
    {GROUP("preset: two words"), "preset: \"two words\" is not a number and not a word"},
    {GROUP("preset: \"a\\nb\""), "preset: \"a\\nb\" is not a number and not a word"},
    {GROUP("preset: \xC3\xA4"), "preset: \"\xC3\xA4\" is not a number and not a word"},
    {GROUP("betas: []"), "betas must be a number, a word or a list"},
    {GROUP("betas: [1, a]"), "betas must be a number, a word or a list"},
    {GROUP("betas: [1, ~]"), "betas must be a number, a word or a list"},
    {GROUP("betas: [1, [2]]"), "betas must be a number, a word or a list"},
    {GROUP("'L R': 1"), "unknown key \"L R\""},
    {GROUP("'': 1"), "unknown key \"\""},
    {GROUP("<<: {lr: 1}"), "unknown key \"<<\""},
    /* keys that are nearly right */
    {GROUP("ndims: 2"), "group \"g\": unknown key \"ndims\": did you mean 'ndim'?"},
    {GROUP("frozn: true"), "group \"g\": unknown key \"frozn\": did you mean 'frozen'?"},
    {GROUP("Ndim: 2"), "group \"g\": unknown key \"Ndim\": did you mean 'ndim'?"},
    {GROUP("phase: []"), "group \"g\": unknown key \"phase\": did you mean 'phases'?"},
    {GROUP("shedule: constant"), "unknown key \"shedule\": did you mean 'schedule'?"},
    {GROUP("phases: [{form: 3, optimizer: sgd}]"), "unknown key \"form\": did you mean 'from'?"},
    {GROUP("schedule: {knd: cosine}"), "unknown key \"knd\": did you mean 'kind'?"},
    {GROUP("schedule: {kind: chained, schedule: []}"), "did you mean 'schedules'?"},
    {JOB("{name: g, match: '*', optimiser: sgd}"),
     ":5: job \"j\": group \"g\": unknown key \"optimiser\": did you mean 'optimizer'?"},
    {BEHIND("    lr: 1\n    optimiser: sgd\n"),
     ":8: job \"j\": unknown key \"optimiser\": did you mean 'optimizer'?"},
    /* what says which tensors */
    {GROUP("ndim: 9"), "ndim: \"9\" is not a whole number from 0 to 8"},
    {GROUP("ndim: -1"), "ndim: \"-1\" is not a whole number from 0 to 8"},
    {GROUP("ndim: [1, 2.0]"), "ndim: \"2.0\" is not a whole number from 0 to 8"},
    {GROUP("ndim: [1, 1]"), "ndim names 1 twice"},
    {GROUP("ndim: [1, [2]]"), "\"ndim\" is a list and must be a plain value"},
    {GROUP("ndim: []"), "ndim is an empty list; leave it out for any"},
    {GROUP("ndim: "), "\"ndim\" is nothing and must be a plain value"},
    {JOB("{name: g, optimizer: sgd, match: ''}"), "match must be 1 to 200 bytes"},
    {JOB("{name: g, optimizer: sgd, match: [a, b]}"),
     "\"match\" is a list and must be a plain value"},
    {GROUP("frozen: 2"), "frozen: \"2\" is not true or false"},
    {GROUP("frozen: yes"), "frozen: \"yes\" is not true or false"},
    {GROUP("frozen: "), "\"frozen\" is nothing and must be a plain value"},
    /* schedules */
    {GROUP("schedule: cosine"), "\"schedule\" is a plain value and must be a map"},
    {GROUP("schedule: "), "\"schedule\" is nothing and must be a map"},
    {GROUP("schedule: {}"), "the key 'kind' is missing"},
    {GROUP("schedule: {t_max: 1}"),
     ":5: job \"j\": group \"g\": the key 'kind' is missing in schedule, and the job has no "
     "defaults with one"},
    {GROUP("schedule: {kind: cosine, t_max: [a]}"), "t_max must be a number"},
    {GROUP("schedule: {kind: }"), "\"kind\" is nothing and must be a plain value"},
    {GROUP("schedule: {kind: chained, schedules: []}"), "schedules must be 1 to 16"},
    {GROUP("schedule: {kind: chained, schedules: {kind: step}}"), "must be a list"},
    {GROUP("schedule: {kind: chained, schedules: [step]}"), "an entry is a plain value"},
    {GROUP("schedule: {kind: chained, schedules: [{gamma: 1}]}"), "the key 'kind' is missing"},
    {GROUP("schedule: {schedules: [{kind: step}]}"), "the key 'kind' is missing"},
    {GROUP("schedule: {kind: a, schedules: [{kind: b, schedules: [{kind: c}]}]}"),
     "schedules must be a number, a word or a list"},
    {BEHIND("    schedule: {t_max: 1}\n"), ":7: job \"j\": the key 'kind' is missing"},
    /* phases */
    {GROUP("phases: "), "\"phases\" is nothing and must be a list"},
    {GROUP("phases: [sgd]"), "an entry is a plain value and must be a map"},
    {GROUP("phases: [{optimizer: sgd}]"), "the key 'from' is missing"},
    {GROUP("phases: [{from: 3}]"), "the key 'optimizer' is missing"},
    {GROUP("phases: [{from: 0, optimizer: sgd}]"), "from: \"0\" is not a whole number from 1"},
    {GROUP("phases: [{from: 1e3, optimizer: sgd}]"), "from: \"1e3\" is not a whole number from 1"},
    {GROUP("phases: [{from: 18446744073709551616, optimizer: sgd}]"),
     "is not a whole number from 1 to 18446744073709551615"},
    {GROUP("phases: [{from: 3, optimizer: sgd}, {from: 3, optimizer: sgd}]"),
     "a phase from 3 cannot follow one from 3"},
    {JOB("name: g\n    optimizer: sgd\n    phases:\n    - {from: 3, optimizer: sgd}\n"
         "    - {from: 2,\n       optimizer: sgd}"),
     ":9: job \"j\": group \"g\": a phase from 2 cannot follow one from 3"},
    /* defaults */
    {DEFAULTS("name: d"), ":6: job \"j\": name belongs to a group, not to the defaults of all"},
    {DEFAULTS("match: '*'"), "match belongs to a group, not to the defaults of all"},
    {DEFAULTS("ndim: 1"), "ndim belongs to a group, not to the defaults of all"},
    {DEFAULTS("frozen: false"), "frozen belongs to a group, not to the defaults of all"},
    {DEFAULTS("phases: []"), "phases belongs to a group, not to the defaults of all"},
    {BEHIND("    - sgd\n"), ":6: job \"j\": \"defaults\" is a list and must be a map"},
    {BEHIND(""), ":6: job \"j\": \"defaults\" is nothing and must be a map"},
    {JOB("{name: g}"), ":5: job \"j\": group \"g\": the key 'optimizer' is missing, and the job "
                       "has no defaults with one"},
    {DEFAULTS("lr: 1"), ":5: job \"j\": group \"g\": the key 'optimizer' is missing"},
    {JOB("{name: g, phases: [{from: 1, optimizer: sgd}]}"), "the key 'optimizer' is missing, and"},
    {JOB("{name: g, frozen: false}"), "the key 'optimizer' is missing, and"},
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

static void setting__named_with_capitals__is_carried(void **state)
{
    (void)state;
    struct config config;
    load(GROUP("schedule: {kind: cosine, T_max: 5}"), &config);
    const struct stepd_settings *const settings =
        &config.job[0].definition.group[0].schedule_settings;
    assert_int_equal(settings->count, 1);
    assert_string_equal(settings->at[0].name, "T_max");
    config_deinit(&config);
}

static void schedule__of_settings_alone__goes_over_that_of_the_defaults(void **state)
{
    (void)state;
    struct config config;
    load(JOB("{name: g, schedule: {t_max: 5}}") "  defaults: {optimizer: sgd, schedule: {kind: "
                                                "cosine, t_max: 3}}\n",
         &config);
    const struct stepd_group *const group = &config.job[0].definition.group[0];
    assert_string_equal(group->schedule, "");
    assert_int_equal(group->schedule_settings.count, 1);
    assert_true(group->schedule_settings.at[0].value[0] == 5.0);
    assert_string_equal(config.job[0].definition.defaults.schedule, "cosine");
    config_deinit(&config);
}

static void phase__from_any_step_of_64_bits__is_exact(void **state)
{
    (void)state;
    static const uint64_t steps[] = {4294967296, 9007199254740993, UINT64_MAX};
    struct config config;
    load(GROUP("phases: [{from: 4294967296, optimizer: a}, {from: 9007199254740993, optimizer: a},"
               " {from: 18446744073709551615, optimizer: a}]"),
         &config);
    const struct stepd_group *const group = &config.job[0].definition.group[0];
    assert_int_equal(group->phases, COUNT(steps));
    for (size_t i = 0; i < COUNT(steps); i++)
        assert_true(group->phase[i].from == steps[i]);
    config_deinit(&config);
}

static void groups__of_frozen_tensors__need_no_optimizer(void **state)
{
    (void)state;
    struct config config;
    load(JOB("{name: g, frozen: true}"), &config);
    assert_string_equal(config.job[0].definition.group[0].optimizer, "");
    config_deinit(&config);
}

static void groups__with_empty_phases__have_none(void **state)
{
    (void)state;
    struct config config;
    load(GROUP("phases: []"), &config);
    assert_int_equal(config.job[0].definition.group[0].phases, 0);
    config_deinit(&config);
}

/* Lists of the file: the most that each may hold, and the error beyond it. */

typedef int write_entry_fn(char *text, size_t size, size_t i);

static int write_number(char *text, size_t size, size_t i)
{
    return snprintf(text, size, "%zu,", i);
}

static int write_phase(char *text, size_t size, size_t i)
{
    return snprintf(text, size, "{from: %zu, optimizer: sgd},", i + 1);
}

static int write_part(char *text, size_t size, size_t i)
{
    return snprintf(text, size, "{kind: k%zu},", i);
}

static int write_group(char *text, size_t size, size_t i)
{
    return snprintf(text, size, "{name: g%zu, optimizer: sgd},", i);
}

static const struct {
    const char *before;
    write_entry_fn *write;
    const char *after;
    size_t most;
    const char *error;
} lists[] = {
    {JOB("{name: g, optimizer: sgd, x: ["), write_number, "]}\n", 256,
     "x must be a number, a word or a list of 1 to 256 numbers"},
    {JOB("{name: g, optimizer: sgd, phases: ["), write_phase, "]}\n", 16,
     "phases must be at most 16"},
    {JOB("{name: g, optimizer: sgd, schedule: {kind: k, schedules: ["), write_part, "]}}\n", 16,
     "schedules must be 1 to 16"},
    {"jobs:\n- name: j\n  workers: 1\n  groups: [", write_group, "]\n", 256,
     "groups must be 1 to 256"},
};

static void lists__of_so_many_entries__are_the_longest(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * COUNT(lists); i++) {
        char yaml[16384];
        struct config config;
        struct stepd_error error = {.code = STEPD_OK};
        const size_t entries = lists[i / 2].most + i % 2;
        size_t used = (size_t)snprintf(yaml, sizeof yaml, "%s", lists[i / 2].before);
        for (size_t k = 0; k < entries; k++)
            used += (size_t)lists[i / 2].write(yaml + used, sizeof yaml - used, k);
        (void)snprintf(yaml + used, sizeof yaml - used, "%s", lists[i / 2].after);
        const enum stepd_status status = loading_run_yaml(yaml, &config, &error);
        assert_int_equal(status, i % 2 == 0 ? STEPD_OK : STEPD_FAILED_PRECONDITION);
        if (status == STEPD_OK)
            config_deinit(&config);
        else
            loading_assert_holds(error.text, lists[i / 2].error);
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
        cmocka_unit_test(setting__written_somehow__is_a_number_or_a_word),
        cmocka_unit_test(setting__named_with_capitals__is_carried),
        cmocka_unit_test(schedule__of_settings_alone__goes_over_that_of_the_defaults),
        cmocka_unit_test(phase__from_any_step_of_64_bits__is_exact),
        cmocka_unit_test(groups__of_frozen_tensors__need_no_optimizer),
        cmocka_unit_test(groups__with_empty_phases__have_none),
        cmocka_unit_test(lists__of_so_many_entries__are_the_longest),
        cmocka_unit_test(groups__64_settings__are_the_most),
    };
    return cmocka_run_group_tests_name("config_groups", tests, NULL, NULL);
}
