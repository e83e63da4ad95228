/* SPDX-License-Identifier: Apache-2.0
 *
 * The exchange with shards that share memory: where gradients are brought, where weights come from,
 * and what is shown of either in arrays that were lent.
 */
#include "client/lib/core/shared.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/place.h"
#include "tests/unit/client/rig.h"

enum { PAGE = STEPD_PLACE_BYTES, PAGES = 4, SHOWN_MAX = 16 };

static const float big_grad[] = {1, 2, 3, 4, 5, 6};
static const float other_grad[] = {11, 12, 13, 14, 15, 16};
static const float a_grad[] = {7, 8};
static const float b_grad[] = {9};
static const uint32_t slice0[] = {0}, slice2[] = {2}, slices02[] = {0, 2};

/* A call to show or hide. */
struct shown {
    bool hidden;
    enum stepd_show what;
    uint64_t at;
    uint64_t bytes;
    const void *pages;
};

/* The memory of shard 1, and what was asked to be shown of it. */
struct scene {
    struct rig rig;
    float weights[PAGES * PAGE / sizeof(float)];
    float gradients[PAGES * PAGE / sizeof(float)];
    bool cannot_show;
    struct shown shown[SHOWN_MAX];
    size_t shows;
    float lent_grad[PAGE / sizeof(float)];
    float lent_weights[PAGE / sizeof(float)];
};

static struct scene scene; /* hide has no owner */

static bool show(void *owner, enum stepd_show what, uint64_t at, uint64_t bytes, void *pages)
{
    assert_ptr_equal(owner, &scene);
    assert_true(scene.shows < SHOWN_MAX);
    scene.shown[scene.shows++] = (struct shown){false, what, at, bytes, pages};
    return !scene.cannot_show;
}

static void hide(void *pages, uint64_t bytes)
{
    assert_true(scene.shows < SHOWN_MAX);
    scene.shown[scene.shows++] = (struct shown){.hidden = true, .bytes = bytes, .pages = pages};
}

static struct stepd_shared all_of_it(void)
{
    return (struct stepd_shared){.weights = (const uint8_t *)scene.weights,
                                 .weights_bytes = sizeof scene.weights,
                                 .gradients = (uint8_t *)scene.gradients,
                                 .gradients_bytes = sizeof scene.gradients,
                                 .owner = &scene,
                                 .show = show};
}

static void share(void)
{
    const struct stepd_shared shared = all_of_it();
    struct stepd_error error;
    assert_int_equal(stepd_exchange_share(&scene.rig.exchange, 1, &shared, &error), STEPD_OK);
}

static int set_up(void **state)
{
    (void)state;
    memset(&scene, 0, sizeof scene);
    rig_setup(&scene.rig);
    return 0;
}

static int set_up_shared(void **state)
{
    (void)set_up(state);
    share();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_teardown(&scene.rig);
    return 0;
}

/* The i-th float from a page on. */
static float *on_page(float *at, size_t page)
{
    return at + page * PAGE / sizeof(float);
}

static struct stepd_array array_of(size_t tensor, const float *grad, float *weights)
{
    return (struct stepd_array){.tensor = tensor, .grad = grad, .weights = weights};
}

static const struct rig_sent *last_to(uint32_t shard)
{
    size_t i = scene.rig.sent_count;
    while (i > 0 && scene.rig.sent[i - 1].shard != shard)
        i--;
    assert_true(i > 0);
    return &scene.rig.sent[i - 1];
}

/* A Result to the newest request of shard 1, with places. */
static struct stepd_message placed_result(size_t slices, const uint32_t *slice, uint64_t version,
                                          const uint64_t *place)
{
    struct stepd_message message =
        rig_result(last_to(1)->message.request_id, slices, slice, STEPD_APPLIED, version);
    message.body.result.places = (struct stepd_u64s){.count = slices, .at = place};
    return message;
}

/* ---- Gradients ------------------------------------------------------------------------------- */

