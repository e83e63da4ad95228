/* SPDX-License-Identifier: Apache-2.0
 *
 * What stands in the options of a push, a pull and a step, and what of it travels: views, losses,
 * loss scales, Hessians; and options as a program built against an older header gives them.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/client/rig.h"

static const float big_grad[] = {1, 2, 3, 4, 5, 6};
static const float a_grad[] = {7, 8};
static const float b_grad[] = {9};
static const float hessian[] = {11, 12, 13, 21, 22, 23, 31, 32, 33};
static struct stepd_error error;

/* The bench's layout, where the slice of "a" and "b" takes a Hessian of 3 x 3. */
static int setup(void **state)
{
    static struct rig rig;
    rig_setup(&rig);
    rig.layout.slice[2].extra = 9;
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    rig_teardown(*state);
    return 0;
}

static void assert_payload(const struct rig_sent *sent, const float *floats, size_t n)
{
    assert_int_equal(sent->payload_bytes, n * sizeof *floats);
    assert_memory_equal(sent->payload, floats, n * sizeof *floats);
}

/* ---- Views and losses ------------------------------------------------------------------------ */

static void pull__view__stands_in_the_message(void **state)
{
    struct rig *const rig = *state;
    float weights[6];
    const struct stepd_array array = {.tensor = 0, .weights = weights};
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    (void)rig_start(rig, STEPD_OPERATION_PULL, &array, 1, &options);
    options.view = STEPD_SWA;
    (void)rig_start(rig, STEPD_OPERATION_PULL, &array, 1, &options);
    assert_int_equal(rig->sent[0].message.body.pull.view, STEPD_TRAINING);
    assert_int_equal(rig->sent[2].message.body.pull.view, STEPD_SWA);
}

static void step__view_and_loss__stand_in_the_message(void **state)
{
    struct rig *const rig = *state;
    float weights[6];
    const struct stepd_array array = {.tensor = 0, .grad = big_grad, .weights = weights};
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    options.view = STEPD_EVALUATION;
    options.has_loss = true;
    options.loss = 0.75;
    options.loss_scale = 1024;
    (void)rig_start(rig, STEPD_OPERATION_STEP, &array, 1, &options);
    const struct stepd_step_slices *const step = &rig->sent[0].message.body.step;
    assert_int_equal(step->pull_view, STEPD_EVALUATION);
    assert_true(step->push.has_loss);
    assert_true(step->push.loss == 0.75);
    assert_true(step->push.loss_scale == 1024);
}

static void step__priority_and_clock__go_with_each_frame(void **state)
{
    struct rig *const rig = *state;
    float weights[6];
    const struct stepd_array array = {.tensor = 0, .grad = big_grad, .weights = weights};
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    rig->hold = true;
    options.priority = -7;
    (void)rig_start(rig, STEPD_OPERATION_STEP, &array, 1, &options);
    (void)rig_start(rig, STEPD_OPERATION_PULL, &array, 1, NULL);
    assert_int_equal(rig->sent_count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(rig->sent[i].outgoing->priority, i < 2 ? -7 : 0);
        assert_int_equal(rig->sent[i].outgoing->clock, i < 2 ? 1 : 0);
        rig_write(rig, i);
    }
}

static void push__without_a_loss__says_so(void **state)
{
    struct rig *const rig = *state;
    const struct stepd_array array = {.tensor = 0, .grad = big_grad};
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    options.loss = NAN; /* not read */
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &array, 1, &options);
    assert_false(rig->sent[0].message.body.push.has_loss);
    assert_true(rig->sent[0].message.body.push.loss_scale == 1);
}

