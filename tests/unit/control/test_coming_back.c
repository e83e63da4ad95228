/* SPDX-License-Identifier: Apache-2.0
 *
 * Who comes back to a job that was restored: clients whose Welcome was lost, workers that had lost
 * their rank or were given up when the snapshot was taken, and those that had a rank later than
 * that.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crash.h"

static const uint64_t at_five[2] = {5, 5};
static const uint8_t client[STEPD_CLIENT_BYTES] = {1};

static struct stepd_message rejoin(int32_t rank)
{
    struct stepd_message message = hello_worker("j", rank);
    message.body.hello.worker = "later";
    message.body.hello.rejoins = true;
    return message;
}

static void restore(struct crash *crash, uint64_t version)
{
    crash_take(crash, version, at_five);
    crash_restore(crash);
    brain_opened_all(crash->brain, "j");
}

/* ---- Clients --------------------------------------------------------------------------------- */

static void hello__of_a_client_that_holds_a_rank__goes_on_with_its_restored_session(void **state)
{
    (void)state;
    struct crash crash;
    struct stepd_message hello = hello_worker("j", 1);
    hello.body.hello.client = (struct stepd_bytes){.count = sizeof client, .at = client};
    crash_begin(&crash, STEPD_SYNC);
    brain_wait(crash.old, BRAIN_LEASE_MS);
    struct peer *holder = peer_join(crash.old, hello); /* whose Welcome is lost, say */
    restore(&crash, 5);
    struct peer *again = peer_join(crash.brain, hello);
    assert_memory_equal(again->session, holder->session, STEPD_SESSION_BYTES);
    assert_int_equal(peer_welcome(again)->incarnation, 2);
    assert_int_equal(peer_welcome(again)->clock, 5);
    crash_end(&crash);
}

static void hello__of_another_client__is_refused_a_rank_that_was_taken_again(void **state)
{
    (void)state;
    struct crash crash;
    struct stepd_message hello = hello_worker("j", 1);
    hello.body.hello.client = (struct stepd_bytes){.count = sizeof client, .at = client};
    crash_begin(&crash, STEPD_SYNC);
    restore(&crash, 5);
    (void)peer_join(crash.brain, hello_resume(crash.worker[1]));
    brain_assert_refused(crash.brain, hello, STEPD_ALREADY_EXISTS, "is taken");
    crash_end(&crash);
}

/* ---- Fences ---------------------------------------------------------------------------------- */

static void worker__that_had_lost_its_rank__is_told_so_by_the_restored_job(void **state)
{
    (void)state;
    struct crash crash;
    crash_begin(&crash, STEPD_SYNC);
    brain_wait(crash.old, BRAIN_LEASE_MS);
    (void)peer_join(crash.old, hello_worker("j", 1));
    restore(&crash, 5);
    brain_assert_refused(crash.brain, hello_resume(crash.worker[1]), STEPD_FAILED_PRECONDITION,
                         "rank 1 of job 'j' has passed to worker 'w1'");
    crash_end(&crash);
}

/* Rank 1 of two is given up. */
static void begin_shrunk(struct crash *crash, enum stepd_mode mode, const char *settings)
{
    crash_begin_with(crash, mode, settings);
    brain_wait(crash->old, BRAIN_LEASE_MS - 1);
    brain_heard(crash->old, "j", 0, 5);
    brain_wait(crash->old, 1);
    assert_int_equal(brain_newest(crash->old, 0, ORDER_GIVE_UP)->rank, 1);
}

static void worker__that_was_given_up__is_fenced_by_the_restored_job(void **state)
{
    (void)state;
    struct crash crash;
    begin_shrunk(&crash, STEPD_SYNC, "on_loss=shrink workers_min=1");
    restore(&crash, 5);
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++) {
        const struct order *order = brain_newest(crash.brain, shard, ORDER_GIVE_UP);
        assert_int_equal(order->rank, 1);
        assert_non_null(strstr(order->error.text, "rank 1 (worker 'w1') of job 'j' was silent"));
        assert_int_equal(brain_count(crash.brain, shard, ORDER_MEMBER), 1);
    }
    assert_int_equal(brain_count(crash.brain, 0, ORDER_JOB_START), 1);
    brain_assert_refused(crash.brain, hello_resume(crash.worker[1]), STEPD_FAILED_PRECONDITION,
                         "was silent for 60000 ms and was given up");
    crash_end(&crash);
}

