/* SPDX-License-Identifier: Apache-2.0
 *
 * A job whose groups were changed while it ran, and that a new control brings back: what its groups
 * have become, what is still to come, and the audit trail.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crash.h"
#include "server/sync/gate.h"

static const uint64_t at_five[2] = {5, 5};

static const struct stepd_change_list *list_of(const struct peer *peer)
{
    return &peer_answer(peer, STEPD_MESSAGE_CHANGES)->body.changes;
}

static const struct stepd_change_list *changes(struct peer *peer)
{
    peer_request(peer, (struct stepd_message){.kind = STEPD_MESSAGE_GET_CHANGES,
                                              .body.get_changes = {.job = "j"}});
    return list_of(peer);
}

/* A change on the old control, a snapshot at version 5, and the job on the new one. */
static void setup(struct crash *crash, const char *settings, uint64_t at)
{
    crash_begin(crash, STEPD_SYNC);
    shares_change(crash->worker[0], settings, at);
    crash_take(crash, 5, at_five);
    crash_restore(crash);
    brain_opened_all(crash->brain, "j");
}

static struct peer *observe(const struct crash *crash)
{
    return peer_join(crash->brain, hello_observer("j"));
}

/* ---- The trail ------------------------------------------------------------------------------- */

static void trail__of_a_restored_job__says_what_it_said(void **state)
{
    (void)state;
    struct crash crash;
    setup(&crash, "lr=0.25", 0);
    const struct stepd_change_list *list = changes(observe(&crash));
    assert_int_equal(list->records, 1);
    assert_int_equal(list->record[0].number, 1);
    assert_string_equal(list->record[0].group, "all");
    assert_string_equal(list->record[0].by, "w0");
    assert_int_equal(list->record[0].version, 2);
    assert_int_equal(list->record[0].version_last, 2);
    assert_int_equal(list->record[0].differences, 1);
    assert_string_equal(list->record[0].difference[0].name, "lr");
    assert_string_equal(list->record[0].difference[0].from, "0.5");
    assert_string_equal(list->record[0].difference[0].to, "0.25");
    crash_end(&crash);
}

static void trail__of_a_restored_job__grows_older_from_the_snapshot_on(void **state)
{
    (void)state;
    struct crash crash;
    crash_begin(&crash, STEPD_SYNC);
    shares_change(crash.worker[0], "lr=0.25", 0);
    brain_wait(crash.old, 700);
    crash_take(&crash, 5, at_five);
    crash.brain->now_ms = 5; /* another machine's clock */
    crash_restore(&crash);
    brain_opened_all(crash.brain, "j");
    brain_wait(crash.brain, 300);
    assert_int_equal(changes(observe(&crash))->record[0].age_ms, 1000);
    crash_end(&crash);
}

static void change__of_a_restored_job__has_the_next_number(void **state)
{
    (void)state;
    struct crash crash;
    setup(&crash, "lr=0.25", 0);
    struct peer *peer = observe(&crash);
    shares_ask_change(peer, "lr_mult=0.5", 0);
    brain_proposed_all(crash.brain, 1);
    assert_int_equal(list_of(peer)->record[0].number, 2);
    assert_string_equal(list_of(peer)->record[0].difference[0].from, "0.25");
    assert_int_equal(changes(peer)->records, 2);
    crash_end(&crash);
}

static void status__of_a_restored_job__counts_its_changes(void **state)
{
    (void)state;
    struct crash crash;
    setup(&crash, "lr=0.25", 0);
    struct peer *peer = observe(&crash);
    peer_request(peer, get_status("j"));
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        brain_answer(crash.brain, shard, 5, 5, UINT32_MAX);
    assert_int_equal(peer_answer(peer, STEPD_MESSAGE_STATUS)->body.status.job[0].changes, 1);
    crash_end(&crash);
}

static void groups__of_a_restored_job__are_what_they_had_become(void **state)
{
    (void)state;
    struct crash crash;
    setup(&crash, "lr=0.25", 0);
    struct peer *peer = observe(&crash);
    peer_request(peer, (struct stepd_message){.kind = STEPD_MESSAGE_GET_GROUPS,
                                              .body.get_groups = {.job = "j"}});
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        brain_answer(crash.brain, shard, 5, 5, UINT32_MAX);
    const struct stepd_tensor_group *tensor =
        peer_answer(peer, STEPD_MESSAGE_GROUPS)->body.groups.tensor;
    assert_true(tensor->base_lr == 0.25);
    assert_int_equal(tensor->change, 1);
    assert_int_equal(tensor->change_version, 2);
    crash_end(&crash);
}