static void options__numbers_that_are_none__are_refused(void **state)
{
    struct rig *const rig = *state;
    struct stepd_operation operation;
    static const char *const texts[] = {"the loss is not finite",
                                        "the loss scale -1 is not above 0",
                                        "the loss scale inf",
                                        "the loss scale nan",
                                        "the loss scale 1e+39",
                                        "the loss scale 1e-39",
                                        "no view 4"};

    enum { CASES = sizeof texts / sizeof texts[0] };
    struct stepd_step_options options[CASES];
    for (size_t i = 0; i < CASES; i++)
        options[i] = (struct stepd_step_options)STEPD_STEP_OPTIONS_INIT;
    options[0].has_loss = true;
    options[0].loss = NAN;
    options[1].loss_scale = -1;
    options[2].loss_scale = INFINITY;
    options[3].loss_scale = NAN;
    options[4].loss_scale = 1e39;
    options[5].loss_scale = 1e-39;
    options[6].view = (enum stepd_view)STEPD_VIEWS;
    for (size_t i = 0; i < CASES; i++) {
        assert_int_equal(stepd_operation_init(&operation, STEPD_OPERATION_STEP, &rig->layout,
                                              &options[i], &error),
                         STEPD_INVALID_ARGUMENT);
        assert_non_null(strstr(error.text, texts[i]));
    }
}

/* ---- Older programs -------------------------------------------------------------------------- */

/* The options as they were when min_version was the last of them. */
struct older_options {
    size_t size;
    uint64_t examples;
    uint32_t deadline_ms;
    uint64_t min_version;
};

static void options__of_an_older_program__keep_their_meaning(void **state)
{
    struct rig *const rig = *state;
    /* As in the older program nothing of ours lies behind its struct. */
    struct older_options *const older = malloc(sizeof *older);
    assert_non_null(older);
    *older = (struct older_options){
        .size = sizeof *older, .examples = 64, .deadline_ms = 500, .min_version = 7};
    struct stepd_operation operation;
    assert_int_equal(stepd_operation_init(&operation, STEPD_OPERATION_STEP, &rig->layout,
                                          (const struct stepd_step_options *)(const void *)older,
                                          &error),
                     STEPD_OK);
    free(older);
    assert_int_equal(operation.examples, 64);
    assert_int_equal(operation.deadline_ms, 500);
    assert_int_equal(operation.min_version, 7);
    assert_int_equal(operation.view, STEPD_TRAINING);
    assert_false(operation.has_loss);
    assert_true(operation.loss_scale == 1);
}

static void options__of_a_newer_program__are_refused(void **state)
{
    struct rig *const rig = *state;
    struct stepd_operation operation;
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    options.size += 8;
    assert_int_equal(
        stepd_operation_init(&operation, STEPD_OPERATION_STEP, &rig->layout, &options, &error),
        STEPD_INVALID_ARGUMENT);
}

/* ---- Hessians -------------------------------------------------------------------------------- */

static struct stepd_step_options with_hessians(const struct stepd_hessian *hessians, size_t count)
{
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    options.hessians = hessians;
    options.hessians_count = count;
    return options;
}

static void push__hessian__travels_behind_the_gradients_of_its_slice(void **state)
{
    struct rig *const rig = *state;
    const struct stepd_array arrays[] = {{.tensor = 0, .grad = big_grad},
                                         {.tensor = 1, .grad = a_grad},
                                         {.tensor = 2, .grad = b_grad}};
    const struct stepd_hessian of_a = {.tensor = 1, .values = hessian};
    const struct stepd_step_options options = with_hessians(&of_a, 1);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, arrays, 3, &options);
    assert_int_equal(rig->sent_count, 2);
    assert_payload(&rig->sent[0],
                   (const float[]){1, 2, 3, 4, 7, 8, 9, 11, 12, 13, 21, 22, 23, 31, 32, 33}, 16);
    assert_payload(&rig->sent[1], big_grad + 4, 2);
}

static void push__hessian_in_16_bits__is_narrowed_with_its_gradients(void **state)
{
    struct rig *const rig = *state;
    const struct stepd_array arrays[] = {{.tensor = 1, .grad = a_grad},
                                         {.tensor = 2, .grad = b_grad}};
    const struct stepd_hessian of_a = {.tensor = 1, .values = hessian};
    const struct stepd_step_options options = with_hessians(&of_a, 1);
    static const uint16_t bf16[] = {0x40E0, 0x4100, 0x4110, 0x4130, 0x4140, 0x4150,
                                    0x41A8, 0x41B0, 0x41B8, 0x41F8, 0x4200, 0x4204};
    rig->exchange.push_dtype = STEPD_BF16;
    (void)rig_start(rig, STEPD_OPERATION_PUSH, arrays, 2, &options);
    assert_int_equal(rig->sent[0].payload_bytes, sizeof bf16);
    for (size_t i = 0; i < 12; i++) {
        const uint8_t *const at = rig->sent[0].payload + 2 * i;
        assert_int_equal(at[0] | at[1] << 8, bf16[i]);
    }
}

