/* SPDX-License-Identifier: Apache-2.0
 *
 * A job that a new control brings back from a snapshot that another one took: what the shards are
 * told, and what its workers find.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "crash.h"

static const uint64_t at_five[2] = {5, 5};

/* Takes the snapshot at version 5, and restores it. */
static void setup_restored(struct crash *crash)
{
    crash_begin(crash, STEPD_SYNC);
    crash_take(crash, 5, at_five);
    crash_restore(crash);
}

static void assert_logged(const struct brain *brain, const char *words)
{
    if (strstr(brain->log, words) == NULL)
        fail_msg("'%s' is not in the log: %s", words, brain->log);
}

/* ---- The shards ------------------------------------------------------------------------------ */

static void job__that_is_restored__is_opened_with_its_state(void **state)
{
    (void)state;
    struct crash crash;
    setup_restored(&crash);
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++) {
        const struct order *order = brain_newest(crash.brain, shard, ORDER_JOB_OPEN);
        assert_ptr_equal(order->state, crash.taken.state);
        assert_int_equal(order->job->incarnation, 2);
        assert_int_equal(order->job->layout.slices, 2);
    }
    crash_end(&crash);
}

static void session__that_is_restored__is_known_to_the_shards(void **state)
{
    (void)state;
    struct crash crash;
    setup_restored(&crash);
    const struct order *order = brain_newest(crash.brain, 1, ORDER_SESSION);
    assert_int_equal(order->rank, 1);
    assert_int_equal(order->epoch, 1);
    assert_memory_equal(order->session, crash.worker[1]->session, STEPD_SESSION_BYTES);
    crash_end(&crash);
}

/* Older than the new control's clock, too. */
static void status__of_a_restored_job__has_the_checkpoint_that_it_comes_from(void **state)
{
    (void)state;
    static const struct checkpoint_origin origin = {
        .name = "step-00000005", .step = 5, .bytes = 4096, .age_ms = UINT64_C(1) << 40};
    struct crash crash;
    crash_begin(&crash, STEPD_SYNC);
    crash_take(&crash, 5, at_five);
    crash.taken.snapshot.origin = origin;
    crash_restore(&crash);
    brain_opened_all(crash.brain, "j");
    struct peer *const peer = peer_join(crash.brain, hello_observer("j"));
    brain_wait(crash.brain, 1000);
    peer_request(peer, get_status("j"));
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        brain_answer(crash.brain, shard, 5, 5, UINT32_MAX);
    const struct stepd_job_status *const job =
        peer_answer(peer, STEPD_MESSAGE_STATUS)->body.status.job;
    assert_string_equal(job->checkpoint.name, "step-00000005");
    assert_int_equal(job->checkpoint.step, 5);
    assert_int_equal(job->checkpoint.bytes, 4096);
    assert_int_equal(job->checkpoint.age_ms, origin.age_ms + 1000);
    crash_end(&crash);
}

static void job__that_had_started__starts_when_it_is_open(void **state)
{
    (void)state;
    struct crash crash;
    setup_restored(&crash);
    assert_int_equal(brain_count(crash.brain, 0, ORDER_JOB_START), 0);
    brain_opened_all(crash.brain, "j");
    assert_int_equal(brain_count(crash.brain, 0, ORDER_MEMBER), 2);
    assert_int_equal(brain_count(crash.brain, 0, ORDER_JOB_START), 1);
    crash_end(&crash);
}

static void job__that_fewer_stayed_in__starts_all_the_same(void **state)
{
    (void)state;
    struct crash crash;
    crash_begin(&crash, STEPD_SYNC);
    peer_request(crash.worker[1], leave_at(5));
    crash_take(&crash, 5, at_five);
    crash_restore(&crash);
    brain_opened_all(crash.brain, "j");
    assert_int_equal(brain_newest(crash.brain, 0, ORDER_MEMBER)->last_clock, 5);
    assert_int_equal(brain_count(crash.brain, 0, ORDER_JOB_START), 1);
    crash_end(&crash);
}

