/* SPDX-License-Identifier: Apache-2.0
 *
 * Checkpoint through control: who may ask, when it is answered, and what the shards and the status
 * are told of what is durable.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "server/control/jobs.h"
#include "shard_shares.h"

static const uint64_t clocks[2] = {7, 7};

/* A job of two workers that runs, and an observer of it; the shares that its shards give. */
struct scene {
    struct brain *brain;
    struct peer *worker[2];
    struct peer *observer;
    struct job_state *share[BRAIN_SHARDS]; /* references */
};

static struct scene start(struct brain *brain, enum stepd_mode mode)
{
    struct scene scene = {.brain = brain};
    for (int32_t rank = 0; rank < 2; rank++)
        scene.worker[rank] = peer_join(brain, hello_worker("j", rank));
    shares_define(scene.worker[0], mode, 2);
    scene.observer = peer_join(brain, hello_observer("j"));
    return scene;
}

static struct stepd_message ask(const char *job, uint32_t deadline_ms)
{
    return (struct stepd_message){.kind = STEPD_MESSAGE_CHECKPOINT,
                                  .body.checkpoint = {.job = job, .deadline_ms = deadline_ms}};
}

static void take(struct scene *scene, uint64_t version)
{
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++) {
        if (scene->share[shard] == NULL)
            scene->share[shard] = shares_make(scene->brain, shard, version, clocks);
        shares_give(scene->brain, shard, scene->share[shard]);
    }
}

/* The newest checkpoint was written as step-00000007, 12345 bytes long; or, with a text, not. */
static void end_writing(struct brain *brain, const char *failure)
{
    struct control_written written = {
        .name = "step-00000007", .step = brain->checkpoint_step, .bytes = 12345};
    if (failure != NULL)
        (void)stepd_fail(&written.error, STEPD_UNAVAILABLE, "%s", failure);
    control_checkpoint_written(brain->control, brain->checkpoint, &written, brain->now_ms);
}

static void end(struct scene *scene)
{
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        (void)job_state_unref(scene->share[shard]);
}

static const struct stepd_checkpoint_status *status_of(struct scene *scene)
{
    struct peer *peer = scene->observer;
    peer_request(peer, get_status("j"));
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        brain_answer(scene->brain, shard, 7, 7, UINT32_MAX);
    return &peer_answer(peer, STEPD_MESSAGE_STATUS)->body.status.job[0].checkpoint;
}

/* ---- The answer ------------------------------------------------------------------------------ */

static void checkpoint__when_it_is_on_the_disk__is_answered(void **state)
{
    struct scene scene = start(*state, STEPD_SYNC);
    peer_request(scene.observer, ask("", 0));
    take(&scene, 7);
    assert_int_equal(peer_answers(scene.observer), 0); /* it is being written */
    assert_int_equal(scene.brain->checkpoints, 1);
    end_writing(scene.brain, NULL);
    const struct stepd_checkpoint_written *written =
        &peer_answer(scene.observer, STEPD_MESSAGE_CHECKPOINT_WRITTEN)->body.checkpoint_written;
    assert_string_equal(written->name, "step-00000007");
    assert_int_equal(written->step, 7);
    assert_int_equal(written->bytes, 12345);
    end(&scene);
}

static void checkpoint__of_a_worker__is_taken_as_well(void **state)
{
    struct scene scene = start(*state, STEPD_SYNC);
    peer_request(scene.worker[1], ask("", 0));
    take(&scene, 7);
    end_writing(scene.brain, NULL);
    (void)peer_answer(scene.worker[1], STEPD_MESSAGE_CHECKPOINT_WRITTEN);
    end(&scene);
}

