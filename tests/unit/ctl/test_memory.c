/* SPDX-License-Identifier: Apache-2.0
 *
 * From a file to a table, a plot and a picture while the n-th allocation fails, for every n until
 * none fails any more: each failure is an error with a text, and leaves nothing behind (which the
 * leak checker sees to).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

#include "client/ctl/chart.h"
#include "client/ctl/course_print.h"
#include "client/ctl/losses.h"
#include "client/ctl/svg.h"
#include "tests/lib/scarcity.h"
#include "tests/unit/ctl/making.h"

enum { STEPS = 50 };

static enum stepd_status show(struct courses *courses, FILE *out, struct stepd_error *reterr)
{
    const struct course_print_options print = {.courses = courses, .steps = STEPS, .named = true};
    const struct chart_options chart = {
        .title = "title", .courses = courses, .steps = STEPS, .columns = 80, .utf8 = true};
    enum stepd_status status = courses_join(courses, reterr);
    if (status == STEPD_OK)
        status = course_print_table(&print, out, reterr);
    if (status == STEPD_OK)
        status = chart_print(&chart, out, reterr);
    if (status == STEPD_OK)
        status = svg_write("/dev/null", "title", courses, STEPS, reterr);
    return status;
}

static enum stepd_status run(const char *config, const char *losses_path, FILE *out,
                             struct stepd_error *reterr)
{
    const struct courses_source source = {.config = config};
    struct courses courses = {.count = 0};
    struct losses losses = {.count = 0};
    enum stepd_status status = courses_read(&source, &courses, reterr);
    if (status == STEPD_OK)
        status = losses_read(losses_path, &losses, reterr);
    if (status == STEPD_OK)
        status = courses_observe(&courses, losses.count, losses.at, reterr);
    if (status == STEPD_OK)
        status = show(&courses, out, reterr);
    losses_deinit(&losses);
    courses_deinit(&courses);
    return status;
}

static void schedule__any_allocation_fails__says_so_and_leaves_nothing(void **state)
{
    (void)state;
    char config[MAKING_PATH_BYTES];
    char losses[MAKING_PATH_BYTES];
    size_t failures = 0;
    enum stepd_status status = STEPD_RESOURCE_EXHAUSTED;
    FILE *const out = fopen("/dev/null", "w");
    assert_non_null(out);
    making_file("1\n1\n1\n1\n1\n", losses);
    making_file("jobs:\n"
                "- name: j\n"
                "  workers: 1\n"
                "  defaults: {optimizer: adam}\n"
                "  groups:\n"
                "  - {name: a, match: a, schedule: {kind: multistep, milestones: [3, 5]}}\n"
                "  - {name: b, match: b, phases: [{from: 3, optimizer: sgd}]}\n"
                "  - {name: c, match: c, schedule: {kind: sequential, milestones: [9], schedules: "
                "[{kind: linear}, {kind: cyclic, base_lr: 0.1, max_lr: 1}]}}\n"
                "  - {name: d, match: d, schedule: {kind: plateau, patience: 0}}\n"
                "  - {name: e}\n"
                "  - {name: f}\n",
                config);
    for (; status != STEPD_OK; failures++) {
        struct stepd_error error = {.code = STEPD_OK};
        scarcity_from(failures);
        status = run(config, losses, out, &error);
        scarcity_from(SCARCITY_NEVER);
        if (status != STEPD_OK) {
            assert_int_equal(status, STEPD_RESOURCE_EXHAUSTED);
            assert_int_equal(error.code, STEPD_RESOURCE_EXHAUSTED);
            making_assert_holds(error.text, "memory");
        }
    }
    assert_in_range(failures, 20, 1000);
    (void)unlink(config);
    (void)unlink(losses);
    assert_int_equal(fclose(out), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedule__any_allocation_fails__says_so_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
