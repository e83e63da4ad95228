/* SPDX-License-Identifier: Apache-2.0
 *
 * What may become of a group while its job runs: what an edit makes of it, what is refused and in
 * which words, and what is said to be other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/model/group_change.h"
#include "tests/lib/settings.h"
#include "tests/unit/model/drafts.h"

static const uint64_t shape[] = {20, 10};
static const struct change_point at_100 = {.clock = 100, .from = 100};

/* A job of one matrix in the group "g". */
static struct job *job_of_mode(const struct stepd_group *group, enum stepd_mode mode)
{
    struct stepd_group named = *group;
    struct stepd_define_job def = draft_definition();
    named.name = "g";
    def.mode = mode;
    def.groups = 1;
    def.group = &named;
    const struct stepd_tensor_def tensor = draft_tensor("w", shape, 2);
    return draft_job(&def, &tensor, 1);
}

static struct job *job_of(const char *optimizer, const char *settings)
{
    const struct stepd_group group = settings_group(optimizer, settings);
    return job_of_mode(&group, STEPD_SYNC);
}

/* The group as it was defined, at step 100. */
static struct change_site site_of(const struct job *job)
{
    return (struct change_site){.job = job, .now = &job->group[0], .point = at_100};
}

/* Edits it. */
static enum stepd_status edit(const struct job *job, const struct stepd_group *said,
                              struct group_change *ret_change, struct stepd_error *reterr)
{
    const struct group_edit edit = {.said = said};
    const struct change_site site = site_of(job);
    return group_change_edit(&site, &edit, ret_change, reterr);
}