static void push__hessian_that_fits_no_frame__fails_and_says_what_to_do(void **state)
{
    struct rig *const rig = *state;
    const struct stepd_array arrays[] = {{.tensor = 1, .grad = a_grad},
                                         {.tensor = 2, .grad = b_grad}};
    const struct stepd_hessian of_a = {.tensor = 1, .values = hessian};
    const struct stepd_step_options options = with_hessians(&of_a, 1);
    rig->exchange.frame_max_bytes = 48; /* 12 elements, and no room for a header */
    const struct rig_operation *const operation =
        rig_start(rig, STEPD_OPERATION_PUSH, arrays, 2, &options);
    assert_int_equal(rig->sent_count, 0);
    assert_int_equal(operation->operation.error.code, STEPD_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(operation->operation.error.text, "raise its frame_max_bytes"));
}

static void push__hessian_with_the_first_of_two_operations__waits_for_the_other(void **state)
{
    struct rig *const rig = *state;
    const struct stepd_array a = {.tensor = 1, .grad = a_grad};
    const struct stepd_array b = {.tensor = 2, .grad = b_grad};
    const struct stepd_hessian of_a = {.tensor = 1, .values = hessian};
    const struct stepd_step_options options = with_hessians(&of_a, 1);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &b, 1, NULL);
    assert_int_equal(rig->sent_count, 0);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &a, 1, &options);
    assert_int_equal(rig->sent_count, 1);
    assert_payload(&rig->sent[0], (const float[]){7, 8, 9, 11, 12, 13, 21, 22, 23, 31, 32, 33}, 12);
}

static void step__hessian__weights_come_back_without_one(void **state)
{
    struct rig *const rig = *state;
    static const uint32_t slice2[] = {2};
    float a[2];
    float b[1];
    const struct stepd_array arrays[] = {{.tensor = 1, .grad = a_grad, .weights = a},
                                         {.tensor = 2, .grad = b_grad, .weights = b}};
    const struct stepd_hessian of_a = {.tensor = 1, .values = hessian};
    const struct stepd_step_options options = with_hessians(&of_a, 1);
    struct rig_operation *const operation =
        rig_start(rig, STEPD_OPERATION_STEP, arrays, 2, &options);
    const struct stepd_message result =
        rig_result(rig->sent[0].message.request_id, 1, slice2, STEPD_APPLIED, 1);
    rig_reply(rig, 1, &result, (const float[]){17, 18, 19}, 3 * sizeof(float));
    assert_true(operation->done);
    assert_true(a[0] == 17 && a[1] == 18 && b[0] == 19);
}

/* 4 and 3 weights and what a message of two slices may take fit into a frame; 9 more would not. */
static void pull__of_a_slice_with_a_hessian__counts_its_weights_only(void **state)
{
    struct rig *const rig = *state;
    float weights[9];
    const struct stepd_array arrays[] = {{.tensor = 0, .weights = weights},
                                         {.tensor = 1, .weights = weights + 6},
                                         {.tensor = 2, .weights = weights + 8}};
    rig->exchange.frame_max_bytes = 128 + 15 * 2 + 7 * sizeof(float);
    (void)rig_start(rig, STEPD_OPERATION_PULL, arrays, 3, NULL);
    assert_int_equal(rig->sent_count, 2);
    assert_int_equal(rig->sent[0].message.body.pull.slices.count, 2);
}

static void push__no_examples__needs_no_hessian(void **state)
{
    struct rig *const rig = *state;
    const struct stepd_array arrays[] = {{.tensor = 1}, {.tensor = 2}};
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    options.examples = 0;
    (void)rig_start(rig, STEPD_OPERATION_PUSH, arrays, 2, &options);
    assert_int_equal(rig->sent[0].payload_bytes, 0);
}

