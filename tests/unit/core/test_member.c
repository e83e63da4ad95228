/* SPDX-License-Identifier: Apache-2.0
 *
 * Ranks that are given up, ranks that join later, and a job that has failed, as a shard sees them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "tests/lib/settings.h"
#include "tests/lib/shard.h"

enum { SLICES = 2, SLICE = 256, OBSERVER = 7 };

static const float grad[SLICES * SLICE] = {1};
static const float large[SLICE] = {9};
static const uint32_t second[] = {1};

/* Two slices of a tensor, and three workers. */
static void setup(struct shard *shard, enum stepd_mode mode, const char *settings)
{
    const uint64_t shape[] = {SLICES, SLICE};
    const struct stepd_tensor_def tensor = shard_tensor("w", shape, 2, 0.0);
    const struct shard_job job = {.mode = mode,
                                  .settings = settings_of(settings),
                                  .workers = 3,
                                  .lr = 1.0,
                                  .slice_elements = SLICE,
                                  .tensors = 1,
                                  .tensor = &tensor};
    shard_setup(shard, &job);
    for (uint32_t rank = 0; rank < 3; rank++)
        shard_connect(shard, rank, rank);
}

static struct shard_push push_of(size_t slices, const uint32_t *slice, uint64_t clock)
{
    return (struct shard_push){.id = 10 + clock,
                               .clock = clock,
                               .base_version = clock - 1,
                               .examples = 1,
                               .slices = slices,
                               .slice = slice,
                               .grad = grad,
                               .values = slices * SLICE};
}

static void push(struct shard *shard, uint32_t rank, uint64_t clock)
{
    const struct shard_push whole = push_of(SLICES, NULL, clock);
    shard_push(shard, rank, &whole);
}

/* The header of a push, and half of its bytes. */
static void push_half(struct shard *shard, uint32_t rank, uint64_t clock, size_t bytes)
{
    static const uint32_t both[] = {0, 1};
    const uint64_t base = clock - 1;
    const struct stepd_message message = {
        .request_id = 10 + clock,
        .kind = STEPD_MESSAGE_PUSH,
        .body.push = {.incarnation = 1,
                      .clock = clock,
                      .slices = {.count = SLICES, .at = both},
                      .base_versions = {.count = 1, .at = &base},
                      .examples = 1,
                      .loss_scale = 1.0},
    };
    assert_int_equal(shard_send(shard, rank, &message, grad, bytes, sizeof grad, NULL), STEPD_OK);
}

static void give_up(struct shard *shard, uint32_t rank)
{
    struct order order = {.kind = ORDER_GIVE_UP, .job_name = shard->job->name, .rank = rank};
    (void)stepd_fail(&order.error, STEPD_FAILED_PRECONDITION, "rank %u was given up", rank);
    shard_give(shard, &order);
}

static void fail_job(struct shard *shard)
{
    struct order order = {.kind = ORDER_JOB_FAIL, .job_name = shard->job->name};
    (void)stepd_fail(&order.error, STEPD_FAILED_PRECONDITION, "rank 2 was silent for 7 ms");
    shard_give(shard, &order);
}

static bool has_error(const struct shard *shard, uint32_t rank, uint64_t id, const char *text)
{
    const struct shard_reply *reply = shard_last(shard, rank);
    return reply->kind == STEPD_MESSAGE_ERROR && reply->request_id == id &&
           reply->code == STEPD_FAILED_PRECONDITION && strstr(reply->text, text) != NULL;
}

/* ---- Given up -------------------------------------------------------------------------------- */

static void give_up__of_who_is_lacking__closes_the_round_without_it(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, "");
    push(&shard, 0, 1);
    push(&shard, 1, 1);
    give_up(&shard, 2);
    assert_true(shard_last(&shard, 0)->last);
    assert_int_equal(shard_last(&shard, 0)->outcome[0], STEPD_APPLIED);
    assert_int_equal(shard.without_min, 0);
    assert_int_equal(shard.without_max, 0);
    shard_teardown(&shard);
}

static void give_up__of_who_has_contributed__counts_that_and_no_more(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, "");
    push(&shard, 2, 1);
    give_up(&shard, 2);
    assert_int_equal(shard.without_min, 1);
    push(&shard, 0, 1);
    push(&shard, 1, 1);
    shard_pull(&shard, 0, 99, 1, 1);
    assert_true(shard_last(&shard, 0)->value[0] == -1.0F); /* the mean of three ones */
    push(&shard, 0, 2);
    push(&shard, 1, 2);
    assert_true(shard_last(&shard, 1)->last);
    shard_teardown(&shard);
}

