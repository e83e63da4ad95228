/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules of training, of reports and questions, and of errors.
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/proto/rules.h"

/* Parts of a message that a case changes; one case at a time. */
static uint64_t shape[STEPD_DIMS_MAX + 1];
static struct stepd_job_status job;
static struct stepd_member_status member;
static struct stepd_tensor_group tensor_group;
static uint32_t numbers[3];

/* ---- Names ----------------------------------------------------------------------------------- */

static void status_job_delete(struct stepd_message *m)
{
    m->body.get_status.job = "\x7F";
}

static void groups_job_escape(struct stepd_message *m)
{
    m->body.get_groups.job = "\x1B[0m";
}

static void error_text_longest(struct stepd_message *m)
{
    m->body.error.text = rule_text_too_long + 1;
}

static void error_text_too_long(struct stepd_message *m)
{
    m->body.error.text = rule_text_too_long;
}

static void error_text_line(struct stepd_message *m)
{
    m->body.error.text = "two\nlines";
}

/* ---- Training -------------------------------------------------------------------------------- */

static void assign_no_slices(struct stepd_message *m)
{
    m->body.assign.slices.count = 0;
}

static void assign_dtype(struct stepd_message *m)
{
    m->body.assign.dtype = (enum stepd_dtype)3;
}

static void push_no_slices(struct stepd_message *m)
{
    m->body.push.slices.count = 0;
    m->body.push.base_versions.count = 1;
}

static void push_one_base(struct stepd_message *m)
{
    m->body.push.base_versions.count = 1;
}

static void push_two_bases(struct stepd_message *m)
{
    m->body.push.base_versions.count = 2;
}

static void push_no_base(struct stepd_message *m)
{
    m->body.push.base_versions.count = 0;
}

static void push_no_examples(struct stepd_message *m)
{
    m->body.push.examples = 0;
}

static void push_most_examples(struct stepd_message *m)
{
    m->body.push.examples = STEPD_EXAMPLES_MAX;
}

static void push_too_many_examples(struct stepd_message *m)
{
    m->body.push.examples = STEPD_EXAMPLES_MAX + UINT64_C(1);
}

static void push_dtype(struct stepd_message *m)
{
    m->body.push.dtype = (enum stepd_dtype)3;
}

static void push_no_loss(struct stepd_message *m)
{
    m->body.push.has_loss = false;
}

static void push_loss_nan(struct stepd_message *m)
{
    m->body.push.loss = NAN;
}

static void push_loss_infinite(struct stepd_message *m)
{
    m->body.push.loss = -INFINITY;
}

static void push_smallest_scale(struct stepd_message *m)
{
    m->body.push.loss_scale = 0x1p-126;
}

static void push_scale_too_small(struct stepd_message *m)
{
    m->body.push.loss_scale = 0x1p-127;
}

static void push_largest_scale(struct stepd_message *m)
{
    m->body.push.loss_scale = FLT_MAX;
}

static void push_scale_too_large(struct stepd_message *m)
{
    m->body.push.loss_scale = 0x1p128;
}

static void push_scale_negative(struct stepd_message *m)
{
    m->body.push.loss_scale = -1;
}

static void push_scale_nan(struct stepd_message *m)
{
    m->body.push.loss_scale = NAN;
}

static void push_scale_infinite(struct stepd_message *m)
{
    m->body.push.loss_scale = INFINITY;
}

static void pull_view(struct stepd_message *m)
{
    m->body.pull.view = (enum stepd_view)STEPD_VIEWS;
}

static void pull_view_negative(struct stepd_message *m)
{
    m->body.pull.view = (enum stepd_view) - 1;
}

static void step_pull_view(struct stepd_message *m)
{
    m->body.step.pull_view = (enum stepd_view)STEPD_VIEWS;
}

static void step_loss_nan(struct stepd_message *m)
{
    m->body.step.push.loss = NAN;
}

static void step_scale_negative(struct stepd_message *m)
{
    m->body.step.push.loss_scale = -0x1p-1074;
}

static void pull_no_slices(struct stepd_message *m)
{
    m->body.pull.slices.count = 0;
}

static void pull_dtype(struct stepd_message *m)
{
    m->body.pull.dtype = (enum stepd_dtype)100;
}

static void step_no_slices(struct stepd_message *m)
{
    m->body.step.push.slices.count = 0;
    m->body.step.push.base_versions.count = 1;
}

static void step_pull_dtype(struct stepd_message *m)
{
    m->body.step.pull_dtype = (enum stepd_dtype)3;
}

