/* SPDX-License-Identifier: Apache-2.0
 *
 * A run that is cut anywhere and goes on from the snapshot equals the undisturbed one, in all bits
 * of weights, views, slots, scalars and records: whatever the optimizer, its schedule and phases,
 * and the mode.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/core/course.h"

#define VIEWS "ema_decay=0.75 swa_start=2 swa_every=2"

static const char *const plateau = "window=1 patience=0 factor=0.5 cooldown=1";

/* A history that is short enough to wrap around, and a momentum for the schedule to cycle. */
static const char *settings_for(const char *optimizer)
{
    if (strcmp(optimizer, "lbfgs") == 0)
        return VIEWS " history_size=3";
    return strcmp(optimizer, "rmsprop") == 0 ? VIEWS " momentum=0.5" : VIEWS;
}

static struct stepd_group group_of(const char *optimizer, const char *settings,
                                   const char *schedule, const char *schedule_settings)
{
    struct stepd_group group = settings_group(optimizer, settings);
    group.schedule = schedule;
    group.schedule_settings = settings_of(schedule_settings);
    return group;
}

static void assert_goes_on(const struct stepd_group *group, const char *what)
{
    const struct course course = {.mode = STEPD_SYNC, .group = group};
    assert_course_goes_on(&course, what);
}

/* With the momentum, where there is one to cycle. */
static const char *one_cycle_for(const struct optimizer *optimizer)
{
    struct optim_hyper hyper;
    optimizer_hyper_defaults(optimizer, &hyper);
    const bool cycles = optimizer_momentum(optimizer, &hyper) != NULL;
    return cycles ? "max_lr=0.25 total_steps=6" : "max_lr=0.25 total_steps=6 cycle_momentum=0";
}

static void snapshot__of_every_optimizer__goes_on_to_the_same_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < optimizer_count(); i++) {
        const struct optimizer *const optimizer = optimizer_at(i);
        const char *const rows[][2] = {
            {"constant", ""}, {"one_cycle", one_cycle_for(optimizer)}, {"plateau", plateau}};
        for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
            const struct stepd_group group =
                group_of(optimizer->name, settings_for(optimizer->name), rows[k][0], rows[k][1]);
            char what[64];
            (void)snprintf(what, sizeof what, "%s with %s", optimizer->name, rows[k][0]);
            assert_goes_on(&group, what);
        }
    }
}

static void snapshot__of_forms_with_more_state__goes_on_to_the_same_bits(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"adam", VIEWS " amsgrad=1"},
        {"nesterov", VIEWS " form=interim"},
        {"rmsprop", VIEWS " centered=1 momentum=0.5"},
        {"rmsprop_nesterov", VIEWS " preset=lecture"},
        {"lbfgs", VIEWS " history_size=3 line_search=backtracking"},
        {"sgd", "maximize=1 clip_value=0.5 swa_start=3"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct stepd_group group = group_of(rows[i][0], rows[i][1], "", "");
        assert_goes_on(&group, rows[i][1]);
    }
}

static void snapshot__of_every_schedule__goes_on_to_the_same_bits(void **state)
{
    (void)state;

    static const char *const rows[][2] = {
        {"constant", "factor=0.5 total_iters=3"},
        {"step", "step_size=2"},
        {"multistep", "milestones=2,3"},
        {"exponential", "gamma=0.5"},
        {"linear", "total_iters=4 warmup=2"},
        {"polynomial", "total_iters=4"},
        {"cosine", "t_max=5"},
        {"cosine_restarts", "t_0=2"},
        {"one_cycle", "max_lr=0.25 total_steps=6"},
        {"cyclic", "base_lr=0.125 max_lr=0.5 step_size_up=2"},
        {"noam", "d_model=16 warmup_steps=3"},
        {"inverse_sqrt", ""},
        {"lambda", "steps=1,3,4 factors=0.5,1,0.25"},
        {"plateau", "window=2 patience=0 factor=0.5"},
    };
    static const struct stepd_schedule_part parts[] = {{.kind = "step"}, {.kind = "cosine"}};

    size_t tried = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++, tried++) {
        const struct stepd_group group = group_of("momentum", VIEWS, rows[i][0], rows[i][1]);
        assert_goes_on(&group, rows[i][0]);
    }
    static const char *const made[][2] = {{"sequential", "milestones=3"}, {"chained", ""}};
    for (size_t i = 0; i < 2; i++, tried++) {
        struct stepd_schedule_part part[2] = {parts[0], parts[1]};
        part[0].settings = settings_of("step_size=2");
        part[1].settings = settings_of("t_max=4");
        struct stepd_group group = group_of("adam", VIEWS, made[i][0], made[i][1]);
        group.schedule_parts = 2;
        group.schedule_part = part;
        assert_goes_on(&group, made[i][0]);
    }
    assert_int_equal(tried, schedule_kind_count());
}

