/* SPDX-License-Identifier: Apache-2.0
 *
 * The names that optimizers, schedules, treatment and modes know, each written in the file: the
 * reading knows none of them, and must not take one for a key that was misspelt.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/optim/optimizer.h"
#include "server/schedule/schedule.h"
#include "tests/unit/config/loading.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A name where each of the maps that carry settings has it. */
struct places {
    bool job;
    bool group;
    bool schedule;
};

static void assert_taken(const char *name, struct places places)
{
    char yaml[512];
    char settings[64];
    char phase[128];
    struct config config;
    struct stepd_error error = {.code = STEPD_OK};
    (void)snprintf(settings, sizeof settings, ", %s: 1", name);
    (void)snprintf(phase, sizeof phase, "phases: [{from: 1, optimizer: o%s}]",
                   places.group ? settings : "");
    (void)snprintf(yaml, sizeof yaml,
                   "jobs: [{name: j, workers: 1%s, defaults: {schedule: {kind: k%s}},\n"
                   "groups: [{name: g, optimizer: o%s, %s, schedule: {x: 1%s}}]}]\n",
                   places.job ? settings : "", places.schedule ? settings : "",
                   places.group ? settings : "", phase, places.schedule ? settings : "");
    if (loading_run_yaml(yaml, &config, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    config_deinit(&config);
}

static void setting__of_an_optimizer__is_no_slip_for_a_key(void **state)
{
    (void)state;
    size_t names = 0;
    for (size_t i = 0; i < optimizer_count(); i++) {
        const struct optimizer *const optimizer = optimizer_at(i);
        for (size_t k = 0; k < optimizer->hypers; k++, names++)
            assert_taken(optimizer->hyper[k].name, (struct places){.group = true});
    }
    assert_in_range(names, 100, 1000);
}

static void setting__of_a_schedule__is_no_slip_for_a_key(void **state)
{
    (void)state;
    size_t names = 0;
    for (size_t i = 0; i < schedule_kind_count(); i++) {
        const struct schedule_kind *const kind = schedule_kind_at(i);
        for (size_t k = 0; k < kind->params; k++, names++)
            assert_taken(kind->param[k].name, (struct places){.schedule = true});
    }
    assert_in_range(names, 40, 1000);
}

static void setting__of_the_treatment_or_the_mode__is_no_slip_for_a_key(void **state)
{
    (void)state;
    static const char *const of_a_group[] = {
        "preset",     "lr_mult",   "betas",           "etas",       "eps",
        "step_sizes", "maximize",  "clip_norm",       "clip_value", "ema_decay",
        "swa_start",  "swa_every", "ns_coefficients",
    };
    static const char *const of_a_job[] = {
        "backup",           "close_examples",     "late",
        "reduction",        "nonfinite",          "atomic",
        "clip_global_norm", "staleness",          "staleness_max",
        "lr_by_staleness",  "delay_compensation",
    };
    for (size_t i = 0; i < COUNT(of_a_group); i++)
        assert_taken(of_a_group[i], (struct places){.group = true});
    for (size_t i = 0; i < COUNT(of_a_job); i++)
        assert_taken(of_a_job[i], (struct places){.job = true});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(setting__of_an_optimizer__is_no_slip_for_a_key),
        cmocka_unit_test(setting__of_a_schedule__is_no_slip_for_a_key),
        cmocka_unit_test(setting__of_the_treatment_or_the_mode__is_no_slip_for_a_key),
    };
    return cmocka_run_group_tests_name("config_settings", tests, NULL, NULL);
}