static void result_outcome(struct stepd_message *m)
{
    numbers[0] = STEPD_APPLIED;
    numbers[1] = STEPD_ACCUMULATED + 1;
    m->body.result.slices.count = 2;
    m->body.result.versions.count = 2;
    m->body.result.places.count = 2;
    m->body.result.outcomes = (struct stepd_u32s){.count = 2, .at = numbers};
}

static void result_outcomes_short(struct stepd_message *m)
{
    m->body.result.outcomes.count--;
}

static void result_versions_short(struct stepd_message *m)
{
    m->body.result.versions.count--;
}

static void result_places_short(struct stepd_message *m)
{
    m->body.result.places.count--;
}

static void result_no_places(struct stepd_message *m)
{
    m->body.result.places.count = 0;
}

static void result_empty(struct stepd_message *m)
{
    m->body.result = (struct stepd_result){.last = true};
}

static void result_dtype(struct stepd_message *m)
{
    m->body.result.dtype = (enum stepd_dtype)3;
}

/* ---- Reporting and asking -------------------------------------------------------------------- */

static void report_nan(struct stepd_message *m)
{
    m->body.report.loss = NAN;
}

static void report_examples(struct stepd_message *m)
{
    m->body.report.examples = UINT64_MAX;
}

/* Puts one job with one member into the message, both fine. */
static void one_job(struct stepd_message *m)
{
    member = (struct stepd_member_status){.worker = "w"};
    job = (struct stepd_job_status){.name = "j", .members = 1, .member = &member};
    m->body.status.jobs = 1;
    m->body.status.job = &job;
}

static void status_version(struct stepd_message *m)
{
    m->body.status.server_version = rule_name_too_long;
}

static void job_state(struct stepd_message *m)
{
    one_job(m);
    job.state = (enum stepd_job_state)5;
}

static void job_failure(struct stepd_message *m)
{
    one_job(m);
    job.failure = "\x01";
}

static void job_name(struct stepd_message *m)
{
    one_job(m);
    job.name = "\x01";
}

static void member_state(struct stepd_message *m)
{
    one_job(m);
    member.state = (enum stepd_member_state)5;
}

static void barrier_name(struct stepd_message *m)
{
    m->body.barrier.name = rule_name_too_long;
}

static void member_worker(struct stepd_message *m)
{
    one_job(m);
    member.worker = rule_name_too_long;
}

static void groups_shape(struct stepd_message *m)
{
    tensor_group = (struct stepd_tensor_group){.dims = STEPD_DIMS_MAX + 1, .shape = shape};
    m->body.groups.tensors = 1;
    m->body.groups.tensor = &tensor_group;
}

static void groups_optimizer(struct stepd_message *m)
{
    tensor_group = (struct stepd_tensor_group){.optimizer = "\xED\xA0\x80"};
    m->body.groups.tensors = 1;
    m->body.groups.tensor = &tensor_group;
}

/* ---- The table ------------------------------------------------------------------------------- */

