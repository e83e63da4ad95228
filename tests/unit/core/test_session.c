/* SPDX-License-Identifier: Apache-2.0
 *
 * Sessions on a shard: what Hello must say, and what becomes of an older connection.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "tests/lib/shard.h"

static const uint64_t four[] = {4};
static const float ones[4] = {1, 1, 1, 1};
static const float threes[4] = {3, 3, 3, 3};
static const uint32_t first_slice[] = {0};
static const uint64_t version_0[] = {0};

static struct stepd_error error;

static void setup(struct shard *shard, uint32_t workers)
{
    const struct stepd_tensor_def tensor = shard_tensor("w", four, 1, 10.0);
    const struct shard_job job = {.workers = workers, .lr = 1.0, .tensors = 1, .tensor = &tensor};
    shard_setup(shard, &job);
    error = (struct stepd_error){.code = STEPD_OK};
}

static struct shard_push one_push(const float *grad)
{
    return (struct shard_push){
        .id = 7, .clock = 1, .examples = 1, .slices = 1, .grad = grad, .values = 4};
}

/* Begins a push of which `n` bytes come in. */
static void push_in_part(struct shard *shard, size_t peer, const float *grad, size_t n)
{
    const struct stepd_message message = {
        .request_id = 7,
        .kind = STEPD_MESSAGE_PUSH,
        .body.push = {.incarnation = 1,
                      .clock = 1,
                      .slices = {.count = 1, .at = first_slice},
                      .base_versions = {.count = 1, .at = version_0},
                      .examples = 1},
    };
    assert_int_equal(shard_send(shard, peer, &message, grad, n, sizeof ones, NULL), STEPD_OK);
}

static float weight(struct shard *shard, size_t peer)
{
    shard_pull(shard, peer, 99, 0, 1);
    assert_int_equal(shard_last(shard, peer)->values, 4);
    return shard_last(shard, peer)->value[0];
}

/* ---- Hello ----------------------------------------------------------------------------------- */

/* A Hello that must be refused; gives the text. */
static const char *refused(const struct stepd_hello *hello, enum stepd_status code)
{
    struct shard shard;
    setup(&shard, 1);
    shard_open(&shard, 0);
    assert_int_equal(shard_say_hello(&shard, 0, hello, &error), code);
    assert_int_equal(error.code, code);
    assert_int_equal(shard.peer[0].replies, 0); /* who closes the connection says why */
    shard_teardown(&shard);
    return error.text;
}

static void hello__of_a_session__is_welcomed_with_what_is_known(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, 3);
    shard_connect(&shard, 0, 2);
    const struct shard_reply *reply = shard_last(&shard, 0);
    assert_int_equal(reply->request_id, 1);
    assert_int_equal(reply->welcome.rank, 2);
    assert_int_equal(reply->welcome.world, 3);
    assert_int_equal(reply->welcome.epoch, 1);
    assert_int_equal(reply->welcome.incarnation, 1);
    assert_int_equal(reply->welcome.clock, 0);
    shard_teardown(&shard);
}

static void hello__of_another_protocol__is_refused_with_both_versions(void **state)
{
    (void)state;
    uint8_t session[STEPD_SESSION_BYTES];
    struct stepd_hello hello = shard_hello_of(0, session);
    hello.protocol = 9;
    const char *text = refused(&hello, STEPD_FAILED_PRECONDITION);
    assert_non_null(strstr(text, "protocol version 9, this server speaks 1"));
}

static void hello__to_another_shard__is_refused(void **state)
{
    (void)state;
    uint8_t session[STEPD_SESSION_BYTES];
    struct stepd_hello hello = shard_hello_of(0, session);
    hello.shard = 2;
    assert_non_null(strstr(refused(&hello, STEPD_INVALID_ARGUMENT), "this is shard 1, not 2"));
}

static void hello__without_a_session__is_refused(void **state)
{
    (void)state;
    uint8_t session[STEPD_SESSION_BYTES];
    struct stepd_hello hello = shard_hello_of(0, session);
    hello.session = (struct stepd_bytes){.count = 0};
    assert_non_null(strstr(refused(&hello, STEPD_FAILED_PRECONDITION), "Hello with shard 0"));
}

