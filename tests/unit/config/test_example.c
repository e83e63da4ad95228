/* SPDX-License-Identifier: Apache-2.0
 *
 * The example file, deploy/stepd.yaml: it must say the same as the tables.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/config/schema.h"
#include "tests/unit/config/loading.h"
#include "tests/unit/config/same.h"

#define EXAMPLE_MAX_BYTES (64u << 10)

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
    same_assert_values(&example, &defaults);
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
        cmocka_unit_test(example__loaded__states_every_default_and_its_meaning),
        cmocka_unit_test(example__job_uncommented__loads),
    };
    return cmocka_run_group_tests_name("config_example", tests, NULL, NULL);
}