static void give_up__in_the_middle_of_a_push__counts_the_whole_slices(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, "");
    push_half(&shard, 2, 1, sizeof grad / 2 + 12);
    give_up(&shard, 2);
    assert_int_equal(shard.without_min, 0);
    assert_int_equal(shard.without_max, 1);
    assert_int_equal(shard.later, 1);
    assert_int_equal(shard.later_slice, 0);
    push(&shard, 0, 1);
    push(&shard, 1, 1);
    assert_true(shard_last(&shard, 0)->last);
    shard_teardown(&shard);
}

static void given_up__its_requests__end_with_the_error(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, "");
    push(&shard, 2, 1);
    give_up(&shard, 2);
    assert_true(has_error(&shard, 2, 11, "rank 2 was given up"));
    shard_teardown(&shard);
}

static void given_up__what_it_sends_then__is_dropped_and_answered_so(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, "");
    give_up(&shard, 2);
    push(&shard, 2, 1);
    assert_true(has_error(&shard, 2, 11, "rank 2 was given up"));
    shard_pull(&shard, 2, 77, 0, 1);
    assert_true(has_error(&shard, 2, 77, "rank 2 was given up"));
    push(&shard, 0, 1);
    push(&shard, 1, 1);
    shard_pull(&shard, 0, 99, 1, 1);
    assert_true(shard_last(&shard, 0)->value[0] == -1.0F);
    shard_teardown(&shard);
}

static void given_up__the_rest_of_its_payload__is_read_and_dropped(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, "");
    push_half(&shard, 2, 1, 100);
    give_up(&shard, 2);
    size_t room = 0;
    assert_null(core_window(shard.peer[2].conn, &room));
    assert_int_equal(room, sizeof grad - 100);
    shard_teardown(&shard);
}

static void given_up__in_bounded_mode__holds_nobody_back(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_BOUNDED, "staleness=0");
    struct shard_push step = push_of(SLICES, NULL, 1);
    step.step = true;
    shard_push(&shard, 0, &step);
    shard_push(&shard, 1, &step);
    assert_int_equal(shard_last(&shard, 0)->kind, STEPD_MESSAGE_WELCOME);
    give_up(&shard, 2);
    assert_true(shard_last(&shard, 0)->last);
    shard_teardown(&shard);
}

static void given_up__and_set_again__is_a_member_from_then_on(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, "");
    push(&shard, 2, 1);
    give_up(&shard, 2);
    shard_session_gone(&shard, 2);
    shard_session(&shard, 2, 1, false);
    shard_member_from(&shard, 2, 2);
    shard_connect(&shard, 2, 2);
    assert_int_equal(shard_last(&shard, 2)->welcome.clock, 2);
    push(&shard, 0, 1);
    push(&shard, 1, 1);
    push(&shard, 0, 2);
    push(&shard, 1, 2);
    assert_true(shard_last(&shard, 0)->last);
    push(&shard, 0, 3);
    push(&shard, 1, 3);
    assert_int_equal(shard_last(&shard, 0)->request_id, 12);
    push(&shard, 2, 3);
    assert_int_equal(shard_last(&shard, 0)->request_id, 13);
    assert_int_equal(shard_last(&shard, 2)->outcome[0], STEPD_APPLIED);
    shard_teardown(&shard);
}

/* ---- Joining --------------------------------------------------------------------------------- */

static void joiner__that_pulls_at_once__waits_for_its_first_version(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, "");
    shard_member_from(&shard, 2, 1);
    shard_pull(&shard, 2, 77, 0, 1);
    assert_int_equal(shard_last(&shard, 2)->kind, STEPD_MESSAGE_WELCOME);
    push(&shard, 0, 1);
    push(&shard, 1, 1);
    assert_int_equal(shard_last(&shard, 2)->request_id, 77);
    assert_int_equal(shard_last(&shard, 2)->version[0], 1);
    shard_teardown(&shard);
}

static void joiner__that_goes_on_from_a_clock__leaves_no_gap(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_BOUNDED, "staleness=9");
    const struct order order = {.kind = ORDER_MEMBER,
                                .job_name = shard.job->name,
                                .rank = 2,
                                .clock = 5,
                                .last_clock = UINT64_MAX};
    shard_give(&shard, &order);
    struct shard_push push = push_of(SLICES, NULL, 7);
    push.base_version = 0;
    shard_push(&shard, 2, &push);
    assert_non_null(strstr(shard_last(&shard, 2)->text, "the next of rank 2 is 6"));
    push.clock = 6;
    shard_push(&shard, 2, &push);
    assert_int_equal(shard_last(&shard, 2)->outcome[0], STEPD_APPLIED);
    shard_teardown(&shard);
}