static void hello__of_an_unknown_session__is_refused(void **state)
{
    (void)state;
    uint8_t session[STEPD_SESSION_BYTES];
    const struct stepd_hello hello = shard_hello_of(5, session);
    assert_non_null(strstr(refused(&hello, STEPD_NOT_FOUND), "session is not known"));
}

static void hello__with_frames_too_small_for_a_head__is_refused(void **state)
{
    (void)state;
    uint8_t session[STEPD_SESSION_BYTES];
    struct stepd_hello hello = shard_hello_of(0, session);
    hello.max_frame_bytes = 1000;
    assert_non_null(strstr(refused(&hello, STEPD_INVALID_ARGUMENT), "max_frame_bytes is 1000"));
}

static void hello__with_a_payload__is_refused(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, 1);
    uint8_t session[STEPD_SESSION_BYTES];
    const struct stepd_message message = {
        .request_id = 1, .kind = STEPD_MESSAGE_HELLO, .body.hello = shard_hello_of(0, session)};
    shard_open(&shard, 0);
    assert_int_equal(shard_send(&shard, 0, &message, ones, 16, 16, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "a hello has no payload"));
    shard_teardown(&shard);
}

static void connection__that_opens_with_something_else__is_refused(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, 1);
    shard_open(&shard, 0);
    const struct stepd_message message = {.request_id = 1, .kind = STEPD_MESSAGE_PULL};
    assert_int_equal(shard_send(&shard, 0, &message, NULL, 0, 0, &error),
                     STEPD_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "must be hello, not pull"));
    shard_teardown(&shard);
}

static void hello__a_second_time__is_refused_and_the_connection_goes_on(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, 1);
    shard_connect(&shard, 0, 0);
    uint8_t session[STEPD_SESSION_BYTES];
    const struct stepd_hello hello = shard_hello_of(0, session);
    assert_int_equal(shard_say_hello(&shard, 0, &hello, &error), STEPD_OK);
    assert_int_equal(shard_last(&shard, 0)->code, STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(shard_last(&shard, 0)->text, "not hello; send it to control"));
    assert_true(weight(&shard, 0) == 10.0F);
    shard_teardown(&shard);
}

/* ---- One connection after another ------------------------------------------------------------ */

static void hello__on_a_second_connection__hangs_up_the_first_with_its_half_push(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, 1);
    shard_connect(&shard, 0, 0);
    push_in_part(&shard, 0, threes, 9);
    shard_connect(&shard, 1, 0);
    assert_true(shard.peer[0].hung_up);
    const struct shard_push push = one_push(ones);
    shard_push(&shard, 1, &push);
    assert_int_equal(shard_last(&shard, 1)->outcome[0], STEPD_APPLIED);
    assert_true(weight(&shard, 1) == 9.0F);
    shard_teardown(&shard);
}

static void hello__on_a_second_connection__keeps_what_had_counted(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, 2);
    shard_connect(&shard, 0, 0);
    shard_connect(&shard, 1, 1);
    const struct shard_push push = one_push(threes);
    shard_push(&shard, 0, &push);
    const size_t before = shard.peer[0].replies;
    shard_connect(&shard, 2, 0);
    assert_int_equal(shard_last(&shard, 2)->welcome.clock, 1);
    struct shard_push again = one_push(ones);
    shard_push(&shard, 2, &again);
    shard_push(&shard, 1, &again);
    assert_int_equal(shard_last(&shard, 2)->outcome[0], STEPD_DUPLICATE);
    assert_int_equal(shard.peer[0].replies, before); /* nobody is there to be answered */
    assert_true(weight(&shard, 2) == 8.0F);          /* 10 - (3 + 1) / 2 */
    shard_teardown(&shard);
}

static void session__at_its_next_epoch__loses_its_connection_before_the_new_one(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, 1);
    shard_connect(&shard, 0, 0);
    push_in_part(&shard, 0, threes, 15);
    shard_session(&shard, 0, 2, false);
    assert_true(shard.peer[0].hung_up);
    shard_connect(&shard, 1, 0);
    assert_int_equal(shard_last(&shard, 1)->welcome.epoch, 2);
    const struct shard_push push = one_push(ones);
    shard_push(&shard, 1, &push);
    assert_true(weight(&shard, 1) == 9.0F);
    shard_teardown(&shard);
}