static void worker__that_was_given_up_behind_the_snapshot__is_a_member_again(void **state)
{
    (void)state;
    struct crash crash;
    begin_shrunk(&crash, STEPD_SYNC, "on_loss=shrink workers_min=1");
    struct notice *without = notice_create(NOTICE_GIVEN_UP, "j");
    without->rank = calloc(1, sizeof *without->rank);
    without->rank[without->ranks++] = 1;
    without->slices = 1;
    without->version_min = 6;
    without->version_max = 6;
    control_on_notice(crash.old->control, without, crash.old->now_ms);
    restore(&crash, 5);
    assert_int_equal(brain_count(crash.brain, 0, ORDER_MEMBER), 2);
    assert_int_equal(brain_count(crash.brain, 0, ORDER_GIVE_UP), 0);
    crash_end(&crash);
}

static void worker__that_was_given_up_and_joins_again__goes_on_behind_what_was_counted(void **state)
{
    (void)state;
    struct crash crash;
    begin_shrunk(&crash, STEPD_ASYNC, "on_loss=shrink workers_min=1");
    restore(&crash, JOB_STATE_AS_IT_STANDS);
    struct peer *peer = peer_join(crash.brain, hello_worker("j", 1));
    assert_int_equal(peer_welcome(peer)->clock, 5);
    crash_end(&crash);
}

/* ---- Later than the snapshot ----------------------------------------------------------------- */

static void rank__of_a_session_that_nobody_came_with__passes_to_who_rejoins_for_it(void **state)
{
    (void)state;
    struct crash crash;
    crash_begin(&crash, STEPD_SYNC);
    restore(&crash, 5);
    struct peer *later = peer_join(crash.brain, rejoin(1));
    assert_int_equal(peer_welcome(later)->rank, 1);
    assert_int_equal(peer_welcome(later)->clock, 5);
    brain_assert_refused(crash.brain, hello_resume(crash.worker[1]), STEPD_FAILED_PRECONDITION,
                         "worker 'w1' was silent for 0 ms from the time on that the job was "
                         "restored, and rank 1 of job 'j' has passed to worker 'later'");
    crash_end(&crash);
}

static void rank__of_a_session_that_was_resumed__stays_with_it(void **state)
{
    (void)state;
    struct crash crash;
    crash_begin(&crash, STEPD_SYNC);
    restore(&crash, 5);
    (void)peer_join(crash.brain, hello_resume(crash.worker[1]));
    brain_assert_refused(crash.brain, rejoin(1), STEPD_ALREADY_EXISTS, "is taken by worker 'w1'");
    crash_end(&crash);
}

static void rank__of_a_session_that_a_shard_has_heard_of__stays_with_it(void **state)
{
    (void)state;
    struct crash crash;
    crash_begin(&crash, STEPD_SYNC);
    restore(&crash, 5);
    brain_heard(crash.brain, "j", 1, 5);
    brain_assert_refused(crash.brain, rejoin(1), STEPD_ALREADY_EXISTS, "is taken by worker 'w1'");
    crash_end(&crash);
}

static void rank__that_had_left__passes_to_who_took_it_back_later(void **state)
{
    (void)state;
    struct crash crash;
    crash_begin(&crash, STEPD_ASYNC);
    peer_request(crash.worker[1], leave_at(5));
    restore(&crash, JOB_STATE_AS_IT_STANDS);
    struct peer *later = peer_join(crash.brain, rejoin(1));
    assert_int_equal(peer_welcome(later)->clock, 5);
    crash_end(&crash);
}

static void rank__that_had_left_a_fixed_sync_job__is_not_taken_back(void **state)
{
    (void)state;
    struct crash crash;
    crash_begin(&crash, STEPD_SYNC);
    peer_request(crash.worker[1], leave_at(5));
    restore(&crash, 5);
    brain_assert_refused(crash.brain, rejoin(1), STEPD_FAILED_PRECONDITION,
                         "rank 1 has left job 'j'; a sync job that has started does not take it");
    crash_end(&crash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello__of_a_client_that_holds_a_rank__goes_on_with_its_restored_session),
        cmocka_unit_test(hello__of_another_client__is_refused_a_rank_that_was_taken_again),
        cmocka_unit_test(worker__that_had_lost_its_rank__is_told_so_by_the_restored_job),
        cmocka_unit_test(worker__that_was_given_up__is_fenced_by_the_restored_job),
        cmocka_unit_test(worker__that_was_given_up_behind_the_snapshot__is_a_member_again),
        cmocka_unit_test(
            worker__that_was_given_up_and_joins_again__goes_on_behind_what_was_counted),
        cmocka_unit_test(rank__of_a_session_that_nobody_came_with__passes_to_who_rejoins_for_it),
        cmocka_unit_test(rank__of_a_session_that_was_resumed__stays_with_it),
        cmocka_unit_test(rank__of_a_session_that_a_shard_has_heard_of__stays_with_it),
        cmocka_unit_test(rank__that_had_left__passes_to_who_took_it_back_later),
        cmocka_unit_test(rank__that_had_left_a_fixed_sync_job__is_not_taken_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
