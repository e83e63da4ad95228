/* SPDX-License-Identifier: Apache-2.0
 *
 * The environment of a worker: complete, and no name twice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/ctl/worker_env.h"

/* How often the environment has this name, and the last value of it. */
static size_t count(char *const *environment, const char *name, const char **ret_value)
{
    const size_t n = strlen(name);
    size_t found = 0;
    for (size_t i = 0; environment[i] != NULL; i++) {
        if (strncmp(environment[i], name, n) != 0 || environment[i][n] != '=')
            continue;
        *ret_value = environment[i] + n + 1;
        found++;
    }
    return found;
}

static void assert_set(char *const *environment, const char *name, const char *value)
{
    const char *found = NULL;
    assert_int_equal(count(environment, name, &found), 1);
    assert_string_equal(found, value);
}

static void environment__of_a_worker__says_who_it_is(void **state)
{
    const struct crew_options options = {.workers = 4};
    (void)state;
    char **const environment = worker_environment(2, &options);
    assert_non_null(environment);
    assert_set(environment, "STEPD_RANK", "2");
    assert_set(environment, "STEPD_LOCAL_RANK", "2");
    assert_set(environment, "STEPD_WORLD", "4");
    assert_set(environment, "RANK", "2");
    assert_set(environment, "LOCAL_RANK", "2");
    assert_set(environment, "WORLD_SIZE", "4");
    worker_environment_free(environment);
}

static void environment__with_names_of_ours__replaces_them(void **state)
{
    const struct crew_options options = {.workers = 4};
    (void)state;
    assert_int_equal(setenv("RANK", "99", 1), 0);
    assert_int_equal(setenv("STEPD_TEST", "kept", 1), 0);
    char **const environment = worker_environment(1, &options);
    assert_set(environment, "RANK", "1");
    assert_set(environment, "STEPD_TEST", "kept");
    worker_environment_free(environment);
    assert_int_equal(unsetenv("RANK"), 0);
}

static void environment__with_settings__lets_them_win(void **state)
{
    const char *settings[] = {"RANK=mine", "NEW=a=b", "NEW=last"};
    const struct crew_options options = {.workers = 4, .setting = settings, .settings = 3};
    (void)state;
    char **const environment = worker_environment(1, &options);
    assert_set(environment, "RANK", "mine");
    assert_set(environment, "NEW", "last");
    assert_set(environment, "STEPD_RANK", "1");
    worker_environment_free(environment);
}

static void environment__with_a_token__has_it_in_the_place_of_ours(void **state)
{
    const struct crew_options options = {
        .workers = 1, .server = "s:1", .token = "theirs", .tls_ca = "a"};
    const struct crew_options none = {.workers = 1};
    (void)state;
    assert_int_equal(setenv("STEPD_TOKEN", "ours", 1), 0);
    char **environment = worker_environment(0, &options);
    assert_set(environment, "STEPD_TOKEN", "theirs");
    assert_set(environment, "STEPD_ADDRESS", "s:1");
    assert_set(environment, "STEPD_CA", "a");
    worker_environment_free(environment);
    environment = worker_environment(0, &none);
    assert_set(environment, "STEPD_TOKEN", "ours");
    worker_environment_free(environment);
    assert_int_equal(unsetenv("STEPD_TOKEN"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(environment__of_a_worker__says_who_it_is),
        cmocka_unit_test(environment__with_names_of_ours__replaces_them),
        cmocka_unit_test(environment__with_settings__lets_them_win),
        cmocka_unit_test(environment__with_a_token__has_it_in_the_place_of_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