/* Refuses a push of "a" and "b" with these Hessians, and says why. */
static void assert_refused(struct rig *rig, enum stepd_operation_kind kind,
                           const struct stepd_step_options *options, const char *text)
{
    float weights[3];
    const struct stepd_array arrays[] = {{.tensor = 1, .grad = a_grad, .weights = weights},
                                         {.tensor = 2, .grad = b_grad, .weights = weights + 2}};
    struct stepd_operation operation;
    assert_int_equal(stepd_operation_init(&operation, kind, &rig->layout, options, &error),
                     STEPD_OK);
    assert_int_equal(stepd_operation_fill(&operation, &rig->layout, arrays, 2, &error), STEPD_OK);
    assert_int_equal(stepd_operation_fill_hessians(&operation, &rig->layout, options, &error),
                     STEPD_INVALID_ARGUMENT);
    stepd_operation_deinit(&operation);
    if (strstr(error.text, text) == NULL)
        fail_msg("'%s' is not in: %s", text, error.text);
}

static void push__wrong_hessians__are_refused_with_the_tensor(void **state)
{
    static const struct {
        size_t count;
        struct stepd_hessian hessians[2];
        const char *text;
    } cases[] = {
        {0, {{0}}, "tensor 'a': its group's optimizer needs a Hessian"},
        {1, {{.tensor = 2, .values = hessian}}, "tensor 'b' takes no Hessian"},
        {1, {{.tensor = 0, .values = hessian}}, "tensor 'big' takes no Hessian"},
        {1, {{.tensor = 3, .values = hessian}}, "a Hessian for tensor 3; the job has 3"},
        {1, {{.tensor = 1}}, "tensor 'a': its Hessian is NULL"},
        {2,
         {{.tensor = 1, .values = hessian}, {.tensor = 1, .values = hessian}},
         "tensor 'a' has two Hessians"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct stepd_step_options options = with_hessians(cases[i].hessians, cases[i].count);
        assert_refused(*state, STEPD_OPERATION_PUSH, &options, cases[i].text);
    }
    struct stepd_step_options options = with_hessians(NULL, 1);
    assert_refused(*state, STEPD_OPERATION_STEP, &options, "hessians is NULL");
    options = with_hessians(cases[5].hessians, 1);
    assert_refused(*state, STEPD_OPERATION_PULL, &options, "a pull takes no Hessians");
}

static void push__hessian_of_a_tensor_that_is_not_pushed__is_refused(void **state)
{
    struct rig *const rig = *state;
    const struct stepd_array b = {.tensor = 2, .grad = b_grad};
    const struct stepd_hessian of_a = {.tensor = 1, .values = hessian};
    const struct stepd_step_options options = with_hessians(&of_a, 1);
    struct stepd_operation operation;
    assert_int_equal(
        stepd_operation_init(&operation, STEPD_OPERATION_PUSH, &rig->layout, &options, &error),
        STEPD_OK);
    assert_int_equal(stepd_operation_fill(&operation, &rig->layout, &b, 1, &error), STEPD_OK);
    assert_int_equal(stepd_operation_fill_hessians(&operation, &rig->layout, &options, &error),
                     STEPD_INVALID_ARGUMENT);
    stepd_operation_deinit(&operation);
    assert_non_null(strstr(error.text, "'a', which is not pushed with it"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pull__view__stands_in_the_message),
        TEST(step__view_and_loss__stand_in_the_message),
        TEST(step__priority_and_clock__go_with_each_frame),
        TEST(push__without_a_loss__says_so),
        TEST(options__numbers_that_are_none__are_refused),
        TEST(options__of_an_older_program__keep_their_meaning),
        TEST(options__of_a_newer_program__are_refused),
        TEST(push__hessian__travels_behind_the_gradients_of_its_slice),
        TEST(push__hessian_in_16_bits__is_narrowed_with_its_gradients),
        TEST(push__hessian_that_fits_no_frame__fails_and_says_what_to_do),
        TEST(push__hessian_with_the_first_of_two_operations__waits_for_the_other),
        TEST(step__hessian__weights_come_back_without_one),
        TEST(pull__of_a_slice_with_a_hessian__counts_its_weights_only),
        TEST(push__no_examples__needs_no_hessian),
        TEST(push__wrong_hessians__are_refused_with_the_tensor),
        TEST(push__hessian_of_a_tensor_that_is_not_pushed__is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