/* ---- What is to come ------------------------------------------------------------------------- */

static void change__that_was_over__is_not_told_to_the_shards_again(void **state)
{
    (void)state;
    struct crash crash;
    setup(&crash, "lr=0.25", 0);
    assert_int_equal(brain_count(crash.brain, 0, ORDER_CHANGE), 0);
    assert_int_equal(brain_count(crash.brain, 0, ORDER_JOB_START), 1);
    crash_end(&crash);
}

static void change__that_was_to_come__is_told_to_the_shards_before_they_start(void **state)
{
    (void)state;
    struct crash crash;
    setup(&crash, "lr=0.25", 70);
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++) {
        const struct order *order = brain_newest(crash.brain, shard, ORDER_CHANGE);
        assert_int_equal(brain_count(crash.brain, shard, ORDER_CHANGE), 1);
        assert_int_equal(order->change, ORDER_CHANGE_GROUPS);
        assert_int_equal(order->groups->number, 1);
        assert_int_equal(order->groups->version, 70);
        assert_true(order->groups->change[0].group->group.phase[0].hyper.lr == 0.25);
    }
    assert_true(brain_place(crash.brain, ORDER_CHANGE) < brain_place(crash.brain, ORDER_MEMBER));
    assert_true(brain_place(crash.brain, ORDER_CHANGE) < brain_place(crash.brain, ORDER_JOB_START));
    assert_int_equal(changes(observe(&crash))->record[0].version, 70);
    crash_end(&crash);
}

static void change__that_was_to_come__is_in_the_next_snapshot_too(void **state)
{
    (void)state;
    struct crash crash;
    setup(&crash, "lr=0.25", 70);
    struct shares_taken again = shares_take(crash.brain, 6, at_five);
    assert_int_equal(control_history_coming(&again.snapshot.history), 1);
    assert_int_equal(again.snapshot.history.trail.count, 1);
    shares_taken_deinit(&again);
    crash_end(&crash);
}

static void change__that_was_not_decided__is_void(void **state)
{
    (void)state;
    struct crash crash;
    crash_begin(&crash, STEPD_SYNC);
    shares_ask_change(crash.worker[0], "lr=0.25", 0);
    crash_take(&crash, 5, at_five);
    crash_restore(&crash);
    brain_opened_all(crash.brain, "j");
    assert_int_equal(brain_count(crash.brain, 0, ORDER_PROPOSE), 0);
    assert_int_equal(brain_count(crash.brain, 0, ORDER_CHANGE), 0);
    assert_int_equal(changes(observe(&crash))->records, 0);
    crash_end(&crash);
}

static void change__that_was_dropped_before_it_came__is_in_no_snapshot(void **state)
{
    (void)state;
    struct crash crash;
    crash_begin(&crash, STEPD_SYNC);
    shares_change(crash.worker[0], "lr=0.25", 70);
    shares_ask_change_and_drop(crash.worker[0], "lr=0.125");
    brain_proposed_all(crash.old, 1);
    const struct stepd_change_list *list = list_of(crash.worker[0]);
    assert_int_equal(list->records, 1);
    assert_int_equal(list->record[0].differences, 2);
    assert_string_equal(list->record[0].difference[0].from, "0.5"); /* as it is until 70 */
    assert_string_equal(list->record[0].difference[0].to, "0.125");
    assert_string_equal(list->record[0].difference[1].name, "change 1");
    assert_string_equal(list->record[0].difference[1].from, "at version 70");
    assert_string_equal(list->record[0].difference[1].to, "-");
    crash_take(&crash, 2, at_five);
    assert_int_equal(control_history_coming(&crash.taken.snapshot.history), 1);
    crash_restore(&crash);
    brain_opened_all(crash.brain, "j");
    const struct order *order = brain_newest(crash.brain, 0, ORDER_CHANGE);
    assert_int_equal(order->groups->number, 2);
    assert_int_equal(brain_count(crash.brain, 0, ORDER_CHANGE), 1);
    crash_end(&crash);
}