static void checkpoint__that_could_not_be_written__is_answered_with_the_cause(void **state)
{
    struct scene scene = start(*state, STEPD_SYNC);
    peer_request(scene.observer, ask("j", 0));
    take(&scene, 7);
    end_writing(scene.brain, "the disk is full; make room");
    peer_assert_error(scene.observer, STEPD_UNAVAILABLE, "the disk is full; make room");
    assert_non_null(strstr(scene.brain->log, "consequence=\"there is none of this job yet;"));
    end(&scene);
}

static void checkpoint__that_could_not_be_taken__is_answered_with_the_cause(void **state)
{
    struct scene scene = start(*state, STEPD_SYNC);
    peer_request(scene.observer, ask("j", 0));
    shares_refuse(scene.brain, 0, STEPD_RESOURCE_EXHAUSTED, 0);
    assert_int_equal(peer_answers(scene.observer), 1);
    assert_int_equal(peer_answer(scene.observer, STEPD_MESSAGE_ERROR)->body.error.code,
                     STEPD_RESOURCE_EXHAUSTED);
}

static void checkpoint__while_one_is_written__is_another_one(void **state)
{
    struct scene scene = start(*state, STEPD_SYNC);
    peer_request(scene.worker[0], ask("", 0));
    take(&scene, 7);
    peer_request(scene.observer, ask("", 0));
    end_writing(scene.brain, NULL);
    (void)peer_answer(scene.worker[0], STEPD_MESSAGE_CHECKPOINT_WRITTEN);
    assert_int_equal(peer_answers(scene.observer), 0);
    take(&scene, 7);
    end_writing(scene.brain, NULL);
    (void)peer_answer(scene.observer, STEPD_MESSAGE_CHECKPOINT_WRITTEN);
    assert_int_equal(scene.brain->checkpoints, 2);
    end(&scene);
}

static void checkpoint__of_two_at_the_same_time__is_one(void **state)
{
    struct scene scene = start(*state, STEPD_SYNC);
    peer_request(scene.worker[0], ask("", 0));
    take(&scene, 7);
    peer_request(scene.observer, ask("", 0));
    peer_request(scene.worker[1], ask("", 0));
    end_writing(scene.brain, NULL);
    take(&scene, 7);
    end_writing(scene.brain, NULL);
    (void)peer_answer(scene.observer, STEPD_MESSAGE_CHECKPOINT_WRITTEN);
    (void)peer_answer(scene.worker[1], STEPD_MESSAGE_CHECKPOINT_WRITTEN);
    assert_int_equal(scene.brain->checkpoints, 2);
    end(&scene);
}

static void checkpoint__behind_one_of_a_job_that_fails__is_told_why(void **state)
{
    struct scene scene = start(*state, STEPD_SYNC);
    const struct stepd_error why = {.code = STEPD_ABORTED, .text = "rank 1 was lost"};
    peer_request(scene.worker[0], ask("", 0));
    take(&scene, 7);
    peer_request(scene.observer, ask("", 0));
    struct control *const control = scene.brain->control;
    control_job_fail(control, control_job_find(control, "j"), &why, /* shards_know= */ true);
    end_writing(scene.brain, NULL);
    peer_assert_error(scene.observer, STEPD_ABORTED, "rank 1 was lost");
    end(&scene);
}

/* ---- Too late -------------------------------------------------------------------------------- */

static void checkpoint__that_a_shard_cannot_take_yet__says_for_whom_it_waits(void **state)
{
    struct scene scene = start(*state, STEPD_SYNC);
    peer_request(scene.observer, ask("j", 500));
    scene.share[0] = shares_make(scene.brain, 0, 7, clocks);
    shares_give(scene.brain, 0, scene.share[0]);
    brain_wait(scene.brain, 499);
    assert_int_equal(peer_answers(scene.observer), 0);
    brain_wait(scene.brain, 1);
    peer_assert_error(scene.observer, STEPD_DEADLINE_EXCEEDED,
                      "1 of 2 shards have slices that have not closed version 0");
    end(&scene);
}

