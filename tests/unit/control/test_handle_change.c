/* SPDX-License-Identifier: Apache-2.0
 *
 * ChangeJob and GetChanges through control: what is proposed to the shards, what they are told,
 * what the answer says, and what is kept of it. What an edit comes to is the model's, and tested
 * there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "brain_fixture.h"
#include "server/control/changes.h"
#include "server/control/handle_change.h"
#include "tests/lib/settings.h"

static struct peer *open_job(struct brain *brain, enum stepd_mode mode)
{
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_define(peer, "j", mode, 1);
    return peer;
}

static struct stepd_message change_of(const char *settings)
{
    struct stepd_group group = settings_group("", settings);
    group.name = "";
    group.match = "";
    return (struct stepd_message){.kind = STEPD_MESSAGE_CHANGE_JOB,
                                  .body.change_job = {.job = "j", .group = group}};
}

static struct peer *observer(struct brain *brain)
{
    return peer_join(brain, hello_observer(""));
}

/* All shards are at this version when they answer. */
static void answer_all(struct brain *brain, uint64_t newest)
{
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        brain_proposed(brain, shard, newest);
}

static const struct stepd_change_list *list_of(const struct peer *peer)
{
    return &peer_answer(peer, STEPD_MESSAGE_CHANGES)->body.changes;
}

/* Asks for all that is kept. */
static const struct stepd_change_list *changes(struct peer *peer)
{
    peer_request(peer, (struct stepd_message){.kind = STEPD_MESSAGE_GET_CHANGES,
                                              .body.get_changes = {.job = "j"}});
    return list_of(peer);
}

/* Changes the rate, and it is made. */
static void set_rate(struct brain *brain, struct peer *peer, const char *settings)
{
    peer_request(peer, change_of(settings));
    answer_all(brain, 0);
    assert_int_equal(list_of(peer)->records, 1);
}

/* ---- The way of a change --------------------------------------------------------------------- */

static void change__asked_for__waits_for_all_shards_and_is_made_on_all(void **state)
{
    struct brain *brain = *state;
    (void)open_job(brain, STEPD_SYNC);
    struct peer *peer = observer(brain);
    peer_request(peer, change_of("lr=0.25"));
    assert_int_equal(brain_newest(brain, 1, ORDER_PROPOSE)->version, 2);
    brain_proposed(brain, 0, 1);
    assert_int_equal(peer_answers(peer), 0);
    assert_int_equal(brain_count(brain, 0, ORDER_CHANGE), 0);
    brain_proposed(brain, 1, 1);
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++) {
        const struct order *order = brain_newest(brain, shard, ORDER_CHANGE);
        assert_int_equal(order->change, ORDER_CHANGE_GROUPS);
        assert_int_equal(order->groups->version, 2);
        assert_int_equal(order->groups->count, 1);
        assert_true(order->groups->change[0].group->group.phase[0].hyper.lr == 0.25);
    }
    const struct stepd_change_list *list = list_of(peer);
    assert_int_equal(list->records, 1);
    assert_int_equal(list->record[0].number, 1);
    assert_int_equal(list->record[0].version, 2);
    assert_int_equal(list->record[0].version_last, 2);
    assert_int_equal(list->record[0].differences, 1);
    assert_string_equal(list->record[0].difference[0].name, "lr");
    assert_string_equal(list->record[0].difference[0].from, "0.5");
    assert_string_equal(list->record[0].difference[0].to, "0.25");
    assert_non_null(strstr(brain->log, "job_changed job=\"j\" change=groups version=2\n"));
}

static void change__at_a_version__is_proposed_for_it(void **state)
{
    struct brain *brain = *state;
    (void)open_job(brain, STEPD_SYNC);
    struct peer *peer = observer(brain);
    struct stepd_message request = change_of("lr=0.25");
    request.body.change_job.at = 70;
    peer_request(peer, request);
    assert_int_equal(brain_newest(brain, 0, ORDER_PROPOSE)->version, 70);
    answer_all(brain, 10);
    assert_int_equal(list_of(peer)->record[0].version, 70);
}

