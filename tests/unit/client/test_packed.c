/* SPDX-License-Identifier: Apache-2.0
 *
 * Slices that pack several tensors: pushed only whole, by one call or by several.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/client/rig.h"

static const float big_grad[] = {1, 2, 3, 4, 5, 6};
static const float a_grad[] = {7, 8};
static const float b_grad[] = {9};
static const uint32_t slice0[] = {0}, slice2[] = {2};

static int setup(void **state)
{
    static struct rig rig;
    rig_setup(&rig);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    rig_teardown(*state);
    return 0;
}

static struct stepd_array push_of(size_t tensor, const float *grad)
{
    return (struct stepd_array){.tensor = tensor, .grad = grad};
}

static void assert_payload(const struct rig_sent *sent, const float *floats, size_t n)
{
    assert_int_equal(sent->payload_bytes, n * sizeof *floats);
    assert_memory_equal(sent->payload, floats, n * sizeof *floats);
}

static void packed__one_of_two_tensors__nothing_is_sent(void **state)
{
    struct rig *const rig = *state;
    const struct stepd_array array = push_of(1, a_grad);
    struct rig_operation *const operation = rig_start(rig, STEPD_OPERATION_PUSH, &array, 1, NULL);
    assert_int_equal(rig->sent_count, 0);
    assert_false(operation->done);
}

static void packed__second_tensor_in_another_operation__both_are_answered(void **state)
{
    struct rig *const rig = *state;
    float a_weights[2], b_weights[1];
    const struct stepd_array a = {.tensor = 1, .grad = a_grad, .weights = a_weights};
    const struct stepd_array b = {.tensor = 2, .grad = b_grad, .weights = b_weights};
    struct rig_operation *const first = rig_start(rig, STEPD_OPERATION_STEP, &a, 1, NULL);
    struct rig_operation *const second = rig_start(rig, STEPD_OPERATION_STEP, &b, 1, NULL);
    assert_int_equal(rig->sent_count, 1);
    assert_payload(&rig->sent[0], (const float[]){7, 8, 9}, 3);
    const struct stepd_message result =
        rig_result(rig->sent[0].message.request_id, 1, slice2, STEPD_APPLIED, 3);
    rig_reply(rig, 1, &result, (const float[]){17, 18, 19}, 3 * sizeof(float));
    assert_true(first->done && second->done);
    assert_true(a_weights[0] == 17 && a_weights[1] == 18 && b_weights[0] == 19);
    assert_int_equal(first->operation.counts.applied, 1);
    assert_int_equal(second->operation.counts.applied, 1);
    assert_int_equal(second->operation.counts.version_max, 3);
}

static void packed__two_tensors_of_one_operation__slice_counts_once(void **state)
{
    struct rig *const rig = *state;
    const struct stepd_array arrays[] = {push_of(1, a_grad), push_of(2, b_grad)};
    struct rig_operation *const operation = rig_start(rig, STEPD_OPERATION_PUSH, arrays, 2, NULL);
    const struct stepd_message result =
        rig_result(rig->sent[0].message.request_id, 1, slice2, STEPD_APPLIED, 1);
    rig_reply(rig, 1, &result, NULL, 0);
    assert_true(operation->done);
    assert_int_equal(operation->operation.counts.slices, 1);
}

static void packed__push_joined_by_step__weights_go_to_the_step_only(void **state)
{
    struct rig *const rig = *state;
    float b_weights[1];
    const struct stepd_array a = push_of(1, a_grad);
    const struct stepd_array b = {.tensor = 2, .grad = b_grad, .weights = b_weights};
    struct rig_operation *const push = rig_start(rig, STEPD_OPERATION_PUSH, &a, 1, NULL);
    struct rig_operation *const step = rig_start(rig, STEPD_OPERATION_STEP, &b, 1, NULL);
    assert_int_equal(rig->sent[0].message.kind, STEPD_MESSAGE_STEP);
    const struct stepd_message result =
        rig_result(rig->sent[0].message.request_id, 1, slice2, STEPD_APPLIED, 1);
    rig_reply(rig, 1, &result, (const float[]){17, 18, 19}, 3 * sizeof(float));
    assert_true(push->done && step->done);
    assert_true(b_weights[0] == 19);
}

/* A push fetches nothing, so the view in its options says nothing. */
static void packed__push_joined_by_step__the_step_chooses_the_view(void **state)
{
    struct rig *const rig = *state;
    float b_weights[1];
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    const struct stepd_array a = push_of(1, a_grad);
    const struct stepd_array b = {.tensor = 2, .grad = b_grad, .weights = b_weights};
    options.view = STEPD_SWA;
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &a, 1, &options);
    options.view = STEPD_EMA;
    (void)rig_start(rig, STEPD_OPERATION_STEP, &b, 1, &options);
    assert_int_equal(rig->sent[0].message.kind, STEPD_MESSAGE_STEP);
    assert_int_equal(rig->sent[0].message.body.step.pull_view, STEPD_EMA);
}

