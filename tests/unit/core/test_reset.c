/* SPDX-License-Identifier: Apache-2.0
 *
 * A shard that is to forget everything, whatever it is at: requests that wait, weights that are
 * being sent, a snapshot that is taken or read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "tests/lib/shard.h"
#include "tests/unit/core/two_slices.h"

static void reset(struct shard *shard, uint32_t becomes)
{
    static char none[] = "";
    struct order order = {.kind = ORDER_RESET, .job_name = none, .becomes = becomes};
    (void)stepd_fail(&order.error, STEPD_UNAVAILABLE, "daemon 1 was lost");
    const size_t before = shard->resets;
    shard_give(shard, &order);
    assert_int_equal(shard->resets, before + 1);
}

static void assert_forgotten(struct shard *shard)
{
    const size_t before = shard->answers;
    shard_query(shard);
    assert_int_equal(shard->answers, before + 1);
    assert_int_equal(shard->answer_slices, 0);
}

static void reset__jobs_and_sessions__are_forgotten_and_connections_hear_why(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = two_job(STEPD_SYNC);
    two_setup(&shard, &job);
    shard_pull(&shard, 0, 9, 5, 2); /* it waits */
    reset(&shard, 0);
    assert_true(shard.peer[0].hung_up);
    assert_int_equal(shard_last(&shard, 0)->code, STEPD_UNAVAILABLE);
    assert_string_equal(shard_last(&shard, 0)->text, "daemon 1 was lost");
    assert_forgotten(&shard);
    struct stepd_error error;
    assert_int_equal(shard_hello(&shard, 1, 0, &error), STEPD_NOT_FOUND);
    shard_teardown(&shard);
}

static void reset__while_a_snapshot_is_taken__forgets_it_as_well(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = two_job(STEPD_SYNC);
    two_setup(&shard, &job);
    shard_snapshot_order(&shard, 1);
    reset(&shard, 0);
    assert_int_equal(shard.snapshots, 0);
    assert_forgotten(&shard);
    shard_teardown(&shard);
}

static void reset__while_a_snapshot_is_read__forgets_it_as_well(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = two_job(STEPD_SYNC);
    two_setup(&shard, &job);
    shard_snapshot(&shard, 0);
    assert_non_null(shard.snapshot->state);
    shard.snapshot->state = NULL; /* what control has of it goes with it */
    reset(&shard, 0);
    assert_forgotten(&shard);
    shard_teardown(&shard);
}

static void reset__while_weights_are_sent__keeps_them_so_long(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = two_job(STEPD_SYNC);
    two_setup(&shard, &job);
    shard.hold = true;
    shard_pull(&shard, 0, 9, 0, 2);
    assert_true(shard.held > 0);
    reset(&shard, 0);
    assert_forgotten(&shard);
    shard_release(&shard);
    shard_teardown(&shard);
}

static void reset__to_another_number__answers_to_that_one(void **state)
{
    (void)state;
    struct shard shard;
    const struct shard_job job = two_job(STEPD_SYNC);
    two_setup(&shard, &job);
    reset(&shard, 4);
    shard_session(&shard, 0, 1, false);
    shard_open(&shard, 2);
    uint8_t session[STEPD_SESSION_BYTES];
    struct stepd_hello hello = shard_hello_of(0, session);
    struct stepd_error error;
    hello.shard = 5;
    assert_int_equal(shard_say_hello(&shard, 2, &hello, &error), STEPD_OK);
    shard_teardown(&shard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reset__jobs_and_sessions__are_forgotten_and_connections_hear_why),
        cmocka_unit_test(reset__while_a_snapshot_is_taken__forgets_it_as_well),
        cmocka_unit_test(reset__while_a_snapshot_is_read__forgets_it_as_well),
        cmocka_unit_test(reset__while_weights_are_sent__keeps_them_so_long),
        cmocka_unit_test(reset__to_another_number__answers_to_that_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