static void change__at_a_version_that_is_over__is_refused_and_called_off(void **state)
{
    struct brain *brain = *state;
    (void)open_job(brain, STEPD_SYNC);
    struct peer *peer = observer(brain);
    struct stepd_message request = change_of("lr=0.25");
    request.body.change_job.at = 70;
    peer_request(peer, request);
    brain_proposed(brain, 0, 69);
    brain_proposed(brain, 1, 71);
    peer_assert_error(peer, STEPD_FAILED_PRECONDITION,
                      "version 70 is over: job 'j' is at 71; the earliest that can be had is about "
                      "73");
    assert_null(brain_newest(brain, 0, ORDER_CHANGE)->groups);
    assert_int_equal(changes(peer)->records, 0);
}

static void change__that_cannot_be__is_refused_and_called_off(void **state)
{
    struct brain *brain = *state;
    (void)open_job(brain, STEPD_SYNC);
    struct peer *peer = observer(brain);
    peer_request(peer, change_of("lrr=0.25"));
    answer_all(brain, 0);
    peer_assert_error(peer, STEPD_INVALID_ARGUMENT,
                      "sgd has no hyperparameter 'lrr': did you mean 'lr'?");
    assert_null(brain_newest(brain, 0, ORDER_CHANGE)->groups);
    assert_int_equal(changes(peer)->records, 0);
}

static void change__of_nothing_new__is_called_off_and_not_kept(void **state)
{
    struct brain *brain = *state;
    (void)open_job(brain, STEPD_SYNC);
    struct peer *peer = observer(brain);
    peer_request(peer, change_of("lr=0.5"));
    answer_all(brain, 0);
    assert_int_equal(list_of(peer)->records, 0);
    assert_null(brain_newest(brain, 0, ORDER_CHANGE)->groups);
    assert_int_equal(changes(peer)->records, 0);
}

static void dry_run__of_a_change__says_what_would_be_and_keeps_nothing(void **state)
{
    struct brain *brain = *state;
    (void)open_job(brain, STEPD_SYNC);
    struct peer *peer = observer(brain);
    struct stepd_message request = change_of("lr=0.25");
    request.body.change_job.dry_run = true;
    peer_request(peer, request);
    answer_all(brain, 5);
    answer_all(brain, 6);
    assert_int_equal(list_of(peer)->records, 1);
    assert_int_equal(list_of(peer)->record[0].version, 7);
    assert_null(brain_newest(brain, 0, ORDER_CHANGE)->groups);
    assert_int_equal(changes(peer)->records, 0);
}

static void changes__one_after_another__each_start_from_the_one_before(void **state)
{
    struct brain *brain = *state;
    (void)open_job(brain, STEPD_SYNC);
    struct peer *first = observer(brain);
    struct peer *second = observer(brain);
    peer_request(first, change_of("lr=0.25"));
    peer_request(second, change_of("lr_mult=0.5"));
    answer_all(brain, 0);
    assert_int_equal(peer_answers(second), 0);
    answer_all(brain, 0);
    assert_string_equal(list_of(second)->record[0].difference[0].from, "0.25");
    assert_string_equal(list_of(second)->record[0].difference[0].to, "0.125");
}

static void change__in_async_mode__holds_nothing_up_and_learns_the_versions_later(void **state)
{
    struct brain *brain = *state;
    (void)open_job(brain, STEPD_ASYNC);
    struct peer *peer = observer(brain);
    peer_request(peer, change_of("lr=0.25"));
    assert_int_equal(brain_newest(brain, 0, ORDER_PROPOSE)->version, UINT64_MAX);
    answer_all(brain, 40);
    const struct order *order = brain_newest(brain, 0, ORDER_CHANGE);
    assert_int_equal(order->groups->version, 0);
    assert_int_equal(order->groups->number, 1);
    assert_int_equal(list_of(peer)->record[0].version, 0);
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++) {
        struct notice *notice = notice_create(NOTICE_CHANGED, "j");
        notice->shard = shard;
        notice->query = 1;
        notice->slices = 1;
        notice->version_min = 41 - shard;
        notice->version_max = 42 + shard;
        control_on_notice(brain->control, notice, brain->now_ms);
    }
    assert_int_equal(changes(peer)->record[0].version, 40);
    assert_int_equal(changes(peer)->record[0].version_last, 43);
}

/* ---- What is still to come ------------------------------------------------------------------- */