static void checkpoint__of_an_async_job_that_waits__says_for_how_many_shards(void **state)
{
    struct scene scene = start(*state, STEPD_ASYNC);
    peer_request(scene.observer, ask("j", 500));
    brain_wait(scene.brain, 500);
    peer_assert_error(scene.observer, STEPD_DEADLINE_EXCEEDED,
                      "2 of 2 shards have not said that they have it");
}

static void checkpoint__that_the_disk_is_slow_with__says_for_how_long(void **state)
{
    struct scene scene = start(*state, STEPD_SYNC);
    peer_request(scene.observer, ask("j", 500));
    take(&scene, 7);
    brain_wait(scene.brain, 500);
    peer_assert_error(scene.observer, STEPD_DEADLINE_EXCEEDED, "written for 500 ms");
    end_writing(scene.brain, NULL);
    assert_string_equal(status_of(&scene)->name, "step-00000007"); /* written all the same */
    end(&scene);
}

/* ---- Refused --------------------------------------------------------------------------------- */

static void checkpoint__of_an_unknown_job__is_refused(void **state)
{
    struct scene scene = start(*state, STEPD_SYNC);
    peer_request(scene.observer, ask("nowhere", 0));
    peer_assert_error(scene.observer, STEPD_NOT_FOUND, "there is no job 'nowhere'");
}

static void checkpoint__of_a_job_that_has_not_started__is_refused(void **state)
{
    struct peer *worker = peer_join(*state, hello_worker("j", 0));
    peer_request(worker, ask("", 0));
    peer_assert_error(worker, STEPD_FAILED_PRECONDITION, "has not started");
}

static void checkpoint__where_none_are_kept__is_refused(void **state)
{
    struct scene scene = start(*state, STEPD_SYNC);
    peer_request(scene.observer, ask("", 0));
    peer_assert_error(scene.observer, STEPD_FAILED_PRECONDITION, "--checkpoint-dir");
}

/* ---- What is known of it --------------------------------------------------------------------- */

static void status__after_a_checkpoint__names_it_and_its_age(void **state)
{
    struct scene scene = start(*state, STEPD_SYNC);
    peer_request(scene.observer, ask("", 0));
    take(&scene, 7);
    end_writing(scene.brain, NULL);
    brain_wait(scene.brain, 1500);
    const struct stepd_checkpoint_status *newest = status_of(&scene);
    assert_string_equal(newest->name, "step-00000007");
    assert_int_equal(newest->bytes, 12345);
    assert_int_equal(newest->age_ms, 1500);
    assert_string_equal(newest->failure, "");
    end(&scene);
}

static void status__after_one_that_failed__has_the_last_good_one_and_the_cause(void **state)
{
    struct scene scene = start(*state, STEPD_SYNC);
    peer_request(scene.observer, ask("", 0));
    take(&scene, 7);
    end_writing(scene.brain, NULL);
    peer_request(scene.observer, ask("", 0));
    take(&scene, 7);
    end_writing(scene.brain, "the disk is full");
    const struct stepd_checkpoint_status *newest = status_of(&scene);
    assert_string_equal(newest->name, "step-00000007");
    assert_string_equal(newest->failure, "the disk is full");
    assert_non_null(strstr(scene.brain->log, "consequence=\"the last good one stays;"));
    end(&scene);
}

static void status__before_any__has_none(void **state)
{
    struct scene scene = start(*state, STEPD_SYNC);
    const struct stepd_checkpoint_status *newest = status_of(&scene);
    assert_string_equal(newest->name, "");
    assert_string_equal(newest->failure, "");
    assert_int_equal(newest->age_ms, 0);
}

static void shards__after_a_checkpoint__are_told_that_it_is_durable(void **state)
{
    struct scene scene = start(*state, STEPD_SYNC);
    peer_request(scene.observer, ask("", 0));
    take(&scene, 7);
    assert_int_equal(brain_count(scene.brain, 1, ORDER_SNAPSHOT_END), 0);
    end_writing(scene.brain, NULL);
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        assert_true(brain_newest(scene.brain, shard, ORDER_SNAPSHOT_END)->durable);
    end(&scene);
}

