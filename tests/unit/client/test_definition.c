/* SPDX-License-Identifier: Apache-2.0
 *
 * Definitions: what becomes of the public structs, and pages that fit into a header.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/lib/core/definition.h"
#include "tests/unit/client/rig.h"

static struct stepd_arena arena;
static struct stepd_error error;

static int setup(void **state)
{
    (void)state;
    stepd_arena_init(&arena, STEPD_DEFINITION_MAX_BYTES);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    stepd_arena_deinit(&arena);
    return 0;
}

static void change__of_a_group__keeps_every_field(void **state)
{
    static const struct stepd_param lr = {.name = "lr", .value = 0.5};
    static const struct stepd_param_phase phase = {.from = 9, .optimizer = "sgd"};
    struct stepd_change_options options = STEPD_CHANGE_OPTIONS_INIT;
    struct stepd_change_job change;
    (void)state;
    options.group.params = &lr;
    options.group.params_count = 1;
    assert_int_equal(stepd_definition_of_change(&options, &arena, &change, &error), STEPD_OK);
    assert_string_equal(change.job, "");
    assert_string_equal(change.group.name, "");
    assert_string_equal(change.group.optimizer, "");
    assert_int_equal(change.group.settings.count, 1);
    options.job = "j";
    options.group.name = "g";
    options.group.optimizer = "adam";
    options.group.schedule = "cosine";
    options.group.phases = &phase;
    options.group.phases_count = 1;
    options.at = 70;
    options.drop_phases = true;
    options.dry_run = true;
    options.deadline_ms = 9;
    assert_int_equal(stepd_definition_of_change(&options, &arena, &change, &error), STEPD_OK);
    assert_string_equal(change.job, "j");
    assert_string_equal(change.group.name, "g");
    assert_string_equal(change.group.optimizer, "adam");
    assert_string_equal(change.group.schedule, "cosine");
    assert_int_equal(change.group.phase[0].from, 9);
    assert_int_equal(change.at, 70);
    assert_true(change.drop_phases && change.dry_run);
    assert_int_equal(change.deadline_ms, 9);
}

static void job__with_groups__keeps_every_field(void **state)
{
    static const struct stepd_param params[] = {{.name = "lr", .value = 0.5},
                                                {.name = "weight_decay", .value = 0.1}};
    static const struct stepd_param schedule[] = {{.name = "t_max", .value = 100}};
    const struct stepd_param_group groups[] = {
        {.match = "*.bias", .optimizer = "sgd"},
        {.name = "rest",
         .match = "*",
         .optimizer = "adamw",
         .params = params,
         .params_count = 2,
         .schedule = "cosine",
         .schedule_params = schedule,
         .schedule_params_count = 1},
    };
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    struct stepd_define_job define;
    (void)state;
    job.mode = STEPD_ASYNC;
    job.workers = 4;
    job.groups = groups;
    job.groups_count = 2;
    job.strict = true;
    assert_int_equal(stepd_definition_of_job(&job, &arena, &define, &error), STEPD_OK);
    assert_int_equal(define.mode, STEPD_ASYNC);
    assert_int_equal(define.workers, 4);
    assert_true(define.strict);
    assert_int_equal(define.groups, 2);
    assert_string_equal(define.group[0].name, "*.bias");
    assert_string_equal(define.group[0].schedule, "");
    assert_int_equal(define.group[0].settings.count, 0);
    assert_string_equal(define.group[1].name, "rest");
    assert_string_equal(define.group[1].settings.at[1].name, "weight_decay");
    assert_true(define.group[1].settings.at[1].value[0] == 0.1);
    assert_string_equal(define.group[1].schedule, "cosine");
    assert_true(define.group[1].schedule_settings.at[0].value[0] == 100);
    assert_string_equal(define.group[1].settings.at[1].word, "");
    assert_string_equal(define.defaults.optimizer, "");
    assert_false(define.group[1].frozen);
}

static void job__words_and_lists__are_settings_of_their_kind(void **state)
{
    static const double betas[] = {0.9, 0.99};
    static const struct stepd_param params[] = {
        {.name = "eps_mode", .word = "inside"},
        {.name = "betas", .list = betas, .count = 2},
    };
    const struct stepd_param_group group = {
        .match = "*", .optimizer = "adam", .params = params, .params_count = 2};
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    struct stepd_define_job define;
    (void)state;
    job.groups = &group;
    job.groups_count = 1;
    assert_int_equal(stepd_definition_of_job(&job, &arena, &define, &error), STEPD_OK);
    const struct stepd_setting *const setting = define.group[0].settings.at;
    assert_string_equal(setting[0].word, "inside");
    assert_int_equal(setting[0].values, 0);
    assert_string_equal(setting[1].word, "");
    assert_int_equal(setting[1].values, 2);
    assert_true(setting[1].value[1] == 0.99);
}

static void job__phases_items_and_ndim__are_kept(void **state)
{
    static const struct stepd_param momentum = {.name = "momentum", .value = 0.9};
    static const struct stepd_param factor = {.name = "factor", .value = 0.5};
    static const struct stepd_schedule_item items[] = {
        {.kind = "linear", .params = &factor, .params_count = 1}, {.kind = "cosine"}};
    static const struct stepd_param_phase phases[] = {
        {.from = 1000, .optimizer = "momentum", .params = &momentum, .params_count = 1}};
    static const uint32_t ndim[] = {2, 4};
    const struct stepd_param_group groups[] = {
        {.match = "*",
         .optimizer = "adam",
         .schedule = "sequential",
         .schedule_items = items,
         .schedule_items_count = 2,
         .ndim = ndim,
         .ndim_count = 2,
         .phases = phases,
         .phases_count = 1},
        {.match = "base.*", .frozen = true},
    };
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    struct stepd_define_job define;
    (void)state;
    job.groups = groups;
    job.groups_count = 2;
    assert_int_equal(stepd_definition_of_job(&job, &arena, &define, &error), STEPD_OK);
    const struct stepd_group *const group = define.group;
    assert_int_equal(group[0].schedule_parts, 2);
    assert_string_equal(group[0].schedule_part[0].kind, "linear");
    assert_true(group[0].schedule_part[0].settings.at[0].value[0] == 0.5);
    assert_int_equal(group[0].schedule_part[1].settings.count, 0);
    assert_int_equal(group[0].ndim.count, 2);
    assert_int_equal(group[0].ndim.at[1], 4);
    assert_int_equal(group[0].phases, 1);
    assert_int_equal(group[0].phase[0].from, 1000);
    assert_string_equal(group[0].phase[0].optimizer, "momentum");
    assert_string_equal(group[0].phase[0].settings.at[0].name, "momentum");
    assert_true(group[1].frozen);
    assert_string_equal(group[1].optimizer, "");
}

static void job__defaults_with_an_optimizer__groups_need_none(void **state)
{
    static const struct stepd_param lr = {.name = "lr", .value = 0.5};
    const struct stepd_param_group defaults = {
        .optimizer = "sgd", .params = &lr, .params_count = 1};
    const struct stepd_param_group group = {.match = "*"};
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    struct stepd_define_job define;
    (void)state;
    job.groups = &group;
    job.groups_count = 1;
    job.defaults = &defaults;
    assert_int_equal(stepd_definition_of_job(&job, &arena, &define, &error), STEPD_OK);
    assert_string_equal(define.group[0].optimizer, "");
    assert_string_equal(define.defaults.optimizer, "sgd");
    assert_string_equal(define.defaults.name, "");
    assert_true(define.defaults.settings.at[0].value[0] == 0.5);
}

/* What is wrong with a group, and what the text says of it. */
static void assert_refused(const struct stepd_param_group *group,
                           const struct stepd_param_group *defaults, const char *text)
{
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    struct stepd_define_job define;
    job.groups = group;
    job.groups_count = 1;
    job.defaults = defaults;
    assert_int_equal(stepd_definition_of_job(&job, &arena, &define, &error),
                     STEPD_INVALID_ARGUMENT);
    if (strstr(error.text, text) == NULL)
        fail_msg("'%s' is not in: %s", text, error.text);
}