static void ask_at(struct brain *brain, struct peer *peer, const char *settings, uint64_t at)
{
    struct stepd_message request = change_of(settings);
    request.body.change_job.at = at;
    peer_request(peer, request);
    answer_all(brain, 1);
}

static void change__ahead_of_one_that_is_to_come__is_refused(void **state)
{
    struct brain *brain = *state;
    (void)open_job(brain, STEPD_SYNC);
    struct peer *peer = observer(brain);
    ask_at(brain, peer, "lr=0.25", 70);
    ask_at(brain, peer, "lr=0.125", 69);
    peer_assert_error(peer, STEPD_FAILED_PRECONDITION,
                      "group 'all' changes at version 70 already (change 1), and what would change "
                      "before that would be lost there; change it at 70 or later, or with "
                      "drop_phases (stepctl change --no-phases), which calls it off");
    ask_at(brain, peer, "lr=0.125", 70);
    assert_string_equal(list_of(peer)->record[0].difference[0].from, "0.25");
}

static void changes__more_than_can_come__are_refused_until_some_have_come(void **state)
{
    struct brain *brain = *state;
    (void)open_job(brain, STEPD_SYNC);
    struct peer *peer = observer(brain);
    for (uint64_t i = 0; i < CONTROL_COMING_MAX; i++) {
        ask_at(brain, peer, i % 2 == 0 ? "lr=0.25" : "lr=0.5", 70 + i);
        assert_int_equal(list_of(peer)->records, 1);
    }
    ask_at(brain, peer, "lr=0.125", 500);
    peer_assert_error(peer, STEPD_RESOURCE_EXHAUSTED, "64 changes of job 'j' are still to come");
    struct stepd_message request = change_of("lr=0.125");
    request.body.change_job.at = 500;
    peer_request(peer, request);
    answer_all(brain, 71);
    assert_int_equal(list_of(peer)->records, 1);
}

/* ---- Refused at once ------------------------------------------------------------------------- */

static void change__of_who_cannot_be_changed__says_why(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = observer(brain);
    struct stepd_message request = change_of("lr=0.25");
    peer_request(peer, request);
    peer_assert_error(peer, STEPD_NOT_FOUND, "there is no job 'j'");
    request.body.change_job.job = "";
    peer_request(peer, request);
    peer_assert_error(peer, STEPD_INVALID_ARGUMENT, "name the job that is meant");
    struct peer *worker = peer_join(brain, hello_worker("j", 0));
    request.body.change_job.job = "j";
    peer_request(peer, request);
    peer_assert_error(peer, STEPD_FAILED_PRECONDITION, "job 'j' is not open yet");
    peer_define(worker, "j", STEPD_SYNC, 1);
    peer_request(peer, change_of(""));
    peer_assert_error(peer, STEPD_INVALID_ARGUMENT, "nothing is said to change");
    peer_request(worker, leave_at(0));
    peer_request(peer, request);
    peer_assert_error(peer, STEPD_FAILED_PRECONDITION,
                      "job 'j' has finished: it makes no step any more");
}

static void change__at_a_version_in_async_mode__is_refused(void **state)
{
    struct brain *brain = *state;
    (void)open_job(brain, STEPD_ASYNC);
    struct peer *peer = observer(brain);
    struct stepd_message request = change_of("lr=0.25");
    request.body.change_job.at = 70;
    peer_request(peer, request);
    peer_assert_error(peer, STEPD_INVALID_ARGUMENT,
                      "at is for mode sync: in mode async slices have no common version");
}

static void change__of_an_unknown_group__names_the_nearest(void **state)
{
    struct brain *brain = *state;
    (void)open_job(brain, STEPD_SYNC);
    struct peer *peer = observer(brain);
    struct stepd_message request = change_of("lr=0.25");
    request.body.change_job.group.name = "al";
    peer_request(peer, request);
    answer_all(brain, 0);
    peer_assert_error(peer, STEPD_NOT_FOUND, "job 'j' has no group 'al': ");
}

/* ---- What is kept ---------------------------------------------------------------------------- */