/* What the group is until then does not change, and so nothing of what is to come is lost. */
static void change__of_nothing_new_ahead_of_one_to_come__leaves_that(void **state)
{
    (void)state;
    struct crash crash;
    crash_begin(&crash, STEPD_SYNC);
    shares_change(crash.worker[0], "lr=0.25", 70);
    shares_ask_change(crash.worker[0], "lr=0.5", 0);
    brain_proposed_all(crash.old, 1);
    assert_int_equal(list_of(crash.worker[0])->records, 0);
    shares_ask_change_and_drop(crash.worker[0], "lr=0.5");
    brain_proposed_all(crash.old, 1);
    assert_int_equal(list_of(crash.worker[0])->records, 1);
    assert_string_equal(list_of(crash.worker[0])->record[0].difference[0].name, "change 1");
    crash_end(&crash);
}

/* A job that was restored knows what its groups are until what is to come. */
static void change__ahead_of_one_to_come_in_a_restored_job__starts_from_what_is_now(void **state)
{
    (void)state;
    struct crash crash;
    crash_begin(&crash, STEPD_SYNC);
    shares_change(crash.worker[0], "lr=0.25", 2);
    shares_change(crash.worker[0], "lr=0.125", 70);
    crash_take(&crash, 5, at_five);
    crash_restore(&crash);
    brain_opened_all(crash.brain, "j");
    struct peer *peer = observe(&crash);
    shares_ask_change_and_drop(peer, "lr_mult=2");
    brain_proposed_all(crash.brain, 1);
    assert_string_equal(list_of(peer)->record[0].difference[0].from, "0.25");
    assert_string_equal(list_of(peer)->record[0].difference[0].to, "0.5");
    crash_end(&crash);
}

/* Slices may have been taken just before they heard of it. */
static void change__decided_while_slices_are_taken__is_told_to_the_shards_again(void **state)
{
    (void)state;
    struct crash crash;
    crash_begin(&crash, STEPD_SYNC);
    assert_int_equal(control_snapshot(crash.old->control, "j", crash.old->now_ms, NULL), STEPD_OK);
    shares_change(crash.worker[0], "lr=0.25", 0);
    shares_ask_change(crash.worker[0], "lr=0.125", 0); /* by whose proposal all slices are at 9 */
    brain_proposed_all(crash.old, 9);
    brain_proposed_all(crash.old, 9);
    crash.taken = shares_finish(crash.old, 2, at_five);
    crash_restore(&crash);
    brain_opened_all(crash.brain, "j");
    assert_int_equal(brain_count(crash.brain, 1, ORDER_CHANGE), 2);
    const struct order *order = brain_newest(crash.brain, 1, ORDER_CHANGE);
    assert_int_equal(order->groups->number, 2);
    crash_end(&crash);
}

/* A shard says from which version on its slices have a change. */
static void say_changed(struct brain *brain, uint64_t number, uint64_t min, uint64_t max)
{
    struct notice *notice = notice_create(NOTICE_CHANGED, "j");
    assert_non_null(notice);
    notice->query = number;
    notice->slices = 1;
    notice->version_min = min;
    notice->version_max = max;
    control_on_notice(brain->control, notice, brain->now_ms);
}

static void change__in_async_mode_after_the_snapshot_was_ordered__is_dated_anew(void **state)
{
    (void)state;
    struct crash crash;
    crash_begin(&crash, STEPD_ASYNC);
    assert_int_equal(control_snapshot(crash.old->control, "j", crash.old->now_ms, NULL), STEPD_OK);
    shares_change(crash.worker[0], "lr=0.25", 0);
    say_changed(crash.old, 1, 40, 40);
    assert_int_equal(changes(crash.worker[0])->record[0].version, 40);
    crash.taken = shares_finish(crash.old, JOB_STATE_AS_IT_STANDS, at_five);
    crash_restore(&crash);
    brain_opened_all(crash.brain, "j");
    struct peer *peer = observe(&crash);
    assert_int_equal(changes(peer)->record[0].version, 0);
    say_changed(crash.brain, brain_newest(crash.brain, 0, ORDER_CHANGE)->groups->number, 6, 7);
    assert_int_equal(changes(peer)->record[0].version, 6);
    assert_int_equal(changes(peer)->record[0].version_last, 7);
    crash_end(&crash);
}