static void job__that_had_not_started__waits_for_its_workers(void **state)
{
    (void)state;
    struct crash crash;
    const struct control_options options = brain_options();
    crash = (struct crash){.old = brain_create(&options), .brain = crash_new_brain(BRAIN_SHARDS)};
    crash.worker[0] = peer_join(crash.old, hello_worker("j", 0));
    shares_define(crash.worker[0], STEPD_SYNC, 2);
    crash_take(&crash, 0, (const uint64_t[]){0, 0});
    crash_restore(&crash);
    brain_opened_all(crash.brain, "j");
    assert_int_equal(brain_count(crash.brain, 0, ORDER_JOB_START), 0);
    (void)peer_join(crash.brain, hello_worker("j", 1));
    assert_int_equal(brain_count(crash.brain, 0, ORDER_JOB_START), 1);
    crash_end(&crash);
}

static void job__that_had_finished__is_finished(void **state)
{
    (void)state;
    struct crash crash;
    crash_begin(&crash, STEPD_SYNC);
    for (size_t i = 0; i < 2; i++)
        peer_request(crash.worker[i], leave_at(5));
    crash_take(&crash, 5, at_five);
    crash_restore(&crash);
    brain_opened_all(crash.brain, "j");
    assert_logged(crash.brain, "job_state job=\"j\" from=running to=finished");
    crash_end(&crash);
}

static void fail_to_open(struct crash *crash)
{
    brain_opened(crash->brain, 0, "j", STEPD_OK);
    brain_opened(crash->brain, 1, "j", STEPD_DATA_LOSS);
}

static void job__that_a_shard_cannot_open__lets_nobody_in_and_says_why(void **state)
{
    static const char words[] = "job 'j' could not go on from step-00000005 (daemon 0: shard 1 "
                                "cannot), and does not begin anew";
    (void)state;
    struct crash crash;
    crash_begin(&crash, STEPD_SYNC);
    crash_take(&crash, 5, at_five);
    memcpy(crash.taken.snapshot.origin.name, "step-00000005", sizeof "step-00000005");
    crash_restore(&crash);
    fail_to_open(&crash);
    assert_logged(crash.brain, "warn: job_not_restored job=\"j\" checkpoint=step-00000005 place=0 "
                               "cause=\"shard 1 cannot\"");
    assert_int_equal(brain_count(crash.brain, 0, ORDER_JOB_CLOSE), 1);
    brain_wait(crash.brain, 2 * BRAIN_LEASE_MS); /* which are nobody's any more */
    brain_assert_refused(crash.brain, hello_resume(crash.worker[0]), STEPD_DATA_LOSS, words);
    brain_assert_refused(crash.brain, hello_worker("j", 0), STEPD_DATA_LOSS, words);
    brain_assert_refused(crash.brain, hello_observer("j"), STEPD_DATA_LOSS, words);
    crash_end(&crash);
}

static void job__that_a_shard_cannot_open__is_not_defined_anew_by_the_config(void **state)
{
    (void)state;
    struct crash crash;
    struct stepd_error error;
    const struct stepd_message define = define_job(STEPD_SYNC, 2);
    setup_restored(&crash);
    fail_to_open(&crash);
    assert_int_equal(control_define(crash.brain->control, "j", &define.body.define_job, &error),
                     STEPD_DATA_LOSS);
    assert_non_null(strstr(error.text, "could not go on from its snapshot"));
    crash_end(&crash);
}

static void job__that_a_shard_cannot_open__makes_room_for_an_older_snapshot(void **state)
{
    (void)state;
    struct crash crash;
    struct control_returning job;
    setup_restored(&crash);
    fail_to_open(&crash);
    assert_true(control_returning(crash.brain->control, &job));
    assert_true(job.failed);
    assert_string_equal(job.error->text, "shard 1 cannot");
    crash_restore(&crash);
    assert_true(control_returning(crash.brain->control, &job));
    assert_false(job.failed);
    brain_opened_all(crash.brain, "j");
    assert_false(control_returning(crash.brain->control, &job));
    struct peer *peer = peer_join(crash.brain, hello_resume(crash.worker[0]));
    assert_int_equal(peer_welcome(peer)->incarnation, 3);
    assert_int_equal(peer_welcome(peer)->clock, 5);
    crash_end(&crash);
}

