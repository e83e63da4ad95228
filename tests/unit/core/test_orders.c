/* SPDX-License-Identifier: Apache-2.0
 *
 * What control says and hears: jobs that open and close under requests, members that come and go,
 * queries, and who is alive.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/shard.h"

static const uint64_t four[] = {4};
static const float ones[4] = {1, 1, 1, 1};
static const float threes[4] = {3, 3, 3, 3};
static const uint32_t first_slice[] = {0};

static struct shard_job small_job(enum stepd_mode mode, uint32_t workers)
{
    static struct stepd_tensor_def tensor;
    tensor = shard_tensor("w", four, 1, 10.0);
    return (struct shard_job){
        .mode = mode, .workers = workers, .lr = 1.0, .tensors = 1, .tensor = &tensor};
}

static void setup(struct shard *shard, enum stepd_mode mode, uint32_t workers)
{
    const struct shard_job job = small_job(mode, workers);
    shard_setup(shard, &job);
    for (uint32_t rank = 0; rank < workers; rank++)
        shard_connect(shard, rank, rank);
}

static struct shard_push one_push(uint64_t clock, uint64_t base_version, const float *grad)
{
    return (struct shard_push){.id = 100 + clock,
                               .clock = clock,
                               .base_version = base_version,
                               .examples = 1,
                               .slices = 1,
                               .grad = grad,
                               .values = 4};
}

static void push(struct shard *shard, size_t peer, uint64_t clock, uint64_t base_version)
{
    const struct shard_push push = one_push(clock, base_version, ones);
    shard_push(shard, peer, &push);
}

/* The head of a push of threes of clock 1, and the first n bytes of it. */
static void begin_push(struct shard *shard, size_t peer, size_t n)
{
    static const uint64_t version_0[] = {0};
    const struct stepd_message message = {
        .request_id = 50,
        .kind = STEPD_MESSAGE_PUSH,
        .body.push = {.incarnation = 1,
                      .clock = 1,
                      .slices = {.count = 1, .at = first_slice},
                      .base_versions = {.count = 1, .at = version_0},
                      .examples = 1},
    };
    assert_int_equal(shard_send(shard, peer, &message, threes, n, sizeof threes, NULL), STEPD_OK);
}

/* The rest of it. */
static void end_push(struct shard *shard, size_t peer, size_t n)
{
    const uint8_t *bytes = (const uint8_t *)threes + n;
    size_t left = sizeof threes - n;
    while (left > 0) {
        size_t room = 0;
        uint8_t *window = core_window(shard->peer[peer].conn, &room);
        const size_t part = room < left ? room : left;
        assert_true(part > 0);
        if (window != NULL)
            memcpy(window, bytes, part);
        core_filled(shard->peer[peer].conn, part, shard->now_ms);
        bytes += part;
        left -= part;
    }
}

static float weight(struct shard *shard, size_t peer)
{
    shard_pull(shard, peer, 99, 0, 1);
    assert_int_equal(shard_last(shard, peer)->values, 4);
    return shard_last(shard, peer)->value[0];
}

/* ---- Jobs ------------------------------------------------------------------------------------ */

static void job__that_is_open__is_not_opened_again(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 1);
    struct order *order = order_create(ORDER_JOB_OPEN, "j");
    order->job = job_ref(shard.job);
    core_on_order(shard.core, order, shard.now_ms);
    assert_int_equal(shard.opened.code, STEPD_ALREADY_EXISTS);
    assert_true(weight(&shard, 0) == 10.0F);
    shard_teardown(&shard);
}

static void job__that_closes__ends_what_waits_and_knows_no_more_requests(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 2);
    push(&shard, 0, 1, 0);
    shard_pull(&shard, 1, 60, 1, 1);
    shard_order(&shard, ORDER_JOB_CLOSE);
    assert_int_equal(shard_last(&shard, 0)->code, STEPD_ABORTED);
    assert_int_equal(shard_last(&shard, 0)->request_id, 101);
    assert_int_equal(shard_last(&shard, 1)->code, STEPD_ABORTED);
    assert_int_equal(shard_last(&shard, 1)->request_id, 60);
    push(&shard, 0, 2, 0);
    assert_int_equal(shard_last(&shard, 0)->code, STEPD_FAILED_PRECONDITION);
    assert_non_null(strstr(shard_last(&shard, 0)->text, "job 'j' is not defined here"));
    shard_order(&shard, ORDER_JOB_CLOSE); /* and again: nothing */
    shard_teardown(&shard);
}

