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
    const struct worker_place place = {.rank = 6, .world = 9, .local_rank = 2, .local_world = 4};
    const struct worker_settings none = {.settings = 0};
    (void)state;
    char **const environment = worker_environment(&place, &none);
    assert_non_null(environment);
    assert_set(environment, "STEPD_RANK", "6");
    assert_set(environment, "STEPD_WORLD", "9");
    assert_set(environment, "STEPD_LOCAL_RANK", "2");
    assert_set(environment, "STEPD_LOCAL_WORLD", "4");
    assert_set(environment, "RANK", "6");
    assert_set(environment, "WORLD_SIZE", "9");
    assert_set(environment, "LOCAL_RANK", "2");
    assert_set(environment, "LOCAL_WORLD_SIZE", "4");
    worker_environment_free(environment);
}

static void environment__with_names_of_ours__replaces_them(void **state)
{
    const struct worker_settings options = {.settings = 0};
    (void)state;
    assert_int_equal(setenv("RANK", "99", 1), 0);
    assert_int_equal(setenv("STEPD_TEST", "kept", 1), 0);
    char **const environment =
        worker_environment(&(struct worker_place){.rank = 1, .world = 4}, &options);
    assert_set(environment, "RANK", "1");
    assert_set(environment, "STEPD_TEST", "kept");
    worker_environment_free(environment);
    assert_int_equal(unsetenv("RANK"), 0);
}

static void environment__with_settings__lets_them_win(void **state)
{
    const char *settings[] = {"RANK=mine", "NEW=a=b", "NEW=last"};
    const struct worker_settings options = {.setting = settings, .settings = 3};
    (void)state;
    char **const environment =
        worker_environment(&(struct worker_place){.rank = 1, .world = 4}, &options);
    assert_set(environment, "RANK", "mine");
    assert_set(environment, "NEW", "last");
    assert_set(environment, "STEPD_RANK", "1");
    worker_environment_free(environment);
}

static void environment__with_a_token__has_it_in_the_place_of_ours(void **state)
{
    const struct worker_settings options = {.server = "s:1", .token = "theirs", .tls_ca = "a"};
    const struct worker_settings none = {.settings = 0};
    (void)state;
    assert_int_equal(setenv("STEPD_TOKEN", "ours", 1), 0);
    char **environment =
        worker_environment(&(struct worker_place){.rank = 0, .world = 4}, &options);
    assert_set(environment, "STEPD_TOKEN", "theirs");
    assert_set(environment, "STEPD_ADDRESS", "s:1");
    assert_set(environment, "STEPD_CA", "a");
    worker_environment_free(environment);
    environment = worker_environment(&(struct worker_place){.rank = 0, .world = 4}, &none);
    assert_set(environment, "STEPD_TOKEN", "ours");
    worker_environment_free(environment);
    assert_int_equal(unsetenv("STEPD_TOKEN"), 0);
}

static void additions__are_nothing_of_ours(void **state)
{
    const struct worker_place place = {.rank = 0, .world = 1, .local_world = 1};
    const char *settings[] = {"NEW=1"};
    const struct worker_settings told = {.server = "s:1", .setting = settings, .settings = 1};
    size_t count = 0;
    (void)state;
    char **const environment = worker_additions(&place, &told);
    assert_set(environment, "STEPD_ADDRESS", "s:1");
    assert_set(environment, "NEW", "1");
    while (environment[count] != NULL)
        count++;
    assert_int_equal(count, 8 + 2);
    worker_environment_free(environment);
}

static void luggage__is_what_is_ours_and_not_the_place(void **state)
{
    const struct worker_settings told = {.token = "secret"};
    const char *found;
    (void)state;
    assert_int_equal(setenv("STEPD_JOB", "mnist", 1), 0);
    assert_int_equal(setenv("STEPD_RANK", "3", 1), 0);
    assert_int_equal(setenv("RANK", "3", 1), 0);
    char **const luggage = worker_luggage(&told);
    assert_set(luggage, "STEPD_JOB", "mnist");
    assert_set(luggage, "STEPD_TOKEN", "secret");
    assert_int_equal(count(luggage, "STEPD_RANK", &found), 0);
    assert_int_equal(count(luggage, "RANK", &found), 0);
    assert_int_equal(count(luggage, "PATH", &found), 0);
    worker_environment_free(luggage);
    assert_int_equal(unsetenv("STEPD_JOB"), 0);
    assert_int_equal(unsetenv("STEPD_RANK"), 0);
    assert_int_equal(unsetenv("RANK"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(environment__of_a_worker__says_who_it_is),
        cmocka_unit_test(environment__with_names_of_ours__replaces_them),
        cmocka_unit_test(environment__with_settings__lets_them_win),
        cmocka_unit_test(environment__with_a_token__has_it_in_the_place_of_ours),
        cmocka_unit_test(additions__are_nothing_of_ours),
        cmocka_unit_test(luggage__is_what_is_ours_and_not_the_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