static void gradients__of_a_shard_that_shares__lie_at_their_places(void **state)
{
    (void)state;
    const struct stepd_array arrays[] = {array_of(2, b_grad, NULL), array_of(0, big_grad, NULL),
                                         array_of(1, a_grad, NULL)};
    (void)rig_start(&scene.rig, STEPD_OPERATION_PUSH, arrays, 3, NULL);
    assert_int_equal(scene.rig.sent_count, 2);
    assert_true(last_to(1)->message.body.push.placed);
    assert_int_equal(last_to(1)->payload_bytes, 0);
    assert_memory_equal(scene.gradients, big_grad, 4 * sizeof(float));
    assert_memory_equal(on_page(scene.gradients, 1), ((float[]){7, 8, 9}), 3 * sizeof(float));
    assert_false(last_to(2)->message.body.push.placed); /* it shares nothing */
    assert_int_equal(last_to(2)->payload_bytes, 2 * sizeof(float));
}

static void gradients__in_16_bits__are_the_payload(void **state)
{
    (void)state;
    const struct stepd_array array = array_of(0, big_grad, NULL);
    scene.rig.exchange.push_dtype = STEPD_F16;
    (void)rig_start(&scene.rig, STEPD_OPERATION_PUSH, &array, 1, NULL);
    assert_false(last_to(1)->message.body.push.placed);
    assert_int_equal(last_to(1)->payload_bytes, 4 * 2);
    assert_true(scene.gradients[0] == 0.0F);
}

static void gradients__of_no_examples__are_nowhere(void **state)
{
    (void)state;
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    const struct stepd_array array = array_of(0, NULL, NULL);
    options.examples = 0;
    (void)rig_start(&scene.rig, STEPD_OPERATION_PUSH, &array, 1, &options);
    assert_false(last_to(1)->message.body.push.placed);
    assert_int_equal(last_to(1)->payload_bytes, 0);
}

/* The first may not have been read yet. */
static void gradients__while_another_push_is_under_way__are_the_payload(void **state)
{
    (void)state;
    const struct stepd_array first = array_of(0, big_grad, NULL);
    const struct stepd_array second = array_of(0, other_grad, NULL);
    scene.rig.layout.mode = STEPD_ASYNC;
    (void)rig_start(&scene.rig, STEPD_OPERATION_PUSH, &first, 1, NULL);
    const uint64_t request_id = last_to(1)->message.request_id;
    (void)rig_start(&scene.rig, STEPD_OPERATION_PUSH, &second, 1, NULL);
    assert_false(last_to(1)->message.body.push.placed);
    assert_memory_equal(last_to(1)->payload, other_grad, 4 * sizeof(float));
    assert_memory_equal(scene.gradients, big_grad, 4 * sizeof(float));
    struct stepd_message done = rig_result(request_id, 1, slice0, STEPD_APPLIED, 1);
    rig_reply(&scene.rig, 1, &done, NULL, 0);
    done = rig_result(last_to(1)->message.request_id, 1, slice0, STEPD_APPLIED, 2);
    rig_reply(&scene.rig, 1, &done, NULL, 0);
    (void)rig_start(&scene.rig, STEPD_OPERATION_PUSH, &second, 1, NULL);
    assert_true(last_to(1)->message.body.push.placed);
    assert_memory_equal(scene.gradients, other_grad, 4 * sizeof(float));
}

static void share__of_too_little__is_refused(void **state)
{
    (void)state;
    struct stepd_shared shared = all_of_it();
    struct stepd_error error;
    shared.gradients_bytes = 2 * PAGE - 1;
    assert_int_equal(stepd_exchange_share(&scene.rig.exchange, 1, &shared, &error), STEPD_INTERNAL);
    assert_non_null(strstr(error.text, "8191"));
    assert_non_null(strstr(error.text, "8192"));
}

/* What it shared before is not there any more. */
static void share__of_too_little__leaves_nothing_of_what_was_before(void **state)
{
    (void)state;
    const struct stepd_array array = array_of(0, big_grad, NULL);
    struct stepd_shared shared = all_of_it();
    struct stepd_error error;
    shared.gradients_bytes = PAGE;
    assert_int_equal(stepd_exchange_share(&scene.rig.exchange, 1, &shared, &error), STEPD_INTERNAL);
    (void)rig_start(&scene.rig, STEPD_OPERATION_PUSH, &array, 1, NULL);
    assert_false(last_to(1)->message.body.push.placed);
    assert_true(scene.gradients[0] == 0.0F);
}