static struct group_change edited(const struct job *job, const struct stepd_group *said)
{
    struct group_change change = {.index = 99};
    struct stepd_error error = {.code = STEPD_OK};
    if (edit(job, said, &change, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    return change;
}

static struct group_change set(const struct job *job, const char *settings)
{
    const struct stepd_group said = settings_group("", settings);
    return edited(job, &said);
}

static void done(struct job *job, struct group_change *change)
{
    (void)shared_group_unref(change->group);
    (void)job_unref(job);
}

static void assert_refused(struct job *job, const struct stepd_group *said, const char *text)
{
    struct group_change change = {.index = 99};
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_not_equal(edit(job, said, &change, &error), STEPD_OK);
    assert_string_equal(error.text, text);
    assert_int_equal(change.index, 99); /* untouched */
    (void)job_unref(job);
}

static void assert_refused_settings(struct job *job, const char *settings, const char *text)
{
    const struct stepd_group said = settings_group("", settings);
    assert_refused(job, &said, text);
}

/* ---- Settings -------------------------------------------------------------------------------- */

static void edit__of_hyperparameters__changes_these_and_no_others(void **state)
{
    (void)state;
    struct job *job = job_of("adamw", "lr=0.5 betas=0.8,0.9 weight_decay=0.25");
    struct group_change change = set(job, "lr=0.125 beta2=0.75");
    const struct optim_hyper *hyper = &change.group->group.phase[0].hyper;
    assert_true(hyper->lr == 0.125 && hyper->beta2 == 0.75);
    assert_true(hyper->beta1 == 0.8 && hyper->weight_decay == 0.25);
    assert_false(change.fresh || change.new_schedule);
    assert_true(job->group[0].phase[0].hyper.lr == 0.5); /* as ever */
    done(job, &change);
}

static void edit__of_lr_mult__multiplies_the_present_rate(void **state)
{
    (void)state;
    struct job *job = job_of("sgd", "lr=0.5");
    struct group_change change = set(job, "lr_mult=0.25");
    assert_true(change.group->group.phase[0].hyper.lr == 0.125);
    done(job, &change);
}

static void edit__in_a_later_phase__changes_the_one_that_is_on(void **state)
{
    (void)state;
    const struct stepd_phase phase[] = {settings_phase(50, "momentum", "lr=0.25"),
                                        settings_phase(200, "sgd", "lr=0.0625")};
    struct stepd_group group = settings_group("adam", "lr=0.5");
    group.phases = 2;
    group.phase = phase;
    struct job *job = job_of_mode(&group, STEPD_SYNC);
    struct group_change change = set(job, "momentum=0.5");
    const struct group *changed = &change.group->group;
    assert_int_equal(changed->phases, 3);
    assert_true(changed->phase[0].hyper.lr == 0.5);
    assert_true(changed->phase[1].hyper.momentum == 0.5 && changed->phase[1].hyper.lr == 0.25);
    assert_true(changed->phase[2].hyper.lr == 0.0625);
    done(job, &change);
}

static void edit__of_the_treatment__changes_what_is_there(void **state)
{
    (void)state;
    struct job *job = job_of("sgd", "lr=1 ema_decay=0.5 swa_start=3");
    struct group_change change = set(job, "clip_value=2 maximize=1 ema_decay=0.75 swa_every=4");
    const struct treatment *treatment = &change.group->group.treatment;
    assert_true(treatment->clip_value == 2.0 && treatment->maximize);
    assert_true(treatment->ema_decay == 0.75 && treatment->swa_every == 4);
    assert_int_equal(treatment->swa_start, 3);
    done(job, &change);
}

static void edit__of_settings_that_cannot_be__says_why(void **state)
{
    (void)state;

    static const struct {
        const char *optimizer;
        const char *had;
        const char *settings;
        const char *text;
    } rows[] = {
        {"sgd", "lr=1", "lrr=2", "group 'g': sgd has no hyperparameter 'lrr': did you mean 'lr'?"},
        {"sgd", "lr=1", "lr=-2",
         "group 'g': hyperparameter 'lr' of sgd must be in [0, 1e+09], and -2 is not"},
        {"sgd", "lr=1", "lr=2 lr_mult=2",
         "group 'g': lr and lr_mult are both set: lr stands for itself, lr_mult multiplies the "
         "default's; keep one"},
        {"adam", "lr=1", "preset=lecture",
         "group 'g': preset says where an optimizer begins; name the optimizer with it, or set "
         "what it stands for"},
        {"adam", "lr=1", "amsgrad=1",
         "group 'g': these settings change what state adam keeps; name it as the optimizer too, "
         "so that it begins anew"},
        {"sgd", "lr=1", "ema_decay=0.5",
         "group 'g': whether there is an average (ema_decay) is decided when the job is defined; "
         "of one that there is, the decay can change to another above 0"},
        {"sgd", "lr=1 ema_decay=0.5", "ema_decay=0",
         "group 'g': whether there is an average (ema_decay) is decided when the job is defined; "
         "of one that there is, the decay can change to another above 0"},
        {"sgd", "lr=1", "swa_every=2",
         "group 'g': whether there is a running mean (swa_start, swa_every) is decided when the "
         "job is defined"},
        {"sgd", "lr=1", "clip_norm=2",
         "group 'g': clip_norm needs the norms of all steps, and the job was given no memory and "
         "no order of steps for them: define it with a clip_norm in any group, or with "
         "clip_global_norm, however large, and clip_norm can change while it runs; now clip_value "
         "can"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_refused_settings(job_of(rows[i].optimizer, rows[i].had), rows[i].settings,
                                rows[i].text);
}

static void edit__of_a_frozen_group__is_refused(void **state)
{
    (void)state;
    struct stepd_group group = settings_group("sgd", "lr=1");
    group.frozen = true;
    assert_refused_settings(job_of_mode(&group, STEPD_SYNC), "lr=2",
                            "group 'g' is frozen: it is never updated, and has no state to begin "
                            "with; define the job anew to train it");
}

/* ---- Optimizers ------------------------------------------------------------------------------ */

static void edit__of_the_optimizer__begins_it_there_and_keeps_what_is_to_come(void **state)
{
    (void)state;
    const struct stepd_phase phase[] = {settings_phase(50, "momentum", "lr=0.25"),
                                        settings_phase(200, "sgd", "lr=0.0625")};
    struct stepd_group group = settings_group("adam", "lr=0.5");
    group.phases = 2;
    group.phase = phase;
    struct job *job = job_of_mode(&group, STEPD_SYNC);
    const struct stepd_group said = settings_group("adamax", "lr=0.125");
    struct group_change change = edited(job, &said);
    const struct group *changed = &change.group->group;
    assert_true(change.fresh);
    assert_int_equal(changed->phases, 2);
    assert_string_equal(changed->phase[0].optimizer->name, "adamax");
    assert_int_equal(changed->phase[0].from, 100);
    assert_true(changed->phase[0].hyper.lr == 0.125);
    assert_int_equal(changed->phase[1].from, 200);
    done(job, &change);
}

static void edit__of_the_same_optimizer__begins_it_anew(void **state)
{
    (void)state;
    struct job *job = job_of("adam", "lr=0.5");
    const struct stepd_group said = settings_group("adam", "lr=0.5");
    struct group_change change = edited(job, &said);
    assert_true(change.fresh);
    done(job, &change);
}

static void edit__of_phases__replaces_those_to_come(void **state)
{
    (void)state;
    const struct stepd_phase had[] = {settings_phase(50, "momentum", "lr=0.25"),
                                      settings_phase(200, "sgd", "lr=0.0625")};
    struct stepd_group group = settings_group("adam", "lr=0.5");
    group.phases = 2;
    group.phase = had;
    struct job *job = job_of_mode(&group, STEPD_SYNC);
    const struct stepd_phase later[] = {settings_phase(300, "nesterov", "lr=0.5"),
                                        settings_phase(400, "sgd", "lr=0.25")};
    struct stepd_group said = settings_group("", "");
    said.phases = 2;
    said.phase = later;
    struct group_change change = edited(job, &said);
    const struct group *changed = &change.group->group;
    assert_int_equal(changed->phases, 4);
    assert_string_equal(changed->phase[1].optimizer->name, "momentum");
    assert_string_equal(changed->phase[2].optimizer->name, "nesterov");
    assert_int_equal(changed->phase[3].from, 400);
    done(job, &change);
}

static void edit__that_drops_phases__leaves_the_one_that_is_on(void **state)
{
    (void)state;
    const struct stepd_phase had[] = {settings_phase(200, "sgd", "lr=0.0625")};
    struct stepd_group group = settings_group("adam", "lr=0.5");
    group.phases = 1;
    group.phase = had;
    struct job *job = job_of_mode(&group, STEPD_SYNC);
    const struct stepd_group nothing = settings_group("", "");
    const struct group_edit edit = {.said = &nothing, .drop_phases = true};
    const struct change_site site = site_of(job);
    struct group_change change;
    assert_int_equal(group_change_edit(&site, &edit, &change, NULL), STEPD_OK);
    assert_int_equal(change.group->group.phases, 1);
    done(job, &change);
}

static void edit__of_an_optimizer_that_cannot_be__says_why(void **state)
{
    (void)state;

    static const struct {
        const char *had;
        const char *optimizer;
        const char *settings;
        const char *text;
    } rows[] = {
        {"sgd", "adam", "", "group 'g': adam needs a learning rate of its own; set lr with it"},
        {"sgd", "adem", "lr=1", "group 'g': unknown optimizer 'adem': did you mean 'adam'?"},
        {"sgd", "momentum", "lr=1",
         "group 'g': momentum keeps 1 KiB of state for each 1 KiB of weights, and the job was "
         "given 0; define it as one of the group's phases, so that there is room for it"},
        {"momentum", "adam", "lr=1",
         "group 'g': adam keeps 2 KiB of state for each 1 KiB of weights, and the job was given 1; "
         "define it as one of the group's phases, so that there is room for it"},
        {"adam", "lars", "lr=1",
         "group 'g': lars must see whole tensors, and the job's slices are cut for optimizers that "
         "need not; define it as one of the group's phases"},
        {"lamb", "lbfgs", "lr=1",
         "group 'g': lbfgs must see a whole group at once, and the job's slices are cut for "
         "optimizers that need not; define it as one of the group's phases"},
        {"lbfgs", "newton", "lr=1",
         "group 'g': newton wants a Hessian in every push, which the job's layout has no place "
         "for; define it as one of the group's phases"},
        {"adam", "nesterov", "lr=1 form=interim",
         "group 'g': nesterov looks ahead, and the job has no memory for the weights there; define "
         "it as one of the group's phases"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct stepd_group said = settings_group(rows[i].optimizer, rows[i].settings);
        assert_refused(job_of(rows[i].had, "lr=1"), &said, rows[i].text);
    }
}

static void edit__of_an_optimizer_for_another_mode__is_refused(void **state)
{
    (void)state;
    const struct stepd_group adam = settings_group("adam", "lr=1");
    const struct stepd_group said = settings_group("newton", "lr=1");
    assert_refused(job_of_mode(&adam, STEPD_ASYNC), &said,
                   "group 'g': newton needs the mean gradient of all workers, so the job's mode "
                   "must be sync, and it is async");
}

static void edit__of_phases_that_are_over__is_refused(void **state)
{
    (void)state;
    const struct stepd_phase phase = settings_phase(100, "sgd", "lr=1");
    struct stepd_group said = settings_group("", "");
    said.phases = 1;
    said.phase = &phase;
    assert_refused(job_of("adam", "lr=1"), &said,
                   "group 'g': the phase from 100 on must begin behind 100, where the change is "
                   "made");
}

/* ---- Schedules ------------------------------------------------------------------------------- */

static void edit__of_the_schedule__replaces_it(void **state)
{
    (void)state;
    struct job *job = job_of("sgd", "lr=1");
    struct stepd_group said = settings_group("", "");
    said.schedule = "cosine";
    said.schedule_settings = settings_of("t_max=100");
    struct group_change change = edited(job, &said);
    assert_true(change.new_schedule);
    assert_string_equal(change.group->group.schedule.kind->name, "cosine");
    assert_true(change.group->group.phase[0].hyper.lr == 1.0);
    done(job, &change);
}

static void edit__of_the_schedules_settings__goes_over_those_that_there_are(void **state)
{
    (void)state;
    struct stepd_group group = settings_group("sgd", "lr=1");
    group.schedule = "step";
    group.schedule_settings = settings_of("step_size=10 gamma=0.5");
    struct job *job = job_of_mode(&group, STEPD_SYNC);
    struct stepd_group said = settings_group("", "");
    said.schedule_settings = settings_of("gamma=0.25");
    struct group_change change = edited(job, &said);
    assert_true(change.new_schedule);
    assert_true(schedule_lr(&change.group->group.schedule, 1.0, 10) == 0.25);
    done(job, &change);
}

static void edit__of_a_schedule_that_cannot_be__says_why(void **state)
{
    (void)state;
    struct stepd_group said = settings_group("", "");
    said.schedule = "cosin";
    assert_refused(job_of("sgd", "lr=1"), &said,
                   "group 'g': unknown schedule 'cosin': did you mean 'cosine'?");
    said.schedule = "one_cycle";
    said.schedule_settings = settings_of("max_lr=1 total_steps=1000");
    assert_refused(job_of("sgd", "lr=1"), &said,
                   "group 'g': schedule one_cycle cycles the momentum, and sgd has none; set its "
                   "cycle_momentum to 0, or take an optimizer with momentum");
}

/* ---- Targets --------------------------------------------------------------------------------- */

static void target__of_the_same_optimizer__takes_its_settings_and_schedule(void **state)
{
    (void)state;
    struct job *job = job_of("adam", "lr=0.5");
    struct stepd_group wanted = settings_group("adam", "lr=0.25 beta1=0.5 clip_value=3");
    wanted.name = "g";
    wanted.schedule = "cosine";
    wanted.schedule_settings = settings_of("t_max=100");
    const struct stepd_group nothing = {.name = ""};
    struct group target;
    struct group_change change;
    assert_int_equal(group_init(&nothing, &wanted, &target, NULL), STEPD_OK);
    const struct change_site site = site_of(job);
    assert_int_equal(group_change_to(&site, &target, &change, NULL), STEPD_OK);
    assert_false(change.fresh);
    assert_true(change.new_schedule);
    assert_true(change.group->group.phase[0].hyper.beta1 == 0.5);
    assert_true(change.group->group.treatment.clip_value == 3.0);
    group_deinit(&target);
    done(job, &change);
}

static void target__of_another_optimizer__begins_it_there(void **state)
{
    (void)state;
    struct job *job = job_of("adam", "lr=0.5");
    struct stepd_group wanted = settings_group("momentum", "lr=0.25");
    wanted.name = "g";
    const struct stepd_group nothing = {.name = ""};
    struct group target;
    struct group_change change;
    assert_int_equal(group_init(&nothing, &wanted, &target, NULL), STEPD_OK);
    const struct change_site site = site_of(job);
    assert_int_equal(group_change_to(&site, &target, &change, NULL), STEPD_OK);
    assert_true(change.fresh);
    assert_int_equal(change.group->group.phase[0].from, 100);
    group_deinit(&target);
    done(job, &change);
}

/* ---- Differences ----------------------------------------------------------------------------- */

static void assert_difference(const struct difference *difference, const char *name,
                              const char *from, const char *to)
{
    assert_string_equal(difference->name, name);
    assert_string_equal(difference->from, from);
    assert_string_equal(difference->to, to);
}

static void differences__of_settings__name_each_with_what_it_was(void **state)
{
    (void)state;
    struct job *job = job_of("adam", "lr=0.1");
    struct stepd_group said = settings_group("", "lr=0.01 eps_mode=inside clip_value=2");
    said.schedule = "step";
    said.schedule_settings = settings_of("step_size=10");
    struct group_change change = edited(job, &said);
    struct difference list[DIFFERENCES_MAX];
    assert_int_equal(group_differences(&job->group[0], &change.group->group, 100, false, list), 4);
    assert_difference(&list[0], "lr", "0.1", "0.01");
    assert_difference(&list[1], "eps_mode", "outside", "inside");
    assert_difference(&list[2], "schedule", "constant", "step step_size=10");
    assert_difference(&list[3], "clip_value", "0", "2");
    done(job, &change);
}

static void differences__of_an_optimizer_and_phases__say_what_begins(void **state)
{
    (void)state;
    const struct stepd_phase phase = settings_phase(300, "sgd", "lr=0.5");
    struct job *job = job_of("adam", "lr=0.1");
    struct stepd_group said = settings_group("momentum", "lr=0.25 momentum=0.5");
    said.phases = 1;
    said.phase = &phase;
    struct group_change change = edited(job, &said);
    struct difference list[DIFFERENCES_MAX];
    assert_int_equal(group_differences(&job->group[0], &change.group->group, 100, true, list), 4);
    assert_difference(&list[0], "optimizer", "adam", "momentum");
    assert_difference(&list[1], "lr", "0.1", "0.25");
    assert_difference(&list[2], "momentum", "-", "0.5");
    assert_difference(&list[3], "phase from 300", "-", "sgd with lr 0.5");
    done(job, &change);
}

static void differences__of_nothing__are_none(void **state)
{
    (void)state;
    struct job *job = job_of("adam", "lr=0.1");
    struct group_change change = set(job, "lr=0.1");
    struct difference list[DIFFERENCES_MAX];
    assert_int_equal(group_differences(&job->group[0], &change.group->group, 100, false, list), 0);
    done(job, &change);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edit__of_hyperparameters__changes_these_and_no_others),
        cmocka_unit_test(edit__of_lr_mult__multiplies_the_present_rate),
        cmocka_unit_test(edit__in_a_later_phase__changes_the_one_that_is_on),
        cmocka_unit_test(edit__of_the_treatment__changes_what_is_there),
        cmocka_unit_test(edit__of_settings_that_cannot_be__says_why),
        cmocka_unit_test(edit__of_a_frozen_group__is_refused),
        cmocka_unit_test(edit__of_the_optimizer__begins_it_there_and_keeps_what_is_to_come),
        cmocka_unit_test(edit__of_the_same_optimizer__begins_it_anew),
        cmocka_unit_test(edit__of_phases__replaces_those_to_come),
        cmocka_unit_test(edit__that_drops_phases__leaves_the_one_that_is_on),
        cmocka_unit_test(edit__of_an_optimizer_that_cannot_be__says_why),
        cmocka_unit_test(edit__of_an_optimizer_for_another_mode__is_refused),
        cmocka_unit_test(edit__of_phases_that_are_over__is_refused),
        cmocka_unit_test(edit__of_the_schedule__replaces_it),
        cmocka_unit_test(edit__of_the_schedules_settings__goes_over_those_that_there_are),
        cmocka_unit_test(edit__of_a_schedule_that_cannot_be__says_why),
        cmocka_unit_test(target__of_the_same_optimizer__takes_its_settings_and_schedule),
        cmocka_unit_test(target__of_another_optimizer__begins_it_there),
        cmocka_unit_test(differences__of_settings__name_each_with_what_it_was),
        cmocka_unit_test(differences__of_an_optimizer_and_phases__say_what_begins),
        cmocka_unit_test(differences__of_nothing__are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
