/* SPDX-License-Identifier: Apache-2.0
 *
 * What differs between two configs: values, wherever they come from and however they are spelt.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/config/loading.h"

#define JOB(workers)                                                                               \
    "jobs:\n- {name: j, workers: " workers                                                         \
    ", groups: [{name: g, match: '*', optimizer: sgd, lr: 1}]}\n"

/* The keys that differ, each behind a space; those that may change in brackets. */
static void note(void *owner, const char *key, bool reloadable)
{
    char *const noted = owner;
    const size_t used = strlen(noted);
    (void)snprintf(noted + used, 200 - used, reloadable ? " [%s]" : " %s", key);
}

static void check(const struct loading *before, const struct loading *after, const char *wanted)
{
    struct config first;
    struct config second;
    char noted[200] = "";
    assert_int_equal(loading_run(before, &first, NULL), STEPD_OK);
    assert_int_equal(loading_run(after, &second, NULL), STEPD_OK);
    assert_true(config_compare(&first, &second, note, noted));
    assert_string_equal(noted, wanted);
    config_deinit(&first);
    config_deinit(&second);
}

static void compare__same_values_from_elsewhere__does_not_differ(void **state)
{
    (void)state;
    const struct loading before = {.yaml = "frame_max_bytes: 1MiB\nslice_elements: 300\n" JOB("2")};
    const struct loading after = {
        .yaml = "# moved\n\nframe_max_bytes: 1048576\n" JOB("2"),
        .flag = {"--slice-elements", "300"},
    };
    check(&before, &before, "");
    check(&before, &after, "");
}

static void compare__other_values__are_named_in_order(void **state)
{
    (void)state;
    const struct loading before = {.yaml = "unix_path: /a\nlog_level: info\n" JOB("2")};
    const struct loading after = {
        .yaml = "unix_path: /b\nlog_level: debug\ninsecure: true\nlease_ms: 20\n" JOB("3"),
    };
    check(&before, &after, " unix_path insecure [log_level] lease_ms jobs");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compare__same_values_from_elsewhere__does_not_differ),
        cmocka_unit_test(compare__other_values__are_named_in_order),
    };
    return cmocka_run_group_tests_name("config_compare", tests, NULL, NULL);
}
