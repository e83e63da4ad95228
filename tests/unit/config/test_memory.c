/* SPDX-License-Identifier: Apache-2.0
 *
 * Loading while the n-th allocation fails, for every n until none fails any more: each failure is
 * an error with a text, and leaves nothing behind (which the leak checker sees to).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/scarcity.h"
#include "tests/unit/config/loading.h"

/* A file whose tree takes several blocks of the arena. */
static void write_yaml(char *ret_yaml, size_t capacity)
{
    size_t used = (size_t)snprintf(ret_yaml, capacity, "unix_path: /x\njobs:\n");
    for (size_t i = 0; i < CONFIG_JOBS_MAX; i++)
        used += (size_t)snprintf(ret_yaml + used, capacity - used,
                                 "- {name: j%zu, workers: 1, defaults: {optimizer: o, lr: 1}, "
                                 "groups: [{name: g, ndim: [1, 2], phases: [{from: 1, optimizer: o}"
                                 "], schedule: {kind: c, x: [1, 2], schedules: [{kind: d}]}}]}\n",
                                 i);
    assert_true(used < capacity);
}

static void load__any_allocation_fails__says_so_and_leaves_nothing(void **state)
{
    (void)state;
    static char yaml[64u << 10];
    size_t failures = 0;
    enum stepd_status status = STEPD_RESOURCE_EXHAUSTED;
    write_yaml(yaml, sizeof yaml);
    for (; status != STEPD_OK; failures++) {
        struct config config = {.file = NULL};
        struct stepd_error error = {.code = STEPD_OK};
        scarcity_from(failures);
        status = loading_run_yaml(yaml, &config, &error);
        scarcity_from(SCARCITY_NEVER);
        if (status == STEPD_OK) {
            assert_int_equal(config.jobs, CONFIG_JOBS_MAX);
            config_deinit(&config);
        } else {
            assert_int_equal(status, STEPD_RESOURCE_EXHAUSTED);
            assert_int_equal(error.code, STEPD_RESOURCE_EXHAUSTED);
            loading_assert_holds(error.text, "memory");
            assert_null(config.file);
        }
    }
    assert_in_range(failures, 3, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(load__any_allocation_fails__says_so_and_leaves_nothing),
    };
    return cmocka_run_group_tests_name("config_memory", tests, NULL, NULL);
}
