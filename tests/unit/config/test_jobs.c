/* SPDX-License-Identifier: Apache-2.0
 *
 * Jobs of the file: what becomes of them, and how wrong ones are refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/config/loading.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char two_groups[] = "jobs:\n"
                                 "  - name: mnist\n"
                                 "    mode: async\n"
                                 "    workers: 4\n"
                                 "    strict: false\n"
                                 "    slice_elements: 1024\n"
                                 "    groups:\n"
                                 "      - name: biases\n"
                                 "        match: \"*.bias\"\n"
                                 "        optimizer: adamw\n"
                                 "        lr: -1e-3\n"
                                 "        betas: [0.9, 0.999]\n"
                                 "        nesterov: true\n"
                                 "        schedule: {kind: cosine, t_max: 4000, warmup: 100}\n"
                                 "      - name: rest\n"
                                 "        match: \"*\"\n"
                                 "        optimizer: sgd\n"
                                 "  - groups: [{optimizer: sgd, match: 'w', name: all}]\n"
                                 "    workers: 1\n"
                                 "    name: tiny\n";

static void assert_setting(const struct stepd_setting *setting, const char *name, size_t values,
                           const double *value)
{
    assert_string_equal(setting->name, name);
    assert_int_equal(setting->values, values);
    for (size_t i = 0; i < values; i++)
        assert_true(setting->value[i] == value[i]);
}

static void jobs__given__become_definitions(void **state)
{
    (void)state;
    struct config config;
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(loading_run_yaml(two_groups, &config, &error), STEPD_OK);
    assert_int_equal(config.jobs, 2);
    const struct config_job *const mnist = &config.job[0];
    assert_string_equal(mnist->name, "mnist");
    assert_int_equal(mnist->line, 2);
    assert_int_equal(mnist->defaults_line, 0);
    assert_int_equal(mnist->definition.mode, STEPD_ASYNC);
    assert_int_equal(mnist->definition.workers, 4);
    assert_false(mnist->definition.strict);
    assert_int_equal(mnist->definition.slice_elements, 1024);
    assert_int_equal(mnist->definition.groups, 2);
    assert_string_equal(mnist->definition.group[0].name, "biases");
    assert_string_equal(mnist->definition.group[0].match, "*.bias");
    assert_string_equal(mnist->definition.group[0].optimizer, "adamw");
    assert_int_equal(mnist->group_line[0], 8);
    assert_int_equal(mnist->group_line[1], 15);
    config_deinit(&config);
}

static void jobs__settings_given__are_carried_unjudged(void **state)
{
    (void)state;
    struct config config;
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(loading_run_yaml(two_groups, &config, &error), STEPD_OK);
    const struct stepd_group *const group = &config.job[0].definition.group[0];
    assert_int_equal(group->settings.count, 3);
    assert_setting(&group->settings.at[0], "lr", 1, (const double[]){-1e-3});
    assert_setting(&group->settings.at[1], "betas", 2, (const double[]){0.9, 0.999});
    assert_string_equal(group->settings.at[2].name, "nesterov");
    assert_string_equal(group->settings.at[2].word, "true");
    assert_string_equal(group->schedule, "cosine");
    assert_int_equal(group->schedule_settings.count, 2);
    assert_setting(&group->schedule_settings.at[0], "t_max", 1, (const double[]){4000.0});
    assert_setting(&group->schedule_settings.at[1], "warmup", 1, (const double[]){100.0});
    config_deinit(&config);
}

static void jobs__optional_keys_left_out__have_defaults(void **state)
{
    (void)state;
    struct config config;
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(loading_run_yaml(two_groups, &config, &error), STEPD_OK);
    const struct stepd_define_job *const tiny = &config.job[1].definition;
    assert_string_equal(config.job[1].name, "tiny");
    assert_int_equal(tiny->mode, STEPD_SYNC);
    assert_true(tiny->strict);
    assert_int_equal(tiny->slice_elements, 0);
    assert_string_equal(tiny->group[0].schedule, "");
    assert_int_equal(tiny->group[0].settings.count, 0);
    assert_int_equal(tiny->group[0].schedule_settings.count, 0);
    config_deinit(&config);
}

static void jobs__settings_beside_the_mode__are_carried_unjudged(void **state)
{
    (void)state;
    struct config config;
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(loading_run_yaml("jobs:\n- name: j\n  mode: bounded\n  workers: 2\n"
                                      "  staleness: 3\n  late: apply\n"
                                      "  groups: [{name: g, optimizer: sgd}]\n",
                                      &config, &error),
                     STEPD_OK);
    const struct stepd_define_job *const job = &config.job[0].definition;
    assert_int_equal(job->mode, STEPD_BOUNDED);
    assert_int_equal(job->settings.count, 2);
    assert_setting(&job->settings.at[0], "staleness", 1, (const double[]){3.0});
    assert_string_equal(job->settings.at[1].name, "late");
    assert_string_equal(job->settings.at[1].word, "apply");
    config_deinit(&config);
}

static void jobs__wrong_for_the_caller__are_named_with_their_line(void **state)
{
    (void)state;
    struct config config;
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(loading_run_yaml(two_groups, &config, &error), STEPD_OK);
    error = (struct stepd_error){.code = STEPD_NOT_FOUND, .text = "group 'biases': no such thing"};
    assert_int_equal(config_fail_in_job(&config, &config.job[0], config.job[0].group_line[0],
                                        STEPD_NOT_FOUND, &error),
                     STEPD_NOT_FOUND);
    loading_assert_holds(error.text, ":8: job \"mnist\": group 'biases': no such thing");
    config_deinit(&config);
}

/* A group's map in flow style, in a job that is right. */
#define JOB(groups) "jobs:\n- name: j\n  workers: 1\n  groups:\n  - " groups "\n"