static const struct rule rules[] = {
    {STEPD_MESSAGE_ASSIGN, assign_no_slices, "assign.slices: empty"},
    {STEPD_MESSAGE_ASSIGN, assign_dtype, "assign.dtype: 3 is no DType"},
    {STEPD_MESSAGE_PUSH, push_no_slices, "push.slices: empty"},
    {STEPD_MESSAGE_PUSH, push_one_base, NULL},
    {STEPD_MESSAGE_PUSH, push_two_bases, "push.base_versions: 2 elements, but 3"},
    {STEPD_MESSAGE_PUSH, push_no_base, "push.base_versions: 0 elements, but 3"},
    {STEPD_MESSAGE_PUSH, push_no_examples, NULL},
    {STEPD_MESSAGE_PUSH, push_most_examples, NULL},
    {STEPD_MESSAGE_PUSH, push_too_many_examples, "push.examples: 1073741825"},
    {STEPD_MESSAGE_PUSH, push_dtype, "push.dtype: 3 is no DType"},
    {STEPD_MESSAGE_PUSH, push_no_loss, NULL},
    {STEPD_MESSAGE_PUSH, push_loss_nan, "push.loss.mean: not a finite"},
    {STEPD_MESSAGE_PUSH, push_loss_infinite, "push.loss.mean: not a finite"},
    {STEPD_MESSAGE_PUSH, push_smallest_scale, NULL},
    {STEPD_MESSAGE_PUSH, push_scale_too_small, "push.loss_scale: 5.87747e-39 is beyond the range"},
    {STEPD_MESSAGE_PUSH, push_largest_scale, NULL},
    {STEPD_MESSAGE_PUSH, push_scale_too_large, "push.loss_scale: 3.40282e+38 is beyond the range"},
    {STEPD_MESSAGE_PUSH, push_scale_negative, "push.loss_scale: -1 is not above 0"},
    {STEPD_MESSAGE_PUSH, push_scale_nan, "push.loss_scale: not a finite"},
    {STEPD_MESSAGE_PUSH, push_scale_infinite, "push.loss_scale: not a finite"},
    {STEPD_MESSAGE_PULL, pull_view, "pull.view: 4 is no View"},
    {STEPD_MESSAGE_PULL, pull_view_negative, "pull.view: -1 is no View"},
    {STEPD_MESSAGE_PULL, pull_no_slices, "pull.slices: empty"},
    {STEPD_MESSAGE_PULL, pull_dtype, "pull.dtype: 100 is no DType"},
    {STEPD_MESSAGE_STEP, step_no_slices, "step.push.slices: empty"},
    {STEPD_MESSAGE_STEP, step_pull_dtype, "step.pull_dtype: 3 is no DType"},
    {STEPD_MESSAGE_STEP, step_pull_view, "step.pull_view: 4 is no View"},
    {STEPD_MESSAGE_STEP, step_loss_nan, "step.push.loss.mean: not a finite"},
    {STEPD_MESSAGE_STEP, step_scale_negative, "step.push.loss_scale: -4.94066e-324 is not above 0"},
    {STEPD_MESSAGE_RESULT, result_outcome, "result.outcomes[1]: 8 is no Outcome"},
    {STEPD_MESSAGE_RESULT, result_outcomes_short, "result.outcomes: 7 elements, but 8"},
    {STEPD_MESSAGE_RESULT, result_versions_short, "result.versions: 7 elements, but 8"},
    {STEPD_MESSAGE_RESULT, result_places_short, "result.places: 7 elements, but 8"},
    {STEPD_MESSAGE_RESULT, result_no_places, NULL},
    {STEPD_MESSAGE_RESULT, result_empty, NULL},
    {STEPD_MESSAGE_RESULT, result_dtype, "result.dtype: 3 is no DType"},
    {STEPD_MESSAGE_REPORT, report_nan, NULL},
    {STEPD_MESSAGE_REPORT, report_examples, "report.examples: 18446744073709551615"},
    {STEPD_MESSAGE_GET_STATUS, status_job_delete, "get_status.job: "},
    {STEPD_MESSAGE_STATUS, one_job, NULL},
    {STEPD_MESSAGE_STATUS, status_version, "status.server_version: 201"},
    {STEPD_MESSAGE_STATUS, job_state, "status.jobs[0].state: 5 is no State"},
    {STEPD_MESSAGE_STATUS, job_name, "status.jobs[0].name: "},
    {STEPD_MESSAGE_STATUS, job_failure, "status.jobs[0].failure: "},
    {STEPD_MESSAGE_STATUS, member_state, "status.jobs[0].members[0].state: 5 is no State"},
    {STEPD_MESSAGE_BARRIER, barrier_name, "barrier.name: 201"},
    {STEPD_MESSAGE_STATUS, member_worker, "status.jobs[0].members[0].worker: 201"},
    {STEPD_MESSAGE_GET_GROUPS, groups_job_escape, "get_groups.job: "},
    {STEPD_MESSAGE_GROUPS, groups_shape, "groups.tensors[0].shape: 9"},
    {STEPD_MESSAGE_GROUPS, groups_optimizer, "groups.tensors[0].optimizer: not UTF-8"},
    {STEPD_MESSAGE_ERROR, error_text_longest, NULL},
    {STEPD_MESSAGE_ERROR, error_text_too_long, "error.text: 1025 bytes"},
    {STEPD_MESSAGE_ERROR, error_text_line, "error.text: "},
};

static void training__that_breaks_a_rule__is_refused_by_name(void **state)
{
    (void)state;
    check_rules(rules, sizeof rules / sizeof rules[0]);
}

static void error_code__unknown_or_ok__becomes_unknown(void **state)
{
    (void)state;
    static const uint8_t codes[] = {0, 18, 127};
    for (size_t i = 0; i < sizeof codes; i++) {
        const uint8_t header[] = {0xBA, 0x01, 0x02, 0x08, codes[i]};
        struct stepd_arena arena;
        stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
        struct stepd_message m;
        assert_int_equal(stepd_message_decode(header, sizeof header, &arena, &m, NULL), STEPD_OK);
        assert_int_equal(m.kind, STEPD_MESSAGE_ERROR);
        assert_int_equal(m.body.error.code, STEPD_UNKNOWN);
        stepd_arena_deinit(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training__that_breaks_a_rule__is_refused_by_name),
        cmocka_unit_test(error_code__unknown_or_ok__becomes_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
