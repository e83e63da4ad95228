/* SPDX-License-Identifier: Apache-2.0
 *
 * What is printed: a config that loads to itself, a --help that leaves nothing out, and the example
 * file, which must say the same as the table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/config/args.h"
#include "server/config/schema.h"
#include "tests/unit/config/loading.h"

#define EXAMPLE_MAX_BYTES (64u << 10)

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

/* One value of a config as YAML. The caller frees it with free(). */
static char *value_of(const struct config *config, size_t key)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *const stream = open_memstream(&text, &bytes);
    assert_non_null(stream);
    schema_write(schema_row_at(key), config, stream);
    assert_int_equal(fclose(stream), 0);
    return text;
}

static void assert_same_values(const struct config *a, const struct config *b)
{
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        char *const in_a = value_of(a, i);
        char *const in_b = value_of(b, i);
        assert_string_equal(in_a, in_b);
        free(in_a);
        free(in_b);
    }
}

static void assert_same_settings(const struct stepd_settings *a, const struct stepd_settings *b)
{
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        const size_t values = a->at[i].values;
        assert_string_equal(a->at[i].name, b->at[i].name);
        assert_int_equal(values, b->at[i].values);
        assert_string_equal(a->at[i].word, b->at[i].word);
        if (values > 0)
            assert_memory_equal(a->at[i].value, b->at[i].value, values * sizeof(double));
    }
}

static void assert_same_group(const struct stepd_group *a, const struct stepd_group *b)
{
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->match, b->match);
    assert_string_equal(a->optimizer, b->optimizer);
    assert_string_equal(a->schedule, b->schedule);
    assert_same_settings(&a->settings, &b->settings);
    assert_same_settings(&a->schedule_settings, &b->schedule_settings);
    assert_int_equal(a->ndim.count, b->ndim.count);
    for (size_t i = 0; i < a->ndim.count; i++)
        assert_int_equal(a->ndim.at[i], b->ndim.at[i]);
    assert_int_equal(a->frozen, b->frozen);
    assert_int_equal(a->phases, b->phases);
    for (size_t i = 0; i < a->phases; i++) {
        assert_int_equal(a->phase[i].from, b->phase[i].from);
        assert_string_equal(a->phase[i].optimizer, b->phase[i].optimizer);
        assert_same_settings(&a->phase[i].settings, &b->phase[i].settings);
    }
    assert_int_equal(a->schedule_parts, b->schedule_parts);
    for (size_t i = 0; i < a->schedule_parts; i++) {
        assert_string_equal(a->schedule_part[i].kind, b->schedule_part[i].kind);
        assert_same_settings(&a->schedule_part[i].settings, &b->schedule_part[i].settings);
    }
}

static void assert_same_job(const struct config_job *a, const struct config_job *b)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->definition.mode, b->definition.mode);
    assert_int_equal(a->definition.workers, b->definition.workers);
    assert_int_equal(a->definition.strict, b->definition.strict);
    assert_int_equal(a->definition.slice_elements, b->definition.slice_elements);
    assert_same_settings(&a->definition.settings, &b->definition.settings);
    assert_same_group(&a->definition.defaults, &b->definition.defaults);
    assert_int_equal(a->definition.groups, b->definition.groups);
    for (size_t i = 0; i < a->definition.groups; i++)
        assert_same_group(&a->definition.group[i], &b->definition.group[i]);
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
            "- {name: 'yes', workers: 1, slice_elements: 300, groups: [\n"
            "   {name: g, match: '*', optimizer: adam}]}\n"
            "- name: rich\n"
            "  workers: 2\n"
            "  mode: bounded\n"
            "  staleness: 3\n"
            "  late: 'no_number'\n"
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
    assert_same_values(&first, &second);
    assert_int_equal(first.jobs, second.jobs);
    for (size_t i = 0; i < first.jobs; i++)
        assert_same_job(&first.job[i], &second.job[i]);
    free(text);
    config_deinit(&first);
    config_deinit(&second);
}