/* Jobs that are refused, and what the error says. */
static const struct {
    const char *yaml;
    const char *error;
} bad_jobs[] = {
    {"jobs:\n", ":1: \"jobs\" is nothing and must be a list"},
    {"jobs: {a: 1}\n", "must be a list"},
    {"jobs: [a]\n", ":1: an entry is a plain value and must be a map of keys and values"},
    {"jobs:\n- workers: 1\n", ":2: the key 'name' is missing"},
    {"jobs:\n- name: j\n", ":2: job \"j\": the key 'workers' is missing"},
    {"jobs:\n- {name: j, workers: 1}\n", "the key 'groups' is missing"},
    {"jobs:\n- name: ''\n", ":2: job \"\": name must be 1 to 200 bytes"},
    {"jobs:\n- name: \"a\\tb\"\n", "job \"a\\tb\": name must be 1 to 200 bytes without control"},
    {"jobs:\n- name: [j]\n", ":2: \"name\" is a list and must be a plain value"},
    {"jobs:\n- name: j\n  worker: 4\n",
     ":3: job \"j\": unknown key \"worker\": did you mean 'workers'?"},
    {"jobs:\n- name: j\n  workers: 0\n",
     ":3: job \"j\": workers: \"0\" is not a whole number from 1"},
    {"jobs:\n- name: j\n  workers: 4097\n", "from 1 to 4096"},
    {"jobs:\n- name: j\n  mode: snyc\n",
     ":3: job \"j\": unknown mode \"snyc\": did you mean 'sync'?"},
    {"jobs:\n- name: j\n  strict: 1\n", ":3: job \"j\": strict: \"1\" is not true or false"},
    {"jobs:\n- name: j\n  slice_elements: 255\n", "from 256 to 8388608"},
    {"jobs:\n- {name: j, workers: 1, groups: []}\n", ":2: job \"j\": groups must be 1 to 256"},
    {"jobs:\n- {name: j, workers: 1, groups: g}\n",
     "\"groups\" is a plain value and must be a list"},
    {JOB("g"), ":5: job \"j\": an entry is a plain value"},
    {JOB("{name: g}"), ":5: job \"j\": group \"g\": the key 'optimizer' is missing, and the job "
                       "has no defaults with one"},
    {JOB("{match: '*', optimizer: sgd}"), ":5: job \"j\": groups[0]: the key 'name' is missing"},
    {"jobs:\n- name: j\n  workers: 1\n  backups: [1, [2]]\n",
     ":4: job \"j\": backups must be a number, a word or a list"},
    {JOB("{name: g, match: a, match: b}"), "key \"match\" stands twice, first in line 5"},
    {JOB("{name: g, match: a, optimizer: sgd}\n  - {name: g, match: b, optimizer: sgd}"),
     ":6: job \"j\": the group \"g\" stands twice, first in line 5"},
    {JOB("{name: g, match: a, optimizer: sgd}") "- name: j\n  workers: 1\n  groups:\n"
                                                "  - {name: g, match: a, optimizer: sgd}\n",
     ":6: the job \"j\" stands twice, first in line 2"},
    {"frame_max_bytes: 128KiB\nslice_elements: 256\n"
     "jobs:\n- name: j\n  workers: 1\n  slice_elements: 65536\n"
     "  groups: [{name: g, match: a, optimizer: sgd}]\n",
     ":4: job \"j\": slice_elements is 65536, but a frame holds at most 16380"},
};

static void jobs__wrong__are_refused_with_place_and_cause(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad_jobs); i++) {
        struct config config = {.file = NULL};
        struct stepd_error error = {.code = STEPD_OK};
        assert_int_equal(loading_run_yaml(bad_jobs[i].yaml, &config, &error),
                         STEPD_FAILED_PRECONDITION);
        loading_assert_holds(error.text, bad_jobs[i].error);
    }
}

