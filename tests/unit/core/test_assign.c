/* SPDX-License-Identifier: Apache-2.0
 *
 * First values from rank 0: who may send them, what they must be, and what waits for them.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/dtype.h"
#include "tests/lib/shard.h"

static const uint64_t four[] = {4};
static const float values[4] = {1, 2, 3, 4};
static const float others[4] = {5, 6, 7, 8};
static const uint32_t first_slice[] = {0};

/* Peers 0 and 1 are workers, peer 2 an observer of a job whose one tensor is to be assigned. */
static void setup(struct shard *shard)
{
    struct stepd_tensor_def tensor = shard_tensor("w", four, 1, 0.0);
    tensor.init.kind = STEPD_INIT_VALUES;
    const struct shard_job job = {.workers = 2, .lr = 1.0, .tensors = 1, .tensor = &tensor};
    shard_setup(shard, &job);
    shard_session(shard, 2, 1, true);
    for (uint32_t rank = 0; rank < 3; rank++)
        shard_connect(shard, rank, rank);
}

/* Sends n of the bytes that an assign takes. */
static void assign(struct shard *shard, size_t peer, const float *payload, size_t n)
{
    const struct stepd_message message = {
        .request_id = 5,
        .kind = STEPD_MESSAGE_ASSIGN,
        .body.assign = {.incarnation = 1, .slices = {.count = 1, .at = first_slice}},
    };
    assert_int_equal(shard_send(shard, peer, &message, payload, n, sizeof values, NULL), STEPD_OK);
}

static void assert_weights(struct shard *shard, const float *expected)
{
    shard_pull(shard, 1, 9, 0, 1);
    assert_int_equal(shard_last(shard, 1)->request_id, 9);
    assert_memory_equal(shard_last(shard, 1)->value, expected, sizeof values);
}

static void assert_refused(const struct shard *shard, size_t peer, enum stepd_status code,
                           const char *text)
{
    assert_int_equal(shard_last(shard, peer)->request_id, 5);
    assert_int_equal(shard_last(shard, peer)->code, code);
    assert_non_null(strstr(shard_last(shard, peer)->text, text));
}

static bool is_unvalued(struct shard *shard)
{
    const size_t before = shard->peer[1].replies;
    shard_pull(shard, 1, 8, 0, 1);
    return shard->peer[1].replies == before;
}

static void assign__by_rank_0__gives_the_values_to_who_waits(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard);
    assert_true(is_unvalued(&shard));
    assign(&shard, 0, values, sizeof values);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_APPLIED);
    assert_int_equal(shard_last(&shard, 0)->version[0], 0);
    assert_true(shard_last(&shard, 0)->last);
    assert_int_equal(shard_last(&shard, 0)->values, 0); /* it sends nothing back */
    assert_int_equal(shard_last(&shard, 1)->request_id, 8);
    assert_memory_equal(shard_last(&shard, 1)->value, values, sizeof values);
    shard_teardown(&shard);
}

static void assign__by_another_rank_or_an_observer__is_refused(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard);
    assign(&shard, 1, values, sizeof values);
    assert_refused(&shard, 1, STEPD_PERMISSION_DENIED, "this is another rank");
    assign(&shard, 2, values, sizeof values);
    assert_refused(&shard, 2, STEPD_PERMISSION_DENIED, "this is an observer");
    assert_true(is_unvalued(&shard));
    shard_teardown(&shard);
}

static void assign__twice__is_a_duplicate_and_keeps_the_first(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard);
    assign(&shard, 0, values, sizeof values);
    assign(&shard, 0, others, sizeof others);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_DUPLICATE);
    assert_weights(&shard, values);
    shard_teardown(&shard);
}

static void assign__of_a_computed_tensor__is_a_duplicate(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_tensor_def tensor = shard_tensor("w", four, 1, 0.5);
    const struct shard_job job = {.workers = 2, .lr = 1.0, .tensors = 1, .tensor = &tensor};
    shard_setup(&shard, &job);
    shard_connect(&shard, 0, 0);
    shard_connect(&shard, 1, 1);
    assign(&shard, 0, values, sizeof values);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_DUPLICATE);
    const float halves[4] = {0.5F, 0.5F, 0.5F, 0.5F};
    assert_weights(&shard, halves);
    shard_teardown(&shard);
}

static void assign__with_nan_at_any_place__is_refused_and_may_come_again(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard);
    for (size_t i = 0; i < 4; i++) {
        float bad[4] = {1, 1, 1, 1};
        bad[i] = i % 2 == 0 ? NAN : -INFINITY;
        assign(&shard, 0, bad, sizeof bad);
        char element[32];
        (void)snprintf(element, sizeof element, "infinite at element %zu", i);
        assert_refused(&shard, 0, STEPD_INVALID_ARGUMENT, "tensor 'w'");
        assert_refused(&shard, 0, STEPD_INVALID_ARGUMENT, element);
        assert_true(is_unvalued(&shard));
    }
    assign(&shard, 0, values, sizeof values);
    assert_weights(&shard, values);
    shard_teardown(&shard);
}

