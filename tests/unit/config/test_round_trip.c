/* SPDX-License-Identifier: Apache-2.0
 *
 * What --print-config writes loads to the same values, numbers to the bit: whatever the names look
 * like, and for every key.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/config/loading.h"
#include "tests/unit/config/same.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What config_print() writes. The caller frees it with free(). */
static char *printed(const struct config *config)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *const stream = open_memstream(&text, &bytes);
    assert_non_null(stream);
    config_print(config, stream);
    assert_int_equal(fclose(stream), 0);
    return text;
}

static void print__any_config__loads_to_the_same_values(void **state)
{
    (void)state;
    const struct loading loading = {
        .yaml =
            "unix_path: \"/tmp/a \\\"b\\\" \\\\ # \xC3\xA4\"\n"
            "memory_max_bytes: 1025\n"
            "frame_max_bytes: 3145728\n"
            "jobs:\n"
            "- {name: 'a: \"b\" #c', mode: async, workers: 3, strict: false, groups: [\n"
            "   {name: '- x', match: '*[ab]?', optimizer: sgd, lr: 0.1, a: 5e-324,\n"
            "    b: [1.7976931348623157e308, -0.30000000000000004, 100000],\n"
            "    schedule: {kind: step, gamma: 0.333333333333333314829616256247391}},\n"
            "   {name: y, match: '*', optimizer: 'null'}]}\n"
            "- {name: 'yes', workers: 1, slice_elements: 300, init_from: '/a \"b\" #c', groups: [\n"
            "   {name: g, match: '*', optimizer: adam}]}\n"
            "- name: rich\n"
            "  workers: 2\n"
            "  mode: bounded\n"
            "  staleness: 3\n"
            "  late: 'no_number'\n"
            "  init_from: {file: 'a: b', match: ['*', '~'], except: 'null', remove_prefix: 'x.',\n"
            "              add_prefix: '- y'}\n"
            "  defaults: {optimizer: '~', lr: 1e-3, preset: lecture, schedule: {kind: linear}}\n"
            "  groups:\n"
            "  - {name: f, match: 'embed.*', frozen: true}\n"
            "  - name: m\n"
            "    ndim: [2, 4]\n"
            "    betas: [0.8, 0.95]\n"
            "    phases: [{from: 3, optimizer: a, lr: 1}, {from: 9, optimizer: b, w: word}]\n"
            "    schedule: {kind: sequential, milestones: [10, 20], schedules: [\n"
            "      {kind: linear, total_iters: 10}, {kind: one, anneal_strategy: cos}]}\n",
        .environment = {"STEPD_LISTEN=[::1]:0", "STEPD_LOG_LEVEL=warn"},
        .flag = {"--insecure", "--isa", "base"},
    };
    struct config first;
    struct config second;
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(loading_run(&loading, &first, &error), STEPD_OK);
    char *const text = printed(&first);
    assert_int_equal(loading_run_yaml(text, &second, &error), STEPD_OK);
    same_assert_values(&first, &second);
    assert_int_equal(first.jobs, second.jobs);
    for (size_t i = 0; i < first.jobs; i++)
        same_assert_job(&first.job[i], &second.job[i]);
    free(text);
    config_deinit(&first);
    config_deinit(&second);
}

/* Loads a file and what config_print() writes of it, and compares. The caller frees *ret_config
 * with config_deinit(). */