static void print__layers_given__says_where_each_value_comes_from(void **state)
{
    (void)state;
    const struct loading loading = {
        .yaml = "# first\nlease_ms: 20\n",
        .environment = {"STEPD_UNIX_PATH=/x"},
        .flag = {"--shards", "3"},
    };
    struct config config;
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(loading_run(&loading, &config, &error), STEPD_OK);
    char *const text = printed(&config);
    loading_assert_holds(text, "\nlease_ms: 20  # file, line 2\n");
    loading_assert_holds(text, "\nunix_path: \"/x\"  # environment, STEPD_UNIX_PATH\n");
    loading_assert_holds(text, "\nshards: 3  # flag, --shards\n");
    loading_assert_holds(text, "\nisa: auto  # default\n");
    loading_assert_holds(text, "\nframe_max_bytes: 64MiB  # default\n");
    loading_assert_holds(text, "\njobs: []\n");
    free(text);
    config_deinit(&config);
}

static void usage__printed__names_every_flag_in_short_lines(void **state)
{
    (void)state;
    char *text = NULL;
    size_t bytes = 0;
    char flag[64];
    FILE *const stream = open_memstream(&text, &bytes);
    config_print_usage(stream);
    assert_int_equal(fclose(stream), 0);
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        (void)snprintf(flag, sizeof flag, "\n  --%s ", schema_row_at(i)->flag);
        loading_assert_holds(text, flag);
        loading_assert_holds(text, schema_row_at(i)->doc);
    }
    for (size_t i = 0; args_command_at(i) != NULL; i++) {
        (void)snprintf(flag, sizeof flag, "\n  --%s ", args_command_at(i)->flag);
        loading_assert_holds(text, flag);
    }
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1)
        assert_in_range(strcspn(line, "\n"), 0, 120);
    free(text);
}

/* The example file, NUL-terminated. The caller frees it with free(). */
static char *read_example(void)
{
    char *const text = calloc(1, EXAMPLE_MAX_BYTES);
    FILE *const file = fopen(STEPD_EXAMPLE, "re");
    assert_non_null(text);
    assert_non_null(file);
    assert_in_range(fread(text, 1, EXAMPLE_MAX_BYTES - 1, file), 1, EXAMPLE_MAX_BYTES - 2);
    assert_int_equal(fclose(file), 0);
    return text;
}

static void example__loaded__states_every_default_and_its_meaning(void **state)
{
    (void)state;
    struct config example;
    struct config defaults;
    struct stepd_error error = {.code = STEPD_OK};
    char *const text = read_example();
    assert_int_equal(loading_run_yaml(text, &example, &error), STEPD_OK);
    assert_int_equal(loading_run(&(struct loading){.yaml = NULL}, &defaults, &error), STEPD_OK);
    assert_same_values(&example, &defaults);
    assert_int_equal(example.jobs, 0);
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        char wanted[256];
        const struct schema_row *const row = schema_row_at(i);
        assert_int_equal(example.origin[i].source, CONFIG_FILE);
        (void)snprintf(wanted, sizeof wanted, "\n# %s\n%s: ", row->doc, row->key);
        loading_assert_holds(text, wanted);
    }
    free(text);
    config_deinit(&example);
    config_deinit(&defaults);
}

static void example__job_uncommented__loads(void **state)
{
    (void)state;
    struct config config;
    struct stepd_error error = {.code = STEPD_OK};
    char *const text = read_example();
    char *const jobs = strstr(text, "\n#jobs:");
    assert_non_null(jobs);
    char *out = jobs + 1;
    for (const char *line = jobs + 1; *line != '\0';) {
        const size_t length = strcspn(line, "\n") + 1;
        assert_int_equal(line[0], '#');
        memmove(out, line + 1, length - 1);
        out += length - 1;
        line += length;
    }
    *out = '\0';
    assert_int_equal(loading_run_yaml(jobs + 1, &config, &error), STEPD_OK);
    assert_int_equal(config.jobs, 1);
    assert_int_equal(config.job[0].definition.groups, 2);
    assert_int_equal(config.job[0].definition.group[0].settings.count, 3);
    free(text);
    config_deinit(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(print__any_config__loads_to_the_same_values),
        cmocka_unit_test(print__layers_given__says_where_each_value_comes_from),
        cmocka_unit_test(usage__printed__names_every_flag_in_short_lines),
        cmocka_unit_test(example__loaded__states_every_default_and_its_meaning),
        cmocka_unit_test(example__job_uncommented__loads),
    };
    return cmocka_run_group_tests_name("config_print", tests, NULL, NULL);
}