static void job__group_that_lacks_something__is_refused_with_its_place(void **state)
{
    static const double one[] = {1};
    static const struct stepd_param both = {.name = "p", .word = "w", .list = one, .count = 1};
    static const struct stepd_param empty = {.name = "p", .list = one};
    static const struct stepd_schedule_item no_kind = {.kind = NULL};
    static const struct stepd_param_phase no_optimizer = {.from = 5};
    static const struct stepd_param nameless = {.value = 1};
    static const struct stepd_schedule_item null_params = {.kind = "step", .params_count = 1};
    static const struct stepd_schedule_item bad_items[] = {
        {.kind = "constant"}, {.kind = "step", .params = &nameless, .params_count = 1}};
    static const struct stepd_param_phase bad_phase = {
        .from = 5, .optimizer = "adam", .params = &both, .params_count = 1};
    static const struct stepd_param_phase null_phase = {
        .from = 5, .optimizer = "adam", .params_count = 1};
    static const struct stepd_param_group matching = {.match = "*"};
    static const struct stepd_param_group named = {.name = "all"};
    static const struct stepd_param_group frozen = {.frozen = true};
    static const struct stepd_param_group with_ndim = {.ndim_count = 1};
    static const struct stepd_param_group with_phases = {.phases_count = 1};
    static const struct stepd_param_group bad_defaults = {.params = &both, .params_count = 1};

    static const struct {
        struct stepd_param_group group;
        const struct stepd_param_group *defaults;
        const char *text;
    } cases[] = {
        {{.match = "*", .optimizer = "sgd", .params = &both, .params_count = 1},
         NULL,
         "group 0: parameter 'p' has a word and a list"},
        {{.match = "*", .optimizer = "sgd", .params = &empty, .params_count = 1},
         NULL,
         "group 0: parameter 'p': its list is empty"},
        {{.match = "*", .optimizer = "sgd", .schedule_items = &no_kind, .schedule_items_count = 1},
         NULL,
         "group 0: schedule item 0 has no kind"},
        {{.match = "*", .optimizer = "sgd", .phases = &no_optimizer, .phases_count = 1},
         NULL,
         "group 0: phase 0 has no optimizer"},
        {{.match = "*", .optimizer = "sgd", .ndim_count = 1}, NULL, "group 0: its ndim is NULL"},
        {{.match = "*", .optimizer = "sgd", .phases_count = 1}, NULL, "group 0: its phases are"},
        {{.match = "*", .optimizer = "sgd", .schedule_items_count = 1},
         NULL,
         "group 0: its schedule_items are NULL"},
        {{.match = "*", .optimizer = "sgd", .params_count = 1},
         NULL,
         "group 0: its parameters are"},
        {{.match = "*", .optimizer = "sgd", .params = &nameless, .params_count = 1},
         NULL,
         "group 0: parameter 0 has no name"},
        {{.match = "*", .optimizer = "sgd", .schedule_params_count = 1},
         NULL,
         "group 0: its parameters are NULL"},
        {{.match = "*",
          .optimizer = "sgd",
          .schedule_items = &null_params,
          .schedule_items_count = 1},
         NULL,
         "group 0: schedule item 0: its parameters are NULL"},
        {{.match = "*", .optimizer = "sgd", .schedule_items = bad_items, .schedule_items_count = 2},
         NULL,
         "group 0: schedule item 1: parameter 0 has no name"},
        {{.match = "*", .optimizer = "sgd", .phases = &bad_phase, .phases_count = 1},
         NULL,
         "group 0: phase 0: parameter 'p' has a word and a list"},
        {{.match = "*", .optimizer = "sgd", .phases = &null_phase, .phases_count = 1},
         NULL,
         "group 0: phase 0: its parameters are NULL"},
        {{.optimizer = "sgd"}, NULL, "group 0: match is NULL"},
        {{.match = "*"}, &bad_defaults, "group 0: optimizer is NULL, and the job's defaults"},
        {{.match = "*", .optimizer = "sgd"}, &matching, "defaults: name, match, ndim, frozen and"},
        {{.match = "*", .optimizer = "sgd"}, &named, "defaults: name, match, ndim, frozen and"},
        {{.match = "*", .optimizer = "sgd"}, &frozen, "defaults: name, match, ndim, frozen and"},
        {{.match = "*", .optimizer = "sgd"}, &with_ndim, "defaults: name, match, ndim, frozen and"},
        {{.match = "*", .optimizer = "sgd"},
         &with_phases,
         "defaults: name, match, ndim, frozen and"},
        {{.match = "*", .optimizer = "sgd"}, &bad_defaults, "defaults: parameter 'p' has a word"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_refused(&cases[i].group, cases[i].defaults, cases[i].text);
}

static void job__group_without_optimizer__is_refused_by_index(void **state)
{
    const struct stepd_param_group groups[] = {{.match = "*", .optimizer = "sgd"}, {.match = "*"}};
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    struct stepd_define_job define;
    (void)state;
    job.groups = groups;
    job.groups_count = 2;
    assert_int_equal(stepd_definition_of_job(&job, &arena, &define, &error),
                     STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "group 1"));
}

static void job__list_of_groups_that_cannot_be__is_refused(void **state)
{
    const struct stepd_param_group group = {.match = "*", .optimizer = "sgd"};
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    struct stepd_define_job define;
    (void)state;
    job.groups_count = 1;
    assert_int_equal(stepd_definition_of_job(&job, &arena, &define, &error),
                     STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "the job's groups are NULL"));
    job.groups = &group;
    job.groups_count = STEPD_GROUPS_MAX + 1;
    assert_int_equal(stepd_definition_of_job(&job, &arena, &define, &error),
                     STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "257 groups"));
}