static void job__that_closes_while_its_weights_are_read__keeps_them_so_long(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 1);
    shard.hold = true;
    shard_pull(&shard, 0, 60, 0, 1);
    shard_order(&shard, ORDER_JOB_CLOSE);
    assert_true(shard.held_piece[0]->values[3] == 10.0F);
    shard_release(&shard);
    shard_teardown(&shard);
}

static void job__that_closes_and_opens_while_weights_are_read__starts_anew(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 1);
    push(&shard, 0, 1, 0);
    shard.hold = true;
    shard_pull(&shard, 0, 60, 0, 1);
    shard_order(&shard, ORDER_JOB_CLOSE);
    struct order *order = order_create(ORDER_JOB_OPEN, "j");
    order->job = job_ref(shard.job);
    core_on_order(shard.core, order, shard.now_ms);
    assert_int_equal(shard.opened.code, STEPD_OK);
    assert_true(weight(&shard, 0) == 10.0F);
    assert_true(shard.held_piece[0]->values[0] == 9.0F);
    shard_release(&shard);
    shard_teardown(&shard);
}

static void job__that_closes_under_a_push__drops_the_rest_of_it(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 1);
    begin_push(&shard, 0, 5);
    shard_order(&shard, ORDER_JOB_CLOSE);
    assert_int_equal(shard_last(&shard, 0)->code, STEPD_ABORTED);
    const size_t replies = shard.peer[0].replies;
    end_push(&shard, 0, 5);
    assert_int_equal(shard.peer[0].replies, replies); /* answered once */
    shard_pull(&shard, 0, 60, 0, 1);                  /* and the connection goes on */
    assert_int_equal(shard_last(&shard, 0)->code, STEPD_FAILED_PRECONDITION);
    shard_teardown(&shard);
}

static void job__that_closes_under_a_push_that_was_answered__does_not_answer_again(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 1);
    push(&shard, 0, 1, 0);
    begin_push(&shard, 0, 5); /* the same clock: answered before it is in */
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_DUPLICATE);
    assert_true(shard_last(&shard, 0)->last);
    const size_t replies = shard.peer[0].replies;
    shard_order(&shard, ORDER_JOB_CLOSE);
    end_push(&shard, 0, 5);
    assert_int_equal(shard.peer[0].replies, replies);
    shard_teardown(&shard);
}

static void job__that_starts__closes_the_rounds_that_are_full(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = small_job(STEPD_SYNC, 1);
    shard_open_job(&shard, &job);
    shard_session(&shard, 0, 1, false);
    shard_member(&shard, 0, 0, UINT64_MAX);
    shard_connect(&shard, 0, 0);
    push(&shard, 0, 1, 0);
    assert_int_equal(shard_last(&shard, 0)->kind, STEPD_MESSAGE_WELCOME);
    shard_start(&shard);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_APPLIED);
    shard_teardown(&shard);
}

static void order__about_an_unknown_job__does_nothing(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 1);

    const enum order_kind kinds[] = {ORDER_JOB_CLOSE, ORDER_JOB_START, ORDER_MEMBER};

    for (size_t i = 0; i < 3; i++)
        core_on_order(shard.core, order_create(kinds[i], "elsewhere"), shard.now_ms);
    push(&shard, 0, 1, 0);
    assert_true(weight(&shard, 0) == 9.0F);
    shard_teardown(&shard);
}

/* ---- Reset ----------------------------------------------------------------------------------- */

static void reset__with_sessions_and_jobs__forgets_them_all(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 2);
    push(&shard, 0, 1, 0);
    begin_push(&shard, 1, 5);
    core_on_order(shard.core, order_create(ORDER_RESET, ""), shard.now_ms);
    for (size_t peer = 0; peer < 2; peer++) {
        assert_true(shard.peer[peer].hung_up);
        assert_int_equal(shard_last(&shard, peer)->code, STEPD_UNAVAILABLE);
        assert_int_equal(shard_last(&shard, peer)->request_id, 0);
        assert_string_equal(shard_last(&shard, peer)->text,
                            "the daemon begins anew from the newest checkpoint of each job; "
                            "connect again");
    }
    shard_query(&shard);
    assert_int_equal(shard.answer_slices, 0);
    struct stepd_error error;
    assert_int_not_equal(shard_hello(&shard, 0, 0, &error), STEPD_OK);
    shard_teardown(&shard);
}

