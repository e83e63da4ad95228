/* SPDX-License-Identifier: Apache-2.0
 *
 * What becomes of a job whose worker is lost, by its setting on_loss.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "brain_fixture.h"
#include "tests/lib/settings.h"

enum { WORKERS = 3 };

static void start(struct brain *brain, const char *settings, struct peer **ret_peers)
{
    for (int32_t rank = 0; rank < WORKERS; rank++)
        ret_peers[rank] = peer_join(brain, hello_worker("j", rank));
    peer_define_with(ret_peers[0], "j", STEPD_SYNC, WORKERS, settings);
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_START), 1);
}

/* The leases of all but the first `alive` ranks run out. */
static void lose_from(struct brain *brain, uint32_t alive)
{
    brain_wait(brain, BRAIN_LEASE_MS - 1);
    for (uint32_t rank = 0; rank < alive; rank++)
        brain_heard(brain, "j", rank, 1);
    brain_wait(brain, 1);
}

static const struct stepd_job_status *status(struct brain *brain)
{
    struct peer *observer = peer_join(brain, hello_observer(""));
    peer_request(observer, get_status("j"));
    for (uint32_t shard = 0; shard < BRAIN_SHARDS && peer_answers(observer) == 0; shard++)
        brain_answer(brain, shard, 0, 0, UINT32_MAX);
    return &peer_answer(observer, STEPD_MESSAGE_STATUS)->body.status.job[0];
}

/* A shard says from which versions on it goes without rank 2. */
static void go_without(struct brain *brain, uint32_t shard, uint64_t min, uint64_t max,
                       uint32_t later)
{
    struct notice *notice = notice_create(NOTICE_GIVEN_UP, "j");
    assert_non_null(notice);
    notice->shard = shard;
    notice->rank = calloc(1, sizeof *notice->rank);
    notice->rank[notice->ranks++] = 2;
    notice->slices = 2;
    notice->version_min = min;
    notice->version_max = max;
    if (min != max) {
        notice->later_slice = calloc(1, sizeof *notice->later_slice);
        notice->later_slice[notice->later++] = later;
    }
    control_on_notice(brain->control, notice, brain->now_ms);
}

/* ---- wait ------------------------------------------------------------------------------------ */

static void wait__a_worker_is_lost__nothing_happens(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[WORKERS];
    start(brain, "", peer);
    brain_forget_orders(brain);
    lose_from(brain, 2);
    assert_int_equal(brain->orders, 0);
    assert_int_equal(status(brain)->member[2].state, STEPD_MEMBER_LOST);
}

/* ---- shrink ---------------------------------------------------------------------------------- */

static void shrink__a_worker_is_lost__is_given_up_on_all_shards(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[WORKERS];
    start(brain, "on_loss=shrink", peer);
    lose_from(brain, 2);
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++) {
        const struct order *order = brain_newest(brain, shard, ORDER_GIVE_UP);
        assert_int_equal(order->rank, 2);
        assert_non_null(strstr(order->error.text, "rank 2 (worker 'w2') of job 'j' was silent "
                                                  "for 60000 ms and was given up"));
    }
    assert_int_equal(status(brain)->member[2].state, STEPD_MEMBER_GIVEN_UP);
    brain_wait(brain, 100);
    assert_int_equal(brain_count(brain, 0, ORDER_GIVE_UP), 1);
}

static void shrink__to_fewer_than_the_least__waits_and_says_so_once(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[WORKERS];
    start(brain, "on_loss=shrink workers_min=3", peer);
    lose_from(brain, 2);
    brain_wait(brain, 100);
    assert_int_equal(brain_count(brain, 0, ORDER_GIVE_UP), 0);
    assert_int_equal(status(brain)->member[2].state, STEPD_MEMBER_LOST);
    const char *said = strstr(brain->log, "warn: worker_waited_for job=\"j\" rank=2 present=2 "
                                          "workers_min=3\n");
    assert_non_null(said);
    assert_null(strstr(said + sizeof "warn: ", "worker_waited_for"));
}

static void shrink__to_nobody__waits(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[WORKERS];
    start(brain, "on_loss=shrink", peer);
    lose_from(brain, 0);
    assert_int_equal(brain_count(brain, 0, ORDER_GIVE_UP), 0);
}