static void job__that_a_shard_is_slow_to_open__is_waited_for_and_the_log_says_so(void **state)
{
    (void)state;
    struct crash crash;
    struct control_returning job;
    setup_restored(&crash);
    brain_opened(crash.brain, 0, "j", STEPD_OK);
    brain_wait(crash.brain, BRAIN_WAIT_MAX_MS);
    assert_logged(crash.brain, "warn: job_restore_waits job=\"j\" checkpoint= place=0 "
                               "shards_left=1 waited_ms=10000");
    brain_wait(crash.brain, 10 * BRAIN_WAIT_MAX_MS);
    assert_true(control_returning(crash.brain->control, &job));
    assert_false(job.failed);
    assert_int_equal(job.waited_ms, 11 * BRAIN_WAIT_MAX_MS);
    brain_opened(crash.brain, 1, "j", STEPD_OK);
    assert_false(control_returning(crash.brain->control, &job));
    assert_int_equal(brain_count(crash.brain, 0, ORDER_JOB_START), 1);
    crash_end(&crash);
}

static void leases__as_long_as_nobody_is_let_in__do_not_run(void **state)
{
    (void)state;
    struct crash crash;
    setup_restored(&crash);
    control_gather(crash.brain->control, "jobs come back");
    brain_wait(crash.brain, 2 * BRAIN_LEASE_MS);
    brain_opened_all(crash.brain, "j");
    control_gather(crash.brain->control, "");
    brain_wait(crash.brain, BRAIN_LEASE_MS - 1);
    assert_null(strstr(crash.brain->log, "worker_lost"));
    crash_end(&crash);
}

/* ---- Its workers ----------------------------------------------------------------------------- */

static void worker__that_resumes__is_told_the_incarnation_and_its_clock(void **state)
{
    (void)state;
    struct crash crash;
    setup_restored(&crash);
    struct peer *peer = peer_join(crash.brain, hello_resume(crash.worker[1]));
    assert_int_equal(peer_welcome(peer)->incarnation, 2);
    assert_int_equal(peer_welcome(peer)->clock, 5);
    assert_int_equal(peer_welcome(peer)->rank, 1);
    assert_int_equal(peer_welcome(peer)->epoch, 2);
    assert_memory_equal(peer->session, crash.worker[1]->session, STEPD_SESSION_BYTES);
    crash_end(&crash);
}

static void interval__of_a_member_that_had_joined_later__is_told_to_the_shards(void **state)
{
    (void)state;
    struct crash crash;
    crash_begin(&crash, STEPD_SYNC);
    crash_take(&crash, 5, at_five);
    crash.taken.snapshot.member[1].from = 3;
    crash.taken.snapshot.member[1].from_clock = 3;
    crash_restore(&crash);
    brain_opened_all(crash.brain, "j");
    const struct order *order = brain_newest(crash.brain, 0, ORDER_MEMBER);
    assert_int_equal(order->rank, 1);
    assert_int_equal(order->from, 3);
    assert_int_equal(order->clock, 3);
    crash_end(&crash);
}

static void worker__that_joined_after_the_snapshot__is_not_known(void **state)
{
    (void)state;
    struct crash crash;
    crash_begin(&crash, STEPD_ASYNC);
    crash_take(&crash, JOB_STATE_AS_IT_STANDS, at_five);
    peer_request(crash.worker[1], leave_at(5));
    struct peer *later = peer_join(crash.old, hello_worker("j", 1));
    crash_restore(&crash);
    brain_assert_refused(crash.brain, hello_resume(later), STEPD_NOT_FOUND,
                         "the session is not known");
    crash_end(&crash);
}

static void rank__whose_worker_does_not_come_back__can_be_taken_when_its_lease_is_over(void **state)
{
    (void)state;
    struct crash crash;
    setup_restored(&crash);
    brain_opened_all(crash.brain, "j");
    brain_assert_refused(crash.brain, hello_worker("j", -1), STEPD_RESOURCE_EXHAUSTED,
                         "2 of them by workers that have not come back since the job was restored");
    brain_wait(crash.brain, BRAIN_LEASE_MS);
    struct peer *peer = peer_join(crash.brain, hello_worker("j", -1));
    assert_int_equal(peer_welcome(peer)->clock, 5);
    crash_end(&crash);
}