static void session__that_is_gone__loses_its_connection_and_is_unknown(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, 2);
    shard_connect(&shard, 0, 0);
    shard_connect(&shard, 1, 1);
    push_in_part(&shard, 1, threes, 15);
    struct order *order = order_create(ORDER_SESSION_GONE, "j");
    order->session[0] = 2; /* of rank 1 */
    core_on_order(shard.core, order, shard.now_ms);
    assert_true(shard.peer[1].hung_up);
    assert_false(shard.peer[0].hung_up);
    assert_int_equal(shard_hello(&shard, 2, 1, &error), STEPD_NOT_FOUND);
    shard_teardown(&shard);
}

static void session__that_is_gone_for_a_reason__is_told_it_first(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, 2);
    shard_connect(&shard, 1, 1);
    struct order *order = order_create(ORDER_SESSION_GONE, "j");
    order->session[0] = 2; /* of rank 1 */
    (void)stepd_fail(&order->error, STEPD_FAILED_PRECONDITION, "rank 1 has passed to another");
    core_on_order(shard.core, order, shard.now_ms);
    assert_int_equal(shard_last(&shard, 1)->request_id, 0);
    assert_string_equal(shard_last(&shard, 1)->text, "rank 1 has passed to another");
    assert_true(shard.peer[1].hung_up);
    shard_teardown(&shard);
}

static void session__that_was_never_there__may_be_gone_too(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, 1);
    shard_connect(&shard, 0, 0);
    struct order *order = order_create(ORDER_SESSION_GONE, "j");
    order->session[0] = 77;
    core_on_order(shard.core, order, shard.now_ms);
    assert_true(weight(&shard, 0) == 10.0F);
    shard_teardown(&shard);
}

/* ---- Observers ------------------------------------------------------------------------------- */

static void push__by_an_observer__is_refused(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, 1);
    shard_session(&shard, 1, 1, true);
    shard_connect(&shard, 0, 1);
    const struct shard_push push = one_push(ones);
    shard_push(&shard, 0, &push);
    assert_int_equal(shard_last(&shard, 0)->code, STEPD_PERMISSION_DENIED);
    assert_non_null(strstr(shard_last(&shard, 0)->text, "an observer does not push"));
    assert_true(weight(&shard, 0) == 10.0F); /* it may pull */
    shard_teardown(&shard);
}

static void observer__of_the_number_of_a_rank__is_not_that_rank(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, 2);
    struct order *order = order_create(ORDER_SESSION, "j");
    order->session[0] = 9;
    order->rank = 1;
    order->observer = true;
    order->worker = strdup("watcher");
    core_on_order(shard.core, order, shard.now_ms);
    shard_connect(&shard, 0, 0);
    struct shard_push push = one_push(ones);
    push.deadline_ms = 1;
    shard_push(&shard, 0, &push);
    shard.now_ms += 1;
    core_on_tick(shard.core, shard.now_ms);
    assert_non_null(strstr(shard_last(&shard, 0)->text, "rank 1 (worker 'tester'"));
    shard_teardown(&shard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello__of_a_session__is_welcomed_with_what_is_known),
        cmocka_unit_test(hello__of_another_protocol__is_refused_with_both_versions),
        cmocka_unit_test(hello__to_another_shard__is_refused),
        cmocka_unit_test(hello__without_a_session__is_refused),
        cmocka_unit_test(hello__of_an_unknown_session__is_refused),
        cmocka_unit_test(hello__with_frames_too_small_for_a_head__is_refused),
        cmocka_unit_test(hello__with_a_payload__is_refused),
        cmocka_unit_test(connection__that_opens_with_something_else__is_refused),
        cmocka_unit_test(hello__a_second_time__is_refused_and_the_connection_goes_on),
        cmocka_unit_test(hello__on_a_second_connection__hangs_up_the_first_with_its_half_push),
        cmocka_unit_test(hello__on_a_second_connection__keeps_what_had_counted),
        cmocka_unit_test(session__at_its_next_epoch__loses_its_connection_before_the_new_one),
        cmocka_unit_test(session__that_is_gone__loses_its_connection_and_is_unknown),
        cmocka_unit_test(session__that_is_gone_for_a_reason__is_told_it_first),
        cmocka_unit_test(session__that_was_never_there__may_be_gone_too),
        cmocka_unit_test(push__by_an_observer__is_refused),
        cmocka_unit_test(observer__of_the_number_of_a_rank__is_not_that_rank),
    };
    return cmocka_run_group_tests_name("core/session", tests, NULL, NULL);
}