/* ---- Failed ---------------------------------------------------------------------------------- */

static void failed__parked_requests__end_with_the_cause(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, "");
    push(&shard, 0, 1);
    shard_pull(&shard, 1, 77, 1, 1);
    fail_job(&shard);
    assert_true(has_error(&shard, 0, 11, "rank 2 was silent for 7 ms"));
    assert_true(has_error(&shard, 1, 77, "rank 2 was silent for 7 ms"));
    shard_teardown(&shard);
}

static void failed__later_requests_of_workers__end_with_the_cause(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, "");
    fail_job(&shard);
    push(&shard, 0, 1);
    assert_true(has_error(&shard, 0, 11, "rank 2 was silent for 7 ms"));
    shard_pull(&shard, 1, 77, 0, 1);
    assert_true(has_error(&shard, 1, 77, "rank 2 was silent for 7 ms"));
    shard_teardown(&shard);
}

static void failed__observers__pull_what_there_is_and_wait_for_nothing(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, "");
    shard_session(&shard, OBSERVER, 1, /* observer= */ true);
    shard_connect(&shard, OBSERVER, OBSERVER);
    fail_job(&shard);
    shard_pull(&shard, OBSERVER, 77, 0, 1);
    assert_int_equal(shard_last(&shard, OBSERVER)->kind, STEPD_MESSAGE_RESULT);
    shard_pull(&shard, OBSERVER, 78, 1, 1);
    assert_true(has_error(&shard, OBSERVER, 78, "rank 2 was silent for 7 ms"));
    shard_teardown(&shard);
}

static void failed__a_round_that_its_members_leave__stays_open(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, "");
    push(&shard, 0, 1);
    fail_job(&shard);
    shard_member(&shard, 1, 0, 0);
    shard_member(&shard, 2, 0, 0);
    shard_query(&shard);
    assert_int_equal(shard.answer_max, 0);
    shard_teardown(&shard);
}

/* ---- Whole or not at all --------------------------------------------------------------------- */

static void give_up__with_part_of_an_atomic_step_here__makes_it_without_the_rank(void **state)
{
    (void)state;
    struct shard shard;
    setup(&shard, STEPD_SYNC, "atomic=job");
    struct shard_push part = push_of(1, second, 1);
    part.grad = large;
    shard_push(&shard, 2, &part);
    give_up(&shard, 2);
    assert_int_equal(shard.without_max, 0);
    push(&shard, 0, 1);
    push(&shard, 1, 1);
    assert_non_null(shard.ready);
    assert_int_equal(shard.ready->ranks, 2);
    const struct order commit = {
        .kind = ORDER_COMMIT, .job_name = shard.job->name, .verdict = ORDER_APPLY};
    shard_give(&shard, &commit);
    shard_pull(&shard, 0, 99, 1, SLICES);
    assert_true(shard_last(&shard, 0)->value[SLICE] == 0.0F); /* and not a third of -9 */
    shard_teardown(&shard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(give_up__of_who_is_lacking__closes_the_round_without_it),
        cmocka_unit_test(give_up__of_who_has_contributed__counts_that_and_no_more),
        cmocka_unit_test(give_up__in_the_middle_of_a_push__counts_the_whole_slices),
        cmocka_unit_test(given_up__its_requests__end_with_the_error),
        cmocka_unit_test(given_up__what_it_sends_then__is_dropped_and_answered_so),
        cmocka_unit_test(given_up__the_rest_of_its_payload__is_read_and_dropped),
        cmocka_unit_test(given_up__in_bounded_mode__holds_nobody_back),
        cmocka_unit_test(given_up__and_set_again__is_a_member_from_then_on),
        cmocka_unit_test(joiner__that_pulls_at_once__waits_for_its_first_version),
        cmocka_unit_test(joiner__that_goes_on_from_a_clock__leaves_no_gap),
        cmocka_unit_test(failed__parked_requests__end_with_the_cause),
        cmocka_unit_test(failed__later_requests_of_workers__end_with_the_cause),
        cmocka_unit_test(failed__observers__pull_what_there_is_and_wait_for_nothing),
        cmocka_unit_test(failed__a_round_that_its_members_leave__stays_open),
        cmocka_unit_test(give_up__with_part_of_an_atomic_step_here__makes_it_without_the_rank),
    };
    return cmocka_run_group_tests_name("core/member", tests, NULL, NULL);
}