static void reset__with_an_error__says_it(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_ASYNC, 1);
    shard_give(&shard,
               &(struct order){.kind = ORDER_RESET,
                               .job_name = shard.job->name,
                               .error = {.code = STEPD_ABORTED, .text = "daemon 2 is lost"}});
    assert_int_equal(shard_last(&shard, 0)->code, STEPD_ABORTED);
    assert_string_equal(shard_last(&shard, 0)->text, "daemon 2 is lost");
    shard_teardown(&shard);
}

static void reset__then_opened__starts_anew_at_once(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 1);
    push(&shard, 0, 1, 0);
    shard.hold = true;
    shard_pull(&shard, 0, 60, 0, 1);
    core_on_order(shard.core, order_create(ORDER_RESET, ""), shard.now_ms);
    struct order *order = order_create(ORDER_JOB_OPEN, "j");
    order->job = job_ref(shard.job);
    core_on_order(shard.core, order, shard.now_ms);
    assert_int_equal(shard.opened.code, STEPD_OK);
    shard_session(&shard, 0, 1, false);
    shard_connect(&shard, 1, 0);
    assert_true(weight(&shard, 1) == 10.0F);
    assert_true(shard.held_piece[0]->values[0] == 9.0F);
    shard_release(&shard);
    assert_true(weight(&shard, 1) == 10.0F);
    shard_teardown(&shard);
}

/* ---- Members --------------------------------------------------------------------------------- */

static void member__until_a_version__is_waited_for_up_to_it(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 2);
    shard_member(&shard, 1, 0, 1); /* it leaves after its first push */
    push(&shard, 0, 1, 0);
    assert_int_equal(shard_last(&shard, 0)->kind, STEPD_MESSAGE_WELCOME);
    push(&shard, 1, 1, 0);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_APPLIED);
    push(&shard, 0, 2, 1);
    assert_int_equal(shard_last(&shard, 0)->version[0], 2);
    shard_teardown(&shard);
}

static void member__that_is_taken_out_while_its_push_comes_in__does_not_count(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 2);
    begin_push(&shard, 1, 5);
    push(&shard, 0, 1, 0);
    shard_member(&shard, 1, 0, 0); /* the round closes without it */
    end_push(&shard, 1, 5);
    assert_int_equal(shard_last(&shard, 1)->request_id, 50);
    assert_int_equal(shard_last(&shard, 1)->outcome[0], STEPD_LATE_DROPPED);
    push(&shard, 0, 2, 1);
    assert_true(weight(&shard, 0) == 8.0F); /* nothing of the threes */
    shard_teardown(&shard);
}

static void member__of_async_taken_out_while_its_push_comes_in__is_fenced(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_ASYNC, 2);
    begin_push(&shard, 1, 5);
    shard_member(&shard, 1, 0, 0);
    end_push(&shard, 1, 5);
    assert_int_equal(shard_last(&shard, 1)->outcome[0], STEPD_FENCED);
    assert_true(weight(&shard, 0) == 10.0F);
    shard_teardown(&shard);
}

static void member__beyond_the_jobs_workers__may_not_push(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_ASYNC, 1);
    shard_session(&shard, 7, 1, false);
    shard_member(&shard, 7, 0, UINT64_MAX);
    shard_connect(&shard, 3, 7);
    push(&shard, 3, 1, 0);
    assert_int_equal(shard_last(&shard, 3)->code, STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(shard_last(&shard, 3)->text, "ranks 0 to 0"));
    shard_teardown(&shard);
}

/* ---- Queries --------------------------------------------------------------------------------- */

static void query__of_a_job__tells_versions_and_who_is_waited_for(void **state)
{
    (void)state;
    struct shard shard;
    const uint64_t shape[] = {2, 256};
    const struct stepd_tensor_def tensor = shard_tensor("w", shape, 2, 0.0);
    const struct shard_job job = {
        .workers = 2, .lr = 1.0, .slice_elements = 256, .tensors = 1, .tensor = &tensor};
    shard_setup(&shard, &job);
    shard_connect(&shard, 0, 0);
    shard_connect(&shard, 1, 1);
    static const float grad[256] = {1};
    const struct shard_push push = {
        .id = 7, .clock = 1, .examples = 1, .slices = 1, .grad = grad, .values = 256};
    shard_push(&shard, 0, &push);
    shard_query(&shard);
    assert_int_equal(shard.answer_slices, 2);
    assert_int_equal(shard.waited_for, 2); /* rank 1 */
    assert_int_equal(shard.answer_parked, 1);
    assert_int_equal(shard.answer_max, 0);
    shard_push(&shard, 1, &push);
    shard_query(&shard);
    assert_int_equal(shard.answer_min, 0);
    assert_int_equal(shard.answer_max, 1);
    assert_int_equal(shard.waited_for, 0); /* nobody has begun the other slice's round */
    assert_int_equal(shard.answer_parked, 0);
    shard_teardown(&shard);
}