/* A worker that was started again with the daemon has no session, and knows its rank. */
static void rank__whose_worker_does_not_come_back__goes_to_who_asks_for_it(void **state)
{
    (void)state;
    struct crash crash;
    setup_restored(&crash);
    brain_opened_all(crash.brain, "j");
    struct peer *peer = peer_join(crash.brain, hello_worker("j", 1));
    assert_int_equal(peer_welcome(peer)->rank, 1);
    assert_int_equal(peer_welcome(peer)->clock, 5);
    brain_assert_refused(crash.brain, hello_worker("j", 1), STEPD_ALREADY_EXISTS, "is taken");
    crash_end(&crash);
}

static void definition__that_is_said_again__is_the_same(void **state)
{
    (void)state;
    struct crash crash;
    setup_restored(&crash);
    brain_opened_all(crash.brain, "j");
    struct peer *peer = peer_join(crash.brain, hello_resume(crash.worker[0]));
    peer_request(peer, define_job(STEPD_SYNC, 2));
    assert_int_equal(peer_answer(peer, STEPD_MESSAGE_JOB_DEFINED)->body.job_defined.incarnation, 2);
    peer_request(peer, define_tensor(SHARES_ELEMENTS));
    (void)peer_answer(peer, STEPD_MESSAGE_TENSORS_DEFINED);
    crash_end(&crash);
}

static void definition__that_differs__is_refused(void **state)
{
    (void)state;
    struct crash crash;
    setup_restored(&crash);
    brain_opened_all(crash.brain, "j");
    struct peer *peer = peer_join(crash.brain, hello_resume(crash.worker[0]));
    peer_request(peer, define_job(STEPD_SYNC, 3));
    peer_assert_error(peer, STEPD_INVALID_ARGUMENT, "workers is defined as");
    crash_end(&crash);
}

static void config__that_says_the_same__keeps_the_restored_job(void **state)
{
    (void)state;
    struct crash crash;
    setup_restored(&crash);
    const struct stepd_message def = define_job(STEPD_SYNC, 2);
    assert_int_equal(control_define(crash.brain->control, "j", &def.body.define_job, NULL),
                     STEPD_OK);
    assert_int_equal(brain_count(crash.brain, 0, ORDER_JOB_CLOSE), 0);
    crash_end(&crash);
}

/* ---- Incarnations and other shards ----------------------------------------------------------- */

static void job__that_is_restored_twice__never_has_an_incarnation_again(void **state)
{
    (void)state;
    struct crash crash;
    setup_restored(&crash);
    brain_destroy(crash.brain); /* it crashes before anybody has taken a snapshot */
    crash.brain = crash_new_brain(BRAIN_SHARDS);
    crash_restore(&crash);
    assert_int_equal(brain_newest(crash.brain, 0, ORDER_JOB_OPEN)->job->incarnation, 3);
    crash_end(&crash);
}

static void job__on_another_number_of_shards__has_the_same_slices(void **state)
{
    (void)state;
    struct crash crash;
    const uint64_t counted[2] = {4, 6};
    crash_begin(&crash, STEPD_ASYNC);
    crash_take(&crash, JOB_STATE_AS_IT_STANDS, counted);
    brain_destroy(crash.brain);
    crash.brain = crash_new_brain(1);
    crash_restore(&crash);
    const struct order *order = brain_newest(crash.brain, 0, ORDER_JOB_OPEN);
    assert_int_equal(order->job->layout.slices, 2);
    assert_int_equal(order->job->layout.slice[1].shard, 0);
    assert_int_equal(peer_welcome(peer_join(crash.brain, hello_resume(crash.worker[1])))->clock, 6);
    crash_end(&crash);
}

/* ---- What cannot be restored ----------------------------------------------------------------- */