static void tensors__values_missing__only_rank_0_is_refused(void **state)
{
    const struct stepd_tensor tensor = {.name = "w", .init = STEPD_TENSOR_VALUES};
    (void)state;
    assert_int_equal(stepd_definition_check(&tensor, 1, false, &error), STEPD_OK);
    assert_int_equal(stepd_definition_check(&tensor, 1, true, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "'w'"));
}

static void tensors__empty_list__is_refused(void **state)
{
    (void)state;
    assert_int_equal(stepd_definition_check(NULL, 0, false, &error), STEPD_INVALID_ARGUMENT);
}

/* 5000 tensors with the longest names, largest shapes and longest inits. */
static void pages__of_the_largest_tensors__fit_into_headers_and_cover_the_list(void **state)
{
    enum { COUNT = 5000 };

    static char names[COUNT][STEPD_NAME_MAX_BYTES + 1];
    static struct stepd_tensor tensors[COUNT];
    static uint64_t shape[STEPD_DIMS_MAX];
    size_t covered = 0, pages = 0;
    bool last = false;
    (void)state;
    memset(shape, 0xFF, sizeof shape);
    for (size_t i = 0; i < COUNT; i++) {
        memset(names[i], 'n', STEPD_NAME_MAX_BYTES);
        tensors[i] = (struct stepd_tensor){
            .name = names[i],
            .shape = shape,
            .dims = STEPD_DIMS_MAX,
            .init = STEPD_TENSOR_NORMAL,
            .a = 1,
            .b = 2,
            .seed = UINT64_MAX,
        };
    }
    while (covered < COUNT) {
        struct stepd_message message = {.request_id = UINT64_MAX,
                                        .kind = STEPD_MESSAGE_DEFINE_TENSORS};
        struct stepd_arena scratch;
        uint8_t *head;
        size_t bytes;
        struct stepd_define_tensors *const page = &message.body.define_tensors;
        assert_false(last);
        stepd_arena_reset(&arena);
        assert_int_equal(stepd_definition_page(tensors, COUNT, covered, &arena, page, &error),
                         STEPD_OK);
        assert_int_equal(page->first, covered);
        stepd_arena_init(&scratch, STEPD_ARENA_MESSAGE_MAX_BYTES);
        assert_int_equal(stepd_message_encode(&message, 0, &scratch, &head, &bytes, &error),
                         STEPD_OK);
        stepd_arena_deinit(&scratch);
        free(head);
        covered += page->tensors;
        last = page->last;
        pages++;
    }
    assert_true(last);
    assert_int_equal(covered, COUNT);
    assert_true(pages < COUNT / 100);
}