static void assert_loads_again(const char *yaml, struct config *ret_config)
{
    struct config again;
    struct stepd_error error = {.code = STEPD_OK};
    if (loading_run_yaml(yaml, ret_config, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    char *const text = printed(ret_config);
    if (loading_run_yaml(text, &again, &error) != STEPD_OK)
        fail_msg("%s in %s", error.text, text);
    assert_int_equal(ret_config->jobs, again.jobs);
    for (size_t i = 0; i < again.jobs; i++)
        same_assert_job(&ret_config->job[i], &again.job[i]);
    free(text);
    config_deinit(&again);
}

static void print__name_of_any_kind__loads_to_the_same(void **state)
{
    (void)state;
    /* As a file says them. */
    static const char *const names[] = {
        "'*'",           "'~'",           "'null'",
        "'yes'",         "'true'",        "'1e3'",
        "'-0'",          "'.inf'",        "'0x1F'",
        "' a '",         "'a: b'",        "'- a'",
        "'# a'",         "'[a, b]'",      "'{a: b}'",
        "'&a'",          "'!a'",          "'%a'",
        "'@a'",          "'`'",           "'|'",
        "'>'",           "'?'",           "','",
        "''''",          "'\"'",          "'\\'",
        "'\\n'",         "'a #b'",        "'<<'",
        "'---'",         "\"\\u00e4\"",   "\"\\U0001f600\"",
        "\"\\u00a0\"",   "\"a\\u2028b\"", "\"a\\u2029b\"",
        "\"a\\ufeffb\"", "\"\\ufffe\"",   "\"\\uffff\"",
        "\"\\ue000\"",
    };
    for (size_t i = 0; i < COUNT(names); i++) {
        const char *const name = names[i];
        char yaml[512];
        struct config config;
        (void)snprintf(yaml, sizeof yaml,
                       "jobs: [{name: %s, workers: 1, groups: [{name: %s, match: %s, optimizer: %s,"
                       " schedule: {kind: %s, schedules: [{kind: %s}]}, phases: [{from: 1, "
                       "optimizer: %s}]}]}]\n",
                       name, name, name, name, name, name, name);
        assert_loads_again(yaml, &config);
        config_deinit(&config);
    }
}

static void print__file_whose_name_breaks_lines__is_one_comment(void **state)
{
    (void)state;
    struct config config;
    struct config again;
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(loading_run_yaml("isa: v3\n", &config, &error), STEPD_OK);
    config.file = "a\xE2\x80\xA8shards: 3 #";
    char *const text = printed(&config);
    if (loading_run_yaml(text, &again, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    same_assert_values(&config, &again);
    free(text);
    config_deinit(&config);
    config_deinit(&again);
}

static void print__number__loads_to_the_same_bits(void **state)
{
    (void)state;
    static const double numbers[] = {
        0.1,
        5e-324,
        2.2250738585072011e-308,
        -0.0,
        1.0 / 3.0,
        1.7976931348623157e308,
        0x1p53,
        1e22,
        1e23,
        123456789.125,
        0x1.fffffffffffffp-1,
    };
    struct config config;
    assert_loads_again("jobs: [{name: j, workers: 1, defaults: {x: [\n"
                       "0.1, 5e-324, 2.2250738585072011e-308, -0.0, 0.33333333333333331,\n"
                       "1.7976931348623157e308, 9007199254740993, 1e22, 1e23, 123456789.125,\n"
                       "0.99999999999999988897769753748]}, groups: [{name: g, optimizer: o}]}]\n",
                       &config);
    const struct stepd_setting *const x = config.job[0].definition.defaults.settings.at;
    assert_int_equal(x->values, COUNT(numbers));
    assert_memory_equal(x->value, numbers, sizeof numbers);
    config_deinit(&config);
}

static void print__words_like_something_else__load_to_the_same(void **state)
{
    (void)state;
    struct config config;
    assert_loads_again("jobs: [{name: j, workers: 1, late: 'null', defaults: {a: 'null', b: yes, "
                       "c: NULL, d: inf, e: NaN, f: e5, g: _, h: True, i: off, j: y},\n"
                       "groups: [{name: g, optimizer: o, null: 1, true: 2, yes: 3, no: ok}]}]\n",
                       &config);
    const struct stepd_define_job *const job = &config.job[0].definition;
    assert_string_equal(job->settings.at[0].word, "null");
    assert_int_equal(job->defaults.settings.count, 10);
    assert_int_equal(job->group[0].settings.count, 4);
    config_deinit(&config);
}

static void print__every_key_of_a_job__loads_to_the_same(void **state)
{
    (void)state;
    struct config config;
    assert_loads_again(
        "jobs:\n"
        "- name: first\n"
        "  mode: bounded\n"
        "  workers: 4096\n"
        "  strict: false\n"
        "  slice_elements: 256\n"
        "  staleness: 3\n"
        "  groups:\n"
        "  - {name: a, match: 'x', ndim: [0, 8, 3], frozen: true, optimizer: o, lr_mult: 0.5,\n"
        "     schedule: {milestones: [1, 2, 3], word: w}, phases: [\n"
        "      {from: 4294967296, optimizer: p, lr: 1, betas: [0.5, 0.25], eps_mode: hat},\n"
        "      {from: 18446744073709551615, optimizer: q}]}\n"
        "  - {name: b, ndim: 0, schedule: {kind: chained, x: 1, schedules: [\n"
        "     {kind: step, gamma: 2, list: [1, 2]}, {kind: linear}, {kind: lambda, w: v}]}}\n"
        "  defaults: {optimizer: d, lr: 1e-3, nesterov: true, preset: lecture, schedule: {\n"
        "     kind: sequential, milestones: 5, schedules: [{kind: a}, {kind: b, y: 1}]}}\n"
        "- {name: second, workers: 1, defaults: {}, groups: [{name: g, frozen: true}]}\n"
        "- {name: third, workers: 1, defaults: {optimizer: o}, groups: [{name: g}]}\n"
        "- {name: fourth, workers: 1, defaults: {schedule: {kind: k}}, groups: [\n"
        "   {name: g, optimizer: o}]}\n",
        &config);
    const struct stepd_define_job *const job = &config.job[0].definition;
    assert_int_equal(job->group[0].schedule_settings.count, 2);
    assert_int_equal(job->group[1].schedule_parts, 3);
    assert_int_equal(job->defaults.schedule_parts, 2);
    config_deinit(&config);
}

/* libyaml looks no farther than 1024 bytes for what makes a text a key. */
static void print__longest_lists__load_to_the_same(void **state)
{
    (void)state;
    static char yaml[64u << 10];
    struct config config;
    size_t used = (size_t)snprintf(yaml, sizeof yaml,
                                   "jobs: [{name: j, workers: 1, groups: [{name: g, optimizer: o,\n"
                                   "schedule: {kind: k, schedules: [{kind: a}, {kind: b, x: [\n");
    for (size_t i = 0; i < STEPD_VALUES_MAX; i++)
        used +=
            (size_t)snprintf(yaml + used, sizeof yaml - used, "-0.12345678901%zue-%zu,\n", i, i);
    (void)snprintf(yaml + used, sizeof yaml - used, "], y: 1}, {kind: c}]}}]}]\n");
    assert_loads_again(yaml, &config);
    config_deinit(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(print__any_config__loads_to_the_same_values),
        cmocka_unit_test(print__name_of_any_kind__loads_to_the_same),
        cmocka_unit_test(print__file_whose_name_breaks_lines__is_one_comment),
        cmocka_unit_test(print__number__loads_to_the_same_bits),
        cmocka_unit_test(print__words_like_something_else__load_to_the_same),
        cmocka_unit_test(print__every_key_of_a_job__loads_to_the_same),
        cmocka_unit_test(print__longest_lists__load_to_the_same),
    };
    return cmocka_run_group_tests_name("config_round_trip", tests, NULL, NULL);
}
