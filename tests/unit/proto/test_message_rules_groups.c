/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules of what DefineJob says of groups: settings, schedules and their parts, numbers of
 * dimensions, phases, and what all groups start from.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/proto/rules.h"

/* Parts of a message that a case changes; one case at a time. The lists have one more than may be.
 */
static struct stepd_group groups[STEPD_GROUPS_MAX + 1];
static struct stepd_group *const group = groups;
static struct stepd_setting settings[STEPD_SETTINGS_MAX + 1];
static struct stepd_setting *const setting = settings;
static double values[STEPD_VALUES_MAX + 1];
static struct stepd_schedule_part parts[STEPD_SCHEDULE_PARTS_MAX + 1];
static struct stepd_phase phases[STEPD_PHASES_MAX + 1];
static uint32_t ndim[STEPD_DIMS_MAX + 2];

static void groups_most(struct stepd_message *m)
{
    for (size_t i = 0; i <= STEPD_GROUPS_MAX; i++)
        groups[i] = (struct stepd_group){.name = "g"};
    m->body.define_job.group = groups;
    m->body.define_job.groups = STEPD_GROUPS_MAX;
}

static void groups_too_many(struct stepd_message *m)
{
    groups_most(m);
    m->body.define_job.groups++;
}

/* Puts one group with one setting into the message, both fine. */
static void one_group(struct stepd_message *m)
{
    values[0] = 0.5;
    *setting = (struct stepd_setting){.name = "lr", .values = 1, .value = values};
    *group = (struct stepd_group){
        .name = "all", .match = "*", .optimizer = "sgd", .settings = {.count = 1, .at = settings}};
    m->body.define_job.groups = 1;
    m->body.define_job.group = groups;
}

/* ---- Names ----------------------------------------------------------------------------------- */

static void group_name(struct stepd_message *m)
{
    one_group(m);
    group->name = rule_name_too_long;
}

static void group_match(struct stepd_message *m)
{
    one_group(m);
    group->match = "\t";
}

static void group_optimizer(struct stepd_message *m)
{
    one_group(m);
    group->optimizer = "\xC0\x80";
}

static void group_schedule(struct stepd_message *m)
{
    one_group(m);
    group->schedule = rule_name_too_long;
}

/* ---- Settings -------------------------------------------------------------------------------- */

static void setting_nameless(struct stepd_message *m)
{
    one_group(m);
    setting->name = "";
}

static void setting_name_too_long(struct stepd_message *m)
{
    one_group(m);
    setting->name = rule_name_too_long;
}

static void setting_nan(struct stepd_message *m)
{
    one_group(m);
    values[0] = NAN;
}

static void setting_last_infinite(struct stepd_message *m)
{
    one_group(m);
    setting->values = 3;
    values[1] = 1;
    values[2] = INFINITY;
}

static void setting_word(struct stepd_message *m)
{
    one_group(m);
    *setting = (struct stepd_setting){.name = "eps_mode", .word = rule_name_too_long + 1};
}

static void setting_word_and_value(struct stepd_message *m)
{
    one_group(m);
    setting->word = "inside";
}

static void setting_empty(struct stepd_message *m)
{
    one_group(m);
    setting->values = 0;
}

static void setting_word_too_long(struct stepd_message *m)
{
    setting_word(m);
    setting->word = rule_name_too_long;
}

static void setting_word_no_utf8(struct stepd_message *m)
{
    setting_word(m);
    setting->word = "in\xFFside";
}

static void setting_word_escape(struct stepd_message *m)
{
    setting_word(m);
    setting->word = "\x1B[2J";
}

static void values_most(struct stepd_message *m)
{
    one_group(m);
    for (size_t i = 0; i <= STEPD_VALUES_MAX; i++)
        values[i] = (double)i;
    setting->values = STEPD_VALUES_MAX;
}

static void values_too_many(struct stepd_message *m)
{
    values_most(m);
    setting->values++;
}

static void settings_most(struct stepd_message *m)
{
    one_group(m);
    for (size_t i = 1; i <= STEPD_SETTINGS_MAX; i++)
        settings[i] = settings[0];
    group->settings.count = STEPD_SETTINGS_MAX;
}

static void settings_too_many(struct stepd_message *m)
{
    settings_most(m);
    group->settings.count++;
}

/* ---- Schedules ------------------------------------------------------------------------------- */