/* Every optimizer takes over from another, and gives over to a third. */
static void snapshot__of_phases__goes_on_to_the_same_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < optimizer_count(); i++) {
        const char *const name = optimizer_at(i)->name;
        const bool long_history = strcmp(name, "lbfgs") == 0;
        const struct stepd_phase phase[] = {
            settings_phase(2, name, long_history ? "history_size=3" : ""),
            settings_phase(4, "nesterov", "form=interim"),
        };
        struct stepd_group group = group_of("adam", VIEWS, "", "");
        group.phases = 2;
        group.phase = phase;
        assert_goes_on(&group, name);
    }
}

static void snapshot__of_every_mode__goes_on_to_the_same_bits(void **state)
{
    (void)state;

    static const struct {
        enum stepd_mode mode;
        const char *settings;
    } rows[] = {
        {STEPD_SYNC, "reduction=arrival"},  {STEPD_SYNC, "atomic=job"},
        {STEPD_SYNC, "nonfinite=skip"},     {STEPD_BOUNDED, "staleness=2"},
        {STEPD_ASYNC, "lr_by_staleness=1"}, {STEPD_ASYNC, "delay_compensation=0.5"},
        {STEPD_ASYNC, "staleness_max=0"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct stepd_group group = group_of("adam", VIEWS, "plateau", plateau);
        const struct course course = {
            .mode = rows[i].mode, .settings = settings_of(rows[i].settings), .group = &group};
        assert_course_goes_on(&course, rows[i].settings);
    }
}

static void assert_clipped_goes_on(const char *settings, const char *group_settings)
{
    const struct stepd_group group = group_of("adam", group_settings, "plateau", plateau);
    const struct course course = {
        .mode = STEPD_SYNC, .settings = settings_of(settings), .group = &group, .clips = true};
    char what[96];
    (void)snprintf(what, sizeof what, "%s %s", settings, group_settings);
    assert_course_goes_on(&course, what);
}

/* The gradients' norms are some 55 and 2. */
static void snapshot__of_clipped_slices__goes_on_to_the_same_bits(void **state)
{
    (void)state;
    assert_clipped_goes_on("clip_global_norm=0.5", VIEWS);
    assert_clipped_goes_on("atomic=slice", VIEWS " clip_norm=1");
    assert_clipped_goes_on("clip_global_norm=4", VIEWS " clip_norm=8");
    assert_clipped_goes_on("clip_global_norm=0.5 nonfinite=skip atomic=job", VIEWS);
    assert_clipped_goes_on("clip_global_norm=0.5 reduction=arrival", VIEWS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshot__of_every_optimizer__goes_on_to_the_same_bits),
        cmocka_unit_test(snapshot__of_forms_with_more_state__goes_on_to_the_same_bits),
        cmocka_unit_test(snapshot__of_every_schedule__goes_on_to_the_same_bits),
        cmocka_unit_test(snapshot__of_phases__goes_on_to_the_same_bits),
        cmocka_unit_test(snapshot__of_every_mode__goes_on_to_the_same_bits),
        cmocka_unit_test(snapshot__of_clipped_slices__goes_on_to_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