static void match__layout_of_other_tensors__names_the_difference(void **state)
{
    static const uint64_t big[] = {2, 3}, other[] = {3, 2}, two[] = {2};
    struct stepd_tensor tensors[] = {
        {.name = "big", .shape = big, .dims = 2},
        {.name = "a", .shape = two, .dims = 1},
        {.name = "b"},
    };
    struct stepd_layout_table table;
    (void)state;
    stepd_layout_init(&table);
    assert_int_equal(stepd_layout_add(&table, rig_page(), &error), STEPD_OK);
    assert_int_equal(stepd_layout_seal(&table, RIG_SHARDS, &error), STEPD_OK);
    assert_int_equal(stepd_definition_match(&table, tensors, 3, &error), STEPD_OK);
    assert_int_equal(stepd_definition_match(&table, tensors, 2, &error), STEPD_INTERNAL);
    tensors[0].shape = other;
    assert_int_equal(stepd_definition_match(&table, tensors, 3, &error), STEPD_INTERNAL);
    assert_non_null(strstr(error.text, "'big'"));
    tensors[0].name = "bug";
    assert_int_equal(stepd_definition_match(&table, tensors, 3, &error), STEPD_INTERNAL);
    assert_non_null(strstr(error.text, "'bug'"));
    stepd_layout_deinit(&table);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(change__of_a_group__keeps_every_field),
        TEST(job__with_groups__keeps_every_field),
        TEST(job__words_and_lists__are_settings_of_their_kind),
        TEST(job__phases_items_and_ndim__are_kept),
        TEST(job__defaults_with_an_optimizer__groups_need_none),
        TEST(job__group_that_lacks_something__is_refused_with_its_place),
        TEST(job__group_without_optimizer__is_refused_by_index),
        TEST(job__list_of_groups_that_cannot_be__is_refused),
        TEST(tensors__values_missing__only_rank_0_is_refused),
        TEST(tensors__empty_list__is_refused),
        TEST(pages__of_the_largest_tensors__fit_into_headers_and_cover_the_list),
        TEST(match__layout_of_other_tensors__names_the_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
