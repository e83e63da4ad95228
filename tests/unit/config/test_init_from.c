/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a job of the file gets its first weights from.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/config/loading.h"

/* A job with this under the key. */
#define JOB(init_from)                                                                             \
    "jobs:\n- name: j\n  workers: 1\n  groups: [{name: g, optimizer: sgd}]\n" init_from "\n"

/* The caller frees with config_deinit. */
static const struct config_init_from *load(const char *yaml, struct config *ret_config)
{
    struct stepd_error error = {.code = STEPD_OK};
    if (loading_run_yaml(yaml, ret_config, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    return &ret_config->job[0].init_from;
}

static void init_from__left_out__is_no_file(void **state)
{
    (void)state;
    struct config config;
    assert_string_equal(load(JOB(""), &config)->file, "");
    config_deinit(&config);
}

static void init_from__of_a_path_alone__takes_all_under_its_own_name(void **state)
{
    (void)state;
    struct config config;
    const struct config_init_from *const got =
        load(JOB("  init_from: /models/base.safetensors"), &config);
    assert_string_equal(got->file, "/models/base.safetensors");
    assert_int_equal(got->line, 5);
    assert_int_equal(got->naming.match.count, 0);
    assert_int_equal(got->naming.except.count, 0);
    assert_string_equal(got->naming.remove_prefix, "");
    assert_string_equal(got->naming.add_prefix, "");
    config_deinit(&config);
}

static void init_from__of_a_map__says_what_is_taken_and_how_it_is_called(void **state)
{
    (void)state;
    struct config config;
    const struct config_init_from *const got =
        load(JOB("  init_from: {file: f, match: [a.*, b.*], except: '*.bias', remove_prefix: m.,\n"
                 "              add_prefix: n.}"),
             &config);
    assert_string_equal(got->file, "f");
    assert_int_equal(got->naming.match.count, 2);
    assert_string_equal(got->naming.match.at[0], "a.*");
    assert_string_equal(got->naming.match.at[1], "b.*");
    assert_int_equal(got->naming.except.count, 1);
    assert_string_equal(got->naming.except.at[0], "*.bias");
    assert_string_equal(got->naming.remove_prefix, "m.");
    assert_string_equal(got->naming.add_prefix, "n.");
    config_deinit(&config);
}

static void init_from__wrong__is_refused_with_place_and_cause(void **state)
{
    static const struct {
        const char *yaml;
        const char *error;
    } rows[] = {
        {JOB("  init_from: ''"), ":5: job \"j\": init_from must be 1 to 4095 bytes"},
        {JOB("  init_from: [a]"), "\"init_from\" is a list and must be a map"},
        {JOB("  init_from: {match: '*'}"), "the key 'file' is missing"},
        {JOB("  init_from: {file: f, matches: '*'}"), "did you mean 'match'?"},
        {JOB("  init_from: {file: f, match: []}"), "match has no glob"},
        {JOB("  init_from: {file: f, match: [a, {}]}"),
         "is a map of keys and values and must be a plain value"},
        {JOB("  init_from: {file: f, except: ''}"), "except must be 1 to 200 bytes"},
        {JOB("  init_from: {file: f, add_prefix: \"a\\tb\"}"), "without control characters"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct config config;
        struct stepd_error error = {.code = STEPD_OK};
        assert_int_equal(loading_run_yaml(rows[i].yaml, &config, &error),
                         STEPD_FAILED_PRECONDITION);
        loading_assert_holds(error.text, rows[i].error);
    }
}

static void init_from__of_two_files__are_two_jobs(void **state)
{
    (void)state;
    struct config one;
    struct config other;
    (void)load(JOB("  init_from: {file: f, match: a}"), &one);
    (void)load(JOB("  init_from: {file: f, match: b}"), &other);
    assert_true(config_same_job(&one, &one, "j"));
    assert_false(config_same_job(&one, &other, "j"));
    config_deinit(&one);
    config_deinit(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(init_from__left_out__is_no_file),
        cmocka_unit_test(init_from__of_a_path_alone__takes_all_under_its_own_name),
        cmocka_unit_test(init_from__of_a_map__says_what_is_taken_and_how_it_is_called),
        cmocka_unit_test(init_from__wrong__is_refused_with_place_and_cause),
        cmocka_unit_test(init_from__of_two_files__are_two_jobs),
    };
    return cmocka_run_group_tests_name("config_init_from", tests, NULL, NULL);
}