static void share__of_nothing_after_all__sends_payloads_again(void **state)
{
    (void)state;
    const struct stepd_shared nothing = {.weights = NULL};
    const struct stepd_array array = array_of(0, big_grad, NULL);
    struct stepd_error error;
    assert_int_equal(stepd_exchange_share(&scene.rig.exchange, 1, &nothing, &error), STEPD_OK);
    (void)rig_start(&scene.rig, STEPD_OPERATION_PUSH, &array, 1, NULL);
    assert_false(last_to(1)->message.body.push.placed);
    assert_int_equal(last_to(1)->payload_bytes, 4 * sizeof(float));
}

/* ---- Weights --------------------------------------------------------------------------------- */

static void weights__at_places__are_copied_to_the_callers(void **state)
{
    (void)state;
    float big[6] = {0}, a[2], b[1];
    const struct stepd_array arrays[] = {array_of(0, big_grad, big), array_of(1, a_grad, a),
                                         array_of(2, b_grad, b)};
    for (size_t i = 0; i < 4; i++)
        on_page(scene.weights, 3)[i] = (float)i + 30.0F;
    for (size_t i = 0; i < 3; i++)
        on_page(scene.weights, 1)[i] = (float)i + 10.0F;
    (void)rig_start(&scene.rig, STEPD_OPERATION_STEP, arrays, 3, NULL);
    const uint64_t place[] = {3 * PAGE, PAGE};
    const struct stepd_message result = placed_result(2, slices02, 1, place);
    rig_reply(&scene.rig, 1, &result, NULL, 0);
    assert_memory_equal(big, ((float[]){30, 31, 32, 33, 0, 0}), sizeof big);
    assert_memory_equal(a, ((float[]){10, 11}), sizeof a);
    assert_true(b[0] == 12.0F);
}

static void weights__of_some_tensors_of_a_slice__are_copied_to_those(void **state)
{
    (void)state;
    float b[1] = {0};
    const struct stepd_array array = array_of(2, NULL, b);
    const uint64_t place[] = {PAGE};
    for (size_t i = 0; i < 3; i++)
        on_page(scene.weights, 1)[i] = (float)i + 10.0F;
    const struct rig_operation *const pull =
        rig_start(&scene.rig, STEPD_OPERATION_PULL, &array, 1, NULL);
    const struct stepd_message result = placed_result(1, slice2, 1, place);
    rig_reply(&scene.rig, 1, &result, NULL, 0);
    assert_true(pull->done);
    assert_true(b[0] == 12.0F);
}

/* The reply ends the connection, whose text says this. */
static void assert_ends(const struct stepd_message *message, size_t payload_bytes, const char *text)
{
    static const float payload[4];
    struct stepd_error error;
    uint8_t *bytes;
    const size_t n = rig_encode(message, payload, payload_bytes, &bytes);
    assert_int_not_equal(rig_feed(&scene.rig, 1, bytes, n, SIZE_MAX, &error), STEPD_OK);
    free(bytes);
    if (strstr(error.text, text) == NULL)
        fail_msg("'%s' says nothing of '%s'", error.text, text);
}

/* A test's state. */
struct bad_place {
    uint64_t place;
    size_t payload_bytes;
    const char *text;
};

static struct bad_place beyond_the_memory = {PAGES * PAGE, 0, "beyond the memory"};
static struct bad_place beyond_all_numbers = {UINT64_MAX / PAGE * PAGE, 0, "beyond the memory"};
static struct bad_place within_a_page = {PAGE / 2, 0, "beyond the memory"};
static struct bad_place with_a_payload_too = {0, 4 * sizeof(float), "16 bytes of weights"};
static struct bad_place where_nothing_is_shared = {0, 0, "beyond the memory"};

static void place__ends_the_connection(void **state)
{
    const struct bad_place *const bad = *state;
    float weights[6];
    const struct stepd_array array = array_of(0, big_grad, weights);
    (void)rig_start(&scene.rig, STEPD_OPERATION_PULL, &array, 1, NULL);
    const struct stepd_message result = placed_result(1, slice0, 1, &bad->place);
    assert_ends(&result, bad->payload_bytes, bad->text);
}

/* ---- Loans ----------------------------------------------------------------------------------- */

static void lend(void)
{
    const struct stepd_loan loan = {
        .grad = scene.lent_grad, .weights = scene.lent_weights, .hide = hide};
    stepd_shared_lend(&scene.rig.exchange, 0, &loan);
}