static void shrink__one_is_back_of_too_few__gives_the_others_up(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[WORKERS];
    start(brain, "on_loss=shrink", peer);
    lose_from(brain, 0);
    brain_heard(brain, "j", 1, 1);
    brain_wait(brain, 1);
    assert_int_equal(brain_count(brain, 0, ORDER_GIVE_UP), 2);
    assert_int_equal(status(brain)->member[1].state, STEPD_MEMBER_PRESENT);
}

static void given_up__heard_again__stays_so(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[WORKERS];
    start(brain, "on_loss=shrink", peer);
    lose_from(brain, 2);
    brain_heard(brain, "j", 2, 9);
    assert_int_equal(status(brain)->member[2].state, STEPD_MEMBER_GIVEN_UP);
}

static void given_up__what_it_asks__is_answered_with_why(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[WORKERS];
    start(brain, "on_loss=shrink", peer);
    lose_from(brain, 2);
    peer_request(peer[2], plain(STEPD_MESSAGE_HEARTBEAT));
    peer_assert_error(peer[2], STEPD_FAILED_PRECONDITION,
                      "was silent for 60000 ms and was given up");
    peer_request(peer[2], leave_at(3));
    peer_assert_error(peer[2], STEPD_FAILED_PRECONDITION,
                      "was silent for 60000 ms and was given up");
}

static void given_up__that_resumes__is_refused_with_why(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[WORKERS];
    start(brain, "on_loss=shrink", peer);
    lose_from(brain, 2);
    brain_assert_refused(brain, hello_resume(peer[2]), STEPD_FAILED_PRECONDITION,
                         "connect anew to join again");
}

static void given_up__without_a_session__joins_again_at_a_version(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[WORKERS];
    start(brain, "on_loss=shrink", peer);
    lose_from(brain, 2);
    struct peer *again = peer_open(brain);
    peer_request(again, hello_worker("j", -1));
    assert_true(peer[2]->hung_up);
    assert_int_equal(brain_count(brain, 0, ORDER_SESSION_GONE), 1);
    brain_proposed_all(brain, 1);
    const struct stepd_welcome *welcome = &peer_answer(again, STEPD_MESSAGE_WELCOME)->body.welcome;
    assert_int_equal(welcome->rank, 2);
    assert_int_equal(welcome->clock, 2);
    assert_int_equal(status(brain)->member[2].state, STEPD_MEMBER_PRESENT);
}

static void given_up__versions_without_it__are_logged_and_in_the_status(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[WORKERS];
    start(brain, "on_loss=shrink", peer);
    lose_from(brain, 2);
    go_without(brain, 0, 17, 17, 0);
    go_without(brain, 1, 17, 18, 3);
    assert_int_equal(status(brain)->member[2].until, 18);
    assert_non_null(strstr(brain->log, "worker_without job=\"j\" rank=2 shard=1 version=17\n"));
    assert_non_null(strstr(brain->log, "worker_without job=\"j\" rank=2 shard=2 version=17 "
                                       "later=18 later_slices=3\n"));
}

static void given_up__the_others_leave__finishes_the_job(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[WORKERS];
    start(brain, "on_loss=shrink", peer);
    lose_from(brain, 2);
    peer_request(peer[0], leave_at(5));
    peer_request(peer[1], leave_at(5));
    assert_int_equal(status(brain)->state, STEPD_JOB_FINISHED);
    assert_int_equal(status(brain)->member[1].until, 5);
}

/* ---- fail ------------------------------------------------------------------------------------ */

static void fail__a_worker_is_lost__the_job_has_failed_everywhere(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[WORKERS];
    start(brain, "on_loss=fail", peer);
    lose_from(brain, 2);
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        assert_string_equal(brain_newest(brain, shard, ORDER_JOB_FAIL)->error.text,
                            "job 'j' has failed: rank 2 (worker 'w2') was silent for 60000 ms "
                            "(on_loss is fail)");
    const struct stepd_job_status *job = status(brain);
    assert_int_equal(job->state, STEPD_JOB_FAILED);
    assert_non_null(strstr(job->failure, "rank 2 (worker 'w2') was silent for 60000 ms"));
}

static void failed__a_report__is_answered_with_why(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[WORKERS];
    start(brain, "on_loss=fail", peer);
    lose_from(brain, 2);
    peer_request(peer[0], plain(STEPD_MESSAGE_REPORT));
    peer_assert_error(peer[0], STEPD_FAILED_PRECONDITION, "rank 2 (worker 'w2') was silent");
    peer_request(peer[0], leave_at(5));
    (void)peer_answer(peer[0], STEPD_MESSAGE_ACK);
}