static void schedule_setting_infinite(struct stepd_message *m)
{
    one_group(m);
    values[0] = -INFINITY;
    group->settings.count = 0;
    group->schedule_settings = (struct stepd_settings){.count = 1, .at = settings};
}

static void schedule_settings_too_many(struct stepd_message *m)
{
    settings_too_many(m);
    group->schedule_settings = group->settings;
    group->settings.count = 0;
}

static void parts_most(struct stepd_message *m)
{
    one_group(m);
    for (size_t i = 0; i <= STEPD_SCHEDULE_PARTS_MAX; i++)
        parts[i] = (struct stepd_schedule_part){.kind = "constant"};
    group->schedule_part = parts;
    group->schedule_parts = STEPD_SCHEDULE_PARTS_MAX;
}

static void parts_too_many(struct stepd_message *m)
{
    parts_most(m);
    group->schedule_parts++;
}

static void part_nameless(struct stepd_message *m)
{
    parts_most(m);
    parts[3].kind = "";
}

static void part_kind_too_long(struct stepd_message *m)
{
    parts_most(m);
    parts[15].kind = rule_name_too_long;
}

static void part_setting_nan(struct stepd_message *m)
{
    parts_most(m);
    parts[15].settings = group->settings;
    group->settings.count = 0;
    values[0] = NAN;
}

static void part_settings_too_many(struct stepd_message *m)
{
    settings_too_many(m);
    const struct stepd_settings many = group->settings;
    group->settings.count = 0;
    parts[0] = (struct stepd_schedule_part){.kind = "linear", .settings = many};
    group->schedule_part = parts;
    group->schedule_parts = 1;
}

/* ---- Dimensions ------------------------------------------------------------------------------ */

/* All the numbers that there are, in no order. */
static void ndim_most(struct stepd_message *m)
{
    one_group(m);
    for (uint32_t i = 0; i <= STEPD_DIMS_MAX; i++)
        ndim[i] = STEPD_DIMS_MAX - i;
    group->ndim = (struct stepd_u32s){.count = STEPD_DIMS_MAX + 1, .at = ndim};
}

static void ndim_twice(struct stepd_message *m)
{
    ndim_most(m);
    ndim[STEPD_DIMS_MAX + 1] = 0;
    group->ndim.count++;
}

static void ndim_too_high(struct stepd_message *m)
{
    ndim_most(m);
    ndim[1] = STEPD_DIMS_MAX + 1;
}

static void ndim_huge(struct stepd_message *m)
{
    ndim_most(m);
    ndim[0] = UINT32_MAX;
}

/* ---- Phases ---------------------------------------------------------------------------------- */

static void phases_most(struct stepd_message *m)
{
    one_group(m);
    for (size_t i = 0; i <= STEPD_PHASES_MAX; i++)
        phases[i] = (struct stepd_phase){.from = i + 1, .optimizer = "sgd"};
    group->phase = phases;
    group->phases = STEPD_PHASES_MAX;
}

static void phases_too_many(struct stepd_message *m)
{
    phases_most(m);
    group->phases++;
}

static void phase_from_the_start(struct stepd_message *m)
{
    phases_most(m);
    phases[0].from = 0;
}

static void phase_twice(struct stepd_message *m)
{
    phases_most(m);
    phases[2].from = phases[1].from;
}

static void phase_back(struct stepd_message *m)
{
    phases_most(m);
    phases[14].from = UINT64_MAX;
}

static void phase_last_moment(struct stepd_message *m)
{
    phases_most(m);
    phases[15].from = UINT64_MAX;
}

static void phase_nameless(struct stepd_message *m)
{
    phases_most(m);
    phases[5].optimizer = "";
}

static void phase_optimizer_too_long(struct stepd_message *m)
{
    phases_most(m);
    phases[0].optimizer = rule_name_too_long;
}

static void phase_setting_nan(struct stepd_message *m)
{
    phases_most(m);
    phases[9].settings = group->settings;
    group->settings.count = 0;
    values[0] = NAN;
}

static void phase_settings_too_many(struct stepd_message *m)
{
    settings_too_many(m);
    const struct stepd_settings many = group->settings;
    group->settings.count = 0;
    phases[0] = (struct stepd_phase){.from = 7, .optimizer = "sgd", .settings = many};
    group->phase = phases;
    group->phases = 1;
}