static void trail__of_changes__says_who_and_how_long_ago(void **state)
{
    struct brain *brain = *state;
    struct peer *worker = open_job(brain, STEPD_SYNC);
    struct peer *peer = observer(brain);
    set_rate(brain, worker, "lr=0.25");
    brain_wait(brain, 700);
    set_rate(brain, worker, "lr=0.125");
    const struct stepd_change_list *list = changes(peer);
    assert_int_equal(list->records, 2);
    assert_string_equal(list->record[0].by, "w0");
    assert_int_equal(list->record[0].age_ms, 700);
    assert_int_equal(list->record[1].number, 2);
    assert_int_equal(list->record[1].age_ms, 0);
}

static void groups__after_a_change__show_it_and_where_it_is_from(void **state)
{
    struct brain *brain = *state;
    struct peer *worker = open_job(brain, STEPD_SYNC);
    set_rate(brain, worker, "lr=0.25");
    peer_request(worker, (struct stepd_message){.kind = STEPD_MESSAGE_GET_GROUPS,
                                                .body.get_groups = {.job = "j"}});
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        brain_answer(brain, shard, 14, 14, UINT32_MAX);
    const struct stepd_tensor_group *tensor =
        peer_answer(worker, STEPD_MESSAGE_GROUPS)->body.groups.tensor;
    assert_true(tensor->base_lr == 0.25);
    assert_true(tensor->lr == 0.25 * 0.1); /* beyond the schedule's first drop, at 10 */
    assert_int_equal(tensor->change, 1);
    assert_int_equal(tensor->change_version, 2);
}

static void trail__of_more_than_are_kept__forgets_the_oldest_and_counts_them(void **state)
{
    (void)state;
    struct control_trail trail = {.first = NULL};
    const struct difference difference = {.name = "lr"};
    for (uint64_t i = 1; i <= CONTROL_TRAIL_MAX + 3; i++) {
        struct control_record *record = control_record_create(0, "me", &difference, 1);
        record->number = i;
        control_trail_add(&trail, record);
    }
    assert_int_equal(trail.count, CONTROL_TRAIL_MAX);
    assert_int_equal(trail.forgotten, 3);
    assert_int_equal(trail.first->number, 4);
    assert_int_equal(trail.last->number, CONTROL_TRAIL_MAX + 3);
    control_trail_clear(&trail);
}

static void changes__more_than_a_frame_holds__come_in_several(void **state)
{
    struct brain *brain = *state;
    struct peer *worker = open_job(brain, STEPD_SYNC);
    struct control_job *job = control_job_find(brain->control, "j");
    struct difference difference[DIFFERENCES_MAX];
    memset(difference, 0, sizeof difference);
    for (size_t i = 0; i < DIFFERENCES_MAX; i++)
        memset(difference[i].to, 'x', sizeof difference[i].to - 1);
    for (size_t i = 0; i < 100; i++)
        control_trail_add(&job->history.trail,
                          control_record_create(0, "me", difference, DIFFERENCES_MAX));
    assert_true(changes(worker)->last);
    assert_true(peer_answers(worker) > 2);
}

/* ---- The config file ------------------------------------------------------------------------- */

/* The definition of define_job() with another optimizer or rate, as a file has it. */
static enum stepd_status reread(struct brain *brain, const char *optimizer, const char *settings,
                                uint32_t workers, struct stepd_error *reterr)
{
    struct stepd_message message = define_job(STEPD_SYNC, workers);
    struct stepd_group group = message.body.define_job.group[0];
    group.optimizer = optimizer;
    group.settings = settings_of(settings);
    message.body.define_job.group = &group;
    return control_change_from_file(brain->control, control_job_find(brain->control, "j"),
                                    &message.body.define_job, reterr);
}

static void file__with_another_rate__changes_it(void **state)
{
    struct brain *brain = *state;
    struct peer *worker = open_job(brain, STEPD_SYNC);
    assert_int_equal(reread(brain, "sgd", "lr=0.125", 1, NULL), STEPD_OK);
    answer_all(brain, 0);
    const struct stepd_change_list *list = changes(worker);
    assert_int_equal(list->records, 1);
    assert_string_equal(list->record[0].by, "config file");
    assert_string_equal(list->record[0].difference[0].to, "0.125");
}