/* An observer asks to change the rate. */
static struct peer *ask_change(struct brain *brain)
{
    struct stepd_group group = settings_group("", "lr=0.25");
    group.name = "";
    group.match = "";
    struct peer *peer = peer_join(brain, hello_observer("j"));
    peer_request(peer, (struct stepd_message){.kind = STEPD_MESSAGE_CHANGE_JOB,
                                              .body.change_job = {.job = "j", .group = group}});
    return peer;
}

static void failed__changes_of_it__are_known_or_refused(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[WORKERS];
    start(brain, "on_loss=fail", peer);
    struct peer *made = ask_change(brain);
    brain_proposed_all(brain, 1);
    assert_int_equal(peer_answer(made, STEPD_MESSAGE_CHANGES)->body.changes.records, 1);
    brain_wait(brain, BRAIN_LEASE_MS - 1);
    for (uint32_t rank = 0; rank < 2; rank++)
        brain_heard(brain, "j", rank, 1);
    struct peer *waits = ask_change(brain);
    brain_wait(brain, 1);
    peer_assert_error(waits, STEPD_FAILED_PRECONDITION, "rank 2 (worker 'w2') was silent");
    peer_assert_error(ask_change(brain), STEPD_FAILED_PRECONDITION, "rank 2 (worker 'w2')");
    peer_request(waits, (struct stepd_message){.kind = STEPD_MESSAGE_GET_CHANGES,
                                               .body.get_changes = {.job = "j"}});
    assert_int_equal(peer_answer(waits, STEPD_MESSAGE_CHANGES)->body.changes.records, 1);
}

static void failed__while_its_workers_are_there__does_not_begin_anew(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[WORKERS];
    start(brain, "on_loss=fail", peer);
    lose_from(brain, 2);
    brain_assert_refused(brain, hello_worker("j", 2), STEPD_FAILED_PRECONDITION,
                         "rank 0 is still connected");
    peer_close(peer[0]);
    peer_close(peer[1]);
    struct peer *anew = peer_join(brain, hello_worker("j", 0)); /* the lost one may hang for ever */
    assert_int_equal(peer_answer(anew, STEPD_MESSAGE_WELCOME)->body.welcome.world, 0);
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_CLOSE), 1);
}

static void halted__by_the_gate__has_failed(void **state)
{
    struct brain *brain = *state;
    struct peer *peer[WORKERS];
    start(brain, "nonfinite=halt", peer);
    brain_forget_orders(brain);
    struct notice *ready = notice_create(NOTICE_READY, "j");
    ready->error = (struct stepd_error){.code = STEPD_INVALID_ARGUMENT, .text = "NaN in 'w'"};
    control_on_notice(brain->control, ready, brain->now_ms);
    const struct stepd_job_status *job = status(brain);
    assert_int_equal(job->state, STEPD_JOB_FAILED);
    assert_string_equal(job->failure, "job 'j' is halted at version 0: NaN in 'w'");
    assert_int_equal(brain_count(brain, 0, ORDER_COMMIT), 1);
    assert_int_equal(brain_count(brain, 0, ORDER_JOB_FAIL), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, brain_setup, brain_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(wait__a_worker_is_lost__nothing_happens),
        TEST(shrink__a_worker_is_lost__is_given_up_on_all_shards),
        TEST(shrink__to_fewer_than_the_least__waits_and_says_so_once),
        TEST(shrink__to_nobody__waits),
        TEST(shrink__one_is_back_of_too_few__gives_the_others_up),
        TEST(given_up__heard_again__stays_so),
        TEST(given_up__what_it_asks__is_answered_with_why),
        TEST(given_up__that_resumes__is_refused_with_why),
        TEST(given_up__without_a_session__joins_again_at_a_version),
        TEST(given_up__versions_without_it__are_logged_and_in_the_status),
        TEST(given_up__the_others_leave__finishes_the_job),
        TEST(fail__a_worker_is_lost__the_job_has_failed_everywhere),
        TEST(failed__a_report__is_answered_with_why),
        TEST(failed__changes_of_it__are_known_or_refused),
        TEST(failed__while_its_workers_are_there__does_not_begin_anew),
        TEST(halted__by_the_gate__has_failed),
    };
    return cmocka_run_group_tests_name("control/loss", tests, NULL, NULL);
}