static void packed__same_tensor_twice__second_waits_for_the_next_round(void **state)
{
    struct rig *const rig = *state;
    const float later[] = {70, 80};
    const struct stepd_array a = push_of(1, a_grad), a2 = push_of(1, later), b = push_of(2, b_grad);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &a, 1, NULL);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &a2, 1, NULL);
    assert_int_equal(rig->sent_count, 0);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &b, 1, NULL);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &b, 1, NULL);
    assert_int_equal(rig->sent_count, 2);
    assert_payload(&rig->sent[0], (const float[]){7, 8, 9}, 3);
    assert_payload(&rig->sent[1], (const float[]){70, 80, 9}, 3);
    assert_int_equal(rig->sent[1].message.body.push.clock, 2);
}

static void packed__different_examples__newcomer_fails_and_the_first_goes_on(void **state)
{
    struct rig *const rig = *state;
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    const struct stepd_array a = push_of(1, a_grad), b = push_of(2, b_grad);
    options.examples = 64;
    struct rig_operation *const first = rig_start(rig, STEPD_OPERATION_PUSH, &a, 1, &options);
    struct rig_operation *const other = rig_start(rig, STEPD_OPERATION_PUSH, &b, 1, NULL);
    assert_true(other->done);
    assert_int_equal(other->operation.error.code, STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(other->operation.error.text, "'b' travels in one slice with 'a'"));
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &b, 1, &options);
    assert_int_equal(rig->sent_count, 1);
    assert_false(first->done);
}

static void packed__different_loss_or_view__newcomer_fails(void **state)
{
    struct rig *const rig = *state;
    float weights[3];
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    struct stepd_step_options other = STEPD_STEP_OPTIONS_INIT;
    const struct stepd_array a = {.tensor = 1, .grad = a_grad, .weights = weights};
    const struct stepd_array b = {.tensor = 2, .grad = b_grad, .weights = weights + 2};
    options.has_loss = other.has_loss = true;
    options.loss = 0.5;
    other.loss = 0.25;
    (void)rig_start(rig, STEPD_OPERATION_STEP, &a, 1, &options);
    const struct rig_operation *refused = rig_start(rig, STEPD_OPERATION_STEP, &b, 1, &other);
    assert_non_null(strstr(refused->operation.error.text, "with the same loss"));
    other = options;
    other.loss_scale = 8;
    refused = rig_start(rig, STEPD_OPERATION_STEP, &b, 1, &other);
    assert_non_null(strstr(refused->operation.error.text, "with the same loss scale"));
    other = options;
    other.view = STEPD_EMA;
    refused = rig_start(rig, STEPD_OPERATION_STEP, &b, 1, &other);
    assert_int_equal(refused->operation.error.code, STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(refused->operation.error.text, "with the same view"));
    (void)rig_start(rig, STEPD_OPERATION_STEP, &b, 1, &options);
    assert_int_equal(rig->sent_count, 1);
}

static void packed__two_priorities__the_higher_one_is_the_frames(void **state)
{
    struct rig *const rig = *state;
    static const int32_t priorities[2][2] = {{5, -1}, {-1, 5}};
    const struct stepd_array a = push_of(1, a_grad), b = push_of(2, b_grad);
    rig->hold = true;
    for (size_t i = 0; i < 2; i++) {
        struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
        options.priority = priorities[i][0];
        (void)rig_start(rig, STEPD_OPERATION_PUSH, &a, 1, &options);
        options.priority = priorities[i][1];
        (void)rig_start(rig, STEPD_OPERATION_PUSH, &b, 1, &options);
        assert_int_equal(rig->sent[i].outgoing->priority, 5);
        rig_write(rig, i);
    }
}