/* ---- Defaults -------------------------------------------------------------------------------- */

/* Puts defaults into the message that say all that they may. */
static void defaults_full(struct stepd_message *m)
{
    parts_most(m);
    m->body.define_job.defaults = (struct stepd_group){
        .optimizer = "adam",
        .settings = {.count = 1, .at = settings},
        .schedule = "chained",
        .schedule_settings = {.count = 1, .at = settings},
        .schedule_parts = 1,
        .schedule_part = parts,
    };
}

static void defaults_name(struct stepd_message *m)
{
    m->body.define_job.defaults.name = "all";
}

static void defaults_match(struct stepd_message *m)
{
    m->body.define_job.defaults.match = "*";
}

static void defaults_ndim(struct stepd_message *m)
{
    ndim_most(m);
    m->body.define_job.defaults.ndim = group->ndim;
}

static void defaults_frozen(struct stepd_message *m)
{
    m->body.define_job.defaults.frozen = true;
}

static void defaults_phases(struct stepd_message *m)
{
    phases_most(m);
    m->body.define_job.defaults.phases = 1;
    m->body.define_job.defaults.phase = phases;
}

static void defaults_setting_nan(struct stepd_message *m)
{
    defaults_full(m);
    group->settings.count = 0;
    values[0] = NAN;
}

static void defaults_schedule(struct stepd_message *m)
{
    defaults_full(m);
    m->body.define_job.defaults.schedule = "a\nb";
}

/* ---- The table ------------------------------------------------------------------------------- */