/* A Step from and to the arrays that were lent, of which slice 0 is answered. */
static void step_at(uint64_t version, uint64_t place)
{
    const struct stepd_array array = array_of(0, scene.lent_grad, scene.lent_weights);
    (void)rig_start(&scene.rig, STEPD_OPERATION_STEP, &array, 1, NULL);
    const struct stepd_message result = placed_result(1, slice0, version, &place);
    rig_reply(&scene.rig, 1, &result, NULL, 0);
    const struct stepd_message rest = rig_result(last_to(2)->message.request_id, 1,
                                                 (const uint32_t[]){1}, STEPD_APPLIED, version);
    rig_reply(&scene.rig, 2, &rest, scene.lent_grad, 2 * sizeof(float));
}

static void assert_shown(size_t call, enum stepd_show what, uint64_t at, const void *pages)
{
    assert_true(call < scene.shows);
    assert_false(scene.shown[call].hidden);
    assert_int_equal(scene.shown[call].what, what);
    assert_int_equal(scene.shown[call].at, at);
    assert_int_equal(scene.shown[call].bytes, PAGE);
    assert_ptr_equal(scene.shown[call].pages, pages);
}

static void loan__of_a_shared_slice__shows_its_gradients_at_once(void **state)
{
    (void)state;
    lend();
    assert_int_equal(scene.shows, 1); /* slice 1 is of a shard that shares nothing */
    assert_shown(0, STEPD_SHOW_GRADIENTS, 0, scene.lent_grad);
}

static void loan__pushed__is_not_copied(void **state)
{
    (void)state;
    const struct stepd_array array = array_of(0, scene.lent_grad, NULL);
    lend();
    scene.lent_grad[0] = 5.0F; /* in truth the same memory */
    (void)rig_start(&scene.rig, STEPD_OPERATION_PUSH, &array, 1, NULL);
    assert_true(last_to(1)->message.body.push.placed);
    assert_true(scene.gradients[0] == 0.0F);
}

static void loan__that_was_not_pushed_itself__leaves_other_arrays_to_be_copied(void **state)
{
    (void)state;
    const struct stepd_array array = array_of(0, big_grad, NULL);
    lend();
    (void)rig_start(&scene.rig, STEPD_OPERATION_PUSH, &array, 1, NULL);
    assert_memory_equal(scene.gradients, big_grad, 4 * sizeof(float));
}

static void loan__that_cannot_be_shown__is_copied(void **state)
{
    (void)state;
    scene.cannot_show = true;
    lend();
    memcpy(scene.lent_grad, big_grad, sizeof big_grad);
    scene.weights[0] = 3.0F;
    step_at(1, 0);
    assert_memory_equal(scene.gradients, big_grad, 4 * sizeof(float));
    assert_true(scene.lent_weights[0] == 3.0F);
}

/* The process has only so many mappings, and its caller wants some. */
static void loan__beyond_what_is_shown_at_a_time__is_copied(void **state)
{
    (void)state;
    scene.rig.exchange.shown = STEPD_SHOWN_MAX;
    lend();
    memcpy(scene.lent_grad, big_grad, sizeof big_grad);
    scene.weights[0] = 3.0F;
    step_at(1, 0);
    assert_int_equal(scene.shows, 0);
    assert_memory_equal(scene.gradients, big_grad, 4 * sizeof(float));
    assert_true(scene.lent_weights[0] == 3.0F);
}

static void loan__answered_with_a_place__is_shown_it_until_it_changes(void **state)
{
    (void)state;
    lend();
    step_at(1, PAGE);
    assert_int_equal(scene.shows, 2);
    assert_shown(1, STEPD_SHOW_WEIGHTS, PAGE, scene.lent_weights);
    step_at(2, PAGE);
    assert_int_equal(scene.shows, 2);
    step_at(3, 2 * PAGE);
    assert_int_equal(scene.shows, 3);
    assert_shown(2, STEPD_SHOW_WEIGHTS, 2 * PAGE, scene.lent_weights);
    assert_true(scene.lent_weights[0] == 0.0F); /* nothing was copied */
}