static void packed__pull_of_one__drops_the_other(void **state)
{
    struct rig *const rig = *state;
    float b_weights[1];
    const struct stepd_array b = {.tensor = 2, .weights = b_weights};
    struct rig_operation *const operation = rig_start(rig, STEPD_OPERATION_PULL, &b, 1, NULL);
    const struct stepd_message result =
        rig_result(rig->sent[0].message.request_id, 1, slice2, STEPD_NONE, 1);
    rig_reply(rig, 1, &result, (const float[]){17, 18, 19}, 3 * sizeof(float));
    assert_true(operation->done);
    assert_true(b_weights[0] == 19);
}

static void packed__operation_fails_elsewhere__leaves_what_it_gathered(void **state)
{
    struct rig *const rig = *state;
    const struct stepd_array arrays[] = {push_of(0, big_grad), push_of(1, a_grad)};
    const struct stepd_array b = push_of(2, b_grad);
    const struct stepd_error lost = {.code = STEPD_UNAVAILABLE, .text = "lost"};
    struct rig_operation *const first = rig_start(rig, STEPD_OPERATION_PUSH, arrays, 2, NULL);
    stepd_exchange_lose(&rig->exchange, 2, &lost);
    assert_int_equal(rig->exchange.gathering, 0);
    assert_false(first->done); /* slice 0 is with shard 1, which lives */
    struct rig_operation *const second = rig_start(rig, STEPD_OPERATION_PUSH, &b, 1, NULL);
    assert_int_equal(rig->sent_count, 2);
    const struct stepd_message result =
        rig_result(rig->sent[0].message.request_id, 1, slice0, STEPD_APPLIED, 1);
    rig_reply(rig, 1, &result, NULL, 0);
    assert_true(first->done);
    assert_int_equal(first->operation.error.code, STEPD_UNAVAILABLE);
    assert_false(second->done);
}

static void packed__never_completed__fails_at_its_deadline(void **state)
{
    struct rig *const rig = *state;
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    options.deadline_ms = 500;
    const struct stepd_array a = push_of(1, a_grad);
    struct rig_operation *const operation = rig_start(rig, STEPD_OPERATION_PUSH, &a, 1, &options);
    stepd_exchange_tick(&rig->exchange, 1499);
    assert_false(operation->done);
    stepd_exchange_tick(&rig->exchange, 1500);
    assert_true(operation->done);
    assert_int_equal(operation->operation.error.code, STEPD_DEADLINE_EXCEEDED);
    assert_non_null(strstr(operation->operation.error.text, "'a' travels in one slice with 'b'"));
    assert_int_equal(rig->exchange.gathering, 0);
}

static void packed__whole_that_lacks_one__is_refused_at_once_by_its_name(void **state)
{
    struct rig *const rig = *state;
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    options.whole = 1;
    const struct stepd_array arrays[] = {push_of(0, big_grad), push_of(2, b_grad)};
    const struct rig_operation *const operation =
        rig_start(rig, STEPD_OPERATION_PUSH, arrays, 2, &options);
    assert_true(operation->done);
    assert_int_equal(operation->operation.error.code, STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(operation->operation.error.text,
                           "tensor 'b' travels in one slice with 'a', which is missing"));
    assert_int_equal(rig->sent_count, 0);
}

static void packed__whole_that_lacks_none__is_sent(void **state)
{
    struct rig *const rig = *state;
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    options.whole = 1;
    const struct stepd_array both[] = {push_of(1, a_grad), push_of(2, b_grad)};
    (void)rig_start(rig, STEPD_OPERATION_PUSH, both, 2, &options);
    assert_int_equal(rig->sent_count, 1);
}

static void packed__whole_that_completes_an_earlier_one__is_sent(void **state)
{
    struct rig *const rig = *state;
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    options.whole = 1;
    const struct stepd_array a = push_of(1, a_grad), b = push_of(2, b_grad);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &a, 1, NULL);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &b, 1, &options);
    assert_int_equal(rig->sent_count, 1);
}

