/* SPDX-License-Identifier: Apache-2.0
 *
 * From jobs back to definitions: of jobs as the simulation draws them, with every optimizer,
 * schedule and setting, and of groups as a change leaves them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/model/definition.h"
#include "tests/sim/definition.h"
#include "tests/unit/model/groups.h"
#include "tests/unit/model/same_group.h"

enum { SEEDS = 1500, ARENA_MAX_BYTES = 64 << 20, OPTIMIZERS_MOST = 64 };

static struct job *make_job(const struct stepd_define_job *def,
                            const struct stepd_define_tensors *page)
{
    struct job_draft *draft = NULL;
    struct job *job = NULL;
    struct stepd_error error = {.code = STEPD_OK};
    enum stepd_status status = job_draft_create("j", def, 0, &draft, &error);
    if (status == STEPD_OK)
        status = job_draft_add(draft, page, &error);
    if (status == STEPD_OK)
        status = job_draft_seal(draft, 1, 1, &job, &error);
    if (status != STEPD_OK)
        fail_msg("%s", error.text);
    (void)job_draft_destroy(draft);
    return job;
}

static void assert_goes_round(const struct definition *drawn, struct stepd_arena *arena)
{
    struct job *job = make_job(&drawn->job, &drawn->page);
    struct stepd_define_job def;
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(definition_of_job(job, arena, &def), STEPD_OK);
    struct job *again = make_job(&def, &drawn->page);
    if (consistency_same(&job->consistency, &again->consistency, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    assert_int_equal(again->workers, job->workers);
    assert_int_equal(again->strict, job->strict);
    assert_int_equal(again->slice_elements, job->slice_elements);
    assert_int_equal(again->groups, job->groups);
    for (size_t i = 0; i < job->groups; i++)
        same_group_assert(&job->group[i], &again->group[i]);
    (void)job_unref(again);
    (void)job_unref(job);
}

/* Marks the optimizers and schedules of a definition that is a job's. */
static void note(const struct stepd_define_job *def, bool *optimizer, bool *schedule)
{
    for (size_t i = 0; i < def->groups; i++) {
        for (size_t k = 0; k < optimizer_count(); k++)
            optimizer[k] =
                optimizer[k] || strcmp(def->group[i].optimizer, optimizer_at(k)->name) == 0;
        for (size_t k = 0; k < schedule_kind_count(); k++)
            schedule[k] =
                schedule[k] || strcmp(def->group[i].schedule, schedule_kind_at(k)->name) == 0;
    }
}

static void definition__of_any_job__makes_the_same_job(void **state)
{
    (void)state;

    static const enum stepd_mode modes[] = {STEPD_SYNC, STEPD_SYNC, STEPD_BOUNDED, STEPD_ASYNC};

    bool optimizer[OPTIMIZERS_MOST] = {false};
    bool schedule[OPTIMIZERS_MOST] = {false};
    assert_true(optimizer_count() <= OPTIMIZERS_MOST && schedule_kind_count() <= OPTIMIZERS_MOST);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct drawing drawing = {.random = {.state = seed}};
        stepd_arena_init(&drawing.arena, ARENA_MAX_BYTES);
        const struct definition drawn = definition_draw(&drawing, modes[seed % 4], 3);
        assert_goes_round(&drawn, &drawing.arena);
        note(&drawn.job, optimizer, schedule);
        stepd_arena_deinit(&drawing.arena);
    }
    for (size_t k = 0; k < optimizer_count(); k++) {
        if (!optimizer[k])
            fail_msg("no seed of %d has drawn %s", SEEDS, optimizer_at(k)->name);
    }
    for (size_t k = 0; k < schedule_kind_count(); k++) {
        if (!schedule[k])
            fail_msg("no seed of %d has drawn %s", SEEDS, schedule_kind_at(k)->name);
    }
}

static void definition__of_groups_that_are_called_as_their_glob__names_none(void **state)
{
    (void)state;
    struct stepd_arena arena;
    stepd_arena_init(&arena, ARENA_MAX_BYTES);
    const struct stepd_group said = {.match = "fc*", .optimizer = "sgd"};
    struct group group = groups_make(&said);
    assert_string_equal(group.name, "fc*");
    struct stepd_group def;
    assert_int_equal(definition_of_group(&group, &arena, &def), STEPD_OK);
    assert_string_equal(def.name, "");
    assert_string_equal(def.match, "fc*");
    group_deinit(&group);
    stepd_arena_deinit(&arena);
}

/* As one that was given another optimizer over and over, with many phases behind it. */
static void group_init_changed__with_many_phases_from_a_later_step__has_them_all(void **state)
{
    (void)state;

    enum { PHASES = 3 * STEPD_PHASES_MAX };
    struct stepd_arena arena;
    stepd_arena_init(&arena, ARENA_MAX_BYTES);
    struct stepd_phase phase[PHASES];
    for (size_t i = 0; i < PHASES; i++)
        phase[i] = settings_phase(200 + i, "adam", "lr=0.1");
    struct stepd_group said = settings_group("sgd", "lr=0.3 ema_decay=0.9");
    said.phases = PHASES;
    said.phase = phase;
    struct group group;
    struct group again;
    struct stepd_group def;
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(group_init_changed(&said, 150, &group, &error), STEPD_OK);
    assert_int_equal(group.phase[0].from, 150);
    assert_int_equal(group.phases, 1 + PHASES);
    assert_int_equal(definition_of_group(&group, &arena, &def), STEPD_OK);
    assert_int_equal(group_init_changed(&def, 150, &again, &error), STEPD_OK);
    same_group_assert(&group, &again);
    group_deinit(&again);
    group_deinit(&group);
    assert_int_equal(group_init_changed(&said, 200, &group, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "group 'g': the phase from 200 on: it must begin behind 200, "
                                    "where the one before it begins");
    stepd_arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(definition__of_any_job__makes_the_same_job),
        cmocka_unit_test(definition__of_groups_that_are_called_as_their_glob__names_none),
        cmocka_unit_test(group_init_changed__with_many_phases_from_a_later_step__has_them_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