static void assign__cut_at_every_byte__leaves_the_slice_without_values(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < sizeof values; cut++) {
        struct shard shard;
        setup(&shard);
        assign(&shard, 0, others, cut);
        shard_close(&shard, 0);
        shard_connect(&shard, 0, 0);
        assert_true(is_unvalued(&shard));
        assign(&shard, 0, values, sizeof values);
        assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_APPLIED);
        assert_weights(&shard, values);
        shard_teardown(&shard);
    }
}

static void assign__of_another_length__is_refused_and_read_to_its_end(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard);
    struct stepd_message message = {
        .request_id = 5,
        .kind = STEPD_MESSAGE_ASSIGN,
        .body.assign = {.incarnation = 1, .slices = {.count = 1, .at = first_slice}},
    };
    assert_int_equal(shard_send(&shard, 0, &message, values, 12, 12, NULL), STEPD_OK);
    assert_refused(&shard, 0, STEPD_INVALID_ARGUMENT, "take 16 bytes of f32");
    assign(&shard, 0, values, sizeof values);
    assert_weights(&shard, values);
    shard_teardown(&shard);
}

static void assign__in_16_bits__is_widened(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard);
    uint8_t narrow[8];
    stepd_dtype_narrow(STEPD_BF16, 4, values, narrow);
    const struct stepd_message message = {
        .request_id = 5,
        .kind = STEPD_MESSAGE_ASSIGN,
        .body.assign = {.incarnation = 1,
                        .slices = {.count = 1, .at = first_slice},
                        .dtype = STEPD_BF16},
    };
    assert_int_equal(shard_send(&shard, 0, &message, narrow, 8, 8, NULL), STEPD_OK);
    assert_weights(&shard, values); /* small whole numbers survive */
    shard_teardown(&shard);
}

/* Two tensors of two elements in one slice; of the first there is something else. */
static void assign__of_a_tensor_that_comes_from_elsewhere__leaves_it(void **state)
{
    (void)state;
    static const uint64_t two[] = {2};
    struct shard shard;
    struct stepd_tensor_def tensor[] = {shard_tensor("a", two, 1, 0.0),
                                        shard_tensor("b", two, 1, 0.0)};
    tensor[0].init.kind = tensor[1].init.kind = STEPD_INIT_VALUES;
    struct first_weights *const first = first_weights_create(2);
    first->values[0] = calloc(2, sizeof(float));
    first->values[0][1] = 0.5F;
    const struct shard_job job = {
        .workers = 2, .lr = 1.0, .tensors = 2, .tensor = tensor, .first = first};
    shard_setup(&shard, &job);
    (void)first_weights_unref(first);
    shard_connect(&shard, 0, 0);
    shard_connect(&shard, 1, 1);
    assert_true(is_unvalued(&shard));
    assign(&shard, 0, values, sizeof values);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_APPLIED);
    assert_weights(&shard, (const float[]){0, 0.5F, 3, 4});
    shard_teardown(&shard);
}

static void push__before_the_values__is_refused(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard);
    const struct shard_push push = {
        .id = 5, .clock = 1, .examples = 1, .slices = 1, .grad = values, .values = 4};
    shard_push(&shard, 0, &push);
    assert_refused(&shard, 0, STEPD_FAILED_PRECONDITION, "w has no values yet");
    shard_teardown(&shard);
}

static void pull__past_its_deadline_without_values__waits_for_rank_0(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard);
    assert_true(is_unvalued(&shard));
    shard.now_ms += 10000;
    core_on_tick(shard.core, shard.now_ms);
    const struct shard_reply *reply = shard_last(&shard, 1);
    assert_int_equal(reply->code, STEPD_DEADLINE_EXCEEDED);
    assert_non_null(strstr(reply->text, "waiting for rank 0 to send them"));
    assert_int_equal(reply->waited_for, 1);
    assert_int_equal(reply->waited[0], 0);
    shard_teardown(&shard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(assign__by_rank_0__gives_the_values_to_who_waits),
        cmocka_unit_test(assign__by_another_rank_or_an_observer__is_refused),
        cmocka_unit_test(assign__twice__is_a_duplicate_and_keeps_the_first),
        cmocka_unit_test(assign__of_a_computed_tensor__is_a_duplicate),
        cmocka_unit_test(assign__with_nan_at_any_place__is_refused_and_may_come_again),
        cmocka_unit_test(assign__cut_at_every_byte__leaves_the_slice_without_values),
        cmocka_unit_test(assign__of_another_length__is_refused_and_read_to_its_end),
        cmocka_unit_test(assign__in_16_bits__is_widened),
        cmocka_unit_test(assign__of_a_tensor_that_comes_from_elsewhere__leaves_it),
        cmocka_unit_test(push__before_the_values__is_refused),
        cmocka_unit_test(pull__past_its_deadline_without_values__waits_for_rank_0),
    };
    return cmocka_run_group_tests_name("core/assign", tests, NULL, NULL);
}