struct told {
    int times;
    char text[STEPD_ERROR_TEXT_BYTES];
};

static void note_told(void *self, const char *text)
{
    struct told *const told = self;
    told->times++;
    (void)snprintf(told->text, sizeof told->text, "%s", text);
}

/* Time is 1000 when a rig begins. */
static void packed__not_completed_for_long__is_told_once(void **state)
{
    struct rig *const rig = *state;
    struct told told = {.times = 0};
    const struct stepd_array a = push_of(1, a_grad);
    rig->exchange.port.self = &told;
    rig->exchange.port.waits = note_told;
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &a, 1, NULL);
    stepd_exchange_tick(&rig->exchange, 1000 + STEPD_GATHERING_TOLD_MS - 1);
    assert_int_equal(told.times, 0);
    stepd_exchange_tick(&rig->exchange, 1000 + STEPD_GATHERING_TOLD_MS);
    stepd_exchange_tick(&rig->exchange, 1000 + STEPD_GATHERING_TOLD_MS + 1);
    assert_int_equal(told.times, 1);
    assert_non_null(strstr(told.text, "tensor 'a' waits for 'b', which travels in one slice with "
                                      "it and was not given for 5 s"));
}

static void packed__loss_that_is_not_given__makes_no_difference(void **state)
{
    struct rig *const rig = *state;
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    const struct stepd_array a = push_of(1, a_grad), b = push_of(2, b_grad);
    options.loss = 0.5; /* not read: has_loss is false */
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &a, 1, &options);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &b, 1, NULL);
    assert_int_equal(rig->sent_count, 1);
    assert_false(rig->sent[0].message.body.push.has_loss);
}

/* ---- Two packed slices ----------------------------------------------------------------------- */

/* Instead of the bench's layout: tensors 0 to 2 in slice 0, 3 and 4 in slice 1, both on shard 1;
 * tensor 5 in slice 2 on shard 2. All have one element. */
static void use_two_packs(struct rig *rig)
{
    static const struct stepd_tensor_def tensors[] = {{.name = "a"}, {.name = "b"}, {.name = "c"},
                                                      {.name = "d"}, {.name = "e"}, {.name = "f"}};
    static const uint32_t shards[] = {1, 1, 2};
    static const uint32_t parts[] = {3, 2, 1};
    static const uint32_t indices[] = {0, 1, 2, 3, 4, 5};
    static const uint64_t offsets[6] = {0};
    static const uint32_t elements[] = {1, 1, 1, 1, 1, 1};
    const struct stepd_layout page = {
        .tensors = 6,
        .tensor = tensors,
        .slice_shards = {3, shards},
        .slice_parts = {3, parts},
        .part_tensors = {6, indices},
        .part_offsets = {6, offsets},
        .part_elements = {6, elements},
    };
    struct stepd_error error;
    stepd_exchange_deinit(&rig->exchange);
    stepd_layout_deinit(&rig->layout);
    assert_int_equal(stepd_layout_add(&rig->layout, &page, &error), STEPD_OK);
    assert_int_equal(stepd_layout_seal(&rig->layout, RIG_SHARDS, &error), STEPD_OK);
    rig_use_layout(rig);
}

/* A push completes both, and the steps that had begun them want other views. */
static void packed__two_slices_of_different_views__travel_in_two_messages(void **state)
{
    struct rig *const rig = *state;
    float weights[2];
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    const struct stepd_array a = {.tensor = 0, .grad = b_grad, .weights = weights};
    const struct stepd_array d = {.tensor = 3, .grad = b_grad, .weights = weights + 1};
    const struct stepd_array rest[] = {push_of(1, b_grad), push_of(2, b_grad), push_of(4, b_grad)};
    use_two_packs(rig);
    options.view = STEPD_EMA;
    (void)rig_start(rig, STEPD_OPERATION_STEP, &a, 1, &options);
    options.view = STEPD_SWA;
    (void)rig_start(rig, STEPD_OPERATION_STEP, &d, 1, &options);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, rest, 3, NULL);
    assert_int_equal(rig->sent_count, 2);
    assert_int_equal(rig->sent[0].message.body.step.pull_view, STEPD_EMA);
    assert_int_equal(rig->sent[1].message.body.step.pull_view, STEPD_SWA);
}