static void file__that_says_what_runs__changes_nothing(void **state)
{
    struct brain *brain = *state;
    struct peer *worker = open_job(brain, STEPD_SYNC);
    assert_int_equal(reread(brain, "sgd", "lr=0.5", 1, NULL), STEPD_OK);
    answer_all(brain, 0);
    assert_null(brain_newest(brain, 0, ORDER_CHANGE)->groups);
    assert_int_equal(changes(worker)->records, 0);
}

static void file__that_cannot_be_honoured__is_refused_in_the_log(void **state)
{
    struct brain *brain = *state;
    struct peer *worker = open_job(brain, STEPD_SYNC);
    assert_int_equal(reread(brain, "adam", "lr=0.125", 1, NULL), STEPD_OK);
    answer_all(brain, 0);
    assert_non_null(strstr(brain->log, "warn: change_refused job=\"j\" by=\"config file\" "
                                       "reason=\"group 'all': adam keeps "));
    assert_int_equal(changes(worker)->records, 0);
}

static void file__with_other_workers__is_refused(void **state)
{
    struct brain *brain = *state;
    (void)open_job(brain, STEPD_SYNC);
    struct stepd_error error;
    assert_int_equal(reread(brain, "sgd", "lr=0.125", 2, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "job 'j': workers is defined as 1, not 2");
}

static void file__of_a_job_that_nobody_has_joined__defines_it_anew(void **state)
{
    struct brain *brain = *state;
    struct stepd_message message = define_job(STEPD_SYNC, 1);
    assert_int_equal(control_define(brain->control, "j", &message.body.define_job, NULL), STEPD_OK);
    message.body.define_job.workers = 3;
    assert_int_equal(control_redefine(brain->control, "j", &message.body.define_job, NULL),
                     STEPD_OK);
    const struct control_job *job = control_job_find(brain->control, "j");
    assert_int_equal(job_draft_workers(job->draft), 3);
    message.body.define_job.workers = 0;
    assert_int_equal(control_redefine(brain->control, "j", &message.body.define_job, NULL),
                     STEPD_INVALID_ARGUMENT);
    assert_int_equal(job_draft_workers(job->draft), 3);
}

static void file__of_a_job_that_it_did_not_define__needs_a_restart(void **state)
{
    struct brain *brain = *state;
    (void)open_job(brain, STEPD_SYNC);
    const struct stepd_message message = define_job(STEPD_SYNC, 1);
    struct stepd_error error;
    assert_int_equal(control_redefine(brain->control, "j", &message.body.define_job, &error),
                     STEPD_NOT_FOUND);
    assert_string_equal(error.text,
                        "the daemon did not define job 'j' when it started; start it again");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, brain_setup, brain_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(change__asked_for__waits_for_all_shards_and_is_made_on_all),
        TEST(change__at_a_version__is_proposed_for_it),
        TEST(change__at_a_version_that_is_over__is_refused_and_called_off),
        TEST(change__that_cannot_be__is_refused_and_called_off),
        TEST(change__of_nothing_new__is_called_off_and_not_kept),
        TEST(dry_run__of_a_change__says_what_would_be_and_keeps_nothing),
        TEST(changes__one_after_another__each_start_from_the_one_before),
        TEST(change__ahead_of_one_that_is_to_come__is_refused),
        TEST(changes__more_than_can_come__are_refused_until_some_have_come),
        TEST(change__in_async_mode__holds_nothing_up_and_learns_the_versions_later),
        TEST(change__of_who_cannot_be_changed__says_why),
        TEST(change__at_a_version_in_async_mode__is_refused),
        TEST(change__of_an_unknown_group__names_the_nearest),
        TEST(trail__of_changes__says_who_and_how_long_ago),
        TEST(groups__after_a_change__show_it_and_where_it_is_from),
        cmocka_unit_test(trail__of_more_than_are_kept__forgets_the_oldest_and_counts_them),
        TEST(changes__more_than_a_frame_holds__come_in_several),
        TEST(file__with_another_rate__changes_it),
        TEST(file__that_says_what_runs__changes_nothing),
        TEST(file__that_cannot_be_honoured__is_refused_in_the_log),
        TEST(file__with_other_workers__is_refused),
        TEST(file__of_a_job_that_nobody_has_joined__defines_it_anew),
        TEST(file__of_a_job_that_it_did_not_define__needs_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