static void shards__after_one_that_failed__are_told_that_it_is_not(void **state)
{
    struct scene scene = start(*state, STEPD_SYNC);
    peer_request(scene.observer, ask("", 0));
    take(&scene, 7);
    end_writing(scene.brain, "the disk is full");
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        assert_false(brain_newest(scene.brain, shard, ORDER_SNAPSHOT_END)->durable);
    end(&scene);
}

/* ---- The last -------------------------------------------------------------------------------- */

/* Whoever waits may wait for five minutes. */
static struct scene start_patient(struct brain *brain)
{
    struct scene scene = start(brain, STEPD_SYNC);
    brain->control->options.wait_max_ms = 300000;
    return scene;
}

/* The daemon is told to end. */
static struct control *begin_the_last(const struct scene *scene)
{
    struct control *const control = scene->brain->control;
    control->options.checkpoint_on_exit = true;
    control_checkpoint_all(control, scene->brain->now_ms);
    return control;
}

static void last__that_a_round_keeps_waiting__is_given_up_after_ten_seconds(void **state)
{
    struct scene scene = start_patient(*state);
    struct control *const control = begin_the_last(&scene);
    scene.share[0] = shares_make(scene.brain, 0, 7, clocks);
    shares_give(scene.brain, 0, scene.share[0]);
    brain_wait(scene.brain, 9999);
    assert_int_equal(control_checkpoints_left(control), 1);
    brain_wait(scene.brain, 1);
    assert_int_equal(control_checkpoints_left(control), 0);
    assert_non_null(strstr(scene.brain->log, "checkpoint_failed"));
    assert_int_equal(brain_newest(scene.brain, 0, ORDER_SNAPSHOT_END)->last, false);
    end(&scene);
}

static void assert_last(const struct scene *scene, enum order_kind kind, bool last)
{
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        assert_int_equal(brain_newest(scene->brain, shard, kind)->last, last);
}

/* No step is lost that was made behind it, well or not. */
static void last__taken_and_written__lets_no_step_be_made_beyond_it(void **state)
{
    struct scene scene = start(*state, STEPD_SYNC);
    (void)begin_the_last(&scene);
    assert_last(&scene, ORDER_SNAPSHOT, true);
    take(&scene, 7);
    end_writing(scene.brain, NULL);
    assert_last(&scene, ORDER_SNAPSHOT_END, true);
    end(&scene);
}

static void last__that_was_only_asked_for__lets_steps_go_on(void **state)
{
    struct scene scene = start(*state, STEPD_SYNC);
    peer_request(scene.observer, ask("", 0));
    assert_last(&scene, ORDER_SNAPSHOT, false);
    take(&scene, 7);
    end_writing(scene.brain, NULL);
    assert_last(&scene, ORDER_SNAPSHOT_END, false);
    end(&scene);
}

static void last__behind_one_that_waits_for_a_round__does_not_wait_longer_for_it(void **state)
{
    struct scene scene = start_patient(*state);
    peer_request(scene.observer, ask("j", 0));
    struct control *const control = begin_the_last(&scene);
    brain_wait(scene.brain, 10000);
    peer_assert_error(scene.observer, STEPD_DEADLINE_EXCEEDED, "have not closed version");
    brain_wait(scene.brain, 10000);
    assert_int_equal(control_checkpoints_left(control), 0);
    end(&scene);
}

/* As when one of several daemons ends, and then control's. */
static void last__that_is_wanted_twice__is_waited_for_once(void **state)
{
    struct scene scene = start_patient(*state);
    struct control *const control = begin_the_last(&scene);
    brain_wait(scene.brain, 5000);
    (void)begin_the_last(&scene);
    brain_wait(scene.brain, 5000);
    assert_int_equal(control_checkpoints_left(control), 0);
    end(&scene);
}