/* What a step that has failed wanted to fetch, nobody wants any more. */
static void packed__step_withdrawn__its_view_binds_nobody(void **state)
{
    struct rig *const rig = *state;
    float weights[6];
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    const struct stepd_error lost = {.code = STEPD_UNAVAILABLE, .text = "lost"};
    const struct stepd_array failing[] = {{.tensor = 0, .grad = b_grad, .weights = weights},
                                          {.tensor = 5, .grad = b_grad, .weights = weights + 5}};
    const struct stepd_array b = push_of(1, b_grad);
    const struct stepd_array rest[] = {{.tensor = 0, .grad = b_grad, .weights = weights},
                                       {.tensor = 2, .grad = b_grad, .weights = weights + 2}};
    use_two_packs(rig);
    options.view = STEPD_EMA;
    (void)rig_start(rig, STEPD_OPERATION_STEP, failing, 2, &options);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &b, 1, NULL);
    stepd_exchange_lose(&rig->exchange, 2, &lost);
    options.view = STEPD_EVALUATION;
    const struct rig_operation *const newcomer =
        rig_start(rig, STEPD_OPERATION_STEP, rest, 2, &options);
    assert_int_equal(newcomer->operation.error.code, STEPD_OK);
    assert_int_equal(rig->sent_count, 2);
    assert_int_equal(rig->sent[1].message.body.step.pull_view, STEPD_EVALUATION);
}

/* The same where only pushes are left: weights that nobody wants are not asked for. */
static void packed__step_withdrawn__pushes_that_are_left_fetch_nothing(void **state)
{
    struct rig *const rig = *state;
    float weights[6];
    const struct stepd_error lost = {.code = STEPD_UNAVAILABLE, .text = "lost"};
    const struct stepd_array failing[] = {{.tensor = 0, .grad = b_grad, .weights = weights},
                                          {.tensor = 5, .grad = b_grad, .weights = weights + 5}};
    const struct stepd_array b = push_of(1, b_grad);
    const struct stepd_array rest[] = {push_of(0, b_grad), push_of(2, b_grad)};
    use_two_packs(rig);
    (void)rig_start(rig, STEPD_OPERATION_STEP, failing, 2, NULL);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, &b, 1, NULL);
    stepd_exchange_lose(&rig->exchange, 2, &lost);
    (void)rig_start(rig, STEPD_OPERATION_PUSH, rest, 2, NULL);
    assert_int_equal(rig->sent[1].message.kind, STEPD_MESSAGE_PUSH);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(packed__one_of_two_tensors__nothing_is_sent),
        TEST(packed__second_tensor_in_another_operation__both_are_answered),
        TEST(packed__two_tensors_of_one_operation__slice_counts_once),
        TEST(packed__push_joined_by_step__weights_go_to_the_step_only),
        TEST(packed__push_joined_by_step__the_step_chooses_the_view),
        TEST(packed__same_tensor_twice__second_waits_for_the_next_round),
        TEST(packed__different_examples__newcomer_fails_and_the_first_goes_on),
        TEST(packed__different_loss_or_view__newcomer_fails),
        TEST(packed__two_priorities__the_higher_one_is_the_frames),
        TEST(packed__pull_of_one__drops_the_other),
        TEST(packed__operation_fails_elsewhere__leaves_what_it_gathered),
        TEST(packed__never_completed__fails_at_its_deadline),
        TEST(packed__whole_that_lacks_one__is_refused_at_once_by_its_name),
        TEST(packed__whole_that_lacks_none__is_sent),
        TEST(packed__whole_that_completes_an_earlier_one__is_sent),
        TEST(packed__not_completed_for_long__is_told_once),
        TEST(packed__loss_that_is_not_given__makes_no_difference),
        TEST(packed__two_slices_of_different_views__travel_in_two_messages),
        TEST(packed__step_withdrawn__its_view_binds_nobody),
        TEST(packed__step_withdrawn__pushes_that_are_left_fetch_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