static void loan__answered_with_a_payload__is_hidden_before(void **state)
{
    (void)state;
    const struct stepd_array array = array_of(0, scene.lent_grad, scene.lent_weights);
    lend();
    step_at(1, PAGE);
    (void)rig_start(&scene.rig, STEPD_OPERATION_PULL, &array, 1, NULL);
    const struct stepd_message result =
        rig_result(last_to(1)->message.request_id, 1, slice0, STEPD_NONE, 1);
    rig_reply(&scene.rig, 1, &result, other_grad, 4 * sizeof(float));
    assert_int_equal(scene.shows, 3);
    assert_true(scene.shown[2].hidden);
    assert_ptr_equal(scene.shown[2].pages, scene.lent_weights);
    assert_int_equal(scene.shown[2].bytes, PAGE);
    assert_memory_equal(scene.lent_weights, other_grad, 4 * sizeof(float));
}

static void loan__pulled_into_another_array__stays_shown(void **state)
{
    (void)state;
    float weights[6];
    const struct stepd_array array = array_of(0, NULL, weights);
    lend();
    step_at(1, PAGE);
    (void)rig_start(&scene.rig, STEPD_OPERATION_PULL, &array, 1, NULL);
    const struct stepd_message result =
        rig_result(last_to(1)->message.request_id, 1, slice0, STEPD_NONE, 1);
    rig_reply(&scene.rig, 1, &result, other_grad, 4 * sizeof(float));
    assert_int_equal(scene.shows, 2);
}

static void loan__when_the_job_goes_back__is_hidden(void **state)
{
    (void)state;
    const struct stepd_error error = {.code = STEPD_ROLLED_BACK, .text = "it went back"};
    lend();
    step_at(1, PAGE);
    stepd_exchange_roll_back(&scene.rig.exchange, &error);
    assert_int_equal(scene.shows, 3);
    assert_true(scene.shown[2].hidden);
    assert_ptr_equal(scene.shown[2].pages, scene.lent_weights);
}

/* Its gradients are shown of memory that nobody reads any more. */
static void loan__after_the_link_was_made_again__is_copied_and_shown_anew(void **state)
{
    (void)state;
    lend();
    step_at(1, PAGE);
    share();
    memcpy(scene.lent_grad, big_grad, sizeof big_grad);
    step_at(2, PAGE);
    assert_memory_equal(scene.gradients, big_grad, 4 * sizeof(float));
    assert_int_equal(scene.shows, 3);
    assert_shown(2, STEPD_SHOW_WEIGHTS, PAGE, scene.lent_weights);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up_shared, tear_down)
#define PLACE(bad, set_up)                                                                         \
    {                                                                                              \
        "place__" #bad "__ends_the_connection", place__ends_the_connection, set_up, tear_down,     \
            &(bad)                                                                                 \
    }
#define TEST_ALONE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(gradients__of_a_shard_that_shares__lie_at_their_places),
        TEST(gradients__in_16_bits__are_the_payload),
        TEST(gradients__of_no_examples__are_nowhere),
        TEST(gradients__while_another_push_is_under_way__are_the_payload),
        TEST_ALONE(share__of_too_little__is_refused),
        TEST(share__of_too_little__leaves_nothing_of_what_was_before),
        TEST(share__of_nothing_after_all__sends_payloads_again),
        TEST(weights__at_places__are_copied_to_the_callers),
        TEST(weights__of_some_tensors_of_a_slice__are_copied_to_those),
        PLACE(beyond_the_memory, set_up_shared),
        PLACE(beyond_all_numbers, set_up_shared),
        PLACE(within_a_page, set_up_shared),
        PLACE(with_a_payload_too, set_up_shared),
        PLACE(where_nothing_is_shared, set_up),
        TEST(loan__of_a_shared_slice__shows_its_gradients_at_once),
        TEST(loan__pushed__is_not_copied),
        TEST(loan__that_was_not_pushed_itself__leaves_other_arrays_to_be_copied),
        TEST(loan__that_cannot_be_shown__is_copied),
        TEST(loan__beyond_what_is_shown_at_a_time__is_copied),
        TEST(loan__answered_with_a_place__is_shown_it_until_it_changes),
        TEST(loan__answered_with_a_payload__is_hidden_before),
        TEST(loan__pulled_into_another_array__stays_shown),
        TEST(loan__when_the_job_goes_back__is_hidden),
        TEST(loan__after_the_link_was_made_again__is_copied_and_shown_anew),
    };
    return cmocka_run_group_tests_name("client/shared", tests, NULL, NULL);
}