/* The end of the daemon waits for it. */
static void last__where_none_is_wanted__waits_ten_seconds_for_one_that_was_asked_for(void **state)
{
    struct scene scene = start_patient(*state);
    struct control *const control = scene.brain->control;
    peer_request(scene.observer, ask("j", 0));
    control_checkpoint_all(control, scene.brain->now_ms);
    assert_int_equal(control_checkpoints_left(control), 1);
    brain_wait(scene.brain, 10000);
    peer_assert_error(scene.observer, STEPD_DEADLINE_EXCEEDED, "have not closed version");
    assert_int_equal(control_checkpoints_left(control), 0);
    end(&scene);
}

static void last__where_none_is_wanted_or_asked_for__shortens_nothing(void **state)
{
    struct scene scene = start_patient(*state);
    struct control *const control = scene.brain->control;
    control_checkpoint_all(control, scene.brain->now_ms);
    assert_int_equal(control_checkpoints_left(control), 0);
    peer_request(scene.observer, ask("j", 0));
    brain_wait(scene.brain, 20000);
    assert_int_equal(control_checkpoints_left(control), 1);
    end(&scene);
}

static void last__that_is_taken_in_time__is_written(void **state)
{
    struct scene scene = start_patient(*state);
    struct control *const control = begin_the_last(&scene);
    brain_wait(scene.brain, 9000);
    take(&scene, 7);
    brain_wait(scene.brain, 60000);
    assert_int_equal(control_checkpoints_left(control), 1);
    end_writing(scene.brain, NULL);
    assert_int_equal(control_checkpoints_left(control), 0);
    end(&scene);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, brain_setup_keeping, brain_teardown)
    const struct CMUnitTest tests[] = {
        TEST(checkpoint__when_it_is_on_the_disk__is_answered),
        TEST(checkpoint__of_a_worker__is_taken_as_well),
        TEST(checkpoint__that_could_not_be_written__is_answered_with_the_cause),
        TEST(checkpoint__that_could_not_be_taken__is_answered_with_the_cause),
        TEST(checkpoint__while_one_is_written__is_another_one),
        TEST(checkpoint__of_two_at_the_same_time__is_one),
        TEST(checkpoint__behind_one_of_a_job_that_fails__is_told_why),
        TEST(checkpoint__that_a_shard_cannot_take_yet__says_for_whom_it_waits),
        TEST(checkpoint__of_an_async_job_that_waits__says_for_how_many_shards),
        TEST(checkpoint__that_the_disk_is_slow_with__says_for_how_long),
        TEST(checkpoint__of_an_unknown_job__is_refused),
        TEST(checkpoint__of_a_job_that_has_not_started__is_refused),
        cmocka_unit_test_setup_teardown(checkpoint__where_none_are_kept__is_refused, brain_setup,
                                        brain_teardown),
        TEST(status__after_a_checkpoint__names_it_and_its_age),
        TEST(status__after_one_that_failed__has_the_last_good_one_and_the_cause),
        TEST(status__before_any__has_none),
        TEST(shards__after_a_checkpoint__are_told_that_it_is_durable),
        TEST(shards__after_one_that_failed__are_told_that_it_is_not),
        TEST(last__that_a_round_keeps_waiting__is_given_up_after_ten_seconds),
        TEST(last__taken_and_written__lets_no_step_be_made_beyond_it),
        TEST(last__that_was_only_asked_for__lets_steps_go_on),
        TEST(last__behind_one_that_waits_for_a_round__does_not_wait_longer_for_it),
        TEST(last__that_is_wanted_twice__is_waited_for_once),
        TEST(last__where_none_is_wanted__waits_ten_seconds_for_one_that_was_asked_for),
        TEST(last__where_none_is_wanted_or_asked_for__shortens_nothing),
        TEST(last__that_is_taken_in_time__is_written),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