static const struct rule rules[] = {
    {STEPD_MESSAGE_DEFINE_JOB, groups_most, NULL},
    {STEPD_MESSAGE_DEFINE_JOB, groups_too_many, "define_job.groups: 257"},
    {STEPD_MESSAGE_DEFINE_JOB, one_group, NULL},
    {STEPD_MESSAGE_DEFINE_JOB, group_name, "define_job.groups[0].name: "},
    {STEPD_MESSAGE_DEFINE_JOB, group_match, "define_job.groups[0].match: "},
    {STEPD_MESSAGE_DEFINE_JOB, group_optimizer, "define_job.groups[0].optimizer: "},
    {STEPD_MESSAGE_DEFINE_JOB, group_schedule, "define_job.groups[0].schedule: "},
    {STEPD_MESSAGE_DEFINE_JOB, setting_nameless, "define_job.groups[0].settings[0].name: empty"},
    {STEPD_MESSAGE_DEFINE_JOB, setting_name_too_long,
     "define_job.groups[0].settings[0].name: 201 bytes"},
    {STEPD_MESSAGE_DEFINE_JOB, setting_nan,
     "define_job.groups[0].settings[0].values[0]: not a fin"},
    {STEPD_MESSAGE_DEFINE_JOB, setting_last_infinite,
     "define_job.groups[0].settings[0].values[2]: not a fin"},
    {STEPD_MESSAGE_DEFINE_JOB, setting_word, NULL},
    {STEPD_MESSAGE_DEFINE_JOB, setting_word_and_value,
     "define_job.groups[0].settings[0].word: a setting is numbers or a word, not both"},
    {STEPD_MESSAGE_DEFINE_JOB, setting_empty,
     "define_job.groups[0].settings[0].values: a setting has a number or a word"},
    {STEPD_MESSAGE_DEFINE_JOB, setting_word_too_long,
     "define_job.groups[0].settings[0].word: 201 bytes"},
    {STEPD_MESSAGE_DEFINE_JOB, setting_word_no_utf8,
     "define_job.groups[0].settings[0].word: not UTF-8"},
    {STEPD_MESSAGE_DEFINE_JOB, setting_word_escape,
     "define_job.groups[0].settings[0].word: not UTF-8, or with"},
    {STEPD_MESSAGE_DEFINE_JOB, values_most, NULL},
    {STEPD_MESSAGE_DEFINE_JOB, values_too_many,
     "define_job.groups[0].settings[0].values: 257 is above the limit of 256"},
    {STEPD_MESSAGE_DEFINE_JOB, settings_most, NULL},
    {STEPD_MESSAGE_DEFINE_JOB, settings_too_many,
     "define_job.groups[0].settings: 65 is above the limit of 64"},
    {STEPD_MESSAGE_DEFINE_JOB, schedule_setting_infinite,
     "define_job.groups[0].schedule_settings[0].values[0]: not a finite"},
    {STEPD_MESSAGE_DEFINE_JOB, schedule_settings_too_many,
     "define_job.groups[0].schedule_settings: 65"},
    {STEPD_MESSAGE_DEFINE_JOB, parts_most, NULL},
    {STEPD_MESSAGE_DEFINE_JOB, parts_too_many,
     "define_job.groups[0].schedule_parts: 17 is above the limit of 16"},
    {STEPD_MESSAGE_DEFINE_JOB, part_nameless, "define_job.groups[0].schedule_parts[3].kind: empty"},
    {STEPD_MESSAGE_DEFINE_JOB, part_kind_too_long,
     "define_job.groups[0].schedule_parts[15].kind: 201"},
    {STEPD_MESSAGE_DEFINE_JOB, part_setting_nan,
     "define_job.groups[0].schedule_parts[15].settings[0].values[0]: not a finite"},
    {STEPD_MESSAGE_DEFINE_JOB, part_settings_too_many,
     "define_job.groups[0].schedule_parts[0].settings: 65"},
    {STEPD_MESSAGE_DEFINE_JOB, ndim_most, NULL},
    {STEPD_MESSAGE_DEFINE_JOB, ndim_twice, "define_job.groups[0].ndim[9]: 0 is given twice"},
    {STEPD_MESSAGE_DEFINE_JOB, ndim_too_high,
     "define_job.groups[0].ndim[1]: 9 is above the limit of 8"},
    {STEPD_MESSAGE_DEFINE_JOB, ndim_huge, "define_job.groups[0].ndim[0]: 4294967295"},
    {STEPD_MESSAGE_DEFINE_JOB, phases_most, NULL},
    {STEPD_MESSAGE_DEFINE_JOB, phases_too_many,
     "define_job.groups[0].phases: 17 is above the limit of 16"},
    {STEPD_MESSAGE_DEFINE_JOB, phase_from_the_start,
     "define_job.groups[0].phases[0].from: 0 is not above 0"},
    {STEPD_MESSAGE_DEFINE_JOB, phase_twice,
     "define_job.groups[0].phases[2].from: 2 is not above 2, where the phase before begins"},
    {STEPD_MESSAGE_DEFINE_JOB, phase_back,
     "define_job.groups[0].phases[15].from: 16 is not above 18446744073709551615"},
    {STEPD_MESSAGE_DEFINE_JOB, phase_last_moment, NULL},
    {STEPD_MESSAGE_DEFINE_JOB, phase_nameless, "define_job.groups[0].phases[5].optimizer: empty"},
    {STEPD_MESSAGE_DEFINE_JOB, phase_optimizer_too_long,
     "define_job.groups[0].phases[0].optimizer: 201"},
    {STEPD_MESSAGE_DEFINE_JOB, phase_setting_nan,
     "define_job.groups[0].phases[9].settings[0].values[0]: not a finite"},
    {STEPD_MESSAGE_DEFINE_JOB, phase_settings_too_many,
     "define_job.groups[0].phases[0].settings: 65"},
    {STEPD_MESSAGE_DEFINE_JOB, defaults_full, NULL},
    {STEPD_MESSAGE_DEFINE_JOB, defaults_name, "define_job.defaults.name: it belongs to a group"},
    {STEPD_MESSAGE_DEFINE_JOB, defaults_match, "define_job.defaults.match: it belongs to a group"},
    {STEPD_MESSAGE_DEFINE_JOB, defaults_ndim, "define_job.defaults.ndim: it belongs to a group"},
    {STEPD_MESSAGE_DEFINE_JOB, defaults_frozen,
     "define_job.defaults.frozen: it belongs to a group"},
    {STEPD_MESSAGE_DEFINE_JOB, defaults_phases,
     "define_job.defaults.phases: it belongs to a group"},
    {STEPD_MESSAGE_DEFINE_JOB, defaults_setting_nan,
     "define_job.defaults.settings[0].values[0]: not a finite"},
    {STEPD_MESSAGE_DEFINE_JOB, defaults_schedule, "define_job.defaults.schedule: not UTF-8"},
};

static void groups__that_break_a_rule__are_refused_by_name(void **state)
{
    (void)state;
    check_rules(rules, sizeof rules / sizeof rules[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups__that_break_a_rule__are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