static void change__in_async_mode_before_the_snapshot_was_ordered__keeps_its_versions(void **state)
{
    (void)state;
    struct crash crash;
    crash_begin(&crash, STEPD_ASYNC);
    shares_change(crash.worker[0], "lr=0.25", 0);
    say_changed(crash.old, 1, 40, 42);
    crash_take(&crash, JOB_STATE_AS_IT_STANDS, at_five);
    crash_restore(&crash);
    brain_opened_all(crash.brain, "j");
    assert_int_equal(brain_count(crash.brain, 0, ORDER_CHANGE), 0);
    const struct stepd_change_list *list = changes(observe(&crash));
    assert_int_equal(list->record[0].version, 40);
    assert_int_equal(list->record[0].version_last, 42);
    crash_end(&crash);
}

/* ---- Norms ----------------------------------------------------------------------------------- */

/* Both shards are ready for a step whose gradient has the norm 5; what it is multiplied by. */
static float factor_at(struct brain *brain, uint64_t version)
{
    static const double square[BRAIN_SHARDS] = {9.0, 16.0};
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++) {
        const struct job *job = brain_newest(brain, shard, ORDER_JOB_OPEN)->job;
        struct notice *ready = notice_create(NOTICE_READY, "j");
        assert_non_null(ready);
        ready->shard = shard;
        ready->version_min = version;
        ready->sum = calloc(gate_blocks(job, shard), sizeof *ready->sum);
        assert_non_null(ready->sum);
        ready->sum[0] = square[shard];
        control_on_notice(brain->control, ready, brain->now_ms);
    }
    const struct order *commit = brain_newest(brain, 0, ORDER_COMMIT);
    assert_int_equal(commit->version, version);
    assert_int_equal(commit->factors, 1);
    return commit->factor[0];
}

static const float to_two = (float)(2.0 / (5.0 + 1e-6));
static const float to_four = (float)(4.0 / (5.0 + 1e-6));

static void clip_norm__that_is_changed__clips_from_its_version_on(void **state)
{
    (void)state;
    struct crash crash;
    crash_begin_with(&crash, STEPD_SYNC, "clip_global_norm=1000");
    shares_change(crash.worker[0], "clip_norm=2", 2);
    shares_change(crash.worker[0], "clip_norm=4", 4);
    const float factor[] = {1.0F, 1.0F, to_two, to_two, to_four};
    for (uint64_t version = 0; version < 5; version++)
        assert_true(factor_at(crash.old, version) == factor[version]);
    crash_end(&crash);
}

static void clip_norm__of_a_job_that_takes_no_norms__is_not_changed(void **state)
{
    (void)state;
    struct crash crash;
    crash_begin_with(&crash, STEPD_SYNC, "atomic=job");
    shares_ask_change(crash.worker[0], "clip_norm=2", 0);
    brain_proposed_all(crash.old, 1);
    peer_assert_error(crash.worker[0], STEPD_INVALID_ARGUMENT,
                      "define it with a clip_norm in any group, or with clip_global_norm");
    crash_end(&crash);
}

static void clip_norm__of_a_restored_job__is_what_it_had_become_and_is_to_become(void **state)
{
    (void)state;
    struct crash crash;
    crash_begin_with(&crash, STEPD_SYNC, "clip_global_norm=1000");
    shares_change(crash.worker[0], "clip_norm=2", 2);
    struct shares_taken before = shares_take(crash.old, 5, at_five);
    shares_change(crash.worker[0], "clip_norm=4", 7);
    crash_take(&crash, 5, at_five);
    for (size_t i = 0; i < 2; i++) /* slices that are of version 5 */
        crash.taken.state->slice[i].changed =
            shared_group_ref(before.snapshot.history.group[0].now);
    crash_restore(&crash);
    brain_opened_all(crash.brain, "j");
    assert_true(factor_at(crash.brain, 5) == to_two);
    assert_true(factor_at(crash.brain, 6) == to_two);
    assert_true(factor_at(crash.brain, 7) == to_four);
    shares_taken_deinit(&before);
    crash_end(&crash);
}

