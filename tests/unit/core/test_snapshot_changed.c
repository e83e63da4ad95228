/* SPDX-License-Identifier: Apache-2.0
 *
 * A run whose group is changed while it runs, and that is cut anywhere and goes on from the
 * snapshot, equals the undisturbed one: before the change is known, when it is known and its
 * version is still to come, at that version, and behind it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/core/course.h"
#include "tests/unit/core/two_slices.h"

#define VIEWS "ema_decay=0.75 swa_start=2 swa_every=2"

enum { AT = 3 }; /* the version of a change in sync mode */

/* What may be said of a group that has adam, and a plateau. */
static const struct row {
    const char *optimizer;
    const char *settings;
    const char *schedule;
    const char *schedule_settings;
    const char *phase_settings; /* of sgd, from 5 on; NULL: no phase comes */
} rows[] = {
    {.settings = "lr=0.25"},
    {.settings = "weight_decay=0.5"},
    {.settings = "clip_value=0.125 ema_decay=0.5"},
    {.optimizer = "momentum", .settings = "lr=0.25 momentum=0.5"},
    {.optimizer = "adam", .settings = "lr=0.5"},
    {.schedule = "exponential", .schedule_settings = "gamma=0.5"},
    {.schedule_settings = "factor=0.25"},
    {.phase_settings = "lr=0.125"},
};

enum { ROWS = sizeof rows / sizeof rows[0] };

static const char *text_of(const char *text)
{
    return text == NULL ? "" : text;
}

static struct stepd_group said_in(const struct row *row)
{
    static struct stepd_phase phase;
    struct stepd_group said = settings_group(text_of(row->optimizer), text_of(row->settings));
    said.schedule = text_of(row->schedule);
    said.schedule_settings = settings_of(text_of(row->schedule_settings));
    if (row->phase_settings != NULL) {
        phase = settings_phase(5, "sgd", row->phase_settings);
        said.phases = 1;
        said.phase = &phase;
    }
    return said;
}

static struct stepd_group the_group(void)
{
    struct stepd_group group = settings_group("adam", VIEWS);
    group.schedule = "plateau";
    group.schedule_settings = settings_of("window=1 patience=0 factor=0.5 cooldown=1");
    return group;
}

/* Where the job clips by norms, slices are of whole blocks, and a tensor is cut into three. */
static void assert_goes_on(enum stepd_mode mode, const char *settings, const struct row *row,
                           size_t entry, uint64_t version)
{
    const struct stepd_group group = the_group();
    const struct course course = {
        .mode = mode,
        .settings = settings_of(settings),
        .group = &group,
        .clips = strstr(settings, "clip") != NULL,
        .changes = 1,
        .change = {{.entry = entry, .version = version, .said = said_in(row)}},
    };
    char what[160];
    (void)snprintf(what, sizeof what, "%s; %s %s %s %s; told at %zu", settings,
                   text_of(row->optimizer), text_of(row->settings), text_of(row->schedule_settings),
                   text_of(row->phase_settings), entry);
    assert_course_goes_on(&course, what);
}

/* Told ahead of its version, and when the slices stand there. */
static void snapshot__of_a_sync_job_that_is_changed__goes_on_to_the_same_bits(void **state)
{
    (void)state;
    static const char *const settings[] = {"atomic=slice", "atomic=job", "clip_global_norm=4"};
    for (size_t i = 0; i < ROWS; i++) {
        for (size_t s = 0; s < 3; s++) {
            assert_goes_on(STEPD_SYNC, settings[s], &rows[i], AT - 2, AT);
            assert_goes_on(STEPD_SYNC, settings[s], &rows[i], AT, AT);
        }
    }
}

static void snapshot__of_an_async_job_that_is_changed__goes_on_to_the_same_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        assert_goes_on(STEPD_ASYNC, "lr_by_staleness=1", &rows[i], 9, 0);
        assert_goes_on(STEPD_BOUNDED, "staleness=2", &rows[i], 9, 0);
    }
}

/* One is over, one is known and to come, and one begins where the one before does. */
static void snapshot__between_changes__goes_on_to_the_same_bits(void **state)
{
    (void)state;
    const struct stepd_group group = the_group();
    const struct course course = {
        .mode = STEPD_SYNC,
        .group = &group,
        .changes = 4,
        .change =
            {
                {.entry = 0, .version = 1, .said = settings_group("", "lr=0.25")},
                {.entry = 0, .version = 3, .said = settings_group("momentum", "lr=0.5")},
                {.entry = 2, .version = 3, .said = settings_group("", "momentum=0.5")},
                {.entry = 3, .version = 5, .said = settings_group("adamw", "lr=0.25")},
            },
    };
    assert_course_goes_on(&course, "between changes");
}

/* Makes of "lr is 1" what an edit says, from version 1 on. */
static void change_at_one(struct shard *shard, const char *settings)
{
    const struct stepd_group said = settings_group("", settings);
    const struct group_edit edit = {.said = &said};
    const struct change_site site = {
        .job = shard->job, .now = &shard->job->group[0], .point = {1, 1}};
    const struct order order = {.kind = ORDER_CHANGE,
                                .job_name = shard->job->name,
                                .change = ORDER_CHANGE_GROUPS,
                                .version = 1,
                                .groups = group_changes_create(1)};
    assert_non_null(order.groups);
    assert_int_equal(group_change_edit(&site, &edit, &order.groups->change[0], NULL), STEPD_OK);
    order.groups->number = 1;
    order.groups->version = 1;
    shard_give(shard, &order);
    (void)group_changes_destroy(order.groups);
}

/* The first slice closes the version before the shard hears of the change, the second one after. */
static void snapshot__of_slices_of_which_one_has_the_change__makes_it_once_on_each(void **state)
{
    (void)state;
    static const uint32_t second[] = {1};
    struct shard shard;
    const struct shard_job job = two_job(STEPD_SYNC);
    two_setup(&shard, &job);
    shard_snapshot(&shard, 1);
    for (uint32_t rank = 0; rank < WORKERS; rank++)
        two_push(&shard, rank, 1, 1, NULL);
    change_at_one(&shard, "lr=0.25");
    for (uint32_t rank = 0; rank < WORKERS; rank++)
        two_push(&shard, rank, 1, 1, second);
    assert_int_equal(shard.snapshot->state->slice[0].change, 0);
    assert_int_equal(shard.snapshot->state->slice[1].change, 1);
    two_go_back(&shard, &job);
    change_at_one(&shard, "lr=0.25");
    two_step(&shard, 2);
    shard_pull(&shard, 0, 99, 2, SLICES);
    for (size_t i = 0; i < SLICES; i++)
        assert_true(shard_last(&shard, 0)->value[i * SLICE] == (i == 0 ? -1.25F : -1.0F));
    shard_teardown(&shard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshot__of_a_sync_job_that_is_changed__goes_on_to_the_same_bits),
        cmocka_unit_test(snapshot__of_an_async_job_that_is_changed__goes_on_to_the_same_bits),
        cmocka_unit_test(snapshot__between_changes__goes_on_to_the_same_bits),
        cmocka_unit_test(snapshot__of_slices_of_which_one_has_the_change__makes_it_once_on_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