static void assert_not_restored(struct crash *crash, enum stepd_status code, const char *words)
{
    struct stepd_error error = {.text = ""};
    assert_int_equal(crash_try_restore(crash, &error), code);
    if (strstr(error.text, words) == NULL)
        fail_msg("'%s' is not in: %s", words, error.text);
}

static void job__that_is_there__is_not_restored(void **state)
{
    (void)state;
    struct crash crash;
    setup_restored(&crash);
    assert_not_restored(&crash, STEPD_ALREADY_EXISTS, "there is a job 'j' already");
    crash_end(&crash);
}

static void snapshot__with_a_rank_that_the_job_has_not__is_not_restored(void **state)
{
    (void)state;
    struct crash crash;
    crash_begin(&crash, STEPD_SYNC);
    crash_take(&crash, 5, at_five);
    crash.taken.snapshot.member[1].rank = 2;
    assert_not_restored(&crash, STEPD_INVALID_ARGUMENT, "has rank 2, and its 2 ranks must rise");
    crash.taken.snapshot.member[1].rank = 0;
    assert_not_restored(&crash, STEPD_INVALID_ARGUMENT, "has rank 0, and its 2 ranks must rise");
    crash_end(&crash);
}

static void snapshot__that_does_not_fit__leaves_no_trace(void **state)
{
    (void)state;
    struct crash crash;
    crash_begin(&crash, STEPD_SYNC);
    crash_take(&crash, 5, at_five);
    brain_destroy(crash.brain);
    struct control_options options = brain_options();
    options.memory_max_bytes = 1u << 20;
    crash.brain = brain_create(&options);
    assert_not_restored(&crash, STEPD_RESOURCE_EXHAUSTED, "job 'j' needs");
    assert_int_equal(crash.taken.snapshot.incarnation, 1);
    brain_assert_refused(crash.brain, hello_resume(crash.worker[0]), STEPD_NOT_FOUND, "not known");
    crash_end(&crash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(job__that_is_restored__is_opened_with_its_state),
        cmocka_unit_test(session__that_is_restored__is_known_to_the_shards),
        cmocka_unit_test(status__of_a_restored_job__has_the_checkpoint_that_it_comes_from),
        cmocka_unit_test(job__that_had_started__starts_when_it_is_open),
        cmocka_unit_test(job__that_fewer_stayed_in__starts_all_the_same),
        cmocka_unit_test(job__that_had_not_started__waits_for_its_workers),
        cmocka_unit_test(job__that_had_finished__is_finished),
        cmocka_unit_test(job__that_a_shard_cannot_open__lets_nobody_in_and_says_why),
        cmocka_unit_test(job__that_a_shard_cannot_open__is_not_defined_anew_by_the_config),
        cmocka_unit_test(job__that_a_shard_cannot_open__makes_room_for_an_older_snapshot),
        cmocka_unit_test(job__that_a_shard_is_slow_to_open__is_waited_for_and_the_log_says_so),
        cmocka_unit_test(leases__as_long_as_nobody_is_let_in__do_not_run),
        cmocka_unit_test(worker__that_resumes__is_told_the_incarnation_and_its_clock),
        cmocka_unit_test(interval__of_a_member_that_had_joined_later__is_told_to_the_shards),
        cmocka_unit_test(worker__that_joined_after_the_snapshot__is_not_known),
        cmocka_unit_test(
            rank__whose_worker_does_not_come_back__can_be_taken_when_its_lease_is_over),
        cmocka_unit_test(rank__whose_worker_does_not_come_back__goes_to_who_asks_for_it),
        cmocka_unit_test(definition__that_is_said_again__is_the_same),
        cmocka_unit_test(definition__that_differs__is_refused),
        cmocka_unit_test(config__that_says_the_same__keeps_the_restored_job),
        cmocka_unit_test(job__that_is_restored_twice__never_has_an_incarnation_again),
        cmocka_unit_test(job__on_another_number_of_shards__has_the_same_slices),
        cmocka_unit_test(job__that_is_there__is_not_restored),
        cmocka_unit_test(snapshot__with_a_rank_that_the_job_has_not__is_not_restored),
        cmocka_unit_test(snapshot__that_does_not_fit__leaves_no_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