/* ---- What cannot be restored ----------------------------------------------------------------- */

static void assert_not_restored(struct crash *crash, const char *words)
{
    struct stepd_error error = {.text = ""};
    assert_int_equal(crash_try_restore(crash, &error), STEPD_INVALID_ARGUMENT);
    if (strstr(error.text, words) == NULL)
        fail_msg("'%s' is not in: %s", words, error.text);
}

static void history__of_another_definition__is_not_restored(void **state)
{
    (void)state;
    struct crash crash;
    crash_begin(&crash, STEPD_SYNC);
    shares_change(crash.worker[0], "lr=0.25", 70);
    crash_take(&crash, 5, at_five);
    struct control_history *history = &crash.taken.snapshot.history;
    history->trail.first->group = 1;
    assert_not_restored(&crash, "has a change of group 2, and the job has 1 groups");
    history->trail.first->group = 0;
    history->coming->change[0].index = 1;
    assert_not_restored(&crash, "has a change of group 2, and the job has 1 groups");
    history->coming->change[0].index = 0;
    history->group[0].now->group.treatment.clip_norm = 1.0;
    assert_not_restored(&crash, "the snapshot of job 'j', which has changed group 'all'");
    history->group[0].now->group.treatment.clip_norm = 0.0;
    history->groups = 2;
    assert_not_restored(&crash, "the snapshot of job 'j' has 2 groups, and the job 1");
    history->groups = 1;
    crash_restore(&crash);
    crash_end(&crash);
}

static void slices__whose_group_is_of_another_definition__are_not_restored(void **state)
{
    (void)state;
    struct crash crash;
    crash_begin(&crash, STEPD_SYNC);
    shares_change(crash.worker[0], "lr=0.25", 0);
    crash_take(&crash, 5, at_five);
    struct shared_group *other = shared_group_ref(crash.taken.snapshot.history.group[0].now);
    other->group.frozen = true;
    crash.taken.snapshot.history.groups = 0;
    crash.taken.state->slice[1].changed = other;
    assert_not_restored(&crash, "frozen");
    other->group.frozen = false;
    crash.taken.snapshot.history.groups = 1;
    crash_restore(&crash);
    crash_end(&crash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trail__of_a_restored_job__says_what_it_said),
        cmocka_unit_test(trail__of_a_restored_job__grows_older_from_the_snapshot_on),
        cmocka_unit_test(change__of_a_restored_job__has_the_next_number),
        cmocka_unit_test(status__of_a_restored_job__counts_its_changes),
        cmocka_unit_test(groups__of_a_restored_job__are_what_they_had_become),
        cmocka_unit_test(change__that_was_over__is_not_told_to_the_shards_again),
        cmocka_unit_test(change__that_was_to_come__is_told_to_the_shards_before_they_start),
        cmocka_unit_test(change__that_was_to_come__is_in_the_next_snapshot_too),
        cmocka_unit_test(change__that_was_not_decided__is_void),
        cmocka_unit_test(change__that_was_dropped_before_it_came__is_in_no_snapshot),
        cmocka_unit_test(change__of_nothing_new_ahead_of_one_to_come__leaves_that),
        cmocka_unit_test(change__ahead_of_one_to_come_in_a_restored_job__starts_from_what_is_now),
        cmocka_unit_test(change__decided_while_slices_are_taken__is_told_to_the_shards_again),
        cmocka_unit_test(change__in_async_mode_after_the_snapshot_was_ordered__is_dated_anew),
        cmocka_unit_test(change__in_async_mode_before_the_snapshot_was_ordered__keeps_its_versions),
        cmocka_unit_test(clip_norm__that_is_changed__clips_from_its_version_on),
        cmocka_unit_test(clip_norm__of_a_job_that_takes_no_norms__is_not_changed),
        cmocka_unit_test(clip_norm__of_a_restored_job__is_what_it_had_become_and_is_to_become),
        cmocka_unit_test(history__of_another_definition__is_not_restored),
        cmocka_unit_test(slices__whose_group_is_of_another_definition__are_not_restored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
