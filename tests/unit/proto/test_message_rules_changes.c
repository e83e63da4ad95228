/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules of what ChangeJob, GetChanges, Changes, Checkpoint and CheckpointWritten may say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/proto/rules.h"

static const uint32_t two = 2;
static struct stepd_phase phases[2];
static struct stepd_difference difference;
static struct stepd_change_record record;

static void change_job_name(struct stepd_message *m)
{
    m->body.change_job.job = rule_name_too_long;
}

static void change_group_name(struct stepd_message *m)
{
    m->body.change_job.group.name = rule_name_too_long;
}

static void change_of_all(struct stepd_message *m)
{
    m->body.change_job.group.name = "";
}

static void change_match(struct stepd_message *m)
{
    m->body.change_job.group.match = "*";
}

static void change_ndim(struct stepd_message *m)
{
    m->body.change_job.group.ndim = (struct stepd_u32s){.count = 1, .at = &two};
}

static void change_frozen(struct stepd_message *m)
{
    m->body.change_job.group.frozen = true;
}

static void change_phases_back(struct stepd_message *m)
{
    phases[0] = (struct stepd_phase){.from = 9, .optimizer = "sgd"};
    phases[1] = (struct stepd_phase){.from = 9, .optimizer = "sgd"};
    m->body.change_job.group.phases = 2;
    m->body.change_job.group.phase = phases;
}

static void changes_name(struct stepd_message *m)
{
    m->body.get_changes.job = rule_name_too_long;
}

static void changes_by(struct stepd_message *m)
{
    record = (struct stepd_change_record){.group = "g", .by = rule_name_too_long};
    m->body.changes.records = 1;
    m->body.changes.record = &record;
}

static void changes_difference(struct stepd_message *m)
{
    difference = (struct stepd_difference){.name = "lr", .from = "1", .to = "a\nb"};
    record = (struct stepd_change_record){
        .group = "g", .by = "me", .differences = 1, .difference = &difference};
    m->body.changes.records = 1;
    m->body.changes.record = &record;
}

static void checkpoint_name(struct stepd_message *m)
{
    m->body.checkpoint.job = rule_name_too_long;
}

static void written_name_long(struct stepd_message *m)
{
    m->body.checkpoint_written.name = "step-000000000000000000000000012";
}

static void written_name_broken(struct stepd_message *m)
{
    m->body.checkpoint_written.name = "step-1\n";
}

static const struct rule rules[] = {
    {STEPD_MESSAGE_CHANGE_JOB, change_job_name, "change_job.job: 201 bytes"},
    {STEPD_MESSAGE_CHANGE_JOB, change_group_name, "change_job.group.name: 201 bytes"},
    {STEPD_MESSAGE_CHANGE_JOB, change_of_all, NULL},
    {STEPD_MESSAGE_CHANGE_JOB, change_match,
     "change_job.group.match: it is for good, and cannot be changed"},
    {STEPD_MESSAGE_CHANGE_JOB, change_ndim,
     "change_job.group.ndim: it is for good, and cannot be changed"},
    {STEPD_MESSAGE_CHANGE_JOB, change_frozen,
     "change_job.group.frozen: it is for good, and cannot be changed"},
    {STEPD_MESSAGE_CHANGE_JOB, change_phases_back,
     "change_job.group.phases[1].from: 9 is not above 9"},
    {STEPD_MESSAGE_GET_CHANGES, changes_name, "get_changes.job: 201 bytes"},
    {STEPD_MESSAGE_CHANGES, changes_by, "changes.records[0].by: 201 bytes"},
    {STEPD_MESSAGE_CHANGES, changes_difference, "changes.records[0].differences[0].to: "},
    {STEPD_MESSAGE_CHECKPOINT, checkpoint_name, "checkpoint.job: 201 bytes"},
    {STEPD_MESSAGE_CHECKPOINT_WRITTEN, written_name_long, "checkpoint_written.name: 32 bytes"},
    {STEPD_MESSAGE_CHECKPOINT_WRITTEN, written_name_broken, "checkpoint_written.name: "},
};

static void changes__that_break_a_rule__are_refused_by_name(void **state)
{
    (void)state;
    check_rules(rules, sizeof rules / sizeof rules[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes__that_break_a_rule__are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