/* A file with so many jobs that are right. */
static void many_jobs(size_t jobs, char *ret_yaml, size_t capacity)
{
    size_t used = (size_t)snprintf(ret_yaml, capacity, "jobs:\n");
    for (size_t i = 0; i < jobs; i++)
        used += (size_t)snprintf(ret_yaml + used, capacity - used,
                                 "- {name: j%zu, workers: 1, groups: [{name: g, match: '*', "
                                 "optimizer: sgd}]}\n",
                                 i);
    assert_true(used < capacity);
}

static void jobs__256__are_the_most(void **state)
{
    (void)state;
    static char yaml[64u << 10];
    struct config config;
    struct stepd_error error = {.code = STEPD_OK};
    many_jobs(CONFIG_JOBS_MAX, yaml, sizeof yaml);
    assert_int_equal(loading_run_yaml(yaml, &config, &error), STEPD_OK);
    assert_int_equal(config.jobs, CONFIG_JOBS_MAX);
    config_deinit(&config);
    many_jobs(CONFIG_JOBS_MAX + 1, yaml, sizeof yaml);
    assert_int_equal(loading_run_yaml(yaml, &config, &error), STEPD_FAILED_PRECONDITION);
    loading_assert_holds(error.text, ":1: more than 256 jobs");
}

static void jobs__name_of_200_bytes__is_the_longest(void **state)
{
    (void)state;
    for (int bytes = STEPD_NAME_MAX_BYTES; bytes <= (int)STEPD_NAME_MAX_BYTES + 1; bytes++) {
        char yaml[512];
        struct config config;
        struct stepd_error error = {.code = STEPD_OK};
        (void)snprintf(yaml, sizeof yaml,
                       "jobs: [{name: j%0*d, workers: 1, groups: [{name: g, match: '*', "
                       "optimizer: sgd}]}]\n",
                       bytes - 1, 0);
        const enum stepd_status status = loading_run_yaml(yaml, &config, &error);
        assert_int_equal(status,
                         bytes == STEPD_NAME_MAX_BYTES ? STEPD_OK : STEPD_FAILED_PRECONDITION);
        if (status == STEPD_OK)
            config_deinit(&config);
        else
            loading_assert_holds(error.text, ":1: job \"j000");
    }
}

#define WORKERS(text)                                                                              \
    "jobs:\n- name: j\n  workers: " text "\n  on_loss: shrink\n"                                   \
    "  groups: [{name: g, optimizer: sgd}]\n"

static void workers__a_range__is_the_most_and_a_setting(void **state)
{
    (void)state;
    struct config config;
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(loading_run_yaml(WORKERS("2..8"), &config, &error), STEPD_OK);
    const struct stepd_define_job *const job = &config.job[0].definition;
    assert_int_equal(job->workers, 8);
    assert_int_equal(job->settings.count, 2);
    assert_string_equal(job->settings.at[0].name, "on_loss");
    assert_setting(&job->settings.at[1], "workers_min", 1, (const double[]){2.0});
    config_deinit(&config);
}

static void workers__no_range__is_refused(void **state)
{
    static const char *const wrong[] = {WORKERS("8..2"), WORKERS("0..2"), WORKERS("2..5000")};
    (void)state;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct config config;
        struct stepd_error error = {.code = STEPD_OK};
        assert_int_equal(loading_run_yaml(wrong[i], &config, &error), STEPD_FAILED_PRECONDITION);
        loading_assert_holds(error.text, "is not a range such as 2..8, between 1 and 4096");
    }
}

static void workers__half_a_range__is_no_number(void **state)
{
    static const char *const wrong[] = {WORKERS("2.."), WORKERS("..8"), WORKERS("2...8")};
    (void)state;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct config config;
        struct stepd_error error = {.code = STEPD_OK};
        assert_int_equal(loading_run_yaml(wrong[i], &config, &error), STEPD_FAILED_PRECONDITION);
        loading_assert_holds(error.text, "is not a whole number from 1 to 4096");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs__given__become_definitions),
        cmocka_unit_test(jobs__settings_given__are_carried_unjudged),
        cmocka_unit_test(jobs__optional_keys_left_out__have_defaults),
        cmocka_unit_test(jobs__settings_beside_the_mode__are_carried_unjudged),
        cmocka_unit_test(jobs__wrong_for_the_caller__are_named_with_their_line),
        cmocka_unit_test(jobs__wrong__are_refused_with_place_and_cause),
        cmocka_unit_test(jobs__256__are_the_most),
        cmocka_unit_test(jobs__name_of_200_bytes__is_the_longest),
        cmocka_unit_test(workers__a_range__is_the_most_and_a_setting),
        cmocka_unit_test(workers__no_range__is_refused),
        cmocka_unit_test(workers__half_a_range__is_no_number),
    };
    return cmocka_run_group_tests_name("config_jobs", tests, NULL, NULL);
}
