/* SPDX-License-Identifier: Apache-2.0
 *
 * What is printed for people: where each value comes from, and a --help that leaves nothing out.
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
    static const char *const reread[] = {"access_file", "tls_*", "log_level", "about their groups"};
    const char *const hang_up = strstr(text, "SIGHUP rereads");
    assert_non_null(hang_up);
    for (size_t i = 0; i < sizeof reread / sizeof reread[0]; i++)
        loading_assert_holds(hang_up, reread[i]);
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1)
        assert_in_range(strcspn(line, "\n"), 0, 120);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(print__layers_given__says_where_each_value_comes_from),
        cmocka_unit_test(usage__printed__names_every_flag_in_short_lines),
    };
    return cmocka_run_group_tests_name("config_print", tests, NULL, NULL);
}