static void query__of_an_unknown_job__is_answered_too(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 1);
    shard_order(&shard, ORDER_JOB_CLOSE);
    shard_query(&shard);
    assert_int_equal(shard.answers, 1);
    assert_int_equal(shard.answer_slices, 0);
    shard_teardown(&shard);
}

static void query__of_an_async_job__waits_for_nobody(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_ASYNC, 2);
    push(&shard, 0, 1, 0);
    shard_query(&shard);
    assert_int_equal(shard.answer_max, 1);
    assert_int_equal(shard.waited_for, 0);
    shard_teardown(&shard);
}

/* ---- Who is alive ---------------------------------------------------------------------------- */

static void tick__after_frames__tells_who_was_heard_and_its_clock_once(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_ASYNC, 3);
    shard_session(&shard, 3, 1, true);
    shard_connect(&shard, 3, 3);
    core_on_tick(shard.core, shard.now_ms);
    assert_int_equal(shard.heard, 3); /* the Hellos of the members */
    shard.heard = 0;
    push(&shard, 1, 1, 0);
    push(&shard, 1, 2, 1);
    (void)weight(&shard, 3); /* an observer's pulls keep nobody alive */
    shard.now_ms += 249;
    core_on_tick(shard.core, shard.now_ms);
    assert_int_equal(shard.heard, 0); /* not more often than that */
    shard.now_ms += 1;
    core_on_tick(shard.core, shard.now_ms);
    assert_int_equal(shard.heard, 1);
    assert_int_equal(shard.heard_rank[0], 1);
    assert_int_equal(shard.heard_clock[0], 2);
    shard.heard = 0;
    shard.now_ms += 1000;
    core_on_tick(shard.core, shard.now_ms);
    assert_int_equal(shard.heard, 0);
    shard_teardown(&shard);
}

static void tick__after_a_push_that_came_too_late__counts_its_clock_as_used(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, 1);
    push(&shard, 0, 1, 0);
    push(&shard, 0, 2, 0);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_LATE_DROPPED);
    shard.now_ms += 250;
    core_on_tick(shard.core, shard.now_ms);
    assert_int_equal(shard.heard_clock[0], 2);
    shard_teardown(&shard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(job__that_is_open__is_not_opened_again),
        cmocka_unit_test(job__that_closes__ends_what_waits_and_knows_no_more_requests),
        cmocka_unit_test(job__that_closes_while_its_weights_are_read__keeps_them_so_long),
        cmocka_unit_test(job__that_closes_and_opens_while_weights_are_read__starts_anew),
        cmocka_unit_test(job__that_closes_under_a_push__drops_the_rest_of_it),
        cmocka_unit_test(job__that_closes_under_a_push_that_was_answered__does_not_answer_again),
        cmocka_unit_test(job__that_starts__closes_the_rounds_that_are_full),
        cmocka_unit_test(order__about_an_unknown_job__does_nothing),
        cmocka_unit_test(reset__with_sessions_and_jobs__forgets_them_all),
        cmocka_unit_test(reset__with_an_error__says_it),
        cmocka_unit_test(reset__then_opened__starts_anew_at_once),
        cmocka_unit_test(member__until_a_version__is_waited_for_up_to_it),
        cmocka_unit_test(member__that_is_taken_out_while_its_push_comes_in__does_not_count),
        cmocka_unit_test(member__of_async_taken_out_while_its_push_comes_in__is_fenced),
        cmocka_unit_test(member__beyond_the_jobs_workers__may_not_push),
        cmocka_unit_test(query__of_a_job__tells_versions_and_who_is_waited_for),
        cmocka_unit_test(query__of_an_unknown_job__is_answered_too),
        cmocka_unit_test(query__of_an_async_job__waits_for_nobody),
        cmocka_unit_test(tick__after_frames__tells_who_was_heard_and_its_clock_once),
        cmocka_unit_test(tick__after_a_push_that_came_too_late__counts_its_clock_as_used),
    };
    return cmocka_run_group_tests_name("core/orders", tests, NULL, NULL);
}
